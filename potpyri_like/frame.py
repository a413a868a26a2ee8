"""The vocabulary that everybody shares: a frame, what is known of it, and the bits of its mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntFlag, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from potpyri_like.errors import DeclarationError
from potpyri_like.stages import HasFields

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.nddata import CCDData
    from astropy.time import Time
    from astropy.units import Quantity
    from astropy.wcs import WCS

    from potpyri_like.stages import Field

__all__ = [
    "EXCLUDED_FROM",
    "STAR_FLAG_SHIFT",
    "UNUSABLE",
    "Frame",
    "FrameFlag",
    "FrameInfo",
    "FrameKind",
    "MaskBit",
    "Pixels",
    "Purpose",
    "Results",
    "StarFlag",
    "bits_excluded",
    "ccd_of",
    "excluded",
    "pixels_of",
]


_T = TypeVar("_T")


class FrameKind(StrEnum):
    """What a raw frame was taken for."""

    SCIENCE = "science"
    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"
    OTHER = "other"


class MaskBit(IntFlag):
    """Bits of a pixel mask (uint16); 0 is a good pixel."""

    BAD = 1  # the detector's fault, or no value could be had
    COSMIC_RAY = 2  # hit by a particle
    SATURATED = 4  # the raw value reached the limit
    NEIGHBOUR = 8  # beside a bad one
    HOT = 16  # far above its neighbours, replaced by their median
    TRAIL = 32  # crossed by a satellite, an aircraft or a meteor
    NO_DATA = 64  # no detector is there: a gap, an edge, a frame that does not reach
    NON_LINEAR = 128  # above the range in which counts grow with the light
    LOW_FLAT = 256  # the flat is too low there to be divided by
    GHOST = 512  # a reflection within the optics, or the print of an earlier exposure


UNUSABLE = MaskBit.BAD | MaskBit.COSMIC_RAY | MaskBit.TRAIL | MaskBit.NO_DATA | MaskBit.LOW_FLAT
"""The bits of pixels whose values are not the sky's: what `Frame.ccd` masks, and what is filled from neighbours."""


class Pixels(NamedTuple):
    """An image, what it is worth, and what is wrong with it: the planes that travel together.

    Attributes
    ----------
    data : ndarray, shape (rows, cols), float32, electron
        Finite everywhere.
    variance : ndarray, shape (rows, cols), float32, electron^2
        Of each pixel by itself. Where a step correlates neighbours, that of a sum over them is larger than the sum
        of theirs: see `Frame.covariance`.
    mask : ndarray, shape (rows, cols), uint16
        Bits of `MaskBit`; 0 is a good pixel.
    """

    data: np.ndarray
    variance: np.ndarray
    mask: np.ndarray


STAR_FLAG_SHIFT = 8  # of the bits of a star, where they stand beside those of its frame


class FrameFlag(IntFlag):
    """Bits of a frame in a series; 0 is a frame without remarks."""

    UNMATCHED = 1  # no transform to the reference: not measured
    FEW_STARS = 2  # matched on fewer stars than were asked for
    CLOUD = 4  # the comparison stars lost more light than airmass explains
    TIME_DOUBTFUL = 8  # the mid-exposure time was assumed or corrected
    POOR_SEEING = 16  # FWHM far above that of the night
    TRAILED = 32  # the stars are far longer than those of the night
    DISAGREE = 64  # no common factor describes what happened to the comparison stars
    CUT = 128  # the observer's own condition holds (--reject)


class StarFlag(IntFlag):
    """Bits of one star in one frame."""

    SATURATED = 1  # a saturated pixel inside the aperture
    BAD_PIXEL = 2  # a bad pixel inside the aperture, filled from its neighbours
    HOT_PIXEL = 4  # a hot pixel inside the aperture was replaced
    EDGE = 8  # the aperture or the annulus leaves the image
    NO_CENTROID = 16  # the centroid failed or wandered off; the position is the reference's, carried over
    COSMIC_RAY = 32  # a cosmic ray inside the aperture
    NEIGHBOUR = 64  # light of other stars in the aperture
    SLOPE = 128  # the sky around it is not level
    FILLED = 256  # much of the star's light fell on bad pixels: filled from its profile, or not measured


