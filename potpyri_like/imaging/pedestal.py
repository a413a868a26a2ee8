"""The level that an image has without light, from how its sky scatters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Pedestal", "pedestal_of"]

_INNER, _INNER_TO_SIGMA = (
    0.9,
    1.5213,
)  # part of the deviations whose mean tells the noise; of a Gaussian, 1 / 0.6573
_FEWEST = 16  # boxes that tell anything
_EMPTIEST = 30  # percentile of the boxes, by what stars add to their spread
_GAIN_KNOWN = 0.05  # relative; what a declared gain is taken to be good for


class Pedestal(NamedTuple):
    """The level without light.

    Attributes
    ----------
    level, error : float, electron
        NaN where nothing can be known. The error has a gain in it that is wrong by 5 %.
    sky : float, electron
        What is left of the images' level without it.
    """

    level: float
    error: float
    sky: float


def pedestal_of(pairs: Sequence[tuple[np.ndarray, np.ndarray]], *, read_variance: float) -> Pedestal:
    """The level at which the sky of some images would have no photon noise.

    The difference of two images of one field shows the noise of both, whatever the sensitivities of their pixels. What
    the read noise leaves of it is that of photons, of which there are as many as their variance in electron^2; the rest
    of the level is not light.

    Parameters
    ----------
    pairs : sequence of (ndarray, ndarray), each of shape (n_boxes, rows, columns), electron
        The same boxes of two images, as `sample_boxes` gives them; not filtered, and no level subtracted.
    read_variance : float, electron^2
        Of a pixel.
    """
    if not pairs or not pairs[0][0].size:
        return Pedestal(np.nan, np.nan, np.nan)
    found = np.concatenate([_skies(one, other, read_variance) for one, other in pairs])
    levels = np.concatenate([_levels(one, other) for one, other in pairs])
    stars = np.concatenate(
        [_spreads(one + other) for one, other in pairs]
    )  # says nothing of the difference's noise
    good = np.isfinite(found) & np.isfinite(levels) & (stars <= np.nanpercentile(stars, _EMPTIEST))
    if good.sum() < _FEWEST:
        return Pedestal(np.nan, np.nan, np.nan)
    rest = levels[good] - found[good]
    level, sky = float(np.median(rest)), float(np.median(found[good]))
    scatter = 1.2533 * 1.4826 * float(np.median(np.abs(rest - level))) / np.sqrt(good.sum())
    return Pedestal(level, float(np.hypot(scatter, _GAIN_KNOWN * max(sky, 0.0))), sky)


def _levels(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The level of each box, in both images together."""
    return np.asarray((np.median(one, axis=(1, 2)) + np.median(other, axis=(1, 2))) / 2)


def _skies(one: np.ndarray, other: np.ndarray, read_variance: float) -> np.ndarray:
    """The photons of the sky in each box, from their noise."""
    return np.asarray(np.square(_spreads(one - other)) / 2 - read_variance)


def _spreads(boxes: np.ndarray) -> np.ndarray:
    """The standard deviation in each box, from the inner part of its deviations: whole numbers do not matter to it."""
    middle = boxes.mean(axis=(1, 2), keepdims=True)
    for _ in range(2):
        away = np.sort(np.abs(boxes - middle).reshape(len(boxes), -1), axis=1)
        limit = away[:, int(_INNER * away.shape[1]) - 1][:, None, None]
        middle = np.mean(boxes, axis=(1, 2), keepdims=True, where=np.abs(boxes - middle) <= limit)
    return np.asarray(_INNER_TO_SIGMA * away[:, : int(_INNER * away.shape[1])].mean(axis=1))
