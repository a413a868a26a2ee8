"""Runs as the command line knows them: brought up to date, watched, verified, explained; many nights; instruments."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path

from potpyri_like import __version__
from potpyri_like.errors import UsageError
from potpyri_like.instruments import Instrument
from potpyri_like.interface.nights import AnyInstrument, AnyPath, instrument
from potpyri_like.interface.screen import Lines, Log
from potpyri_like.options import OptionField, OptionValue, public_name, value_type
from potpyri_like.plugins import Plugins
from potpyri_like.products import explanation, timing_lines
from potpyri_like.products.declaration import instrument_page
from potpyri_like.products.explanation import times_template as template_of_times
from potpyri_like.products.explanation import topics
from potpyri_like.results import STATUS_WORDS, Timing
from potpyri_like.run.batch import Entry, Outcome, nights_in, outcome_lines, run_batch
from potpyri_like.run.inject import Trial, inject_transits, trial_lines
from potpyri_like.run.memory import Standing, standing
from potpyri_like.run.output import output_of
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.progress import Progress, Silent
from potpyri_like.run.recipe import installed, loaded, options_type
from potpyri_like.run.record import (
    check_is_night,
    last_run,
    metric_word,
    night_and_output,
    recipe_word,
    run_record,
)
from potpyri_like.run.settings import gather_options, user_options
from potpyri_like.run.verify import Check, check_lines, verify_night
from potpyri_like.run.watch import watch_night
from potpyri_like.run.workers import workers
from potpyri_like.store import is_raw_name
from potpyri_like.testing import CheckResult, NightPlan, check_instrument

__all__ = [
    "STATUS_WORDS",
    "Check",
    "Entry",
    "Instrument",
    "Lines",
    "NightPlan",
    "OptionField",
    "OptionValue",
    "Outcome",
    "Plugins",
    "Progress",
    "Standing",
    "Trial",
    "batch",
    "check",
    "check_lines",
    "declaration",
    "declared_options",
    "explain",
    "first_raw_file",
    "inject",
    "instruments",
    "log_of",
    "nights_in",
    "outcome_lines",
    "public_name",
    "times_template",
    "trial_lines",
    "update",
    "value_type",
    "verify",
    "watch",
    "workers_for",
]

log = logging.getLogger("potpyri_like.cli")


# -- instruments and options ---------------------------------------------------------------------------------------


def instruments(reserved: Collection[str] = ()) -> Plugins:
    """Return what the installed plugins bring; an instrument with a reserved name is rejected."""
    return loaded(frozenset(reserved))


def declaration(which: AnyInstrument, registry: Plugins | None = None) -> list[str]:
    """Return what an instrument declares, as lines of text."""
    known = instrument(which)
    return instrument_page(known, (registry or installed()).instruments[known.name].origin)


def check(which: AnyInstrument, *, night: bool = True) -> list[CheckResult]:
    """Test an instrument's declaration and, unless `night` is false, reduce a synthetic night to its truth."""
    return check_instrument(instrument(which), night=night)


def declared_options() -> tuple[OptionField, ...]:
    """Return the options of a run, as declared: those of every run and those of the stages of plugins."""
    return fields(options_type())


# -- one night -----------------------------------------------------------------------------------------------------


def log_of(night: AnyPath | None, out: AnyPath | None = None, *, screen: bool = False) -> Log:
    """Return the log of a run as a context manager: a file in its output folder, and the screen where wanted.

    Parameters
    ----------
    night : str or Path, or None
        None: no file.
    out : str or Path, optional
    screen : bool
    """
    return Log(None if night is None else output_of(Path(night), _path(out)), screen=screen)


def workers_for(given: Mapping[str, OptionValue]) -> AbstractContextManager[Executor | None]:
    """Return the workers that several nights share, as the options of the call and the user's configuration say."""
    own = user_options(given)
    return workers(own.jobs, own.scheduler, most=sys.maxsize)


