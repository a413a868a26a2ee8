"""From measured frames to light curves: the series, the comparison stars, the target's curve."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.time import Time

from potpyri_like.astrometry import airmass, bjd_tdb, jd_utc
from potpyri_like.errors import RegistrationError, UsageError
from potpyri_like.frame import STAR_FLAG_SHIFT, FrameFlag, Purpose, StarFlag, excluded
from potpyri_like.instruments import site_of
from potpyri_like.lightcurves import Metric, named_metric
from potpyri_like.options import Options
from potpyri_like.photometry import (
    ApertureChoice,
    LightCurve,
    Series,
    airmass_drift,
    baseline,
    choose_aperture,
    ensemble_weights,
    expected,
    light_lost,
    nan_median,
    point_to_point,
    rank_variables,
    relative_flux,
    rms,
    robust_rms,
    running_median,
    scintillation,
)
from potpyri_like.photometry.choice import total_rms
from potpyri_like.photometry.psf import Profile
from potpyri_like.primitives.fields import (
    APERTURE,
    CAMERA_MATCH,
    COORDINATES,
    FORCED,
    LIGHT_CURVE,
    MEASUREMENT,
    PIXEL_NOISE,
    REFERENCE,
    REGISTRATION,
    SERIES,
    STAR_TABLE,
    TARGET,
    VARIABLE,
)
from potpyri_like.primitives.measure import Measure, annulus_of, radii_of, sizes_of
from potpyri_like.primitives.register import FEW_STARS
from potpyri_like.primitives.stage import FrameOutcome, SetStage, Setup, TargetStage, Tools, Work, exposure_of
from potpyri_like.results import Candidate, Choice, Grade, Problem, Reference, StarTable
from potpyri_like.stages import Input

__all__ = [
    "SERIES_FRAMES",
    "VARIABLE_SCORE",
    "Compare",
    "DrawLightCurve",
    "GatherSeries",
    "PickVariable",
    "aperture_choice",
    "for_choices",
    "point_flags",
    "series_of",
    "star_table",
    "with_clouds",
    "with_flags",
    "without_drifting",
    "without_mistaken",
]

log = logging.getLogger(__name__)

SERIES_FRAMES = 5  # fewer frames tell nothing of scatter
_HABIT = 1.7  # FWHM; the aperture where scatter cannot choose
_SATURATED_OFTEN, _EDGE_OFTEN = 0.02, 0.10
VARIABLE_SCORE = 5.0
_LOOKED_AT = 3  # stars of each band that may be the one that varies most
_CLOUD, _DARK = 0.3, 0.9  # of the light lost: a cloud; too little left to be measured
_POOR_SEEING = 2.0  # times the median FWHM
_AROUND, _OUT_OF_FOCUS, _STANDS_ALONE = 9, 1.5, 6.0  # frames; times their median FWHM; standard deviations
_TRAILED = 0.25  # more ellipticity than usual
_TELLING = 15  # of the brightest stars tell by their light whether a frame was matched to the right ones
_UNLIKE = 2.0  # times more or less light than the others
_DRIFTING, _DRIFT = 6.0, 0.002  # standard deviations; relative, over the night's range of airmass
_SHINING, _FEWEST_SHINING = (
    4.0,
    3,
)  # standard deviations; stars that at least stand out, where there is no sky alone


@dataclass(frozen=True)
class GatherSeries(SetStage):
    """Put the measurements of all frames together, in order of time.

    Attributes
    ----------
    measured : Measure
        The stage that measured them.
    """

    measured: Measure
    reads = (
        Input(MEASUREMENT, many=True),
        Input(REGISTRATION, many=True),
        Input(PIXEL_NOISE, many=True),
        REFERENCE,
        Input(FORCED, required=False),
        COORDINATES,
    )
    gives = (SERIES,)

    def __call__(self, work: Work, tools: Tools) -> Work:
        reference = work.setup[REFERENCE]
        usable = [outcome for outcome in work.outcomes if not outcome.refused]
        if not any("measurement" in outcome.results for outcome in usable):
            causes = "; ".join(list(dict.fromkeys(o.reason for o in work.outcomes if o.reason))[:3])
            raise RegistrationError(f"{work.observed.name}: no frame could be measured ({causes})")
        problems = []
        if work.setup.coordinates is None:
            why = "the headers give no believable coordinates: times are JD_UTC; give --radec 'RA DEC' for BJD_TDB"
            told = (note for info in work.observed.frames for note in info.notes)
            reason = next((note for note in told if note.startswith("coordinates:")), "")
            why += f" ({reason})" * bool(reason)
            problems.append(Problem(work.observed.name, "time", why))
        return work.found(series=series_of(usable, work.setup, reference, self.measured), problems=problems)


@dataclass(frozen=True)
class Compare(SetStage):
    """Choose the aperture and the comparison stars, and divide every star by them.

    Attributes
    ----------
    settled : mapping of str to ApertureChoice
        Choices that stand, by the set's folder: none is made there.
    """

    reads = (
        SERIES,
        Input(TARGET, required=False),
    )
    gives = (
        APERTURE,
        STAR_TABLE,
    )
    settled: Mapping[str, ApertureChoice] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, work: Work, tools: Tools) -> Work:
        series = with_clouds(
            work.result[SERIES], work.target_star
        )  # flags first: what is bad chooses nothing
        steady = for_choices(series)
        choice = self.settled.get(work.observed.folder) or self.choice(work, steady, tools.options)
        choice = without_drifting(choice, steady, work.target_star)
        table = star_table(series, choice)
        chosen = Choice(
            "aperture",
            f"{series.radii_fwhm[choice.index]:.2f} FWHM",
            choice.reason,
            _aperture_candidates(series, choice),
        )
        used = np.flatnonzero(table.weight)
        comparisons = Choice(
            "comparisons", ", ".join(map(str, used[:12])) or "none", _said(table), _star_candidates(table)
        )
        work = work.with_(choice=choice)
        return work.found(series=series, aperture=choice.index, stars=table, choices=[chosen, comparisons])

    def choice(self, work: Work, series: Series, options: Options) -> ApertureChoice:
        """The aperture and the weights of the comparison stars, from a series without the points that are flagged."""
        usable = _wanted_comparisons(options.comparisons, work, len(series.reference_xy))
        metric = None if options.metric is None else named_metric(options.metric)
        target, without = work.target_star, _unfit(series)
        if target is not None and np.isfinite(series.flux[:, target]).any(axis=1).sum() < SERIES_FRAMES:
            without[target], target = "target", None  # it tells nothing of an aperture
        return aperture_choice(series, target, without, usable, options.aperture, metric)


@dataclass(frozen=True)
class PickVariable(TargetStage):
    """Where no target was named: the star that varies most over its noise, in all bands together."""

    reads = (
        SERIES,
        STAR_TABLE,
        TARGET,
        Input(CAMERA_MATCH, required=False),
    )
    gives = (VARIABLE,)

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        open_ = [w for w in works if not w.named_by and w.result.stars is not None]
        ranked = [w for w in open_ if np.isfinite(_scores(w)).any()]
        if not ranked:
            why = "no target was named, and too few frames were measured to find a variable star: give --target-xy"
            return tuple(w.with_(target_why=why) if w in open_ else w for w in works)
        best, star = _most_variable(ranked)
        return tuple(self.picked(w, best, star) if w in ranked else w for w in works)

    def picked(self, work: Work, best: Work, star: int) -> Work:
        """The star in this band that is the picked one; none where it is not known which that is."""
        here = star if work is best else _same_star(work, best, star)
        score = work.result[STAR_TABLE].score
        if here is None or here >= len(score):
            why = (
                f"star {star} of {best.observed.name}, which varies most, is not among the stars matched here"
            )
            return work.with_(target_why=why).found(
                problems=[Problem(work.observed.name, "light curve", why, Grade.REMARK)]
            )
        verdict = (
            "varies most over its noise"
            if score[here] >= VARIABLE_SCORE
            else "no star varies beyond its noise; it comes nearest"
        )
        why = (
            f"no target was named (--target-xy): every star is measured, and star {here} {verdict}"
            f" (score {score[here]:.1f}); not identified as {work.observed.target}"
        )
        return work.with_(target_star=here, target_why=why).found(
            choices=[Choice("target", f"star {here}", why)]
        )


@dataclass(frozen=True)
class DrawLightCurve(SetStage):
    """The light curve of the target, 1 out of transit."""

    reads = (
        SERIES,
        STAR_TABLE,
        TARGET,
        Input(VARIABLE, required=False),
    )
    gives = (LIGHT_CURVE,)

    def __call__(self, work: Work, tools: Tools) -> Work:
        series, table, star = work.result[SERIES], work.result.stars, work.target_star
        if star is None and any(
            problem.stage in ("target", "light curve") for problem in work.result.problems
        ):
            return work  # it was said before why there is none
        if star is None and work.named_by:
            return work  # another set of the target says why
        if star is None or table is None or not np.isfinite(table.relflux[:, star]).any():
            if len(series.frames) < SERIES_FRAMES:
                return work
            why = _no_curve(star, table, work.target_why)
            return work.found(problems=[Problem(work.observed.name, "light curve", why)])
        curve = _light_curve(work, series, table, star)
        problems = []
        if not np.isfinite(curve.noise["rms"]):
            problems.append(_no_figures(work, curve))
        named_by = [Choice("target", f"star {star}", work.target_why)] if work.named_by else []
        return work.found(light_curve=curve, choices=named_by, problems=problems)


def _most_variable(ranked: Sequence[Work]) -> tuple[Work, int]:
    """The star that varies most in all bands together, and a set in which it is known.

    Together, since of two stars compared with each other alone both vary alike.
    """
    candidates = [
        (work, int(star))
        for work in ranked
        for star in np.argsort(-np.nan_to_num(_scores(work)))[:_LOOKED_AT]
    ]
    return max(candidates, key=lambda one: sum(_score_of(work, *one) for work in ranked))


def _score_of(work: Work, base: Work, star: int) -> float:
    """How much a star of another set varies in this one; 0 where it is not known."""
    here = star if work is base else _same_star(work, base, star)
    known = _scores(work)
    return float(np.nan_to_num(known[here])) if here is not None and here < len(known) else 0.0


def _scores(work: Work) -> np.ndarray:
    """The variability of each star over its noise; NaN for those often saturated, at the edge or not found."""
    table, series = work.result[STAR_TABLE], work.result[SERIES]
    score = table.score.copy()
    score[list(_unfit(series))] = np.nan
    return score if np.isfinite(score).any() else table.score


def _no_curve(star: int | None, table: StarTable | None, why: str) -> str:
    """Why a set has no light curve."""
    if table is None or not np.any(table.weight):
        return "no star can serve as a comparison star"
    if star is None:
        return why or "no target was found"
    return f"star {star} was not measured in any frame"


def _no_figures(work: Work, curve: LightCurve) -> Problem:
    """What is said of a light curve too few of whose points were measured, or too few of them without a flag."""
    measured = int(np.isfinite(curve.flux).sum())
    if measured < 2:
        why = f"star {curve.star} was measured in too few frames"
        few = curve.time.size < SERIES_FRAMES  # as a test or a misspelt name has
        return Problem(work.observed.name, "light curve", why, Grade.REMARK if few else Grade.MISSING)
    why = (
        f"nearly all of the {measured} points of star {curve.star} are flagged (column flags): there are no noise"
        " figures, and nothing is fitted"
    )
    return Problem(work.observed.name, "light curve", why, Grade.DOUBTFUL)


def series_of(outcomes: Sequence[FrameOutcome], setup: Setup, reference: Reference, stage: Measure) -> Series:
    """The series of some frames that were registered and measured, or tell why not."""
    times = Time([o.info.mid_time for o in outcomes])
    site, coordinates = site_of(setup.instrument, outcomes[0].info.camera), setup.coordinates
    radii_fwhm = sizes_of(stage, reference)
    stars, grid = len(reference.xy) + len(setup.forced), len(radii_fwhm)
    centre = (np.array(reference.image.shape[::-1]) - 1) / 2
    n = len(outcomes)

    def column(name: str, *shape: int) -> np.ndarray:
        values = [getattr(o.get(MEASUREMENT), name, np.full(shape, np.nan)) for o in outcomes]
        return np.array(values, dtype=float)

    found = [o.get(REGISTRATION) for o in outcomes]
    psfs = [Profile(np.nan, np.nan, np.nan) if one is None else one.profile for one in found]
    flags = np.nan_to_num(column("flags", stars)).astype(int)
    series = Series(
        frames=tuple(o.info.label for o in outcomes),
        jd_utc=jd_utc(times),
        bjd_tdb=None if coordinates is None else bjd_tdb(times, coordinates, site),
        exposure=np.array([exposure_of(o.info) for o in outcomes]),
        airmass=np.full(n, np.nan) if coordinates is None else airmass(times, coordinates, site),
        fwhm=np.array([np.nan if one is None else one.fwhm for one in found]),
        ellipticity=np.array([psf.ellipticity for psf in psfs]),
        angle=np.array([psf.angle for psf in psfs]),
        scintillation=np.zeros(n),
        pixel_noise=_pixel_noise_of(outcomes),
        shift=np.array(
            [np.full(2, np.nan) if one is None else one.transform(centre[None])[0] - centre for one in found]
        ),
        rotation=np.array([np.nan if one is None else one.transform.rotation for one in found]),
        matched=np.array([0 if one is None else one.matched for one in found]),
        flags=np.zeros(n, int),
        reasons=tuple(o.reason for o in outcomes),
        reference_xy=np.vstack([reference.xy, setup.forced]),
        xy=column("xy", stars, 2),
        flux=column("flux", stars, grid),
        flux_err=column("flux_err", stars, grid),
        sky=column("sky", stars),
        peak=column("peak", stars),
        star_flags=flags,
        radii=radii_of(stage, reference),
        radii_fwhm=radii_fwhm,
        annulus=annulus_of(stage, reference),
    )
    series = _with_scintillation(without_mistaken(series, reference), setup)
    return with_flags(series, [_time_doubts(o.info.notes) for o in outcomes])


def _pixel_noise_of(outcomes: Sequence[FrameOutcome]) -> dict[str, np.ndarray]:
    """What makes the noise of a pixel in each frame; NaN where a frame does not tell."""
    told = [o.get(PIXEL_NOISE) or {} for o in outcomes]
    names = dict.fromkeys(name for one in told for name in one)
    return {name: np.array([float(one.get(name, np.nan)) for one in told]) for name in names}


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
        f"{frame}: matched to the reference, but only {n} of its {of} brightest stars have the brightness that they"
        " should; the frame is not measured"
        if bad
        else reason
        for frame, bad, n, of, reason in zip(
            series.frames, wrong, agreeing, asked, series.reasons, strict=True
        )
    )
    return replace(series, **lost, matched=np.where(wrong, 0, series.matched), reasons=reasons)


def _alike_in_light(series: Series, reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    """How many of the brightest stars keep their share of the light in each frame, and of how many."""
    middle = int(np.argmin(np.abs(series.radii_fwhm - _HABIT)))
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


def _with_scintillation(series: Series, setup: Setup) -> Series:
    """The series with the atmosphere's own noise in its errors, where the telescope's diameter is declared."""
    diameter = setup.instrument.telescope_diameter
    if diameter is None:
        return series
    height = setup.instrument.site.height.to_value("m")
    through = np.where(np.isfinite(series.airmass), series.airmass, 1.0)
    relative = [
        scintillation(t, x, diameter=diameter.to_value("m"), altitude=height) if t > 0 else 0.0
        for t, x in zip(series.exposure, through, strict=True)
    ]
    return replace(
        series,
        flux_err=np.hypot(series.flux_err, series.flux * np.array(relative)[:, None, None]),
        scintillation=np.array(relative),
    )


def _time_doubts(notes: Sequence[str]) -> str:
    """What the notes on a frame doubt of its time; "" for nothing."""
    return "; ".join(note.removeprefix("time: ") for note in notes if note.startswith("time:"))


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

    The flux is that at a plain radius, so that no choice of aperture or comparison stars comes before the flags.
    """
    if len(series.frames) < SERIES_FRAMES:
        return series
    plain = int(np.argmin(np.abs(series.radii_fwhm - _HABIT)))
    bright = _telling_stars(series, plain, {*_unfit(series), target})
    known = series.airmass if np.isfinite(series.airmass).all() else None
    lost = light_lost(series.flux[..., plain], bright, known, limit=_CLOUD)
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
    words = f"cloud: the comparison stars lost {lost:.0%} of their light"
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


