"""`reduce inject`: transits put into raw pixels, and recovered."""

from __future__ import annotations

from pathlib import Path

import click

from potpyri_like.commands.console import interruptible
from potpyri_like.commands.shared import (
    ALL_IS_WELL,
    NOTHING_REDUCED,
    PATH,
    UNCHANGED,
    WithOptionsOfARunAgain,
    registry_of,
    say_and_exit,
)
from potpyri_like.errors import UsageError
from potpyri_like.interface import runs
from potpyri_like.interface.runs import OptionValue, Trial, trial_lines

__all__: list[str] = []


@click.command(
    "inject",
    cls=WithOptionsOfARunAgain,
    short_help="Inject transits into the raw pixels, and report how well they are recovered.",
)
@click.argument("night", type=PATH)
@click.option(
    "--depths",
    default="0.003,0.006,0.012",
    show_default=True,
    metavar="D,D,...",
    help="Transit depths; 0.01 is 1 %. Each depth takes one pass over the frames.",
)
@click.option(
    "--stars",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    metavar="N",
    help="Stars to inject at a time: the target, if it has no transit, and constant stars like it.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed of the mid-transit times.",
)
@click.option("--out", type=PATH, metavar="DIR", help="Where the products are, if not in NIGHT/red.")
@click.option("--verbose", "-v", is_flag=True, help="Show the log on the screen.")
@click.pass_context
def inject(
    ctx: click.Context,
    night: Path,
    depths: str,
    stars: int,
    seed: int,
    out: Path | None,
    verbose: bool,
    **given: OptionValue,
) -> None:
    """Put known transits into the raw pixels of the frames of NIGHT, reduce them, and report what was recovered.

    NIGHT is the folder of the raw frames, or its folder red.

    For each observation: by how much the depth is off, and the shallowest transit that is recovered at 5
    sigma. Nothing in NIGHT or its products is changed.
    """
    wanted = _depth_list(depths)
    trials: list[Trial] = []
    with interruptible(UNCHANGED, plain=verbose) as progress, runs.log_of(None, screen=verbose):
        found = runs.inject(
            night,
            out=out,
            depths=wanted,
            stars=stars,
            seed=seed,
            progress=progress,
            registry=registry_of(ctx),
            **given,
        )
        for trial in found:
            progress.end()
            trials.append(trial)
    say_and_exit(trial_lines(trials), ALL_IS_WELL if trials else NOTHING_REDUCED)


def _depth_list(text: str) -> list[float]:
    """Depths between 0 and 1 out of a text."""
    try:
        depths = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--depths {text}: give numbers, as in 0.003,0.01") from error
    if not all(0 < depth < 0.5 for depth in depths):
        raise UsageError(f"--depths {text}: give depths between 0 and 0.5; 0.01 is 1 %")
    return depths
