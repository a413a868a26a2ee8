"""What a run came to: as JSON for programs, as the last lines on the screen for the observer."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path, PurePath

import numpy as np
from astropy.time import Time
from astropy.units import Quantity

from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.identity import code_identity, versions
from potpyri_like.lightcurves import BandFit, Estimate, Lag
from potpyri_like.night import FrameRow
from potpyri_like.photometry import BUDGET_CLOSED
from potpyri_like.photometry.noise import nan_median
from potpyri_like.products.words import clean, in_mmag, plural, short
from potpyri_like.results import Choice, Grade, Master, Problem, RunReport, SetResult, Timing

__all__ = [
    "BUDGET_CLOSED",
    "FrameCounts",
    "aligned",
    "closing_lines",
    "count_frames",
    "curve_file",
    "final_rows",
    "frame_file",
    "graded",
    "leads_the_fit",
    "masters_of",
    "middle_comparison",
    "missing",
    "plain",
    "refusals",
    "remarks",
    "run_json",
    "timing_lines",
    "transit_choice",
    "with_error",
    "with_subject",
]

_LONGEST_NAME = 40  # of a target, in the lines of the sets
_NAMED = 3  # of what is counted in one line
_NOISE_WORDS = (("point_to_point", "point-to-point"), ("expected", "expected"))
_REFUSED = "refused"
_FRAME = "frame"  # the stage of a problem with a raw frame that no stage told of


@dataclass(frozen=True)
class FrameCounts:
    """Frames of a set: all, those measured, those of them or lost with a flag, those refused."""

    total: int
    measured: int
    flagged: int
    refused: int


# -- what there is to say ------------------------------------------------------------------------------------


def final_rows(report: RunReport) -> list[FrameRow]:
    """The raw files with their status and reason after the run."""
    rows = report.night.rows
    return [FrameRow(r.file, *report.status.get(r.file, (r.status, r.reason)), r.info) for r in rows]


def refusals(report: RunReport) -> list[FrameRow]:
    """The raw files that were refused, by their headers or in the run."""
    return [row for row in final_rows(report) if row.status == _REFUSED]


def frame_file(report: RunReport, info: FrameInfo) -> str:
    """A frame's path within the night, with the plane where there is one."""
    root = report.night.root
    inside = info.path.relative_to(root) if info.path.is_relative_to(root) else info.path
    return inside.as_posix() if info.plane is None else f"{inside.as_posix()}[{info.plane}]"


def remarks(report: RunReport) -> list[FrameRow]:
    """Every frame that was refused or flagged, with its reason, in the order of the night and its sets."""
    rows = [row for row in final_rows(report) if row.status in (_REFUSED, "flagged")]
    told = {row.file for row in rows}
    for result in report.sets:
        files = {info.label: (frame_file(report, info), info) for info in result.observed.frames}
        for label, reason in _flagged_frames(result):
            file, info = files.get(label, (label, None))
            if file not in told:
                rows.append(FrameRow(file, "flagged", reason, info))
                told.add(file)
    return rows


def _flagged_frames(result: SetResult) -> list[tuple[str, str]]:
    """Names of a set's flagged frames, each with its reason."""
    series = result.series
    if series is None:
        return []
    told = zip(series.frames, series.flags, series.reasons, strict=True)
    return [(name, why or "flagged") for name, flags, why in told if flags]


def count_frames(report: RunReport, result: SetResult) -> FrameCounts:
    """How many frames of a set came to what; those refused by their shape count among all."""
    files = {frame_file(report, info) for info in result.observed.frames}
    refused = [row.file for row in refusals(report) if row.info is not None and _belongs(row.info, result)]
    series = result.series
    measured = 0 if series is None else int(np.isfinite(series.flux).any(axis=(1, 2)).sum())
    flagged = 0 if series is None else int(np.count_nonzero(series.flags))
    return FrameCounts(len(files.union(refused)), measured, flagged, len(refused))


def _belongs(info: FrameInfo, result: SetResult) -> bool:
    """Whether a science frame is one of a set's kind, used or not."""
    observed = result.observed
    same = (info.camera, info.band, info.binning) == (observed.camera, observed.band, observed.binning)
    target = (info.target or "unnamed").casefold()
    same = same and observed.night in ("", info.night)
    return info.kind is FrameKind.SCIENCE and same and target == observed.target.casefold()


