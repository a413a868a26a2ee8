"""`reduce INSTRUMENT NIGHT`."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

import click

from potpyri_like.commands.console import interruptible
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
from potpyri_like.interface import runs
from potpyri_like.interface.runs import Instrument, OptionValue, Plugins, Progress, Standing

__all__ = ["instrument_command", "reduce_one"]


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
            click.Option(["--out"], type=PATH, metavar="DIR", help="Write to DIR instead of NIGHT/red."),
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
    return runs.update(
        instrument,
        night,
        out=out,
        config=config,
        redo=flags.redo,
        timings=flags.timings,
        log_on_screen=flags.verbose,
        command=click.get_current_context().meta[COMMAND],
        warn=warn,
        progress=progress,
        executor=executor,
        **given,
    )
