"""`reduce INSTRUMENT NIGHT`."""

from __future__ import annotations

import logging
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import click

from potpyri_like import __version__
from potpyri_like.commands.console import Log, interruptible
from potpyri_like.commands.shared import (
    COMMAND,
    PATH,
    STATUSES,
    Flags,
    known_instrument,
    run_parameters,
    say_and_exit,
    split_flags,
    warn,
)
from potpyri_like.instruments import Instrument
from potpyri_like.options import OptionValue
from potpyri_like.plugins import Plugins
from potpyri_like.products import timing_lines
from potpyri_like.results import Timing
from potpyri_like.run.memory import Standing, standing
from potpyri_like.run.output import output_of
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.progress import Progress
from potpyri_like.run.settings import gather_options

__all__ = ["instrument_command", "reduce_one"]

log = logging.getLogger(__name__)


def instrument_command(registry: Plugins, name: str) -> click.Command:
    """The command that reduces a night of one instrument."""
    instrument = known_instrument(registry, name)
    about = (type(instrument).__doc__ or "").strip()

    def run(night: Path, out: Path | None, config: Path | None, **given: OptionValue) -> None:
        flags, options = split_flags(given)
        with interruptible(plain=flags.verbose) as progress:
            done = reduce_one(
                instrument, night, out=out, config=config, flags=flags, given=options, progress=progress
            )
        say_and_exit(done.lines, done.exit_status)

    return click.Command(
        instrument.name,
        callback=run,
        params=[
            click.Argument(["night"], type=PATH),
            *run_parameters(),
            click.Option(["--out"], type=PATH, metavar="DIR", help="Write there instead of NIGHT/red."),
            click.Option(
                ["--config"],
                type=PATH,
                metavar="FILE",
                help="Read options from this file instead of NIGHT/reduce.toml.",
            ),
        ],
        help=f"Reduce a night of {instrument.name}.\n\n{about}",
        epilog=STATUSES,
        short_help=about.partition("\n")[0],
    )


def reduce_one(
    instrument: Instrument,
    night: Path,
    *,
    out: Path | None,
    config: Path | None,
    flags: Flags,
    given: dict[str, OptionValue],
    progress: Progress,
    executor: Executor | None = None,
) -> Standing:
    """Reduce a night where anything has changed since the last run."""
    options, origins = gather_options(night, config, given, say=warn)
    output = output_of(night, out).root
    before = None if flags.redo else standing(instrument, night, out=out, options=options)
    if before is not None:
        progress.say(f"{night}: nothing has changed since the last run; its products stand (--redo)")
        return _with_timings(before, Timing()) if flags.timings else before
    with Log(output_of(night, out), screen=flags.verbose):
        command = click.get_current_context().meta[COMMAND]
        log.info("potpyri_like %s, %s", __version__, command)
        for name, where in origins.items():
            log.info("%s = %s (%s)", name, options.named()[name], where)
        report = reduce_night(
            instrument,
            night,
            out=out,
            options=options,
            origins=origins,
            command=command,
            redo=flags.redo,
            progress=progress,
            executor=executor,
        )
        log.info("finished with exit status %d", report.exit_status)
    done = Standing.of(report, output)
    return _with_timings(done, report.timing) if flags.timings else done


def _with_timings(done: Standing, timing: Timing) -> Standing:
    """What a run came to, with where its time went among its last lines."""
    return replace(done, lines=(*done.lines, *timing_lines(timing)))