def curve_file(result: SetResult, name: str) -> str:
    """The name of a file that shows a set's light curve: lightcurve.ecsv, or star_012.ecsv where no target was named.

    Parameters
    ----------
    result : SetResult
    name : str
        As it is for a target: lightcurve.png, transit.ecsv.
    """
    curve = result.light_curve
    if curve is None or curve.is_identified:
        return name
    stem, dot, kind = name.partition(".")
    return f"star_{curve.star:03d}" + ("" if stem == "lightcurve" else f"_{stem}") + dot + kind


def missing(report: RunReport) -> list[Problem]:
    """Everything that failed or is missing, each once: of the run, of its sets, and the frames refused."""
    problems = list(report.problems)
    for result in report.sets:
        problems += [_named_after(result.observed.name, problem) for problem in result.problems]
    problems = list(dict.fromkeys(problems))
    frames = [
        Problem(row.file, _FRAME, row.reason, Grade.REMARK)
        for row in refusals(report)
        if not _told(report, row)
    ]
    return [*problems, *frames]


def _named_after(name: str, problem: Problem) -> Problem:
    """The problem with the set's name before what it is about, unless that is a frame or begins with it."""
    if problem.what.startswith(name) or problem.why.startswith(problem.what):
        return problem
    return replace(problem, what=f"{name}: {problem.what}")


def _told(report: RunReport, row: FrameRow) -> bool:
    """Whether a problem already says what befell a frame."""
    problems = report.all_problems
    label = PurePath(row.file).name
    return any(p.what == row.file or (p.what == label and p.why == row.reason) for p in problems)


def masters_of(result: SetResult) -> list[Master]:
    """The masters that a set was calibrated with."""
    found = []
    for masters in result.masters.nights.values() or [result.masters]:
        darks = [masters.darks[exposure] for exposure in sorted(masters.darks)]
        found += [master for master in (masters.bias, *darks, masters.flat) if master is not None]
    return list({id(master): master for master in found}.values())


def with_subject(what: str, why: str) -> str:
    """A reason that begins with what it is about, which is not said twice."""
    name = PurePath(what).name if "/" in what else what
    if not why:
        return what
    return why if why.startswith((what, name)) else f"{what}: {why}"


# -- run.json ------------------------------------------------------------------------------------------------


