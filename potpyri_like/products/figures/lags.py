"""Lags between bands."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from potpyri_like.lightcurves import Estimate, Lag
from potpyri_like.products.closing import with_error
from potpyri_like.products.figures.axes import FAINT_LINE, MINUTE, PLAIN_BOX
from potpyri_like.products.figures.drawing import Style, blank, note, picture, title
from potpyri_like.products.words import clean
from potpyri_like.results import SetResult

__all__ = ["draw_lags", "lags_plot"]


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
    axes[-1].set_xlabel(f"lag [{name}]; at positive lags the band named follows")


def _lag_unit(lags: Mapping[str, Lag]) -> tuple[float, str]:
    """Seconds where no lag is longer than ten minutes, else minutes or hours."""
    longest = max((float(np.abs(lag.lags).max()) for lag in lags.values() if lag.lags.size), default=0.0)
    units = ((10 * MINUTE, 1 / 86400, "s"), (10 / 24, MINUTE, "min"))
    return next(((unit, name) for most, unit, name in units if longest <= most), (1 / 24, "h"))


def _draw_lag(ax: Axes, other: str, lag: Lag, unit: float, name: str) -> None:
    """The correlation of one pair, and the lag with its error."""
    ax.set_ylabel("correlation")
    if not np.isfinite(lag.correlation).any():
        note(ax, f"{other}: {'; '.join(lag.notes) or 'no correlation measured'}")
        ax.set_yticks([])
        return
    ax.axvline(0, **FAINT_LINE)
    ax.plot(lag.lags / unit, lag.correlation, "o-", color="#334e68", markersize=2.2, linewidth=0.9)
    words = "no lag can be given"
    if np.isfinite(lag.lag):
        error = lag.lag_error if np.isfinite(lag.lag_error) else 0.0
        ax.axvspan((lag.lag - error) / unit, (lag.lag + error) / unit, color="#f5dfc5", zorder=0)
        ax.axvline(lag.lag / unit, color="#d9822b", linewidth=1.2)
        words = f"{with_error(Estimate(lag.lag, error, error), factor=1 / unit)} {name}"
    text = "\n".join([f"{other}:  {words}", *lag.notes])
    style: Style = {"transform": ax.transAxes, "va": "top", "fontsize": 8.5, "bbox": PLAIN_BOX}
    ax.text(0.012, 0.94, clean(text), **style)
