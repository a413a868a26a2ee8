"""The comparison stars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from potpyri_like.products.figures.drawing import (
    COMPARISON,
    blank,
    limits,
    picture,
    shown_time,
    time_axis,
    title,
)
from potpyri_like.products.figures.field import roles
from potpyri_like.products.words import in_ppt, plural, set_title, short
from potpyri_like.results import SetResult

__all__ = ["comparison_plot"]

_MOST_COMPARISONS = 8


def comparison_plot(result: SetResult) -> bytes:
    """The comparison stars' own relative light curves, heaviest first, stacked; at most eight."""
    count = min(_MOST_COMPARISONS, max(1, len(roles(result)[1])))
    return picture(_draw_comparisons, result, size=(6.4, 2.0 + 0.65 * count))


def _draw_comparisons(figure: Figure, result: SetResult) -> None:
    height = figure.get_size_inches()[1]
    ax = figure.add_axes((0.12, 0.55 / height, 0.64, 1 - 1.55 / height))
    _, weights = roles(result)
    chosen = sorted(weights, key=lambda star: -weights[star])[:_MOST_COMPARISONS]
    title(figure, set_title(result), _comparison_words(len(chosen), len(weights)), x=0.12)
    if result.series is None or result.stars is None or not chosen:
        blank(ax, "no comparison stars were chosen")
        return
    time, label = shown_time(result.series.time, result.series.time_name)
    curves = [_level(result.stars.relflux[:, star]) for star in chosen]
    step = _comparison_step(curves)
    for place, (star, curve) in enumerate(zip(chosen, curves, strict=True)):
        ax.plot(
            time, curve - step * place, "o", markersize=2.6, markeredgewidth=0, color="#334e68", alpha=0.8
        )
        ax.axhline(1 - step * place, color=COMPARISON, linewidth=0.6, alpha=0.6)
        words = f"star {star}, weight {short(weights[star], 2)}\nrms {in_ppt(result.stars.rms[star])} ppt"
        ax.text(1.015, 1 - step * place, words, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    ax.set_ylim(1 - step * (len(chosen) - 0.3), 1 + step * 0.7)
    ax.set_ylabel("relative flux + offset")
    time_axis(ax, ax, time, label)


def _comparison_words(shown: int, count: int) -> str:
    """The line below the title of the comparison stars."""
    every = (
        "the comparison stars"
        if shown == count
        else f"the {shown} of highest weight among {plural(count, 'comparison star')}"
    )
    return f"{every} relative to the ensemble, with offsets"


def _level(flux: np.ndarray) -> np.ndarray:
    """A series over its median; as it is where it has none."""
    finite = flux[np.isfinite(flux)]
    return flux / np.median(finite) if finite.size and np.median(finite) != 0 else flux


def _comparison_step(curves: Sequence[np.ndarray]) -> float:
    """A distance that keeps most of the points of stacked curves apart."""
    spans = [limits(curve, pad=0.1) for curve in curves]
    return max((high - low for low, high in (s for s in spans if s is not None)), default=0.01)