def run_json(
    report: RunReport,
    *,
    raw: Mapping[str, Mapping[str, object]] | None = None,
    products: Mapping[str, Mapping[str, object]] | None = None,
    digests: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """The run in plain JSON types: NaN is null, times are UTC, quantities have their unit.

    Parameters
    ----------
    report : RunReport
    raw : mapping of str to mapping, optional
        SHA-256, size and time of the raw files, by their path within the night.
    products : mapping of str to mapping, optional
        SHA-256 and size of the products, by their path within the output folder.
    digests : mapping of str to str, optional
        SHA-256 of the user's own code, by the options that name it.
    """
    raw, digests = raw or {}, digests or {}
    told = {
        "software": "potpyri_like",
        "versions": versions(),
        "source_sha256": code_identity(whole=True)["source"],
        "command": report.command,
        "instrument": report.instrument,
        "recipe": report.recipe,
        "night": report.night.root,
        "exit_status": report.exit_status,
        "options": {
            key: {
                "value": v,
                "from": origin,
                **({"sha256": digests[key]} if key in digests else {}),
            }
            for key, (v, origin) in report.options.items()
        },
        "sets": [_set_json(report, result) for result in report.sets],
        "problems": [_problem_json(problem) for problem in report.problems],
        "missing": [_problem_json(problem) for problem in missing(report)],
        "frames": [_frame_json(row) for row in remarks(report)],
        "inputs": [
            {"file": row.file, "status": row.status, **raw.get(row.file, {})} for row in final_rows(report)
        ],
        "products": [
            {"file": name, **about, "inputs": _inputs_of(report, name)}
            for name, about in (products or {}).items()
        ],
        "timings": _timing_json(report.timing),
    }
    return {name: plain(value) for name, value in told.items()}


def _inputs_of(report: RunReport, product: str) -> list[str]:
    """What a product was made from, raw files and other products; [] for what tells of the whole night."""
    for result in report.sets:
        observed, masters = result.observed, masters_of(result)
        for master in masters:
            if master.product == product:
                return list(master.inputs)
        if product.startswith(f"{observed.folder}/"):
            only = report.images.get(product)
            return [
                *(master.product for master in masters),
                *(frame_file(report, info) for info in observed.frames if only in (None, info.label)),
            ]
    folder = PurePath(product).parent
    sets = [result for result in report.sets if PurePath(result.observed.folder).parent == folder]
    if folder == PurePath() or not sets:
        return []
    return [file for result in sets for file in _inputs_of(report, f"{result.observed.folder}/")]


def _timing_json(timing: Timing) -> dict[str, object]:
    """Where the time went."""
    return {
        "per_frame": {
            stage: {
                "seconds": seconds,
                "frames": timing.times[stage],
                "ms_per_frame": 1e3 * seconds / timing.times[stage],
            }
            for stage, seconds in timing.per_frame.items()
        },
        "per_set": {stage: {"seconds": seconds} for stage, seconds in timing.per_set.items()},
        "frames": timing.frames,
        "wall_seconds": timing.wall,
        "frames_per_second": timing.frames / timing.wall if timing.wall else None,
        "bytes_read": timing.bytes_read,
        "seconds_reading": timing.seconds_reading,
        "megabytes_per_second": timing.bytes_read / timing.seconds_reading / 1e6
        if timing.seconds_reading
        else None,
    }


def _set_json(report: RunReport, result: SetResult) -> dict[str, object]:
    """One set of a run."""
    observed = result.observed
    counts = count_frames(report, result)
    return {
        "target": observed.target,
        "camera": observed.camera,
        "band": observed.band,
        "binning": list(observed.binning),
        "night": observed.night or ", ".join(sorted({info.night for info in observed.frames})),
        "folder": observed.folder,
        "frames": vars(counts),
        "files": [frame_file(report, info) for info in observed.frames],
        "masters": [_master_json(master) for master in masters_of(result)],
        "reference": None if result.reference is None else _reference_json(report, result),
        "light_curve": _light_curve_json(result),
        "transit": _transit_json(result),
        "noise_budget": _budget_json(result),
        "time_averaging": _averaging_json(result),
        "period": _period_json(result),
        "lags": {name: _lag_json(lag) for name, lag in result.lags.items()},
        "choices": [_choice_json(choice) for choice in result.choices],
        "problems": [_problem_json(problem) for problem in result.problems],
        "notes": result.notes,
        "products": result.products,
        "same_stars_as": result.same_as_set or None,
    }


def _choice_json(choice: Choice) -> dict[str, object]:
    candidates = [vars(candidate) for candidate in choice.candidates]
    return {"what": choice.what, "chosen": choice.chosen, "why": choice.why, "candidates": candidates}


def _master_json(master: Master) -> dict[str, object]:
    return {
        "kind": master.kind,
        "exposure_s": master.exposure,
        "rung": master.rung,
        "inputs": master.inputs,
        "product": master.product,
    }


def _reference_json(report: RunReport, result: SetResult) -> dict[str, object]:
    reference = result.reference
    if reference is None:
        return {}
    return {
        "frame": frame_file(report, reference.info),
        "why": reference.why,
        "fwhm_pixels": reference.fwhm,
        "pixel_scale_arcsec": result.pixel_scale,
        "stars": len(reference.xy),
    }


def _light_curve_json(result: SetResult) -> dict[str, object] | None:
    """How the light curve of a set was made, and how noisy it is."""
    curve = result.light_curve
    if curve is None:
        return None
    return {
        "target": curve.target,
        "star": curve.star,
        "identified": curve.is_identified,
        "limit": curve.is_limit,
        "time": curve.time_name,
        "aperture_pixels": curve.radius,
        "aperture_fwhm": curve.radius_fwhm,
        "annulus_pixels": curve.annulus,
        "comparisons": curve.comparisons,
        "noise": curve.noise,
        "reasons": curve.reasons,
    }


def _transit_json(result: SetResult) -> dict[str, object] | None:
    """The transit: what all bands of the target share, and this set's own part."""
    fit, band = result.transit, result.band_fit
    if fit is None:
        return None
    chi2, freedom, probability = fit.chromaticity
    return {
        **{name: vars(getattr(fit, name)) for name in ("tc", "t14", "b")},
        "time": None if result.light_curve is None else result.light_curve.time_name,
        "unit": {"tc": "d", "t14": "d"},
        "detected": fit.detected,
        "significance": fit.significance,
        "why": fit.why,
        "coverage": fit.coverage,
        "coverage_note": fit.coverage_note,
        "chromaticity": {"chi2": chi2, "dof": freedom, "probability": probability},
        "chi2": fit.chi2,
        "dof": fit.dof,
        "outliers": fit.n_outliers,
        "period_days": fit.period,
        "bands": [one.name for one in fit.bands],
        "band": None if band is None else _band_json(band),
    }


def _band_json(band: BandFit) -> dict[str, object]:
    """The part of a fit that is one band's own."""
    known = ("name", "columns", "chosen", "coefficients", "bic", "dropped", "scale", "beta", "rms")
    estimates = {name: vars(getattr(band, name)) for name in ("depth", "k", "k2", "u1", "u2")}
    return {**estimates, **{name: getattr(band, name) for name in known}}


def _budget_json(result: SetResult) -> dict[str, object] | None:
    """The noise predicted and measured, of the target and of the median comparison star."""
    budget, target = result.budget, _aimed_star(result)
    if budget is None:
        return None
    rows: dict[str, list[int] | np.ndarray] = {
        "target": [] if target is None else [target],
        "median_comparison": middle_comparison(result),
    }
    wanted = ("predicted", "measured", "ratio", "uncertainty")
    return {
        "widths_minutes": budget.width,
        "unit": "relative",
        **{
            who: {
                **{name: nan_median(getattr(budget, name)[stars]) for name in wanted},
                "terms": {name: nan_median(noise[stars]) for name, noise in budget.terms.items()},
            }
            for who, stars in rows.items()
            if len(stars)
        },
        "comparison_stars": len(rows["median_comparison"]),
    }


def _aimed_star(result: SetResult) -> int | None:
    """The star of a set's light curve."""
    return None if result.light_curve is None else int(result.light_curve.star)


def middle_comparison(result: SetResult) -> np.ndarray:
    """The comparison stars whose noise was measured, of which figures give the median."""
    stars, budget = result.stars, result.budget
    if stars is None or budget is None:
        return np.zeros(0, int)
    return np.flatnonzero((stars.weight > 0) & np.isfinite(budget.ratio[:, 0]))


def _averaging_json(result: SetResult) -> dict[str, object] | None:
    """The scatter in bins of time."""
    return None if result.averaging is None else {"width_unit": "d", **vars(result.averaging)}


def _period_json(result: SetResult) -> dict[str, object] | None:
    """The best period, without the periodogram itself, and how the scatter goes with the flux."""
    if result.periods is None:
        return None
    wanted = ("period", "period_error", "best_power", "false_alarm", "false_alarms", "levels")
    found = {name: getattr(result.periods, name) for name in (*wanted, "amplitude", "amplitude_error")}
    relation = None if result.flux_relation is None else vars(result.flux_relation)
    return {"unit": "d", **found, "notes": result.periods.notes, "rms_flux": relation}


def _lag_json(lag: Lag) -> dict[str, object]:
    """By how much a light curve follows this one."""
    wanted = ("lag", "lag_error", "peak", "peak_lag", "notes")
    return {"unit": "d", **{name: getattr(lag, name) for name in wanted}}


def _problem_json(problem: Problem) -> dict[str, str]:
    return {**vars(problem), "grade": str(problem.grade)}


def _frame_json(row: FrameRow) -> dict[str, str]:
    return {"file": row.file, "status": row.status, "reason": row.reason}


def plain(value: object) -> object:
    """A value in the types of JSON; what has none is told by its text."""
    match value:
        case None | bool():
            return value
        case Enum():
            return plain(value.value)
        case str():
            return clean(value)
        case Quantity():
            return {"value": plain(value.value), "unit": value.unit.to_string()}
        case Time():
            return value.utc.isot
        case Mapping():
            return {clean(str(key)): plain(item) for key, item in value.items()}
        case np.ndarray() | np.generic():
            return plain(value.tolist())
        case int():
            return value
        case float():
            return value if np.isfinite(value) else None
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
    return clean(str(value))


def timing_lines(timing: Timing) -> list[str]:
    """Where the time went, as a table for the screen."""
    whole = sum(timing.per_frame.values())
    lines = ["stage           frames   ms/frame        s   share"] if timing.per_frame else []
    for stage, seconds in timing.per_frame.items():
        times = timing.times[stage]
        lines.append(
            f"{stage:<14}{times:>8}{1e3 * seconds / times:>11.1f}{seconds:>9.1f}{seconds / whole:>8.0%}"
        )
    lines += [f"{stage:<14}{'':>19}{seconds:>9.1f}" for stage, seconds in timing.per_set.items()]
    if timing.seconds_reading:
        megabytes = timing.bytes_read / 1e6
        rate = megabytes / timing.seconds_reading
        lines.append(
            f"read: {megabytes:.0f} MB, {rate:.0f} MB/s with checksum and decoding, within the stages above"
        )
    if timing.wall:
        lines.append(
            f"{timing.frames} frames in {timing.wall:.1f} s: {timing.frames / timing.wall:.1f} frames/s"
        )
    return lines or ["nothing was computed: everything was known from before"]


# -- the last lines on the screen ----------------------------------------------------------------------------


def closing_lines(report: RunReport, *, folder: str | Path = "red") -> list[str]:
    """The last lines on the screen: each set, everything that is missing with its reason, and the page.

    Parameters
    ----------
    report : RunReport
    folder : str or Path
        The output folder, as the observer should read it.
    """
    main, few = report.by_frames
    shown = replace(report, sets=main)
    lines = aligned([_set_cells(report, result, folder) for result in main])
    lines += _transit_lines(shown)
    lines += _variable_lines(shown)
    lines += _unmeasured_lines(shown)
    lines += _few_line(few)
    lines += _saved_lines(report, folder)
    told = {(name, why) for _, frames in _unmeasured(report) for name, why in frames}
    told |= {(p.what, p.why) for r in few for p in (_named_after(r.observed.name, p) for p in r.problems)}
    found = [p for p in missing(report) if (p.what, p.why) not in told]
    lines += [f"{grade}: {line}" for grade, line in graded(found)]
    if not report.sets:
        lines.append("no science frames were reduced")
    lines += _naming_lines(shown)
    return [*map(_one_line, lines), f"page: {Path(folder) / 'report.html'}"]


def _saved_lines(report: RunReport, folder: str | Path) -> list[str]:
    """How many images of single frames each folder has."""
    counts = Counter(PurePath(name).parent for name in report.images)
    return [f"{plural(count, 'saved image')}: {Path(folder) / inside}" for inside, count in counts.items()]


def _few_line(sets: Iterable[SetResult]) -> list[str]:
    """One line for the targets with few frames, as tests and misspelt names leave them."""
    frames: dict[str, int] = defaultdict(int)
    for result in sets:
        frames[result.observed.target] += len(result.observed.frames)
    if not frames:
        return []
    told = [f"{_shortened(name)} ({plural(count, 'frame')})" for name, count in frames.items()]
    if len(told) > _NAMED:
        told = [*told[:_NAMED], f"{len(told) - _NAMED} more"]
    return [f"{plural(len(frames), 'other target')} with few frames: {', '.join(told)} (the page has them)"]


def _set_cells(report: RunReport, result: SetResult, folder: str | Path) -> list[str]:
    """What one set came to, as the cells of a line."""
    counts = count_frames(report, result)
    observed = result.observed
    cells = [_shortened(observed.target), observed.night, observed.band, observed.camera]
    cells.append(f"{counts.measured} of {plural(counts.total, 'frame')}")
    noise = result.light_curve.noise if result.light_curve is not None else {}
    if "rms" in noise:
        others = [f"{words} {in_mmag(noise[key])}" for key, words in _NOISE_WORDS if key in noise]
        limit = (
            "limit, no star is seen; "
            if result.light_curve is not None and result.light_curve.is_limit
            else ""
        )
        cells += [f"{limit}rms {in_mmag(noise['rms'])} mmag", "  ".join(others)]
    else:
        cells += ["no light curve", ""]
    product = _main_product(result)
    return [*cells, str(Path(folder) / product) if product else "no product"]


def _transit_lines(report: RunReport) -> list[str]:
    """A line for each transit: mid-time, depths, and how much of it was seen."""
    lines = []
    for result in report.sets:
        if result.transit is not None and leads_the_fit(result):
            words = transit_choice(result).chosen.split("; ")
            curve = result.light_curve
            name = result.observed.target
            if curve is not None and not curve.is_identified:
                name = f"{name}, star {curve.star}"
            cells = (_shortened(name), result.observed.night, "transit", *words, result.transit.coverage)
            lines.append("  ".join(filter(None, cells)))
    return lines


def _unnamed(report: RunReport) -> list[SetResult]:
    """The first set of each target that nobody named, with the light curve of the star that varies most."""
    found: dict[tuple[str, str], SetResult] = {}
    for result in report.sets:
        if result.light_curve is not None and not result.light_curve.is_identified:
            found.setdefault((result.observed.night, result.observed.target.casefold()), result)
    return list(found.values())


def _variable_lines(report: RunReport) -> list[str]:
    """A line for each target that nobody named: which star varies most, and that it is only that."""
    lines = []
    for result in _unnamed(report):
        assert result.light_curve is not None
        star, name, periods = result.light_curve.star, result.observed.target, result.periods
        how = f"score {short(_score_of(result, star))}"
        if periods is not None and np.isfinite(periods.period):
            how = f"period {short(24 * periods.period, 4)} h, false alarm {short(periods.false_alarm, 2)}"
        which = f"star {star} of {result.observed.camera} {result.observed.band}".rstrip()
        lines.append(f"{_shortened(name)}: {which}, the most variable ({how}); not identified as {name}")
    return lines


def _score_of(result: SetResult, star: int) -> float:
    """How much a star varies over its noise."""
    return float("nan") if result.stars is None else float(result.stars.score[star])


def _naming_lines(report: RunReport) -> list[str]:
    """How to name the target, for each that nobody named."""
    lines = []
    for result in _unnamed(report):
        curve, frame = result.light_curve, result.observed.frames[0]
        assert curve is not None
        at = curve.frames.index(frame.label) if frame.label in curve.frames else 0
        here = f"{result.observed.camera}:{curve.x[at]:.1f},{curve.y[at]:.1f}"
        place = f"{here} is star {curve.star}" if np.isfinite(curve.x[at]) else "its pixel in the first frame"
        lines.append(
            f"to name the target {_shortened(result.observed.target)}: --target-xy CAMERA:X,Y ({place}),"
            " or --radec 'RA DEC' where frames have a WCS"
        )
    for result in report.sets:
        why = next((c.why for c in result.choices if c.what == "target" and c.chosen == "not named"), "")
        if why:
            lines.append(f"{_shortened(result.observed.target)}: {why}")
    return list(dict.fromkeys(lines))


def leads_the_fit(result: SetResult) -> bool:
    """Whether a set is the first of those that one transit was fitted to: what belongs to the target is told once."""
    fit = result.transit
    return fit is not None and bool(fit.bands) and fit.bands[0].name == result.curve_name


def transit_choice(result: SetResult) -> Choice:
    """What was said of the transit; nothing where nothing was."""
    return next((choice for choice in result.choices if choice.what == "transit"), Choice("transit", "", ""))


def with_error(estimate: Estimate, *, factor: float = 1.0) -> str:
    """A value and its error, in two digits of the error; both errors where they differ by more than a fifth."""
    value, minus, plus = (factor * x for x in (estimate.value, estimate.minus, estimate.plus))
    errors = [error for error in (minus, plus) if np.isfinite(error) and error > 0]
    if not np.isfinite(value) or not errors:
        return short(value, 4)
    digits = int(np.clip(1 - np.floor(np.log10(min(errors))), 0, 9))
    if max(errors) > 1.2 * min(errors) and len(errors) == 2:
        return f"{value:.{digits}f} +{plus:.{digits}f} −{minus:.{digits}f}"
    return f"{value:.{digits}f} ± {sum(errors) / len(errors):.{digits}f}"


def _shortened(name: str) -> str:
    """A name that leaves room for the rest of its line."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _main_product(result: SetResult) -> str:
    """The product to look at first: the light curve, else the measurements, else the first there is."""
    files = list(result.products.values())
    for name in (curve_file(result, "lightcurve.ecsv"), "measurements.fits", ""):
        for file in files:
            if file.endswith(name):
                return file
    return ""


def aligned(rows: list[list[str]]) -> list[str]:
    """Rows of cells as lines with straight columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True) if w).rstrip() for row in rows
    ]


