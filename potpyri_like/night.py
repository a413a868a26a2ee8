"""One night: the frames in a folder, and which calibrations each set of science frames needs."""

from __future__ import annotations

import logging
import os
import re
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, count
from pathlib import Path, PurePath
from typing import Any, Protocol, TypeVar

import astropy.units as u
import numpy as np
from astropy.table import Table

from potpyri_like.copies import copies
from potpyri_like.edits import LEAVE_OUT, REFUSED, USE, Edit, Written, read_edits, tell_unknown
from potpyri_like.encoding import Kept
from potpyri_like.errors import FrameError, HeaderError, NightError, UnavailableError, UsageError
from potpyri_like.evenings import with_nights
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.header import RawHeader
from potpyri_like.instruments import Instrument, camera_named, image_hdus, site_of
from potpyri_like.pointings import with_fields
from potpyri_like.store import (
    OWN_FOLDER,
    is_raw_name,
    one_line,
    printable,
    read_header,
    unpacked_name,
)

__all__ = [
    "LEAVE_OUT",
    "NIGHT_TABLE",
    "RUN_RECORD",
    "FrameRow",
    "Memory",
    "Night",
    "ObservationSet",
    "check_apart",
    "check_is_folder",
    "dated",
    "edits_by_file",
    "is_ours",
    "list_files",
    "refused",
    "rows_of",
    "scan",
    "slug",
    "with_folder",
]

log = logging.getLogger(__name__)

NIGHT_TABLE, RUN_RECORD = "night.ecsv", "run.json"
_OWN_NAMES = ("cals", "log", OWN_FOLDER, NIGHT_TABLE, RUN_RECORD, "report.html")
_LONGEST_NAME = 80  # bytes; file systems take 255, and names get prefixes and suffixes
_ELSEWHERE = "a link that leaves the night is not followed; put the frames themselves there"
_NO_NIGHT = (
    "of which night it is cannot be known: its clock was not set, and frames of several nights lie beside it;"
    " the frame is excluded (put the frames of each night into a folder of their own)"
)
_BY_HAND = "left out by hand in night.ecsv"
_COPY = "the same exposure as"
_NOT_NEEDED = "neither science nor calibration"
_ABSENT = "the file is not there now; what was written about it holds when it is back"
_COLUMNS = ("file", "kind", "camera", "band", "target", "binning", "exposure", "mid_time", "clock", "night")
_MORE_COLUMNS = ("decided_by", "notes", "status", "reason")
_HOW_TO_EDIT = (
    "kind, camera, band and target may be changed, and status set to 'leave out' (or back to 'use');"
    " the next run obeys. mid_time is UTC."
)


@dataclass(frozen=True)
class FrameRow:
    """One raw file, or one plane of a cube, and what becomes of it.

    Attributes
    ----------
    file : str
        Path within the night.
    status : str
        "use", "leave out" or "refused"; after a run "measured" or "flagged", too.
    reason : str
    info : FrameInfo or None
        None where not even the header could be understood.
    passing : bool
        The file could not be read for the moment: the next run tries it again.
    """

    file: str
    status: str
    reason: str = ""
    info: FrameInfo | None = None
    passing: bool = False


@dataclass(frozen=True)
class ObservationSet:
    """Science frames of one target, camera, band, binning and night, in order of time, and their calibrations.

    Attributes
    ----------
    biases, darks, flats : tuple of FrameInfo
        Those of all nights that fit.
    night : str
        The date of the evening where the folder holds several nights, each reduced alone; else "".
    is_dated : bool
        Whether the folder holds several nights: what belongs to one stands in a folder of its date.
    """

    target: str
    camera: str
    band: str
    binning: tuple[int, int]
    folder: str
    frames: tuple[FrameInfo, ...]
    biases: tuple[FrameInfo, ...] = ()
    darks: tuple[FrameInfo, ...] = ()
    flats: tuple[FrameInfo, ...] = ()
    night: str = ""
    is_dated: bool = False

    @property
    def exposure(self) -> u.Quantity:
        """The median exposure of the science frames."""
        return np.median([frame.exposure.to_value(u.s) for frame in self.frames]) * u.s

    @property
    def name(self) -> str:
        words = f"{self.target}, {self.camera}" + (f" {self.band}" if self.band else "")
        return f"{words}, {self.night}" if self.night else words


