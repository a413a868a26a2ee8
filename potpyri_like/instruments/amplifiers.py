"""The amplifiers of files that hold an image of each, placed on the detector by the images' own headers."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from potpyri_like.errors import HeaderError
from potpyri_like.imaging import parse_mirrored, says_nothing
from potpyri_like.instruments.cameras import Amplifier, Camera
from potpyri_like.instruments.keywords import Keyword
from potpyri_like.instruments.layout import data_section
from potpyri_like.store.header import RawHeader, card_value

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = ["placed_amplifiers"]

_Range = tuple[int, int]


def placed_amplifiers(instrument: Instrument, header: RawHeader, camera: Camera) -> tuple[Amplifier, ...]:
    """An amplifier for each image of a file, where the card `Camera.placed_by` of the image says, in unbinned pixels.

    Raises
    ------
    HeaderError
        An image lacks the card, or two images are of the same pixels.
    """
    binning = instrument.binning_of(header)
    found = tuple(_placed(header, hdu, camera, binning) for hdu in sorted(header.contenders))
    if not found:
        raise HeaderError(f"{header.path.name}: no image in it; the frame is rejected")
    places = {one.hdu: _ranges(header, one, camera, binning) for one in found}
    for one, other in combinations(places, 2):
        if all(max(a, c) < min(b, d) for (a, b), (c, d) in zip(places[one], places[other], strict=True)):
            raise HeaderError(
                f"{header.path.name}: {_card_in(header, one, camera)} of HDU {one} and"
                f" {_card_in(header, other, camera)} of HDU {other} are of the same pixels; the frame is rejected"
            )
    return found


def _placed(header: RawHeader, hdu: int, camera: Camera, binning: tuple[int, int]) -> Amplifier:
    """The amplifier of one image: its data section begins at the first number of each pair."""
    card = _card_of(header, hdu, camera.placed_by)
    text = str(card_value(header.hdus[hdu], card))
    try:
        section, *mirrored = parse_mirrored(text)
    except HeaderError as error:
        raise HeaderError(
            f"{header.path.name}: {card} in HDU {hdu}: {error}; the frame is rejected"
        ) from error
    data = data_section(header, hdu, camera.data_section, binning).shape
    low = []
    for (first, end), backwards, pixels, factor in zip(
        ((section.x0, section.x1), (section.y0, section.y1)), mirrored, data[::-1], binning, strict=True
    ):
        if -(-(end - first) // factor) < pixels <= end - first:  # written in pixels of the file
            first, end = first * factor, end * factor
        low.append(end - pixels * factor if backwards else first)
        if -(-(end - first) // factor) < pixels or low[-1] < 0:
            raise HeaderError(
                f"{header.path.name}: {card} = {text} in HDU {hdu} is smaller than the data section of"
                f" {data[1]} x {data[0]} pixels; the frame is rejected"
            )
    return Amplifier(hdu=hdu, x0=low[0], y0=low[1], flip_x=mirrored[0], flip_y=mirrored[1])


def _card_of(header: RawHeader, hdu: int, keyword: Keyword | None) -> str:
    """The card that places an image.

    Raises
    ------
    HeaderError
        Its own header has none.
    """
    cards = keyword.cards if keyword is not None else ()
    for card in cards:
        value = card_value(header.hdus[hdu], card)
        if value is not None and not says_nothing(str(value)):
            return card
    raise HeaderError(f"{header.path.name}: no {' or '.join(cards)} card in HDU {hdu}; the frame is rejected")


def _card_in(header: RawHeader, hdu: int, camera: Camera) -> str:
    card = _card_of(header, hdu, camera.placed_by)
    return f"{card} = {card_value(header.hdus[hdu], card)}"


def _ranges(
    header: RawHeader, one: Amplifier, camera: Camera, binning: tuple[int, int]
) -> tuple[_Range, _Range]:
    """The columns and the rows that an amplifier takes, in whole pixels of the file."""
    rows, columns = data_section(header, one.hdu, camera.data_section, binning).shape
    x, y = one.x0 // binning[0], one.y0 // binning[1]
    return (x, x + columns), (y, y + rows)
