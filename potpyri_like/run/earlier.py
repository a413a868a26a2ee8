"""Products and edits in an output folder from earlier runs: to which night they belong, and the edits to keep."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from astropy.table import Table

from potpyri_like.errors import NightError, UsageError
from potpyri_like.instruments import Instrument
from potpyri_like.night import NIGHT_TABLE, RUN_RECORD, Night
from potpyri_like.night.edits import Written, read_edited
from potpyri_like.run.journal import Journal
from potpyri_like.store import Output, raw_sha256, table_text
from potpyri_like.store.folders import Odd, say_once

__all__ = [
    "check_instrument_of",
    "check_night_of",
    "digest_of",
    "earlier_table",
    "note_owner",
    "write_night_table",
]

log = logging.getLogger(__name__)

_COMPARED = 3  # files by which a night is known again
_OWNER = "owner"  # the note of which night and which instrument the products are
_KEPT = f"{NIGHT_TABLE}~"  # the observer's version of night.ecsv


# -- whose products ------------------------------------------------------------------------------------------


def check_instrument_of(output: Output, instrument: Instrument, night: Path) -> None:
    """Raise a UsageError where another instrument's products lie in an output folder.

    Raises
    ------
    NightError
        night.ecsv cannot be read any more.
    """
    other = _instrument_of(output)
    if other and other.casefold() != instrument.name.casefold():
        raise UsageError(
            f"{output.root}: contains products and edits of {other}, but this run is for {instrument.name};"
            f" did you mean: reduce {other} {night} ? Otherwise choose another folder with --out DIR"
        )


def _instrument_of(output: Output) -> str:
    """The instrument of an earlier run, as night.ecsv names it, else run.json; "" where none does."""
    edited = earlier_table(output)
    told = "" if edited is None else str(edited.meta.get("instrument") or "")
    return told or _words_in(_last_record(output), "instrument")


def check_night_of(output: Output, night: Path, journal: Journal | None) -> None:
    """Raise a UsageError where the products of another night lie in an output folder.

    A night is known again by its folder or, where that was moved, by the bytes of a few raw files.
    """
    run = _last_record(output)
    there, inputs = _words_in(run, "night"), _inputs_in(run)
    if not there and journal is not None:
        there, inputs = _words_in(journal.note(_OWNER), "night"), journal.inputs()
    if not there or _is_same(Path(there), night) or _any_is_same(inputs, night):
        return
    raise UsageError(f"{output.root}: contains products of another night, {there}; choose another --out")


def note_owner(journal: Journal, instrument: Instrument, night: Path) -> None:
    """Note whose products will lie in an output folder, before the first is written."""
    journal.write_note(_OWNER, {"instrument": instrument.name, "night": str(night.absolute())})


def _is_same(there: Path, night: Path) -> bool:
    """Whether a night's folder, as it was named then, is this one."""
    return there.is_absolute() and there.resolve() == night.resolve()


def _any_is_same(inputs: Iterable[tuple[str, str]], night: Path) -> bool:
    """Whether one of a few raw files has the bytes that it had."""
    there = ((_sha256_or_none(night, file), digest) for file, digest in inputs)
    return any(found == digest for found, digest in islice((pair for pair in there if pair[0]), _COMPARED))


def _sha256_or_none(night: Path, file: str) -> str:
    """The SHA-256 of a raw file; "" where there is none of that name in the night."""
    with suppress(OSError):
        return raw_sha256(night, file)
    return ""


def _last_record(output: Output) -> object:
    """What is in run.json; None where there is none, or none that can be read."""
    try:
        return json.loads(output.read_bytes(RUN_RECORD))
    except (OSError, ValueError):
        return None


def _words_in(record: object, name: str) -> str:
    """A text of that name in a record; "" where there is none."""
    found = record.get(name) if isinstance(record, Mapping) else None
    return found if isinstance(found, str) else ""


def _inputs_in(run: object) -> Iterator[tuple[str, str]]:
    """Raw files of a run and their SHA-256."""
    items = run.get("inputs") if isinstance(run, Mapping) else None
    for item in items if isinstance(items, list) else []:
        file, digest = _words_in(item, "path") or _words_in(item, "file"), _words_in(item, "sha256")
        if file and digest:
            yield file, digest


# -- what the observer wrote ---------------------------------------------------------------------------------


def earlier_table(output: Output) -> Table | None:
    """The night.ecsv of an earlier run, which the observer may have edited; None on the first.

    Raises
    ------
    NightError
        It cannot be read.
    """
    path = output.root / NIGHT_TABLE
    try:
        return read_edited(path, output.read_bytes(NIGHT_TABLE))
    except Odd as error:
        say_once("%s: %s; ignored", path, error.strerror)
    except OSError as error:
        if output.has(NIGHT_TABLE):
            raise NightError(
                f"{path}: it cannot be read ({error.strerror}); repair it, or delete it to start again"
            ) from error
    return None


def write_night_table(
    output: Output, journal: Journal, night: Night, status: Mapping[str, tuple[str, str]]
) -> bool:
    """Write night.ecsv; what we write in it is known, so that the next run sees what the observer changed.

    A version that the observer changed is kept as night.ecsv~. One that was changed after this run had read it is left
    alone, for the next run to obey.

    Returns
    -------
    bool
        Whether the table is that of this run.
    """
    table = night.table(status)
    text = table_text(table)
    before = Written.of(journal.note(NIGHT_TABLE))
    found = digest_of(output)
    if found not in ("", night.edited_digest, *before.digests):
        log.warning(
            "%s was changed during the run; the next run applies the changes", output.root / NIGHT_TABLE
        )
        return False
    if found and found not in before.digests:
        output.write_bytes(_KEPT, output.read_bytes(NIGHT_TABLE))
        output.written.discard(_KEPT)  # it is the observer's, no product
    now = replace(Written.in_table(table, asked=night.edits), digests=(_digest(text.encode()),))
    journal.write_note(NIGHT_TABLE, now.and_maybe(before).plain())
    output.write_text(NIGHT_TABLE, text)
    journal.write_note(NIGHT_TABLE, now.plain())
    return True


def digest_of(output: Output) -> str:
    """The SHA-256 of night.ecsv; "" where there is none."""
    try:
        return _digest(output.read_bytes(NIGHT_TABLE))
    except OSError:
        return ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
