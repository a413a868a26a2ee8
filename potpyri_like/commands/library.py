"""`reduce library`: masters of earlier nights, for nights that have none of their own."""

from __future__ import annotations

from pathlib import Path

import click

from potpyri_like.commands.shared import ALL_IS_WELL, PATH, SOMETHING_MISSING, say_and_exit
from potpyri_like.interface.library import (
    add_to_library,
    added_lines,
    library_lines,
    masters_in_library,
)

__all__: list[str] = []


@click.group("library", short_help="Keep masters of reduced nights, for nights that have none of their own.")
def library() -> None:
    """Masters of earlier nights, kept for each instrument in your own folder.

    A night without a bias, dark or flat of its own takes the nearest one that fits; its errors allow for how much
    such masters change in that time.
    """


@library.command("add")
@click.argument("night", type=PATH)
@click.option("--out", type=PATH, metavar="DIR", help="Where the products are, if not in NIGHT/red.")
def add(night: Path, out: Path | None) -> None:
    """Add the masters of NIGHT, which must already have been reduced; you may give its product folder instead."""
    found = add_to_library(night, out=out)
    say_and_exit(added_lines(found), ALL_IS_WELL if all(one.entry for one in found) else SOMETHING_MISSING)


@library.command("list")
@click.argument("instrument", default="")
def list_(instrument: str) -> None:
    """List the masters, of INSTRUMENT or of all, with their levels and what contradicts their neighbours."""
    lines = library_lines(masters_in_library(instrument))
    say_and_exit(lines or ["the library is empty; reduce library add NIGHT fills it"], ALL_IS_WELL)
