"""Frames in colour: three planes of one exposure, or a sensor behind a mosaic of filters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from astropy.wcs import WCS

from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.imaging.mosaics import COLOURS, PATTERNS, mosaic_offset, shifted_pattern
from potpyri_like.instruments.cameras import Camera
from potpyri_like.instruments.exposure import CYCLE, positive
from potpyri_like.instruments.file_notes import ON_SCREEN
from potpyri_like.instruments.layout import Layout
from potpyri_like.store.header import RawHeader

__all__ = [
    "PLANES",
    "colour_card",
    "colour_wcs",
    "in_colours",
    "mosaic_in",
    "mosaic_notes",
    "mosaic_planes",
    "pattern_of",
    "pixel_of_file",
    "planes_in",
]

PLANES = len(COLOURS)
_CARDS = ("BAYERPAT", "COLORTYP", "COLORSPC", "CFAPAT")
_COLOUR_AXIS = ("RGB", "COLOR", "COLOUR")


def planes_in(header: RawHeader, camera: Camera, binning: tuple[int, int]) -> int:
    """How many frames a file holds as its planes; 0 for a plain image.

    Raises
    ------
    HeaderError
        The colours lie pixel by pixel, which nobody can tell from planes of three columns.
    """
    *planes, _, columns = header.image_shape
    if planes and columns == PLANES:
        raise HeaderError(
            f"{header.path.name}: NAXIS1 = {PLANES}: three columns, or colours pixel by pixel; the frame is rejected"
            " (write the colours as three planes)"
        )
    return int(np.prod(planes)) if planes else PLANES * bool(_split_pattern(header, camera, binning))


def colour_card(header: RawHeader) -> str:
    """The card that says that the three planes of a file are colours; "" where none does, or they follow in time."""
    *planes, _, _ = header.image_shape
    if int(np.prod(planes)) != PLANES or not planes or positive(header.get(CYCLE)) is not None:
        return ""
    own = header.of(header.image)
    for card in (*_CARDS, f"CTYPE{len(planes) + 2}"):
        says = str(own.get(card, "")).strip()
        names_it = says.upper().startswith(_COLOUR_AXIS) if card.startswith("CTYPE") else bool(says)
        if names_it:
            return f"{card} = {says}"
    return ""


def in_colours(info: FrameInfo, because: str) -> FrameInfo:
    """The plane of a file of three as a colour of one exposure."""
    colour = COLOURS[info.plane or 0]
    band = f"{info.band} {colour}".strip() if _has_band(info) else ""
    note = f"colour: its planes are red, green and blue of one exposure ({because})"
    return replace(info, band=band, colour=colour, through=info.band, notes=(*info.notes, note))


def mosaic_in(header: RawHeader) -> str:
    """The pattern of a mosaic as the header has it: "RGGB"; "" where it has none, or the image is no raw one."""
    own = header.of(header.image)
    if (
        not header.mentions(*_CARDS)
        or len(header.image_shape) != 2
        or header.hdus[header.image].get("BITPIX", -32) < 0
    ):
        return ""
    says = (str(own.get(card, "")).strip().upper() for card in _CARDS)
    return next((pattern for pattern in says if pattern in PATTERNS), "")


def mosaic_planes(
    info: FrameInfo, header: RawHeader, camera: Camera, binning: tuple[int, int]
) -> tuple[FrameInfo, ...]:
    """The colours of a raw mosaic, each as a frame of half the size; the frame itself where they are not split."""
    pattern = _split_pattern(header, camera, binning)
    if not pattern:
        return (replace(info, mosaic=mosaic_in(header) if binning == (1, 1) else ""),)
    window = info.window
    if window is not None:
        window = window[0] // 2, window[1] // 2, window[2] // 2, window[3] // 2
    half = replace(info, mosaic=pattern, binning=(2 * binning[0], 2 * binning[1]), window=window)
    return tuple(
        replace(
            half,
            plane=plane,
            colour=colour,
            band=f"{info.band} {colour}".strip() if _has_band(info) else "",
            through=info.band,
        )
        for plane, colour in enumerate(COLOURS)
    )


def mosaic_notes(header: RawHeader, camera: Camera, binning: tuple[int, int]) -> Iterator[str]:
    """What is to be said of a mosaic: that nobody split it, or that the header has another."""
    found = mosaic_in(header) if binning == (1, 1) else ""
    if found and not camera.bayer:
        yield (
            f"{ON_SCREEN}a mosaic of colours ({found}), measured as one band: red, green and blue pixels are mixed"
            f" (declare the camera's bayer={found!r} to measure each by itself)"
        )
    elif found and found != camera.bayer:
        yield f"{ON_SCREEN}its header says that the mosaic is {found}, and camera {camera.name} declares {camera.bayer}"


def pattern_of(info: FrameInfo, layout: Layout) -> str:
    """The mosaic of a frame's trimmed image."""
    data = layout.readouts[0].data
    return shifted_pattern(info.mosaic, data.x0, data.y0)


def colour_wcs(wcs: WCS | None, info: FrameInfo, layout: Layout) -> WCS | None:
    """The coordinates of one colour of a split mosaic, from those of the whole; None where they have SIP terms.

    Those of another frame are as they are.
    """
    if wcs is None or not info.mosaic or not info.colour:
        return wcs
    if wcs.sip is not None:
        return None
    half = wcs.deepcopy()
    half.wcs.crpix = [
        (at - 1 - off) / 2 + 1
        for at, off in zip(wcs.wcs.crpix, mosaic_offset(pattern_of(info, layout), info.colour), strict=True)
    ]
    if half.wcs.has_cd():
        half.wcs.cd = 2 * half.wcs.cd
    else:
        half.wcs.cdelt = 2 * half.wcs.cdelt
    half.wcs.set()
    return half


def pixel_of_file(info: FrameInfo, xy: np.ndarray) -> np.ndarray:
    """A pixel that was read off in a raw file, in the image of a frame: a colour of a mosaic has half the size."""
    return (xy - 0.5) / 2 if info.mosaic and info.colour else xy


def _split_pattern(header: RawHeader, camera: Camera, binning: tuple[int, int]) -> str:
    """The declared mosaic of a plain frame that is not binned, which mixes the colours; else ""."""
    return camera.bayer if len(header.image_shape) == 2 and binning == (1, 1) else ""


def _has_band(info: FrameInfo) -> bool:
    return info.kind in (FrameKind.SCIENCE, FrameKind.FLAT)
