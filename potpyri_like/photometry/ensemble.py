"""Comparison stars: chosen, weighted, and divided by (Broeg, Fernandez & Neuhaeuser 2005, AN 326, 134).

Arrays are (n_frames, n_stars). A point is measured when its flux is finite and its error is finite and above
0; any other counts as missing in that frame, for that star alone. Every star is scaled to its own level
*against the ensemble* before the stars are averaged, so one that is missing from some frames leaves no step
in the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.photometry.noise import (
    MAD_TO_SIGMA,
    nan_median,
    point_to_point,
    spikes,
)

__all__ = [
    "Ensemble",
    "baseline",
    "ensemble_light_curve",
    "ensemble_weights",
    "light_lost",
    "relative_flux",
]

_DARKEST = 1e-4  # of the usual light: less, or less than none, is as dark


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The comparison stars of a series, and why the others are not among them.

    Attributes
    ----------
    weights : ndarray, shape (n_stars,)
        Sums to 1; 0 for a star that is not used. All 0 when no star can be.
    reasons : tuple of str
        One per star: why it is not used; empty where it is.
    scatter : ndarray, shape (n_stars,)
        Own relative scatter of each candidate, that of its comparison stars removed; NaN for the others.
    expected : ndarray, shape (n_stars,)
        Relative scatter that its errors and its peers lead one to expect; NaN for the others.
    converged : bool
    note : str
        What a reader has to know of this choice, else empty: "only one comparison star: ...".
    """

    weights: np.ndarray
    reasons: tuple[str, ...]
    scatter: np.ndarray
    expected: np.ndarray
    converged: bool
    note: str


@dataclass(frozen=True, eq=False)
class _Scatter:
    """What the candidates show; `level` their fluxes against the ensemble, the others (n_stars,) relative."""

    weights: np.ndarray
    sigma: np.ndarray
    level: np.ndarray
    shown: np.ndarray
    expected: np.ndarray
    n_points: np.ndarray
    converged: bool = False


def ensemble_weights(
    flux: ArrayLike,
    error: ArrayLike,
    *,
    usable: ArrayLike | None = None,
    target: int | Sequence[int] | None = None,
    excluded: Mapping[int, str] | None = None,
    min_coverage: float = 0.7,
    max_noise: float = 0.1,
    variable: float = 2.5,
    max_iterations: int = 60,
    tolerance: float = 1e-3,
) -> Ensemble:
    """Weight comparison stars by how constant they are (Broeg et al. 2005).

    Each star's light curve against all the others, itself excluded, gives its scatter, fast and slow
    variations alike but for single outliers; the scatter gives 1 / sigma**2, and so on until the weights
    stay. Here sigma is never below the star's formal error, nor below what its peers show: the errors of all
    are scaled (by 1 or more) and a constant is added in quadrature to meet the scatter of most of them, so
    that scintillation and flat fields forgotten in the errors do not make the bright stars look variable. A
    scatter within two of its own sampling errors of the expectation counts as the expectation. Variable stars
    are then excluded.

    Parameters
    ----------
    flux, error : array_like, shape (n_frames, n_stars), electron
        In order of time; NaN where a star was not measured in a frame.
    usable : array_like of bool, shape (n_stars,), optional
    target : int or sequence of int, optional
        Never a comparison star, from the start.
    excluded : mapping of int to str, optional
        Stars to leave out, each with the caller's reason.
    min_coverage : float
        Least number of measured frames, over that of the best covered candidate.
    max_noise : float
        Largest relative error of a single measurement, unless the best star has more than a third of it.
    variable : float
        Times the expected scatter beyond which a star is excluded as variable; never with fewer than three
        candidates, of which no one could say which it is.
    max_iterations : int
    tolerance : float
        Converged when no weight changes by more than this fraction of the largest.
    """
    flux, error = _measured(flux, error)
    reasons = _first_reasons(flux, error, usable, target, excluded or {}, min_coverage, max_noise)
    shown, expected = np.full((2, flux.shape[1]), np.nan)
    while True:
        chosen = np.array([i for i, reason in enumerate(reasons) if not reason], int)
        state = _converge(flux[:, chosen], error[:, chosen], max_iterations, tolerance)
        shown[chosen], expected[chosen] = state.shown, state.expected
        found = _variable(state, variable)
        if not found.size:
            break
        for i in found:
            ratio = state.shown[i] / state.expected[i]
            reasons[chosen[i]] = f"variable: rms is {ratio:.1f} times its noise"
    weights = np.zeros(flux.shape[1])
    weights[chosen] = state.weights
    return Ensemble(weights, tuple(reasons), shown, expected, state.converged, _note(chosen, state))