def update(
    which: AnyInstrument,
    night: AnyPath,
    *,
    out: AnyPath | None = None,
    config: AnyPath | None = None,
    redo: bool = False,
    timings: bool = False,
    log_on_screen: bool = False,
    command: str = "",
    warn: Callable[[str], object] = lambda sentence: None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    **options: OptionValue,
) -> Standing:
    """Reduce a night where anything has changed since the last run; return what the last run came to.

    Parameters
    ----------
    which : str, Instrument or class
    night : str or Path
    out, config : str or Path, optional
        The output folder, and a file of options, instead of `red` and reduce.toml in the night.
    redo : bool
        Forget what earlier runs did.
    timings : bool
        Add to the lines where the time went.
    log_on_screen : bool
    command : str
        As it was given, for the report.
    warn : callable
        Called with a sentence for each option that a night may not give.
    progress : Progress, optional
    executor : Executor, optional
        Workers that several nights share.
    **options
        As on the command line, with underscores; None: not given.

    Raises
    ------
    UsageError
        An option does not exist or does not fit.
    NightError
        There is nothing to reduce.
    """
    known, folder, output, shown = instrument(which), Path(night), _path(out), progress or Silent()
    settled, origins = gather_options(folder, _path(config), options, say=warn)
    before = None if redo else standing(known, folder, out=output, options=settled)
    if before is not None:
        shown.say(f"{folder}: no change since the last run; its products are up to date (--redo)")
        return _with_timings(before, Timing()) if timings else before
    with log_of(folder, output, screen=log_on_screen):
        log.info("potpyri_like %s, %s", __version__, command)
        for name, where in origins.items():
            log.info("%s = %s (%s)", name, settled.named()[name], where)
        report = reduce_night(
            known,
            folder,
            out=output,
            options=settled,
            origins=origins,
            command=command,
            redo=redo,
            progress=shown,
            executor=executor,
        )
        log.info("finished with exit status %d", report.exit_status)
    done = Standing.of(report, output_of(folder, output).root)
    return _with_timings(done, report.timing) if timings else done


def _with_timings(done: Standing, timing: Timing) -> Standing:
    """What a run came to, with where its time went among its last lines."""
    return replace(done, lines=(*done.lines, *timing_lines(timing)))


def watch(
    which: AnyInstrument,
    night: AnyPath,
    *,
    out: AnyPath | None = None,
    config: AnyPath | None = None,
    idle: float | None = None,
    serve: int | None = None,
    log_on_screen: bool = False,
    command: str = "",
    warn: Callable[[str], object] = lambda sentence: None,
    progress: Progress | None = None,
    **options: OptionValue,
) -> Standing:
    """Follow a night while frames arrive, until none came for `idle` minutes; return what the last run came to.

    Parameters
    ----------
    idle : float, minutes, optional
        None: until it is interrupted.
    serve : int, optional
        The port on this computer under which the page is served; 0: any that is free.
    which, night, out, config, log_on_screen, command, warn, progress, **options
        As of `update`.

    Raises
    ------
    UsageError
        An option does not exist or does not fit.
    """
    folder, output, shown = Path(night), _path(out), progress or Silent()
    known = instrument(which)
    settled, origins = gather_options(folder, _path(config), options, say=warn)
    with (
        log_of(folder, output, screen=log_on_screen),
        workers(settled.jobs, settled.scheduler, most=sys.maxsize) as executor,
    ):
        return watch_night(
            known,
            folder,
            out=output,
            options=settled,
            origins=origins,
            command=command,
            idle=None if idle is None else 60 * idle,
            serve=serve,
            executor=executor,
            progress=shown,
            say=lambda text: shown.say(f"{time.strftime('%H:%M:%S', time.gmtime())} UT  {text}"),
        )


# -- after a run ---------------------------------------------------------------------------------------------------


def verify(
    night: AnyPath,
    *,
    out: AnyPath | None = None,
    every: bool = False,
    seed: int | None = None,
    progress: Progress | None = None,
    registry: Plugins | None = None,
    **options: OptionValue,
) -> Iterator[Check]:
    """Verify the last run of a night: checksums of raw files and products, and a sample of frames computed again.

    Parameters
    ----------
    night, out : str or Path
        A night, or its folder `red`; the output folder, where it is another.
    every : bool
        Compute everything again, not a sample.
    seed : int, optional
        Of the choice of frames; by default another one each time.
    progress : Progress, optional
    registry : Plugins, optional
        The instruments; by default those that are installed.
    **options
        Those that a run.json is not asked for: `metric`, `recipe`, `jobs`, `scheduler`, `online`.

    Raises
    ------
    NightError
        There is no run to verify.
    """
    folder, output = night_and_output(Path(night), _path(out))
    check_is_night(folder, output, "verify")
    known = (registry or installed())[last_run(folder, out=output).instrument]
    own = user_options(options)
    yield from verify_night(known, folder, out=output, every=every, seed=seed, own=own, progress=progress)