@dataclass(frozen=True)
class Night:
    """The frames found in a folder, and those refused, each with its reason.

    Attributes
    ----------
    root : Path
    instrument : Instrument
    rows : tuple of FrameRow
    edits : mapping of str to Edit
        What the observer wants otherwise than the headers say, by file.
    edited_digest : str
        The SHA-256 of the night.ecsv that says so.
    """

    root: Path
    instrument: Instrument
    rows: tuple[FrameRow, ...]
    edits: Mapping[str, Edit] = field(default_factory=dict)
    edited_digest: str = ""

    @property
    def frames(self) -> tuple[FrameInfo, ...]:
        """The frames to be used."""
        return tuple(row.info for row in self.rows if row.status == USE and row.info is not None)

    @property
    def refused(self) -> tuple[FrameRow, ...]:
        return tuple(row for row in self.rows if row.status == REFUSED)

    @property
    def is_understood(self) -> bool:
        """Whether the instrument understands any frame at all."""
        return any(row.info is not None for row in self.rows)

    @cached_property
    def nights(self) -> tuple[str, ...]:
        """The dates of the evenings on which science frames were taken."""
        return tuple(sorted({info.night for info in self.frames if info.kind is FrameKind.SCIENCE}))

    @property
    def copies(self) -> tuple[FrameRow, ...]:
        """The frames that are left out since they are copies of others."""
        return tuple(r for r in self.rows if r.status == LEAVE_OUT and r.reason.startswith(_COPY))

    def sets(self, *, joined: bool = False) -> tuple[ObservationSet, ...]:
        """The science frames by night, target, pointing, camera, band, binning and readout, with what calibrates each.

        Parameters
        ----------
        joined : bool
            The frames of all nights make one set, and those of all pointings that overlap.
        """
        groups: dict[str, dict[tuple, list[FrameInfo]]] = defaultdict(lambda: defaultdict(list))
        science = [info for info in self.frames if info.kind is FrameKind.SCIENCE]
        for info in with_fields(science, self.instrument, joined=joined):
            groups["" if joined else info.night][_set_key(info)].append(info)
        is_dated = len(self.nights) > 1
        sets = []
        for night, group in sorted(groups.items()):
            folders = _set_folders({key: frames[0] for key, frames in group.items()})
            name = night if is_dated else ""
            sets += [
                replace(self.make_set(group[key], dated(folders[key], name)), night=name, is_dated=is_dated)
                for key in sorted(group, key=str)
            ]
        return tuple(sets)

    def make_set(self, frames: list[FrameInfo], folder: str) -> ObservationSet:
        first = frames[0]
        return ObservationSet(
            target=first.target or "unnamed",
            camera=first.camera,
            band=first.band,
            binning=first.binning,
            folder=folder,
            frames=tuple(sorted(frames, key=lambda f: (f.mid_time.mjd if f.mid_time else 0.0, f.label))),
            biases=tuple(self.calibrations(FrameKind.BIAS, first)),
            darks=tuple(self.calibrations(FrameKind.DARK, first)),
            flats=tuple(f for f in self.calibrations(FrameKind.FLAT, first) if f.band == first.band),
        )

    def calibrations(self, kind: FrameKind, science: FrameInfo) -> Iterator[FrameInfo]:
        """Calibration frames with the science frame's camera, binning, readout and shape."""
        for info in self.frames:
            if info.kind is kind and _pixels_key(info) == _pixels_key(science):
                yield info

    def table(self, base: Mapping[str, tuple[str, str]] | None = None) -> Table:
        """One row for each raw file: what it is, and its status and reason.

        Parameters
        ----------
        base : mapping of str to (str, str), optional
            Status and reason after a run, by file.
        """
        after = base or {}
        rows = []
        for row in (*self.rows, *self.absent()):
            status, reason = after.get(row.file, (row.status, row.reason))
            values = _row_values(row.info) if row.info else _edited_values(self.edits.get(row.file, Edit()))
            rows.append((row.file, *values, status, one_line(reason)))
        table = Table(rows=rows, names=_COLUMNS + _MORE_COLUMNS, dtype=[str] * 6 + [float] + [str] * 7)
        table["exposure"].unit = u.s
        table.meta["instrument"] = self.instrument.name
        table.meta["edit"] = _HOW_TO_EDIT
        return table

    def absent(self) -> Iterator[FrameRow]:
        """A row for each file that the observer wrote about and that is not there this time."""
        there = {row.file for row in self.rows}
        for file, edit in self.edits.items():
            if file and file not in there:
                yield FrameRow(file, edit.status or USE, _ABSENT)


