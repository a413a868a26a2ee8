"""`reduce simulate`: a night of synthetic frames."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from potpyri_like.commands.shared import PATH, Finite, known_instrument, registry_of
from potpyri_like.errors import UsageError
from potpyri_like.interface import runs
from potpyri_like.interface.nights import simulate as simulated
from potpyri_like.interface.runs import NightPlan

__all__ = []


def _plan_option(name: str, help_: str, **more: Any) -> Any:
    """An option of `reduce simulate` whose default is that of the plan."""
    return click.option(f"--{name}", default=getattr(NightPlan, name), show_default=True, help=help_, **more)


@click.command("simulate")
@click.argument("instrument")
@click.argument("folder", type=PATH, metavar="DIR")
@_plan_option("seed", "Random seed; the same seed gives the same files.", type=click.IntRange(0), metavar="N")
@_plan_option("frames", "Science frames of each camera.", type=click.IntRange(1), metavar="N")
@click.option(
    "--size",
    type=click.IntRange(64),
    metavar="PIXELS",
    help="Side of the images, if the instrument does not declare it.",
)
@_plan_option("exposure", "Exposure of each science frame.", type=Finite(0), metavar="SECONDS")
@_plan_option(
    "hours", "Duration, from the first frame to the last.", type=Finite(0, min_open=True), metavar="H"
)
@click.option("--bands", metavar="B,B,...", help="Bands to simulate, from those the cameras have.")
@_plan_option("depth", "Transit depth; 0.01 is 1 %.", type=Finite(0, 1), metavar="D")
@_plan_option("stars", "Faint stars in the field.", type=click.IntRange(0), metavar="N")
@_plan_option("drift", "Drift of the field during the night.", type=Finite(0), metavar="PIXELS")
@click.option("--flip/--no-flip", default=True, show_default=True, help="Include a meridian flip.")
@click.option("--folders", is_flag=True, help="Write one folder per camera.")
@click.option(
    "--bad",
    multiple=True,
    type=click.Choice(["truncated", "zeros", "no exposure", "shape"]),
    metavar="WHAT",
    help="Add an unusable frame; WHAT is truncated, zeros, 'no exposure' or shape (wrong shape). May be repeated.",
)
@click.pass_context
def simulate(
    ctx: click.Context,
    instrument: str,
    folder: Path,
    size: int | None,
    bands: str | None,
    flip: bool,
    **plan: Any,
) -> None:
    """Write a night of synthetic raw frames of INSTRUMENT into DIR, with truth.ecsv."""
    known = known_instrument(registry_of(ctx), instrument)
    _check_free(folder)
    night = NightPlan(
        size=None if size is None else (size, size),
        bands=tuple(band.strip() for band in bands.split(",")) if bands else (),
        flip=NightPlan.flip if flip else None,
        **plan,
    )
    truth = simulated(known, folder, night)
    camera, (x, y) = next(iter(truth.target_xy.items()))
    told = folder / "truth.ecsv"
    click.echo(f"{len(truth.frames)} science frames in {folder}; true values: {told}")
    click.echo(shlex.join(["reduce", known.name, str(folder), "--target-xy", f"{camera}:{x:.1f},{y:.1f}"]))


def _check_free(folder: Path) -> None:
    """Raise a UsageError where raw files lie in a folder: a synthetic night is not mixed with another."""
    raw = runs.first_raw_file(folder)
    if raw is not None:
        raise UsageError(
            f"{folder}: the folder already contains frames ({raw}, ...); give an empty folder, or a new one"
        )
