"""Points of light curves: single, flagged, binned."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from potpyri_like.photometry.bins import bin_series
from potpyri_like.products.figures.drawing import PALE, Style
from potpyri_like.products.words import plural

__all__ = ["draw_bins", "draw_flagged", "draw_points"]

_BIN_MINUTES = 5


def draw_points(ax: Axes, time: np.ndarray, flux: np.ndarray, error: np.ndarray, *, colour: str) -> None:
    """Every measured point, faint; fainter where there are many."""
    alpha = float(np.clip(60 / np.sqrt(max(len(time), 1)) / 12, 0.12, 0.45))
    size = 4 if len(time) < 500 else 2.5
    style: Style = {"color": colour, "markersize": size, "markeredgewidth": 0, "elinewidth": 0.8}
    ax.errorbar(
        time, flux, error, fmt="o", alpha=alpha, zorder=2, label=f"{plural(len(time), 'frame')}", **style
    )


def draw_flagged(ax: Axes, time: np.ndarray, flux: np.ndarray, error: np.ndarray, label: str) -> None:
    """Doubtful points as crosses."""
    if np.isfinite(flux).any():
        ax.errorbar(time, flux, error, fmt="none", ecolor=PALE, elinewidth=0.7, alpha=0.5, zorder=2)
        ax.plot(time, flux, "x", color="#52606d", markersize=5, markeredgewidth=1.1, zorder=3, label=label)


def draw_bins(ax: Axes, time: np.ndarray, flux: np.ndarray, error: np.ndarray, *, colour: str) -> None:
    """Bins of five minutes, where they hold more than a point or two."""
    bins = bin_series(time, flux, error, width=_BIN_MINUTES / 1440)
    if len(bins.n) and np.median(bins.n) >= 2:
        size = 5.5 if len(bins.n) < 100 else 3
        style: Style = {
            "color": colour,
            "markerfacecolor": "white",
            "markersize": size,
            "markeredgewidth": size / 4,
        }
        ax.errorbar(
            bins.time, bins.value, bins.error, fmt="o", zorder=4, label=f"{_BIN_MINUTES}-minute bins", **style
        )