@dataclass(frozen=True)
class _Listing:
    """What lies in a night's folder.

    Attributes
    ----------
    files : tuple of Path
        Those that may be raw frames, in order.
    closed : tuple of OSError
        What befell folders that cannot be looked into.
    odd : tuple of (Path, str)
        Links that lead nowhere or out of the night, pipes and devices, each with what is wrong; they are passed over.
    """

    files: tuple[Path, ...]
    closed: tuple[OSError, ...] = ()
    odd: tuple[tuple[Path, str], ...] = ()

    @property
    def strangers(self) -> int:
        """How many links leave the night."""
        return sum(why == _ELSEWHERE for _, why in self.odd)


class Memory(Protocol):
    """Remembers what was made of the header of a file that has not changed since."""

    def key(self, path: Path, *more: object) -> str:
        """What the description of a file depends on: the file, this software, and more."""

    def rows(self, file: str, key: str) -> Kept:
        """What was kept under that key; None where nothing was."""

    def keep(self, file: str, key: str, rows: object) -> None:
        """Keep what was made of a header."""


def scan(
    root: Path,
    instrument: Instrument,
    *,
    edited: Table | None = None,
    written: Written | None = None,
    skip: Path | None = None,
    memory: Memory | None = None,
    waiting: Collection[Path] = (),
) -> Night:
    """Read the header of every raw file below a folder, once.

    Parameters
    ----------
    root : Path
    instrument : Instrument
    edited : Table, optional
        An earlier night.ecsv: where it says otherwise than the headers, it is obeyed.
    written : Written, optional
        What the run that wrote it put into it: only what differs from that is obeyed.
    skip : Path, optional
        A folder within the night to pass over, besides `red`: where the products go.
    memory : Memory, optional
        Spares reading headers again.
    waiting : collection of Path
        Files to pass over: they are still being written.

    Raises
    ------
    NightError
        The folder does not exist or holds no raw file.
    UsageError
        The products would go among the raw files.
    """
    if skip is not None:
        check_apart(root, skip)
    listing = list_files(root, skip)
    listing = replace(listing, files=tuple(path for path in listing.files if path not in waiting))
    read = read_edits(edited, instrument.name)
    edits = read if written is None else written.changes(read)
    rows = _rows_of_files(listing.files, root, instrument, edits, memory)
    tell_unknown(read, {row.file for row in rows})
    rows = _without_copies(_settle(rows, instrument), instrument, edits, memory)
    rows = _remark_unused(_refuse_odd_shapes(_sorted_into_nights(rows, instrument)))
    return Night(root, instrument, (*_passed_over(listing, root), *rows), edits)


def check_apart(root: Path, output: Path) -> None:
    """Raise a UsageError where products would lie among raw files."""
    if output.resolve() == root.resolve():
        raise UsageError(
            f"--out {output}: that is the night itself; choose a folder of its own for the products"
        )
    inside = output.is_dir() and output.resolve().is_relative_to(root.resolve())
    if inside and output.name != OWN_FOLDER and not is_ours(output) and _raw_names(output, None).files:
        raise UsageError(f"--out {output}: raw files of the night lie there; choose another folder")


def check_is_folder(root: Path) -> None:
    """Raise a NightError where there is no folder of that name."""
    if not root.is_dir():
        what = "that is a file, where a folder is wanted" if root.exists() else "there is no such folder"
        raise NightError(f"{root}: {what}")


def list_files(root: Path, skip: Path | None) -> _Listing:
    """The raw files below a folder.

    Raises
    ------
    NightError
        There is none, or no folder.
    """
    check_is_folder(root)
    if is_ours(root):
        raise NightError(f"{root}: products of an earlier run lie there; give the folder of the raw frames")
    listing = _raw_names(root, skip)
    if listing.strangers:
        log.warning("%s: %d links that leave the night are passed over", root, listing.strangers)
    if not listing.files:
        closed = "".join(f"; {one_line(str(error))}" for error in listing.closed[:3])
        links = f"; {listing.strangers} links that leave it are passed over" if listing.strangers else ""
        raise NightError(f"{root}: no .fit, .fits or .fts file in it or below{links}{closed}")
    return listing