def ensemble_light_curve(
    flux: ArrayLike, error: ArrayLike, weights: ArrayLike, *, clip: float = 6.0
) -> tuple[np.ndarray, np.ndarray]:
    """The comparison stars as one, with a median of 1.

    Parameters
    ----------
    flux, error : array_like, shape (n_frames, n_stars), electron
        NaN where a star was not measured; the rest of that frame is used.
    weights : array_like, shape (n_stars,)
    clip : float
        A comparison star this many sigma from the median of all of them is excluded from that frame (a cosmic
        ray); with fewer than three in the frame none is. The larger counts of its robust scatter and its
        error.

    Returns
    -------
    ensemble, ensemble_err : ndarray, shape (n_frames,)
        NaN in a frame without a measured comparison star, everywhere when all weights are 0.
    """
    shape, shape_err, weights, _ = _comparison(flux, error, weights, clip)
    mean, variance, _ = _weighted_mean(shape, shape_err, weights)
    return mean, np.sqrt(variance)


def relative_flux(
    flux: ArrayLike, error: ArrayLike, weights: ArrayLike, *, clip: float = 6.0
) -> tuple[np.ndarray, np.ndarray]:
    """Every star over the comparison stars, each of which is excluded from its own divisor; medians of 1.

    The error is the star's own and that of its divisor, in quadrature. To put the level out of transit at 1,
    divide by `baseline`.

    Parameters
    ----------
    flux, error, weights, clip
        As for `ensemble_light_curve`.

    Returns
    -------
    relflux, relflux_err : ndarray, shape (n_frames, n_stars)
        NaN where the star, or all of its comparison stars, were not measured; all NaN for a star whose median
        flux is not above 0, and for a comparison star that is the only one.
    """
    shape, shape_err, weights, index = _comparison(flux, error, weights, clip)
    flux, error = _measured(flux, error)
    mean, variance, _ = _weighted_mean(shape, shape_err, weights)
    divisor, divisor_var = np.tile(mean[:, None], flux.shape[1]), np.tile(variance[:, None], flux.shape[1])
    divisor[:, index], divisor_var[:, index] = _leave_one_out(shape, shape_err, weights)
    curve = flux / divisor
    curve_err = np.hypot(error / divisor, curve * np.sqrt(divisor_var) / divisor)
    level = nan_median(curve)
    level = np.where(level > 0, level, np.nan)
    return curve / level, curve_err / level


