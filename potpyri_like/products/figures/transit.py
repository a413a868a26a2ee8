"""The fitted transit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import least_squares

from potpyri_like.lightcurves import BandFit, TransitFit
from potpyri_like.lightcurves.transit import ingress_duration, transit_light_curve
from potpyri_like.photometry.bins import bin_series
from potpyri_like.photometry.noise import robust_rms
from potpyri_like.photometry.series import LightCurve
from potpyri_like.products.closing import with_error
from potpyri_like.products.figures.axes import FAINT_LINE, MINUTE, PLAIN_BOX
from potpyri_like.products.figures.colours import band_colour
from potpyri_like.products.figures.drawing import (
    PALE,
    Style,
    blank,
    limits,
    picture,
    shown_time,
    time_axis,
    title,
    trim_ticks,
)
from potpyri_like.products.words import clean, in_mmag, in_ppt, short
from potpyri_like.results import SetResult

__all__ = ["draw_transit", "fine_model", "fitted_bands", "transit_plot"]

_ROUND_MINUTES = (1, 2, 5, 10, 15, 20, 30, 60)
_BINS_PER_TRANSIT = 12  # at most


@dataclass(frozen=True, eq=False)
class _FittedBand:
    """A light curve with its part of a fit, and the exposure of its frames in days."""

    curve: LightCurve
    band: BandFit
    exposure: float


def transit_plot(results: Sequence[SetResult]) -> bytes:
    """The transit of one target in all its bands, without the baselines; the residuals; the depth against the band."""
    return picture(draw_transit, tuple(results), size=(8.5, 4.2 + 1.35 * max(1, len(fitted_bands(results)))))


def fitted_bands(results: Sequence[SetResult]) -> list[_FittedBand]:
    """The light curves that a transit was fitted to."""
    return [
        _FittedBand(result.light_curve, result.band_fit, _exposure_of(result))
        for result in results
        if result.light_curve is not None and result.band_fit is not None
    ]


def _exposure_of(result: SetResult) -> float:
    """The usual exposure of a set, days; 0 where it is not known."""
    exposure = np.zeros(0) if result.series is None else np.asarray(result.series.exposure, float)
    known = exposure[np.isfinite(exposure)]
    return float(np.median(known)) / 86400 if known.size else 0.0


def draw_transit(figure: Figure, results: Sequence[SetResult]) -> None:
    fitted = fitted_bands(results)
    fit = next((result.transit for result in results if result.transit is not None), None)
    height = figure.get_size_inches()[1]
    if fit is None or not fitted:
        blank(figure.add_axes((0.1, 0.1, 0.87, 0.75)), "no transit was fitted")
        return
    title(figure, f"{fitted[0].curve.target}   transit", _transit_words(fit, fitted[0].curve), x=0.095)
    whole = height - 0.55 - 1.0
    axes = [
        figure.add_axes((0.095, (0.55 + start * whole) / height, 0.655, share * whole / height))
        for start, share in ((0.32, 0.68), (0.0, 0.32))
    ]
    time, label = shown_time(np.concatenate([one.curve.time for one in fitted]), fitted[0].curve.time_name)
    offset = float(np.round(_shift_between(fitted[0].curve.time, time)))
    _draw_contacts(axes, fit, offset)
    _draw_detrended(axes[0], fit, fitted, offset)
    _draw_residuals(axes[1], fit, fitted, offset)
    axes[0].tick_params(labelbottom=False)
    time_axis(axes[0], axes[1], time, label)
    axes[0].set_xlim(axes[1].get_xlim())
    axes[0].xaxis.set_major_locator(axes[1].xaxis.get_major_locator())
    figure.align_ylabels(axes)
    top = (0.55 + 0.32 * whole) / height
    _draw_chromaticity(figure.add_axes((0.835, top, 0.15, 0.68 * whole / height)), fit, fitted)
    bins = f"circles: bins of {_bin_width(fit) / MINUTE:.0f} minutes\ncrosses: clipped, not fitted"
    words = f"{_chromaticity_lines(fit)}\n\n{bins}\nlines: mid-transit, contacts"
    figure.text(0.775, top - 0.62 / height, words, fontsize=8, va="top", linespacing=1.35)


def _shift_between(time: np.ndarray, shown: np.ndarray) -> float:
    """The whole number of days that was taken from times before they are shown; 0 where none is known."""
    shift = time - shown[: len(time)]
    known = shift[np.isfinite(shift)]
    return float(known[0]) if known.size else 0.0


def _transit_words(fit: TransitFit, curve: LightCurve) -> str:
    """Mid-time, duration, impact parameter and coverage in a line."""
    scale = {"bjd_tdb": "BJD_TDB", "jd_utc_mid": "JD_UTC"}.get(curve.time_name, curve.time_name)
    words = [
        f"Tc {with_error(fit.tc)} {scale}",
        f"T14 {with_error(fit.t14, factor=24)} h",
        f"b {with_error(fit.b)}",
    ]
    return ",  ".join(words) + ("" if fit.coverage == "full" else f";  {fit.coverage}")


def _draw_contacts(axes: Sequence[Axes], fit: TransitFit, offset: float) -> None:
    """Thin lines at mid-transit and at the contacts."""
    half, full = _contacts(fit)
    for ax in axes:
        ax.axvline(fit.tc.value - offset, color=PALE, linewidth=0.9, zorder=1)
        for elapsed in (half, full):
            for side in (-1, 1):
                ax.axvline(fit.tc.value - offset + side * elapsed, **FAINT_LINE)


def _contacts(fit: TransitFit) -> tuple[float, float]:
    """From mid-transit to fourth and to third contact, days, for a planet of the bands' median size."""
    k = float(np.median([band.k.value for band in fit.bands]))
    half = fit.t14.value / 2
    return half, half - float(ingress_duration(k=k, t14=fit.t14.value, b=fit.b.value))


