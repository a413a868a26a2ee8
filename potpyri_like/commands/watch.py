"""`reduce watch`: a night while it is observed."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path

import click

from potpyri_like.commands.console import Log, interruptible
from potpyri_like.commands.shared import (
    COMMAND,
    PATH,
    Finite,
    WithOptions,
    known_instrument,
    registry_of,
    say_and_exit,
    warn,
)
from potpyri_like.options import OptionValue
from potpyri_like.run.output import output_of
from potpyri_like.run.settings import gather_options
from potpyri_like.run.watch import watch_night
from potpyri_like.run.workers import workers

__all__ = []


@click.command("watch", cls=WithOptions, short_help="Follow a night while it is observed.")
@click.argument("instrument")
@click.argument("night", type=PATH)
@click.option("--out", type=PATH, metavar="DIR", help="Write there instead of NIGHT/red.")
@click.option(
    "--config", type=PATH, metavar="FILE", help="Read options from this file, not NIGHT/reduce.toml."
)
@click.option(
    "--idle",
    type=Finite(0, min_open=True),
    metavar="MINUTES",
    help="Stop after so many minutes without a new frame.",
)
@click.option(
    "--serve",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve the page on this computer (0: any port).",
)
@click.option("--verbose", "-v", is_flag=True, help="Show the log on the screen.")
@click.pass_context
def watch(
    ctx: click.Context,
    instrument: str,
    night: Path,
    out: Path | None,
    config: Path | None,
    idle: float | None,
    serve: int | None,
    verbose: bool,
    **given: OptionValue,
) -> None:
    """Follow NIGHT while frames arrive: the light curves and the page keep up with them.

    The page loads itself again every few seconds. Whenever the night is quiet, all products are brought to the state
    in which `reduce INSTRUMENT NIGHT` leaves them. Ctrl-C ends the watch.
    """
    known = known_instrument(registry_of(ctx), instrument)
    options, origins = gather_options(night, config, given, say=warn)
    with interruptible(plain=verbose) as progress, ExitStack() as stack:
        stack.enter_context(Log(output_of(night, out), screen=verbose))
        done = watch_night(
            known,
            night,
            out=out,
            options=options,
            origins=origins,
            command=ctx.meta[COMMAND],
            idle=None if idle is None else 60 * idle,
            serve=serve,
            executor=stack.enter_context(workers(options.jobs, options.scheduler, most=sys.maxsize)),
            progress=progress,
            say=lambda text: progress.say(f"{time.strftime('%H:%M:%S', time.gmtime())} UT  {text}"),
        )
    say_and_exit(done.lines, done.exit_status)
