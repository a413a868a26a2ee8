"""`reduce library`: masters of earlier nights, for nights that have none of their own."""

from __future__ import annotations

from pathlib import Path

import click

from potpyri_like.commands.shared import ALL_IS_WELL, PATH, SOMETHING_MISSING, say_and_exit
from potpyri_like.products import aligned
from potpyri_like.run.library import Shown, add_night, show_library
from potpyri_like.store.library import LibraryEntry

__all__ = []


@click.group("library", short_help="Keep masters of reduced nights, for nights that have none of their own.")
def library() -> None:
    """Masters of earlier nights, kept for each instrument in your own folder.

    A night without a bias, dark or flat of its own takes the nearest one that fits; what such masters change by in
    that time is in its errors.
    """


@library.command("add")
@click.argument("night", type=PATH)
@click.option("--out", type=PATH, metavar="DIR", help="Where the products are, if not in NIGHT/red.")
def add(night: Path, out: Path | None) -> None:
    """Add the masters of NIGHT, which was reduced before."""
    instrument, found = add_night(night, out=out)
    rows = [
        [one.product, f"added as {instrument}/{one.entry.file}" if one.entry else f"not added: {one.why}"]
        for one in found
    ]
    say_and_exit(aligned(rows), ALL_IS_WELL if all(one.entry for one in found) else SOMETHING_MISSING)


@library.command("list")
@click.argument("instrument", default="")
def list_(instrument: str) -> None:
    """List the masters, of INSTRUMENT or of all, with their levels and what contradicts their neighbours."""
    shown = show_library(instrument.upper())
    lines = aligned([_row(one) for one in shown])
    say_and_exit(lines or ["the library is empty; reduce library add NIGHT fills it"], ALL_IS_WELL)


def _row(one: Shown) -> list[str]:
    entry = one.entry
    what = f"{entry.kind} {entry.band}".strip() if entry.kind == "flat" else entry.kind
    if entry.kind == "dark":
        what += f" of {entry.exposure:g} s"
    return [
        one.instrument,
        entry.night,
        entry.camera,
        what,
        _level(entry),
        f"{entry.frames} frames",
        one.verdict,
    ]


def _level(entry: LibraryEntry) -> str:
    """The level of a master in words."""
    if entry.kind == "flat":
        return ""
    return f"{entry.level:.4g} electron" + ("/s" if entry.kind == "dark" else "")