def _unfit(series: Series) -> dict[int, str]:
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
            reasons[star] = f"too near the edge in {edge[star]:.0%} of the frames"
        elif lost[star] > 0.5:
            reasons[star] = f"not found in {lost[star]:.0%} of the frames"
    return reasons


def _wanted_comparisons(text: str | None, work: Work, stars: int) -> np.ndarray | None:
    """The stars that the observer wants to compare with; None where the software chooses.

    Raises
    ------
    UsageError
        The text is no list of stars of this set.
    """
    if text is None:
        return None
    camera, _, numbers = text.rpartition(":")
    if camera and camera.casefold() not in (work.observed.camera.casefold(), work.observed.band.casefold()):
        return None
    try:
        wanted = [int(part) for part in numbers.split(",")]
    except ValueError as error:
        raise UsageError(f"--comparisons {text}: give star numbers, as in 3,5,8 or C1:3,5,8") from error
    if max(wanted) >= stars or min(wanted) < 0:
        raise UsageError(f"--comparisons {text}: {work.observed.name} has the stars 0 to {stars - 1}")
    return np.isin(np.arange(stars), wanted)


def aperture_choice(
    series: Series,
    target: int | None,
    excluded: Mapping[int, str],
    usable: np.ndarray | None,
    radius: float | None,
    metric: Metric | None = None,
) -> ApertureChoice:
    """The aperture and its ensemble: of least noise, or the one asked for, or a habit where frames are few."""
    clear = int(np.isfinite(series.flux).any(axis=(1, 2)).sum())
    few = clear < SERIES_FRAMES
    if radius is None and not few:
        return choose_aperture(
            series.flux,
            series.flux_err,
            target=target,
            time=series.time,
            usable=usable,
            excluded=excluded,
            labels=[f"{r:.2f} FWHM" for r in series.radii_fwhm],
            metric=metric or point_to_point,
            constant_metric=metric or total_rms,
        )
    index = int(np.argmin(np.abs(series.radii_fwhm - (_HABIT if radius is None else radius))))
    ensemble = ensemble_weights(
        series.flux[..., index], series.flux_err[..., index], target=target, usable=usable, excluded=excluded
    )
    asked = (
        "as --aperture asks"
        if radius is not None
        else f"{clear} usable frames are too few to optimise the aperture; {_HABIT:g} FWHM by default"
    )
    return ApertureChoice(index, np.full(len(series.radii), np.nan), ensemble, False, asked)


