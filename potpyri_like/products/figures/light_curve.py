"""The light curve with its conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from potpyri_like.frame import Purpose, bits_excluded
from potpyri_like.photometry.series import LightCurve
from potpyri_like.products.figures.colours import band_colour
from potpyri_like.products.figures.drawing import (
    INK,
    Style,
    counts_axis,
    limits,
    note,
    picture,
    shown_time,
    time_axis,
    title,
    trim_ticks,
)
from potpyri_like.products.figures.points import draw_bins, draw_flagged, draw_points
from potpyri_like.products.words import flag_words, in_mmag, in_ppt, plural, short

__all__ = ["DOUBTFUL", "draw_light_curve", "light_curve_plot", "marked"]

_ANY_USE = Purpose.CHOICES | Purpose.FIT | Purpose.TIMES
DOUBTFUL = bits_excluded(_ANY_USE)  # bits that exclude a point from some use, and mark it in the figures


def light_curve_plot(light_curve: LightCurve) -> bytes:
    """One light curve, and below it what the sky and the telescope did meanwhile."""
    return picture(draw_light_curve, light_curve, size=(8.5, 10.5))


def draw_light_curve(figure: Figure, curve: LightCurve) -> None:
    time, label = shown_time(curve.time, curve.time_name)
    grid: Style = {
        "height_ratios": [3.4, 1, 1, 1, 1, 1],
        "hspace": 0,
        "left": 0.115,
        "right": 0.97,
        "top": 0.895,
        "bottom": 0.055,
    }
    axes = figure.subplots(6, 1, sharex=True, gridspec_kw=grid)
    title(figure, _light_curve_title(curve), _how_measured(curve), x=0.115)
    _draw_flux(axes[0], time, curve)
    _draw_conditions(axes[1:], time, curve)
    for ax in axes[1:]:
        if ax.get_yticks().size:
            trim_ticks(ax)
    time_axis(axes[0], axes[-1], time, label)
    figure.align_ylabels(axes)


def _light_curve_title(curve: LightCurve) -> str:
    """What a light curve is of."""
    return "   ".join(part for part in (curve.target, curve.band, curve.camera) if part)


def _how_measured(curve: LightCurve) -> str:
    """Aperture, annulus and number of comparison stars, in a line."""
    inner, outer = curve.annulus
    return (
        f"star {curve.star}, aperture {short(curve.radius)} px = {short(curve.radius_fwhm)} FWHM, "
        f"sky {short(inner)}–{short(outer)} px, {plural(len(curve.comparisons), 'comparison star')}"
    )


def _draw_flux(ax: Axes, time: np.ndarray, curve: LightCurve) -> None:
    """Relative flux: every point, the doubtful ones marked, and bins of the others."""
    colour = band_colour(curve.band)
    flagged = marked(curve)
    ax.set_ylabel("relative flux")
    if not np.isfinite(curve.flux).any():
        note(ax, "no flux was measured")
        return
    draw_points(ax, time[~flagged], curve.flux[~flagged], curve.flux_err[~flagged], colour=colour)
    draw_flagged(
        ax, time[flagged], curve.flux[flagged], curve.flux_err[flagged], _flag_legend(curve, flagged)
    )
    draw_bins(ax, time[~flagged], curve.flux[~flagged], curve.flux_err[~flagged], colour=colour)
    _draw_model(ax, time, curve)
    low, high = _flux_limits(curve, flagged)
    ax.set_ylim(low - 0.12 * (high - low), high)  # room for the figures below the points
    _draw_outside(ax, time, curve.flux, colour=colour)
    trim_ticks(ax, 8, clear=0.03)
    ax.text(
        *(0.012, 0.025, _noise_words(curve.noise, fitted=_is_fitted(curve))),
        transform=ax.transAxes,
        va="bottom",
        fontsize=8.5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2},
    )
    ax.legend(loc="lower right", markerscale=1.2)


def _flux_limits(curve: LightCurve, flagged: np.ndarray) -> tuple[float, float]:
    """Limits that show the points not flagged, where there are such, and a typical error beyond them."""
    good = np.isfinite(curve.flux) & ~flagged
    good = good if good.any() else np.isfinite(curve.flux)
    low, high = limits(curve.flux[good]) or (0.0, 2.0)
    errors = curve.flux_err[good & np.isfinite(curve.flux_err)]
    typical = float(np.median(errors)) if errors.size else 0.0
    return low - typical, high + typical


def marked(curve: LightCurve) -> np.ndarray:
    """The points to be marked: a doubtful bit that is not on most points, which would tell nothing of one."""
    flags = np.asarray(curve.flags, int)
    flagged = np.zeros(len(flags), bool)
    for bit in (1 << n for n in range(DOUBTFUL.bit_length()) if DOUBTFUL & (1 << n)):
        having = (flags & bit) > 0
        if 2 * having.sum() <= len(flags):
            flagged |= having
    return flagged


def _flag_legend(curve: LightCurve, flagged: np.ndarray) -> str:
    """How many of the points shown carry which flag."""
    shown = flagged & np.isfinite(curve.flux)
    count = Counter(words for flags in curve.flags[shown] for words in flag_words(flags & DOUBTFUL))
    return "\n".join(f"{n} × {words}" for words, n in count.most_common(4))


def _is_fitted(curve: LightCurve) -> bool:
    """Whether something was fitted to a light curve."""
    model = curve.model * curve.trend
    return bool((np.isfinite(model) & (model != 1)).any())


def _draw_model(ax: Axes, time: np.ndarray, curve: LightCurve) -> None:
    """The fitted transit times its baseline, as a line that is broken where nothing was measured for long."""
    model = curve.model * curve.trend
    known = np.flatnonzero(np.isfinite(time) & np.isfinite(model))
    if not _is_fitted(curve):
        return
    known = known[np.argsort(time[known], kind="stable")]
    steps = np.diff(time[known])
    gaps = 1 + np.flatnonzero(steps > 5 * np.median(steps)) if steps.size else np.empty(0, int)
    for number, piece in enumerate(np.split(known, gaps)):
        label = "transit × baseline" if number == 0 else None
        ax.plot(time[piece], model[piece], color=INK, linewidth=1.2, zorder=3.5, label=label)


def _draw_outside(ax: Axes, time: np.ndarray, flux: np.ndarray, *, colour: str) -> None:
    """Small triangles on the frame for the points that lie beyond it."""
    low, high = ax.get_ylim()
    with np.errstate(invalid="ignore"):
        for beyond, y, marker in ((flux > high, 0.988, "^"), (flux < low, 0.012, "v")):
            where = np.full(int(beyond.sum()), y)
            style: Style = {"color": colour, "markersize": 4, "clip_on": False, "zorder": 5}
            ax.plot(time[beyond], where, marker, transform=ax.get_xaxis_transform(), **style)


def _noise_words(noise: Mapping[str, float], *, fitted: bool = False) -> str:
    """rms, point-to-point and expected noise in ppt and mmag, in lines; the rms after the fit where there is one."""
    named = [("rms", "rms"), ("point_to_point", "point-to-point"), ("expected", "error bars")]
    if fitted:
        named.insert(1, ("residual_rms", "residual rms"))
    return "\n".join(
        f"{words} {in_ppt(noise[key])} ppt = {in_mmag(noise[key])} mmag"
        for key, words in named
        if np.isfinite(noise.get(key, np.nan))
    )


def _draw_conditions(axes: Sequence[Axes], time: np.ndarray, curve: LightCurve) -> None:
    """Airmass, FWHM, sky, comparison counts and drift against time."""
    per, unit = counts_axis(curve.comparison)
    _draw_condition(axes[0], time, curve.airmass, "airmass")
    _draw_condition(axes[1], time, curve.fwhm, "FWHM [px]")
    _draw_condition(axes[2], time, curve.sky, "sky [e⁻/px]")
    _draw_condition(axes[3], time, curve.comparison / per, f"comparisons\n[{unit}e⁻]")
    _draw_condition(axes[4], time, _since_first(curve.x), "drift [px]", colour="#7b2d8e", label="x − first")
    _draw_condition(
        axes[4], time, _since_first(curve.y), "drift [px]", colour="#2f8f5b", label="y − first", marker="^"
    )
    if np.isfinite(curve.x).any():
        axes[4].legend(loc="best", ncols=2, handletextpad=0.2, borderpad=0.3)


def _draw_condition(
    ax: Axes,
    time: np.ndarray,
    values: np.ndarray,
    quantity: str,
    *,
    colour: str = "#334e68",
    marker: str = "o",
    label: str = "",
) -> None:
    """One quantity against time, or a remark that it is not known."""
    ax.set_ylabel(quantity)
    if not np.isfinite(values).any():
        note(ax, "not known")
        ax.set_yticks([])
        return
    size = 2.6 if len(time) < 500 else 1.6
    ax.plot(time, values, marker, color=colour, markersize=size, markeredgewidth=0, label=label)
    ax.margins(y=0.15)


def _since_first(values: np.ndarray) -> np.ndarray:
    """Values minus the first that is a number."""
    known = values[np.isfinite(values)]
    return values - known[0] if known.size else values
