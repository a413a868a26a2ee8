"""`reduce verify`: whether raw files and products are what they were."""

from __future__ import annotations

from pathlib import Path

import click

from potpyri_like.commands.console import interruptible
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
from potpyri_like.interface import runs
from potpyri_like.interface.runs import OptionValue, check_lines

__all__: list[str] = []


@click.command(
    "verify",
    cls=WithOptionsOfARunAgain,
    short_help="Verify checksums of raw files and products, and recompute a sample.",
)
@click.argument("night", type=PATH)
@click.option("--all", "every", is_flag=True, help="Recompute all frames, not just a sample.")
@click.option("--out", type=PATH, metavar="DIR", help="Where the products are, if not in NIGHT/red.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="N",
    help="Random seed for the sample of frames; a new one each time by default.",
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
    """Verify the last run of NIGHT, the folder of the raw frames or its folder red.

    Every raw file and every product is compared with its SHA-256 in run.json; then a dozen frames of each
    observation, or all of them, are computed again, and the products from them, and compared bit by bit. Nothing is
    changed. Exit status 3: something differs.
    """
    same = True
    with interruptible(UNCHANGED, plain=verbose) as progress, runs.log_of(None, screen=verbose):
        checks = runs.verify(
            night, out=out, every=every, seed=seed, progress=progress, registry=registry_of(ctx), **given
        )
        for check in checks:
            progress.end()
            same = same and not check.wrong
            for line in check_lines(check):
                click.echo(line)
    say_and_exit((), ALL_IS_WELL if same else SOMETHING_MISSING, DIFFERS)
