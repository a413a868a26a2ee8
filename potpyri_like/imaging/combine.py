"""Many frames into one, pixel by pixel, in chunks that fit the processor's cache.

The memory used beyond the inputs and the result is that of a few chunks, whatever the number of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike
from scipy.special import gammaincinv

from potpyri_like.errors import CalibrationError
from potpyri_like.imaging.networks import LARGEST, apply_network, median_network, sort_down

__all__ = [
    "MAD_OF_FEW",
    "MAD_TO_SIGMA",
    "Combined",
    "FrameSource",
    "Noise",
    "Subset",
    "combine",
    "median",
    "median_variance_factor",
]

_CHUNK_BYTES = 1 << 20  # of the values of one chunk: they and their copy stay near the processor
MAD_TO_SIGMA = 1.482602218505602  # of a Gaussian
_MEAN_DEVIATION_TO_SIGMA = 1.2533141373155001  # sqrt(pi / 2), of a Gaussian
# Croux & Rousseeuw (1992, COMPSTAT 1, 411): what the MAD of n = 0 to 9 Gaussian values must be multiplied by
MAD_OF_FEW = (1.0, 1.0, 1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
_FEW = 12  # values; from fewer, two of which are bad, their own scatter says too little of their noise
_WIDEST = 5 / 3  # of `sigma`: the limit of clipping few values, in standard deviations of the known noise
_COMPARED = 1024  # pixels of a chunk that show how much the frames differ
_ALL_PAIRS = 6  # frames; of more, some pairs are compared


@runtime_checkable
class FrameSource(Protocol):
    """Frames that can be read in part: what a reader of files must offer to be combined.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of each frame.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    def __len__(self) -> int: ...

    def chunk(self, first: int, last: int) -> np.ndarray:
        """Pixels `first` to `last` (excluded) of the flattened frames: an array (n_frames, last - first)."""
        ...


_Frames = FrameSource | Sequence[np.ndarray] | np.ndarray


@dataclass(frozen=True)
class Subset:
    """Some of the frames of a source."""

    source: FrameSource
    chosen: Sequence[int]

    @property
    def shape(self) -> tuple[int, int]:
        return self.source.shape

    def __len__(self) -> int:
        return len(self.chosen)

    def chunk(self, first: int, last: int) -> np.ndarray:
        return self.source.chunk(first, last)[list(self.chosen)]


@dataclass(frozen=True)
class Noise:
    """The declared noise of frames: the variance of a value of frame i is ``floor[i] + per_level[i] * level``.

    Attributes
    ----------
    floor : ndarray, shape (n_frames,)
        The read noise squared, in the unit of the frames squared.
    per_level : ndarray, shape (n_frames,)
        That of the photons: 1 for electrons, 1 / level for frames divided by their level, 0 for biases.
    relative : float
        The part of the level by which good values may differ besides, as the peaks of stars do with the seeing.
    """

    floor: np.ndarray
    per_level: np.ndarray
    relative: float = 0.0

    def expected(self, level: np.ndarray) -> np.ndarray:
        """The variance of each frame's value at some levels, shape (n_frames, n_levels)."""
        floor, per_level = (np.asarray(each, np.float32)[:, None] for each in (self.floor, self.per_level))
        return floor + per_level * np.maximum(level, 0)

    def mean(self, level: np.ndarray) -> np.ndarray:
        """The same, averaged over the frames."""
        return np.float32(np.mean(self.floor)) + np.float32(np.mean(self.per_level)) * np.maximum(level, 0)


@dataclass(frozen=True)
class Combined:
    """The combination of many frames.

    Attributes
    ----------
    value : ndarray, shape (rows, cols), float32
        NaN where no frame has a good value.
    variance : ndarray, shape (rows, cols), float32
        Of `value`. NaN where it cannot be known: no good value at all, or one frame without variances.
    count : ndarray, shape (rows, cols), int32
        Values that went into it.
    """

    value: np.ndarray
    variance: np.ndarray
    count: np.ndarray


def median(source: _Frames, *, masks: _Frames | None = None) -> np.ndarray:
    """The median of the frames, pixel by pixel, of the values that are neither NaN nor masked.

    Parameters
    ----------
    source : FrameSource, or sequence of ndarray of one shape (rows, cols)
    masks : the same of bool or integer, optional
        Not zero: the value does not count.

    Returns
    -------
    ndarray, shape (rows, cols), float32
        `numpy.nanmedian` down the stack, bit for bit as float32; NaN where nothing counts.
    """
    frames, masked = _open(source), None if masks is None else _open(masks)
    _check_alike(frames, masked)
    result = np.empty(frames.shape, np.float32)
    for first, last in _chunks(frames):
        result.reshape(-1)[first:last] = _median_of_chunk(_values(frames, masked, first, last))
    return result


