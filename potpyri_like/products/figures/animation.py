"""The field around a target as it was through the night, its apertures and its light curve, as an animated GIF."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib import colors, get_data_path
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from potpyri_like.errors import ProductError
from potpyri_like.imaging.snapshots import Snapshot
from potpyri_like.photometry.series import LightCurve
from potpyri_like.products.figures.colours import band_colour
from potpyri_like.products.figures.drawing import COMPARISON, INK, OTHER, PALE, TARGET, limits, shown_time
from potpyri_like.products.figures.light_curve import DOUBTFUL, marked
from potpyri_like.products.words import clean, flag_words
from potpyri_like.results import SetResult

__all__ = ["animated_field", "animation"]

_PICTURE = 440  # pixels of the screen that the field should fill
_MARGIN, _HEAD, _PANEL, _FOOT, _AXIS = (
    14,
    50,
    150,
    46,
    64,
)  # the same: around, above, of the light curve, below, left
_LONGEST = 1.5  # s, the last picture
_WHITE, _GRID, _OUTSIDE, _FLAGGED = "white", "#e4e8ec", "#2b3440", "#52606d"
_FAINT = 0.3  # how much colour the points to come have
_GREYS, _BRIGHTEST = 60, 240  # levels of the field; less than the paper, which must stay white
_SOFT = 4.0  # scatters of the sky above it, where the stretch turns from linear to logarithmic


@dataclass(frozen=True)
class _Box:
    """A rectangle on the screen, pixels from the top left corner."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class _Layout:
    """Where things are on the screen; `zoom` is the pixels of the screen along the side of one of a snapshot."""

    size: tuple[int, int]
    field: _Box
    panel: _Box
    zoom: int


@dataclass(frozen=True, eq=False)
class _Panel:
    """The light curve on the screen.

    Attributes
    ----------
    xy : ndarray, shape (n_frames, 2)
        Where its points are, NaN for those not measured and those beyond the axes.
    flagged : ndarray of bool, shape (n_frames,)
    colour : str
    """

    xy: np.ndarray
    flagged: np.ndarray
    colour: str


def animation(result: SetResult) -> bytes:
    """The animated field of a set, from the pictures that were taken of it.

    Raises
    ------
    ProductError
        There is no picture.
    """
    if result.light_curve is None:
        raise ProductError(f"{result.observed.name}: no light curve to animate")
    return animated_field(result.snapshots, result.light_curve)


def animated_field(
    snapshots: Sequence[Snapshot | None], light_curve: LightCurve, *, most: int = 60, pause: float = 0.12
) -> bytes:
    """An animated GIF: the field with the apertures, and the light curve below; the same bytes for the same data.

    All pictures have one stretch, so that clouds and dawn are seen. Y is up, as in the other figures.

    Parameters
    ----------
    snapshots : sequence of Snapshot or None
        Parts of the frames, with the positions of all stars of the series in its order; in any order, found by
        their labels in the light curve's frames. None, a frame that is not in it, and one without a pixel are
        excluded, and so are pictures of another shape than the first.
    light_curve : LightCurve
    most : int
        Pictures at most, spread evenly over those that there are.
    pause : float, s
        Each picture is shown for.

    Raises
    ------
    ProductError
        There is no picture.
    """
    shown = _spread(_pictures(snapshots, light_curve), most)
    if not shown:
        raise ProductError(f"{clean(light_curve.target)}: no frame has a picture for the animation")
    layout = _layout_for(shown[0][1].image.shape)
    low, high, soft = _common_stretch([picture.image for _, picture in shown])
    screens = []
    for canvas, (index, picture) in zip(_light_curve_screens(light_curve, shown, layout), shown, strict=True):
        _draw_field(canvas, picture, light_curve, layout, grey=_stretched(picture.image, low, high, soft))
        screens.append(_with_words(canvas, picture, light_curve, index, layout))
    return _gif(screens, _palette(light_curve.band), pause=pause)


# -- which pictures, and how bright --------------------------------------------------------------------------


