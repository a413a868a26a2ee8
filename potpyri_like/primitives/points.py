"""Flags of the points of a light curve, and which points are good for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from potpyri_like.errors import UsageError
from potpyri_like.frame import STAR_FLAG_SHIFT, FrameFlag, Purpose, StarFlag, excluded
from potpyri_like.photometry import (
    Series,
    disagreement,
    light_lost,
    nan_median,
    odd_light,
    plateau,
    points_where,
    robust_rms,
    running_median,
)
from potpyri_like.primitives.register import FEW_STARS
from potpyri_like.results import Reference

__all__ = [
    "HABIT",
    "SERIES_FRAMES",
    "for_choices",
    "point_flags",
    "unfit",
    "with_clouds",
    "with_cuts",
    "with_disagreement",
    "with_flags",
    "with_odd_light",
    "with_plateau",
    "without_mistaken",
]

SERIES_FRAMES = 5  # fewer frames tell nothing of scatter
HABIT = 1.7  # FWHM; the aperture where scatter cannot choose
_SATURATED_OFTEN, _EDGE_OFTEN, _STRUCK_OFTEN = 0.02, 0.10, 0.10
_CLOUD, _DARK = 0.3, 0.9  # of the light lost: a cloud; too little left to be measured
_POOR_SEEING = 2.0  # times the median FWHM
_AROUND, _OUT_OF_FOCUS, _STANDS_ALONE = 9, 1.5, 6.0  # frames; times their median FWHM; standard deviations
_TRAILED = 0.25  # more ellipticity than usual
_TELLING = 15  # of the brightest stars tell by their light whether a frame was matched to the right ones
_UNLIKE = 2.0  # times more or less light than the others
_SHINING, _FEWEST_SHINING = (
    4.0,
    3,
)  # standard deviations; stars that at least stand out, where there is no sky alone


def without_mistaken(series: Series, reference: Reference) -> Series:
    """The series without the frames whose brightest stars, once matched, are not those stars by their light.

    A cloud dims all stars alike, or nearly; in a frame that was matched wrongly there is sky where stars should be, or
    other stars. Such a frame keeps its row, NaN and the reason.
    """
    agreeing, asked = _alike_in_light(series, reference)
    wrong = (2 * agreeing < asked) & (asked >= FEW_STARS - 1)
    if not wrong.any():
        return series
    lost: dict[str, Any] = {
        name: np.where(wrong.reshape(-1, *(1,) * (values.ndim - 1)), np.nan, values)
        for name, values in vars(series).items()
        if name in ("shift", "rotation", "xy", "flux", "flux_err", "sky", "peak")
    }
    reasons = tuple(
        f"{frame}: matched to the reference, but only {n} of its {of} brightest stars have the expected"
        " relative brightness; the frame is not measured"
        if bad
        else reason
        for frame, bad, n, of, reason in zip(
            series.frames, wrong, agreeing, asked, series.reasons, strict=True
        )
    )
    return replace(series, **lost, matched=np.where(wrong, 0, series.matched), reasons=reasons)


def _alike_in_light(series: Series, reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    """How many of the brightest stars keep their share of the light in each frame, and of how many."""
    middle = int(np.argmin(np.abs(series.radii_fwhm - HABIT)))
    flux, error = series.flux[:, :_TELLING, middle], series.flux_err[:, :_TELLING, middle]
    usual = nan_median(flux) if len(flux) >= SERIES_FRAMES else reference.flux[:_TELLING]
    flux, error, usual = flux[:, : len(usual)], error[:, : len(usual)], usual[: flux.shape[1]]
    asked = np.isfinite(flux) & (usual > 0)
    share = np.where(asked, flux / np.where(usual > 0, usual, np.nan), np.nan)
    light = np.array(
        [np.median(row[good]) if good.any() else np.nan for row, good in zip(share, asked, strict=True)]
    )
    with np.errstate(invalid="ignore"):
        low, high = light / _UNLIKE, light * _UNLIKE
        noise = 4 * error / np.where(usual > 0, usual, np.nan)
        alike = (share + noise > low[:, None]) & (share - noise < high[:, None]) & (light > 0)[:, None]
        alike &= (np.count_nonzero(flux > _SHINING * error, axis=1) >= _FEWEST_SHINING)[:, None]
    return (alike & asked).sum(axis=1), asked.sum(axis=1)


def with_flags(series: Series, doubts: Sequence[str]) -> Series:
    """The series with what is remarkable about its frames, and why; `doubts` are those of each frame's time."""
    flags, reasons = series.flags.copy(), list(series.reasons)
    poor = _poor_seeing(series.fwhm)
    trailed = series.ellipticity > nan_median(series.ellipticity) + _TRAILED
    matched = series.matched[series.matched > 0]
    few = min(
        FEW_STARS - 1, np.median(matched) / 2 if matched.size else 0
    )  # in a field of few stars, few are many
    for i, reason in enumerate(series.reasons):
        found = {
            FrameFlag.UNMATCHED: reason,
            FrameFlag.FEW_STARS: 0 < series.matched[i] <= few
            and f"matched on {series.matched[i]} stars only",
            FrameFlag.TIME_DOUBTFUL: doubts[i] and f"time doubtful: {doubts[i]}",
            FrameFlag.POOR_SEEING: poor[i],
            FrameFlag.TRAILED: trailed[i]
            and f"trailed: ellipticity {series.ellipticity[i]:.2f} at {series.angle[i]:.0f} degrees",
        }
        flags[i] = sum(int(flag) for flag, why in found.items() if why)
        reasons[i] = "; ".join(why for why in found.values() if why)
    return replace(series, flags=flags, reasons=tuple(reasons))


