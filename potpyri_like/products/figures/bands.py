"""The light curves of all bands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from potpyri_like.photometry.series import LightCurve
from potpyri_like.products.figures.colours import band_colour
from potpyri_like.products.figures.drawing import Style, blank, limits, picture, shown_time, time_axis, title
from potpyri_like.products.figures.light_curve import marked
from potpyri_like.products.figures.points import draw_bins, draw_flagged, draw_points
from potpyri_like.products.words import clean, in_ppt

__all__ = ["bands_plot", "draw_bands"]


def bands_plot(light_curves: Sequence[LightCurve]) -> bytes:
    """The light curves of one target in all bands, stacked, on one axis of time."""
    return picture(draw_bands, tuple(light_curves), size=(8.5, 2.6 + 1.9 * max(1, len(light_curves))))


def draw_bands(figure: Figure, curves: Sequence[LightCurve]) -> None:
    height = figure.get_size_inches()[1]
    ax = figure.add_axes((0.1, 0.55 / height, 0.87, 1 - 1.6 / height))
    if not curves:
        blank(ax, "no light curve was made")
        return
    kept = [curve for curve in curves if curve.time_name == curves[0].time_name]
    left_out = "".join(
        f"; {c.band} has times on another scale and is not shown"
        for c in curves
        if c.time_name != kept[0].time_name
    )
    title(
        figure,
        curves[0].target,
        "relative flux; the offset of each band is given at its right" + left_out,
        x=0.1,
    )
    time, label = shown_time(np.concatenate([curve.time for curve in kept]), kept[0].time_name)
    step = _band_step(kept)
    start = 0
    for place, curve in enumerate(kept):
        _draw_band(ax, time[start : start + len(curve.time)], curve, offset=-step * place)
        start += len(curve.time)
    ax.set_ylabel("relative flux + offset")
    ax.set_ylim(1 - step * (len(kept) - 0.25), 1 + step * 0.6)
    time_axis(ax, ax, time, label)


def _band_step(curves: Sequence[LightCurve]) -> float:
    """A round distance that keeps stacked light curves apart."""
    ranges = [limits(curve.flux[~marked(curve)], pad=0.05) for curve in curves]
    widest = max((high - low for low, high in (r for r in ranges if r is not None)), default=0.01)
    power = 10 ** np.floor(np.log10(widest))
    return float(
        next(round(m * power, 12) for m in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15) if m * power >= widest)
    )


def _draw_band(ax: Axes, time: np.ndarray, curve: LightCurve, *, offset: float) -> None:
    """One of several light curves, shifted by an offset and labelled at its right end."""
    colour = band_colour(curve.band)
    flagged = marked(curve)
    draw_points(ax, time[~flagged], curve.flux[~flagged] + offset, curve.flux_err[~flagged], colour=colour)
    draw_flagged(ax, time[flagged], curve.flux[flagged] + offset, curve.flux_err[flagged], "")
    draw_bins(ax, time[~flagged], curve.flux[~flagged] + offset, curve.flux_err[~flagged], colour=colour)
    shift = f"{offset:+.3g}".replace("-", "−") if offset else "no offset"
    words = clean(f"{curve.band} {curve.camera}   {shift}   rms {in_ppt(curve.noise.get('rms', np.nan))} ppt")
    box: Style = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
    style: Style = {
        "color": colour,
        "fontweight": "bold",
        "fontsize": 8.5,
        "ha": "right",
        "va": "center",
        "zorder": 6,
    }
    where = (0.99, 1 + offset + 0.42 * _band_step([curve]))
    ax.text(*where, words, transform=ax.get_yaxis_transform(), bbox=box, **style)
