"""The user's library of masters: nights are added to it, and it is shown with what is wrong in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from potpyri_like.errors import NightError
from potpyri_like.night import slug
from potpyri_like.primitives.borrowed_masters import judged
from potpyri_like.products import aligned
from potpyri_like.results import Grade
from potpyri_like.run.output import output_of
from potpyri_like.run.record import last_run, night_and_output, run_record
from potpyri_like.store.library import (
    LARGEST_MASTER,
    LibraryEntry,
    add_entry,
    entry_of,
    library_path,
    read_entries,
)

__all__ = ["Added", "Shown", "add_night", "added_lines", "library_lines", "show_library"]


@dataclass(frozen=True)
class Added:
    """What became of one master of a night: its product, the entry in the library, or why there is none."""

    product: str
    entry: LibraryEntry | None
    why: str = ""


@dataclass(frozen=True)
class Shown:
    """A master in the library: the instrument, the entry, and what is wrong with it, or with those before it."""

    instrument: str
    entry: LibraryEntry
    is_used: bool
    verdict: str


def add_night(night: Path, *, out: Path | None = None) -> list[Added]:
    """Add the masters of a night that was reduced to the user's library.

    Parameters
    ----------
    night : Path
        Or its output folder.
    out : Path, optional
        Where its products are, if not in NIGHT/red.

    Returns
    -------
    list of Added

    Raises
    ------
    NightError
        There is no run of that night, or it made no master.
    ProductError
        The library cannot be written.
    """
    night, out = night_and_output(night, out)
    output = output_of(night, out)
    digests = last_run(night, out=out).products
    with run_record(night, out) as (run, _):
        instrument, masters = str(run["instrument"]), _masters_of(run)
    if not masters:
        raise NightError(f"{night}: its run made no master; there is nothing to add")
    folder, found = library_path(slug(instrument)), []
    for product, why in masters.items():
        entry = None
        try:
            content = (
                b""
                if why
                else output.read_bytes(product)
                if output.signature(product)[0] < LARGEST_MASTER
                else b""
            )
        except OSError as error:
            why, content = f"it cannot be read ({error.strerror or error})", b""
        if not why and hashlib.sha256(content).hexdigest() != digests.get(product):
            why = "it has changed since the run wrote it"
        if not why:
            entry = entry_of(Path(product).name, content)
            why = _unfit(entry)
        if entry is not None and not why:
            stem = slug(Path(product).stem)
            named = LibraryEntry(**{**vars(entry), "file": f"{stem}_{entry.night.replace('-', '')}.fits"})
            entry = add_entry(folder, named, content)
        found.append(Added(product, None if why else entry, why))
    return found


def _masters_of(run: Mapping[str, object]) -> dict[str, str]:
    """The products that are masters, each with why it is not to be used; by what run.json tells."""
    found: dict[str, str] = {}
    sets = run.get("sets")
    for one in sets if isinstance(sets, list) else []:
        doubts = {
            str(problem.get("what")): str(problem.get("why"))
            for problem in one.get("problems", [])
            if problem.get("grade") == str(Grade.DOUBTFUL)
        }
        for master in one.get("masters", []):
            product, kind = str(master.get("product", "")), str(master.get("kind", ""))
            why = next((why for what, why in doubts.items() if what.startswith(f"master {kind}")), "")
            if master.get("rung") != "exact":
                why = f"it is {master.get('rung')}: only masters of a night's own frames are kept"
            elif why:
                why = f"the run calls it doubtful: {why}"
            if product:
                found[product] = why
    return found


def _unfit(entry: LibraryEntry | None) -> str:
    """Why a master cannot be kept."""
    if entry is None:
        return "it is not a master written by this software"
    return "" if entry.night else "its night is not known"


def show_library(instrument: str = "") -> list[Shown]:
    """What the user's library holds, of one instrument or of all, each master with what its neighbours say of it.

    Raises
    ------
    ProductError
        An index cannot be read.
    """
    top = library_path(slug(instrument)) if instrument else library_path("x").parent
    folders = [top] if instrument else sorted(top.iterdir()) if top.is_dir() else []
    found = []
    for folder in folders:
        for entry, verdict in judged(read_entries(folder)):
            words = ""
            if not verdict.agrees:
                words = f"contradicts its neighbours by {verdict.sigmas:.0f} sigma: not used"
            elif verdict.jumps:
                words = "differs from those before it: something changed permanently"
            found.append(Shown(folder.name, entry, verdict.agrees, words))
    return found


def added_lines(found: Sequence[Added]) -> list[str]:
    """What became of each master of a night, in straight columns."""
    return aligned(
        [
            [one.product, f"added as {one.entry.file}" if one.entry else f"not added: {one.why}"]
            for one in found
        ]
    )


def library_lines(shown: Sequence[Shown]) -> list[str]:
    """What a library holds, in straight columns."""
    return aligned([_row(one) for one in shown])


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
    return f"{entry.level:.4g} electrons" + ("/s" if entry.kind == "dark" else "")
