"""Many nights, one after the other, on one pool of workers or one cluster."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from potpyri_like.errors import NightError, ReductionError, UnknownInstrument, UsageError
from potpyri_like.instruments import Instrument
from potpyri_like.night import USE, list_files, rows_of
from potpyri_like.pipeline import Standing
from potpyri_like.registry import Registry
from potpyri_like.verify import last_run

__all__ = ["Entry", "Outcome", "instrument_of", "nights_in", "run_batch"]

log = logging.getLogger(__name__)

WORDS = {0: "all is well", 1: "nothing could be reduced", 3: "something is missing"}
LOOKED_AT = 6  # files of a night by which its instrument is known


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
        A file that names nights cannot be read.
    """
    for argument in arguments:
        path = Path(argument)
        if not path.is_file():
            yield Entry(path)
            continue
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            rows = [words for line in lines if (words := shlex.split(line, comments=True))]
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: it names no nights ({error})") from error
        for words in rows:
            if len(words) > 2:
                raise UsageError(
                    f"{path}: {' '.join(words)}: give [INSTRUMENT] NIGHT in each line; a name with blanks needs quotes"
                )
            yield Entry(path.parent / words[-1], words[0] if len(words) == 2 else "")


def instrument_of(entry: Entry, registry: Registry) -> Instrument:
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
    try:
        return registry[last_run(entry.night).instrument]
    except NightError:
        log.debug("%s: no earlier run tells its instrument", entry.night)
    files = list_files(entry.night, None).files
    some = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, LOOKED_AT).round().astype(int))]
    known = registry.instruments
    understood = {name: understands(item.instrument, some, entry.night) for name, item in known.items()}
    best = [name for name, count in understood.items() if count and count == max(understood.values())]
    if len(best) == 1:
        return registry[best[0]]
    found = f"{' and '.join(best)} understand" if best else f"none of {', '.join(known)} understands"
    raise UnknownInstrument(
        f"{entry.night}: {found} its headers; name the instrument: reduce batch --instrument NAME"
    )


def understands(instrument: Instrument, files: Sequence[Path], root: Path) -> int:
    """How many of some files an instrument can use."""
    return sum(any(row.status == USE for row in rows_of(path, None, root, instrument, {})) for path in files)


def run_batch(
    entries: Iterable[Entry], registry: Registry, reduce: Callable[[Instrument, Path], Standing]
) -> Iterator[Outcome]:
    """Each night's outcome; one that fails leaves the others alone.

    Parameters
    ----------
    entries : iterable of Entry
    registry : Registry
    reduce : callable
        Reduces one night of an instrument.
    """
    for entry in entries:
        name = entry.instrument
        try:
            instrument = instrument_of(entry, registry)
            name = instrument.name
            done = reduce(instrument, entry.night)
        except ReductionError as error:
            log.error("%s: %s", entry.night, error)
            yield Outcome(entry.night, name, 2 if isinstance(error, UsageError) else 1, word=str(error))
        else:
            word = WORDS[done.exit_status] + (", nothing has changed" if done.is_old else "")
            yield Outcome(entry.night, name, done.exit_status, done.measured, done.frames, word)
