"""Runs the stages of a recipe over observations, targets, exposures and frames."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import groupby

from potpyri_like.errors import ProductError, ReductionError, UsageError
from potpyri_like.plugins import Plugins
from potpyri_like.primitives import Work
from potpyri_like.primitives.places import located
from potpyri_like.primitives.stage import AnyStage, exposures_of
from potpyri_like.results import Grade, Problem
from potpyri_like.run.report import LOST_MANY
from potpyri_like.run.runner import Runner
from potpyri_like.stages import FrameStage

__all__ = ["gathered", "in_turn", "run_stages"]

log = logging.getLogger(__name__)


def in_turn(
    groups: Sequence[tuple[Work, ...]], reduce: Callable[[tuple[Work, ...]], tuple[Work, ...]]
) -> list[Work]:
    """What a function makes of the works on each target; that in which the target's pixel was read off is the first.

    The others are given its place.
    """
    order = sorted(range(len(groups)), key=lambda i: not any(work.pixel_read_here for work in groups[i]))
    done: dict[int, tuple[Work, ...]] = {}
    there = None
    for i in order:
        done[i] = reduce(tuple(work.with_(elsewhere=there or work.elsewhere) for work in groups[i]))
        there = there or located(done[i])
    return [work for i in range(len(groups)) for work in done[i]]


def gathered(work: Work, plugins: Plugins) -> Work:
    """The work, with what products of plugins read of it among its results."""
    read = {one.field for product in plugins.products.values() for one in product.item.inputs}
    more = {one.name: work.setup.get(one) for one in read if one.per != "frame"}
    for one in read:
        if one.per == "frame":
            known = [(o.info.label, o.results[one.name]) for o in work.outcomes if one.name in o.results]
            more[one.name] = tuple(known) or None
    known_ones = {name: value for name, value in more.items() if value is not None}
    return work.found(more=known_ones) if known_ones else work


def run_stages(
    stages: Sequence[AnyStage],
    works: tuple[Work, ...],
    runner: Runner,
    *,
    before: tuple[FrameStage, ...] = (),
) -> tuple[Work, ...]:
    """Stages over the sets of one target; a set that fails is left behind with its reason.

    Parameters
    ----------
    stages : sequence of Stage
    works : tuple of Work
    runner : Runner
    before : tuple of FrameStage
        Those that ran over the frames already, of which later ones take pixels.
    """
    so_far = before
    for per, group in groupby(stages, key=lambda stage: stage.per):
        alike = tuple(group)
        if per == "frame":
            so_far = (*so_far, *alike)
            works = tuple(w if w.failed else _measure(w, so_far, runner) for w in works)
            continue
        for stage in alike:
            if per == "exposure":
                works = _apply_to_exposures(stage, works, runner)
            elif per == "observation":
                works = tuple(w if w.failed else _apply_to_set(stage, w, runner) for w in works)
            else:
                works = _apply_to_group(stage, works, runner)
    return works


def _apply_to_set(stage: AnyStage, work: Work, runner: Runner) -> Work:
    """One stage on one set."""
    name = stage.name
    try:
        with runner.timed(name):
            return stage(work, runner)
    except (UsageError, ProductError):
        raise
    except ReductionError as error:
        log.warning("%s: %s: %s", work.observed.name, name, error)
        return work.found(problems=[Problem(work.observed.name, name, str(error))]).with_(failed=True)


def _apply_to_exposures(stage: AnyStage, works: tuple[Work, ...], runner: Runner) -> tuple[Work, ...]:
    """One stage on each exposure, all its chips and cameras together; what it gives stands with each of the sets."""
    alive = [work for work in works if not work.failed]
    with runner.timed(stage.name):
        done = [(exposure, stage(exposure)) for exposure in exposures_of(alive, stage)]
    for given in stage.gives:
        values = tuple((exposure.infos[0].label, result.get(given)) for exposure, result in done)
        works = tuple(
            work if work.failed else work.with_(shared=work.shared.giving({given: values})) for work in works
        )
    return works


def _apply_to_group(stage: AnyStage, works: tuple[Work, ...], runner: Runner) -> tuple[Work, ...]:
    """One stage on all sets of a target, a night or the run that have come so far."""
    alive = tuple(work for work in works if not work.failed)
    if not alive:
        return works
    with runner.timed(stage.name):
        done = dict(zip((id(work) for work in alive), stage(alive, runner), strict=True))
    return tuple(done.get(id(work), work) for work in works)


def _measure(work: Work, stages: Sequence[FrameStage], runner: Runner) -> Work:
    """The frame stages over all frames of a set."""
    outcomes = runner.run_frames(work.observed.frames, stages, work.setup, what=work.observed.name, save=True)
    lost = [o for o in outcomes if o.reason]
    problems = [Problem(o.info.label, o.stage, o.reason, Grade.REMARK) for o in lost]
    if len(lost) > LOST_MANY * len(outcomes):
        why = f"{len(lost)} of {len(outcomes)} frames could not be measured; the reason of each is in night.ecsv"
        problems.append(Problem(work.observed.name, "frames", why))
    return work.with_(outcomes=tuple(outcomes)).found(problems=problems)
