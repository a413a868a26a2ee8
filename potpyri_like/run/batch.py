"""Many nights, one after the other, on one pool of workers or one cluster."""

from __future__ import annotations

import logging
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from potpyri_like.errors import NightError, ReductionError, UnknownInstrument, UsageError
from potpyri_like.instruments import Instrument
from potpyri_like.night import list_files, rows_of
from potpyri_like.night.edits import USE
from potpyri_like.plugins import Plugins
from potpyri_like.products import aligned, plural
from potpyri_like.results import STATUS_WORDS
from potpyri_like.run.memory import Standing
from potpyri_like.run.record import LastRun, last_run
from potpyri_like.store import one_line
from potpyri_like.store.folders import read_text

__all__ = ["Entry", "Outcome", "instrument_of", "nights_in", "outcome_lines", "output_folders", "run_batch"]

log = logging.getLogger(__name__)

_LOOKED_AT = 6  # files of a night by which its instrument is known
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True)
class Entry:
    """A night to reduce; the instrument where it was named."""

    night: Path
    instrument: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a night: exit status as of `reduce INSTRUMENT NIGHT`, frames measured of all, and a word."""

    night: Path
    instrument: str
    status: int
    measured: int = 0
    frames: int = 0
    word: str = ""


def nights_in(arguments: Sequence[str]) -> Iterator[Entry]:
    """The nights that are folders, and those that are named in files, one in a line: [INSTRUMENT] NIGHT.

    Raises
    ------
    UsageError
        A file that names nights cannot be read, or names none.
    """
    for argument in arguments:
        path = Path(argument)
        if not path.is_file():
            yield Entry(path)
            continue
        try:
            lines = read_text(path).splitlines()
        except ValueError as error:
            raise UsageError(f"{path}: neither a folder nor a list of nights") from error
        except OSError as error:
            raise UsageError(f"{path}: it cannot be read ({error.strerror or error})") from error
        entries = [
            entry
            for number, line in enumerate(lines, start=1)
            for entry in _entries_of(line, path.parent, f"{path}, line {number}")
        ]
        if not entries:
            raise UsageError(f"{path}: no night in it; give one per line: NIGHT or INSTRUMENT NIGHT")
        yield from entries


def _entries_of(line: str, home: Path, where: str) -> list[Entry]:
    """The night that a line names, if any; its path begins in the folder of the file."""
    try:
        words = shlex.split(_COMMENT.sub("", line))
    except ValueError as error:
        raise UsageError(f"{where}: unbalanced quotation mark: {line.strip()}") from error
    if len(words) > 2:
        raise UsageError(
            f"{where}: give NIGHT or INSTRUMENT NIGHT; a name with blanks needs quotes: {line.strip()}"
        )
    return [Entry(home / Path(words[-1]).expanduser(), words[0] if len(words) == 2 else "")] if words else []


def output_folders(entries: Sequence[Entry], out: Path | None) -> dict[Path, Path | None]:
    """Where the products of each night go: no two nights share a folder.

    Parameters
    ----------
    entries : sequence of Entry
    out : Path or None
        None: to `red` in each night.

    Returns
    -------
    dict of Path to (Path or None)
        By night: OUT/NAME; where several have one name, with as many of the folders above as tell them apart.
    """
    if out is None:
        return {entry.night: None for entry in entries}
    places = {entry.night: entry.night.resolve() for entry in entries}
    names = {place: place.name for place in places.values()}
    for depth in range(2, max((len(place.parts) for place in names), default=0) + 1):
        shared = Counter(name.casefold() for name in names.values())
        tails = {place: "_".join(place.parts[1:][-depth:]) for place in names}
        names = {
            place: tails[place] if shared[name.casefold()] > 1 else name for place, name in names.items()
        }
    return {night: out / names[place] for night, place in places.items()}


def _run_before(night: Path, output: Path | None) -> LastRun | None:
    """The last run on a night, where there was one."""
    try:
        return last_run(night, out=output)
    except NightError:
        return None


def instrument_of(entry: Entry, registry: Plugins, *, output: Path | None = None) -> Instrument:
    """The instrument of a night: as named, as in an earlier run, or the one that understands its headers.

    Raises
    ------
    UnknownInstrument
        No plugin provides it, or several would do.
    NightError
        The folder holds no raw file.
    """
    if entry.instrument:
        return registry[entry.instrument]
    if (run := _run_before(entry.night, output)) is not None:
        return registry[run.instrument]
    files = list_files(entry.night, output).files
    some = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, _LOOKED_AT).round().astype(int))]
    known = registry.instruments
    understood = {name: _understands(item.item, some, entry.night) for name, item in known.items()}
    best = [name for name, count in understood.items() if count and count == max(understood.values())]
    if len(best) == 1:
        return registry[best[0]]
    found = f"{' and '.join(best)} understand" if best else f"none of {', '.join(known)} recognises"
    raise UnknownInstrument(
        f"{entry.night}: {found} its headers; name the instrument: reduce batch --instrument NAME"
    )


def _understands(instrument: Instrument, files: Sequence[Path], root: Path) -> int:
    """How many of some files an instrument can use."""
    return sum(any(row.status == USE for row in rows_of(path, None, root, instrument, {})) for path in files)


def run_batch(
    entries: Sequence[Entry],
    registry: Plugins,
    reduce: Callable[[Instrument, Path, Path | None], Standing],
    *,
    out: Path | None = None,
) -> Iterator[Outcome]:
    """Each night's outcome; one that fails leaves the others alone.

    Parameters
    ----------
    entries : sequence of Entry
    registry : Plugins
    reduce : callable
        Reduces one night of an instrument into a folder (None: `red` in the night).
    out : Path, optional
        The folder of the nights' output folders.
    """
    outputs = output_folders(entries, out)
    for entry in entries:
        name, output = entry.instrument, outputs[entry.night]
        try:
            instrument = instrument_of(entry, registry, output=output)
            name = instrument.name
            done = reduce(instrument, entry.night, output)
        except (ReductionError, OSError) as error:
            status = 2 if isinstance(error, UsageError) else 1
            yield Outcome(entry.night, name, status, word=_reason(entry.night, error))
        else:
            word = STATUS_WORDS[done.exit_status] + (", no change" if done.is_old else "")
            yield Outcome(entry.night, name, done.exit_status, done.measured, done.frames, word)


def _reason(night: Path, error: Exception) -> str:
    """Why a night failed, in a line that does not name it again."""
    first = str(error).partition("\n")[0]
    return one_line(first.removeprefix(f"{night}: "))


def outcome_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """What became of each night, in straight columns."""
    rows = [
        [
            str(o.night),
            o.instrument,
            f"{o.measured} of {plural(o.frames, 'frame')}" if o.frames else "",
            o.word,
        ]
        for o in outcomes
    ]
    return aligned(rows)
