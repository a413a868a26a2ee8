"""Finds the fields that one observation shows, and reduces each."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count, takewhile

import numpy as np

from potpyri_like.frame import FrameInfo
from potpyri_like.options import Options
from potpyri_like.primitives import Work
from potpyri_like.primitives.fields import REGISTRATION
from potpyri_like.primitives.stage import AnyStage
from potpyri_like.results import Reference
from potpyri_like.run.runner import Runner
from potpyri_like.run.stages import in_turn, run_stages

__all__ = ["fields_in_time", "run_fields"]

log = logging.getLogger(__name__)
# Frames that show another field than the others; stars of its reference; ratio of the two references' FWHM.
_FEWEST_OF_FIELD, _FEWEST_STARS, _ALIKE_FWHM = 3, 6, 1.8


def run_fields(
    stages: Sequence[AnyStage], works: tuple[Work, ...], runner: Runner, taken: Collection[str] = ()
) -> tuple[Work, ...]:
    """Stages over the sets of one target; where its frames show two fields, over those of each, as of two targets."""
    done = run_stages(stages, works, runner)
    apart = [_second_field(work, before, stages, runner) for work, before in zip(done, works, strict=True)]
    if not any(apart):
        return done
    log.info("%s: the frames show two different fields", works[0].observed.target)
    groups = fields_in_time(works, apart, runner.options, taken)
    return tuple(in_turn(groups, lambda group: run_stages(stages, group, runner)))


def _second_field(work: Work, before: Work, stages: Sequence[AnyStage], runner: Runner) -> frozenset[str]:
    """The names of the frames that show another field than the reference, and the same as one another; none mostly."""
    registering = next((stage for stage in stages if REGISTRATION in stage.gives), None)
    if registering is None or work.failed:
        return frozenset()
    strange = [o.info for o in work.outcomes if o.stage == registering.name and o.reason and not o.rejected]
    if len(strange) < _FEWEST_OF_FIELD:
        return frozenset()
    ahead = tuple(takewhile(lambda stage: stage.per == "observation", stages))
    registered = tuple(stage for stage in stages if stage.per == "frame")
    registered = registered[: 1 + registered.index(registering)]
    (alone,) = run_stages(ahead, (_with_frames_of(before, strange),), runner)
    first, second = work.setup.reference, alone.setup.reference
    if alone.failed or first is None or second is None or not _alike_in_kind(first, second):
        return frozenset()
    outcomes = runner.run_frames(strange, registered, alone.setup, what="")
    found = frozenset(outcome.info.label for outcome in outcomes if not outcome.reason)
    return found if len(found) >= max(_FEWEST_OF_FIELD, len(strange) / 2) else frozenset()


def _alike_in_kind(one: Reference, other: Reference) -> bool:
    """Whether what was found in a frame are stars as in another: neither few, nor as sharp as hot pixels."""
    return len(other.xy) >= _FEWEST_STARS and 1 / _ALIKE_FWHM < other.fwhm / one.fwhm < _ALIKE_FWHM


def fields_in_time(
    works: tuple[Work, ...], apart: Sequence[frozenset[str]], options: Options, taken: Collection[str] = ()
) -> list[tuple[Work, ...]]:
    """The sets of each of two fields, the one observed first before the other, which has a name of its own.

    Parameters
    ----------
    works : tuple of Work
        Before their first stage.
    apart : sequence of frozenset of str
        The frames of each set that show another field than the rest.
    options : Options
    taken : collection of str
        Names of other targets.
    """
    early: list[Work] = []
    late: list[Work] = []
    for work, there in zip(works, apart, strict=True):
        parts = [[i for i in work.observed.frames if (i.label in there) is other] for other in (False, True)]
        parts.sort(key=lambda part: part[0].mid_time.mjd if part and part[0].mid_time is not None else np.inf)
        name = options.target_frame  # without one the pixel was read off in the first frame
        in_late = name is not None and any(name in (i.label, i.path.name, str(i.path)) for i in parts[1])
        early.append(
            _with_frames_of(work, parts[0]).with_(pixel_read_here=work.pixel_read_here and not in_late)
        )
        if parts[1]:
            second = _with_frames_of(work, parts[1]).with_(pixel_read_here=work.pixel_read_here and in_late)
            late.append(_named_second(second, taken))
    return [tuple(early), tuple(late)]


def _with_frames_of(work: Work, frames: Sequence[FrameInfo]) -> Work:
    """The work on some of the frames of a set, before its first stage."""
    observed = replace(work.observed, frames=tuple(frames))
    return work.with_(observed=observed, result=replace(work.result, observed=observed))


def _named_second(work: Work, taken: Collection[str] = ()) -> Work:
    """The work on a set under the name of its target's second field, in a folder of that name."""
    observed = work.observed
    end = next(f"_p{n}" for n in count(2) if f"{observed.target}_p{n}".casefold() not in taken)
    above, folder, band = ("", *observed.folder.split("/"))[-3:]
    path = "/".join(filter(None, (above, f"{folder}{end}", band)))
    observed = replace(observed, target=f"{observed.target}{end}", folder=path)
    return work.with_(observed=observed, result=replace(work.result, observed=observed))
