"""Images of a sensor behind a mosaic of colour filters: one colour out of it, or its levels made equal."""

from __future__ import annotations

import numpy as np

from potpyri_like.errors import DeclarationError
from potpyri_like.frame import Pixels

__all__ = ["COLOURS", "PATTERNS", "level_mosaic", "mosaic_colour", "mosaic_offset", "shifted_pattern"]

COLOURS = "RGB"
PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")


def shifted_pattern(pattern: str, x: int, y: int) -> str:
    """The pattern of a part of a mosaic that begins x columns and y rows further on."""
    rows = (pattern[:2], pattern[2:])
    rows = rows[::-1] if y % 2 else rows
    return "".join(row[::-1] if x % 2 else row for row in rows)


def mosaic_colour(pixels: Pixels, pattern: str, colour: str) -> Pixels:
    """One colour of a mosaic, at half its size: of each four pixels the one of that colour; of green the sum of two.

    Parameters
    ----------
    pixels : Pixels
    pattern : str
        The colours of the first two pixels of the first row, and of the second: "RGGB". An odd last row or column is
        left out.
    colour : str
        "R", "G" or "B".

    Returns
    -------
    Pixels
        Electrons add up, so that the variance of green is that of a sum as well; a flag of either pixel is kept.
    """
    places = _places(pattern, colour)
    rows, columns = (length // 2 for length in pixels.data.shape)
    data, variance, mask = ([plane[y::2, x::2][:rows, :columns] for y, x in places] for plane in pixels)
    united = mask[0].copy()
    for other in mask[1:]:
        united |= other
    return Pixels(_sum(data), _sum(variance), united)


def _sum(planes: list[np.ndarray]) -> np.ndarray:
    """The sum of one or two planes, as a new array."""
    total = np.array(planes[0], np.float32)
    for plane in planes[1:]:
        total += plane
    return total


def mosaic_offset(pattern: str, colour: str) -> tuple[float, float]:
    """Where the first pixel of one colour lies in the mosaic: column and row, from 0; of green the mean of both."""
    y, x = np.mean(_places(pattern, colour), axis=0)
    return float(x), float(y)


def level_mosaic(image: np.ndarray) -> np.ndarray:
    """The image of a mosaic whose four kinds of pixels have the same median, the mean of theirs.

    A sum over many pixels stays what it is; the differences of the sky between colours no longer look like noise.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
    """
    levelled = np.array(image, np.float32)
    parts = [levelled[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    medians = [float(np.median(part)) if part.size else np.nan for part in parts]
    for part, median in zip(parts, medians, strict=True):
        part -= np.float32(median - np.nanmean(medians))
    return levelled


def _places(pattern: str, colour: str) -> list[tuple[int, int]]:
    """Row and column of a colour in each square of four."""
    if pattern not in PATTERNS or colour not in COLOURS:
        raise DeclarationError(
            f"a mosaic {pattern!r} and its colour {colour!r}; give one of {PATTERNS} and of R, G, B"
        )
    return [divmod(at, 2) for at, found in enumerate(pattern) if found == colour]