def _draw_detrended(ax: Axes, fit: TransitFit, fitted: Sequence[_FittedBand], offset: float) -> None:
    """The light curves over their baselines, one below the other, each with its model."""
    step = _step_of([one.curve.detrended for one in fitted], [one.curve.model for one in fitted])
    for place, one in enumerate(fitted):
        level = -step * place
        _draw_series(ax, one, one.curve.detrended, level, offset=offset, width=_bin_width(fit))
        time, model = fine_model(fit, one)
        style: Style = {"color": band_colour(one.curve.band), "linewidth": 1.6, "zorder": 5}
        ax.plot(time - offset, model + level, **style)
        ax.plot(time - offset, model + level, **{**style, "color": "white", "linewidth": 2.8, "zorder": 4.5})
        _label_band(ax, one, 1 + level + 0.2 * step, _band_words(one))
    ax.set_ylabel("flux over the baseline" + (" + offset" if len(fitted) > 1 else ""))
    ax.set_ylim(1 - step * (len(fitted) - 0.12), 1 + step * 0.36)
    trim_ticks(ax, 7, clear=0.02)


def _step_of(series: Sequence[np.ndarray], models: Sequence[np.ndarray] = ()) -> float:
    """A distance that keeps stacked series apart, and leaves room for a line of words between them."""
    spans = [limits(np.concatenate(pair), pad=0.05) for pair in zip(series, models or series, strict=True)]
    widest = max((high - low for low, high in (s for s in spans if s is not None)), default=0.01)
    return 1.35 * widest


def _bin_width(fit: TransitFit) -> float:
    """The width of the bins, days: a round number of minutes, a dozen of which make a transit."""
    wanted = fit.t14.value / MINUTE / _BINS_PER_TRANSIT
    return next((m for m in _ROUND_MINUTES if m >= wanted), _ROUND_MINUTES[-1]) * MINUTE