class Purpose(IntFlag):
    """What the points of a light curve are used for."""

    CHOICES = 1  # aperture, comparison stars, weights, variability; every figure of merit and every noise value shown
    FIT = 2  # transit, periods, lags, time averaging, noise budget
    TIMES = 4  # the transit's mid-transit time, O-C, reports that are submitted


_EVERYTHING = Purpose.CHOICES | Purpose.FIT | Purpose.TIMES
# The one table of what a flagged point is excluded from. A bit that is not in it excludes from nothing: a replaced hot
# pixel; a bad pixel that held little of the star's light; a position carried over, which a faint star is measured at;
# an annulus cut by the edge of the image (an aperture that is gives no flux at all); light of other stars, or a sky
# that is not level, in all points alike.
EXCLUDED_FROM: Mapping[int, Purpose] = MappingProxyType(
    {
        int(FrameFlag.UNMATCHED): _EVERYTHING,
        int(FrameFlag.FEW_STARS): _EVERYTHING,
        int(FrameFlag.CLOUD): _EVERYTHING,
        int(FrameFlag.TIME_DOUBTFUL): Purpose.TIMES,
        int(FrameFlag.POOR_SEEING): _EVERYTHING,
        int(FrameFlag.TRAILED): _EVERYTHING,
        int(FrameFlag.DISAGREE): _EVERYTHING,
        int(FrameFlag.CUT): _EVERYTHING,
        int(StarFlag.SATURATED) << STAR_FLAG_SHIFT: _EVERYTHING,
        int(StarFlag.COSMIC_RAY) << STAR_FLAG_SHIFT: _EVERYTHING,
        int(StarFlag.FILLED) << STAR_FLAG_SHIFT: _EVERYTHING,
    }
)


def bits_excluded(purpose: Purpose) -> int:
    """The bits of a light curve's flags that exclude a point from any of some purposes."""
    return sum(bit for bit, purposes in EXCLUDED_FROM.items() if purposes & purpose)


def excluded(flags: np.ndarray, purpose: Purpose) -> np.ndarray:
    """Which points are excluded from any of some purposes, by their flags as in `LightCurve.flags`."""
    return (np.asarray(flags, int) & bits_excluded(purpose)) != 0