def _unmeasured_lines(report: RunReport) -> list[str]:
    """The frames that were read but not measured, grouped by set and reason."""
    lines = []
    for name, lost in _unmeasured(report):
        frames = [Problem(frame, _FRAME, why or "not measured", Grade.REMARK) for frame, why in lost]
        lines += [f"not measured: {name}: {line}" for line in _grouped(frames)]
    return lines


def _unmeasured(report: RunReport) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The frames of each observation that were read but not measured, each with its reason."""
    for result in report.sets:
        if result.series is not None:
            lost = ~np.isfinite(result.series.flux).any(axis=(1, 2))
            told = zip(result.series.frames, result.series.reasons, lost, strict=True)
            yield result.observed.name, [(frame, why) for frame, why, gone in told if gone]


def graded(problems: Sequence[Problem]) -> Iterator[tuple[Grade, str]]:
    """What is missing, what is doubtful, what is only remarked: the grade and the line of each."""
    for grade in Grade:
        for line in _grouped(problem for problem in problems if problem.grade is grade):
            yield grade, line


def _grouped(problems: Iterable[Problem]) -> list[str]:
    """A line for each problem; remarks of one kind share a line, which counts them."""
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[_kind_of(problem)].append(problem)
    lines = []
    for alike in kinds.values():
        lines += [_counted(alike)] if len(alike) > 1 else [with_subject(p.what, p.why) for p in alike]
    return lines


def _kind_of(problem: Problem) -> str:
    """What remarks share that one line counts: the reason without the names and numbers that differ."""
    if problem.grade is not Grade.REMARK:
        return f"{problem.stage}|{problem.what}|{problem.why}"
    alike = re.sub(r"(?<!\d-)(?<!\d)\d+(\.\d+)?(?!-?\d)", "#", _bare_reason(problem))  # dates stay
    return f"{_is_of_frame(problem)}|{alike}"


def _is_of_frame(problem: Problem) -> bool:
    """Whether a problem is about a single frame."""
    return problem.stage == _FRAME or problem.why.startswith(PurePath(problem.what).name)


def _bare_reason(problem: Problem) -> str:
    """A reason without the name of what it is about in front."""
    name = PurePath(problem.what).name
    return problem.why.removeprefix(problem.what).removeprefix(name).lstrip(": ")


def _counted(alike: list[Problem]) -> str:
    """Several remarks of one kind: how many, the reason, and the first three by name."""
    of_frames = _is_of_frame(alike[0])
    names = [PurePath(problem.what).name if of_frames else problem.what for problem in alike]
    rest = (
        f" and {len(alike) - _NAMED} more; night.ecsv names each" if len(alike) > _NAMED and of_frames else ""
    )
    rest = rest or (f" and {len(alike) - _NAMED} more" if len(alike) > _NAMED else "")
    number = plural(len(alike), "frame") if of_frames else plural(len(alike), "time")
    return f"{number}: {_bare_reason(alike[0])} ({', '.join(names[:_NAMED])}{rest})"


def _one_line(text: str) -> str:
    return " ".join(clean(text).split("\n"))