def _pictures(snapshots: Sequence[Snapshot | None], curve: LightCurve) -> list[tuple[int, Snapshot]]:
    """The snapshots that can be shown, each with the index of its frame, in the order of the light curve."""
    place = {label: index for index, label in enumerate(curve.frames)}
    found = [(place[s.label], s) for s in snapshots if s and s.label in place and np.isfinite(s.image).any()]
    found.sort(key=lambda pair: pair[0])
    return [(index, s) for index, s in found if s.image.shape == found[0][1].image.shape]


def _spread(things: list[tuple[int, Snapshot]], most: int) -> list[tuple[int, Snapshot]]:
    """So many of some things at most, evenly, the first and the last among them."""
    if len(things) <= most:
        return things
    return [things[i] for i in np.rint(np.linspace(0, len(things) - 1, max(most, 1))).astype(int)]


def _common_stretch(images: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Black, white, and how far above black the stretch is linear, in the unit of the images."""
    values = np.concatenate([image[np.isfinite(image)] for image in images])
    sky = float(np.median(values))
    below = values[values <= sky]
    scatter = max(1.4826 * float(np.median(sky - below)), 1e-6 * abs(sky), 1e-6)
    low = sky - 2.5 * scatter
    return low, max(float(np.percentile(values, 99.9)), low + 10 * scatter), _SOFT * scatter


def _stretched(image: np.ndarray, low: float, high: float, soft: float) -> np.ndarray:
    """An image as RGB from 0 to 255: asinh between black and white, slate where it is NaN."""
    with np.errstate(invalid="ignore"):
        level = np.arcsinh(np.clip(image - low, 0, high - low) / soft) / np.arcsinh((high - low) / soft)
        grey = np.rint(level * (_GREYS - 1)) * _BRIGHTEST / (_GREYS - 1)
    rgb = np.repeat(np.nan_to_num(grey)[:, :, None], 3, axis=2)
    rgb[~np.isfinite(image)] = _rgb_of(_OUTSIDE)
    return rgb


# -- the screen ----------------------------------------------------------------------------------------------


def _layout_for(shape: tuple[int, ...]) -> _Layout:
    """Where things are, for snapshots of some shape."""
    zoom = max(1, round(_PICTURE / max(shape)))
    wide, high = shape[1] * zoom, shape[0] * zoom
    inner = max(wide, _PICTURE)
    panel = _Box(_MARGIN + _AXIS, _HEAD + high + _MARGIN, inner - _AXIS, _PANEL)
    size = (inner + 2 * _MARGIN, panel.top + _PANEL + _FOOT)
    return _Layout(size, _Box(_MARGIN + (inner - wide) // 2, _HEAD, wide, high), panel, zoom)


def _light_curve_screens(
    curve: LightCurve, shown: list[tuple[int, Snapshot]], layout: _Layout
) -> Iterator[np.ndarray]:
    """For each picture a screen, shape (rows, columns, 3), with the light curve so far in full colour."""
    canvas, panel = _empty_screen(curve, layout)
    _draw_points(canvas, panel, range(len(panel.xy)), strength=_FAINT)
    drawn = 0
    for index, _ in shown:
        _draw_points(canvas, panel, range(drawn, index + 1))
        drawn = index + 1
        screen = canvas.copy()
        _draw_ring(screen, panel.xy[index], 5.0, colour=INK, width=1.6)
        yield screen


def _empty_screen(curve: LightCurve, layout: _Layout) -> tuple[np.ndarray, _Panel]:
    """White, with the axes of the light curve, and where its points are."""
    box = layout.panel
    time, label = shown_time(curve.time, curve.time_name)
    flagged = marked(curve)
    across, upwards = _span(time, pad=0.02), _flux_span(curve, flagged)
    x = box.left + (time - across[0]) / (across[1] - across[0]) * box.width
    y = box.top + (upwards[1] - curve.flux) / (upwards[1] - upwards[0]) * box.height
    with np.errstate(invalid="ignore"):
        y = np.where((y >= box.top) & (y <= box.top + box.height) & np.isfinite(x), y, np.nan)
    image = Image.new("RGB", layout.size, _WHITE)
    _draw_axes(ImageDraw.Draw(image), box, across, upwards, label)
    return np.array(image, float), _Panel(np.column_stack([x, y]), flagged, band_colour(curve.band))


def _span(values: np.ndarray, *, pad: float) -> tuple[float, float]:
    """From the least to the greatest number, and a little more."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    margin = pad * (high - low) or 5 / 1440
    return low - margin, high + margin


def _flux_span(curve: LightCurve, flagged: np.ndarray) -> tuple[float, float]:
    """Limits that show the points without a flag, where there are such."""
    return limits(curve.flux[~flagged], pad=0.15) or limits(curve.flux, pad=0.15) or (0.0, 2.0)


def _draw_axes(
    draw: ImageDraw.ImageDraw,
    box: _Box,
    across: tuple[float, float],
    upwards: tuple[float, float],
    label: str,
) -> None:
    """A frame, lines and numbers at round values."""
    small = _font(11)
    for value, words in _round_values(*upwards, count=4):
        y = box.top + (upwards[1] - value) / (upwards[1] - upwards[0]) * box.height
        draw.line([(box.left, y), (box.left + box.width, y)], fill=_GRID)
        draw.text((box.left - 7, y), words, fill=INK, font=small, anchor="rm")
    for value, words in _round_values(*across, count=6):
        x = box.left + (value - across[0]) / (across[1] - across[0]) * box.width
        draw.line([(x, box.top), (x, box.top + box.height)], fill=_GRID)
        draw.text((x, box.top + box.height + 6), words, fill=INK, font=small, anchor="ma")
    draw.rectangle([box.left, box.top, box.left + box.width, box.top + box.height], outline=_FLAGGED)
    middle = box.left + box.width / 2
    draw.text((middle, box.top + box.height + 23), label, fill=INK, font=small, anchor="ma")


def _round_values(low: float, high: float, *, count: int) -> list[tuple[float, str]]:
    """Round numbers between two, with as many decimals as tell them apart."""
    ticks = np.asarray(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    ticks = ticks[(ticks > low) & (ticks < high)]
    for decimals in range(12):
        if len({f"{tick:.{decimals}f}" for tick in ticks}) == len(ticks) and np.allclose(
            ticks, np.round(ticks, decimals), rtol=0, atol=1e-3 * (high - low)
        ):
            break
    return [(float(tick), f"{tick:.{decimals}f}") for tick in ticks]


def _draw_points(canvas: np.ndarray, panel: _Panel, which: range, *, strength: float = 1.0) -> None:
    """Points of the light curve into a screen; first over white, where they are paler than those so far."""
    radius = 2.6 if len(panel.xy) < 300 else 2.0
    for i in which:
        colour = _FLAGGED if panel.flagged[i] else panel.colour
        _draw_ring(canvas, panel.xy[i], radius / 2, colour=colour, width=radius, strength=strength)


def _draw_field(
    canvas: np.ndarray, picture: Snapshot, curve: LightCurve, layout: _Layout, *, grey: np.ndarray
) -> None:
    """The field into a screen, with the apertures; y is up."""
    box, zoom = layout.field, layout.zoom
    part = canvas[box.top : box.top + box.height, box.left : box.left + box.width]
    part[:] = np.repeat(np.repeat(grey[::-1], zoom, axis=0), zoom, axis=1)
    scale = zoom / picture.binning
    places = (picture.places + 0.5) * zoom - 0.5
    places[:, 1] = box.height - 1 - places[:, 1]
    for star in curve.comparisons:
        _draw_ring(part, places[star], curve.radius * scale, colour=COMPARISON, width=1.6)
    for radius in curve.annulus:
        _draw_ring(part, places[curve.star], radius * scale, colour=TARGET, width=1.0, strength=0.7)
    _draw_ring(part, places[curve.star], curve.radius * scale, colour=TARGET, width=2.2)


def _draw_ring(
    canvas: np.ndarray,
    centre: np.ndarray,
    radius: float,
    *,
    colour: str,
    width: float,
    strength: float = 1.0,
) -> None:
    """A circle with soft edges into an array of RGB, shape (rows, columns, 3); nothing where it is not finite."""
    if not np.isfinite([*centre, radius]).all():
        return
    (x, y), reach = centre, radius + width / 2 + 1
    left, right = np.clip([np.floor(x - reach), np.ceil(x + reach) + 1], 0, canvas.shape[1]).astype(int)
    top, bottom = np.clip([np.floor(y - reach), np.ceil(y + reach) + 1], 0, canvas.shape[0]).astype(int)
    rows, columns = np.ogrid[top:bottom, left:right]
    distance = np.abs(np.hypot(columns - x, rows - y) - radius)
    cover = strength * np.clip(width / 2 + 0.5 - distance, 0, 1)[:, :, None]
    part = canvas[top:bottom, left:right]
    part += cover * (_rgb_of(colour) - part)


def _with_words(
    canvas: np.ndarray, picture: Snapshot, curve: LightCurve, index: int, layout: _Layout
) -> Image.Image:
    """A screen as an image, with what it shows: target, time, frame and what makes it doubtful."""
    image = Image.fromarray(np.rint(canvas).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    room = layout.size[0] - 2 * _MARGIN
    head = " · ".join(part for part in (curve.target, curve.band, curve.camera) if part)
    draw.text(
        (_MARGIN, 16),
        _fitting(head, _font(15, bold=True), room),
        fill=INK,
        font=_font(15, bold=True),
        anchor="lm",
    )
    line = " · ".join(part for part in (_clock(picture.time), picture.label) if part)
    draw.text((_MARGIN, 37), _fitting(line, _font(12), room), fill=_FLAGGED, font=_font(12), anchor="lm")
    words = _fitting("; ".join(flag_words(curve.flags[index] & DOUBTFUL)), _font(12), layout.field.width - 16)
    bottom = layout.field.top + layout.field.height - 8
    draw.text((layout.field.left + 8, bottom), words, fill=OTHER, font=_font(12), anchor="ls")
    return image


def _clock(jd: float) -> str:
    """A JD_UTC as date and time of day; nothing for one that is not known."""
    if not np.isfinite(jd) or not 1721426 < jd < 5373484:  # the years that the calendar knows
        return ""
    noon = datetime(2000, 1, 1, 12)
    return (noon + timedelta(days=float(jd) - 2451545)).strftime("%Y-%m-%d %H:%M:%S UTC")


def _fitting(text: str, face: ImageFont.FreeTypeFont, room: float) -> str:
    """Text on one line, cut at its end to fit."""
    line = " ".join(clean(text).split())
    if face.getlength(line) <= room:
        return line
    while line and face.getlength(line + "…") > room:
        line = line[:-1]
    return line + "…"


@lru_cache
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, as in the other figures; matplotlib brings it along."""
    path = Path(get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


# -- the file ------------------------------------------------------------------------------------------------


@lru_cache
def _rgb_of(colour: str) -> np.ndarray:
    """Red, green and blue from 0 to 255."""
    return 255 * np.array(colors.to_rgb(colour))


def _palette(band: str) -> Image.Image:
    """The colours of the GIF: greys, and each colour with what it shades off into."""
    white = _rgb_of(_WHITE)
    found = [white, *(np.full(3, grey) for grey in np.linspace(0, _BRIGHTEST, _GREYS))]
    found += [_rgb_of(colour) for colour in (_OUTSIDE, _GRID, PALE)]
    for colour in (INK, _FLAGGED, band_colour(band)):
        found += [white + share * (_rgb_of(colour) - white) for share in np.linspace(0.1, 1, 10)]
    for colour in (TARGET, COMPARISON, OTHER):
        for under in (20.0, 70.0, 130.0, 200.0):
            found += [under + share * (_rgb_of(colour) - under) for share in (0.25, 0.5, 0.75)]
        found.append(_rgb_of(colour))
    flat = np.rint(found).astype(int).ravel().tolist()
    image = Image.new("P", (1, 1))
    image.putpalette(flat + flat[:3] * (256 - len(flat) // 3))
    return image


def _gif(screens: Sequence[Image.Image], colours: Image.Image, *, pause: float) -> bytes:
    """An animated GIF that begins again after its last picture, which stays a little longer."""
    first, *others = [screen.quantize(palette=colours, dither=Image.Dither.NONE) for screen in screens]
    times = [round(1000 * pause)] * len(others) + [round(1000 * max(_LONGEST, pause))]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=times, loop=0, optimize=False)
    return file.getvalue()
