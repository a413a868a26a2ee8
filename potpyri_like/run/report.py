"""The report of a run: general problems, statuses of frames, notes."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from potpyri_like.errors import NotUnderstood
from potpyri_like.frame import FrameFlag, FrameKind
from potpyri_like.instruments.file_notes import ON_SCREEN
from potpyri_like.night import Night
from potpyri_like.night.incidental import incidental, is_of_few, target_key
from potpyri_like.night.likeness import resembling
from potpyri_like.options import Options
from potpyri_like.primitives import Work
from potpyri_like.products import plural
from potpyri_like.results import Grade, Problem, RunReport, SetResult
from potpyri_like.run.recipe import installed, recipe_of

__all__ = [
    "LOST_MANY",
    "as_remarks",
    "check_understood",
    "first_reasons",
    "is_incidental",
    "many_unusable",
    "report_of",
    "statuses",
    "unopened_files",
]

_NAMED = 3  # instruments that a night may be of
_UNOPENED_MANY = 0.1  # of what may be science frames
LOST_MANY = 0.25  # of an observation's frames: more than single frames are missing


def report_of(night: Night, works: Sequence[Work], options: Options) -> RunReport:
    """The results of a night so far."""
    results = tuple(work.result for work in works)
    asked_for = options.target is not None
    return RunReport(
        instrument=night.instrument.name,
        recipe=recipe_of(night.instrument, options).name,
        night=night,
        sets=results
        if asked_for
        else tuple(as_remarks(r) if is_incidental(r, results) else r for r in results),
        status=statuses(night, works),
        problems=(
            *many_unusable(night),
            *unopened_files(night),
            *_copies_found(night),
            *_said_of_files(night),
            *_without_place(night),
            *_spellings_found(night),
        ),
    )


def is_incidental(result: SetResult, others: Sequence[SetResult]) -> bool:
    """Whether an observation is of focus or test frames, by its name or by how few they are beside the night's own."""
    found = incidental([other.observed for other in others])
    if target_key(result.observed) in found:
        return True
    frames = [len(other.observed.frames) for other in others if target_key(other.observed) not in found]
    return is_of_few(len(result.observed.frames), max(frames, default=0))


def as_remarks(result: SetResult) -> SetResult:
    """The same result, whose problems change no exit status."""
    return replace(result, problems=tuple(replace(p, grade=Grade.REMARK) for p in result.problems))


def many_unusable(night: Night) -> Iterator[Problem]:
    """A problem where so many files could not be used that more than single frames are missing."""
    lost = sum(row.info is None for row in night.rejected)
    if lost > LOST_MANY * len(night.rows):
        why = f"{lost} of {plural(len(night.rows), 'file')} could not be used; the reason of each is in night.ecsv"
        yield Problem("night", "frames", why)


def unopened_files(night: Night) -> Iterator[Problem]:
    """A problem for each form of files that look like frames and are not opened; a remark where they are few."""
    science = sum(frame.kind is FrameKind.SCIENCE for frame in night.frames)
    lost = sum(len(each.names) for each in night.unopened if each.are_frames)
    for each in night.unopened:
        many = each.are_frames and lost > _UNOPENED_MANY * (science + lost)
        yield Problem(each.many, "night", str(each), Grade.MISSING if many else Grade.REMARK)


def _without_place(night: Night) -> Iterator[Problem]:
    """A remark where calibration frames do not serve a window, since nobody knows where it lies."""
    if night.without_place:
        what = plural(len(night.without_place), "calibration frame")
        reason = night.without_place[0].reason
        yield Problem(
            what, "night", f"{what}: {'each ' * (len(night.without_place) > 1)}{reason}", Grade.REMARK
        )


def _spellings_found(night: Night) -> Iterator[Problem]:
    """A remark for each target whose name is spelt in several ways."""
    for other, usual in night.spellings.items():
        why = f"the names {other!r} and {usual!r} are treated as the same target"
        yield Problem(usual, "night", why, Grade.REMARK)


def _said_of_files(night: Night) -> Iterator[Problem]:
    """A remark for each thing said of several files, one sentence for what is alike but for its numbers."""
    kinds: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for info in night.frames:
        for note in info.notes:
            if note.startswith(ON_SCREEN):
                kinds[re.sub(r"\d+", "#", note)].append((info.label, note.removeprefix(ON_SCREEN)))
    for alike in kinds.values():
        label, note = alike[0]
        where = label if len(alike) == 1 else f"{label} and {len(alike) - 1} more"
        yield Problem(where, "night", note, Grade.REMARK)


def _copies_found(night: Night) -> Iterator[Problem]:
    """A remark where frames are copies of others."""
    if night.copies:
        first, many = night.copies[0], len(night.copies)
        rest = f" (and {many - 1} more: night.ecsv names each)" if many > 1 else ""
        why = f"{first.file} is {first.reason}{rest}; copies are excluded, and the raw frame is used"
        yield Problem(f"{many} cop{'ies' if many > 1 else 'y'}", "night", why, Grade.REMARK)


def check_understood(night: Night) -> None:
    """Raise a NotUnderstood where the instrument understands none of the frames, before anything is written."""
    if not night.is_understood:
        name, number = night.instrument.name, len(night.rows)
        raise NotUnderstood(
            f"{night.root}: no science frames: {name} recognises none of {number} file{'s' * (number != 1)};"
            f" nothing was written{_other_instruments(night)}{first_reasons(night)}"
        )


def _other_instruments(night: Night) -> str:
    """Whose frames they look like, and what to try; "" where no installed instrument understands them."""
    installed_ones = [registered.item for registered in installed().instruments.values()]
    names = resembling(night, [one for one in installed_ones if one.name != night.instrument.name])
    if not names:
        return ""
    whose = " or ".join(f"{name}'s" for name in names[:_NAMED])
    return f"; these look like {whose}: try reduce {names[0]} {shlex.quote(str(night.root))}"


def first_reasons(night: Night) -> str:
    """Why the first few frames cannot be used, in lines of their own."""
    return "".join(f"\n  {row.reason}" for row in night.rejected[:5])


def statuses(night: Night, works: Sequence[Work]) -> dict[str, tuple[str, str]]:
    """The status of each raw file after the run, if it differs from that in the night."""
    found: dict[str, tuple[str, str]] = {}
    names = {(row.info.path, row.info.plane): row.file for row in night.rows if row.info is not None}
    for work in works:
        for problem in work.result.problems:
            if problem.stage.startswith("master"):
                for row in night.rows:
                    if row.info is not None and row.info.label == problem.what:
                        found[row.file] = ("rejected", problem.why)
        series = work.result.series
        flagged = (
            dict(zip(series.frames, zip(series.flags, series.reasons, strict=True), strict=True))
            if series
            else {}
        )
        for outcome in work.outcomes:
            file = names[outcome.info.path, outcome.info.plane]
            bits, reason = flagged.get(outcome.info.label, (0, outcome.reason))
            if outcome.rejected:
                found[file] = ("rejected", outcome.reason)
            elif bits or outcome.reason:
                found[file] = ("flagged", reason or str(FrameFlag(int(bits))))
            else:
                found[file] = ("measured", "")
    return found
