"""The memory of earlier runs of a night, and checks for changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from potpyri_like.encoding import Kept, fingerprint
from potpyri_like.identity import code_identity, instrument_identity
from potpyri_like.instruments import Instrument
from potpyri_like.night import NIGHT_TABLE, Night, list_files, scan
from potpyri_like.night.edits import Written
from potpyri_like.options import ENGINE, Options
from potpyri_like.products import closing_lines, count_frames
from potpyri_like.results import RunReport
from potpyri_like.run.earlier import digest_of, earlier_table
from potpyri_like.run.journal import FOLDER, Journal
from potpyri_like.run.output import output_of
from potpyri_like.run.recipe import digests_of, recipe_of
from potpyri_like.store import Output, signature

__all__ = ["Memory", "Standing", "finish", "run_key", "scan_again", "standing", "worth"]

_FRAMES_WORTH_A_WORKER = 12  # a worker takes a second to start
_OUTPUT = "{out}"  # stands for the output folder in lines that are kept


def scan_again(
    folder: Path,
    instrument: Instrument,
    output: Output,
    memory: Memory,
    *,
    waiting: Collection[Path] = (),
) -> Night:
    """The night, with what the observer changed in an earlier run's night.ecsv, and no header read twice."""
    written = Written.of(memory.journal.note(NIGHT_TABLE) if memory.journal else None)
    seen, edited = digest_of(output), earlier_table(output)
    night = scan(
        folder,
        instrument,
        edited=edited,
        written=written,
        skip=output.root,
        memory=memory,
        waiting=waiting,
    )
    return replace(night, edited_digest=seen)


def worth(night: Night) -> int:
    """How many workers are worth starting."""
    return max((len(observed.frames) for observed in night.sets()), default=0) // _FRAMES_WORTH_A_WORKER


@dataclass
class Memory:
    """What was made of the headers before, and what is made of them now.

    The journal has it where there is one already; a night that cannot be reduced leaves nothing behind.

    Attributes
    ----------
    instrument : Instrument
    journal : Journal or None
    forgetful : bool
        All headers are read again.
    new : dict of str to (str, list)
        What the journal does not have yet: key and rows, by file.
    """

    instrument: Instrument
    journal: Journal | None = None
    forgetful: bool = False
    new: dict[str, tuple[str, object]] = field(default_factory=dict)

    def key(self, path: Path, *more: object) -> str:
        """What the description of a file depends on."""
        return fingerprint(code_identity(), instrument_identity(type(self.instrument)), signature(path), more)

    def rows(self, file: str, key: str) -> Kept:
        return None if self.journal is None or self.forgetful else self.journal.rows(file, key)

    def keep(self, file: str, key: str, rows: object) -> None:
        self.new[file] = key, rows

    def hand_over(self, journal: Journal) -> None:
        """Put into a journal what is new."""
        for file, (key, rows) in self.new.items():
            journal.keep_rows(file, key, rows)
        self.new.clear()


@dataclass(frozen=True)
class Standing:
    """What a run came to.

    Attributes
    ----------
    exit_status : int
    lines : tuple of str
        Its last lines on the screen.
    measured, frames : int
        Science frames that were measured, and all.
    is_old : bool
        It was an earlier run, and nothing has changed since.
    """

    exit_status: int
    lines: tuple[str, ...]
    measured: int = 0
    frames: int = 0
    is_old: bool = False

    @classmethod
    def of(cls, report: RunReport, folder: Path) -> Standing:
        """Of a run that has just ended."""
        counts = [count_frames(report, result) for result in report.sets]
        lines = closing_lines(report, folder=folder)
        return cls(
            report.exit_status, tuple(lines), sum(n.measured for n in counts), sum(n.total for n in counts)
        )


def standing(instrument: Instrument, folder: Path, *, out: Path | None, options: Options) -> Standing | None:
    """The last run into the same folder, where nothing has changed since: raw files, options, code, products.

    Files are told by size, times and place on the disk; `verify` reads them.

    Raises
    ------
    Busy
        Another run is at work on the same output folder.
    """
    output = output_of(folder, out)
    if not output.folder.below(FOLDER).is_there() or not folder.is_dir():
        return None
    with Journal(output) as journal:
        match journal.note("run"):
            case {
                "key": str(key),
                "products": [*products],
                "exit_status": int(status),
                "lines": [*lines],
                "measured": int(measured),
                "frames": int(frames),
            } if all(isinstance(text, str) for text in (*products, *lines)):
                pass
            case _:
                return None
        if key != run_key(instrument, folder, output, options) or not all(map(journal.product, products)):
            return None
    told = tuple(line.replace(_OUTPUT, str(output.root)) for line in lines)
    return Standing(status, told, measured, frames, is_old=True)


def run_key(instrument: Instrument, folder: Path, output: Output, options: Options) -> str:
    """The fingerprint of everything that a run depends on."""
    named = {name: value for name, value in options.named().items() if name not in ENGINE}
    files = [
        (path.relative_to(folder).as_posix(), signature(path))
        for path in list_files(folder, output.root).files
        if path.exists()
    ]
    code = code_identity(whole=True)
    stages = fingerprint(recipe_of(instrument, options).stages)
    plugins = instrument_identity(type(instrument)), stages, digests_of(options)
    return fingerprint(code, plugins, str(folder.absolute()), named, files)


def finish(report: RunReport, journal: Journal, names: Sequence[str], key: str) -> None:
    """Note that a run came to its end, and under which key."""
    run = vars(Standing.of(report, Path(_OUTPUT))) | {"key": key, "products": list(names)}
    journal.write_note("run", run)
