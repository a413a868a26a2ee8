"""The field with its stars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from astropy.visualization import AsinhStretch, ImageNormalize, ZScaleInterval
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from potpyri_like.products.figures.drawing import COMPARISON, INK, OTHER, TARGET, Style, blank, picture, title
from potpyri_like.products.words import pixels_or_arcsec, plural, set_title, short
from potpyri_like.results import SetResult

__all__ = ["aimed_words", "field_plot", "roles"]

_FIELD_WIDTH = 7.65  # inches


def field_plot(result: SetResult) -> bytes:
    """The reference image with every star, its number, aperture and annulus; y is up."""
    rows, columns = (3, 4) if result.reference is None else result.reference.image.shape
    height = float(np.clip(_FIELD_WIDTH * rows / columns, 2.5, 9.5))
    return picture(_draw_field, result, size=(_FIELD_WIDTH + 0.85, height + 1.45))


def _draw_field(figure: Figure, result: SetResult) -> None:
    width, height = figure.get_size_inches()
    ax = figure.add_axes((0.7 / width, 0.5 / height, _FIELD_WIDTH / width, 1 - 1.45 / height))
    ax.grid(False)
    title(figure, set_title(result), _field_words(result), x=0.7 / width)
    if result.reference is None:
        blank(ax, "no reference frame could be chosen")
        return
    image = result.reference.image
    ax.imshow(image, origin="lower", cmap="gray_r", norm=_asinh_norm(image), interpolation="antialiased")
    ax.set_xlabel("x [px]")
    ax.set_ylabel("y [px]")
    _draw_stars(ax, result)
    _draw_scale(ax, image.shape, result.pixel_scale)


def _field_words(result: SetResult) -> str:
    """The line below the title of the field."""
    if result.reference is None:
        return ""
    fwhm = pixels_or_arcsec([result.reference.fwhm], result.pixel_scale)
    words = f"reference {result.reference.info.label}, FWHM {fwhm}"
    series = result.series
    if series is None or result.aperture >= len(series.radii):
        return words
    inner, outer = series.annulus
    return (
        f"{words}, aperture {short(series.radii[result.aperture])} px, sky {short(inner)}–{short(outer)} px"
    )


def _asinh_norm(image: np.ndarray) -> ImageNormalize:
    """From the sky to the bright stars: the lower limit of zscale, the 99.97th percentile, asinh between."""
    finite = image[np.isfinite(image)]
    if not finite.size:
        return ImageNormalize(vmin=0, vmax=1)
    low, middle = ZScaleInterval().get_limits(finite)
    high = max(float(np.percentile(finite, 99.97)), middle, low + 1e-6)
    return ImageNormalize(vmin=low, vmax=high, stretch=AsinhStretch(0.15), clip=True)


def roles(result: SetResult) -> tuple[int | None, dict[int, float]]:
    """The target and the comparison stars with their weights."""
    if result.light_curve is not None:
        return result.light_curve.star, dict(result.light_curve.comparisons)
    if result.stars is not None:
        return None, {
            int(star): float(result.stars.weight[star]) for star in np.flatnonzero(result.stars.weight > 0)
        }
    return None, {}


def _draw_stars(ax: Axes, result: SetResult) -> None:
    """Circles and numbers: the target, the comparison stars by weight, all others."""
    if result.reference is None:
        return
    xy = np.asarray(result.reference.xy if result.series is None else result.series.reference_xy, float)
    target, weights = roles(result)
    radii = _shown_radii(result)
    heaviest = max(weights.values(), default=1.0) or 1.0
    for star, (x, y) in enumerate(xy):
        if not np.isfinite([x, y]).all():
            continue
        if star == target:
            _draw_star(ax, star, x, y, radii, colour=TARGET, width=2.2, size=10)
        elif star in weights:
            _draw_star(
                ax, star, x, y, radii, colour=COMPARISON, width=0.7 + 1.6 * weights[star] / heaviest, size=8
            )
        else:
            _draw_star(ax, star, x, y, radii[:1], colour=OTHER, width=0.7, size=6)
    _field_legend(ax, len(xy), aimed_words(result), weights)


def _shown_radii(result: SetResult) -> tuple[float, ...]:
    """Aperture, inner and outer radius of the sky; without a series twice the FWHM."""
    series = result.series
    if series is None or result.aperture >= len(series.radii):
        return (2 * result.reference.fwhm,) if result.reference else ()
    return (float(series.radii[result.aperture]), *map(float, series.annulus))


def _draw_star(
    ax: Axes, star: int, x: float, y: float, radii: Sequence[float], *, colour: str, width: float, size: float
) -> None:
    """The circles of one star, thin for the sky, and its number beside them."""
    _draw_circles(ax, x, y, radii, colour=colour, width=width)
    beside = 0.75 * max(radii, default=0)
    box: Style = {"facecolor": "white", "edgecolor": "none", "alpha": 0.65, "pad": 0.6}
    ax.annotate(
        *(str(star), (x + beside, y + beside)),
        color=INK,
        fontsize=size,
        fontweight="bold" if size > 6 else "normal",
        annotation_clip=True,
        clip_on=True,
        bbox=box,
    )


def _draw_circles(ax: Axes, x: float, y: float, radii: Sequence[float], *, colour: str, width: float) -> None:
    """Circles about a star; lime, which is lost on a white sky, has a dark edge."""
    diameters = 2 * np.asarray(radii)
    widths = np.array([width, *(0.5 * width for _ in radii[1:])])
    for edge, extra in ((INK, 1.0), (colour, 0.0)) if colour == TARGET else ((colour, 0.0),):
        ax.add_collection(
            EllipseCollection(
                *(diameters, diameters, 0),
                units="xy",
                offsets=[(x, y)] * len(radii),
                offset_transform=ax.transData,
                facecolors="none",
                edgecolors=edge,
                linewidths=widths + extra,
            )
        )


def aimed_words(result: SetResult) -> str:
    """The star of the light curve, in words; "" without one."""
    curve = result.light_curve
    return (
        "" if curve is None else f"{'target' if curve.is_identified else 'most variable'}, star {curve.star}"
    )


def _field_legend(ax: Axes, count: int, aimed: str, weights: Mapping[int, float]) -> None:
    """What the colours mean."""
    others = count - len(weights) - bool(aimed)
    entries = (
        [(COMPARISON, 1.6, f"{plural(len(weights), 'comparison star')}, line width by weight")]
        if weights
        else []
    )
    if aimed:
        entries.insert(0, (TARGET, 2.2, aimed))
    if others > 0:
        entries.append((OTHER, 0.8, plural(others, "other star")))
    circle: Style = {"linestyle": "none", "marker": "o", "markersize": 9, "markerfacecolor": "none"}
    handles = [
        Line2D([], [], markeredgecolor=colour, markeredgewidth=width, label=label, **circle)
        for colour, width, label in entries
    ]
    if handles:
        above: Style = {
            "loc": "lower left",
            "bbox_to_anchor": (0, 1),
            "borderaxespad": 0.1,
            "borderpad": 0.4,
        }
        ax.legend(handles=handles, ncols=3, frameon=False, handletextpad=0.3, **above)


def _draw_scale(ax: Axes, shape: tuple[int, ...], scale: float) -> None:
    """A bar of a round length in arcsec, or in pixels where the scale is not known."""
    known = np.isfinite(scale) and scale > 0
    width = shape[1] * (scale if known else 1.0)
    rounds = [m * 10**p for p in range(-2, 5) for m in (1, 2, 3, 5)]
    length = max((r for r in rounds if r <= 0.25 * width), default=width)
    pixels = length / scale if known else length
    right, y = 0.965 * shape[1], 0.045 * shape[0]
    words = f"{length:g}″" if known else f"{length:g} px"
    box: Style = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 2}
    ax.text(
        right - pixels / 2,
        y + 0.012 * shape[0],
        words,
        ha="center",
        va="bottom",
        fontsize=9,
        bbox=box,
        zorder=9,
    )
    ax.plot([right - pixels, right], [y, y], color="white", linewidth=6, solid_capstyle="butt", zorder=8)
    ax.plot([right - pixels, right], [y, y], color=INK, linewidth=2.4, solid_capstyle="butt", zorder=9)
    ax.set_xlim(-0.5, shape[1] - 0.5)
    ax.set_ylim(-0.5, shape[0] - 0.5)
