"""What a night is: its frames, those rejected with the reasons, and the observations with their calibrations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table

from potpyri_like.errors import FrameError, UnavailableError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments import Instrument
from potpyri_like.night.amplifiers import holds
from potpyri_like.night.edits import LEAVE_OUT, REJECTED, USE, Edit, status_of
from potpyri_like.night.fitting import (
    fits_settings,
    fits_temperature,
    temperature_of,
    unfit_in_words,
)
from potpyri_like.night.incidental import last, with_asides
from potpyri_like.night.names import bare_reason, dated, set_folders, set_marks, with_folder
from potpyri_like.night.pointings import with_fields
from potpyri_like.night.spellings import other_spellings, with_one_spelling
from potpyri_like.store import Unopened, one_line

__all__ = [
    "COPY",
    "NO_PLACE",
    "FrameRow",
    "Night",
    "ObservationSet",
    "is_flat_of",
    "pixels_key",
    "rejected",
    "serving",
    "set_key",
]

COPY = "the same exposure as"
NO_PLACE = "no card gives the position of that window on the detector"
_CALIBRATIONS = (FrameKind.BIAS, FrameKind.DARK, FrameKind.FLAT)
_ABSENT = "the file is missing at present; your edits to it will apply once it is back"
_COLUMNS = ("file", "kind", "camera", "band", "target", "binning", "exposure", "mid_time", "clock", "night")
_MORE_COLUMNS = ("decided_by", "notes", "status", "reason")
_HOW_TO_EDIT = (
    "kind, camera, band and target may be changed, and status set to 'leave out' (or back to 'use');"
    " the next run applies the changes. mid_time is UTC."
)


@dataclass(frozen=True)
class FrameRow:
    """One raw file, or one plane of a cube, and what becomes of it.

    Attributes
    ----------
    file : str
        Path within the night.
    status : str
        "use", "leave out" or "rejected"; after a run "measured" or "flagged", too.
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
    mark : str
        What tells it from the other observations of this target, camera and band; "" where it is the only one.
    unfit : mapping of str to str
        Of each kind of calibration frame, what those have that were taken with the same pixels and do not fit.
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
    mark: str = ""
    unfit: Mapping[str, str] = field(default_factory=dict)

    @property
    def exposure(self) -> u.Quantity:
        """The median exposure of the science frames."""
        return np.median([frame.exposure.to_value(u.s) for frame in self.frames]) * u.s

    @property
    def name(self) -> str:
        words = f"{self.target}, {self.camera}" + (f" {self.band}" if self.band else "")
        words += f" ({self.mark})" if self.mark else ""
        return f"{words}, {self.night}" if self.night else words


