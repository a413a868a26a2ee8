"""Where on its detector a frame lies that holds a part of it, and each of its amplifiers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from potpyri_like.errors import HeaderError
from potpyri_like.imaging import parse_section, says_nothing
from potpyri_like.instruments.keywords import number
from potpyri_like.instruments.layout import with_image
from potpyri_like.store.header import RawHeader

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument
    from potpyri_like.instruments.cameras import Camera

__all__ = ["Place", "place_of"]

_SECTIONS = ("DETSEC", "CCDSEC")  # of the data in the HDU, in unbinned pixels of the detector
_ORIGIN = ("XORGSUBF", "YORGSUBF")  # in binned pixels from 0 (SBFITSEXT), as MaxIm and its like write them


class Place(NamedTuple):
    """See `FrameInfo`."""

    window: tuple[int, int, int, int] | None
    tiles: tuple[tuple[int, int, int, int, int], ...] = ()


def place_of(
    instrument: Instrument, header: RawHeader, camera: Camera, binning: tuple[int, int], *, needed: bool
) -> Place:
    """The part of the detector that a frame holds, and those of its amplifiers where their headers place them.

    Parameters
    ----------
    instrument : Instrument
    header : RawHeader
    camera : Camera
    binning : (int, int)
    needed : bool
        The frame is to be used.

    Raises
    ------
    HeaderError
        A frame that is to be used has amplifiers whose headers do not place them.
    """
    if camera.placed_by is None:
        return Place(_window_of(instrument, header, camera, binning))
    try:
        layout = instrument.layout(header, camera)
    except HeaderError:
        if needed:
            raise
        return Place(None)
    mirrored = [readout.flip_x + 2 * readout.flip_y for readout in layout.readouts]
    tiles = sorted((*place, how) for place, how in zip(layout.places, mirrored, strict=True))
    return Place((*layout.origin, *layout.shape[::-1]), tuple(tiles))


def _window_of(
    instrument: Instrument, header: RawHeader, camera: Camera, binning: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The part of the detector that a frame's trimmed image holds; None where its header does not tell.

    Returns
    -------
    (int, int, int, int) or None
        Column and row of its first pixel, from 0, and its columns and rows, in pixels of the file.
    """
    cards = camera.window.cards if camera.window is not None else (*_SECTIONS, *_ORIGIN)
    try:
        if not header.mentions(*cards) or instrument.amplifiers_in(header, camera):
            return None  # amplifiers are placed by their declaration
        rows, columns = instrument.layout(header, camera).shape
        own = with_image(header, camera)
        return next(_places(own.of(own.image), camera, binning, (columns, rows)), None)
    except (HeaderError, LookupError, ValueError, OverflowError):
        return None


def _places(
    header: RawHeader, camera: Camera, binning: tuple[int, int], size: tuple[int, int]
) -> Iterator[tuple[int, int, int, int]]:
    """What the cards say, as far as they are those of an image of that size."""
    declared = camera.window.cards if camera.window is not None else ()
    for card in declared or _SECTIONS:
        text = str(header.get(card, ""))
        if not says_nothing(text):
            section = parse_section(text)
            (x0, dx), (y0, dy) = divmod(section.x0, binning[0]), divmod(section.y0, binning[1])
            found = section.shape[1] // binning[0], section.shape[0] // binning[1]
            if not dx and not dy and found == size:
                yield x0, y0, *size
    if not declared and all(card in header for card in _ORIGIN):
        x, y = (number(header, card) for card in _ORIGIN)
        if x >= 0 and y >= 0 and x.is_integer() and y.is_integer():
            yield int(x), int(y), *size