def _poor_seeing(fwhm: np.ndarray) -> list[str]:
    """Why each frame's stars are too wide, against those of the night or of the frames around it; "" where not."""
    usual, around = nan_median(fwhm), running_median(fwhm, _AROUND)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = fwhm / around
    limit = max(_OUT_OF_FOCUS, 1 + _STANDS_ALONE * float(np.nan_to_num(robust_rms(ratio))))
    return [
        f"FWHM {width:.1f} pixel, more than twice the median"
        if width > _POOR_SEEING * usual
        else f"FWHM {width:.1f} pixel, {times:.1f} times that of the frames around it"
        if times > limit and len(fwhm) >= _AROUND
        else ""
        for width, times in zip(fwhm, ratio, strict=True)
    ]


def with_clouds(series: Series, target: int | None) -> Series:
    """The series with the frames flagged in which the comparison stars lost light; without light, not measured.

    The light is that of a second, since exposures may differ, at a plain radius, so that no choice of aperture or
    comparison stars comes before the flags.
    """
    if len(series.frames) < SERIES_FRAMES:
        return series
    plain = int(np.argmin(np.abs(series.radii_fwhm - HABIT)))
    bright = _telling_stars(series, plain, {*unfit(series), target})
    known = series.airmass if np.isfinite(series.airmass).all() else None
    rate = series.flux[..., plain] / np.where(series.exposure > 0, series.exposure, np.nan)[:, None]
    rate = rate if np.isfinite(rate).any() else series.flux[..., plain]
    lost = light_lost(rate, bright, known, limit=_CLOUD)
    if not np.any(lost > _CLOUD):
        return series
    dark = (lost > _DARK)[:, None, None]
    return replace(
        series,
        flux=np.where(dark, np.nan, series.flux),
        flux_err=np.where(dark, np.nan, series.flux_err),
        flags=series.flags | np.where(lost > _CLOUD, int(FrameFlag.CLOUD), 0),
        reasons=tuple(
            "; ".join(filter(None, (why, _cloud_words(part))))
            for why, part in zip(series.reasons, lost, strict=True)
        ),
    )


def with_cuts(series: Series, star: int | None, condition: str) -> Series:
    """The series with the frames flagged for which the observer's condition holds.

    Parameters
    ----------
    series : Series
    star : int or None
        Whose position, sky and peak count; without one those of the brightest.
    condition : str
        See `points_where`.

    Raises
    ------
    UsageError
        It is not understood.
    """
    which = 0 if star is None else star
    columns = {
        **series.columns(which),
        "jd_utc_mid": series.jd_utc,
        series.time_name: series.time,
        "exposure": series.exposure,
        "ellipticity": series.ellipticity,
        "rotation": series.rotation,
        "matched": series.matched,
        "peak": series.peak[:, which],
        "dx": series.shift[:, 0],
        "dy": series.shift[:, 1],
    }
    try:
        cut = points_where(condition, columns)
    except UsageError as error:
        raise UsageError(f"--reject {condition!r}: {error}") from error
    reasons = tuple(
        "; ".join(filter(None, (why, f"--reject {condition}" if out else "")))
        for why, out in zip(series.reasons, cut, strict=True)
    )
    return replace(series, flags=series.flags | np.where(cut, int(FrameFlag.CUT), 0), reasons=reasons)


def with_odd_light(series: Series) -> Series:
    """The series with the points flagged that hold light of a particle or a trail, by the shape of it.

    A star that seems to be struck again and again lies on a bad pixel, which was filled.
    """
    struck = (series.star_flags & StarFlag.COSMIC_RAY) > 0
    often = struck.mean(axis=0) > _STRUCK_OFTEN if len(series.frames) >= SERIES_FRAMES else np.zeros(1, bool)
    flags = np.where(
        struck & often,
        (series.star_flags & ~int(StarFlag.COSMIC_RAY)) | int(StarFlag.BAD_PIXEL),
        series.star_flags,
    )
    odd = odd_light(series.flux, series.flux_err, series.radii_fwhm)
    return replace(series, star_flags=flags | np.where(odd, int(StarFlag.COSMIC_RAY), 0))


