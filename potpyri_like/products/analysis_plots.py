"""Figures of what light curves say: transits, noise at all time scales, periods, lags; as PNG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from scipy.optimize import least_squares

from potpyri_like.lightcurves import (
    BandFit,
    Estimate,
    Lag,
    Periodogram,
    RmsFlux,
    TransitFit,
    fold,
    phase_bins,
)
from potpyri_like.lightcurves.transit import ingress_duration, transit_light_curve
from potpyri_like.photometry.bins import bin_series
from potpyri_like.photometry.budget import NoiseBudget
from potpyri_like.photometry.noise import nan_median, robust_rms
from potpyri_like.photometry.series import LightCurve
from potpyri_like.products.colours import band_colour
from potpyri_like.products.drawing import (
    COMPARISON,
    INK,
    OTHER,
    PALE,
    TARGET,
    Style,
    blank,
    limits,
    log_axis,
    note,
    picture,
    shown_time,
    time_axis,
    title,
    trim_ticks,
)
from potpyri_like.products.plots import aimed_words, marked, roles
from potpyri_like.products.summary import BUDGET_CLOSED, middle_comparison, with_error
from potpyri_like.products.words import clean, in_mmag, in_ppt, set_title, short
from potpyri_like.results import SetResult, StarTable

__all__ = [
    "draw_lags",
    "draw_noise",
    "draw_periodogram",
    "draw_time_averaging",
    "draw_transit",
    "fine_model",
    "fitted_bands",
    "lags_plot",
    "noise_plot",
    "periodogram_plot",
    "smooth_line",
    "terms_that_matter",
    "time_averaging_plot",
    "transit_plot",
]

_MINUTE = 1 / 1440  # days
_ROUND_MINUTES = (1, 2, 5, 10, 15, 20, 30, 60)
_BINS_PER_TRANSIT = 12  # at most
_MATTERS = 0.02  # of the variance of any star: a noise term below that is not drawn
_RATIO_LIMITS = 0.3, 3.0
_TERM_COLOURS = {
    "star": "#d9822b",
    "sky": "#2b7bb9",
    "sky level": "#7fb2d9",
    "read-out": "#7b2d8e",
    "digitisation": "#b98ac4",
    "dark current": "#5c4033",
    "flat": "#2f8f5b",
    "scintillation": "#0e9aa7",
    "masters": "#9aa5b1",
    "comparison stars": "#c0392b",
}
_FAINT_LINE: Style = {"color": "#9aa5b1", "linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": 1}
_PLAIN_BOX: Style = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}


# -- transits ------------------------------------------------------------------------------------------------


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
    bins = f"circles: bins of {_bin_width(fit) / _MINUTE:.0f} minutes\ncrosses: clipped, not fitted"
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
                ax.axvline(fit.tc.value - offset + side * elapsed, **_FAINT_LINE)


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
    wanted = fit.t14.value / _MINUTE / _BINS_PER_TRANSIT
    return next((m for m in _ROUND_MINUTES if m >= wanted), _ROUND_MINUTES[-1]) * _MINUTE


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
    beyond = 0.02 * np.ptp(time) or 5 * _MINUTE
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
    ax.text(0.012, y, clean(words), bbox=_PLAIN_BOX, **style, **where)


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
        ax.axhline(mean, **_FAINT_LINE)
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


# -- noise against the time scale ----------------------------------------------------------------------------


def time_averaging_plot(result: SetResult) -> bytes:
    """The scatter of bins against their width, and that of white noise."""
    return picture(draw_time_averaging, result, size=(6.4, 4.6))


def draw_time_averaging(figure: Figure, result: SetResult) -> None:
    ax = figure.add_axes((0.12, 0.12, 0.85, 0.73))
    left = "residuals of the fit" if result.transit is not None else "relative flux"
    title(figure, set_title(result), f"scatter of the {left} in bins of time", x=0.12)
    averaging = result.averaging
    known = np.zeros(0, bool) if averaging is None else (averaging.rms > 0) & (averaging.expected > 0)
    if averaging is None or not known.any():
        blank(ax, "too few points to be binned")
        return
    ax.set(xscale="log", yscale="log", xlabel="width of the bins [min]", ylabel="rms of the bins [ppt]")
    width, expected = averaging.width[known] / _MINUTE, 1e3 * averaging.expected[known]
    below, above = 1e3 * averaging.expected_error[:, known]
    ax.fill_between(width, expected - below, expected + above, color="#e4e8ec", zorder=1, linewidth=0)
    ax.plot(width, expected, color="#52606d", linewidth=1.2, label="white noise, and its 68 %")
    style: Style = {"color": band_colour(result.observed.band), "markersize": 4.5, "elinewidth": 1}
    low, high = 1e3 * averaging.rms_error[:, known]
    ax.errorbar(width, 1e3 * averaging.rms[known], [low, high], fmt="o", label="measured", zorder=4, **style)
    _mark_time_scales(ax, result)
    for axis in (ax.xaxis, ax.yaxis):
        log_axis(axis)
        _plain_ticks(axis)
    ax.legend(loc="lower left", title=_beta_words(result), title_fontsize=9, alignment="left")


def _beta_words(result: SetResult) -> str:
    """By how much errors grow for red noise."""
    beta = np.nan if result.light_curve is None else result.light_curve.noise.get("beta", np.nan)
    return f"β = {beta:.2f}" if np.isfinite(beta) else ""


def _mark_time_scales(ax: Axes, result: SetResult) -> None:
    """Lines at the lengths of ingress and transit."""
    fit, band = result.transit, result.band_fit
    if fit is None or band is None:
        return
    ingress = float(ingress_duration(k=band.k.value, t14=fit.t14.value, b=fit.b.value))
    for days, words in ((ingress, "ingress"), (fit.t14.value, "transit")):
        if np.isfinite(days) and days > 0:
            ax.axvline(days / _MINUTE, **_FAINT_LINE)
            style: Style = {"rotation": 90, "ha": "right", "va": "top", "fontsize": 8}
            ax.text(days / _MINUTE, 0.98, words, transform=ax.get_xaxis_transform(), color="#52606d", **style)


def _plain_ticks(axis: Axis) -> None:
    """Numbers at 2 and 5 as well, where an axis spans less than two powers of ten."""
    low, high = axis.get_view_interval()
    if 0 < low < high < 100 * low:
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        ticks = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])


# -- the noise of every star ---------------------------------------------------------------------------------


def noise_plot(result: SetResult) -> bytes:
    """The rms of every star against its flux, and what it is made of; predicted over measured noise below."""
    return picture(draw_noise, result, size=(6.4, 4.6 if result.budget is None else 7.2))


def draw_noise(figure: Figure, result: SetResult) -> None:
    height = figure.get_size_inches()[1]
    low = 0.12 * 4.6 if result.budget is None else 2.95
    ax = figure.add_axes(
        (0.12, low / height, 0.85 if result.budget is None else 0.58, 1 - (low + 0.7) / height)
    )
    title(figure, set_title(result), "noise of the relative light curves at the chosen aperture", x=0.12)
    stars = result.stars
    shown = np.zeros(0, bool) if stars is None else (stars.flux > 0) & (stars.rms > 0)
    if stars is None or not shown.any():
        blank(ax, "no light curves were made")
        return
    ax.set(xscale="log", yscale="log", xlabel="median flux [e⁻]", ylabel="noise of one frame [ppt]")
    _draw_prediction(ax, stars, result.budget, shown)
    _draw_noise_points(ax, result, shown)
    floor = 0.12 * 1e3 * float(np.min(stars.rms[shown]))
    ax.set_ylim(max(ax.get_ylim()[0], floor), None)
    log_axis(ax.xaxis)
    log_axis(ax.yaxis)
    if result.budget is None:
        ax.legend(loc="best")
        return
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.015), frameon=False, handlelength=1.4)
    _draw_ratios(figure, result, stars, result.budget)


def _draw_prediction(ax: Axes, stars: StarTable, budget: NoiseBudget | None, shown: np.ndarray) -> None:
    """The noise that is expected, as a line over flux, and each term that matters."""
    order = np.argsort(stars.flux, kind="stable")
    order = order[shown[order]]
    expected = stars.expected if budget is None else budget.predicted[:, 0]
    known = order[expected[order] > 0]
    if budget is None:
        style: Style = {"color": INK, "linewidth": 1.1, "label": "expected from the errors"}
        ax.plot(stars.flux[known], 1e3 * expected[known], zorder=3, **style)
        return
    flux, noise = smooth_line(stars.flux[known], 1e3 * expected[known])
    ax.plot(flux, noise, color=INK, linewidth=2.0, label="predicted", zorder=3)
    drawn, left_out = terms_that_matter(budget, order)
    for name in drawn:
        colour = _TERM_COLOURS.get(name, PALE)
        known = order[budget.terms[name][order] > 0]
        flux, noise = smooth_line(stars.flux[known], 1e3 * budget.terms[name][known])
        ax.plot(flux, noise, color=colour, linewidth=1.0, label=clean(name), zorder=1.5)
    if left_out:
        ax.plot([], [], " ", label="never 2 % of the variance:\n" + ",\n".join(map(clean, left_out)))


def terms_that_matter(budget: NoiseBudget, stars: np.ndarray) -> tuple[list[str], list[str]]:
    """The noise terms that make up some of any star's variance, the largest first; and the names of the others."""
    total = sum(np.square(np.nan_to_num(noise[stars])) for noise in budget.terms.values())
    with np.errstate(invalid="ignore", divide="ignore"):
        share = {
            name: float(np.nan_to_num(np.square(noise[stars]) / total).max(initial=0))
            for name, noise in budget.terms.items()
        }
    drawn = sorted((name for name in share if share[name] >= _MATTERS), key=lambda name: -share[name])
    return drawn, [name for name in share if share[name] < _MATTERS]


