"""Periods of unevenly sampled series (Lomb 1976; Scargle 1982; VanderPlas 2018), and folded light curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.timeseries import LombScargle
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.points import measured_in_order
from potpyri_like.photometry.bins import bin_series

__all__ = ["Periodogram", "PhaseBins", "fold", "multiband_periodogram", "periodogram", "phase_bins"]

_FALSE_ALARMS = (0.1, 0.01, 0.001)
_LEAST = 10  # points
_MOST = 5_000_000  # frequencies
_Series = tuple[np.ndarray, np.ndarray, np.ndarray]  # time, flux, error: measured, in order of time


@dataclass(frozen=True, eq=False)
class Periodogram:
    """Power against frequency, and the best period; NaN and empty arrays when there are too few points.

    Attributes
    ----------
    frequency : ndarray, shape (n_frequencies,), 1 / unit of time
    power : ndarray, shape (n_frequencies,)
        Fraction of the variance that a sinusoid of that frequency explains, 0 to 1.
    false_alarms : tuple of float
        Probabilities that white noise alone has a peak above the `levels`, anywhere in the range.
    levels : ndarray, shape (n_false_alarms,)
        NaN for several bands.
    period, period_error : float, unit of time
        Of the highest peak. The error is that of a sinusoid in white noise of the scatter that is left; it
        does not know that the peak may be an alias.
    best_power, false_alarm : float
        Of that peak; the probability is NaN for several bands.
    amplitude, amplitude_error : ndarray, shape (n_bands,)
        Half the swing of the sinusoid in each band, in the unit of the flux; NaN for a band excluded.
    notes : tuple of str
        What is to be doubted, in sentences.
    """

    frequency: np.ndarray
    power: np.ndarray
    false_alarms: tuple[float, ...]
    levels: np.ndarray
    period: float
    period_error: float
    best_power: float
    false_alarm: float
    amplitude: np.ndarray
    amplitude_error: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PhaseBins:
    """A folded light curve in bins of phase.

    Attributes
    ----------
    phase : ndarray, shape (n,)
        Middle of the bin, -0.5 to 0.5.
    value, error : ndarray, shape (n,)
        Mean and its error; NaN for a bin without points, or where nothing tells the error.
    n : ndarray of int, shape (n,)
        Points in the bin.
    """

    phase: np.ndarray
    value: np.ndarray
    error: np.ndarray
    n: np.ndarray


def periodogram(
    time: ArrayLike,
    flux: ArrayLike,
    error: ArrayLike | None = None,
    *,
    min_period: float | None = None,
    max_period: float | None = None,
    oversampling: int = 10,
) -> Periodogram:
    """Lomb-Scargle periodogram with a floating mean, its best period and false-alarm levels (Baluev 2008).

    White noise is the null hypothesis: flickering sources reach the levels by red noise alone, and more so at
    long periods. Gaps put aliases at 1/period +- 1/(their rhythm), 1 per day for nights.

    Parameters
    ----------
    time, flux : array_like, shape (n,)
        In any order; NaN is ignored.
    error : array_like, shape (n,), optional
        Above 0.
    min_period, max_period : float, unit of time
        Otherwise two median cadences, and the span.
    oversampling : int
        Frequencies per peak width, 1 / span.
    """
    band = _measured(time, flux, error)
    if band[0].size < _LEAST:
        return _nothing([band])
    found = _search([band], _grid([band], min_period, max_period, oversampling))
    frequency, search = found.frequency, LombScargle(*band)
    options = {"method": "baluev", "minimum_frequency": frequency[0], "maximum_frequency": frequency[-1]}
    return replace(
        found,
        levels=np.asarray(search.false_alarm_level(_FALSE_ALARMS, **options)),
        false_alarm=float(search.false_alarm_probability(found.best_power, **options)),
    )


def multiband_periodogram(
    bands: Sequence[Sequence[ArrayLike]],
    *,
    min_period: float | None = None,
    max_period: float | None = None,
    oversampling: int = 10,
) -> Periodogram:
    """One period for several bands, each with its own mean, amplitude and phase (VanderPlas & Ivezic 2015).

    The power is that of each band, weighted by its chi-squared about its mean: the part of the whole that the
    sinusoids explain. It has no levels of false alarm.

    Parameters
    ----------
    bands : sequence of (time, flux, error)
        As for `periodogram`, with the errors; those with fewer than ten points are excluded.
    """
    measured = [_measured(*band) for band in bands]
    used = np.array([band[0].size >= _LEAST for band in measured], bool)
    if not used.any():
        return _nothing(measured)
    kept = [band for band, use in zip(measured, used, strict=True) if use]
    found = _search(kept, _grid(kept, min_period, max_period, oversampling))
    if used.all():
        return found
    told = f"{np.sum(~used)} of {used.size} bands have fewer than {_LEAST} usable points and are excluded"
    amplitude, amplitude_error = np.full((2, used.size), np.nan)
    amplitude[used], amplitude_error[used] = found.amplitude, found.amplitude_error
    return replace(found, amplitude=amplitude, amplitude_error=amplitude_error, notes=(*found.notes, told))


def fold(time: ArrayLike, period: float, epoch: float) -> np.ndarray:
    """Phase from -0.5 up to, not including, 0.5; 0 at the epoch.

    Parameters
    ----------
    time : array_like, shape (n,)
    period, epoch : float, unit of `time`
    """
    if not (np.isfinite(period) and period > 0 and np.isfinite(epoch)):
        raise UsageError(
            f"period {period} and epoch {epoch}; the period must be above 0 and the epoch a time"
        )
    cycles = (np.asarray(time, float) - epoch) / period
    phase = cycles - np.floor(cycles + 0.5)
    return np.where(phase >= 0.5, -0.5, phase)  # rounding


def phase_bins(
    phase: ArrayLike, flux: ArrayLike, error: ArrayLike | None = None, *, n: int = 20
) -> PhaseBins:
    """Mean flux in n equal bins of phase, from -0.5 to 0.5, each with its own count and error.

    The error is that of the mean from the scatter in the bin; of fewer than three points, from their errors.

    Parameters
    ----------
    phase, flux, error : array_like, shape (n_points,)
        In any order; phases of any cycle. A point with a NaN is ignored.
    n : int
        Bins, 1 or more.
    """
    if n < 1:
        raise UsageError(f"{n} bins of phase; give 1 or more")
    columns = [np.asarray(column, float) for column in (phase, flux, error) if column is not None]
    columns = [column[np.isfinite(columns[0])] for column in columns]
    cell = np.floor((fold(columns[0], 1, 0) + 0.5) * n + 1e-9).astype(int) % n
    bins = [bin_series(cell[cell == k], *(c[cell == k] for c in columns[1:]), width=1) for k in range(n)]
    return PhaseBins(
        phase=(np.arange(n) + 0.5) / n - 0.5,
        value=np.array([b.value[0] if b.n.size else np.nan for b in bins]),
        error=np.array([b.error[0] if b.n.size else np.nan for b in bins]),
        n=np.array([b.n.sum() for b in bins]),
    )


def _measured(time: ArrayLike, flux: ArrayLike, error: ArrayLike | None = None) -> _Series:
    """The points where all is finite, in order of time counted from the first; equal errors for none."""
    time, flux = np.asarray(time, float), np.asarray(flux, float)
    error = np.ones_like(flux) if error is None else np.asarray(error, float)
    good = measured_in_order(time, flux, np.where(error > 0, error, np.nan))
    if good.size and not (np.ptp(flux[good]) > 0 and np.ptp(time[good]) > 0):
        good = good[:0]  # nothing can be explained of a constant
    return time[good] - (time[good[0]] if good.size else 0), flux[good], error[good]


def _grid(
    bands: Sequence[_Series], min_period: float | None, max_period: float | None, oversampling: int
) -> np.ndarray:
    """Evenly spaced frequencies from that of the longest period to that of the shortest."""
    span = max(np.ptp(time) for time, _, _ in bands)
    cadence = min(np.median(step[step > 0]) for time, _, _ in bands if (step := np.diff(time)).any())
    shortest = 2 * cadence if min_period is None else min_period
    longest = span if max_period is None else max_period
    if not 0 < shortest < longest < np.inf:
        raise UsageError(
            f"periods from {shortest:g} to {longest:g}: the shortest must be above 0 and below the longest "
            f"(the light curve spans {span:g}, with a cadence of {cadence:g})"
        )
    step = 1 / (oversampling * span)
    n = int((1 / shortest - 1 / longest) / step) + 2
    if n > _MOST:
        raise UsageError(
            f"periods down to {shortest:g} over a span of {span:g} are {n} frequencies, more than {_MOST}; "
            "give a longer shortest period"
        )
    return 1 / longest + step * np.arange(n)


def _search(bands: Sequence[_Series], frequency: np.ndarray) -> Periodogram:
    """The periodogram of the bands together, and its highest peak, without false alarms."""
    searches = [LombScargle(*band) for band in bands]
    # Sum of the chi-squared that the sinusoids explain, over that of the bands' own means.
    weight = np.array([_chi2_about_mean(*band) for band in bands])
    weight /= weight.sum()
    fast = {"method": "fast", "assume_regular_frequency": True}
    power = weight @ [search.power(frequency, **fast) for search in searches]
    best, highest = _top(
        lambda f: weight @ [search.power(f, method="slow") for search in searches], frequency, power
    )
    fits = np.array([_sinusoid(best, *band) for band in bands])
    return Periodogram(
        frequency=frequency,
        power=power,
        false_alarms=_FALSE_ALARMS,
        levels=np.full(len(_FALSE_ALARMS), np.nan),
        period=1 / best,
        period_error=float(np.sum(fits[:, 0] ** -2) ** -0.5 / best**2),
        best_power=highest,
        false_alarm=np.nan,
        amplitude=fits[:, 1],
        amplitude_error=fits[:, 2],
        notes=_notes(best, frequency, max(np.ptp(band[0]) for band in bands)),
    )


def _chi2_about_mean(time: np.ndarray, flux: np.ndarray, error: np.ndarray) -> float:
    return np.sum(((flux - np.average(flux, weights=error**-2)) / error) ** 2)


def _top(power_at: Callable[[float], float], frequency: np.ndarray, power: np.ndarray) -> tuple[float, float]:
    """Frequency and power of the top of the highest peak, between the neighbours of its highest sample."""
    top = int(np.argmax(power))
    low, high = frequency[max(top - 1, 0)], frequency[min(top + 1, frequency.size - 1)]
    found = minimize_scalar(
        lambda f: -power_at(f), bounds=(low, high), method="bounded", options={"xatol": 1e-5 * (high - low)}
    )
    return float(found.x), float(-found.fun)


def _sinusoid(
    frequency: float, time: np.ndarray, flux: np.ndarray, error: np.ndarray
) -> tuple[float, float, float]:
    """A sinusoid fitted with its frequency free: error of the frequency, amplitude, error of the amplitude.

    Errors are from the curvature of chi-squared, for the scatter that is left where that is larger than the errors say.
    """
    angle = 2 * np.pi * frequency * (time - time.mean())
    basis = np.stack([np.ones_like(time), np.cos(angle), np.sin(angle)], axis=1)
    level, cosine, sine = np.linalg.lstsq(basis / error[:, None], flux / error, rcond=None)[0]
    slope = 2 * np.pi * (time - time.mean()) * (sine * np.cos(angle) - cosine * np.sin(angle))
    design = np.column_stack([basis, slope]) / error[:, None]
    residual = (flux - basis @ [level, cosine, sine]) / error
    chi2 = np.sum(residual**2) / (time.size - 4)
    scale = chi2 if (error == 1).all() else max(chi2, 1)
    covariance = scale * np.linalg.pinv(design.T @ design)
    amplitude = float(np.hypot(cosine, sine))
    towards = np.array([cosine, sine]) / max(amplitude, 1e-300)
    variance = towards @ covariance[1:3, 1:3] @ towards
    return np.sqrt(covariance[3, 3]), amplitude, np.sqrt(variance)


def _notes(best: float, frequency: np.ndarray, span: float) -> tuple[str, ...]:
    notes = []
    if 1 / best > span / 2:
        notes.append(
            f"the period, {1 / best:g}, is longer than half of the span, {span:g}: fewer than two cycles were seen"
        )
    if best < frequency[1] or best > frequency[-2]:
        notes.append(f"the period, {1 / best:g}, lies at the end of the range that was searched")
    return tuple(notes)


def _nothing(bands: Sequence[_Series]) -> Periodogram:
    counts = ", ".join(str(band[0].size) for band in bands) or "no"
    return Periodogram(
        frequency=np.zeros(0),
        power=np.zeros(0),
        false_alarms=_FALSE_ALARMS,
        levels=np.full(len(_FALSE_ALARMS), np.nan),
        period=np.nan,
        period_error=np.nan,
        best_power=np.nan,
        false_alarm=np.nan,
        amplitude=np.full(len(bands), np.nan),
        amplitude_error=np.full(len(bands), np.nan),
        notes=(f"{counts} points that vary: {_LEAST} are needed for a period",),
    )
