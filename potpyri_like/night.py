"""One night: the frames in a folder, and which calibrations each set of science frames needs."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table

from potpyri_like.errors import FrameError, NightError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments import Instrument
from potpyri_like.store import is_raw_name, read_header

__all__ = ["LEAVE_OUT", "FrameRow", "Night", "ObservationSet", "scan", "slug"]

log = logging.getLogger(__name__)

USE, LEAVE_OUT, REFUSED = "use", "leave out", "refused"
OWN_FOLDER = "red"


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
    """

    file: str
    status: str
    reason: str = ""
    info: FrameInfo | None = None


@dataclass(frozen=True)
class ObservationSet:
    """Science frames of one target, camera, band and binning, in order of time, and their calibrations."""

    target: str
    camera: str
    band: str
    binning: tuple[int, int]
    folder: str
    frames: tuple[FrameInfo, ...]
    biases: tuple[FrameInfo, ...] = ()
    darks: tuple[FrameInfo, ...] = ()
    flats: tuple[FrameInfo, ...] = ()

    @property
    def exposure(self) -> u.Quantity:
        """The median exposure of the science frames."""
        return np.median([frame.exposure.to_value(u.s) for frame in self.frames]) * u.s

    @property
    def name(self) -> str:
        return f"{self.target}, {self.camera}" + (f" {self.band}" if self.band else "")


@dataclass(frozen=True)
class Night:
    """The frames found in a folder, and those refused, each with its reason."""

    root: Path
    instrument: Instrument
    rows: tuple[FrameRow, ...]

    @property
    def frames(self) -> tuple[FrameInfo, ...]:
        """The frames to be used."""
        return tuple(row.info for row in self.rows if row.status == USE and row.info is not None)

    @property
    def refused(self) -> tuple[FrameRow, ...]:
        return tuple(row for row in self.rows if row.status == REFUSED)

    def sets(self) -> tuple[ObservationSet, ...]:
        """The science frames by target, camera, band, binning and readout, with what calibrates each."""
        groups: dict[tuple, list[FrameInfo]] = defaultdict(list)
        for info in self.frames:
            if info.kind is FrameKind.SCIENCE:
                groups[set_key(info)].append(info)
        folders = set_folders({key: group[0] for key, group in groups.items()})
        return tuple(self.make_set(groups[key], folders[key]) for key in sorted(groups, key=str))

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
            if info.kind is kind and same_pixels(info, science):
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
        for row in self.rows:
            status, reason = after.get(row.file, (row.status, row.reason))
            rows.append((row.file, *row_values(row.info), status, reason))
        names = ("file", "kind", "camera", "band", "target", "binning", "exposure", "mid_time", "clock", "decided_by")
        table = Table(
            rows=rows,
            names=(*names, "notes", "status", "reason"),
            dtype=[str] * 6 + [float] + [str] * 6,
        )
        table["exposure"].unit = u.s
        table.meta["instrument"] = self.instrument.name
        table.meta["edit"] = (
            "kind, camera, band and target may be changed, and status set to 'leave out'; the next run obeys. "
            "mid_time is UTC."
        )
        return table


def scan(root: Path, instrument: Instrument, *, edited: Table | None = None, skip: Path | None = None) -> Night:
    """Read the header of every raw file below a folder, once.

    Parameters
    ----------
    root : Path
    instrument : Instrument
    edited : Table, optional
        An earlier night.ecsv: where it says otherwise than the headers, it is obeyed.
    skip : Path, optional
        A folder within the night to pass over, besides `red`: where the products go.

    Raises
    ------
    NightError
        The folder does not exist or holds no raw file.
    """
    if not root.is_dir():
        raise NightError(f"{root}: there is no such folder")
    files = sorted(raw_files(root, skip))
    if not files:
        raise NightError(f"{root}: no .fit, .fits or .fts file in it or below")
    wishes = edits(edited)
    rows = [row for path in files for row in describe(path, root, instrument, wishes)]
    rows = settle(rows, instrument)
    return Night(root, instrument, tuple(refuse_odd_shapes(rows)))


def raw_files(root: Path, skip: Path | None) -> Iterator[Path]:
    """Raw files below a folder; hidden ones, products and links that leave the night are passed over."""
    top = root.resolve()
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = [f for f in folders if not f.startswith(".") and f != OWN_FOLDER and here / f != skip]
        for name in names:
            path = here / name
            if is_raw_name(name) and path.is_file() and path.resolve().is_relative_to(top):
                yield path


def edits(table: Table | None) -> dict[str, dict[str, str]]:
    """What an observer wrote into night.ecsv, by file."""
    if table is None:
        return {}
    columns = [c for c in ("kind", "camera", "band", "target", "status") if c in table.colnames]
    return {str(row["file"]): {c: str(row[c] or "") for c in columns} for row in table.filled("")}