@dataclass(frozen=True)
class Night:
    """The frames found in a folder, and those rejected, each with its reason.

    Attributes
    ----------
    root : Path
    instrument : Instrument
    rows : tuple of FrameRow
    edits : mapping of str to Edit
        What the observer wants otherwise than the headers say, by file.
    edited_digest : str
        The SHA-256 of the night.ecsv that says so.
    unopened : tuple of Unopened
        Files that look like frames and are not opened, by their form.
    """

    root: Path
    instrument: Instrument
    rows: tuple[FrameRow, ...]
    edits: Mapping[str, Edit] = field(default_factory=dict)
    edited_digest: str = ""
    unopened: tuple[Unopened, ...] = ()

    @property
    def frames(self) -> tuple[FrameInfo, ...]:
        """The frames to be used."""
        return tuple(row.info for row in self.rows if row.status == USE and row.info is not None)

    @property
    def rejected(self) -> tuple[FrameRow, ...]:
        return tuple(row for row in self.rows if row.status == REJECTED)

    @property
    def is_understood(self) -> bool:
        """Whether the instrument understands any frame that it needs, or most of those that it does not."""
        kinds = [row.info.kind for row in self.rows if row.info is not None]
        spare = kinds.count(FrameKind.OTHER)
        return spare < len(kinds) or spare > len(self.rows) - len(kinds)

    @cached_property
    def nights(self) -> tuple[str, ...]:
        """The dates of the evenings on which science frames were taken."""
        return tuple(sorted({info.night for info in self._science}))

    @property
    def copies(self) -> tuple[FrameRow, ...]:
        """The frames that are left out since they are copies of others."""
        return tuple(r for r in self.rows if r.status == LEAVE_OUT and r.reason.startswith(COPY))

    @property
    def without_place(self) -> tuple[FrameRow, ...]:
        """The calibration frames that would serve a window, if its place on the detector were known."""
        return tuple(row for row in self.rows if NO_PLACE in row.reason)

    @property
    def _science(self) -> list[FrameInfo]:
        return [info for info in self.frames if info.kind is FrameKind.SCIENCE]

    @property
    def spellings(self) -> dict[str, str]:
        """Names of targets that are other spellings of another one, and that one."""
        return other_spellings(self._science)

    def sets(self, *, joined: bool = False) -> tuple[ObservationSet, ...]:
        """The science frames by night, target, pointing, camera, band, binning and readout, with what calibrates each.

        Focus, test and pointing frames come last.

        Parameters
        ----------
        joined : bool
            The frames of all nights make one set, and those of all pointings that overlap.
        """
        groups: dict[str, dict[tuple, list[FrameInfo]]] = defaultdict(lambda: defaultdict(list))
        science = with_one_spelling(self._science)
        by_hand = {
            row.info.label for row in self.rows if row.info and self.edits.get(row.file, Edit()).target
        }
        science = with_asides(_with_settings(science), by_hand)
        for info in with_fields(science, self.instrument, joined=joined):
            groups["" if joined else info.night][set_key(info)].append(info)
        is_dated = len(self.nights) > 1
        sets = []
        for night, group in sorted(groups.items()):
            firsts = {key: frames[0] for key, frames in group.items()}
            folders, marks = set_folders(firsts), set_marks(firsts)
            name = night if is_dated else ""
            sets += [
                replace(
                    self.make_set(group[key], dated(folders[key], name)),
                    night=name,
                    is_dated=is_dated,
                    mark=marks[key],
                )
                for key in sorted(group, key=str)
            ]
        return last(sets)

    def make_set(self, frames: list[FrameInfo], folder: str) -> ObservationSet:
        first, warm = frames[0], temperature_of(frames)
        fitting = {kind: list(self.calibrations(kind, first, warm)) for kind in _CALIBRATIONS}
        return ObservationSet(
            target=first.target or "unnamed",
            camera=first.camera,
            band=first.band,
            binning=first.binning,
            folder=folder,
            frames=tuple(sorted(frames, key=lambda f: (f.mid_time.mjd if f.mid_time else 0.0, f.label))),
            biases=tuple(fitting[FrameKind.BIAS]),
            darks=tuple(fitting[FrameKind.DARK]),
            flats=tuple(fitting[FrameKind.FLAT]),
            unfit={
                kind.value: words
                for kind, some in fitting.items()
                if (words := unfit_in_words(kind, self.unfit(kind, first, some), frames))
            },
        )

    def calibrations(
        self, kind: FrameKind, science: FrameInfo, temperature: float | None = None
    ) -> Iterator[FrameInfo]:
        """Calibration frames with the science frame's camera, binning, readout, pixels and settings; flats: its band.

        Those of a larger part of the detector serve a window, cut to it, where none of the same band and exposure are
        of the window itself.
        """
        tolerance = self.instrument.calibration.temperature_tolerance.to_value(u.K)
        found = [
            served
            for info in self.frames
            if info.kind is kind
            and fits_settings(info, science)
            and fits_temperature(info, temperature, tolerance)
            and (kind is not FrameKind.FLAT or is_flat_of(info, science))
            and (served := serving(info, science))
        ]
        whole = {_sort_of(info) for info in found if info.cut is None}
        yield from (info for info in found if info.cut is None or _sort_of(info) not in whole)

    def unfit(self, kind: FrameKind, science: FrameInfo, fitting: Sequence[FrameInfo]) -> list[FrameInfo]:
        """Those of the same pixels that do not fit."""
        used = {info.label for info in fitting}
        return [
            info
            for info in self.frames
            if info.kind is kind and pixels_key(info) == pixels_key(science) and info.label not in used
        ]

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
            rows.append((row.file, *values, status, one_line(bare_reason(row.file, reason))))
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


