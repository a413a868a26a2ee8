"""Scatter against time scale."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from potpyri_like.lightcurves.transit import ingress_duration
from potpyri_like.products.figures.axes import FAINT_LINE, MINUTE, plain_ticks
from potpyri_like.products.figures.colours import band_colour
from potpyri_like.products.figures.drawing import Style, blank, log_axis, picture, title
from potpyri_like.products.words import set_title
from potpyri_like.results import SetResult

__all__ = ["draw_time_averaging", "time_averaging_plot"]


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
        blank(ax, "too few points to bin")
        return
    ax.set(xscale="log", yscale="log", xlabel="width of the bins [min]", ylabel="rms of the bins [ppt]")
    width, expected = averaging.width[known] / MINUTE, 1e3 * averaging.expected[known]
    below, above = 1e3 * averaging.expected_error[:, known]
    ax.fill_between(width, expected - below, expected + above, color="#e4e8ec", zorder=1, linewidth=0)
    ax.plot(width, expected, color="#52606d", linewidth=1.2, label="white noise, and its 68 %")
    style: Style = {"color": band_colour(result.observed.band), "markersize": 4.5, "elinewidth": 1}
    low, high = 1e3 * averaging.rms_error[:, known]
    ax.errorbar(width, 1e3 * averaging.rms[known], [low, high], fmt="o", label="measured", zorder=4, **style)
    _mark_time_scales(ax, result)
    for axis in (ax.xaxis, ax.yaxis):
        log_axis(axis)
        plain_ticks(axis)
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
            ax.axvline(days / MINUTE, **FAINT_LINE)
            style: Style = {"rotation": 90, "ha": "right", "va": "top", "fontsize": 8}
            ax.text(days / MINUTE, 0.98, words, transform=ax.get_xaxis_transform(), color="#52606d", **style)
