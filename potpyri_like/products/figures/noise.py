"""The noise of all stars against its prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from potpyri_like.photometry.budget import BUDGET_CLOSED, NoiseBudget
from potpyri_like.photometry.noise import nan_median
from potpyri_like.products.closing import middle_comparison
from potpyri_like.products.figures.drawing import (
    COMPARISON,
    INK,
    OTHER,
    PALE,
    TARGET,
    Style,
    blank,
    log_axis,
    note,
    picture,
    title,
)
from potpyri_like.products.figures.field import aimed_words, roles
from potpyri_like.products.words import clean, set_title
from potpyri_like.results import SetResult, StarTable

__all__ = ["draw_noise", "noise_plot", "smooth_line", "terms_that_matter"]

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


def noise_plot(result: SetResult) -> bytes:
    """The rms of every star against its flux, and what it is made of; predicted over measured noise below."""
    return picture(draw_noise, result, size=(6.4, 4.6 if result.budget is None else 7.2))


def draw_noise(figure: Figure, result: SetResult) -> None:
    height = figure.get_size_inches()[1]
    low = 0.12 * 4.6 if result.budget is None else 2.95
    ax = figure.add_axes(
        (0.12, low / height, 0.85 if result.budget is None else 0.58, 1 - (low + 0.7) / height)
    )
    title(figure, set_title(result), "noise of the relative light curves in the chosen aperture", x=0.12)
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
        style: Style = {"color": INK, "linewidth": 1.1, "label": "error bars"}
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
        ax.plot([], [], " ", label="below 2 % of the variance:\n" + ",\n".join(map(clean, left_out)))


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