def baseline(flux: ArrayLike, time: ArrayLike | None = None, *, nsigma: float = 2.5) -> float:
    """The level of a series out of transit, whether or not there is one: a dip may last 45 % of the series.

    A running mean over a twelfth of the points is clipped, on its low side only, at `nsigma` times its
    scatter, from its upper quartile downwards and then from the median of what is left, until nothing
    changes. The answer is the median of the points that are left, never fewer than half of all. The scatter
    is the point-to-point noise of the mean or, if larger, how far the mean strays upwards (upper quartile to
    upper decile): a trend strays both ways and so is not eaten up from below. A dip is seen when it is about
    four times as deep as the noise of the mean.

    Parameters
    ----------
    flux : array_like, shape (n,)
        NaN is ignored; NaN is returned when nothing is left.
    time : array_like, shape (n,), optional
        For the order of the points; a NaN leaves the point out.
    """
    flux = _in_order(flux, time)
    if flux.size < 10:
        return float(np.median(flux)) if flux.size else np.nan
    width = max(flux.size // 12, 1)
    kernel = np.ones(width)
    smooth = np.convolve(flux, kernel, "same") / np.convolve(np.ones(flux.size), kernel, "same")
    middle, level, high = np.quantile(smooth, [0.5, 0.75, 0.9])
    # 0.61 sigma from quartile to decile of a normal distribution; 0.8 where the lower half of the points is a
    # dip.
    scatter = max(point_to_point(flux) / np.sqrt(width), (high - level) / 0.7)
    for _ in range(50):
        kept = smooth >= min(level - nsigma * scatter, middle)
        before, level = level, np.median(smooth[kept])
        if level == before:
            break
    return float(np.median(flux[kept]))


def light_lost(
    flux: ArrayLike, weights: ArrayLike, airmass: ArrayLike | None = None, *, limit: float = 0.3
) -> np.ndarray:
    """How much light the comparison stars lost in each frame, the median star's loss against a smooth trend.

    The trend of the logarithm of their light is a straight line in airmass or, without it, a parabola in the
    number of the frame, fitted so that up to about 40 % of cloudy frames do not bend it.

    Parameters
    ----------
    flux : array_like, shape (n_frames, n_stars)
        NaN where a star was not measured: that alone is no loss.
    weights : array_like, shape (n_stars,)
        Stars above 0 count, all alike.
    airmass : array_like, shape (n_frames,), optional
        A frame where it is NaN is judged by the trend at the median airmass; all NaN is as good as none.
    limit : float
        The part of the light whose loss is a cloud, which the trend does not follow.

    Returns
    -------
    ndarray, shape (n_frames,)
        A part of the light: 0 on the trend, nearly 1 in the dark, below 0 where stars are brighter; 0 where no star was
        measured.
    """
    flux = np.asarray(flux, float)
    same = (np.asarray(weights, float) > 0).astype(float)
    shape, *_ = _comparison(flux, np.where(np.isfinite(flux), 1.0, np.nan), same, np.inf)
    light = np.maximum(nan_median(shape.T), _DARKEST) if shape.shape[1] else np.full(len(flux), np.nan)
    measured, lost = np.isfinite(light), np.zeros(light.size)
    if measured.sum() > 3:
        terms = _trend_terms(light.size, airmass)[measured]
        lost[measured] = -np.expm1(_upper_trend(terms, np.log(light[measured]), -np.log1p(-limit)))
    return lost


def _measured(flux: ArrayLike, error: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, NaN together where either is missing."""
    flux, error = np.asarray(flux, float), np.asarray(error, float)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    return np.where(good, flux, np.nan), np.where(good, error, np.nan)


def _first_reasons(
    flux: np.ndarray,
    error: np.ndarray,
    usable: ArrayLike | None,
    target: int | Sequence[int] | None,
    excluded: Mapping[int, str],
    min_coverage: float,
    max_noise: float,
) -> list[str]:
    """Why a star cannot be a comparison star, before any light curve is looked at; "" where it can."""
    n_stars = flux.shape[1]
    reasons = [excluded.get(i, "") for i in range(n_stars)]
    for i in np.atleast_1d([] if target is None else target).astype(int):
        reasons[i] = "target"
    usable = np.ones(n_stars, bool) if usable is None else np.asarray(usable, bool)
    reasons = [reason or ("" if good else "not usable") for reason, good in zip(reasons, usable, strict=True)]
    reasons = _coverage_reasons(reasons, np.isfinite(flux), min_coverage)
    return _faint_reasons(reasons, nan_median(flux), nan_median(error), max_noise)


def _coverage_reasons(reasons: list[str], good: np.ndarray, min_coverage: float) -> list[str]:
    candidate = np.array([not reason for reason in reasons], bool)
    share = good.mean(axis=0) if good.size else np.zeros(good.shape[1])
    least = min_coverage * np.max(share, initial=0.0, where=candidate)
    return [
        reason
        or (
            "not measured"
            if s == 0
            else f"measured in only {100 * s:.0f} % of the frames"
            if s < least
            else ""
        )
        for reason, s in zip(reasons, share, strict=True)
    ]


def _faint_reasons(reasons: list[str], level: np.ndarray, error: np.ndarray, max_noise: float) -> list[str]:
    noise = np.divide(error, level, out=np.full(level.size, np.inf), where=level > 0)
    candidate = np.array([not reason for reason in reasons], bool)
    most = max(max_noise, 3 * np.min(noise, initial=np.inf, where=candidate))
    too_faint = [
        "too faint: median flux not above 0"
        if not np.isfinite(n)
        else f"too faint: one measurement is uncertain by {100 * n:.0f} %"
        if n > most
        else ""
        for n in noise
    ]
    return [reason or faint for reason, faint in zip(reasons, too_faint, strict=True)]


def _converge(flux: np.ndarray, error: np.ndarray, max_iterations: int, tolerance: float) -> _Scatter:
    """Weights and scatter of the candidates, in turn until the weights stay."""
    level = nan_median(flux)
    formal = nan_median(error) / level
    weights = _normalised(1 / formal**2)
    state = _Scatter(weights, formal, level, formal, formal, np.zeros(level.size), level.size < 2)
    spiked = None
    for _ in range(0 if state.converged else max_iterations):
        level = _levels(flux, state.weights, start=state.level, passes=1)
        shape, shape_err = flux / level, error / level
        curve, _ = _leave_one_out(shape, shape_err, state.weights)
        curve = shape / curve
        if spiked is None:
            spiked = spikes(curve)
        before, state = (
            state.weights,
            _measure(shape, shape_err, np.where(spiked, np.nan, curve), level, state),
        )
        if np.max(np.abs(state.weights - before)) <= tolerance * state.weights.max():
            return replace(state, converged=True)
    return state


def _measure(
    shape: np.ndarray, shape_err: np.ndarray, curve: np.ndarray, level: np.ndarray, state: _Scatter
) -> _Scatter:
    """One round: the scatter of each star's curve, what it should be, and the weight that follows."""
    mean, _, _ = _weighted_mean(shape, shape_err, state.weights)
    with np.errstate(invalid="ignore"):
        clear = mean > 0.5 * nan_median(mean)  # the noise in thick cloud says nothing of a star
    curve, shape_err = curve[clear], (shape_err / mean[:, None])[clear]
    n_points = np.isfinite(curve).sum(axis=0)
    formal = _root_mean_square(shape_err, n_points)
    scatter2 = _variance(curve, n_points) - _divisor_variance(state.weights, state.sigma)
    shown = np.sqrt(np.maximum(np.where(n_points > 2, scatter2, formal**2), 0))
    expected = _expected_scatter(shown, formal)
    ratio = shown / expected / (1 + 2 * _sampling_error(n_points))
    sigma = expected * np.maximum(ratio, 1)
    sigma = np.sqrt(sigma * state.sigma)  # half way in the logarithm: two stars alone would swing to and fro
    return _Scatter(_normalised(1 / sigma**2), sigma, level, shown, expected, n_points)


def _expected_scatter(shown: np.ndarray, formal: np.ndarray) -> np.ndarray:
    """Errors scaled by 1 or more, plus the constant that the brighter half then needs, whichever fits best.

    Best is the least sum of absolute logarithms. Half, but three stars at least where there are as many: the
    median of three forgives one variable.
    """
    half = max(shown.size // 2, min(3, shown.size))
    by_error = np.argsort(formal)
    brighter, fainter = by_error[:half], by_error[-half:]
    largest = max(1.0, np.median(shown[fainter] / formal[fainter]))
    scaled2 = (np.linspace(1, largest, 9)[:, None] * formal) ** 2
    constant = np.median((shown**2 - scaled2)[:, brighter], axis=1, keepdims=True)
    models = np.sqrt(scaled2 + np.maximum(constant, 0))
    misfit = np.abs(np.log(np.maximum(shown, 1e-3 * formal) / models)).sum(axis=1)
    return models[np.argmin(misfit)]


def _variable(state: _Scatter, factor: float) -> np.ndarray:
    """Positions, among the candidates, of those that vary beyond doubt; two at least are always left."""
    ratio = state.shown / state.expected
    excess = np.flatnonzero(ratio > np.maximum(factor, 1 + 5 * _sampling_error(state.n_points)))
    worst_first = excess[np.argsort(-ratio[excess])]
    return worst_first[: max(ratio.size - 2, 0)]


def _note(chosen: np.ndarray, state: _Scatter) -> str:
    if chosen.size == 0:
        return "no comparison star: no relative light curve"
    if chosen.size == 1:
        return "only one comparison star: its variability cannot be checked"
    if chosen.size == 2:
        return "only two comparison stars: a variable one cannot be identified"
    return "" if state.converged else "the weights did not converge"


def _comparison(
    flux: ArrayLike, error: ArrayLike, weights: ArrayLike, clip: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The comparison stars scaled to their levels, the median of their mean at 1, outliers as NaN.

    Returns shape and its error (n_frames, n_used), the weights of those stars, and their indices.
    """
    flux, error = _measured(flux, error)
    weights = np.asarray(weights, float)
    index = np.flatnonzero(weights > 0)
    flux, error, weights = flux[:, index], error[:, index], weights[index]
    level = _levels(flux, weights)
    outlying = _outlying(flux / level, error / level, clip)
    flux, error = np.where(outlying, np.nan, flux), np.where(outlying, np.nan, error)
    level = _levels(flux, weights, start=level)
    mean, _, _ = _weighted_mean(flux / level, error / level, weights)
    scale = level * nan_median(mean)
    return flux / scale, error / scale, weights, index


def _levels(
    flux: np.ndarray, weights: np.ndarray, *, start: np.ndarray | None = None, passes: int = 40
) -> np.ndarray:
    """Flux of each star where the ensemble is at its median: each in turn from the other.

    NaN for a star that is not above 0.
    """
    level = nan_median(flux) if start is None else start
    for _ in range(passes):
        level = np.where(level > 0, level, np.nan)
        mean, _, _ = _weighted_mean(flux / level, None, weights)
        mean = mean / nan_median(mean)  # else the scale they have in common wanders from pass to pass
        now = nan_median(flux / mean[:, None])
        settled = np.allclose(now, level, rtol=1e-6, atol=0, equal_nan=True)
        level = now
        if settled:
            break
    return np.where(level > 0, level, np.nan)


def _outlying(shape: np.ndarray, shape_err: np.ndarray, clip: float) -> np.ndarray:
    """Points far from what the median star does in that frame; none where fewer than three were measured."""
    middle = nan_median(shape.T)[:, None]
    with np.errstate(invalid="ignore"):
        off = shape / np.where(middle > 0, middle, np.nan) - 1
        usual = MAD_TO_SIGMA * nan_median(np.abs(off - nan_median(off)))
        far = np.abs(off - nan_median(off)) > clip * np.maximum(usual, shape_err / middle)
    return far & (np.isfinite(shape).sum(axis=1) >= 3)[:, None]


def _weighted_mean(
    shape: np.ndarray, shape_err: np.ndarray | None, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the measured stars of each frame, its variance, and the weight they have together.

    NaN where there are none or the mean is not above 0.
    """
    good = np.isfinite(shape)
    share = good * weights
    total = share.sum(axis=1)
    total = np.where(total > 0, total, np.nan)
    mean = (share * np.where(good, shape, 0)).sum(axis=1) / total
    mean = np.where(mean > 0, mean, np.nan)
    if shape_err is None:
        return mean, np.full_like(mean, np.nan), total
    return mean, (share**2 * np.where(good, shape_err, 0) ** 2).sum(axis=1) / total**2, total


def _leave_one_out(
    shape: np.ndarray, shape_err: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each star the mean of the others, and its variance: (n_frames, n_stars); NaN without others."""
    share = np.isfinite(shape) * weights
    light = share * np.where(share > 0, shape, 0)
    noise = (share * np.where(share > 0, shape_err, 0)) ** 2
    others = share.sum(axis=1, keepdims=True) - share
    others = np.where(others > 1e-9 * weights.sum(), others, np.nan)
    mean = (light.sum(axis=1, keepdims=True) - light) / others
    variance = np.maximum(noise.sum(axis=1, keepdims=True) - noise, 0) / others**2
    return np.where(mean > 0, mean, np.nan), variance


def _divisor_variance(weights: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Variance of the mean of the others, for each star, from the scatter of each."""
    part = (weights * sigma) ** 2
    return (part.sum() - part) / np.maximum(1 - weights, 1e-9) ** 2


def _root_mean_square(values: np.ndarray, n_points: np.ndarray) -> np.ndarray:
    return np.sqrt(np.nansum(values**2, axis=0) / np.maximum(np.isfinite(values).sum(axis=0), 1))


def _variance(curve: np.ndarray, n_points: np.ndarray) -> np.ndarray:
    """About the mean, ddof=1, relative to the mean."""
    mean = np.nansum(curve, axis=0) / np.maximum(n_points, 1)
    mean = np.where(mean > 0, mean, 1)
    return np.nansum((curve / mean - 1) ** 2, axis=0) / np.maximum(n_points - 1, 1)


def _sampling_error(n_points: np.ndarray) -> np.ndarray:
    """Relative, of a standard deviation."""
    return 1 / np.sqrt(2 * np.maximum(n_points - 1, 1))


def _normalised(weights: np.ndarray) -> np.ndarray:
    total = weights.sum()
    return weights / total if total > 0 else weights


def _in_order(flux: ArrayLike, time: ArrayLike | None) -> np.ndarray:
    flux = np.asarray(flux, float)
    if time is None:
        return flux[np.isfinite(flux)]
    time = np.asarray(time, float)
    good = np.isfinite(flux) & np.isfinite(time)
    return flux[good][np.argsort(time[good], kind="stable")]


def _trend_terms(n_frames: int, airmass: ArrayLike | None) -> np.ndarray:
    """The functions that the trend is a sum of, (n_frames, n_terms)."""
    airmass = np.full(n_frames, np.nan) if airmass is None else np.asarray(airmass, float)
    if np.isnan(airmass).all():
        return np.vander(np.linspace(-1, 1, n_frames), 3)
    middle = nan_median(airmass)
    return np.vander(np.where(np.isfinite(airmass), airmass, middle) - middle, 2)


def _upper_trend(terms: np.ndarray, y: np.ndarray, limit: float) -> np.ndarray:
    """What is left of y after a trend fitted to the points that are not far below it."""
    weight = np.ones(y.size)
    for _ in range(30):  # least absolute deviations, by reweighting: 40 % of low points leave it in place
        left = y - terms @ _fit(terms, y, weight)
        weight = 1 / np.sqrt(np.maximum(np.abs(left), 1e-4))
    for _ in range(30):
        kept = left > -0.5 * limit
        left = y - terms @ _fit(terms, y, kept.astype(float))
    return left


def _fit(terms: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(terms * weight[:, None], y * weight, rcond=None)[0]