def _raw_names(root: Path, skip: Path | None) -> _Listing:
    """Files that may be raw below a folder; products, hidden files and links elsewhere are passed over."""
    top, avoid = root.resolve(), None if skip is None else skip.resolve()
    files: list[Path] = []
    closed: list[OSError] = []
    odd: list[tuple[Path, str]] = []
    for folder, folders, names in os.walk(root, onerror=closed.append):
        here = Path(folder)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
        folders[:] = sorted(name for name in folders if _is_searched(here / name, avoid))
        for name in sorted([*filter(is_raw_name, names), *links]):
            why = _oddity(os.path.join(folder, name), top)  # noqa: PTH118  (quicker)
            if why:
                odd.append((here / name, why))
            elif name not in links:
                files.append(here / name)
    return _Listing(tuple(sorted(files)), tuple(closed), tuple(odd))


def _oddity(path: str, top: Path) -> str:
    """Why a name is passed over that may be one of a raw frame; "" for a file, or a folder of the night."""
    try:
        linked = stat.S_ISLNK(os.lstat(path).st_mode)
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError as error:
        return f"it cannot be looked at ({error.strerror}); the frame is left out"
    if linked and not Path(path).resolve().is_relative_to(top):
        return _ELSEWHERE
    plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return "" if plain else "it is no plain file, but a pipe, a device or a socket; it is left out"


def _is_searched(folder: Path, avoid: Path | None) -> bool:
    """Whether a folder within the night may hold raw files."""
    if folder.name.startswith(".") or folder.name == OWN_FOLDER or is_ours(folder):
        return False
    return avoid is None or folder.resolve() != avoid


def is_ours(folder: Path) -> bool:
    """Whether a folder holds the products of an earlier run."""
    beside = [folder / name for name in ("log", "cals", RUN_RECORD)]
    # os.path: a folder without permission is not ours, and no PermissionError
    return os.path.isfile(folder / NIGHT_TABLE) and any(map(os.path.exists, beside))  # noqa: PTH113


def _twins(files: Iterable[Path]) -> dict[Path, Path]:
    """Files that are the same frame as another: packed beside it, or a link to it."""
    first: dict[Path, Path] = {}
    found: dict[Path, Path] = {}
    for path in sorted(files, key=lambda p: (p.is_symlink(), unpacked_name(p.name) != p.name, p)):
        keys = {path.resolve(), path.with_name(unpacked_name(path.name))}
        same = next((first[key] for key in keys if key in first), None)
        if same is not None:
            found[path] = same
        first.update(dict.fromkeys(keys, same or path))
    return found


def _passed_over(listing: _Listing, root: Path) -> Iterator[FrameRow]:
    """A row for each folder that cannot be looked into, and for each link, pipe or device."""
    for error in listing.closed:
        name = printable(os.path.relpath(error.filename, root))
        yield FrameRow(f"{name}/", REFUSED, f"{name}/: the folder cannot be looked into ({error.strerror})")
    for path, why in listing.odd:
        name = printable(path.relative_to(root).as_posix())
        yield FrameRow(name, REFUSED, f"{name}: {why}")


def _rows_of_files(
    files: tuple[Path, ...],
    root: Path,
    instrument: Instrument,
    edits: Mapping[str, Edit],
    memory: Memory | None,
) -> list[FrameRow]:
    """The rows of all files, in order; of several that are one frame, the first that can be used stands for it."""
    same, stands, by_file = _twins(files), dict[Path, Path](), edits_by_file(edits)
    rows: dict[Path, list[FrameRow]] = {}
    for path in sorted(files, key=lambda path: path in same):  # what may stand for others first
        first = same.get(path)
        first = stands.get(first, first) if first is not None else None
        own = None if first is not None and all(row.status == REFUSED for row in rows[first]) else first
        asked = by_file.get(printable(path.relative_to(root).as_posix()), {})
        rows[path] = _remembered_rows(path, own, root, instrument, asked, memory)
        if own is None and path in same and any(row.status != REFUSED for row in rows[path]):
            stands[same[path]] = path
    for path in files:
        if any(row.passing for row in rows[path]):  # a moment later it may be readable
            asked = by_file.get(printable(path.relative_to(root).as_posix()), {})
            rows[path] = _remembered_rows(path, None, root, instrument, asked, memory)
    return [row for path in files for row in rows[path]]


