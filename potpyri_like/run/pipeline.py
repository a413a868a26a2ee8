"""Runs a recipe over a night."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby, takewhile
from pathlib import Path

from potpyri_like.instruments import Instrument
from potpyri_like.night import RUN_RECORD, Night, ObservationSet
from potpyri_like.options import Options
from potpyri_like.primitives import Work
from potpyri_like.primitives.saved import SAVABLE, names_of
from potpyri_like.primitives.stage import AnyStage
from potpyri_like.results import RunReport
from potpyri_like.run.earlier import check_instrument_of, check_night_of, note_owner, write_night_table
from potpyri_like.run.fields import run_fields
from potpyri_like.run.journal import FOLDER, Journal
from potpyri_like.run.memory import Memory, finish, run_key, scan_again, worth
from potpyri_like.run.observations import by_target, check_options, wanted_sets
from potpyri_like.run.output import output_of, record, write_products
from potpyri_like.run.progress import Progress, Silent
from potpyri_like.run.recipe import digests_of, options_type, plugins_for, recipe_of, saved_kinds
from potpyri_like.run.report import check_understood, report_of
from potpyri_like.run.runner import Runner
from potpyri_like.run.stages import gathered, in_turn, run_stages
from potpyri_like.run.workers import workers

__all__ = ["reduce_night", "run_groupings", "run_recipes"]


def reduce_night(
    instrument: Instrument,
    folder: Path,
    *,
    out: Path | None = None,
    options: Options | None = None,
    origins: Mapping[str, str] | None = None,
    command: str = "",
    redo: bool = False,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> RunReport:
    """Reduce every target in a folder of raw frames, and write the products.

    What an earlier run did and still holds is not done again.

    Parameters
    ----------
    instrument : Instrument
    folder : Path
        Never written to, but for the folder `red` in it where `out` is not given.
    out : Path, optional
    options : Options, optional
    origins : mapping of str to str, optional
        Where each option came from, for the report.
    command : str
        As it was given, for the report.
    redo : bool
        Forget what earlier runs did.
    progress : Progress, optional
    executor : Executor, optional
        Workers that several runs share, instead of those that the options ask for.

    Raises
    ------
    NightError
        There is nothing to reduce.
    NotUnderstood
        The instrument understands none of the frames: nothing is written.
    Busy
        Another run is at work on the same output folder.
    ProductError
        Nothing can be written.
    UsageError
        An option does not fit the night, or the products of another instrument or night lie in the output folder.
    """
    options = options or options_type()()
    output = output_of(folder, out)
    with ExitStack() as stack:
        check_instrument_of(output, instrument, folder)
        memory = Memory(instrument)
        if output.folder.below(FOLDER).is_there():
            memory.journal = stack.enter_context(Journal(output))
        if out is not None:
            check_night_of(output, folder, memory.journal)
        if memory.journal is not None and redo:
            memory.journal.start_again()
        key = run_key(instrument, folder, output, options)  # before the scan: what comes later is not in it
        night = scan_again(folder, instrument, output, memory)
        check_understood(night)
        check_options(night, options)
        output.make()
        journal = memory.journal or stack.enter_context(Journal(output))
        note_owner(journal, instrument, folder)
        journal.forget("run")
        memory.hand_over(journal)
        output.tidy()
        is_ours = write_night_table(output, journal, night, {})
        executor = executor or stack.enter_context(
            workers(options.jobs, options.scheduler, most=worth(night))
        )
        runner = stack.enter_context(Runner(output, options, progress or Silent(), executor, journal))
        report = run_recipes(night, options, runner)
        named = options.named().items()
        report = replace(
            report,
            options={name: (value, (origins or {}).get(name, "default")) for name, value in named},
            command=command,
        )
        is_ours = write_night_table(output, journal, night, report.status) and is_ours
        report = write_products(report, runner)
        names = sorted({*output.written, *runner.kept})
        record(report, output, journal, names, digests=digests_of(options))
        if options.target is None:  # what the night does not give any more: a set that got another name
            output.remove(journal.forget_others({*names, RUN_RECORD}))
        output.tidy()  # a run that is noted as finished is not looked at again
        if runner.settled and is_ours and not any(row.passing for row in night.rows):
            finish(report, journal, [*names, RUN_RECORD], key)
    return report


def run_recipes(night: Night, options: Options, runner: Runner) -> RunReport:
    """The recipe over all targets of a night."""
    sets = wanted_sets(night, options)
    recipe = recipe_of(night.instrument, options)
    groups = by_target(night, sets, options)
    runner.saves = saved_kinds(recipe, options)
    runner.names = {
        (kind, label): name
        for kind in SAVABLE
        for observed in sets
        for label, name in names_of(observed.frames, f"{observed.folder}/{kind}").items()
    }
    taken = {observed.target.casefold() for observed in sets}
    works = run_groupings(recipe.stages, groups, runner, taken)
    plugins = plugins_for(options)
    works = [gathered(work, plugins) for work in works]
    report = report_of(night, works, options)
    there = {*runner.output.written, *runner.kept}
    images = {name: label for (_, label), name in runner.names.items() if name in there}
    return replace(report, timing=runner.timing, is_part=options.until is not None, images=images)


_WIDE: Mapping[str, Callable[[ObservationSet], object]] = {
    "night": lambda observed: observed.night,
    "run": lambda observed: "",
}  # groupings that hold several targets: what their observations share


def run_groupings(
    stages: Sequence[AnyStage],
    groups: Sequence[tuple[Work, ...]],
    runner: Runner,
    taken: Collection[str] = (),
) -> list[Work]:
    """The stages on each target in turn; from the first that looks at a whole night or run on, on what they group."""
    first = tuple(takewhile(lambda stage: stage.per not in _WIDE, stages))
    works = in_turn(groups, lambda group: run_fields(first, group, runner, taken))
    before = tuple(stage for stage in first if stage.per == "frame")
    for per, some in groupby(
        stages[len(first) :], key=lambda stage: stage.per if stage.per in _WIDE else "target"
    ):
        alike = tuple(some)
        together: dict[object, list[int]] = defaultdict(list)
        for index, work in enumerate(works):
            together[_WIDE.get(per, _target_of)(work.observed)].append(index)
        for indices in together.values():
            done = run_stages(alike, tuple(works[i] for i in indices), runner, before=before)
            for index, work in zip(indices, done, strict=True):
                works[index] = work
        before = (*before, *(stage for stage in alike if stage.per == "frame"))
    return works


def _target_of(observed: ObservationSet) -> object:
    return observed.night, observed.target.casefold()
