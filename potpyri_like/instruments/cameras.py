"""What a camera is made of: scale, bands, amplifiers; and how one raw file of it is laid out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import astropy.units as u
from astropy.coordinates import EarthLocation

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.imaging import Section, parse_section
from potpyri_like.instruments.keywords import Keyword

__all__ = ["Amplifier", "Camera", "Layout", "Readout"]


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
    gain, read_noise : Quantity, Keyword or None
    """

    hdu: int
    data_section: str | Keyword | None = None
    overscan_section: str | Keyword | None = None
    x0: int
    y0: int
    flip_x: bool = False
    flip_y: bool = False
    gain: u.Quantity | Keyword | None = None
    read_noise: u.Quantity | Keyword | None = None

    def __post_init__(self) -> None:
        check_amplifier(f"Amplifier of HDU {self.hdu}", self, optional=True)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """One camera of an instrument. Constants carry units and have no defaults.

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
    rotation, centre : Quantity, (float, float)
        Relative to the first camera: the angle of its field, counter-clockwise in the array, and where the
        first camera's centre falls, in unbinned pixels from this one's.
    flipped : bool
        It sees the field mirrored in x, relative to the first camera.
    amplifiers : tuple of Amplifier
        For an image that is read through several; () for one.
    dark_current : Quantity or None
        electron/s of an unbinned pixel; only simulated nights use it.
    site : EarthLocation or None
        Where it stands, if not at the instrument's site.
    """

    name: str
    pixel_scale: u.Quantity
    gain: u.Quantity | Keyword
    read_noise: u.Quantity | Keyword
    saturation: u.Quantity | Keyword
    data_section: str | Keyword | None = None
    overscan_section: str | Keyword | None = None
    bands: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    folder: str = ""
    size: tuple[int, int] | None = None
    pedestal: u.Quantity | None = None
    pedestal_error: u.Quantity | None = None
    binned_after_reading: bool = False
    rotation: u.Quantity = 0 * u.deg
    centre: tuple[float, float] = (0.0, 0.0)
    flipped: bool = False
    amplifiers: tuple[Amplifier, ...] = ()
    dark_current: u.Quantity | None = None
    site: EarthLocation | None = None

    def __post_init__(self) -> None:
        where = f"Camera {self.name!r}"
        check_unit(where, "pixel_scale", self.pixel_scale, u.arcsec / u.pix)
        check_unit(where, "saturation", self.saturation, u.adu, card=True)
        for name, unit in {
            "pedestal": u.adu,
            "pedestal_error": u.adu,
            "rotation": u.deg,
            "dark_current": u.electron / u.s,
        }.items():
            if getattr(self, name) is not None:
                check_unit(where, name, getattr(self, name), unit)
        check_amplifier(where, self)
        check_pattern(where, "folder", self.folder)
        self.check_size(where)

    def check_size(self, where: str) -> None:
        """A declared data section fits the size that is declared beside it."""
        if isinstance(self.data_section, str) and self.size is not None:
            rows, columns = parse_section(self.data_section).shape
            if (columns, rows) != tuple(self.size):
                raise DeclarationError(
                    f"{where}: data_section = {self.data_section!r} has {columns} x {rows} pixels,"
                    f" size says {self.size}"
                )


@dataclass(frozen=True)
class Readout:
    """One amplifier in one file: numbers, no longer cards.

    Attributes
    ----------
    hdu : int
    data, overscan : Section, Section or None
    gain : float
        electron/adu
    read_noise : float
        electron, of a pixel as it is in the file.
    saturation : float
        adu
    x0, y0 : int
        Place of its lower left pixel in the assembled image, in pixels of the file.
    flip_x, flip_y : bool
    """

    hdu: int
    data: Section
    overscan: Section | None
    gain: float
    read_noise: float
    saturation: float
    x0: int = 0
    y0: int = 0
    flip_x: bool = False
    flip_y: bool = False


@dataclass(frozen=True)
class Layout:
    """How the image of one file is put together.

    Attributes
    ----------
    shape : (int, int)
        Rows, columns of the assembled image.
    readouts : tuple of Readout
    """

    shape: tuple[int, int]
    readouts: tuple[Readout, ...]

    @property
    def has_overscan(self) -> bool:
        return all(readout.overscan is not None for readout in self.readouts)


def check_amplifier(where: str, declared: Any, *, optional: bool = False) -> None:
    """Raise a DeclarationError unless gain, read noise and sections are of the right sort."""
    for name, unit in {"gain": u.electron / u.adu, "read_noise": u.electron}.items():
        value = getattr(declared, name)
        if value is not None or not optional:
            check_unit(where, name, value, unit, card=True)
    for name in ("data_section", "overscan_section"):
        check_section(where, name, getattr(declared, name))


def check_unit(where: str, name: str, value: Any, unit: u.UnitBase, *, card: bool = False) -> None:
    """Raise a DeclarationError unless this is a quantity of that unit or, where allowed, a card of it."""
    if isinstance(value, Keyword) and not card:
        raise DeclarationError(f"{where}: {name} = {value!r} is a card; give a number in {unit}")
    if isinstance(value, Keyword) and value.optional:
        raise DeclarationError(
            f"{where}: {name} = {value!r} is optional; a frame without {name} has no errors"
        )
    found = value.unit if isinstance(value, Keyword | u.Quantity) else None
    if found is None or not found.is_equivalent(unit):
        got = "no unit" if found is None else f"the unit {found}"
        shown = str(value) if isinstance(value, u.Quantity) else repr(value)
        raise DeclarationError(f"{where}: {name} = {shown} has {got}; give it in {unit}")


def check_section(where: str, name: str, section: Any) -> None:
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
        raise DeclarationError(f"{where}: {name} = {pattern!r} is no regular expression: {error}") from error
