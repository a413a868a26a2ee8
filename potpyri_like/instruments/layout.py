"""Where in a raw file the pixels of the image are, amplifier by amplifier, and what each of them is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from potpyri_like.errors import HeaderError
from potpyri_like.imaging import Section, parse_section, says_nothing
from potpyri_like.instruments.dates import Constant
from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.keywords import Keyword, Value
from potpyri_like.store.header import CardValue, RawHeader, as_number, card_value

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument
    from potpyri_like.instruments.cameras import Amplifier, Camera

__all__ = [
    "Layout",
    "Readout",
    "data_section",
    "image_hdus",
    "is_unlimited",
    "laid_out",
    "largest",
    "with_image",
]


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
    origin : (int, int)
        Column and row of the detector at which the image begins, from 0, in pixels of the file: (0, 0) unless its
        amplifiers are placed by their headers.
    """

    shape: tuple[int, int]
    readouts: tuple[Readout, ...]
    origin: tuple[int, int] = (0, 0)

    @property
    def has_overscan(self) -> bool:
        return all(readout.overscan is not None for readout in self.readouts)

    @property
    def places(self) -> tuple[tuple[int, int, int, int], ...]:
        """Of each readout: first column and row on the detector, from 0, columns, rows, in pixels of the file."""
        (left, low), readouts = self.origin, self.readouts
        return tuple((left + r.x0, low + r.y0, *r.data.shape[::-1]) for r in readouts)


def laid_out(header: RawHeader, camera: Camera, binning: tuple[int, int]) -> Layout:
    """The layout of a file that a camera wrote, its declared sections and constants brought to numbers.

    Parameters
    ----------
    header : RawHeader
    camera : Camera
        As it was at the time (`camera_at`), with the amplifiers that the file holds; without any, the image (see
        `with_image`) is read through one.
    binning : (int, int)
        Columns, rows.

    Raises
    ------
    HeaderError
        A card that the declaration needs is missing, or a section leaves its image.
    """
    if not camera.amplifiers:
        readout = _readout(header, with_image(header, camera).image, camera, camera, binning)
        return Layout(readout.data.shape, (readout,))
    readouts = tuple(_readout(header, a.hdu, camera, a, binning) for a in camera.amplifiers)
    left, low = 0, 0
    if camera.placed_by is not None:  # of the detector the image holds what was read
        left, low = min(r.x0 for r in readouts), min(r.y0 for r in readouts)
        readouts = tuple(replace(r, x0=r.x0 - left, y0=r.y0 - low) for r in readouts)
    rows = max(r.y0 + r.data.shape[0] for r in readouts)
    columns = max(r.x0 + r.data.shape[1] for r in readouts)
    return Layout((rows, columns), readouts, (left, low))


def with_image(header: RawHeader, camera: Camera) -> RawHeader:
    """The header with the image chosen that the camera declares, where it does; else as it is.

    Raises
    ------
    HeaderError
        The file has no such image.
    """
    if camera.image is None:
        return header
    for hdu in header.images:
        name = str(card_value(header.hdus[hdu], "EXTNAME") or "")
        if hdu == camera.image or (
            isinstance(camera.image, str) and name.casefold() == camera.image.casefold()
        ):
            return replace(header, chosen=hdu)
    found = ", ".join(map(header.image_in_words, header.images)) or "none"
    raise HeaderError(
        f"{header.path.name}: no image in HDU {camera.image}, whereas camera {camera.name!r} has its own;"
        f" images in the file: {found}; the frame is rejected"
    )


@once_a_method("image_hdus")
def image_hdus(instrument: Instrument, header: RawHeader, camera: Camera | None = None) -> tuple[int, ...]:
    """The HDUs that the image is made of."""
    return tuple(dict.fromkeys(readout.hdu for readout in instrument.layout(header, camera).readouts))


def _readout(
    header: RawHeader, hdu: int, camera: Camera, declared: Camera | Amplifier, binning: tuple[int, int]
) -> Readout:
    """An amplifier's numbers, from the declaration and the header of its HDU."""
    own = header.of(hdu)
    gain = declared.gain if declared.gain is not None else camera.gain
    noise = declared.read_noise if declared.read_noise is not None else camera.read_noise
    read_noise = _number(noise, own, u.electron, hdu)
    if camera.binned_after_reading:
        read_noise *= float(np.sqrt(binning[0] * binning[1]))
    shape = int(header.hdus[hdu]["NAXIS2"]), int(header.hdus[hdu]["NAXIS1"])
    data = data_section(header, hdu, declared.data_section or camera.data_section, binning)
    overscan = _section(declared.overscan_section or camera.overscan_section, own, binning, hdu)
    if overscan is not None:
        _check_inside(header, "overscan", overscan, shape)
    return Readout(
        hdu=hdu,
        data=data,
        overscan=overscan,
        gain=_positive(gain, own, u.electron / u.adu, hdu),
        read_noise=read_noise,
        saturation=_limit(camera, declared, header, hdu),
        x0=getattr(declared, "x0", 0) // binning[0],
        y0=getattr(declared, "y0", 0) // binning[1],
        flip_x=getattr(declared, "flip_x", False),
        flip_y=getattr(declared, "flip_y", False),
    )


