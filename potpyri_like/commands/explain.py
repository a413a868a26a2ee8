"""`reduce explain`: the choices of a run."""

from __future__ import annotations

from pathlib import Path

import click

from potpyri_like.commands.shared import PATH, say
from potpyri_like.interface import runs

__all__: list[str] = []


@click.command("explain", short_help="Explain the choices of the last run, with the rejected candidates.")
@click.argument("night", type=PATH)
@click.argument("what", default="")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="List all rejected candidates, not just the first dozen of each.",
)
@click.option("--out", type=PATH, metavar="DIR", help="Where the products are, if not in NIGHT/red.")
@click.option(
    "--metric",
    metavar="MODULE:FUNCTION",
    help="Your own function that the run used, to check that it has not changed.",
)
@click.option(
    "--recipe",
    metavar="FILE.py",
    help="The file with your own recipe that the run used, to check that it has not changed.",
)
@click.option(
    "--times",
    is_flag=True,
    help="Instead, print an empty times.csv for the night, headed with its time scale.",
)
def explain(
    night: Path,
    what: str,
    everything: bool,
    out: Path | None,
    metric: str | None,
    recipe: str | None,
    times: bool,
) -> None:
    """Explain why the last run of NIGHT chose its reference, masters, aperture, comparison stars and baseline.

    NIGHT is the folder of the raw frames, or that of the products.

    WHAT is part of the name of a target, a band, a camera or a choice: reduce explain NIGHT aperture.
    """
    if times:
        return say(runs.times_template(night, out=out))
    return say(runs.explain(night, what, out=out, everything=everything, metric=metric, recipe=recipe))
