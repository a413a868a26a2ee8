"""`reduce watch`: a night while it is observed."""

from __future__ import annotations

from pathlib import Path

import click

from potpyri_like.commands.console import interruptible
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
from potpyri_like.interface import runs
from potpyri_like.interface.runs import OptionValue

__all__: list[str] = []


@click.command("watch", cls=WithOptions, short_help="Follow a night while it is observed.")
@click.argument("instrument")
@click.argument("night", type=PATH)
@click.option("--out", type=PATH, metavar="DIR", help="Write to DIR instead of NIGHT/red.")
@click.option(
    "--config", type=PATH, metavar="FILE", help="Read options from this file, not NIGHT/reduce.toml."
)
@click.option(
    "--idle",
    type=Finite(0, min_open=True),
    metavar="MINUTES",
    help="Stop after this many minutes without a new frame.",
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
    """Follow NIGHT while frames arrive: the light curves and the page are kept up to date.

    The page reloads itself every few seconds. Whenever no frame has arrived for a while, all products are
    finalised: they are then those of `reduce INSTRUMENT NIGHT`. Press Ctrl-C to stop.
    """
    known = known_instrument(registry_of(ctx), instrument)
    with interruptible(plain=verbose) as progress:
        done = runs.watch(
            known,
            night,
            out=out,
            config=config,
            idle=idle,
            serve=serve,
            log_on_screen=verbose,
            command=ctx.meta[COMMAND],
            warn=warn,
            progress=progress,
            **given,
        )
    say_and_exit(done.lines, done.exit_status)
