"""`reduce verify`: whether raw files and products are what they were."""

from __future__ import annotations

from pathlib import Path

import click

from potpyri_like.commands.console import Log, interruptible
from potpyri_like.commands.shared import (
    ALL_IS_WELL,
    DIFFERS,
    PATH,
    SOMETHING_MISSING,
    UNCHANGED,
    WithOptionsOfARunAgain,
    registry_of,
    say_and_exit,
)
from potpyri_like.options import OptionValue
from potpyri_like.run.record import last_run
from potpyri_like.run.settings import user_options
from potpyri_like.run.verify import Check, verify_night

__all__ = []


@click.command(
    "verify",
    cls=WithOptionsOfARunAgain,
    short_help="Verify checksums of raw files and products, and recompute a sample.",
)
@click.argument("night", type=PATH)
@click.option("--all", "every", is_flag=True, help="Compute everything again, not a sample of the frames.")
@click.option("--out", type=PATH, metavar="DIR", help="Where the products are, if not in NIGHT/red.")
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", help="Of the choice of frames; each time another one."
)
@click.option("--verbose", "-v", is_flag=True, help="Show the log on the screen.")
@click.pass_context
def verify(
    ctx: click.Context,
    night: Path,
    every: bool,
    out: Path | None,
    seed: int | None,
    verbose: bool,
    **given: OptionValue,
) -> None:
    """Verify the last run of NIGHT.

    Every raw file and every product is compared with its SHA-256 in run.json; then a dozen frames of each
    set, or all of them, are computed again, and the products from them, and compared bit by bit. Nothing is
    changed. Exit status 3 says that something differs.
    """
    same = True
    with interruptible(UNCHANGED, plain=verbose) as progress, Log(None, screen=verbose):
        instrument = registry_of(ctx)[last_run(night, out=out).instrument]
        for check in verify_night(
            instrument,
            night,
            out=out,
            every=every,
            seed=seed,
            own=user_options(given),
            progress=progress,
        ):
            progress.end()
            same = same and not check.wrong
            for line in _check_lines(check):
                click.echo(line)
    say_and_exit((), ALL_IS_WELL if same else SOMETHING_MISSING, DIFFERS)


def _check_lines(check: Check) -> list[str]:
    """One check in words."""
    if check.is_word:
        return [check.what]
    head = f"{check.what}: {check.count}"
    if not check.wrong:
        return [f"{head}, all as they were"]
    return [f"{head}, {len(check.wrong)} NOT as they were", *(f"  {name}" for name in check.wrong)]