@dataclass(frozen=True)
class FrameInfo:
    """What is known of one raw frame, in our words: no header card is named here.

    Attributes
    ----------
    path : Path
        The raw file.
    inside : str
        Its path within the night, with slashes: two folders may hold files of one name.
    plane : int or None
        The plane of a cube, counted from 0; None for a plain image.
    kind : FrameKind
    camera, band, target : str
        Empty where the frame has none (a bias has no band).
    binning : (int, int)
        Columns, rows.
    exposure : Quantity
        Time.
    mid_time : Time or None
        Middle of the exposure, UTC; None for calibrations without a clock.
    shape : (int, int)
        Rows, columns of the raw image (of the first image of a file with several).
    pointing : SkyCoord or None
        Where the header says the telescope looked, ICRS; None when it says nothing valid.
    readout : str
        What calibrations must share besides camera and binning: amplifiers, region, mode.
    clock : str
        What set the time: "GPS", "PC", ... or "".
    decided_by : str
        The rule that decided the kind.
    notes : tuple of str
        What was guessed, repaired or doubted, in sentences; those that begin with "time:" flag the frame.
    night : str
        The date of its evening, YYYY-MM-DD; "" where it is not known.
    temperature : float or None
        Of the detector, degrees Celsius.
    gain_setting, offset : str
        What the camera was set to; "" where the header does not tell.
    window : (int, int, int, int) or None
        The part of the detector that its trimmed image holds: first column and row, from 0, columns and rows, in pixels
        of the file; None where its header does not tell.
    colour : str
        "R", "G" or "B" of a frame in colour, whose `plane` it is; else "".
    through : str
        The filter before a camera in colour, by our name for it.
    mosaic : str
        The pattern of the colours of a raw mosaic, "RGGB", whose `plane` is a colour where it is split; else "".
    cut : (int, int, int, int) or None
        The part of its trimmed image that is used, in the same form: of a calibration frame that serves a window. What
        of it lies outside of that image has no data: of a science frame that lacks an amplifier.
    tiles : tuple of (int, int, int, int, int)
        Of a frame whose amplifiers are placed by their headers: the part of the detector that each read, in the form of
        `window`, and how its image is mirrored, 1 in columns, 2 in rows, 3 in both.
    """

    path: Path
    kind: FrameKind
    camera: str
    band: str
    target: str
    binning: tuple[int, int]
    exposure: Quantity
    mid_time: Time | None
    shape: tuple[int, int]
    plane: int | None = None
    inside: str = ""
    pointing: SkyCoord | None = None
    readout: str = ""
    clock: str = ""
    decided_by: str = ""
    notes: tuple[str, ...] = ()
    night: str = ""
    temperature: float | None = None
    gain_setting: str = ""
    offset: str = ""
    window: tuple[int, int, int, int] | None = None
    cut: tuple[int, int, int, int] | None = None
    tiles: tuple[tuple[int, int, int, int, int], ...] = ()
    colour: str = ""
    through: str = ""
    mosaic: str = ""

    @property
    def file_plane(self) -> int | None:
        """The plane of its file's image; None where that has none."""
        return None if self.mosaic else self.plane

    @property
    def label(self) -> str:
        """The file's path within the night, with the plane where there is one: no two frames share it."""
        name = self.inside or self.path.name
        return name if self.plane is None else f"{name}[{self.plane}]"


Results: TypeAlias = Mapping[str, Any]  # what stages found out, by the names of fields


def ccd_of(pixels: Pixels, *, unit: str = "electron", wcs: WCS | None = None) -> CCDData:
    """Pixels as astropy, ccdproc and photutils know them; data and variance are shared, not copied.

    `mask` is true for the pixels of `UNUSABLE` bits, None where there is none; `uncertainty` is the variance of each
    pixel by itself; `flags` has all the bits.
    """
    from astropy.nddata import CCDData, VarianceUncertainty

    unusable = (pixels.mask & np.uint16(UNUSABLE)) != 0
    return CCDData(
        pixels.data,
        unit=unit,
        mask=unusable if unusable.any() else None,
        flags=pixels.mask,
        uncertainty=VarianceUncertainty(pixels.variance, copy=False),
        wcs=wcs,
    )


def pixels_of(ccd: CCDData, before: Pixels | None = None) -> Pixels:
    """The planes of a CCDData, whoever made it; none of its arrays is changed.

    What it masks, and what is no number, is BAD unless it was unusable before; no number becomes 0.

    Parameters
    ----------
    ccd : CCDData
    before : Pixels, optional
        Gives the bits, and the variance where there is no uncertainty. Else the bits are those of `flags`, if `ccd_of`
        made it, and a variance that is not known is 0.

    Raises
    ------
    DeclarationError
        It is no image of rows and columns.
    """
    from astropy.nddata import VarianceUncertainty

    if len(ccd.shape) != 2:
        raise DeclarationError(f"an image of {len(ccd.shape)} dimensions; expected rows and columns")
    data = np.array(ccd.data, np.float32)
    variance = np.zeros_like(data) if before is None else before.variance
    if ccd.uncertainty is not None:
        variance = np.array(ccd.uncertainty.represent_as(VarianceUncertainty).array, np.float32)
    flags = getattr(ccd, "flags", None) if before is None else before.mask
    bits = np.zeros(data.shape, np.uint16)
    if isinstance(flags, np.ndarray) and flags.dtype == np.uint16:
        bits = flags
    wrong = ~np.isfinite(data)
    data[wrong] = 0
    if ccd.mask is not None:
        wrong |= np.asarray(ccd.mask, bool)
    wrong &= (bits & np.uint16(UNUSABLE)) == 0
    return Pixels(data, variance, bits | (wrong * np.uint16(MaskBit.BAD)) if wrong.any() else bits)