def with_plateau(series: Series) -> tuple[Series, float]:
    """The series with the points flagged as saturated that end at a level below the declared one, and that level.

    Infinity where there is none, electron.
    """
    plain = int(np.argmin(np.abs(series.radii_fwhm - HABIT)))
    known = (series.star_flags & StarFlag.SATURATED) > 0
    height = np.where(known, np.nan, series.peak - series.sky)
    level = plateau(height, series.flux[..., plain], series.flux_err[..., plain])
    with np.errstate(invalid="ignore"):
        cut = height > level
    return replace(series, star_flags=series.star_flags | np.where(cut, int(StarFlag.SATURATED), 0)), level


def with_disagreement(series: Series, target: int | None) -> Series:
    """The series with the frames flagged whose comparison stars no common factor describes, and their errors widened.

    Nobody can tell what happened to the target there: its error holds how far the comparison stars are apart.
    """
    if len(series.frames) < SERIES_FRAMES:
        return series
    plain = int(np.argmin(np.abs(series.radii_fwhm - HABIT)))
    stars = _telling_stars(series, plain, {*unfit(series), target})
    points = excluded(series.star_flags << STAR_FLAG_SHIFT, Purpose.CHOICES) | ~stars
    flux, error = (
        np.where(points, np.nan, values)[:, stars]
        for values in (series.flux[..., plain], series.flux_err[..., plain])
    )
    spread = disagreement(flux, error)
    if not spread.any():
        return series
    return replace(
        series,
        flux_err=np.hypot(series.flux_err, spread[:, None, None] * np.abs(series.flux)),
        flags=series.flags | np.where(spread > 0, int(FrameFlag.DISAGREE), 0),
        reasons=tuple(
            "; ".join(filter(None, (why, f"the comparison stars disagree by {part:.1%}" if part > 0 else "")))
            for why, part in zip(series.reasons, spread, strict=True)
        ),
    )


def _telling_stars(series: Series, aperture: int, without: set[int | None]) -> np.ndarray:
    """The brightest stars, but for some, that stand out from their noise; bool, shape (n_stars,)."""
    flux, error = nan_median(series.flux[..., aperture]), nan_median(series.flux_err[..., aperture])
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero(flux > _SHINING * error)
    chosen = [star for star in seen if star not in without][:_TELLING]
    return np.isin(np.arange(len(flux)), chosen)


def _cloud_words(lost: float) -> str:
    """Why a frame counts as cloudy; "" for one that does not."""
    if not lost > _CLOUD:
        return ""
    words = f"cloud: the comparison stars are {lost:.0%} fainter"
    return f"{words}; the frame is not measured" if lost > _DARK else words


def point_flags(series: Series) -> np.ndarray:
    """The flags of every star's points, shape (n_frames, n_stars), as `LightCurve.flags`."""
    return series.flags[:, None] | (series.star_flags << STAR_FLAG_SHIFT)


def for_choices(series: Series) -> Series:
    """The series with NaN for the points that no choice and no figure of merit may depend on.

    Where no other point is left, it stays as it is.
    """
    out = excluded(point_flags(series), Purpose.CHOICES)[..., None]
    if not out.any() or not np.isfinite(np.where(out, np.nan, series.flux)).any():
        return series
    return replace(
        series,
        flux=np.where(out, np.nan, series.flux),
        flux_err=np.where(out, np.nan, series.flux_err),
    )


def unfit(series: Series) -> dict[int, str]:
    """Stars that cannot be comparison stars, and why."""
    measured = np.isfinite(series.flux).any(axis=2)
    saturated = (series.star_flags & StarFlag.SATURATED) > 0
    # A flagged frame, or one in which most stars are saturated, tells of itself, not of its stars.
    telling = measured.any(axis=1) & ~excluded(series.flags, Purpose.CHOICES)
    telling &= 2 * saturated.sum(axis=1) <= saturated.shape[1]
    flags = series.star_flags[telling if telling.any() else slice(None)]
    full, edge, lost = (
        ((flags & flag) > 0).mean(axis=0)
        for flag in (StarFlag.SATURATED, StarFlag.EDGE, StarFlag.NO_CENTROID)
    )
    reasons: dict[int, str] = {}
    for star in range(len(full)):
        if full[star] > _SATURATED_OFTEN:
            reasons[star] = f"saturated in {full[star]:.0%} of the frames"
        elif edge[star] > _EDGE_OFTEN:
            reasons[star] = f"too close to the edge in {edge[star]:.0%} of the frames"
        elif lost[star] > 0.5:
            reasons[star] = f"not found in {lost[star]:.0%} of the frames"
    return reasons