def _draw_series(
    ax: Axes,
    one: _FittedBand,
    values: np.ndarray,
    level: float,
    *,
    offset: float,
    width: float,
    unit: float = 1.0,
) -> None:
    """Pale points, crosses for those that were clipped, and bins of the others with the errors of the fit."""
    time, colour = one.curve.time - offset, band_colour(one.curve.band)
    used = np.asarray(one.band.used, bool) & np.isfinite(values)
    left = ~used & np.isfinite(values)
    size = 3 if used.sum() < 500 else 2
    ax.plot(
        time[used], values[used] + level, "o", color=colour, markersize=size, markeredgewidth=0, alpha=0.33
    )
    ax.plot(time[left], values[left] + level, "x", color=PALE, markersize=4, markeredgewidth=0.9)
    error = one.curve.flux_err[used] / one.curve.trend[used] * one.band.scale * one.band.beta / unit
    bins = bin_series(time[used], values[used], width=width)
    variance = bin_series(time[used], np.where(error >= 0, error, 0) ** 2, width=width)
    errors = np.sqrt(variance.value / variance.n)
    if bins.n.size and np.median(bins.n) >= 2:
        style: Style = {"color": colour, "markerfacecolor": "white", "markersize": 4.6, "zorder": 6}
        ax.errorbar(bins.time, bins.value + level, errors, fmt="o", elinewidth=1.1, **style)


def fine_model(fit: TransitFit, one: _FittedBand) -> tuple[np.ndarray, np.ndarray]:
    """The fitted transit on an even grid over the light curve and a bit more; from point to point where that fails."""
    time = one.curve.time[np.isfinite(one.curve.time)]
    if not time.size:
        return np.zeros(0), np.zeros(0)
    beyond = 0.02 * np.ptp(time) or 5 * MINUTE
    grid = np.linspace(time.min() - beyond, time.max() + beyond, 1000)
    good = np.flatnonzero(np.isfinite(one.curve.time) & np.isfinite(one.curve.model))
    good = good[np.argsort(one.curve.time[good], kind="stable")]
    known, values = one.curve.time[good], one.curve.model[good]
    moved = _most_probable(known, values, fit, one)
    missed = np.abs(_model_at(known, moved, fit, one) - values).max(initial=0)
    if missed > 0.05 * np.max(1 - values, initial=0):
        return known, values
    return grid, _model_at(grid, moved, fit, one)


def _model_at(time: np.ndarray, moved: np.ndarray, fit: TransitFit, one: _FittedBand) -> np.ndarray:
    """The transit with its parameters moved from their medians: tc in t14, t14 by a logarithm, b, k, u1 and u2."""
    band, t14 = one.band, fit.t14.value
    return transit_light_curve(
        time,
        tc=fit.tc.value + moved[0] * t14,
        t14=t14 * np.exp(np.clip(moved[1], -3, 3)),
        b=fit.b.value + moved[2],
        k=band.k.value + moved[3],
        u1=band.u1.value + moved[4],
        u2=band.u2.value + moved[5],
        period=fit.period,
        exposure=one.exposure,
    )


