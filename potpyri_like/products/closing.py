"""The lines at the end of a run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np

from potpyri_like.lightcurves import Estimate
from potpyri_like.products.rows import (
    FRAME,
    NAMED,
    FrameCounts,
    count_frames,
    curve_file,
    graded,
    grouped,
    missing_by_worth,
)
from potpyri_like.products.words import FLAG_NAMES, clean, in_mmag, plural, short
from potpyri_like.results import Choice, Grade, Problem, RunReport, SetResult, Timing

__all__ = [
    "aligned",
    "closing_lines",
    "leads_the_fit",
    "middle_comparison",
    "timing_lines",
    "transit_choice",
    "with_error",
]

_LONGEST_NAME = 40  # of a target, in the lines of the sets
_NOISE_WORDS = (("point_to_point", "point-to-point"), ("expected", "error bars"))


def middle_comparison(result: SetResult) -> np.ndarray:
    """The comparison stars whose noise was measured, of which figures give the median."""
    stars, budget = result.stars, result.budget
    if stars is None or budget is None:
        return np.zeros(0, int)
    return np.flatnonzero((stars.weight > 0) & np.isfinite(budget.ratio[:, 0]))


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
    return lines or ["nothing was computed: all results are up to date"]


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
    lines += _few_line(few, main)
    lines += _saved_lines(report, folder)
    told = {(name, why) for _, frames in _unmeasured(report) for name, why in frames}
    found = [p for p in missing_by_worth(report)[0] if (p.what, p.why) not in told]
    lines += [f"{grade}: {line}" for grade, line in graded(found)]
    if not report.sets:
        lines.append("no science frames were reduced")
    lines += _naming_lines(shown)
    return [*map(_one_line, lines), f"page: {Path(folder) / 'report.html'}"]


def _saved_lines(report: RunReport, folder: str | Path) -> list[str]:
    """How many images of single frames each folder has."""
    counts = Counter(PurePath(name).parent for name in report.images)
    return [f"{plural(count, 'saved image')}: {Path(folder) / inside}" for inside, count in counts.items()]


def _few_line(sets: Iterable[SetResult], main: Sequence[SetResult]) -> list[str]:
    """One line for the targets that no status is about, as tests, focus frames and misspelt names leave them."""
    frames: dict[str, int] = defaultdict(int)
    for result in sets:
        frames[result.observed.target] += len(result.observed.frames)
    if not frames:
        return []
    told = [f"{_shortened(name)} ({plural(count, 'frame')})" for name, count in frames.items()]
    if len(told) > NAMED:
        told = [*told[:NAMED], f"{len(told) - NAMED} more"]
    most = max((len(result.observed.frames) for result in main), default=0)
    why = (
        "with few frames"
        if 2 * max(frames.values()) <= most
        else "with few frames, or with only focus and test frames"
    )
    return [f"{plural(len(frames), 'other target')} {why}: {', '.join(told)} (see the page)"]


def _set_cells(report: RunReport, result: SetResult, folder: str | Path) -> list[str]:
    """The result of one observation, as the cells of a line."""
    counts = count_frames(report, result)
    observed = result.observed
    cells = [_shortened(observed.target), observed.night, observed.band, observed.camera]
    cells.append(_frame_words(result, counts))
    noise = result.light_curve.noise if result.light_curve is not None else {}
    if "rms" in noise:
        others = [f"{words} {in_mmag(noise[key])} mmag" for key, words in _NOISE_WORDS if key in noise]
        limit = (
            "upper limit, no star detected; "
            if result.light_curve is not None and result.light_curve.is_limit
            else ""
        )
        cells += [f"{limit}rms {in_mmag(noise['rms'])} mmag", "  ".join(others)]
    else:
        cells += ["no light curve", ""]
    product = _main_product(result)
    return [*cells, str(Path(folder) / product) if product else "no product"]


def _frame_words(result: SetResult, counts: FrameCounts) -> str:
    """The number of frames, how many were not measured, and how many were flagged, with the flags."""
    measured = "" if counts.measured == counts.total else f"{counts.measured} of "
    words = f"{measured}{plural(counts.total, 'frame')}"
    if result.series is None or not counts.flagged:
        return words
    flags = np.asarray(result.series.flags, int)
    causes = [f"{name} {n}" for bit, name in FLAG_NAMES.items() if (n := np.count_nonzero(flags & bit))]
    return f"{words}, {counts.flagged} flagged" + (f" ({', '.join(causes)})" if causes else "")


def _transit_lines(report: RunReport) -> list[str]:
    """A line for each transit: mid-transit time, depths, and coverage."""
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
    """How to give the target, for each observation without one."""
    lines = []
    for result in _unnamed(report):
        curve, frame = result.light_curve, result.observed.frames[0]
        assert curve is not None
        at = curve.frames.index(frame.label) if frame.label in curve.frames else 0
        here = f"{result.observed.camera}:{curve.x[at]:.1f},{curve.y[at]:.1f}"
        place = f"{here} is star {curve.star}" if np.isfinite(curve.x[at]) else "its pixel in the first frame"
        lines.append(
            f"to identify the target {_shortened(result.observed.target)}: --target-xy CAMERA:X,Y ({place}),"
            " or --radec 'RA DEC' where frames have a WCS"
        )
    for result in report.sets:
        why = next((c.why for c in result.choices if c.what == "target" and c.chosen == "not named"), "")
        if why:
            lines.append(f"{_shortened(result.observed.target)}: {why}")
    lines = list(dict.fromkeys(lines))
    more = len(lines) - NAMED
    rest = [f"and likewise for {plural(more, 'other target')} (see the page)"] if more > 0 else []
    return [*lines[:NAMED], *rest]


def leads_the_fit(result: SetResult) -> bool:
    """Whether a set is the first of those that one transit was fitted to: what belongs to the target is shown once."""
    fit = result.transit
    return fit is not None and bool(fit.bands) and fit.bands[0].name == result.curve_name


def transit_choice(result: SetResult) -> Choice:
    """The choice about the transit; an empty one if there is none."""
    return next((choice for choice in result.choices if choice.what == "transit"), Choice("transit", "", ""))


def with_error(estimate: Estimate, *, factor: float = 1.0) -> str:
    """A value and its error, with two digits of the error; both errors if they differ by more than a fifth."""
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
        frames = [Problem(frame, FRAME, why or "not measured", Grade.REMARK) for frame, why in lost]
        lines += [f"not measured: {name}: {line}" for line in grouped(frames)]
    return lines


def _unmeasured(report: RunReport) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The frames of each observation that were read but not measured, each with its reason."""
    for result in report.sets:
        if result.series is not None:
            lost = ~np.isfinite(result.series.flux).any(axis=(1, 2))
            told = zip(result.series.frames, result.series.reasons, lost, strict=True)
            yield result.observed.name, [(frame, why) for frame, why, gone in told if gone]


def _one_line(text: str) -> str:
    return " ".join(clean(text).split("\n"))
