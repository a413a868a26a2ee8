"""The aperture of least noise, and the ranking of variable stars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.errors import ReductionError
from potpyri_like.photometry.bins import Bins, bin_series
from potpyri_like.photometry.ensemble import Ensemble, ensemble_weights, relative_flux
from potpyri_like.photometry.noise import expected, nan_median, point_to_point, rms, running_median, spikes

__all__ = ["ApertureChoice", "airmass_drift", "choose_aperture", "rank_variables", "total_rms"]

_OF_ERRORS = 0.1  # how well the errors tell by how much the noise of two apertures differs
_MOST_ALIKE = 8  # comparison stars that help a target choose its aperture
_FEWEST_IN_LINE = 8  # points
_COVERED = 0.97  # of the measurements of the best covered aperture
_MOST_CONSTANT = 25  # comparison stars that choose without a target

_Metric = Callable[[np.ndarray, np.ndarray | None], float]


def total_rms(flux: ArrayLike, time: ArrayLike | None = None) -> float:
    """The scatter of a series at all time scales."""
    return rms(flux)


@dataclass(frozen=True, eq=False)
class ApertureChoice:
    """One aperture of a grid, and why.

    Attributes
    ----------
    index : int
    metric : ndarray, shape (n_apertures,)
        The noise value that was compared, as measured; NaN where an aperture gave no light curve.
    ensemble : Ensemble
        The comparison stars at the chosen aperture.
    at_edge : bool
        The least noise is at an end of the grid, so that a wider grid might give less.
    reason : str
        A sentence for the observer.
    """

    index: int
    metric: np.ndarray
    ensemble: Ensemble
    at_edge: bool
    reason: str


def choose_aperture(
    flux: ArrayLike,
    error: ArrayLike,
    *,
    target: int | None = None,
    time: np.ndarray | None = None,
    usable: ArrayLike | None = None,
    excluded: Mapping[int, str] | None = None,
    labels: Sequence[str] | None = None,
    metric: _Metric = point_to_point,
    constant_metric: _Metric = total_rms,
) -> ApertureChoice:
    """The aperture whose light curve is the least noisy.

    In every aperture the comparison stars are reweighted and the light curves divided. The noise is that
    of the target and of the comparison stars within a factor of two of its flux or, without a target, that of
    the comparison stars of most weight. Noise values are noisy themselves: what is compared is the value or, if
    larger, the running median over three apertures. The scatter from point to point counts together with what the
    errors of the first of those stars lead one to expect.

    Parameters
    ----------
    flux, error : array_like, shape (n_frames, n_stars, n_apertures), electron
        NaN where not measured; an aperture that has fewer measurements than others, since it leaves the image, is
        passed over. The apertures in rising size.
    target : int, optional
        The star the light curve is for.
    time : array_like, shape (n_frames,), optional
        Handed to the metric.
    usable, excluded
        As for `ensemble_weights`.
    labels : sequence of str, optional
        What to call the apertures in the reason: "2.1 FWHM". Their numbers, counted from 0, without it.
    metric : callable(flux, time) -> float
        A relative number; less is better, NaN is none. The default, point-to-point scatter, does not see the
        depth of a transit.

    Raises
    ------
    ReductionError
        No aperture gives a light curve.
    """
    flux, error = np.asarray(flux, float), np.asarray(error, float)
    apertures = range(flux.shape[2])
    ensembles = [
        ensemble_weights(flux[..., a], error[..., a], usable=usable, target=target, excluded=excluded)
        for a in apertures
    ]
    judges = _judges(ensembles, target, nan_median(flux[..., flux.shape[2] // 2]))
    curves = [relative_flux(flux[..., a], error[..., a], ensembles[a].weights)[0] for a in apertures]
    figure = _noise(curves, time, judges, (metric, constant_metric), target)
    figure[~_covered(curves, judges[:1] if target is not None else judges)] = np.nan
    alike = len(judges) - 1
    whose = (
        "comparison stars"
        if target is None
        else "target"
        if not alike
        else f"target and {alike} stars like it"
    )
    if not np.isfinite(figure).any():
        note = next((e.note for e in ensembles if e.note), "too few measurements")
        raise ReductionError(
            f"no aperture gives a light curve of the {whose} ({note}); choose other stars or other apertures"
        )
    compared = _with_expectation(figure, flux, error, judges[0]) if metric is point_to_point else figure
    index, at_edge = _quietest(compared)
    names = [f"aperture {a}" for a in apertures] if labels is None else list(labels)
    reason = _reason(
        figure, names, index, f"of the {whose}", _name_of(constant_metric if target is None else metric)
    )
    reason += "; best at the edge of the grid" if at_edge else ""
    return ApertureChoice(index, figure, ensembles[index], at_edge, reason)


def rank_variables(
    relflux: ArrayLike, relflux_err: ArrayLike, time: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """The significance of each star's variability, and the stars ranked by it.

    Single outliers are taken out, the series is binned at time scales from four frames to a quarter of its
    length, and the scatter of the bins is compared with the white noise there: the point-to-point scatter or,
    if larger, the errors, over sqrt(n). So a transit or a slow variable stands out, and neither a faint,
    noisy star nor a cosmic ray does; a variation from frame to frame goes unseen.

    Parameters
    ----------
    relflux, relflux_err : array_like, shape (n_frames, n_stars)
        NaN is ignored.
    time : array_like, shape (n_frames,)

    Returns
    -------
    score : ndarray, shape (n_stars,)
        The largest over the time scales, in standard deviations of a normal distribution (chi-square of the
        bins by Wilson & Hilferty 1931); NaN for a star with fewer than 16 points. Of many constant stars, a
        few reach 3.
    order : ndarray of int, shape (n_stars,)
        Stars without a score come last.
    """
    values, error, when = np.asarray(relflux, float), np.asarray(relflux_err, float), np.asarray(time, float)
    by_time = np.argsort(when, kind="stable")
    values, error, when = values[by_time], error[by_time], when[by_time]
    calm = np.where(spikes(values), np.nan, values)
    score = np.array([_variability(*star, when) for star in zip(calm.T, error.T, strict=True)], float)
    return score, np.argsort(np.where(np.isnan(score), np.inf, -score), kind="stable")


def airmass_drift(
    relflux: ArrayLike, relflux_err: ArrayLike, airmass: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """By how much each star's relative flux goes with airmass, as that of a star of another colour than the others'.

    A straight line in airmass is fitted, with errors raised to the scatter about it.

    Parameters
    ----------
    relflux, relflux_err : array_like, shape (n_frames, n_stars)
        NaN is ignored.
    airmass : array_like, shape (n_frames,)

    Returns
    -------
    drift : ndarray, shape (n_stars,)
        Relative, between the least and the largest airmass; NaN with fewer than eight points.
    significance : ndarray, shape (n_stars,)
        In standard deviations.
    """
    values, error, air = (
        np.asarray(relflux, float),
        np.asarray(relflux_err, float),
        np.asarray(airmass, float),
    )
    found = [_line(air, *star) for star in zip(values.T, error.T, strict=True)]
    drift, significance = np.array(found, float).reshape(-1, 2).T
    return drift, significance


def _line(airmass: np.ndarray, flux: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Rise of one star over the range of airmass, and its significance."""
    good = np.isfinite(flux) & np.isfinite(airmass) & (error > 0)
    if good.sum() < _FEWEST_IN_LINE or not np.ptp(airmass[good]) > 0:
        return np.nan, np.nan
    x = (airmass[good] - airmass[good].mean()) / np.ptp(airmass[good])
    terms = np.column_stack([np.ones(x.size), x]) / error[good][:, None]
    data = flux[good] / error[good]
    covariance = np.linalg.inv(terms.T @ terms)
    level, rise = covariance @ terms.T @ data
    left = data - terms @ [level, rise]
    scatter = max(1.0, float(np.sqrt(left @ left / (x.size - 2))))
    return rise / level, abs(rise) / (scatter * np.sqrt(covariance[1, 1]))