def inject(
    night: AnyPath,
    *,
    out: AnyPath | None = None,
    depths: Sequence[float] = (0.003, 0.006, 0.012),
    stars: int = 6,
    seed: int = 0,
    progress: Progress | None = None,
    registry: Plugins | None = None,
    **options: OptionValue,
) -> Iterator[Trial]:
    """Inject transits into the raw pixels of a night that was reduced, and recover them.

    Parameters
    ----------
    night, out : str or Path
    depths : sequence of float
        Each takes one pass over the frames; 0.01 is 1 %.
    stars : int
        At a time.
    seed : int
        Of the mid-transit times.
    progress, registry, **options
        As of `verify`.

    Raises
    ------
    NightError
        The night was not reduced, or has no light curve.
    """
    folder, output = night_and_output(Path(night), _path(out))
    check_is_night(folder, output, "inject")
    known = (registry or installed())[last_run(folder, out=output).instrument]
    own = user_options(options)
    yield from inject_transits(
        known, folder, out=output, depths=depths, stars=stars, seed=seed, own=own, progress=progress
    )


def explain(
    night: AnyPath,
    what: str = "",
    *,
    out: AnyPath | None = None,
    everything: bool = False,
    metric: str | None = None,
    recipe: str | None = None,
) -> list[str]:
    """Return why the last run of a night chose what it chose, as lines of text.

    Parameters
    ----------
    night, out : str or Path
        A night, or the output folder of one; the output folder.
    what : str
        A part of the name of a target, band, camera or choice: "aperture"; "" for all.
    everything : bool
        All rejected candidates.
    metric, recipe : str, optional
        The user's own of that run: whether it is still the same.

    Raises
    ------
    NightError
        There was no run.
    UsageError
        It made no such choice.
    """
    folder, output = night_and_output(Path(night), _path(out))
    with run_record(folder, output) as (run, _):
        lines = explanation(run, what=what, everything=everything)
        known = topics(run)
    if not lines:
        raise UsageError(
            f"{what!r}: unknown topic; try {', '.join(known)}"
            if known
            else f"{folder}: the last run made no choice"
        )
    run_before = last_run(folder, out=output)
    if run_before.metric or metric:
        lines.append(metric_word(run_before, metric))
    if run_before.recipe or recipe:
        lines.append(recipe_word(run_before, recipe))
    return lines


def times_template(night: AnyPath, *, out: AnyPath | None = None) -> list[str]:
    """Return an empty times.csv for a night that was reduced, as lines of text.

    Parameters
    ----------
    night, out : str or Path
        As of `explain`.

    Raises
    ------
    NightError
        There was no run.
    """
    with run_record(*night_and_output(Path(night), _path(out))) as (run, _):
        return template_of_times(run)


# -- many nights ---------------------------------------------------------------------------------------------------


def batch(
    entries: Sequence[Entry],
    reduce: Callable[[Instrument, Path, Path | None], Standing],
    *,
    out: AnyPath | None = None,
    registry: Plugins | None = None,
) -> Iterator[Outcome]:
    """Reduce many nights, one after the other; one that fails leaves the others alone.

    Parameters
    ----------
    entries : sequence of Entry
        As `nights_in` finds them.
    reduce : callable
        Reduces one night of an instrument into a folder (None: `red` in the night), as `update` does.
    out : str or Path, optional
        The folder of the nights' output folders.
    registry : Plugins, optional
    """
    yield from run_batch(entries, registry or installed(), reduce, out=_path(out))


def first_raw_file(folder: AnyPath) -> str | None:
    """Return the name of a raw file that lies in a folder or below it; None where there is none."""
    return next((path.name for path in Path(folder).rglob("*") if is_raw_name(path.name)), None)


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)