@dataclass(frozen=True)
class Frame(HasFields):
    """Pixels on their way through the stages.

    Attributes
    ----------
    pixels : Pixels
    info : FrameInfo
    wcs : WCS or None
        None where it is not known.
    covariance : float
        What multiplies the sum of the pixels' variances over an aperture to give the variance of the sum of their
        values: 1 where their noise is independent, more after a filter or an interpolation.
    stages : tuple of str
        The stages it went through, in order, each with what it did.
    results : dict
        What the stages found out besides pixels, by the name of the stage.
    """

    pixels: Pixels
    info: FrameInfo
    wcs: WCS | None = None
    covariance: float = 1.0
    stages: tuple[str, ...] = ()
    results: Results = field(default_factory=dict)

    def after(
        self,
        stage: str,
        *,
        pixels: Pixels | None = None,
        covariance: float | None = None,
        ccd: CCDData | None = None,
        **results: Any,
    ) -> Frame:
        """The frame that a stage hands on.

        Parameters
        ----------
        stage : str
            What it did.
        pixels : Pixels, optional
            Where it changed them.
        covariance : float, optional
            Where it changed that.
        ccd : CCDData, electron, optional
            In place of `pixels`, as astropy or ccdproc gives it: what it masks is BAD here unless it was unusable
            before; without an uncertainty or a WCS it has those of this frame.
        **results
            What it found out.

        Raises
        ------
        DeclarationError
            The CCDData is not in electrons.
        """
        if ccd is not None:
            pixels = self._taken_from(ccd)
        return replace(
            self,
            pixels=self.pixels if pixels is None else pixels,
            wcs=self.wcs if ccd is None or ccd.wcs is None else ccd.wcs,
            covariance=self.covariance if covariance is None else covariance,
            stages=(*self.stages, stage),
            results={**self.results, **results},
        )

    def _taken_from(self, ccd: CCDData) -> Pixels:
        """The planes of a CCDData, with the bits that are known of the pixels."""
        if ccd.unit != "electron" or ccd.shape != self.data.shape:
            raise DeclarationError(
                f"{self.info.label}: a stage returned a CCDData in {ccd.unit} of shape {ccd.shape}; expected electron"
                f" and {self.data.shape}, like its input frame"
            )
        return pixels_of(ccd, self.pixels)

    @classmethod
    def without_pixels(cls, info: FrameInfo) -> Frame:
        """A frame of which only what stages found out is wanted."""
        return cls(None, info)  # type: ignore[arg-type]

    def knowing(self, results: Results) -> Frame:
        """The frame with what is known of it from before."""
        return replace(self, results={**self.results, **results})

    def get(self, wanted: Field[_T]) -> _T | None:
        """What a stage found out; None where it did not."""
        return self.results.get(wanted.name)

    @property
    def ccd(self) -> CCDData:
        """The frame as astropy, ccdproc and photutils know it; data and variance are shared, not copied.

        `mask` is true for the pixels of `UNUSABLE` bits, None where there is none; `uncertainty` is the variance of
        each pixel by itself (see `covariance`); `flags` has all the bits.
        """
        return ccd_of(self.pixels, wcs=self.wcs)

    @property
    def data(self) -> np.ndarray:
        """The image, shape (rows, cols), float32, electron."""
        return self.pixels.data

    @property
    def mask(self) -> np.ndarray:
        """Bits of `MaskBit`, shape (rows, cols), uint16."""
        return self.pixels.mask

    @property
    def unusable(self) -> np.ndarray:
        """Which pixels have a bit of `UNUSABLE`, bool."""
        return (self.mask & np.uint16(UNUSABLE)) != 0

    @property
    def variance(self) -> np.ndarray:
        """That of each pixel by itself, shape (rows, cols), float32, electron^2."""
        return self.pixels.variance