def without_drifting(choice: ApertureChoice, series: Series, target: int | None) -> ApertureChoice:
    """The choice without comparison stars that drift with airmass, as stars of another colour do.

    No more than a third of them are left out, the worst first, and three stay.
    """
    weights = choice.ensemble.weights
    flux, error = series.flux[..., choice.index], series.flux_err[..., choice.index]
    relflux, relflux_err = relative_flux(flux, error, weights)
    drift, sure = airmass_drift(relflux, relflux_err, series.airmass)
    used = np.flatnonzero(weights)
    found = used[(np.nan_to_num(sure[used]) > _DRIFTING) & (np.abs(np.nan_to_num(drift[used])) > _DRIFT)]
    found = found[np.argsort(-sure[found], kind="stable")][: max(min(len(used) // 3, len(used) - 3), 0)]
    if not len(found):
        return choice
    reasons = {i: why for i, why in enumerate(choice.ensemble.reasons) if why and i != target}
    reasons |= {
        int(i): f"drifts with airmass by {1e3 * drift[i]:+.1f} ppt, as another colour does" for i in found
    }
    return replace(choice, ensemble=ensemble_weights(flux, error, target=target, excluded=reasons))


def star_table(series: Series, choice: ApertureChoice) -> StarTable:
    """What is known of each star at the chosen aperture."""
    flux, error = series.flux[..., choice.index], series.flux_err[..., choice.index]
    flagged = excluded(series.star_flags << STAR_FLAG_SHIFT, Purpose.CHOICES)
    divides = np.where(flagged & (choice.ensemble.weights > 0), np.nan, flux)
    relflux, relerr = relative_flux(divides, error, choice.ensemble.weights)
    steady = for_choices(series)
    out = ~np.isfinite(steady.flux[..., choice.index])
    clear, clear_err = np.where(out, np.nan, relflux), np.where(out, np.nan, relerr)
    level = nan_median(clear)
    level = np.where(level > 0, level, 1.0)
    relflux, relerr, clear, clear_err = (values / level for values in (relflux, relerr, clear, clear_err))
    if len(series.frames) >= SERIES_FRAMES:
        score, _ = rank_variables(clear, clear_err, series.time)
    else:
        score = np.full(flux.shape[1], np.nan)
    return StarTable(
        flux=_per_star(np.nanmedian, np.where(out, np.nan, flux)),
        weight=choice.ensemble.weights,
        rms=_per_star(rms, clear),
        point_to_point=_per_star(lambda f: point_to_point(f, series.time), clear),
        expected=_per_star(expected, np.where(np.isfinite(clear), clear_err, np.nan)),
        score=score,
        own_aperture=_own_apertures(steady, choice.ensemble.weights),
        why=choice.ensemble.reasons,
        relflux=relflux,
        relflux_err=relerr,
    )


def _own_apertures(series: Series, weights: np.ndarray) -> np.ndarray:
    """The radius that suits each star best, by the point-to-point scatter of its own light curve, pixels."""
    found = np.full((series.flux.shape[1], len(series.radii)), np.inf)
    for aperture in range(len(series.radii) if len(series.frames) >= SERIES_FRAMES else 0):
        relflux, _ = relative_flux(series.flux[..., aperture], series.flux_err[..., aperture], weights)
        found[:, aperture] = [point_to_point(curve, series.time) for curve in relflux.T]
    found[~np.isfinite(found)] = np.inf
    known = np.isfinite(found).any(axis=1)
    return np.where(known, series.radii[np.argmin(found, axis=1)], np.nan)


def _per_star(figure: Any, values: np.ndarray) -> np.ndarray:
    """A figure of each star's series, shape (n_stars,); NaN for a star never measured."""
    return np.array(
        [figure(column) if np.isfinite(column).any() else np.nan for column in values.T], dtype=float
    )


def _aperture_candidates(series: Series, choice: ApertureChoice) -> tuple[Candidate, ...]:
    """The apertures of the grid, each with its noise and why it was not taken."""
    noise = choice.metric
    if not np.isfinite(noise[choice.index]):
        return ()
    lost = [_aperture_lost(noise, i, choice.index) for i in range(len(noise))]
    mmag = 2500 / np.log(10) * noise
    return tuple(
        Candidate(f"{r:.2f} FWHM", f"{m:.2f} mmag" if np.isfinite(m) else "", why)
        for r, m, why in zip(series.radii_fwhm, mmag, lost, strict=True)
    )


def _aperture_lost(noise: np.ndarray, index: int, chosen: int) -> str:
    """Why an aperture was not taken."""
    more = noise[index] / noise[chosen] - 1
    if index == chosen:
        return ""
    if not np.isfinite(more):
        return "it leaves the image in some frames, or gives no light curve"
    if more > 0.0005:
        return f"noisier by {100 * more:.1f} %"
    quieter = f"quieter by {100 * -more:.1f} %"
    return f"{quieter} only, and larger" if more > -0.015 else f"{quieter} by chance: its neighbours are not"


def _star_candidates(table: StarTable) -> tuple[Candidate, ...]:
    """All stars, those of most weight first, and why the others have none."""
    order = np.argsort(-table.weight, kind="stable")
    return tuple(
        Candidate(
            f"star {star}",
            f"weight {table.weight[star]:.3f}, rms {1e3 * table.rms[star]:.2f} ppt",
            table.why[star],
        )
        for star in order
    )


def _said(table: StarTable) -> str:
    """Which stars are compared with, in words."""
    used = int(np.count_nonzero(table.weight))
    reasons = [why.partition(":")[0].partition(" in ")[0] for why in table.why if why]
    left_out = ", ".join(f"{reasons.count(r)} {r}" for r in dict.fromkeys(reasons))
    return f"{used} of {len(table.weight)} stars, weighted by how constant they are" + (
        f"; left out: {left_out}" if left_out else ""
    )


def _same_star(work: Work, base: Work, star: int) -> int | None:
    """The number in one set of a star that is known by its number in another, if both know the same stars."""
    if work.observed.folder == base.observed.folder:
        return star
    common = star if not base.result.same_as else base.result.same_as.get(star)
    if not work.result.same_as:
        return common
    back = {there: here for here, there in work.result.same_as.items()}
    return back.get(common) if common is not None else None


def _light_curve(work: Work, series: Series, table: StarTable, star: int) -> LightCurve:
    """The light curve of one star."""
    flux, error, flags = table.relflux[:, star], table.relflux_err[:, star], point_flags(series)[:, star]
    out = excluded(flags, Purpose.CHOICES)
    level = baseline(flux if out.all() else np.where(out, np.nan, flux), series.time)
    flux, error = flux / level, error / level
    clear = np.where(out, np.nan, flux)
    used = np.flatnonzero(table.weight)
    aperture = work.result.aperture
    return LightCurve(
        star=star,
        target=work.observed.target
        if work.named_by
        else f"star {star}, not identified as {work.observed.target}",
        is_identified=bool(work.named_by),
        is_limit=work.is_limit,
        band=work.observed.band,
        camera=work.observed.camera,
        time_name=series.time_name,
        time=series.time,
        flux=flux,
        flux_err=error,
        x=series.xy[:, star, 0],
        y=series.xy[:, star, 1],
        fwhm=series.fwhm,
        sky=series.sky[:, star],
        airmass=series.airmass,
        comparison=_summed(series.flux[:, used, aperture]),
        flags=flags,
        frames=series.frames,
        radius=float(series.radii[aperture]),
        radius_fwhm=float(series.radii_fwhm[aperture]),
        annulus=series.annulus,
        model=np.ones(len(flux)),
        trend=np.ones(len(flux)),
        comparisons={int(i): float(table.weight[i]) for i in used},
        noise={
            "rms": rms(clear),
            "point_to_point": point_to_point(clear, series.time),
            "expected": expected(error[np.isfinite(clear)]),
        },
        reasons={
            "target": work.target_why,
            "aperture": next((c.why for c in work.result.choices if c.what == "aperture"), ""),
            "comparisons": _said(table),
            "baseline": "normalised to the out-of-transit level",
            "time": _time_reason(work),
        },
    )


def _summed(flux: np.ndarray) -> np.ndarray:
    """The light of some stars together in each frame; NaN where none was measured."""
    return np.where(np.isfinite(flux).any(axis=1), np.nansum(flux, axis=1), np.nan)


def _time_reason(work: Work) -> str:
    """Where the time's correction comes from, or why there is none."""
    if work.setup.coordinates is None:
        return "no believable coordinates: give --radec for BJD_TDB"
    return work.setup.coordinates_why