def edits_by_file(edits: Mapping[str, Edit]) -> dict[str, dict[str, Edit]]:
    """The rows of each file's frames: those of its name, and of its name with a plane behind it."""
    found: dict[str, dict[str, Edit]] = defaultdict(dict)
    for name, edit in edits.items():
        for file in {name, name.rpartition("[")[0]}:
            found[file][name] = edit
    return found


def _remembered_rows(
    path: Path,
    same: Path | None,
    root: Path,
    instrument: Instrument,
    edits: Mapping[str, Edit],
    memory: Memory | None,
) -> list[FrameRow]:
    """The rows of one file, from the memory where it has them; `edits` are those of this file."""
    file = path.relative_to(root).as_posix()
    if memory is None or same is not None:
        return rows_of(path, same, root, instrument, edits)
    try:
        key = memory.key(path, {name: vars(edit) for name, edit in edits.items()})
    except OSError:  # it is gone, or may not be looked at: told where it is read
        return rows_of(path, same, root, instrument, edits)
    known = memory.rows(file, key)
    if not _are_rows(known):
        rows = rows_of(path, same, root, instrument, edits)
        if not any(row.passing for row in rows):
            memory.keep(file, key, [(row.file, row.status, row.reason, row.info) for row in rows])
        return rows
    return [_with_path(FrameRow(*cells), path) for cells in known]


def _are_rows(known: object) -> bool:
    """Whether what a memory gives are the cells of rows, as it was given them."""
    return isinstance(known, list) and all(
        isinstance(cells, tuple | list)
        and len(cells) == 4
        and all(isinstance(cell, str) for cell in cells[:3])
        and (cells[3] is None or isinstance(cells[3], FrameInfo))
        for cells in known
    )


def _with_path(row: FrameRow, path: Path) -> FrameRow:
    """The row of a file under the name by which it was found this time."""
    return row if row.info is None else replace(row, info=replace(row.info, path=path))


def rows_of(
    path: Path, same: Path | None, root: Path, instrument: Instrument, edits: Mapping[str, Edit]
) -> list[FrameRow]:
    """The rows of one file: one, or one for each plane of a cube."""
    inside = path.relative_to(root).as_posix()
    file = printable(inside)
    if same is not None:
        return [
            FrameRow(file, LEAVE_OUT, f"the same frame as {printable(same.relative_to(root).as_posix())}")
        ]
    try:
        header = read_header(path, inside=inside)
        if 0 in header.image_shape:
            raise HeaderError(
                f"{path.name}: an image without pixels, {header.image_shape}; the file is left out"
            )
    except FrameError as error:
        return [refused(file, error, edits)]
    planes = int(np.prod(header.image_shape[:-2]))
    names = [file] if len(header.image_shape) == 2 else [f"{file}[{plane}]" for plane in range(planes)]
    return list(_described(header, names, instrument, edits))


def _described(
    header: RawHeader, names: list[str], instrument: Instrument, edits: Mapping[str, Edit]
) -> Iterator[FrameRow]:
    """A row for each plane: what the header says, or the observer."""
    known: dict[tuple, tuple[FrameInfo, ...]] = {}
    for plane, name in enumerate(names):
        try:
            edit = edits.get(name, Edit()).checked(name)
            asked = _overrides(edit)
            key = tuple(sorted(asked.items()))
            if key not in known:
                known[key] = instrument.describe(header, **asked)
            yield _decided(name, known[key][plane], edit)
        except FrameError as error:
            yield refused(name, error, edits)


def _decided(file: str, info: FrameInfo, edit: Edit) -> FrameRow:
    """The row of a frame that is understood: to be used, or left out."""
    if info.kind is FrameKind.OTHER:
        return FrameRow(file, LEAVE_OUT, f"{_NOT_NEEDED} ({info.decided_by})", info)
    if edit.status == LEAVE_OUT and not edit.reason.startswith((_NOT_NEEDED, _COPY)):
        return FrameRow(file, LEAVE_OUT, _BY_HAND, info)
    return FrameRow(file, USE, "", info)


def refused(file: str, error: FrameError, edits: Mapping[str, Edit]) -> FrameRow:
    """The row of a frame that cannot be used, unless the observer wants it left out anyway."""
    by_hand = edits.get(file, Edit()).status.lower() == LEAVE_OUT
    status, why = LEAVE_OUT if by_hand else REFUSED, with_folder(file, one_line(str(error)))
    return FrameRow(file, status, why, passing=isinstance(error, UnavailableError))


