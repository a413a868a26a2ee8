"""What a camera is made of: scale, bands, amplifiers; and which of an instrument's cameras took a frame."""

from __future__ import annotations

import re
from dataclasses import InitVar, dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.frame import FrameInfo
from potpyri_like.imaging import parse_section
from potpyri_like.imaging.mosaics import PATTERNS
from potpyri_like.instruments.clock import date_of
from potpyri_like.instruments.dates import (
    Constant,
    Dated,
    check_constant,
    check_unit,
    periods,
    value_at,
)
from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.keywords import Keyword, read_keyword
from potpyri_like.instruments.layout import Layout, Readout
from potpyri_like.instruments.simulated import SimulatedCamera
from potpyri_like.store.header import RawHeader

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = [  # Layout and Readout: where plugins have them from
    "Amplifier",
    "Camera",
    "Layout",
    "Readout",
    "camera_at",
    "camera_by_header",
    "camera_named",
    "camera_of_date",
    "check_pattern",
    "dated_constants",
    "parts_of",
    "pixel_scale",
    "site_of",
]


_CONSTANTS = (
    "pixel_scale",
    "gain",
    "read_noise",
    "saturation",
    "pedestal",
    "pedestal_error",
)  # that may change


@dataclass(frozen=True, kw_only=True)
class Amplifier:
    """One amplifier of a camera that has several; what it leaves out is the camera's.

    Attributes
    ----------
    hdu : int
        The HDU with its pixels.
    data_section, overscan_section : str, Keyword or None
        FITS sections, as in `Camera`.
    x0, y0 : int
        Where its lower left pixel comes to lie in the assembled image, in unbinned pixels from 0.
    flip_x, flip_y : bool
        Mirrored before it is placed.
    gain, read_noise, saturation : Quantity, Keyword, tuple of Dated, or None
    """

    hdu: int
    data_section: str | Keyword | None = None
    overscan_section: str | Keyword | None = None
    x0: int
    y0: int
    flip_x: bool = False
    flip_y: bool = False
    gain: Constant | None = None
    read_noise: Constant | None = None
    saturation: Constant | None = None

    def __post_init__(self) -> None:
        _check_amplifier(f"Amplifier of HDU {self.hdu}", self, optional=True)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """One camera of an instrument. Constants carry units and have no defaults.

    A constant that changed is a tuple of `Dated`: its values, each with the dates between which it holds.

    Attributes
    ----------
    name : str
    pixel_scale : Quantity
        Angle per unbinned pixel.
    gain, read_noise, saturation : Quantity or Keyword
        electron/adu, electron, adu; a Keyword takes them from the header.
    data_section, overscan_section : str, Keyword or None
        ``[x1:x2,y1:y2]``, counted from 1, both ends inside. Text is in unbinned pixels and is divided by the
        binning; a Keyword's card is taken as it stands. None: the whole image is data; there is no overscan.
    bands : tuple of str
        The bands it observes in; () where any is possible.
    ids : tuple of str
        What the `camera` card of `HeaderKeywords` says of it.
    folder : str
        A regular expression for the folder or file name, for frames whose header does not tell.
    size : (int, int) or None
        Columns, rows of unbinned data pixels.
    pedestal, pedestal_error : Quantity or None
        The level to subtract, and its uncertainty, where a night has neither overscan nor bias.
    binned_after_reading : bool
        Binning adds pixels that were each read with `read_noise` (CMOS): it grows with the root of their
        number.
    amplifiers : tuple of Amplifier
        For an image that is read through several; () for one.
    placed_by : Keyword or None
        For files with an image of each amplifier: the card in each image's own header with the section of the detector
        that it holds, in unbinned pixels; it runs backwards where the image is mirrored. The amplifiers follow from the
        images that a file has.
    window : Keyword or None
        The card with the section of the detector, in unbinned pixels, that a frame's image holds, for frames that are a
        part of it. None: DETSEC, CCDSEC, or XORGSUBF and YORGSUBF, where they are given.
    bayer : str
        The colours of the first two pixels of the file's first row, and of the second, of a sensor behind a mosaic:
        "RGGB", "BGGR", "GRBG" or "GBRG". Its unbinned frames are split into bands R, G and B at half the size. "": they
        are one band.
    colour : str
        What becomes of files whose three planes are red, green and blue of one exposure: "split" into bands, "reject",
        or "times", if the planes are exposures whatever other cards say.
    image : int, str or None
        The HDU of the image in a file with several images, by its number or its EXTNAME. None: it is told by the names
        and the sizes of the images.
    site : EarthLocation or None
        Where it stands, if not at the instrument's site.
    simulated : SimulatedCamera
        What only simulated nights use.
    rotation, centre, flipped, dark_current : optional
        Those of `simulated`, which were the camera's own before.
    """

    name: str
    pixel_scale: u.Quantity | Dated | tuple[Dated, ...]
    gain: Constant
    read_noise: Constant
    saturation: Constant
    data_section: str | Keyword | None = None
    overscan_section: str | Keyword | None = None
    bands: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    folder: str = ""
    size: tuple[int, int] | None = None
    pedestal: u.Quantity | Dated | tuple[Dated, ...] | None = None
    pedestal_error: u.Quantity | Dated | tuple[Dated, ...] | None = None
    binned_after_reading: bool = False
    amplifiers: tuple[Amplifier, ...] = ()
    placed_by: Keyword | None = None
    image: int | str | None = None
    window: Keyword | None = None
    bayer: str = ""
    colour: str = "split"
    site: EarthLocation | None = None
    simulated: SimulatedCamera = field(default_factory=SimulatedCamera)
    rotation: InitVar[u.Quantity | None] = None
    centre: InitVar[tuple[float, float] | None] = None
    flipped: InitVar[bool | None] = None
    dark_current: InitVar[u.Quantity | None] = None

    def __post_init__(
        self,
        rotation: u.Quantity | None,
        centre: tuple[float, float] | None,
        flipped: bool | None,
        dark_current: u.Quantity | None,
    ) -> None:
        where = f"Camera {self.name!r}"
        check_constant(where, "pixel_scale", self.pixel_scale, u.arcsec / u.pix)
        for name in ("pedestal", "pedestal_error"):
            if getattr(self, name) is not None:
                check_constant(where, name, getattr(self, name), u.adu)
        _check_amplifier(where, self)
        check_pattern(where, "folder", self.folder)
        if not isinstance(self.image, int | str | None) or isinstance(self.image, bool):
            raise DeclarationError(
                f"{where}: image = {self.image!r}; give the number or the EXTNAME of an HDU"
            )
        if self.bayer not in ("", *PATTERNS):
            raise DeclarationError(f"{where}: bayer = {self.bayer!r}; give one of {', '.join(PATTERNS)}")
        if self.colour not in ("split", "reject", "times"):
            raise DeclarationError(f"{where}: colour = {self.colour!r}; give 'split', 'reject' or 'times'")
        if not isinstance(self.window, Keyword | None):
            raise DeclarationError(f"{where}: window = {self.window!r}; give Keyword('DETSEC')")
        if not isinstance(self.placed_by, Keyword | None):
            raise DeclarationError(f"{where}: placed_by = {self.placed_by!r}; give Keyword('DETSEC')")
        self.check_size(where)
        self._take_over(rotation=rotation, centre=centre, flipped=flipped, dark_current=dark_current)

    def _take_over(self, **given: u.Quantity | tuple[float, float] | bool | None) -> None:
        """Put what was given to the camera, as it could before `simulated`, into `simulated`."""
        units = {"rotation": u.deg, "dark_current": u.electron / u.s}
        values = {name: value for name, value in given.items() if value is not None}
        if not isinstance(self.simulated, SimulatedCamera):
            raise DeclarationError(
                f"Camera {self.name!r}: simulated = {self.simulated!r}; give SimulatedCamera(rotation=...)"
            )
        for name in units.keys() & values.keys():
            check_unit(f"Camera {self.name!r}", name, values[name], units[name])
        if values:
            object.__setattr__(self, "simulated", replace(self.simulated, **values))  # type: ignore[arg-type]

    def check_size(self, where: str) -> None:
        """A declared data section fits the size that is declared beside it."""
        if isinstance(self.data_section, str) and self.size is not None:
            rows, columns = parse_section(self.data_section).shape
            if (columns, rows) != tuple(self.size):
                raise DeclarationError(
                    f"{where}: data_section = {self.data_section!r} has {columns} x {rows} pixels,"
                    f" size says {self.size}"
                )