def describe(
    path: Path, root: Path, instrument: Instrument, wishes: Mapping[str, Mapping[str, str]]
) -> list[FrameRow]:
    """The rows of one file: one, or one for each plane of a cube."""
    inside = path.relative_to(root).as_posix()
    wish = wishes.get(inside) or wishes.get(f"{inside}[0]") or {}
    try:
        infos = instrument.describe(read_header(path, inside=inside), **overrides(wish))
    except FrameError as error:
        status = LEAVE_OUT if wish.get("status") == LEAVE_OUT else REFUSED
        return [FrameRow(inside, status, str(error))]
    rows = []
    for info in infos:
        file = inside if info.plane is None else f"{inside}[{info.plane}]"
        if wishes.get(file, {}).get("status") == LEAVE_OUT:
            rows.append(FrameRow(file, LEAVE_OUT, "left out by hand in night.ecsv", info))
        elif info.kind is FrameKind.OTHER:
            rows.append(FrameRow(file, LEAVE_OUT, info.decided_by, info))
        else:
            rows.append(FrameRow(file, USE, "", info))
    return rows


def overrides(wish: Mapping[str, str]) -> dict[str, object]:
    """The arguments of `Instrument.describe` that a row of night.ecsv asks for."""
    given: dict[str, object] = {name: wish[name] for name in ("camera", "band", "target") if wish.get(name)}
    if wish.get("kind") in set(FrameKind):
        given["kind"] = FrameKind(wish["kind"])
    return given


def settle(rows: list[FrameRow], instrument: Instrument) -> list[FrameRow]:
    """Let the instrument look at all frames together."""
    known = [row for row in rows if row.info is not None]
    settled = dict(zip((id(row) for row in known), instrument.settle(tuple(r.info for r in known if r.info)), strict=True))
    return [replace(row, info=settled.get(id(row), row.info)) for row in rows]


def refuse_odd_shapes(rows: list[FrameRow]) -> Iterator[FrameRow]:
    """Refuse science frames whose shape is not that of most frames of their set."""
    shapes: dict[tuple, Counter] = defaultdict(Counter)
    for row in rows:
        if row.status == USE and row.info is not None and row.info.kind is FrameKind.SCIENCE:
            shapes[set_key(row.info)][row.info.shape] += 1
    for row in rows:
        info = row.info
        if row.status == USE and info is not None and info.kind is FrameKind.SCIENCE:
            usual, count = shapes[set_key(info)].most_common(1)[0]
            if info.shape != usual:
                yield replace(
                    row,
                    status=REFUSED,
                    reason=f"{info.label}: {info.shape[1]} x {info.shape[0]} pixels, where the {count} others of "
                    f"{info.target or 'its set'} in {info.band or info.camera} have {usual[1]} x {usual[0]};"
                    " the frame is left out",
                )
                continue
        yield row


def set_key(info: FrameInfo) -> tuple:
    """What the frames of one set share."""
    return info.target.casefold(), info.camera, info.band, info.binning, info.readout


def same_pixels(one: FrameInfo, other: FrameInfo) -> bool:
    """Whether a calibration frame and a science frame come from the same pixels."""
    return (one.camera, one.binning, one.readout, one.shape) == (other.camera, other.binning, other.readout, other.shape)


def set_folders(firsts: Mapping[tuple, FrameInfo]) -> dict[tuple, str]:
    """A folder for each set: target/band, with camera and binning where two sets would share one."""
    plain = {key: f"{slug(info.target or 'unnamed')}/{slug(info.band or 'clear')}" for key, info in firsts.items()}
    shared = Counter(name.casefold() for name in plain.values())
    return {
        key: name
        if shared[name.casefold()] == 1
        else f"{name}_{slug(firsts[key].camera)}_{firsts[key].binning[0]}x{firsts[key].binning[1]}"
        + (f"_{slug(firsts[key].readout)}" if firsts[key].readout else "")
        for key, name in plain.items()
    }


def slug(text: str) -> str:
    """A name that is safe as a folder: letters, digits, ``+ - _ .``; never hidden, never one of ours."""
    clean = re.sub(r"[^\w+.-]+", "_", text.strip()).strip("._") or "unnamed"
    return f"{clean}_" if clean.lower() in ("cals", "log", "red") else clean[:80]


def row_values(info: FrameInfo | None) -> tuple:
    """The cells of one row that come from the header."""
    if info is None:
        return ("", "", "", "", "", np.nan, "", "", "", "")
    time = info.mid_time.isot if info.mid_time is not None else ""
    binning = f"{info.binning[0]}x{info.binning[1]}"
    exposure = info.exposure.to_value(u.s)
    notes = "; ".join(info.notes)
    return (str(info.kind), info.camera, info.band, info.target, binning, exposure, time, info.clock, info.decided_by, notes)


def named(rows: Iterable[FrameRow]) -> str:
    """The files of some rows, for a message."""
    return ", ".join(row.file for row in rows)
