"""The status of each frame: counts, reasons, groups of like reasons."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np

from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.night import FrameRow
from potpyri_like.products.words import plural
from potpyri_like.results import Grade, Master, Problem, RunReport, SetResult

__all__ = [
    "FRAME",
    "NAMED",
    "FrameCounts",
    "count_frames",
    "curve_file",
    "final_rows",
    "frame_file",
    "graded",
    "grouped",
    "masters_of",
    "missing",
    "missing_by_worth",
    "named_after",
    "rejections",
    "remarks",
    "with_subject",
]

NAMED = 3  # of what is counted in one line
_REJECTED = "rejected"
_NUMBER = re.compile(r"(?<!\d-)(?<!\d)\d+(\.\d+)?(e[+-]?\d+)?(?!-?\d)")  # but no date
FRAME = "frame"  # the stage of a problem with a raw frame that no stage told of


@dataclass(frozen=True)
class FrameCounts:
    """Numbers of frames of an observation: all, measured, flagged, rejected."""

    total: int
    measured: int
    flagged: int
    rejected: int


def final_rows(report: RunReport) -> list[FrameRow]:
    """The raw files with their status and reason after the run."""
    rows = report.night.rows
    return [FrameRow(r.file, *report.status.get(r.file, (r.status, r.reason)), r.info) for r in rows]


def rejections(report: RunReport) -> list[FrameRow]:
    """The raw files that were rejected, by their headers or in the run."""
    return [row for row in final_rows(report) if row.status == _REJECTED]


def frame_file(report: RunReport, info: FrameInfo) -> str:
    """A frame's path within the night, with the plane where there is one."""
    root = report.night.root
    inside = info.path.relative_to(root) if info.path.is_relative_to(root) else info.path
    return inside.as_posix() if info.plane is None else f"{inside.as_posix()}[{info.plane}]"


def remarks(report: RunReport) -> list[FrameRow]:
    """Every frame that was rejected or flagged, with its reason, in the order of the night and its observations."""
    rows = [row for row in final_rows(report) if row.status in (_REJECTED, "flagged")]
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
    """The numbers of frames of an observation; those rejected by their shape count among all."""
    files = {frame_file(report, info) for info in result.observed.frames}
    rejected = [row.file for row in rejections(report) if row.info is not None and _belongs(row.info, result)]
    series = result.series
    measured = 0 if series is None else int(np.isfinite(series.flux).any(axis=(1, 2)).sum())
    flagged = 0 if series is None else int(np.count_nonzero(series.flags))
    return FrameCounts(len(files.union(rejected)), measured, flagged, len(rejected))


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
    """Everything that failed or is missing, each once: of the run, of its sets, and the frames rejected."""
    problems = list(report.problems)
    for result in report.sets:
        problems += [named_after(result.observed.name, problem) for problem in result.problems]
    problems = list(dict.fromkeys(problems))
    frames = [
        Problem(row.file, FRAME, row.reason, Grade.REMARK)
        for row in rejections(report)
        if not _told(report, row)
    ]
    return [*problems, *frames]


def missing_by_worth(report: RunReport) -> tuple[list[Problem], list[Problem]]:
    """The same in two parts, what befell targets with few frames, and focus and test frames, in the second."""
    few = [named_after(r.observed.name, problem) for r in report.by_frames[1] for problem in r.problems]
    told = {(problem.what, problem.why) for problem in few}
    parts: tuple[list[Problem], list[Problem]] = [], []
    for problem in missing(report):
        parts[(problem.what, problem.why) in told].append(problem)
    return parts


def named_after(name: str, problem: Problem) -> Problem:
    """The problem with the set's name before what it is about, unless that is a frame or begins with it."""
    if problem.what.startswith(name) or problem.why.startswith(problem.what):
        return problem
    return replace(problem, what=f"{name}: {problem.what}")


def _told(report: RunReport, row: FrameRow) -> bool:
    """Whether a problem already reports a frame."""
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


def graded(problems: Sequence[Problem]) -> Iterator[tuple[Grade, str]]:
    """The grade (missing, doubtful, note) and the line of each problem."""
    for grade in Grade:
        for line in grouped(problem for problem in problems if problem.grade is grade):
            yield grade, line


def grouped(problems: Iterable[Problem]) -> list[str]:
    """A line for each problem; remarks of one kind share a line, which counts them, and so do many problems alike."""
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[_kind_of(problem)].append(problem)
    lines = []
    for alike in kinds.values():
        together = alike[0].grade is Grade.REMARK or len(alike) > NAMED
        told = [alike] if together else [[problem] for problem in alike]
        lines += [
            _counted(some) if len(some) > 1 else with_subject(some[0].what, some[0].why) for some in told
        ]
    return lines


def _kind_of(problem: Problem) -> str:
    """What problems share that one line counts: the reason without the names and numbers that differ."""
    alike = _NUMBER.sub("#", _bare_reason(problem))
    stage = "" if problem.grade is Grade.REMARK else problem.stage
    return f"{_is_of_frame(problem)}|{stage}|{alike}"


def _is_of_frame(problem: Problem) -> bool:
    """Whether a problem is about a single frame."""
    return problem.stage == FRAME or problem.why.startswith(PurePath(problem.what).name)


def _bare_reason(problem: Problem) -> str:
    """A reason without the name of what it is about in front."""
    name = PurePath(problem.what).name
    return problem.why.removeprefix(problem.what).removeprefix(name).lstrip(": ")


def _counted(alike: list[Problem]) -> str:
    """Several remarks of one kind: how many, the reason, and the first three by name."""
    of_frames = _is_of_frame(alike[0])
    names = [PurePath(problem.what).name if of_frames else problem.what for problem in alike]
    rest = (
        f" and {len(alike) - NAMED} more; night.ecsv names each" if len(alike) > NAMED and of_frames else ""
    )
    rest = rest or (f" and {len(alike) - NAMED} more" if len(alike) > NAMED else "")
    if not of_frames:
        return f"{_bare_reason(alike[0])} ({'; '.join(names[:NAMED])}{rest})"
    return f"{plural(len(alike), 'frame')}: {_bare_reason(alike[0])} ({', '.join(names[:NAMED])}{rest})"
