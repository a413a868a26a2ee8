"""The look of our figures, and the pieces that they share."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from potpyri_like.products.words import clean

__all__ = [
    "COMPARISON",
    "INK",
    "OTHER",
    "PALE",
    "TARGET",
    "Style",
    "blank",
    "counts_axis",
    "limits",
    "log_axis",
    "note",
    "picture",
    "shown_time",
    "time_axis",
    "title",
    "trim_ticks",
]

INK, PALE = "#1f2933", "#8593a1"
TARGET, COMPARISON, OTHER = "lime", "red", "orange"
_DPI = 130

Style = dict[str, Any]  # properties of what Matplotlib draws, by their names
_STYLE: Style = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#52606d",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.6,
    "legend.edgecolor": "#cbd2d9",
    "legend.fancybox": False,
    "legend.fontsize": 8,
    "legend.framealpha": 0.9,
    "text.color": INK,
    "text.parse_math": False,  # a target may be called "$\\frac"
    "xtick.color": "#52606d",
    "xtick.direction": "in",
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": "#52606d",
    "ytick.direction": "in",
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}


def picture(draw: Callable[..., object], *what: object, size: tuple[float, float]) -> bytes:
    """The PNG of a figure; the same bytes for the same data.

    Parameters
    ----------
    draw : callable(figure, *what)
    size : (float, float)
        Width and height, inches, at 130 pixels each.
    """
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; that is no reason to lose the figure.
        warnings.filterwarnings("ignore", message=".*Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=size, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        draw(figure, *what)
        file = io.BytesIO()
        canvas.print_figure(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


def title(figure: Figure, main: str, sub: str = "", *, x: float = 0.08) -> None:
    """A title in bold at the top left, and what has to be known beside it in a second line."""
    top, points = figure.get_size_inches()[1] * 72, 9
    figure.text(x, 1 - 16 / top, clean(main), fontsize=12.5, fontweight="bold", ha="left", va="center")
    figure.text(x, 1 - 33 / top, clean(sub), fontsize=points, color="#52606d", ha="left", va="center")


def note(axes: Axes, text: str) -> None:
    """A sentence in the middle of axes that have nothing to show."""
    axes.text(
        0.5, 0.5, clean(text), transform=axes.transAxes, ha="center", va="center", color=PALE, style="italic"
    )


def blank(axes: Axes, text: str) -> None:
    """Axes that have nothing to show but a sentence."""
    axes.set(xticks=[], yticks=[])
    note(axes, text)


def limits(values: ArrayLike, *, pad: float = 0.35) -> tuple[float, float] | None:
    """Limits of an axis that a few outliers do not spoil: from the 1st to the 99th percentile, and some more.

    None where no value is finite.
    """
    finite = np.asarray(values, float).ravel()
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, (1, 99)) if finite.size > 50 else (finite.min(), finite.max())
    margin = pad * (high - low) or max(1e-3 * abs(high), 1e-9)
    return float(low - margin), float(high + margin)


def shown_time(time: ArrayLike, name: str) -> tuple[np.ndarray, str]:
    """Times minus a whole number of days, and a label that says which."""
    time = np.asarray(time, float)
    finite = time[np.isfinite(time)]
    offset = int(np.floor(finite.min())) if finite.size else 0
    scale = {"bjd_tdb": "BJD_TDB", "jd_utc_mid": "JD_UTC"}.get(name, name)
    return time - offset, f"{scale} − {offset} [d], mid-exposure"


def time_axis(top: Axes, bottom: Axes, time: np.ndarray, label: str) -> None:
    """Days below and hours from the first frame above, with a margin."""
    finite = time[np.isfinite(time)]
    first, last = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    margin = 0.02 * (last - first) or 5 / 1440
    bottom.set_xlim(first - margin, last + margin)
    bottom.set_xlabel(label)
    bottom.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
    bottom.ticklabel_format(axis="x", style="plain", useOffset=False)

    def to_hours(day: ArrayLike) -> ArrayLike:
        return (np.asarray(day) - first) * 24

    def to_days(hour: ArrayLike) -> ArrayLike:
        return np.asarray(hour) / 24 + first

    hours = top.secondary_xaxis("top", functions=(to_hours, to_days))
    hours.set_xlabel("hours from the first frame", labelpad=4)


def trim_ticks(axes: Axes, count: int = 4, *, clear: float = 0.08) -> None:
    """Few ticks, none close to the ends, so that axes without a gap between them do not collide."""
    low, high = axes.get_ylim()
    ticks = np.asarray(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    margin = clear * (high - low)
    axes.set_yticks(ticks[(ticks > low + margin) & (ticks < high - margin)])
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)


def counts_axis(values: ArrayLike) -> tuple[float, str]:
    """A power of a thousand to divide counts by, and how to write it in a unit."""
    finite = np.abs(np.asarray(values, float))
    finite = finite[np.isfinite(finite)]
    typical = float(np.median(finite)) if finite.size else 1.0
    for power, word in ((9, "10⁹ "), (6, "10⁶ "), (3, "10³ ")):
        if typical >= 10**power:
            return 10.0**power, word
    return 1.0, ""


def log_axis(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers or powers of ten, without mathematical markup."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: _power_of_ten(value)))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def _power_of_ten(value: float) -> str:
    """10000 as 10⁴; 0.01 to 100 as they are."""
    if value <= 0:
        return ""
    if 0.0099 < value < 999:
        return f"{value:g}"
    exponent = round(np.log10(value))
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