def rejected(file: str, error: FrameError, edits: Mapping[str, Edit]) -> FrameRow:
    """The row of a frame that cannot be used, unless the observer wants it left out anyway."""
    by_hand = status_of(edits.get(file, Edit()).status) == LEAVE_OUT
    status, why = LEAVE_OUT if by_hand else REJECTED, with_folder(file, one_line(str(error)))
    return FrameRow(file, status, why, passing=isinstance(error, UnavailableError))


def set_key(info: FrameInfo) -> tuple:
    """What the frames of one set share."""
    return *_key_without_settings(info), info.gain_setting, info.offset


def _key_without_settings(info: FrameInfo) -> tuple:
    place: tuple | None = info.window if info.tiles or info.window is None else info.window[:2]
    return info.target.casefold(), info.camera, info.band, info.binning, info.readout, place


def _with_settings(frames: Sequence[FrameInfo]) -> list[FrameInfo]:
    """The frames; where a header lacks gain or offset, and all others of its observation have one, it is that."""
    found = list(frames)
    for name in ("gain_setting", "offset"):
        known: dict[tuple, set[str]] = defaultdict(set)
        for info in found:
            known[info.night, *_key_without_settings(info)].add(getattr(info, name))
        for number, info in enumerate(found):
            others = known[info.night, *_key_without_settings(info)] - {""}
            if not getattr(info, name) and len(others) == 1:
                found[number] = replace(info, **{name: next(iter(others))})  # type: ignore[arg-type]
    return found


def pixels_key(info: FrameInfo) -> tuple:
    """What a calibration frame and a science frame share that come from the same pixels."""
    return info.camera, info.binning, info.readout, info.shape


def serving(calibration: FrameInfo, science: FrameInfo) -> FrameInfo | None:
    """The calibration frame as it serves a science frame: as it is, or cut to its window; None where it does not.

    A frame whose header tells no place begins at the detector's first pixel.
    """
    if pixels_key(calibration)[:-1] != pixels_key(science)[:-1]:
        return None
    if calibration.colour not in ("", science.colour):
        return None
    if science.window is None:
        return calibration if calibration.shape == science.shape else None
    x, y, columns, rows = science.window
    if science.tiles or calibration.tiles:
        if calibration.window is None or not holds(calibration, science):
            return None
        left, low, *_ = calibration.window
        same = calibration.window == science.window
        return calibration if same else replace(calibration, cut=(x - left, y - low, columns, rows))
    left, low, wide, high = calibration.window or (0, 0, *calibration.shape[::-1])
    if calibration.shape == science.shape and (calibration.window is None or (left, low) == (x, y)):
        return calibration
    if left <= x and low <= y and x + columns <= left + wide and y + rows <= low + high:
        return replace(calibration, cut=(x - left, y - low, columns, rows))
    return None


def is_flat_of(flat: FrameInfo, science: FrameInfo) -> bool:
    """Whether a flat is of a frame's band; one without colours is that of all colours behind its filter."""
    return flat.band == science.band or bool(
        science.colour and not flat.colour and flat.band == science.through
    )


def _sort_of(info: FrameInfo) -> tuple:
    """What calibration frames share of which one replaces another."""
    return info.band, round(float(np.nan_to_num(info.exposure.to_value(u.s), nan=-1.0)), 1)


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