def combine(
    source: _Frames,
    *,
    method: str = "median",
    sigma: float = 3.0,
    iterations: int = 5,
    masks: _Frames | None = None,
    variances: _Frames | None = None,
    noise: Noise | None = None,
    weighted: bool = False,
) -> Combined:
    """The frames combined pixel by pixel, with the variance of the result.

    Parameters
    ----------
    source : FrameSource, or sequence of ndarray of one shape (rows, cols)
    method : {"median", "clipped mean"}
        The clipped mean is that of the values within `sigma` standard deviations of the median, the
        standard deviation being estimated from the median absolute deviation and the two repeated
        until nothing more is clipped, `iterations` times at most. One or two values are never clipped.
    masks : the same of bool or integer, optional
        Not zero: the value does not count. Neither does NaN.
    variances : the same of float, optional
        Of each value; propagated into the variance of the result.
    noise : Noise, optional
        What is declared of the frames' noise: it helps to tell an outlier from few values.
    weighted : bool
        Each value of a clipped mean counts by the inverse of its variance according to `noise`, and is clipped by its
        own standard deviation: for flats of which some have far more light than others.

    Returns
    -------
    Combined

    Notes
    -----
    The median absolute deviation is corrected for the number of values (Croux & Rousseeuw 1992);
    where it is zero because most values are equal (integers), the mean absolute deviation stands in.
    Of few values it says little: three good ones often agree by chance, and one bad value of three
    widens it. So the limit is never less than `sigma` standard deviations of the known noise and, for
    less than twelve values, never more than 5/3 of that. The known noise is what `variances` or `noise`
    say of it (or one value for all), times the factor by which the frames really differ. That factor comes
    from the differences between pairs of frames, pixel by pixel, in the pixels around (those of the
    chunk, some rows). A level that one frame has in excess cancels in it, and of the pairs only as many
    count, the most alike, as are left without one bad frame of four or two of more; so neither a bad
    frame nor a wrong gain changes it.

    Without `variances` the variance comes from the scatter of the unclipped values. Few frames
    sometimes agree by chance: a scatter below the one that one typical pixel in twenty shows is
    raised to that one; a pixel with a single good value is given the typical scatter. Against
    simulated Gaussian frames the variance is 1 to 4 % low for a median, 3 to 7 % for a clipped mean.
    """
    if method not in ("median", "clipped mean"):
        raise CalibrationError(f"no method {method!r} to combine frames; choose 'median' or 'clipped mean'")
    frames = _open(source)
    masked, known = (None if each is None else _open(each) for each in (masks, variances))
    _check_alike(frames, masked, known)
    planes = [
        np.empty(frames.shape[0] * frames.shape[1], kind) for kind in (np.float32, np.float32, np.int32)
    ]
    for first, last in _chunks(frames):
        values = _values(frames, masked, first, last, kind=np.float32)
        stated = None if known is None else _values(known, None, first, last, kind=np.float32)
        if weighted and noise is not None and method == "clipped mean":
            done = _weigh_chunk(values, noise, sigma, iterations)
        else:
            done = _combine_chunk(values, stated, noise, method, sigma, iterations)
        for plane, part in zip(planes, done, strict=True):
            plane[first:last] = part
    if not (weighted and noise is not None and method == "clipped mean"):
        _scatter_to_variance(planes[1], planes[2], method)
    return Combined(*(plane.reshape(frames.shape) for plane in planes))


def median_variance_factor(count: np.ndarray) -> np.ndarray:
    """The variance of the median of `count` Gaussian values over that of their mean.

    1 for one and two values, 1.346 for three, pi/2 for many. The formula follows the variances of
    Gaussian order statistics (David & Nagaraja, Order Statistics) within 0.5 %; an even number does
    better than its odd neighbours, since two values are averaged.
    """
    n = np.maximum(np.asarray(count, dtype=np.float64), 1)
    correction = np.where(n % 2 == 1, 0.43 / n, 1.43 / (n + 1.9))
    return np.maximum(np.pi / 2 * (1 - correction), 1)