def _covered(curves: Sequence[np.ndarray], stars: np.ndarray) -> np.ndarray:
    """Which apertures measured some stars in as many frames as the best does, or nearly; a quiet rest is none."""
    measured = np.array([np.isfinite(curve[:, stars]).sum() for curve in curves])
    return measured >= _COVERED * measured.max(initial=0)


def _judges(ensembles: Sequence[Ensemble], target: int | None, level: np.ndarray) -> np.ndarray:
    """The stars whose noise decides: the best comparison stars; with a target, it and those like it."""
    weights = np.mean([ensemble.weights for ensemble in ensembles], axis=0)
    if target is None:
        best = np.argsort(-weights, kind="stable")[:_MOST_CONSTANT]
        return best[weights[best] > 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        away = np.abs(np.log(level / level[target]))
    away[~((weights > 0) & (away < np.log(2)))] = np.inf
    away[target] = 0
    alike = np.argsort(away, kind="stable")[: 1 + _MOST_ALIKE]
    return alike[np.isfinite(away[alike])]


def _noise(
    curves: Sequence[np.ndarray],
    time: np.ndarray | None,
    judges: np.ndarray,
    metrics: tuple[_Metric, _Metric],
    target: int | None,
) -> np.ndarray:
    """The metric in each aperture, the mean over the judging stars on the scale of the first of them.

    Each star's figures count relative to their median over the apertures, so that a faint star tells apertures
    apart as well as a bright one. Where a target was not measured the others do not speak for it.
    """
    chosen = [metrics[0] if star == target else metrics[1] for star in judges]
    values = np.array(
        [
            [metric(curve[:, star], time) for star, metric in zip(judges, chosen, strict=True)]
            for curve in curves
        ],
        float,
    ).reshape(len(curves), len(judges))
    if not np.isfinite(values).any():
        return np.full(len(curves), np.nan)
    scale = nan_median(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = values / scale
    good = np.isfinite(relative)
    if target is not None:
        good[~good[:, 0]] = False
    total = good.sum(axis=1)
    mean = np.where(good, relative, 0).sum(axis=1) / np.maximum(total, 1)
    return np.where(total > 0, mean * scale[np.isfinite(scale)][0], np.nan)


def _with_expectation(figure: np.ndarray, flux: np.ndarray, error: np.ndarray, star: int) -> np.ndarray:
    """The scatter in each aperture together with what a star's errors lead one to expect, by how well each is known.

    A scatter from point to point is known to sqrt(0.75 / n), 7 % of 140 points, which is more than apertures differ by.
    """
    points = max(1, int(np.isfinite(flux[:, star]).any(axis=1).sum()))
    formal = nan_median(error[:, star] / np.abs(np.where(flux[:, star] != 0, flux[:, star], np.nan)))
    if not np.isfinite(formal).any():
        return figure
    unsure = 0.75 / points
    share = unsure / (unsure + _OF_ERRORS**2)
    expected_noise = formal / nan_median(formal) * nan_median(figure)
    return np.sqrt((1 - share) * figure**2 + share * expected_noise**2)


def _quietest(figure: np.ndarray) -> tuple[int, bool]:
    """The aperture of least noise, and whether the grid may have been too short."""
    measured = np.flatnonzero(np.isfinite(figure))
    # The larger of both: neither a lucky figure among poor ones wins, nor a poor one among good ones.
    sure = np.maximum(figure[measured], running_median(figure[measured], 3))
    best = min(range(measured.size), key=lambda i: (sure[i], figure[measured[i]]))
    return int(measured[best]), measured.size > 1 and best in (0, measured.size - 1)


def _reason(figure: np.ndarray, names: Sequence[str], index: int, whose: str, metric: str) -> str:
    """As in: 2.1 FWHM: point to point 1.90 mmag of the target; 1.7 FWHM 2.03, 2.5 FWHM 1.97."""
    mmag = figure * 2500 / np.log(10)
    text = f"{names[index]}: {metric} {mmag[index]:.2f} mmag {whose}"
    beside = [i for i in (index - 1, index + 1) if 0 <= i < figure.size]
    others = [
        f"{names[i]} {mmag[i]:.2f}" if np.isfinite(mmag[i]) else f"{names[i]} not measured" for i in beside
    ]
    return text + ("; " + ", ".join(others) if others else "; the only one")


def _name_of(metric: _Metric) -> str:
    named = getattr(metric, "name", "") or getattr(metric, "__name__", type(metric).__name__)
    return named.replace("_", " ")


def _variability(flux: np.ndarray, error: np.ndarray, time: np.ndarray) -> float:
    """The largest significance over the time scales of one star."""
    good = np.isfinite(flux) & np.isfinite(time)
    if good.sum() < 16:
        return np.nan
    flux, error, time = flux[good], error[good], time[good]
    noise = np.nanmax([point_to_point(flux, time), np.nan_to_num(expected(error))])
    shortest, longest = 4 * nan_median(np.diff(time)), np.ptp(time) / 4
    if not (noise > 0 and shortest > 0):
        return np.nan
    widths = np.geomspace(shortest, max(longest, shortest), 6)
    return max(_significance(bin_series(time, flux, width=width), noise) for width in widths)


def _significance(bins: Bins, noise: float) -> float:
    """Of the scatter of the bins, as a standard normal deviate."""
    freedom = bins.n.size - 1
    if freedom < 1:
        return -np.inf
    mean = np.average(bins.value, weights=bins.n)
    chi2 = np.sum(bins.n * (bins.value - mean) ** 2) / noise**2
    spread = 2 / (9 * freedom)
    return (np.cbrt(chi2 / freedom) - (1 - spread)) / np.sqrt(spread)
