"""What is remarkable about a raw file itself: several images in it, a header that was changed, amplifiers' cards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from potpyri_like.errors import HeaderError
from potpyri_like.instruments.keywords import Keyword
from potpyri_like.instruments.layout import is_unlimited
from potpyri_like.store.header import RawHeader

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument
    from potpyri_like.instruments.cameras import Camera

__all__ = ["ALTERED", "ON_SCREEN", "SOME_MISSING", "amplifier_notes", "file_notes"]

ON_SCREEN = "file: "  # begins the notes that the last lines on screen repeat
SOME_MISSING = "amplifiers are missing in it"  # ends the note on a file whose header announces more
ALTERED = "checksum: the header was changed after its CHECKSUM was written"


def file_notes(instrument: Instrument, header: RawHeader, camera: Camera) -> Iterator[str]:
    """Notes on a file whose image was chosen."""
    if {0, header.image} & {*header.altered}:
        yield ALTERED
    yield from _of_images(instrument, header, camera)


def _of_images(instrument: Instrument, header: RawHeader, camera: Camera) -> Iterator[str]:
    """Which image is used, where nobody declared it and there are others."""
    if camera.image is not None or not header.others or _has_amplifiers(instrument, header, camera):
        return
    used = f"{header.image_in_words(header.image)} is used"
    for hdu in header.others:
        if header.is_preview(hdu):
            yield f"image: {used}; {header.image_in_words(hdu)} is a preview of it"
    rivals = [header.image_in_words(hdu) for hdu in header.others if not header.is_preview(hdu)]
    if rivals:
        yield (
            f"{ON_SCREEN}{len(rivals) + 1} images: {used}, {' and '.join(rivals)} not (declare the camera's `image`"
            " to use another, its `amplifiers` or `placed_by` to put them together)"
        )


def amplifier_notes(instrument: Instrument, header: RawHeader, camera: Camera) -> Iterator[str]:
    """Which amplifiers of a frame with light lack an overscan that others have, or a saturation."""
    overscan, limit = camera.overscan_section, camera.saturation
    if not isinstance(overscan, Keyword) and not isinstance(limit, Keyword):
        return
    try:
        readouts = instrument.layout(header, camera).readouts
    except (HeaderError, LookupError, ValueError):  # told where the frame is described, or read
        return
    without = [str(one.hdu) for one in readouts if one.overscan is None]
    if isinstance(overscan, Keyword) and 0 < len(without) < len(readouts):
        yield (
            f"{ON_SCREEN}no {' or '.join(overscan.cards)} in HDU {', '.join(without)}, as its other amplifiers have:"
            " the level there is taken from the bias frames"
        )
    if isinstance(limit, Keyword):
        name = next((name for name in limit.cards if name in header), limit.card)
        unknown = [one for one in readouts if is_unlimited(header.of(one.hdu).get(name, 1))]
        if unknown:
            says = header.of(unknown[0].hdu)[name]
            yield (
                f"saturation: {name} = {says} in HDU {', '.join(str(one.hdu) for one in unknown)} is no limit:"
                f" {unknown[0].saturation:g} adu, the largest number of the file, is taken"
            )


def _has_amplifiers(instrument: Instrument, header: RawHeader, camera: Camera) -> bool:
    """Whether the declaration says what each image in the file is."""
    try:
        return bool(instrument.amplifiers_in(header, camera))
    except (HeaderError, LookupError, ValueError):
        return True