def with_folder(file: str, reason: str) -> str:
    """A reason that begins with the bare name of a frame, with its path within the night instead."""
    name = PurePath(file).name
    for bare in (name, name.rpartition("[")[0]):
        if bare and reason.startswith(f"{bare}:"):
            return file + reason[len(bare) :]
    return reason


def _overrides(edit: Edit) -> dict[str, Any]:
    """The arguments of `Instrument.describe` that a row of night.ecsv asks for."""
    given: dict[str, Any] = {"camera": edit.camera, "band": edit.band, "target": edit.target}
    given = {name: value for name, value in given.items() if value}
    return given | ({"kind": FrameKind(edit.kind)} if edit.kind else {})


def _settle(rows: list[FrameRow], instrument: Instrument) -> list[FrameRow]:
    """Let the instrument look at all frames together."""
    infos = tuple(row.info for row in rows if row.info is not None)
    settled = iter(instrument.settle(infos))
    return [row if row.info is None else replace(row, info=next(settled)) for row in rows]


def _without_copies(
    rows: list[FrameRow], instrument: Instrument, edits: Mapping[str, Edit], memory: Memory | None
) -> list[FrameRow]:
    """The rows; of those that are one exposure the raw frame's is used, or the one that the observer set to use.

    A copy of a frame that the observer left out is left out with it.
    """
    shown = [row for row in rows if row.info is not None and (row.status == USE or row.reason == _BY_HAND)]
    infos = [row.info for row in shown if row.info is not None]
    wanted = [
        row.info.label for row in shown if row.info and edits.get(row.file, Edit()).status.lower() == USE
    ]

    def images_of(info: FrameInfo) -> Callable[[RawHeader], Iterable[int]]:
        return partial(image_hdus, instrument, camera=camera_named(instrument, info.camera))

    found = copies(infos, images_of, preferred=wanted, memory=memory)
    return [
        replace(row, status=LEAVE_OUT, reason=f"{_COPY} {printable(found[row.info.label])}")
        if row.info is not None and row.info.label in found and row.status == USE
        else row
        for row in rows
    ]


def _sorted_into_nights(rows: list[FrameRow], instrument: Instrument) -> list[FrameRow]:
    """The rows with the night of each frame that is used; science frames of which it cannot be known are rejected."""
    frames = [row.info for row in rows if row.status == USE and row.info is not None]
    known = dict(zip(map(id, frames), with_nights(frames, partial(site_of, instrument)), strict=True))
    rows = [row if id(row.info) not in known else replace(row, info=known[id(row.info)]) for row in rows]
    return [
        replace(row, status=REFUSED, reason=f"{row.info.label}: {_NO_NIGHT}")
        if row.status == USE and row.info and row.info.kind is FrameKind.SCIENCE and not row.info.night
        else row
        for row in rows
    ]


def _refuse_odd_shapes(rows: list[FrameRow]) -> list[FrameRow]:
    """Refuse science frames whose shape is not that of most frames of their set."""
    shapes: dict[tuple, Counter] = defaultdict(Counter)
    for info in _used(rows, FrameKind.SCIENCE):
        shapes[info.night, *_set_key(info)][info.shape] += 1
    return [_with_usual_shape(row, shapes) for row in rows]


def _with_usual_shape(row: FrameRow, shapes: Mapping[tuple, Counter]) -> FrameRow:
    """The row, refused where its shape is not the most frequent of its set."""
    info = row.info
    if row.status != USE or info is None or info.kind is not FrameKind.SCIENCE:
        return row
    (usual, count), *_ = shapes[info.night, *_set_key(info)].most_common(1)
    if info.shape == usual:
        return row
    reason = (
        f"{info.label}: {info.shape[1]} x {info.shape[0]} pixels, where {count} others of"
        f" {info.target or 'its set'} in {info.band or info.camera} have {usual[1]} x {usual[0]};"
        " the frame is left out"
    )
    return replace(row, status=REFUSED, reason=reason)


def _remark_unused(rows: list[FrameRow]) -> list[FrameRow]:
    """The rows, calibration frames that fit no science frame with that as their reason."""
    science = _used(rows, FrameKind.SCIENCE)
    pixels = {_pixels_key(info) for info in science}
    bands = {(_pixels_key(info), info.band) for info in science}
    return [_with_remark(row, pixels, bands) for row in rows] if science else rows