def _most_probable(time: np.ndarray, values: np.ndarray, fit: TransitFit, one: _FittedBand) -> np.ndarray:
    """How far the parameters of the most probable model lie from their medians, as `_model_at` takes it.

    The baseline is that of the most probable model, of which the fit keeps the values at the points. The model of
    the medians is another where parameters hang together, as in half a transit, and would miss the points.
    """
    nothing = np.zeros(6)
    medians = _model_at(time, nothing, fit, one)
    if not time.size or not np.isfinite(medians).all():
        return nothing
    thin = slice(None, None, max(1, time.size // 300))
    time, values, medians = time[thin], values[thin], medians[thin]

    def off(moved: np.ndarray) -> np.ndarray:
        return np.concatenate([_model_at(time, moved, fit, one) - values, 1e-6 * moved])

    later = (_middle_of(time, values) - _middle_of(time, medians)) / fit.t14.value
    starts = [np.array([shift, 0, 0, 0, 0, 0]) for shift in (0.0, later)]
    found = [least_squares(off, start, x_scale=0.1, max_nfev=50) for start in starts]
    return np.asarray(min(found, key=lambda one: one.cost).x)


def _middle_of(time: np.ndarray, flux: np.ndarray) -> float:
    """The mean time of the light that is lost; that of all points where none is."""
    lost = np.maximum(1 - flux, 0)
    return float(np.average(time, weights=lost if lost.any() else None))


def _band_words(one: _FittedBand) -> str:
    """Depth, residuals and red noise of one band."""
    band = one.band
    rms = f"rms {in_ppt(band.rms)} ppt = {in_mmag(band.rms)} mmag"
    return f"{band.name}   depth {with_error(band.depth, factor=100)} %   {rms}   β {band.beta:.2f}"


def _label_band(ax: Axes, one: _FittedBand, y: float, words: str) -> None:
    """What has to be known of one band, at the left, in its colour."""
    style: Style = {"color": band_colour(one.curve.band), "fontweight": "bold", "fontsize": 8.5}
    where: Style = {"transform": ax.get_yaxis_transform(), "ha": "left", "va": "center", "zorder": 7}
    ax.text(0.012, y, clean(words), bbox=PLAIN_BOX, **style, **where)


def _draw_residuals(ax: Axes, fit: TransitFit, fitted: Sequence[_FittedBand], offset: float) -> None:
    """What is left of each band without its model, in parts per thousand."""
    series = [1e3 * one.curve.residuals for one in fitted]
    widths = [robust_rms(values) for values in series]
    step = 7 * max((w for w in widths if np.isfinite(w) and w > 0), default=1.0)
    for place, (one, values) in enumerate(zip(fitted, series, strict=True)):
        ax.axhline(-step * place, color=band_colour(one.curve.band), linewidth=0.9, zorder=3)
        _draw_series(ax, one, values, -step * place, offset=offset, width=_bin_width(fit), unit=1e-3)
    ax.set_ylabel("residuals\n[ppt]" + (" + offset" if len(fitted) > 1 else ""))
    ax.set_ylim(-step * (len(fitted) - 0.4), step * 0.6)
    trim_ticks(ax, 4, clear=0.05)


def _draw_chromaticity(ax: Axes, fit: TransitFit, fitted: Sequence[_FittedBand]) -> None:
    """The square of the planet's radius in each band, with one value for all behind."""
    bands = [one.band for one in fitted]
    value = np.array([100 * band.k2.value for band in bands])
    error = np.array([[100 * band.k2.minus for band in bands], [100 * band.k2.plus for band in bands]])
    weight = 1 / np.maximum(error.mean(axis=0), 1e-9) ** 2
    known = np.isfinite(value) & np.isfinite(weight)
    if len(bands) > 1 and known.any():
        mean, sigma = np.average(value[known], weights=weight[known]), weight[known].sum() ** -0.5
        ax.axhspan(mean - sigma, mean + sigma, color="#e4e8ec", zorder=0)
        ax.axhline(mean, **FAINT_LINE)
    for place, one in enumerate(fitted):
        style: Style = {"color": band_colour(one.curve.band), "markersize": 6, "capsize": 3}
        ax.errorbar(place, value[place], error[:, [place]], fmt="o", **style)
    ax.set_xlim(-0.6, len(bands) - 0.4)
    ax.set_xticks(range(len(bands)), [clean(band.name) for band in bands])
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("(Rp/R*)²  [%]", labelpad=2)


def _chromaticity_lines(fit: TransitFit) -> str:
    """Whether the bands agree on one radius, in a few short lines."""
    chi2, freedom, probability = fit.chromaticity
    if not np.isfinite(probability):
        return "a single band"
    return f"one radius in all bands:\nχ² {chi2:.1f} for {freedom},\nprobability {short(probability, 2)}"
