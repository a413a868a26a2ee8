"""Small tools for planes of pixels, and what an image was counted in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Counts", "flagged", "times"]


class Counts(NamedTuple):
    """What an image of one amplifier was counted in: ``data = (counts - level) * gain``, in float32.

    Attributes
    ----------
    level : float, ADU
    gain : float, electron/ADU
    """

    level: float
    gain: float


def flagged(mask: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels that have any of some bits; a glance where none has."""
    if not np.bitwise_or.reduce(mask, axis=None) & bits:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    rows, cols = np.divmod(np.flatnonzero((mask & np.uint16(bits)) != 0), mask.shape[1])
    return rows, cols


def times(plane: np.ndarray, factor: float) -> np.ndarray:
    """A plane times a number, float32; where it is a view of few numbers, so is the result."""
    few = plane[tuple(slice(1) if step == 0 else slice(None) for step in plane.strides)]
    return np.broadcast_to(few * np.float32(factor), plane.shape)