@dataclass(frozen=True)
class _Arrays:
    """Arrays in memory (or mapped from files) as a source."""

    frames: tuple[np.ndarray, ...]
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, int]:
        return cast("tuple[int, int]", self.frames[0].shape)

    def __len__(self) -> int:
        return len(self.frames)

    def chunk(self, first: int, last: int) -> np.ndarray:
        columns = self.shape[1]
        rows = slice(first // columns, -(-last // columns))
        start = first - rows.start * columns
        values = np.empty((len(self), last - first), self.dtype)
        for row, frame in zip(values, self.frames, strict=True):
            row[:] = frame[rows].reshape(-1)[start : start + last - first]
        return values


def _open(frames: _Frames) -> FrameSource:
    if isinstance(frames, FrameSource):
        return frames
    arrays = tuple(np.asarray(frame) for frame in frames)
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise CalibrationError(f"frames to combine must be 2-D and of one shape, not {shapes or 'none'}")
    return _Arrays(arrays, np.result_type(*(array.dtype for array in arrays)).newbyteorder("="))


def _check_alike(frames: FrameSource, *others: FrameSource | None) -> None:
    wanted = (len(frames), tuple(frames.shape))
    for other in others:
        found = wanted if other is None else (len(other), tuple(other.shape))
        if found != wanted or wanted[0] == 0:
            raise CalibrationError(
                f"{found[0]} planes {found[1]} do not match {wanted[0]} frames {wanted[1]}"
            )


def _chunks(frames: FrameSource) -> Iterator[tuple[int, int]]:
    pixels = frames.shape[0] * frames.shape[1]
    step = max(1024, _CHUNK_BYTES // (4 * len(frames)))
    return ((first, min(first + step, pixels)) for first in range(0, pixels, step))


def _values(
    frames: FrameSource, masked: FrameSource | None, first: int, last: int, *, kind: DTypeLike | None = None
) -> np.ndarray:
    """One chunk; short integers stay what they are if nothing has to become NaN."""
    values = np.asarray(frames.chunk(first, last))
    native = values.dtype.newbyteorder("=")
    short = native.kind in "iu" and native.itemsize <= 2
    if masked is not None or kind is not None or not short:
        native = np.result_type(native, np.float32)
    values = values.astype(native, copy=False)
    return values if masked is None else np.where(np.asarray(masked.chunk(first, last)) != 0, np.nan, values)


def _median_of_chunk(values: np.ndarray) -> np.ndarray:
    """Medians down the first axis; ones that a NaN has spoilt are done again without it."""
    middle = _plain_median(values)
    spoilt = np.isnan(middle)
    if spoilt.any():
        ordered, count = _ordered(values[:, spoilt])
        middle[spoilt] = _middle(ordered, np.zeros_like(count), count)
    return middle


def _plain_median(values: np.ndarray) -> np.ndarray:
    """Medians down the first axis; NaN where there is a NaN."""
    n = len(values)
    if n <= LARGEST:
        rows = apply_network(values.copy(), median_network(n))
        return _mean_of_two(rows[(n - 1) // 2], rows[n // 2])
    ordered = np.sort(np.ascontiguousarray(values.T), axis=1).T  # a NaN goes last
    return np.where(np.isnan(ordered[-1]), np.nan, _mean_of_two(ordered[(n - 1) // 2], ordered[n // 2]))


def _ordered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values in ascending order, NaN as infinity behind them; the number of those that count."""
    good = ~np.isnan(values)
    return sort_down(np.where(good, values, np.inf)), good.sum(axis=0, dtype=np.int32)


def _middle(ordered: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Medians of the ranks `first` to `last` (excluded)."""
    middle = _mean_of_two(_at_rank(ordered, (first + last - 1) // 2), _at_rank(ordered, (first + last) // 2))
    return np.where(first == last, np.nan, middle)


def _at_rank(ordered: np.ndarray, rank: np.ndarray) -> np.ndarray:
    return ordered[rank, np.arange(ordered.shape[1])]


def _mean_of_two(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # -inf and inf
        return np.add(low, high, dtype=np.result_type(low.dtype, np.float32)) / 2


def _combine_chunk(
    values: np.ndarray,
    stated: np.ndarray | None,
    noise: Noise | None,
    method: str,
    sigma: float,
    iterations: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, variance of a single value and number of values of each pixel of a chunk."""
    values = np.where(np.isfinite(values), values, np.nan)
    ordered, count = _ordered(values)
    start = np.zeros_like(count)
    middle = _middle(ordered, start, count)
    least, most = _known_noise(values, middle, count, stated, noise)
    first, last = _unclipped(ordered, count, sigma, iterations, least, most)
    mean, variance = _mean_and_scatter(ordered, first, last)
    typical, low = _typical_scatter(variance, last - first)
    if method == "median":
        mean, first, last = middle, start, count
    if stated is None:
        variance = np.where(np.isnan(variance), typical, np.maximum(variance, low))
    else:
        # equal values are clipped together, so the extremes of the kept ones tell which they are
        kept = (values >= _at_rank(ordered, first)) & (values <= _at_rank(ordered, last - 1))
        variance = _mean_of(stated, kept)
    return mean, variance, last - first


def _weigh_chunk(
    values: np.ndarray, noise: Noise, sigma: float, iterations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted mean, its variance and number of values of each pixel of a chunk.

    Deviations from a weighted median, each over its own standard deviation, are values of one variance: they are
    clipped as those of frames of equal noise are.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    expected = noise.expected(np.nan_to_num(_plain_median_of(values))[None])
    weights = np.where(np.isnan(values), 0, 1 / np.maximum(expected, np.finfo(np.float32).tiny))
    centre = _weighted_median(values, weights)
    scaled = (values - centre) * np.sqrt(weights)
    ordered, count = _ordered(np.where(np.isnan(values), np.nan, scaled))
    equal = Noise(np.ones(len(values)), np.zeros(len(values)))
    middle = _middle(ordered, np.zeros_like(count), count)
    first, last = _unclipped(
        ordered, count, sigma, iterations, *_known_noise(scaled, middle, count, None, equal)
    )
    kept = (scaled >= _at_rank(ordered, first)) & (scaled <= _at_rank(ordered, last - 1)) & (weights > 0)
    weights = np.where(kept, weights, 0)
    total = weights.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.where(kept, values - centre, 0)
        shift = (weights * away).sum(axis=0) / total
        squares = (weights * np.square(away - shift)).sum(axis=0)
        number = last - first
        scatter = np.where(number > 1, squares / np.maximum(number - 1, 1), np.nan)
        typical, low = _typical_scatter(scatter, number)
        scatter = np.where(np.isnan(scatter), typical, np.maximum(scatter, low))
        return centre + shift, (scatter / total).astype(np.float32), number


def _plain_median_of(values: np.ndarray) -> np.ndarray:
    """The median down the first axis of what is not NaN; NaN where nothing is."""
    ordered, count = _ordered(values)
    return _middle(ordered, np.zeros_like(count), count)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The value at which half of the weight is reached, down the first axis; NaN where there is no weight."""
    order = np.argsort(values, axis=0)  # NaN goes last
    ordered = np.take_along_axis(values, order, axis=0)
    reached = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    rank = (reached < reached[-1] / 2).sum(axis=0)
    return np.asarray(_at_rank(ordered, np.minimum(rank, len(values) - 1)))


def _typical_scatter(scatter: np.ndarray, number: np.ndarray) -> tuple[float, float]:
    """Variance of a single value that is typical of these pixels, and the 5 % quantile of their scatters.

    Both from the median of the pixels' own scatters, which follow the chi-square distribution.
    """
    known = np.isfinite(scatter)
    if not known.any():
        return np.nan, np.nan
    half = (np.median(number[known]) - 1) / 2
    middle, low = gammaincinv(half, [0.5, 0.05])
    halfway = np.median(scatter[known])
    return halfway * half / middle, halfway * low / middle


def _known_noise(
    values: np.ndarray, middle: np.ndarray, count: np.ndarray, stated: np.ndarray | None, noise: Noise | None
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most that the standard deviation of a pixel's values is taken to be."""
    some = slice(None, None, max(1, values.shape[1] // _COMPARED))
    if stated is not None:
        expected, mean = stated[:, some], _mean_of(stated, ~np.isnan(values))
    elif noise is not None:
        expected, mean = noise.expected(middle[some]), noise.mean(middle)
    else:
        expected, mean = np.ones_like(values[:, some]), np.ones_like(middle)
    declared = stated is not None or noise is not None
    variance = mean * np.float32(_excess(values[:, some], expected, otherwise=float(declared)))
    besides = 0 if noise is None else np.square(np.float32(noise.relative) * middle)
    most = np.where(
        (count < _FEW) & (variance > 0), np.float32(_WIDEST) * np.sqrt(variance + besides), np.inf
    )
    return np.sqrt(variance), most.astype(np.float32)


def _excess(values: np.ndarray, expected: np.ndarray, *, otherwise: float) -> float:
    """The variance by which pairs of frames differ, over the expected one; `otherwise` where no two differ."""
    one, other, alike = _pairs(len(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        away = values[one] - values[other]
        away -= _middle_of_rows(away)[:, None]
        away = np.abs(away, out=away) / np.sqrt(expected[one] + expected[other])
    spread = MAD_TO_SIGMA * _middle_of_rows(away)
    if not (spread > 0).all():
        mean = _mean_of(away.T, np.isfinite(away.T))
        spread = np.where(spread > 0, spread, _MEAN_DEVIATION_TO_SIGMA * mean)
    known = np.sort(spread[(spread > 0) & np.isfinite(spread)])[:alike]
    return float(np.median(known)) ** 2 if known.size else otherwise


def _pairs(n: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Pairs of frames to be compared, and how many of them are left without one bad frame, or two of five and more."""
    if n <= _ALL_PAIRS:
        good = n - (0 if n < 3 else 1 if n < 5 else 2)
        return *np.triu_indices(n, 1), max(good * (good - 1) // 2, 1)
    one = np.linspace(0, (n - 2) // 2, min(n // 2, _ALL_PAIRS)).astype(int) * 2
    return one, one + 1, max(len(one) - 2, 1)


def _middle_of_rows(values: np.ndarray) -> np.ndarray:
    """The median of each row, of what is finite; infinity for a row that has nothing."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return np.partition(values, values.shape[1] // 2, axis=1)[:, values.shape[1] // 2]
    rows, number = np.sort(np.where(bad, np.inf, values), axis=1), (~bad).sum(axis=1)
    return rows[np.arange(len(rows)), number // 2]


def _unclipped(
    ordered: np.ndarray, count: np.ndarray, sigma: float, iterations: int, least: np.ndarray, most: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and last (excluded) rank of the values within `sigma` standard deviations of the median.

    A pixel's standard deviation is that of its values, but not less than `least` and not more than `most`.
    """
    first, last = np.zeros_like(count), count.copy()
    active = np.arange(count.size)
    for _ in range(iterations):
        part = ordered if active.size == count.size else ordered[:, active]
        centre = _middle(part, first[active], last[active])
        spread = _spread(part - centre, first[active], last[active])
        limit = sigma * np.clip(spread, least[active], most[active])
        low, high = _at_rank(part, first[active]), _at_rank(part, last[active] - 1)
        outlying = (low < centre - limit) | (high > centre + limit)
        if not outlying.any():
            break
        part, active = part[:, outlying], active[outlying]
        centre, limit = centre[outlying], limit[outlying]
        middle = first[active] + last[active]  # twice the median's rank: what makes the median stays
        below = np.count_nonzero(part < centre - limit, axis=0)
        upto = np.count_nonzero(part <= centre + limit, axis=0)
        first[active] = np.minimum(np.maximum(first[active], below), (middle - 1) // 2)
        last[active] = np.maximum(np.minimum(last[active], upto), middle // 2 + 1)
    return first, last


def _spread(away: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Standard deviation of a Gaussian from the deviations, between two ranks, from the median."""
    n, number = len(away), last - first
    away = np.abs(away)
    if number.min() == n:
        spread = _plain_median(away)
    else:
        rows = sort_down(np.where(_between(n, first, last), away, np.inf))
        spread = _middle(rows, np.zeros_like(number), number)
    few = np.asarray(MAD_OF_FEW, dtype=np.float32)[np.minimum(number, 9)]
    spread *= MAD_TO_SIGMA * np.where(number > 9, number / (number - np.float32(0.8)), few)
    flat = spread == 0
    if flat.any():
        spread[flat] = _MEAN_DEVIATION_TO_SIGMA * _mean_of(
            away[:, flat], _between(n, first[flat], last[flat])
        )
    return spread


def _between(n: int, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    ranks = np.arange(n, dtype=first.dtype)[:, None]
    return (ranks >= first) & (ranks < last)


def _mean_of(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.where(kept, values, 0).sum(axis=0) / np.maximum(kept.sum(axis=0), 1)


def _mean_and_scatter(
    ordered: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the values between two ranks.

    Sums are taken of the differences from the median, so that float32 is exact enough.
    """
    number = last - first
    centre = _middle(ordered, first, last)
    away = ordered - centre
    some = number < len(ordered)
    if some.any():
        away[:, some] = np.where(_between(len(ordered), first[some], last[some]), away[:, some], 0)
    mean = away.sum(axis=0) / np.maximum(number, 1)
    squares = np.square(away, out=away).sum(axis=0) - number * np.square(mean)
    scatter = np.where(number > 1, np.maximum(squares, 0) / np.maximum(number - 1, 1), np.nan)
    return centre + mean, scatter


def _scatter_to_variance(variance: np.ndarray, count: np.ndarray, method: str) -> None:
    """The variance of one value becomes that of the combined one, in place."""
    numbers = np.arange(count.max() + 1)
    factor = median_variance_factor(numbers) if method == "median" else np.ones(numbers.size)
    factor = np.where(numbers > 0, factor / np.maximum(numbers, 1), np.nan)
    variance *= factor.astype(np.float32)[count]
