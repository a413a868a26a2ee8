"""The contract of an instrument: header keywords, trimming, calibration and the 3x3 filter."""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
from astropy.coordinates import FK5, ICRS, BaseCoordinateFrame, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time, TimeDelta
from astropy.wcs import WCS

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.header import RawHeader
from potpyri_like.imaging import Section, parse_section
from potpyri_like.instruments.cameras import Amplifier, Camera, Layout, Readout, check_unit
from potpyri_like.instruments.celestial import celestial_wcs
from potpyri_like.instruments.clock import Reading, open_shutter, read_time
from potpyri_like.instruments.keywords import HeaderKeywords, Keyword
from potpyri_like.instruments.pointing import Direction, frame_of_cards, read_direction, sky
from potpyri_like.instruments.rules import Rule, rules_from_table

__all__ = ["Calibration", "Instrument", "PixelFilter"]

# What reading a header may raise where it says what nobody thought of.
FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
LONGEST_EXPOSURE = 86400  # s
MOST_BINNED = 64


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How an instrument's frames are calibrated.

    Attributes
    ----------
    bias, dark, flat : bool
        Frames that its nights should hold: where they do not, the run says so. What is there is used.
    combine : str
        "clipped mean" or, a quarter noisier, "median": how the masters are made.
    overscan_degree : int or None
        Degree of the polynomial in row number fitted to the overscan; None: one level for the frame.
    flat_floor : float
        Pixels with less than this part of the typical light (dust, vignetting) are masked.
    """

    bias: bool = True
    dark: bool = True
    flat: bool = True
    combine: str = "clipped mean"
    overscan_degree: int | None = None
    flat_floor: float = 0.5

    def __post_init__(self) -> None:
        if self.combine not in ("median", "clipped mean"):
            raise DeclarationError(
                f"Calibration: combine = {self.combine!r}; it is 'median' or 'clipped mean'"
            )


@dataclass(frozen=True)
class PixelFilter:
    """The 3x3 filter against warm pixels.

    Attributes
    ----------
    mode : str
        "median": the median of nine, everywhere; "selective": only pixels far above their neighbours; "none".
    minimum_exposure : Quantity or None
        Shorter science exposures are not filtered, nor are the calibrations that go with them.
    binned : str or None
        The mode for binned frames, whose stars are too sharp for the median of nine; None: the same.
    """

    mode: str
    minimum_exposure: u.Quantity | None = None
    binned: str | None = None

    MODES: ClassVar[tuple[str, ...]] = ("median", "selective", "none")

    def __post_init__(self) -> None:
        for name, mode in (("mode", self.mode), ("binned", self.binned or self.mode)):
            if mode not in self.MODES:
                raise DeclarationError(
                    f"PixelFilter: {name} = {mode!r}; it is one of {', '.join(self.MODES)}"
                )
        if self.minimum_exposure is not None:
            check_unit("PixelFilter", "minimum_exposure", self.minimum_exposure, u.s)

    def for_frames(self, exposure: u.Quantity, binning: tuple[int, int] = (1, 1)) -> str:
        """The mode for science frames of this exposure and binning, and for their calibrations."""
        if self.minimum_exposure is not None and exposure < self.minimum_exposure:
            return "none"
        return self.binned or self.mode if max(binning) > 1 else self.mode


class Instrument(ABC):
    """What the software has to know of an instrument; a subclass states it, mostly in tables.

    A subclass is checked when it is made: what it lacks, or what contradicts itself, is a DeclarationError
    on the author's own line. ``class Family(Instrument, abstract=True)`` leaves a family of instruments
    unchecked.

    Attributes
    ----------
    name : str
        Upper case; the word on the command line.
    keywords : HeaderKeywords
        Which card holds which quantity.
    kinds : mapping of str to FrameKind, or tuple of Rule
        What the `kind` card says of each kind of frame; or rules, the first that applies decides.
    cameras : tuple of Camera
    site : EarthLocation
    telescope_diameter : Quantity or None
        Of the primary mirror, for scintillation.
    band_names : mapping of str to str
        Our name for a filter's name in the header; filters not listed keep theirs.
    calibration : Calibration
    pixel_filter : PixelFilter
    recipe : str
        The recipe for its nights: "timeseries" or "imaging".
    time_scale : str or None
        "utc" where its clock is UTC whatever TIMESYS says; None: TIMESYS is obeyed, UTC where there is none.
    """

    name: ClassVar[str]

    # header keywords
    keywords: ClassVar[HeaderKeywords]
    kinds: ClassVar[Mapping[str, FrameKind] | tuple[Rule, ...]]
    band_names: ClassVar[Mapping[str, str]] = {}
    # trimming
    cameras: ClassVar[tuple[Camera, ...]]
    # calibration
    calibration: ClassVar[Calibration] = Calibration()
    # the 3x3 filter
    pixel_filter: ClassVar[PixelFilter] = PixelFilter("none")
    # place and habits
    site: ClassVar[EarthLocation]
    telescope_diameter: ClassVar[u.Quantity | None] = None
    recipe: ClassVar[str] = "timeseries"
    time_scale: ClassVar[str | None] = None

    rules: ClassVar[tuple[Rule, ...]] = ()

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        super().__init_subclass__()
        if not abstract:
            check_declaration(cls)
            cls.rules = declared_rules(cls)

    # -- header keywords -----------------------------------------------------------------------------------

    @abstractmethod
    def mid_time(self, header: RawHeader, exposure: u.Quantity) -> Time:
        """The middle of the exposure, UTC, to the millisecond where the header allows it.

        Raises
        ------
        HeaderError, KeyError or ValueError
            The header does not tell; the frame is left out.
        """

    def time_cards(self, start: Time, exposure: u.Quantity) -> dict[str, Any]:
        """The cards that `mid_time` reads, for an exposure that began at `start`: its inverse."""
        return {"DATE-OBS": start.utc.isot}

    def plane_time(self, header: RawHeader, exposure: u.Quantity, plane: int) -> Time:
        """The middle of the exposure of one plane of a cube; planes follow each other without a pause."""
        return self.mid_time(header, exposure) + TimeDelta(plane * exposure)

    def describe(
        self,
        header: RawHeader,
        *,
        kind: FrameKind | None = None,
        camera: str | None = None,
        band: str | None = None,
        target: str | None = None,
    ) -> tuple[FrameInfo, ...]:
        """What a raw file is, in our words: one description, or one for each plane of a cube.

        Parameters
        ----------
        header : RawHeader
        kind, camera, band, target : optional
            What the observer says it is, whatever the header says.

        Raises
        ------
        HeaderError
            The file cannot be used; the message says why.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd values are ours to tell
                return self.frames_in(header, kind=kind, camera=camera, band=band, target=target)
        except FAULTS as error:
            raise HeaderError(
                f"{header.path.name}: {self.name} cannot make sense of its header"
                f" ({type(error).__name__}: {error}); the frame is left out"
            ) from error

    def frames_in(
        self,
        header: RawHeader,
        *,
        kind: FrameKind | None,
        camera: str | None,
        band: str | None,
        target: str | None,
    ) -> tuple[FrameInfo, ...]:
        """`describe`, as long as nothing unforeseen is in the header."""
        what, because = self.kind_wanted(header, kind)
        exposure = self.exposure_of(header, what)
        which = self.camera_wanted(header, camera)
        *planes, rows, columns = header.image_shape
        lit = what in (FrameKind.SCIENCE, FrameKind.FLAT)
        reading = self.time_of(header, exposure, what)
        info = FrameInfo(
            path=header.path,
            inside=header.inside,
            kind=what,
            camera=which.name,
            band=(band or self.band_of(header, which)) if lit else "",
            target=(target or self.target_of(header)) if what is FrameKind.SCIENCE else "",
            binning=self.binning_of(header),
            exposure=exposure,
            mid_time=None if reading is None or planes else reading.time,
            shape=(rows, columns),
            pointing=self.pointing_of(header),
            readout=self.readout_of(header),
            clock=self.clock_of(header),
            decided_by=because,
            notes=tuple(self.notes_on(header, which, what, reading)),
        )
        return self.planes_of(info, int(np.prod(planes)), reading) if planes else (info,)

    def notes_on(
        self, header: RawHeader, camera: Camera, kind: FrameKind, reading: Reading | None
    ) -> Iterator[str]:
        """What is remarkable about a frame: the instrument's own remarks, and what the cards in general say."""
        yield from self.remarks(header, camera)
        if kind is FrameKind.SCIENCE:
            yield from filter(None, (open_shutter(header, self.keywords.exposure).note,))
            yield from reading.notes if reading is not None else ()
            yield from filter(None, (self.direction_of(header).note,))

    def planes_of(self, info: FrameInfo, number: int, reading: Reading | None) -> tuple[FrameInfo, ...]:
        """The planes of a cube, each with its own time."""
        if reading is None:
            return tuple(replace(info, plane=plane) for plane in range(number))
        exposure = np.nan_to_num(info.exposure)
        first = self.plane_time(reading.header, exposure, 0)
        return tuple(
            replace(
                info,
                plane=plane,
                mid_time=reading.time + (self.plane_time(reading.header, exposure, plane) - first),
            )
            for plane in range(number)
        )

    def settle(self, infos: tuple[FrameInfo, ...]) -> tuple[FrameInfo, ...]:
        """A second look at all frames of a night together, for what one header alone cannot tell."""
        return infos

    def kind_of(self, header: RawHeader) -> tuple[FrameKind, str]:
        """The kind of the frame and the rule that decided it."""
        for rule in self.rules:
            if rule.when(header):
                return rule.kind, f"{rule.why}: {rule.when}" if rule.why else str(rule.when)
        card = self.keywords.kind
        says = f" ({' or '.join(card.cards)}: {self.read('kind', header, optional=True)})" if card else ""
        raise HeaderError(
            f"{header.path.name}: no rule of {self.name} says what kind of frame this is{says};"
            " the frame is left out (say what it is in the kind column of night.ecsv)"
        )

    def kind_wanted(self, header: RawHeader, wanted: FrameKind | None) -> tuple[FrameKind, str]:
        """The kind that the observer wants the frame to be, else that of the rules, and what decided it."""
        try:
            found, because = self.kind_of(header)
        except HeaderError:
            if wanted is None:
                raise
            found, because = wanted, "edited by hand"
        return (found, because) if wanted in (None, found) else (wanted, "edited by hand")

    def exposure_of(self, header: RawHeader, kind: FrameKind) -> u.Quantity:
        """The open-shutter time; 0 for a bias, NaN for a flat whose header lacks it."""
        may_lack = {FrameKind.BIAS: 0 * u.s, FrameKind.FLAT: np.nan * u.s, FrameKind.OTHER: np.nan * u.s}
        seconds = open_shutter(header, self.keywords.exposure).seconds
        exposure = (
            self.read("exposure", header, optional=kind in may_lack) if seconds is None else seconds * u.s
        )
        if exposure is None and kind in may_lack:
            return may_lack[kind]
        cards = " and ".join(self.keywords.exposure.cards)
        if not isinstance(exposure, u.Quantity) or not 0 <= exposure.to_value(u.s) < LONGEST_EXPOSURE:
            raise HeaderError(
                f"{header.path.name}: an exposure of {exposure} ({cards}) cannot be; the frame is left out"
            )
        if kind is FrameKind.SCIENCE and exposure == 0:
            raise HeaderError(
                f"{header.path.name}: an exposure of 0 s ({cards}) of a science frame cannot be; the frame is left out"
                " (if it is a bias, say so in the kind column of night.ecsv)"
            )
        return exposure.to(u.s)

    def time_of(self, header: RawHeader, exposure: u.Quantity, kind: FrameKind) -> Reading | None:
        """The mid-time of a frame, or of the first plane of a cube; None for a calibration frame without one."""
        duration = exposure if np.isfinite(exposure) else 0 * u.s

        def first(header: RawHeader, exposure: u.Quantity) -> Time:
            return self.plane_time(header, exposure, 0)

        read = first if len(header.image_shape) > 2 else self.mid_time
        try:
            return read_time(
                read, header, duration, scale=self.time_scale, longitude=self.site.lon.wrap_at("180d").deg
            )
        except (HeaderError, *FAULTS) as error:
            if kind is not FrameKind.SCIENCE:
                return None
            missing = f"no {error} card" if isinstance(error, KeyError) else str(error)
            raise HeaderError(
                f"{header.path.name}: no believable time in the header ({missing}); the frame is left out"
            ) from error

    def camera_of(self, header: RawHeader) -> Camera:
        """The camera that took the frame: by its card, else by the band, else by folder or file name."""
        if len(self.cameras) == 1:
            return self.cameras[0]
        says = str(self.read("camera", header, optional=True) or "").lower()
        band = self.band_of(header, None)
        for fits_ in (
            [c for c in self.cameras if says and says in (c.name.lower(), *map(str.lower, c.ids))],
            [c for c in self.cameras if band and band in c.bands],
            [c for c in self.cameras if c.folder and re.search(c.folder, header.inside, re.IGNORECASE)],
        ):
            if len(fits_) == 1:
                return fits_[0]
        looked_at = [k for q, k in self.keywords.items().items() if q in ("camera", "band")]
        found = [f"{card}: {header.get(card, 'absent')}" for keyword in looked_at for card in keyword.cards]
        raise HeaderError(
            f"{header.path.name}: it does not tell which of {', '.join(c.name for c in self.cameras)} took it"
            f" ({'; '.join(found)}); the frame is left out (or name it in the camera column of night.ecsv)"
        )

    def camera_wanted(self, header: RawHeader, wanted: str | None) -> Camera:
        """The camera that the observer says took the frame, else that of the header."""
        if not wanted:
            return self.camera_of(header)
        try:
            return self.camera_named(wanted)
        except HeaderError as error:
            raise HeaderError(f"{header.path.name}: {error}; the frame is left out") from error

    def camera_named(self, name: str) -> Camera:
        """The camera of that name.

        Raises
        ------
        HeaderError
            There is none.
        """
        for camera in self.cameras:
            if camera.name.lower() == name.lower():
                return camera
        raise HeaderError(
            f"{self.name} has no camera {name!r}: it has {', '.join(c.name for c in self.cameras)}"
        )

    def site_of(self, camera: str) -> EarthLocation:
        """Where that camera stands."""
        own = self.camera_named(camera).site
        return self.site if own is None else own

    def band_of(self, header: RawHeader, camera: Camera | None) -> str:
        """The band, by our name for it; the camera's only one where the header does not tell."""
        says = str(self.read("band", header, optional=True) or "")
        if not says and camera is not None and len(camera.bands) == 1:
            return camera.bands[0]
        return self.band_names.get(says, says)

    def target_of(self, header: RawHeader) -> str:
        """What the observer called the target; "" where the header does not tell."""
        return str(self.read("target", header, optional=True) or "")

    def binning_of(self, header: RawHeader) -> tuple[int, int]:
        """Columns and rows that were added on the chip; (1, 1) where the header does not tell."""
        says = self.read("binning", header, optional=True)
        if says is None:
            return (1, 1)
        factors = [int(n) for n in re.findall(r"\d{1,20}", str(says))]
        if len(factors) == 1:
            factors = factors * 2 if factors[0] < 10 else [factors[0] // 10, factors[0] % 10]
        return check_binning(header, says, factors)

    def pointing_of(self, header: RawHeader) -> SkyCoord | None:
        """Where the telescope looked, ICRS; None where the header says nothing believable."""
        frame = self.equinox_of(header)
        return None if frame is None else sky(self.direction_of(header), frame)

    def direction_of(self, header: RawHeader) -> Direction:
        """What the `ra` and `dec` cards say, as the other cards bear it out."""
        return read_direction(header, self.keywords.ra, self.keywords.dec)

    def equinox_of(self, header: RawHeader) -> BaseCoordinateFrame | None:
        """The frame of the coordinates: FK5 of the declared equinox; None where it cannot be.

        Where no equinox is declared, RADESYS, EQUINOX and EPOCH tell; where these are absent, too, it is ICRS.
        """
        if self.keywords.equinox is None:
            return frame_of_cards(header)
        equinox = self.read("equinox", header, optional=True)
        if equinox is None:
            return ICRS()
        year = float(u.Quantity(equinox, u.yr).value)
        return FK5(equinox=Time(year, format="jyear")) if 1850 < year < 2150 else None

    def readout_of(self, header: RawHeader) -> str:
        """What calibrations must share besides camera, binning and shape: mode, region, amplifiers."""
        return ""

    def clock_of(self, header: RawHeader) -> str:
        """What set the time: "GPS", "NTP", "PC"; "" where it is not known."""
        return ""

    def remarks(self, header: RawHeader, camera: Camera) -> Iterable[str]:
        """What was guessed, repaired or doubted about a frame, in sentences."""
        return ()

    def read(self, quantity: str, header: RawHeader, *, optional: bool = False) -> Any:
        """The value of a declared keyword; None where none is declared, or where it may be absent and is.

        Raises
        ------
        HeaderError
            The card is missing; the message says what to do.
        """
        keyword = getattr(self.keywords, quantity)
        if keyword is None:
            return None
        try:
            return keyword.read(header)
        except HeaderError as error:
            if optional:
                return None
            raise HeaderError(
                f"{error}, which {self.name} frames need; the frame is left out"
                f" (reduce instruments {self.name} lists the cards)"
            ) from error

    # -- trimming ------------------------------------------------------------------------------------------

    def layout(self, header: RawHeader, camera: Camera | None = None) -> Layout:
        """Where in the file the pixels of the image are, amplifier by amplifier.

        Parameters
        ----------
        header : RawHeader
        camera : Camera, optional
            That took the frame, where the header does not tell.

        Raises
        ------
        HeaderError
            A card that the declaration needs is missing.
        """
        camera, binning = camera or self.camera_of(header), self.binning_of(header)
        if not camera.amplifiers:
            readout = resolve_readout(header, header.images[0], camera, camera, binning)
            return Layout(readout.data.shape, (readout,))
        readouts = tuple(resolve_readout(header, a.hdu, camera, a, binning) for a in camera.amplifiers)
        rows = max(r.y0 + r.data.shape[0] for r in readouts)
        columns = max(r.x0 + r.data.shape[1] for r in readouts)
        return Layout((rows, columns), readouts)

    def image_hdus(self, header: RawHeader, camera: Camera | None = None) -> tuple[int, ...]:
        """The HDUs that the image is made of."""
        return tuple(dict.fromkeys(readout.hdu for readout in self.layout(header, camera).readouts))

    def pedestal(self, header: RawHeader, camera: Camera | None = None) -> tuple[float, float]:
        """Level and its uncertainty, adu, to subtract where a night has neither overscan nor bias frames."""
        camera = camera or self.camera_of(header)
        level, error = camera.pedestal, camera.pedestal_error
        return (
            0.0 if level is None else float(level.to_value(u.adu)),
            0.0 if error is None else float(error.to_value(u.adu)),
        )

    def is_filtered(self, info: FrameInfo) -> bool:
        """Whether the frame went through a 3x3 filter before we got it."""
        return False

    def pixel_scale(self, info: FrameInfo) -> float:
        """Arcsec per pixel of the file (the mean of both axes)."""
        unbinned = self.camera_named(info.camera).pixel_scale.to_value(u.arcsec / u.pix)
        return float(unbinned * np.sqrt(info.binning[0] * info.binning[1]))

    def wcs(self, header: RawHeader, layout: Layout) -> WCS | None:
        """The celestial coordinates of the trimmed image, if the header has them; else None."""
        return None if len(layout.readouts) > 1 else celestial_wcs(header, layout.readouts[0]).wcs

    def wcs_trouble(self, header: RawHeader, layout: Layout) -> str:
        """Why the celestial coordinates that a header has are not used; "" where they are, or where it has none."""
        found = celestial_wcs(header, layout.readouts[0])
        if len(layout.readouts) == 1 or found == (None, ""):
            return found.why
        return f"the image is put together from {len(layout.readouts)} amplifiers, each with coordinates of its own"

    # -- frames that a simulated night is made of ------------------------------------------------------------

    def cards(self, info: FrameInfo) -> dict[str, Any]:
        """The primary cards that a frame so described has: `describe` read backwards."""
        rule = next((rule for rule in self.rules if rule.kind is info.kind), None)
        of_kind = rule.when.example() if rule else {}
        values, declared = self.values(info), self.keywords.items()
        cards = declared["target"].write(values.pop("target")) if "target" in declared else {}
        cards |= of_kind  # of the target's name a rule may know the kind
        for quantity, value in values.items():
            if quantity in declared:
                cards |= declared[quantity].write(value)
        if info.mid_time is not None:
            cards |= self.time_cards(info.mid_time - info.exposure / 2, info.exposure)
        return cards

    def values(self, info: FrameInfo) -> dict[str, Any]:
        """The quantities of a frame so described, as its cards say them."""
        camera = self.camera_named(info.camera)
        values: dict[str, Any] = {
            "exposure": info.exposure,
            "band": next((raw for raw, ours in self.band_names.items() if ours == info.band), info.band),
            "target": info.target or str(info.kind),
            "camera": camera.ids[0] if camera.ids else camera.name,
            "binning": f"{info.binning[0]}x{info.binning[1]}",
        }
        return values if info.pointing is None else values | self.pointing_values(info.pointing)

    def pointing_values(self, pointing: SkyCoord) -> dict[str, Any]:
        """What the `ra` and `dec` cards of a frame say that looked there."""
        text: dict[str, Any] = {
            "ra": pointing.ra.to_string(u.hour, sep=":", precision=3, pad=True),
            "dec": pointing.dec.to_string(u.deg, sep=":", precision=2, pad=True, alwayssign=True),
        }
        for axis, value in (("ra", pointing.ra), ("dec", pointing.dec)):
            keyword = getattr(self.keywords, axis)
            if isinstance(keyword, Keyword) and keyword.unit is not None:
                text[axis] = value
        return text | ({"equinox": 2000 * u.yr} if self.keywords.equinox is not None else {})

    def blank(self, camera: Camera, *, size: tuple[int, int], binning: tuple[int, int]) -> list[fits.Header]:
        """The headers of a raw file without pixels: one for each HDU, with NAXIS1 and NAXIS2 for an image.

        Parameters
        ----------
        size : (int, int)
            Columns, rows of the image; where the declaration fixes them, that is used.
        """
        amplifiers = camera.amplifiers or (camera,)
        headers = [fits.Header() for _ in range(1 + max(getattr(a, "hdu", 0) for a in amplifiers))]
        for amplifier in amplifiers:
            blank_amplifier(headers[getattr(amplifier, "hdu", 0)], camera, amplifier, size, binning)
        return headers


def check_binning(header: RawHeader, says: Any, factors: list[int]) -> tuple[int, int]:
    """Columns and rows that were added.

    Raises
    ------
    HeaderError
        That cannot be.
    """
    if len(factors) != 2 or not all(1 <= factor <= MOST_BINNED for factor in factors):
        raise HeaderError(
            f"{header.path.name}: a binning of {says!r} is not understood; the frame is left out"
        )
    return factors[0], factors[1]


def check_declaration(cls: type[Instrument]) -> None:
    """Raise a DeclarationError for what an instrument lacks or says wrongly."""
    for attribute, what in {
        "name": "the word on the command line",
        "keywords": "HeaderKeywords(exposure=Keyword('EXPTIME', u.s), ...)",
        "kinds": "{'light': FrameKind.SCIENCE, ...} or a tuple of Rule",
        "cameras": "(Camera(name='main', ...),)",
        "site": "EarthLocation.from_geodetic(...)",
    }.items():
        if getattr(cls, attribute, None) is None:
            raise DeclarationError(f"{cls.__name__}: {attribute} is not declared; give {what}")
    if getattr(cls.mid_time, "__isabstractmethod__", False):
        raise DeclarationError(f"{cls.__name__}: mid_time is not defined; no default would be honest")
    check_types(cls)
    check_cameras(cls)


def check_types(cls: type[Instrument]) -> None:
    """What is declared is of the right sort."""
    for attribute, wanted in {
        "name": str,
        "keywords": HeaderKeywords,
        "kinds": (Mapping, list, tuple),
        "band_names": Mapping,
        "cameras": (list, tuple),
        "calibration": Calibration,
        "pixel_filter": PixelFilter,
        "site": EarthLocation,
    }.items():
        value = getattr(cls, attribute)
        if not isinstance(value, wanted):
            names = " or ".join(w.__name__ for w in (wanted if isinstance(wanted, tuple) else (wanted,)))
            comma = "; a tuple of one needs a comma, (x,)" if attribute in ("cameras", "kinds") else ""
            raise DeclarationError(f"{cls.__name__}: {attribute} = {value!r} is not of type {names}{comma}")
    if not re.fullmatch(r"[A-Z][A-Z0-9_-]*", cls.name):
        raise DeclarationError(
            f"{cls.__name__}: name = {cls.name!r}; give capital letters and digits, as in 'TOY'"
        )
    if not re.fullmatch(r"[A-Za-z][\w-]*", str(cls.recipe)):
        raise DeclarationError(f"{cls.__name__}: recipe = {cls.recipe!r}; give the name of a recipe")
    if cls.telescope_diameter is not None:
        check_unit(cls.__name__, "telescope_diameter", cls.telescope_diameter, u.m)


def check_cameras(cls: type[Instrument]) -> None:
    """There are cameras, with different names, and a header or a path can tell them apart."""
    if not cls.cameras or not all(isinstance(camera, Camera) for camera in cls.cameras):
        raise DeclarationError(
            f"{cls.__name__}: cameras = {cls.cameras!r}; give a tuple of Camera, (Camera(...),)"
        )
    names = [camera.name for camera in cls.cameras]
    if len({name.casefold() for name in names}) < len(names):
        raise DeclarationError(f"{cls.__name__}: two cameras have one name among {', '.join(names)}")
    alike = [camera.name for camera in cls.cameras if not camera.bands and not camera.folder]
    if len(names) > 1 and alike and cls.keywords.camera is None:
        raise DeclarationError(
            f"{cls.__name__}: nothing tells camera {alike[0]} from the others; declare keywords' camera card,"
            " or its bands, or its folder"
        )


def declared_rules(cls: type[Instrument]) -> tuple[Rule, ...]:
    """The rules that decide the kind of a frame; those of a table look at the `kind` card."""
    if not cls.kinds:
        raise DeclarationError(f"{cls.__name__}: kinds is empty; no frame would be of any kind")
    if not isinstance(cls.kinds, Mapping):
        if not all(isinstance(rule, Rule) for rule in cls.kinds):
            raise DeclarationError(f"{cls.__name__}: kinds is neither a table nor a tuple of Rule")
        return tuple(cls.kinds)
    if not isinstance(cls.keywords.kind, Keyword):
        raise DeclarationError(
            f"{cls.__name__}: kinds is a table, so keywords needs kind=Keyword('IMAGETYP')"
        )
    try:
        return rules_from_table(cls.keywords.kind.card, cls.kinds)
    except DeclarationError as error:
        raise DeclarationError(f"{cls.__name__}: kinds: {error}") from error


def resolve_readout(
    header: RawHeader, hdu: int, camera: Camera, declared: Camera | Amplifier, binning: tuple[int, int]
) -> Readout:
    """An amplifier's numbers, from the declaration and the header of its HDU."""
    own = header.of(hdu)
    gain = declared.gain if declared.gain is not None else camera.gain
    noise = declared.read_noise if declared.read_noise is not None else camera.read_noise
    read_noise = resolve(noise, own, u.electron)
    if camera.binned_after_reading:
        read_noise *= float(np.sqrt(binning[0] * binning[1]))
    shape = int(header.hdus[hdu]["NAXIS2"]), int(header.hdus[hdu]["NAXIS1"])
    data = resolve_section(declared.data_section or camera.data_section, own, binning)
    overscan = resolve_section(declared.overscan_section or camera.overscan_section, own, binning)
    data = data or Section(0, shape[1], 0, shape[0])
    for name, section in (("data", data), ("overscan", overscan)):
        if section is not None and not section.inside(shape):
            raise HeaderError(
                f"{header.path.name}: the {name} section {section.fits()} leaves the image of"
                f" {shape[1]} x {shape[0]} pixels; the frame is left out"
            )
    return Readout(
        hdu=hdu,
        data=data,
        overscan=overscan,
        gain=resolve(gain, own, u.electron / u.adu),
        read_noise=read_noise,
        saturation=resolve(camera.saturation, own, u.adu),
        x0=getattr(declared, "x0", 0) // binning[0],
        y0=getattr(declared, "y0", 0) // binning[1],
        flip_x=getattr(declared, "flip_x", False),
        flip_y=getattr(declared, "flip_y", False),
    )


def resolve(declared: u.Quantity | Keyword, header: RawHeader, unit: u.UnitBase) -> float:
    """A constant's number in that unit, from the header where the declaration says so."""
    quantity = declared.read(header) if isinstance(declared, Keyword) else declared
    return float(quantity.to_value(unit))


def resolve_section(
    declared: str | Keyword | None, header: RawHeader, binning: tuple[int, int]
) -> Section | None:
    """A section in pixels of the file; None where there is none."""
    if declared is None:
        return None
    if isinstance(declared, str):
        return parse_section(declared).binned(*binning)
    text = declared.read(header)
    try:
        return None if text is None else parse_section(text)
    except HeaderError as error:
        cards = " or ".join(declared.cards)
        raise HeaderError(f"{header.path.name}: {cards}: {error}; the frame is left out") from error


def blank_amplifier(
    header: fits.Header,
    camera: Camera,
    declared: Camera | Amplifier,
    size: tuple[int, int],
    binning: tuple[int, int],
) -> None:
    """Fill in NAXIS1, NAXIS2 and the cards that an amplifier's declaration names."""
    data_section = declared.data_section or camera.data_section
    overscan_section = declared.overscan_section or camera.overscan_section
    left, low, (columns, rows) = header.get("NAXIS1", 0), header.get("NAXIS2", 0), size
    if isinstance(data_section, str):  # several amplifiers may share an image
        texts = [text for text in (data_section, overscan_section) if isinstance(text, str)]
        sections = [parse_section(text).binned(*binning) for text in texts]
        columns, rows = max(left, *(s.x1 for s in sections)), max(low, *(s.y1 for s in sections))
    elif isinstance(data_section, Keyword):
        header[data_section.card] = f"[{left + 1}:{left + columns},1:{rows}]"
        columns += left
        if isinstance(overscan_section, Keyword):
            header[overscan_section.card] = f"[{columns + 1}:{columns + 32},1:{rows}]"
            columns += 32
    header["NAXIS1"], header["NAXIS2"] = columns, rows
    for quantity, typical in (("gain", 1.5), ("read_noise", 5.0), ("saturation", 60000.0)):
        own = getattr(declared, quantity, None)
        value = getattr(camera, quantity) if own is None else own
        if isinstance(value, Keyword):
            header[value.card] = typical