def smooth_line(flux: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Noise over flux, both above 0 and in order of flux, as a line: means of logarithms over an eighth of the stars.

    The noise goes through a running median first, so that a few odd stars do not bend the line.
    """
    half = len(flux) // 16
    straight = _centred(np.log(noise), half, np.median)
    return np.exp(_centred(np.log(flux), half, np.mean)), np.exp(_centred(straight, half, np.mean))


def _centred(values: np.ndarray, half: int, average: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """An average over `half` neighbours on either side, and as many as there are on both sides at the ends."""
    reach = [min(half, i, len(values) - 1 - i) for i in range(len(values))]
    return np.array([average(values[i - h : i + h + 1]) for i, h in enumerate(reach)], float)


def _draw_noise_points(ax: Axes, result: SetResult, shown: np.ndarray) -> None:
    """One point per star, a second for the target's white noise; the numbers of those that stand out."""
    stars = result.stars
    if stars is None:
        return
    target, weights = roles(result)
    flux, rms = stars.flux, 1e3 * stars.rms
    compared = shown & np.isin(np.arange(len(shown)), list(weights))
    aimed = shown & (np.arange(len(shown)) == (-1 if target is None else target))
    others = shown & ~compared & ~aimed
    _draw_group(ax, flux[others], rms[others], "o", 5, (OTHER, "#b36b00"), "other stars")
    _draw_group(ax, flux[compared], rms[compared], "o", 6, (COMPARISON, "#7a0000"), "comparison stars")
    _draw_group(ax, flux[aimed], rms[aimed], "*", 11, (TARGET, INK), aimed_words(result))
    own = 1e3 * stars.point_to_point
    words = "target, point-to-point"
    if result.transit is not None and result.budget is not None:
        own, words = 1e3 * result.budget.measured[:, 0], "target, after the fit"
    quiet = aimed & (own > 0)
    _draw_group(ax, flux[quiet], own[quiet], "*", 12, ("white", INK), words)
    for star in np.flatnonzero(shown & (aimed | (stars.score > 3))):
        ax.annotate(str(star), (flux[star], rms[star]), (6, 5), textcoords="offset points", fontsize=8)


def _draw_group(
    ax: Axes,
    flux: np.ndarray,
    noise: np.ndarray,
    marker: str,
    size: float,
    colours: tuple[str, str],
    label: str,
) -> None:
    """Some stars in a colour of their own with an edge of another, where there are any."""
    if len(flux):
        face, edge = colours
        style: Style = {"color": face, "markeredgecolor": edge, "markeredgewidth": 0.8, "zorder": 4}
        ax.plot(flux, noise, marker, markersize=size, label=label, **style)


def _draw_ratios(figure: Figure, result: SetResult, stars: StarTable, budget: NoiseBudget) -> None:
    """Predicted over measured noise: against the flux for single frames, against the time scale for two stars."""
    height = figure.get_size_inches()[1]
    box = {"bottom": 0.55 / height, "height": 1.75 / height}
    by_flux = figure.add_axes((0.12, box["bottom"], 0.44, box["height"]))
    by_scale = figure.add_axes((0.6, box["bottom"], 0.37, box["height"]))
    for ax in (by_flux, by_scale):
        _ratio_axis(ax)
    by_flux.set_ylabel("predicted / measured")
    by_scale.tick_params(labelleft=False)
    _draw_ratio_by_flux(by_flux, result, stars, budget)
    _draw_ratio_by_scale(by_scale, result, budget)


def _ratio_axis(ax: Axes) -> None:
    """A logarithmic axis about 1, the range of a closed budget shaded."""
    ax.set_yscale("log")
    ax.set_ylim(*_RATIO_LIMITS)
    ax.axhspan(*BUDGET_CLOSED, color="#e3f1e6", zorder=0)
    ax.axhline(1, color="#52606d", linewidth=0.9, zorder=1)
    ax.minorticks_off()
    ax.set_yticks([0.5, 0.8, 1, 1.3, 2], ["0.5", "0.8", "1", "1.3", "2"])


def _draw_ratio_by_flux(ax: Axes, result: SetResult, stars: StarTable, budget: NoiseBudget) -> None:
    """One point for each star, for single frames."""
    ratio = np.clip(budget.ratio[:, 0], *_RATIO_LIMITS)  # on the frame, where it lies beyond
    target, weights = roles(result)
    index = np.arange(len(ratio))
    known = np.isfinite(ratio) & (stars.flux > 0)
    if not known.any():
        note(ax, "not known")
        return
    aimed = known & (index == (-1 if target is None else target))
    compared = known & np.isin(index, list(weights))
    ax.set_xscale("log")
    for chosen, marker, size, face in (
        (known & ~aimed & ~compared, "o", 3.5, OTHER),
        (compared, "o", 4, COMPARISON),
        (aimed, "*", 11, TARGET),
    ):
        style: Style = {"markeredgecolor": INK, "markeredgewidth": 0.4, "clip_on": False}
        ax.plot(stars.flux[chosen], ratio[chosen], marker, color=face, markersize=size, zorder=4, **style)
    ax.set_xlabel("median flux [e⁻], single frames")
    log_axis(ax.xaxis)


def _draw_ratio_by_scale(ax: Axes, result: SetResult, budget: NoiseBudget) -> None:
    """The target and the median comparison star, from single frames to long bins."""
    places = np.arange(len(budget.width))
    target, _ = roles(result)
    middle = middle_comparison(result)
    ratio = {f"median comparison ({len(middle)})": nan_median(budget.ratio[middle])}
    error = {f"median comparison ({len(middle)})": nan_median(budget.uncertainty[middle])}
    error = {name: values / np.sqrt(max(len(middle), 1)) for name, values in error.items()}
    if target is not None:
        ratio["target"], error["target"] = budget.ratio[target], budget.uncertainty[target]
    for name, marker, colour, shift in zip(ratio, "o*", (COMPARISON, TARGET), (-0.08, 0.08), strict=False):
        style: Style = {"color": INK, "markerfacecolor": colour, "markeredgewidth": 0.6}
        size = 5 if marker == "o" else 11
        values = np.clip(ratio[name], *_RATIO_LIMITS)
        ax.errorbar(
            places + shift, values, values * error[name], fmt=marker, markersize=size, label=name, **style
        )
    ax.set_xticks(places, ["frame" if width == 0 else f"{width:g}" for width in budget.width])
    ax.set_xlim(-0.5, len(places) - 0.5)
    ax.set_xlabel("time scale [min]")
    ax.legend(loc="lower left", fontsize=7.5, borderpad=0.3, handletextpad=0.3)


# -- periods -------------------------------------------------------------------------------------------------


def periodogram_plot(result: SetResult) -> bytes:
    """Power against period; the light curve folded; and how its scatter goes with its flux."""
    return picture(draw_periodogram, result, size=(8.5, 6.4))


def draw_periodogram(figure: Figure, result: SetResult) -> None:
    title(figure, set_title(result), "Lomb-Scargle periodogram, floating mean", x=0.095)
    upper = figure.add_axes((0.095, 0.55, 0.88, 0.335))
    periods, curve = result.periods, result.light_curve
    _draw_power(upper, result)
    relation = result.flux_relation
    grouped = relation is not None and np.isfinite(relation.rms).any()
    lower = figure.add_axes((0.095, 0.085, 0.5 if grouped else 0.88, 0.335))
    _draw_folded(lower, curve, periods)
    if grouped and relation is not None:
        _draw_rms_flux(
            figure.add_axes((0.695, 0.085, 0.28, 0.335)), relation, band_colour(result.observed.band)
        )


def _draw_power(ax: Axes, result: SetResult) -> None:
    """Power against period, the levels of false alarm and the best period."""
    periods = result.periods
    if periods is None or not periods.frequency.size or not np.isfinite(periods.power).any():
        blank(ax, "too few points to look for a period")
        return
    known = periods.frequency > 0
    unit, name = _period_unit(periods.period)
    ax.set(xscale="log", xlabel=f"period [{name}]", ylabel="power")
    colour = band_colour(result.observed.band)
    ax.plot(1 / periods.frequency[known] / unit, periods.power[known], color=colour, linewidth=0.9, zorder=3)
    _draw_false_alarms(ax, periods)
    if np.isfinite(periods.period):
        ax.axvline(periods.period / unit, color=INK, linewidth=0.9, linestyle=":", zorder=2)
    words = _period_words(periods)
    top = max(float(np.nanmax(periods.power)), np.nan_to_num(periods.levels).max(initial=0))
    ax.set_ylim(0, top / (0.9 - 0.075 * len(words)))  # room for the words above the peaks
    style: Style = {"transform": ax.transAxes, "va": "top", "fontsize": 8.5}
    ax.text(0.012, 0.96, "\n".join(words), bbox=_PLAIN_BOX, **style)
    log_axis(ax.xaxis)
    _plain_ticks(ax.xaxis)


def _draw_false_alarms(ax: Axes, periods: Periodogram) -> None:
    """Lines at the levels that white noise seldom reaches."""
    levels = periods.levels[np.isfinite(periods.levels)]
    for level in levels:
        ax.axhline(level, **_FAINT_LINE)
    if levels.size:
        chances = ", ".join(f"{100 * probability:g}" for probability in periods.false_alarms)
        style: Style = {"ha": "left", "va": "bottom", "fontsize": 7.5, "color": "#52606d"}
        words = f"false alarms of white noise: {chances} %"
        ax.text(0.012, levels.max(), words, transform=ax.get_yaxis_transform(), **style)


def _period_unit(days: float) -> tuple[float, str]:
    """The unit that suits a period, in days, and its name."""
    return next(
        ((unit, name) for unit, name in ((1.0, "d"), (1 / 24, "h")) if days >= 2 * unit), (_MINUTE, "min")
    )


def _period_words(periods: Periodogram) -> list[str]:
    """The best period with its error, the probability that it is chance, and what is to be doubted, in lines."""
    if not np.isfinite(periods.period):
        return ["no period", *map(clean, periods.notes)]
    unit, name = _period_unit(periods.period)
    best = Estimate(periods.period, periods.period_error, periods.period_error)
    chance = f"false-alarm probability {short(periods.false_alarm, 2)}"
    return [f"best {with_error(best, factor=1 / unit)} {name}, {chance}", *map(clean, periods.notes)]


def _draw_folded(ax: Axes, curve: LightCurve | None, periods: Periodogram | None) -> None:
    """The light curve over its best period, with bins."""
    if (
        curve is None
        or periods is None
        or not np.isfinite(periods.period)
        or not np.isfinite(curve.flux).any()
    ):
        blank(ax, "nothing to be folded")
        return
    good = np.isfinite(curve.time) & np.isfinite(curve.flux) & ~marked(curve)
    time, flux, colour = curve.time[good], curve.flux[good], band_colour(curve.band)
    phase = fold(time, periods.period, time.min() if time.size else 0.0)
    alpha = float(np.clip(5 / np.sqrt(max(len(phase), 1)), 0.12, 0.5))
    bins = phase_bins(phase, flux, curve.flux_err[good])
    for cycle in (0, 1):
        ax.plot(phase + cycle, flux, "o", color=colour, markersize=3, markeredgewidth=0, alpha=alpha)
        style: Style = {"color": colour, "markerfacecolor": "white", "markersize": 5, "zorder": 4}
        ax.errorbar(bins.phase + cycle, bins.value, bins.error, fmt="o", **style)
    ax.set(xlim=(-0.5, 1.5), xlabel="phase, from the first point", ylabel="relative flux")
    ax.set_ylim(*(limits(flux, pad=0.15) or (0, 2)))


def _draw_rms_flux(ax: Axes, relation: RmsFlux, colour: str) -> None:
    """Excess rms of segments against their flux, with the line through it."""
    ax.errorbar(
        relation.flux, 1e3 * relation.rms, 1e3 * relation.rms_error, fmt="o", color=colour, markersize=4.5
    )
    if np.isfinite(relation.slope):
        ends = np.array([np.nanmin(relation.flux), np.nanmax(relation.flux)])
        ax.plot(ends, 1e3 * (relation.intercept + relation.slope * ends), color=INK, linewidth=1)
        words = f"slope {short(relation.slope, 2)} ± {short(relation.slope_error, 1)}"
        ax.text(0.04, 0.95, words, transform=ax.transAxes, va="top", fontsize=8, bbox=_PLAIN_BOX)
    ax.set(xlabel="mean flux of the segments", ylabel="rms beyond the noise [ppt]")


# -- lags ----------------------------------------------------------------------------------------------------


def lags_plot(result: SetResult) -> bytes:
    """The correlation of the other light curves of a target with this one, against the lag."""
    return picture(draw_lags, result, size=(8.5, 1.6 + 2.1 * max(1, len(result.lags))))


def draw_lags(figure: Figure, result: SetResult) -> None:
    height = figure.get_size_inches()[1]
    title(figure, f"{result.observed.target}   lags", f"against {result.observed.name}", x=0.095)
    grid: Style = {"left": 0.095, "right": 0.975, "hspace": 0.08}
    grid |= {"top": 1 - 0.75 / height, "bottom": 0.55 / height}
    axes = figure.subplots(max(1, len(result.lags)), 1, sharex=True, squeeze=False, gridspec_kw=grid)[:, 0]
    if not result.lags:
        blank(axes[0], "no lags were measured")
        return
    unit, name = _lag_unit(result.lags)
    for ax, (other, lag) in zip(axes, result.lags.items(), strict=True):
        _draw_lag(ax, other, lag, unit, name)
    axes[-1].set_xlabel(f"lag [{name}]; to the right the band named follows")


def _lag_unit(lags: Mapping[str, Lag]) -> tuple[float, str]:
    """Seconds where no lag is longer than ten minutes, else minutes or hours."""
    longest = max((float(np.abs(lag.lags).max()) for lag in lags.values() if lag.lags.size), default=0.0)
    units = ((10 * _MINUTE, 1 / 86400, "s"), (10 / 24, _MINUTE, "min"))
    return next(((unit, name) for most, unit, name in units if longest <= most), (1 / 24, "h"))


def _draw_lag(ax: Axes, other: str, lag: Lag, unit: float, name: str) -> None:
    """The correlation of one pair, and the lag with its error."""
    ax.set_ylabel("correlation")
    if not np.isfinite(lag.correlation).any():
        note(ax, f"{other}: {'; '.join(lag.notes) or 'no correlation is known'}")
        ax.set_yticks([])
        return
    ax.axvline(0, **_FAINT_LINE)
    ax.plot(lag.lags / unit, lag.correlation, "o-", color="#334e68", markersize=2.2, linewidth=0.9)
    words = "no lag can be with_error"
    if np.isfinite(lag.lag):
        error = lag.lag_error if np.isfinite(lag.lag_error) else 0.0
        ax.axvspan((lag.lag - error) / unit, (lag.lag + error) / unit, color="#f5dfc5", zorder=0)
        ax.axvline(lag.lag / unit, color="#d9822b", linewidth=1.2)
        words = f"{with_error(Estimate(lag.lag, error, error), factor=1 / unit)} {name}"
    text = "\n".join([f"{other}:  {words}", *lag.notes])
    style: Style = {"transform": ax.transAxes, "va": "top", "fontsize": 8.5, "bbox": _PLAIN_BOX}
    ax.text(0.012, 0.94, clean(text), **style)
