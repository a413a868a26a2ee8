"""Find calibration frames that disagree with the others: in level, on large scales, or in noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Agreement", "Oddity", "Sample", "agreement", "faint_frames", "sample_frame", "scatter_ratio"]

_BLOCKS = 16  # along each axis
_SIDE, _FOR_NOISE = 24, 4  # pixels of a block along each axis: for its level, and for its noise
_PART = 97  # percentile of the blocks; what covers less of the image is left to the clipping of single pixels
_SCATTERS = 6.0  # of the frames' usual distance: further away a frame does not belong to them
_APART = 12.0  # of the distance of the most alike pairs: so far apart are two groups, not one that scatters
_OF_NOISE = (
    3.3  # standard deviations of a block's level: 97 of 100 blocks stay within 2.2 by chance, or a half more
)
_NOISIER = 5.0  # in the variance of a difference; a frame of three times the others' noise
_FAINT = 0.1  # of the median level
_LEAST = 0.25  # of the declared variance, that a pixel is taken to have: whole numbers may hide it
_QUIET = 1.5  # of the declared variance; less noise than that does no harm
_MIDDLE_VARIANCE = 1.2  # of the mean of the middle half of many Gaussian values, over that of their mean
_INNER, _INNER_TO_SIGMA = (
    0.9,
    1.5213,
)  # part of the deviations whose mean tells the noise; of a Gaussian, 1 / 0.6573


class Sample(NamedTuple):
    """The statistics of a frame that are compared.

    Attributes
    ----------
    blocks : ndarray, shape (n_blocks,)
        The level of each of a coarse grid of blocks: the mean of the middle half of its pixels, so that neither stars
        nor cosmic rays change it. NaN where no pixel is good.
    pixels : ndarray, shape (n_blocks, n)
        A few pixels of each block.
    variance : float
        That a typical value has by its declared noise.
    behind : int
        Pixels behind the level of a block.
    rows : int
        Of the grid of blocks.
    """

    blocks: np.ndarray
    pixels: np.ndarray
    variance: float
    behind: int
    rows: int


class Oddity(NamedTuple):
    """How a frame disagrees with the others.

    Attributes
    ----------
    what : str
        "level", "shape" (gradients, light from the side, anything on large scales), "noise", or "no good pixels".
    by : float
        By how much, in the unit of the frames (noise: over that of the others).
    usual : float
        By how much the others differ.
    """

    what: str
    by: float
    usual: float = 0.0


class Agreement(NamedTuple):
    """Which frames disagree with the majority.

    Attributes
    ----------
    odd : dict of int to Oddity
    divided : Oddity or None
        In what the frames disagree so that no majority is left; nothing is known then of single ones in that respect.
    """

    odd: dict[int, Oddity]
    divided: Oddity | None


def sample_frame(image: np.ndarray, variance: float) -> Sample:
    """Compute the statistics of a frame that are compared.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        NaN where it is bad.
    variance : float
        See `Sample`.
    """
    rows, cols = (min(_BLOCKS, size) for size in image.shape)
    high, wide = image.shape[0] // rows, image.shape[1] // cols
    blocks = image[: rows * high, : cols * wide].reshape(rows, high, cols, wide).transpose(0, 2, 1, 3)
    level = blocks[:, :, :: max(1, high // _SIDE), :: max(1, wide // _SIDE)].reshape(rows * cols, -1)
    noise = blocks[:, :, :: max(1, high // _FOR_NOISE), :: max(1, wide // _FOR_NOISE)]
    return Sample(_middle_mean(level), noise.reshape(rows * cols, -1).copy(), variance, level.shape[1], rows)


def faint_frames(levels: Sequence[float]) -> dict[int, float]:
    """The median level, by the index of each frame that has less than a tenth of it."""
    middle = float(np.median(levels)) if len(levels) else 0.0
    return {index: middle for index, level in enumerate(levels) if level < _FAINT * middle}


def scatter_ratio(samples: Sequence[Sample]) -> float:
    """The standard deviation by which pixels of frames differ, over the declared one; NaN of fewer than two frames."""
    if len(samples) < 2:
        return float("nan")
    one, other = np.triu_indices(len(samples), 1)
    declared = np.array([sample.variance for sample in samples])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _pair_variances(samples)[one, other] / (declared[one] + declared[other])
    return float(np.sqrt(np.median(ratio)))


def agreement(
    samples: Sequence[Sample], *, levels: bool = True, sigmas: float = 3.0, relative: float = 0.0
) -> Agreement:
    """Find the frames that disagree with the majority.

    A frame agrees with another where their levels, and their blocks without the level, differ by less than a tolerance:
    `sigmas` times the noise of a pixel, or `relative`, or six times what the frames usually differ by, whichever is
    largest. What the blocks' own noise makes of it does not count. A smaller deviation changes a mean by less than the
    noise of its pixels.

    Parameters
    ----------
    samples : sequence of Sample
    levels : bool
        Whether the frames should have one level; False for flats that were divided by theirs.
    sigmas : float
    relative : float
        In the unit of the frames.

    Notes
    -----
    What a frame differs by is its distance to the n // 2 others next to it, the farthest of them: with those it makes
    more than half of all n. Their median is what the frames usually differ by, and does not change with the frames that
    are odd. Two groups of equal size have no majority: `divided` says so.
    """
    good = [i for i, sample in enumerate(samples) if np.isfinite(sample.blocks).mean() > 0.5]
    odd = {i: Oddity("no good pixels", 0.0) for i in range(len(samples)) if i not in good}
    if len(good) < 2:
        return Agreement(odd, None)
    some = [samples[i] for i in good]
    variances = _pair_variances(some)
    declared = float(np.median([sample.variance for sample in some]))
    sigma = float(np.sqrt(max(_low(variances) / 2, _LEAST * declared)))
    floor = max(sigmas * sigma, relative)
    level, shape = _pair_distances(some)
    by_chance = np.square(_OF_NOISE) * _MIDDLE_VARIANCE * variances / some[0].behind
    shape = np.sqrt(np.maximum(np.square(shape) - by_chance, 0))
    divided = None
    for what, apart in (("level", level), ("shape", shape)) if levels else (("shape", shape),):
        found, parted = _apart(what, apart, floor)
        divided = divided or parted
        for index, oddity in found.items():
            known = odd.get(good[index])
            if known is None or oddity.by > known.by:
                odd[good[index]] = oddity
    for index, oddity in _noisy(some, variances).items():
        odd.setdefault(good[index], oddity)
    return Agreement(odd, divided)


def _apart(what: str, apart: np.ndarray, floor: float) -> tuple[dict[int, Oddity], Oddity | None]:
    """The frames that are far from the majority; or what divides them."""
    n = len(apart)
    nearest = _to_majority(apart)
    limit = max(floor, _APART * _low(apart)) if n > 3 else 2 * floor
    if np.count_nonzero(nearest <= limit) <= n / 2:
        return {}, Oddity(what, float(np.max(apart)), limit)
    usual = _lower_median(nearest)
    odd = np.flatnonzero(nearest > max(floor, _SCATTERS * usual))
    return {int(i): Oddity(what, float(nearest[i]), usual) for i in odd}, None


def _noisy(samples: Sequence[Sample], variances: np.ndarray) -> dict[int, Oddity]:
    """The frames whose noise is far above what is declared of it, in units of that of the others."""
    declared = np.array([sample.variance for sample in samples])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = variances / (declared[:, None] + declared)
    nearest = _to_majority(np.where(np.isfinite(ratio), ratio, 0))
    usual = _lower_median(nearest)
    odd = np.flatnonzero((nearest > _NOISIER * usual) & (nearest > _QUIET)) if usual > 0 else ()
    return {int(i): Oddity("noise", float(np.sqrt(2 * nearest[i] / usual - 1)), 1.0) for i in odd}


def _pair_distances(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """By how much the levels of each two frames differ, and their blocks without the level."""
    blocks = np.array([sample.blocks for sample in samples], dtype=float)
    n = len(blocks)
    level, shape = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n - 1):
        away = blocks[i + 1 :] - blocks[i]
        middle = np.nanmedian(away, axis=1, keepdims=True)
        level[i, i + 1 :] = np.abs(middle[:, 0])
        shape[i, i + 1 :] = np.nanpercentile(np.abs(away - middle), _PART, axis=1)
    return level + level.T, shape + shape.T


def _pair_variances(samples: Sequence[Sample]) -> np.ndarray:
    """The variance of the difference of each two frames, pixel against pixel, without what differs between blocks."""
    rest = np.array([sample.pixels - sample.blocks[:, None] for sample in samples])
    rest = rest.reshape(len(samples), -1)
    rest = rest[:, np.isfinite(rest).all(axis=0)]
    n = len(rest)
    found = np.zeros((n, n))
    for i in range(n - 1):
        away = np.abs(rest[i + 1 :] - rest[i])
        if away.size:
            inner = np.sort(away, axis=1)[:, : max(1, int(_INNER * away.shape[1]))]
            found[i, i + 1 :] = np.square(_INNER_TO_SIGMA * inner.mean(axis=1))
    return found + found.T


def _to_majority(apart: np.ndarray) -> np.ndarray:
    """The distance of each frame to the farthest of those next to it with which it makes more than half of all."""
    n = len(apart)
    others = np.sort(apart[~np.eye(n, dtype=bool)].reshape(n, n - 1), axis=1)
    return others[:, n // 2 - 1]


def _low(apart: np.ndarray) -> float:
    """The lower quartile over all pairs: of pairs that belong together, as long as half of the frames do."""
    pairs = np.sort(apart[np.triu_indices(len(apart), 1)])
    return float(pairs[(len(pairs) - 1) // 4])


def _lower_median(values: np.ndarray) -> float:
    return float(np.sort(values)[(len(values) - 1) // 2])


def _middle_mean(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half of each row, of what is not NaN."""
    ordered, number = np.sort(values, axis=1), (~np.isnan(values)).sum(axis=1)[:, None]
    ranks, quarter = np.arange(values.shape[1]), number // 4
    middle = (ranks >= quarter) & (ranks < number - quarter)
    total = np.where(middle, ordered, 0).sum(axis=1, dtype=float)
    return np.where(number[:, 0] > 0, total / np.maximum(middle.sum(axis=1), 1), np.nan)
