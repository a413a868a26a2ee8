"""The periodogram."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from potpyri_like.lightcurves import Estimate, Periodogram, RmsFlux, fold, phase_bins
from potpyri_like.photometry.series import LightCurve
from potpyri_like.products.closing import with_error
from potpyri_like.products.figures.axes import FAINT_LINE, MINUTE, PLAIN_BOX, plain_ticks
from potpyri_like.products.figures.colours import band_colour
from potpyri_like.products.figures.drawing import INK, Style, blank, limits, log_axis, picture, title
from potpyri_like.products.figures.light_curve import marked
from potpyri_like.products.words import clean, set_title, short
from potpyri_like.results import SetResult

__all__ = ["draw_periodogram", "periodogram_plot"]


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
    ax.text(0.012, 0.96, "\n".join(words), bbox=PLAIN_BOX, **style)
    log_axis(ax.xaxis)
    plain_ticks(ax.xaxis)


def _draw_false_alarms(ax: Axes, periods: Periodogram) -> None:
    """Lines at the levels that white noise seldom reaches."""
    levels = periods.levels[np.isfinite(periods.levels)]
    for level in levels:
        ax.axhline(level, **FAINT_LINE)
    if levels.size:
        chances = ", ".join(f"{100 * probability:g}" for probability in periods.false_alarms)
        style: Style = {"ha": "left", "va": "bottom", "fontsize": 7.5, "color": "#52606d"}
        words = f"false alarms of white noise: {chances} %"
        ax.text(0.012, levels.max(), words, transform=ax.get_yaxis_transform(), **style)


def _period_unit(days: float) -> tuple[float, str]:
    """The unit that suits a period, in days, and its name."""
    return next(
        ((unit, name) for unit, name in ((1.0, "d"), (1 / 24, "h")) if days >= 2 * unit), (MINUTE, "min")
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
        blank(ax, "no period to fold at")
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
        ax.text(0.04, 0.95, words, transform=ax.transAxes, va="top", fontsize=8, bbox=PLAIN_BOX)
    ax.set(xlabel="mean flux of the segments", ylabel="rms beyond the noise [ppt]")