def _check_amplifier(where: str, declared: Camera | Amplifier, *, optional: bool = False) -> None:
    """Raise a DeclarationError unless gain, read noise and sections are of the right sort."""
    units = {"gain": u.electron / u.adu, "read_noise": u.electron, "saturation": u.adu}
    for name, unit in units.items():
        value = getattr(declared, name)
        if value is not None or not optional:
            check_constant(where, name, value, unit, card=True)
    for name in ("data_section", "overscan_section"):
        _check_section(where, name, getattr(declared, name))


def _check_section(where: str, name: str, section: object) -> None:
    """Raise a DeclarationError unless this is a FITS section, a card, or None."""
    if not isinstance(section, str | Keyword | None):
        raise DeclarationError(f"{where}: {name} = {section!r}; give '[x1:x2,y1:y2]' or Keyword('DATASEC')")
    if isinstance(section, str):
        try:
            parse_section(section)
        except HeaderError as error:
            raise DeclarationError(f"{where}: {name} = {section!r}: {error}") from error


def check_pattern(where: str, name: str, pattern: str) -> None:
    """Raise a DeclarationError unless this is a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise DeclarationError(
            f"{where}: {name} = {pattern!r} is not a regular expression: {error}"
        ) from error


def parts_of(camera: Camera) -> tuple[Camera | Amplifier, ...]:
    """What has constants of its own: the camera, and each of its amplifiers."""
    return (camera, *camera.amplifiers)


def dated_constants(declared: Camera | Amplifier) -> tuple[str, ...]:
    """The constants that changed, by the names of their fields."""
    return tuple(name for name in _CONSTANTS if periods(getattr(declared, name, None)))


def camera_at(camera: Camera, time: Time | None, *, frame: str) -> Camera:
    """The camera as it was at a time: of each constant that changed, the value that held; its amplifiers likewise.

    Parameters
    ----------
    camera : Camera
    time : Time or None
        Mid-exposure; None where the frame has none.
    frame : str
        The file's name, for the message.

    Raises
    ------
    HeaderError
        A constant changed, and the frame has no date, or one of which no value is declared.
    """
    of = f"of camera {camera.name!r}"
    amplifiers = tuple(
        _at(one, time, f"{of}, amplifier of HDU {one.hdu}", frame) for one in camera.amplifiers
    )
    changed = any(new is not old for new, old in zip(amplifiers, camera.amplifiers, strict=True))
    return _at(replace(camera, amplifiers=amplifiers) if changed else camera, time, of, frame)


def camera_of_date(instrument: Instrument, header: RawHeader, camera: Camera) -> Camera:
    """The camera as it was when a frame was taken, by the time in its header.

    Raises
    ------
    HeaderError
        A constant changed, and the frame has no date, or one of which no value is declared.
    """
    if not any(map(dated_constants, parts_of(camera))):
        return camera
    return camera_at(camera, date_of(instrument, header), frame=header.path.name)


_Declared = TypeVar("_Declared", Camera, Amplifier)


def _at(declared: _Declared, time: Time | None, of: str, frame: str) -> _Declared:
    values = {
        name: value_at(getattr(declared, name), time, name=f"{name} {of}", frame=frame)
        for name in dated_constants(declared)
    }
    return replace(declared, **values) if values else declared  # type: ignore[arg-type]


@once_a_method("camera_named")
def camera_named(instrument: Instrument, name: str) -> Camera:
    """The camera of that name, in any letter case.

    Raises
    ------
    HeaderError
        There is none.
    """
    for camera in instrument.cameras:
        if camera.name.lower() == name.lower():
            return camera
    names = ", ".join(camera.name for camera in instrument.cameras)
    raise HeaderError(f"{instrument.name} has no camera {name!r}: it has {names}")


@once_a_method("site_of")
def site_of(instrument: Instrument, camera: str) -> EarthLocation:
    """Where the camera of that name stands."""
    own = camera_named(instrument, camera).site
    return instrument.site if own is None else own


@once_a_method("pixel_scale")
def pixel_scale(instrument: Instrument, info: FrameInfo) -> float:
    """Arcsec per pixel of a frame's file, the mean of both axes, by the scale that held at its time.

    Raises
    ------
    HeaderError
        The scale changed, and none is declared for the frame's time.
    """
    camera = camera_named(instrument, info.camera)
    name = f"pixel_scale of camera {camera.name!r}"
    scale = value_at(camera.pixel_scale, info.mid_time, name=name, frame=info.path.name)
    return float(u.Quantity(scale).to_value(u.arcsec / u.pix) * np.sqrt(info.binning[0] * info.binning[1]))


def camera_by_header(instrument: Instrument, header: RawHeader) -> Camera:
    """The camera that took a frame: by its card, else by the band, else by folder or file name.

    Raises
    ------
    HeaderError
        None of them tells.
    """
    cameras = instrument.cameras
    if len(cameras) == 1:
        return cameras[0]
    says = str(read_keyword(instrument, "camera", header, optional=True) or "").lower()
    band = instrument.band_of(header, None)
    for found in (
        [c for c in cameras if says and says in (c.name.lower(), *map(str.lower, c.ids))],
        [c for c in cameras if band and band in c.bands],
        [c for c in cameras if c.folder and re.search(c.folder, header.inside, re.IGNORECASE)],
    ):
        if len(found) == 1:
            return found[0]
    looked_at = [k for q, k in instrument.keywords.items().items() if q in ("camera", "band")]
    cards = [f"{card}: {header.get(card, 'absent')}" for keyword in looked_at for card in keyword.cards]
    raise HeaderError(
        f"{header.path.name}: its header does not say which of {', '.join(c.name for c in cameras)} took it"
        f" ({'; '.join(cards)}); the frame is rejected (or name it in the camera column of night.ecsv)"
    )