def _number(declared: Constant, header: RawHeader, unit: u.UnitBase, hdu: int) -> float:
    """A constant's number in that unit, from the header where the declaration says so."""
    quantity = _card(declared, header, hdu) if isinstance(declared, Keyword) else declared
    return float(u.Quantity(quantity).to_value(unit))


def _positive(declared: Constant, header: RawHeader, unit: u.UnitBase, hdu: int) -> float:
    """The same, where only a number above 0 can be."""
    value = _number(declared, header, unit, hdu)
    if not value > 0:
        cards = " or ".join(declared.cards) if isinstance(declared, Keyword) else "the declaration"
        raise HeaderError(
            f"{header.path.name}: {cards} gives {value:g} {unit} in HDU {hdu}, which is invalid; the frame is rejected"
        )
    return value


def _limit(camera: Camera, declared: Camera | Amplifier, header: RawHeader, hdu: int) -> float:
    """Where pixels are saturated; the largest number of the file's format where a card says 0 or a word for that."""
    limit = declared.saturation if declared.saturation is not None else camera.saturation
    own = header.of(hdu)
    card = next((card for card in limit.cards if card in own), None) if isinstance(limit, Keyword) else None
    return largest(header, hdu) if card and is_unlimited(own[card]) else _number(limit, own, u.adu, hdu)


def is_unlimited(says: CardValue) -> bool:
    """Whether a card says of the saturation that it is not known: 0, "N/A", "Unknown"."""
    try:
        return says_nothing(str(says)) or not as_number(says) > 0
    except (TypeError, ValueError):  # told where it is read
        return False


def largest(header: RawHeader, hdu: int) -> float:
    """The largest number that an image of whole numbers can hold, adu; infinity for others."""
    bits, zero = (card_value(header.hdus[hdu], card) or 0 for card in ("BITPIX", "BZERO"))
    return {8: 255.0, 16: 32767.0 + as_number(zero)}.get(int(bits), np.inf)


def data_section(
    header: RawHeader, hdu: int, declared: str | Keyword | None, binning: tuple[int, int]
) -> Section:
    """The pixels of an image that hold light, in pixels of the file.

    Raises
    ------
    HeaderError
        The card that is declared for them is missing, or is no section, or leaves the image.
    """
    rows, columns = (int(header.hdus[hdu][card]) for card in ("NAXIS2", "NAXIS1"))
    found = _section(declared, header.of(hdu), binning, hdu)
    if found is None and isinstance(declared, Keyword) and not declared.optional:
        raise HeaderError(
            f"{header.path.name}: {' or '.join(declared.cards)} says of HDU {hdu} that it has no data section; the"
            " frame is rejected"
        )
    found = found or Section(0, columns, 0, rows)
    _check_inside(header, "data", found, (rows, columns))
    return found


def _check_inside(header: RawHeader, name: str, section: Section, shape: tuple[int, int]) -> None:
    """Raise a HeaderError for a section that leaves an image of some rows and columns."""
    if not section.inside(shape):
        raise HeaderError(
            f"{header.path.name}: the {name} section {section.fits()} leaves the image of"
            f" {shape[1]} x {shape[0]} pixels; the frame is rejected"
        )


def _section(
    declared: str | Keyword | None, header: RawHeader, binning: tuple[int, int], hdu: int
) -> Section | None:
    """A section in pixels of the file; None where there is none."""
    if declared is None:
        return None
    if isinstance(declared, str):
        return parse_section(declared).binned(*binning)
    text = _card(declared, header, hdu)
    try:
        return None if text is None or says_nothing(str(text)) else parse_section(str(text))
    except HeaderError as error:
        cards = " or ".join(declared.cards)
        raise HeaderError(f"{header.path.name}: {cards}: {error}; the frame is rejected") from error


def _card(declared: Keyword, header: RawHeader, hdu: int) -> Value:
    """What the card of an amplifier says; the message on a missing one names the HDU."""
    try:
        return declared.read(header)
    except HeaderError as error:
        raise HeaderError(f"{error} in HDU {hdu}; the frame is rejected") from error
