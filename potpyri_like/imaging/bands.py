"""Bands of rows, small enough that every step on one finds it still in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["row_bands"]

_BAND_PIXELS = 1 << 16


def row_bands(shape: tuple[int, int], *, pixels: int = _BAND_PIXELS) -> Iterator[slice]:
    """Slices of rows that cover an image of `shape` (rows, columns), about `pixels` each."""
    rows, cols = shape
    step = max(1, pixels // max(cols, 1))
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))