def _with_remark(row: FrameRow, pixels: set[tuple], bands: set[tuple]) -> FrameRow:
    """The row, with a reason where no science frame has the frame's pixels, or a flat's band."""
    info = row.info
    if row.status != USE or info is None or info.kind is FrameKind.SCIENCE:
        return row
    if _pixels_key(info) not in pixels:
        return replace(row, reason=f"fits no science frame: none of {info.camera} has its size and readout")
    if info.kind is FrameKind.FLAT and (_pixels_key(info), info.band) not in bands:
        return replace(
            row, reason=f"fits no science frame: none of {info.camera} is in {info.band or 'its band'}"
        )
    return row


def _used(rows: Iterable[FrameRow], kind: FrameKind) -> list[FrameInfo]:
    """The frames of that kind that are to be used."""
    return [row.info for row in rows if row.status == USE and row.info is not None and row.info.kind is kind]


def _set_key(info: FrameInfo) -> tuple:
    """What the frames of one set share."""
    return info.target.casefold(), info.camera, info.band, info.binning, info.readout


def _pixels_key(info: FrameInfo) -> tuple:
    """What a calibration frame and a science frame share that come from the same pixels."""
    return info.camera, info.binning, info.readout, info.shape


def _set_folders(firsts: Mapping[tuple, FrameInfo]) -> dict[tuple, str]:
    """A folder for each set: target/band, with more where two sets would share one.

    Parameters
    ----------
    firsts : mapping of tuple to FrameInfo
        A frame of each set, by `_set_key`.
    """
    keys = sorted(firsts, key=str)
    targets = _different({key[0]: slug(firsts[key].target or "unnamed") for key in keys})
    plain = {key: f"{targets[key[0]]}/{slug(firsts[key].band or 'clear')}" for key in keys}
    shared = Counter(name.casefold() for name in plain.values())
    return _different(
        {
            key: name if shared[name.casefold()] == 1 else name + _suffix(firsts[key])
            for key, name in plain.items()
        }
    )


def dated(path: str, night: str) -> str:
    """A path within the output folder, below the folder of a night where one is given: YYYYMMDD/path."""
    return f"{night.replace('-', '')}/{path}" if night else path


def _suffix(info: FrameInfo) -> str:
    """Camera, binning and readout, for the name of a folder."""
    parts = [
        slug(info.camera),
        f"{info.binning[0]}x{info.binning[1]}",
        *([slug(info.readout)] if info.readout else []),
    ]
    return "".join(f"_{part}" for part in parts)


_Key = TypeVar("_Key")


def _different(names: Mapping[_Key, str]) -> dict[_Key, str]:
    """The names, numbered where two are the same in any letter case."""
    found: dict[_Key, str] = {}
    taken: set[str] = set()
    for key, name in names.items():
        numbered = chain([name], (f"{name}_{number}" for number in count(2)))
        found[key] = next(other for other in numbered if other.casefold() not in taken)
        taken.add(found[key].casefold())
    return found


def slug(text: str) -> str:
    """A name that is safe as a folder: letters, digits, ``+ - _ .``; short, not hidden, none of ours."""
    clean = re.sub(r"[^\w+.-]+", "_", unicodedata.normalize("NFC", text)).strip("._").lstrip("-._")
    clean = clean.encode()[:_LONGEST_NAME].decode(errors="ignore").rstrip("._") or "unnamed"
    return f"{clean}_" if clean.casefold() in _OWN_NAMES else clean


def _edited_values(edit: Edit) -> tuple:
    """The cells of a row whose header is not known: what the observer wrote into them."""
    written = (edit.kind, edit.camera, edit.band, edit.target)
    return (*map(one_line, written), "", np.nan, "", "", "", "", "")


def _row_values(info: FrameInfo) -> tuple:
    """The cells of one row that come from the header."""
    return (
        str(info.kind),
        info.camera,
        one_line(info.band),
        one_line(info.target),
        f"{info.binning[0]}x{info.binning[1]}",
        info.exposure.to_value(u.s),
        info.mid_time.isot if info.mid_time is not None else "",
        info.clock,
        info.night,
        one_line(info.decided_by),
        one_line("; ".join(info.notes)),
    )
