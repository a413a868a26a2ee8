"""Measure the gain from the noise of flats."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

__all__ = ["Transfer", "photon_transfer", "sample_boxes"]

_SIDE = 24  # pixels of a box: small against gradients
_BOXES = 16  # along each axis, where they do not overlap; in all, the fewest that tell anything
_QUARTILES_TO_SIGMA = 0.7413


class Transfer(NamedTuple):
    """The variance of photons over that of the declared gain, and how well it is known.

    Attributes
    ----------
    factor : float
        1 where the declared gain is right; the true gain is the declared one over it. NaN without a pair.
    error : float
    """

    factor: float
    error: float


def sample_boxes(image: np.ndarray) -> np.ndarray:
    """Some small boxes spread over an image, apart, shape (n, 24, 24); none where it is smaller than one."""
    rows, columns = (
        np.linspace(0, size - _SIDE, min(_BOXES, size // _SIDE)).astype(int) for size in image.shape
    )
    boxes = [image[y : y + _SIDE, x : x + _SIDE] for y in rows for x in columns]
    return np.array(boxes, dtype=float).reshape(-1, _SIDE, _SIDE)


def photon_transfer(flats: Sequence[np.ndarray], *, read_variance: float = 0.0) -> Transfer:
    """Compare the scatter between flats with that of photons (the mean-variance method, Janesick 2001, ch. 2).

    Two flats, brought to one level box by box, differ by their photons and the read-out alone, whatever the pixels'
    sensitivities.

    Parameters
    ----------
    flats : sequence of ndarray, shape (n_boxes, rows, columns), electron by the declared gain
        The same boxes of flats without bias, as `sample_boxes` gives them; not filtered.
    read_variance : float, electron^2
        Of a pixel.
    """
    if len(flats) < 2 or not flats[0].size:
        return Transfer(np.nan, np.nan)
    pairs = [_factors(one, other, read_variance) for one, other in pairwise(flats)]
    found = np.concatenate(pairs)
    found = found[np.isfinite(found)]
    if found.size < _BOXES:
        return Transfer(np.nan, np.nan)
    middle = float(np.median(found))
    scatter = 1.4826 * float(np.median(np.abs(found - middle)))
    return Transfer(middle, 1.2533 * scatter / np.sqrt(found.size))


def _factors(one: np.ndarray, other: np.ndarray, read_variance: float) -> np.ndarray:
    """The factor in each box; NaN where there is no light."""
    level, of_other = one.mean(axis=(1, 2)), other.mean(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where((level > 0) & (of_other > 0), level / of_other, np.nan)
        rest = one - ratio[:, None, None] * other
        low, high = np.percentile(rest, (25, 75), axis=(1, 2), method="median_unbiased")
        variance = np.square(_QUARTILES_TO_SIGMA * (high - low)) - read_variance * (1 + ratio**2)
        return variance / (level * (1 + ratio))
