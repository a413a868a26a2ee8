"""Figures of light curves, fields, masters and comparison stars, as PNG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.visualization import AsinhStretch, ImageNormalize, ZScaleInterval
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from potpyri_like.frame import Purpose, bits_excluded
from potpyri_like.photometry.bins import bin_series
from potpyri_like.photometry.series import LightCurve
from potpyri_like.products.colours import band_colour
from potpyri_like.products.drawing import (
    COMPARISON,
    INK,
    OTHER,
    PALE,
    TARGET,
    Style,
    blank,
    counts_axis,
    limits,
    note,
    picture,
    shown_time,
    time_axis,
    title,
    trim_ticks,
)
from potpyri_like.products.words import (
    clean,
    flag_words,
    in_mmag,
    in_ppt,
    pixels_or_arcsec,
    plural,
    set_title,
    short,
)
from potpyri_like.results import Master, SetResult

__all__ = [
    "DOUBTFUL",
    "aimed_words",
    "bands_plot",
    "comparison_plot",
    "draw_bands",
    "draw_light_curve",
    "field_plot",
    "light_curve_plot",
    "marked",
    "masters_plot",
    "roles",
]

_BIN_MINUTES = 5
_MOST_COMPARISONS = 8
_FIELD_WIDTH = 7.65  # inches
_ANY_USE = Purpose.CHOICES | Purpose.FIT | Purpose.TIMES
DOUBTFUL = bits_excluded(_ANY_USE)  # bits that exclude a point from some use, and mark it in the figures


# -- light curves --------------------------------------------------------------------------------------------


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
    _draw_points(ax, time[~flagged], curve.flux[~flagged], curve.flux_err[~flagged], colour=colour)
    _draw_flagged(
        ax, time[flagged], curve.flux[flagged], curve.flux_err[flagged], _flag_legend(curve, flagged)
    )
    _draw_bins(ax, time[~flagged], curve.flux[~flagged], curve.flux_err[~flagged], colour=colour)
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


def _draw_points(ax: Axes, time: np.ndarray, flux: np.ndarray, error: np.ndarray, *, colour: str) -> None:
    """Every measured point, faint; fainter where there are many."""
    alpha = float(np.clip(60 / np.sqrt(max(len(time), 1)) / 12, 0.12, 0.45))
    size = 4 if len(time) < 500 else 2.5
    style: Style = {"color": colour, "markersize": size, "markeredgewidth": 0, "elinewidth": 0.8}
    ax.errorbar(
        time, flux, error, fmt="o", alpha=alpha, zorder=2, label=f"{plural(len(time), 'frame')}", **style
    )


def _draw_flagged(ax: Axes, time: np.ndarray, flux: np.ndarray, error: np.ndarray, label: str) -> None:
    """Doubtful points as crosses."""
    if np.isfinite(flux).any():
        ax.errorbar(time, flux, error, fmt="none", ecolor=PALE, elinewidth=0.7, alpha=0.5, zorder=2)
        ax.plot(time, flux, "x", color="#52606d", markersize=5, markeredgewidth=1.1, zorder=3, label=label)


def _draw_bins(ax: Axes, time: np.ndarray, flux: np.ndarray, error: np.ndarray, *, colour: str) -> None:
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
    named = [("rms", "rms"), ("point_to_point", "point-to-point"), ("expected", "expected")]
    if fitted:
        named.insert(1, ("residual_rms", "after the fit"))
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
        f"; {c.band} is in another time and left out" for c in curves if c.time_name != kept[0].time_name
    )
    title(
        figure,
        curves[0].target,
        "relative flux, each band shifted by the number at its right" + left_out,
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
    _draw_points(ax, time[~flagged], curve.flux[~flagged] + offset, curve.flux_err[~flagged], colour=colour)
    _draw_flagged(ax, time[flagged], curve.flux[flagged] + offset, curve.flux_err[flagged], "")
    _draw_bins(ax, time[~flagged], curve.flux[~flagged] + offset, curve.flux_err[~flagged], colour=colour)
    shift = f"{offset:+.3g}".replace("-", "−") if offset else "as it is"
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


# -- the field -----------------------------------------------------------------------------------------------


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
        [(COMPARISON, 1.6, f"{plural(len(weights), 'comparison star')}, thicker for more weight")]
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


# -- masters -------------------------------------------------------------------------------------------------


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


# -- comparison stars ----------------------------------------------------------------------------------------


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
        else f"the {shown} heaviest of {plural(count, 'comparison star')}"
    )
    return f"{every} against the ensemble, offset from each other"


def _level(flux: np.ndarray) -> np.ndarray:
    """A series over its median; as it is where it has none."""
    finite = flux[np.isfinite(flux)]
    return flux / np.median(finite) if finite.size and np.median(finite) != 0 else flux


def _comparison_step(curves: Sequence[np.ndarray]) -> float:
    """A distance that keeps most of the points of stacked curves apart."""
    spans = [limits(curve, pad=0.1) for curve in curves]
    return max((high - low for low, high in (s for s in spans if s is not None)), default=0.01)
