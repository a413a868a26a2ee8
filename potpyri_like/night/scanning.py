"""Scans a folder: every raw file by its headers and by what the observer wrote into night.ecsv."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import astropy.units as u
import numpy as np
from astropy.table import Table

from potpyri_like.encoding import Kept
from potpyri_like.errors import FrameError, HeaderError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments import Instrument, camera_named, image_hdus, site_of
from potpyri_like.instruments.clock import FAULTS
from potpyri_like.instruments.colours import planes_in
from potpyri_like.instruments.file_notes import ALTERED
from potpyri_like.instruments.layout import with_image
from potpyri_like.night.amplifiers import part_in_words, with_lost_amplifiers
from potpyri_like.night.colours import with_colours
from potpyri_like.night.copies import copies
from potpyri_like.night.edits import LEAVE_OUT, REJECTED, USE, Edit, Written, read_edits, tell_unknown
from potpyri_like.night.evenings import with_nights
from potpyri_like.night.files import Listing, check_apart, list_files
from potpyri_like.night.fitting import fits_settings, fits_temperature
from potpyri_like.night.night import (
    COPY,
    NO_PLACE,
    FrameRow,
    Night,
    is_flat_of,
    pixels_key,
    rejected,
    serving,
    set_key,
)
from potpyri_like.store import printable, read_header, unpacked_name
from potpyri_like.store.header import RawHeader

__all__ = ["Memory", "edits_by_file", "rows_of", "scan"]

_NO_NIGHT = (
    "its night cannot be determined: the clock was not set, and the folder holds frames of several nights;"
    " the frame is rejected (put the frames of each night into a folder of their own)"
)
_FEW_ALTERED, _ALTERED_PART = 2, 0.05  # files; of a night's files
_ALTERED = (
    "its header does not match its CHECKSUM: the header was changed after the checksum was written; the frame is"
    " rejected"
    " (if the change was meant, set its status to 'use' in night.ecsv)"
)
_COLOURS = (
    "one colour plane of a single exposure (three consecutive exposures would have run past the start of the next"
    " file); its camera's declaration says to reject such frames"
)
_BY_HAND = "excluded by hand in night.ecsv"
_NOT_NEEDED = "neither science nor calibration"


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
    rows = _with_lost_amplifiers(_in_colours(_settle(rows, instrument), instrument))
    rows = _reject_altered(rows, edits)
    rows = _without_copies(rows, instrument, edits, memory)
    tolerance = float(instrument.calibration.temperature_tolerance.to_value(u.K))
    rows = _remark_unused(_refuse_odd_shapes(_sorted_into_nights(rows, instrument)), tolerance)
    passed_over = _passed_over(listing, root)
    return Night(root, instrument, (*passed_over, *rows), edits, unopened=listing.unopened)


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


def _passed_over(listing: Listing, root: Path) -> Iterator[FrameRow]:
    """A row for each folder that cannot be looked into, and for each link, pipe or device."""
    for error in listing.closed:
        name = printable(os.path.relpath(error.filename, root))
        yield FrameRow(f"{name}/", REJECTED, f"{name}/: the folder cannot be opened ({error.strerror})")
    for path, why in listing.odd:
        name = printable(path.relative_to(root).as_posix())
        yield FrameRow(name, REJECTED, f"{name}: {why}")


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
        own = None if first is not None and all(row.status == REJECTED for row in rows[first]) else first
        asked = by_file.get(printable(path.relative_to(root).as_posix()), {})
        rows[path] = _remembered_rows(path, own, root, instrument, asked, memory)
        if own is None and path in same and any(row.status != REJECTED for row in rows[path]):
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
        planes = _planes_in(instrument, header)
    except FrameError as error:
        return [rejected(file, error, edits)]
    names = [f"{file}[{plane}]" for plane in range(planes)] if planes else [file]
    return list(_described(header, names, instrument, edits))


def _planes_in(instrument: Instrument, header: RawHeader) -> int:
    """How many frames a file holds as its planes, 0 for none; what its shape tells where its camera is not known yet.

    Raises
    ------
    HeaderError
        There is no image, or none of which this can be told.
    """
    *planes, _, _ = header.image_shape
    try:
        camera, binning = instrument.camera_of(header), instrument.binning_of(header)
    except (HeaderError, *FAULTS):  # it is told where the frame is described
        return int(np.prod(planes)) if planes else 0
    return planes_in(with_image(header, camera), camera, binning)


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
            yield rejected(name, error, edits)


def _decided(file: str, info: FrameInfo, edit: Edit) -> FrameRow:
    """The row of a frame that is understood: to be used, or left out."""
    if info.kind is FrameKind.OTHER:
        return FrameRow(file, LEAVE_OUT, f"{_NOT_NEEDED} ({info.decided_by})", info)
    if edit.status == LEAVE_OUT and not edit.reason.startswith((_NOT_NEEDED, COPY)):
        return FrameRow(file, LEAVE_OUT, _BY_HAND, info)
    return FrameRow(file, USE, "", info)


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


def _in_colours(rows: list[FrameRow], instrument: Instrument) -> list[FrameRow]:
    """The rows with the planes that are colours as bands, or rejected where their camera declares that."""
    in_time, no_colours = (
        {camera.name for camera in instrument.cameras if camera.colour == word}
        for word in ("times", "reject")
    )
    settled = iter(with_colours([row.info for row in rows if row.info is not None], in_time))
    rows = [row if row.info is None else replace(row, info=next(settled)) for row in rows]
    return [
        replace(row, status=REJECTED, reason=f"{row.info.label}: {_COLOURS}")
        if row.info is not None
        and row.status == USE
        and row.info.colour
        and not row.info.mosaic
        and row.info.camera in no_colours
        else row
        for row in rows
    ]


def _with_lost_amplifiers(rows: list[FrameRow]) -> list[FrameRow]:
    """The rows; frames that lack an amplifier are as those of their observation that have it."""
    used = [row.status == USE and row.info is not None for row in rows]
    infos = [row.info for row, used_ in zip(rows, used, strict=True) if used_ and row.info is not None]
    known = iter(with_lost_amplifiers(infos))
    return [replace(row, info=next(known)) if used_ else row for row, used_ in zip(rows, used, strict=True)]


def _reject_altered(rows: list[FrameRow], edits: Mapping[str, Edit]) -> list[FrameRow]:
    """The rows; a frame with another header than its CHECKSUM was written for is rejected, where few are so.

    Where many are, a program changed the headers on purpose and left the sums as they were: what damages files hits
    their pixels, which are a hundred times as many bytes.
    """
    known = {row.info.path: ALTERED in row.info.notes for row in rows if row.info is not None}
    altered = sum(known.values())
    if altered > max(_FEW_ALTERED, _ALTERED_PART * len(known)) or 2 * altered > len(known):
        return rows
    return [
        replace(row, status=REJECTED, reason=f"{row.info.label}: {_ALTERED}")
        if row.info is not None
        and row.status == USE
        and ALTERED in row.info.notes
        and edits.get(row.file, Edit()).status.lower() != USE
        else row
        for row in rows
    ]


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
        replace(row, status=LEAVE_OUT, reason=f"{COPY} {printable(found[row.info.label])}")
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
        replace(row, status=REJECTED, reason=f"{row.info.label}: {_NO_NIGHT}")
        if row.status == USE and row.info and row.info.kind is FrameKind.SCIENCE and not row.info.night
        else row
        for row in rows
    ]


def _refuse_odd_shapes(rows: list[FrameRow]) -> list[FrameRow]:
    """Reject science frames whose shape is not that of most frames of their set."""
    frames: dict[tuple, Counter] = defaultdict(Counter)
    files: dict[tuple, dict[tuple[int, int], set[Path]]] = defaultdict(lambda: defaultdict(set))
    for info in _used(rows, FrameKind.SCIENCE):
        frames[info.night, *set_key(info)][info.shape] += 1
        files[info.night, *set_key(info)][info.shape].add(info.path)
    usual = {
        key: max(frames[key], key=lambda shape: (len(own[shape]), frames[key][shape]))
        for key, own in files.items()
    }
    return [_with_usual_shape(row, usual, frames) for row in rows]


def _with_usual_shape(
    row: FrameRow, shapes: Mapping[tuple, tuple[int, int]], frames: Mapping[tuple, Counter]
) -> FrameRow:
    """The row, rejected where its shape is not that of most files of its set: one cube does not outvote a night."""
    info = row.info
    if row.status != USE or info is None or info.kind is not FrameKind.SCIENCE:
        return row
    usual = shapes[info.night, *set_key(info)]
    count = frames[info.night, *set_key(info)][usual]
    if info.shape == usual:
        return row
    reason = (
        f"{info.label}: {info.shape[1]} x {info.shape[0]} pixels, whereas {count} others of"
        f" {info.target or 'its observation'} in {info.band or info.camera} have {usual[1]} x {usual[0]};"
        " the frame is rejected"
    )
    return replace(row, status=REJECTED, reason=reason)


def _remark_unused(rows: list[FrameRow], tolerance: float) -> list[FrameRow]:
    """The rows, calibration frames that fit no science frame with that as their reason."""
    science = _used(rows, FrameKind.SCIENCE)
    each = list(
        {
            (
                pixels_key(info),
                info.window,
                info.tiles,
                info.band,
                info.gain_setting,
                info.offset,
                info.temperature,
            ): info
            for info in science
        }.values()
    )
    return [_with_remark(row, each, tolerance) for row in rows] if science else rows


def _with_remark(row: FrameRow, science: Sequence[FrameInfo], tolerance: float) -> FrameRow:
    """The row, with a reason where no science frame has the frame's pixels, its settings, or a flat's band."""
    info = row.info
    if row.status != USE or info is None or info.kind is FrameKind.SCIENCE:
        return row
    served = [other for other in science if serving(info, other)]
    if not served:
        return replace(row, reason=f"fits no science frame: {_unlike(info, science)}")
    if info.kind is FrameKind.FLAT and not any(is_flat_of(info, other) for other in served):
        return replace(
            row, reason=f"fits no science frame: none of {info.camera} is in {info.band or 'its band'}"
        )
    if not any(fits_settings(info, light) for light in served):
        return replace(row, reason=f"fits no science frame: none of {info.camera} has its gain and offset")
    if not any(fits_temperature(info, light.temperature, tolerance) for light in served):
        return replace(
            row, reason=f"fits no science frame: none was taken at {info.temperature:+.0f} degrees Celsius"
        )
    return row


def _unlike(info: FrameInfo, science: Sequence[FrameInfo]) -> str:
    """What a calibration frame does not share with any science frame."""
    if info.tiles and info.window is not None:
        others = [s for s in science if s.tiles and pixels_key(s)[:-1] == pixels_key(info)[:-1]]
        if others and others[0].window is not None:
            return (
                f"it holds {part_in_words(info.window)} of {info.camera}, the science frames"
                f" {part_in_words(others[0].window)}"
                + ", and an amplifier is missing in it"
                * _is_around(info, others[0])
            )
    windows = [s for s in science if pixels_key(s)[:-1] == pixels_key(info)[:-1] and s.window is None]
    smaller = [s for s in windows if s.shape[0] <= info.shape[0] and s.shape[1] <= info.shape[1]]
    if not smaller:
        return f"none of {info.camera} has its size and readout"
    rows, columns = smaller[0].shape
    return f"those of {info.camera} have {columns} x {rows} pixels, and {NO_PLACE} (declare the camera's `window`)"


def _is_around(info: FrameInfo, other: FrameInfo) -> bool:
    """Whether the part of the detector that a frame holds, amplifiers and what is between them, holds another's."""
    if info.window is None or other.window is None:
        return False
    (left, low, wide, high), (x, y, columns, rows) = info.window, other.window
    return left <= x and low <= y and x + columns <= left + wide and y + rows <= low + high


def _used(rows: Iterable[FrameRow], kind: FrameKind) -> list[FrameInfo]:
    """The frames of that kind that are to be used."""
    return [row.info for row in rows if row.status == USE and row.info is not None and row.info.kind is kind]
