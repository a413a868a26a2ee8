"""What is remarkable about a raw file itself: several images in it, a header that was changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from potpyri_like.errors import HeaderError
from potpyri_like.store.header import RawHeader

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument
    from potpyri_like.instruments.cameras import Camera

__all__ = ["ALTERED", "ON_SCREEN", "file_notes"]

ON_SCREEN = "file: "  # begins the notes that the last lines on screen repeat
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
            " to use another, or its `amplifiers` to put them together)"
        )


def _has_amplifiers(instrument: Instrument, header: RawHeader, camera: Camera) -> bool:
    """Whether the declaration says what each image in the file is."""
    try:
        return bool(instrument.amplifiers_in(header, camera))
    except (HeaderError, LookupError, ValueError):
        return True
