"""A master and its histogram."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from potpyri_like.products.figures.drawing import note, picture, title
from potpyri_like.products.words import plural, short
from potpyri_like.results import Master

__all__ = ["masters_plot"]


def masters_plot(master: Master) -> bytes:
    """A master frame: the image, small, and the distribution of its pixels."""
    return picture(_draw_master, master, size=(5.6, 2.8))


def _draw_master(figure: Figure, master: Master) -> None:
    data = _thinned(np.asarray(master.pixels.data))
    good = data[np.isfinite(data) & (_thinned(np.asarray(master.pixels.mask)) == 0)]
    image_axes = figure.add_axes((0.03, 0.05, 0.52, 0.71))
    histogram_axes = figure.add_axes((0.67, 0.17, 0.3, 0.42))
    unit = "relative to 1" if master.kind == "flat" else "e⁻"
    title(figure, _master_name(master), f"{plural(len(master.inputs), 'frame')}, {master.rung}", x=0.03)
    low, high = np.percentile(good, (1, 99)) if good.size else (0.0, 1.0)
    high = max(high, low + 1e-6)
    image_axes.grid(False)
    image_axes.set_xticks([])
    image_axes.set_yticks([])
    shown = image_axes.imshow(
        data, origin="lower", cmap="viridis", vmin=low, vmax=high, interpolation="antialiased"
    )
    figure.colorbar(shown, ax=image_axes, fraction=0.05, pad=0.03).ax.tick_params(labelsize=7.5)
    _draw_histogram(histogram_axes, good, low, high)
    histogram_axes.set_xlabel(unit)
    histogram_axes.set_title(_master_statistics(master), fontsize=8, loc="left")


def _master_name(master: Master) -> str:
    """Kind and exposure."""
    return f"{master.kind}, {short(master.exposure)} s" if master.exposure > 0 else master.kind


def _master_statistics(master: Master) -> str:
    """Median, scatter and masked share of a master's pixels."""
    data, masked = np.asarray(master.pixels.data), np.asarray(master.pixels.mask) > 0
    good = data[~masked & np.isfinite(data)]
    if not good.size:
        return "every pixel is masked"
    low, middle, high = np.percentile(good, (15.87, 50, 84.13))
    spread = f"median {short(middle, 4)}\n68 % within ±{short((high - low) / 2)}"
    return f"{spread}\n{short(100 * masked.mean(), 2)} % masked"


def _draw_histogram(ax: Axes, values: np.ndarray, low: float, high: float) -> None:
    """How often which value stands in an image."""
    if not values.size:
        note(ax, "every pixel is masked")
        return
    margin = 0.25 * (high - low)
    ax.hist(values, bins=80, range=(low - margin, high + margin), color="#486581")
    ax.set_yticks([])
    ax.grid(axis="y", visible=False)
    ax.tick_params(labelsize=7.5)
    ax.xaxis.set_major_locator(MaxNLocator(4))


def _thinned(image: np.ndarray, most: int = 1024) -> np.ndarray:
    """Every so many pixels of an image, so that no side is longer than `most`."""
    step = max(1, -(-max(image.shape) // most))
    return image[::step, ::step]
