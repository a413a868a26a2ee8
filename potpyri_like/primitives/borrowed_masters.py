"""Masters of other nights, from the user's library or a folder: which serve, what their age adds, and their copy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import groupby
from pathlib import Path

import astropy.units as u
import numpy as np

from potpyri_like.encoding import fingerprint
from potpyri_like.errors import ProductError
from potpyri_like.frame import FrameInfo
from potpyri_like.imaging import Verdict, drift_variance, near_exposure, verdicts
from potpyri_like.night.amplifiers import mode_in_words
from potpyri_like.night.evenings import days_between, night_in_words
from potpyri_like.night.fitting import temperature_of
from potpyri_like.primitives.dark_ladder import dark_ladder
from potpyri_like.primitives.master_maker import Maker
from potpyri_like.results import Grade, Master, Problem
from potpyri_like.store.library import LibraryEntry, masters_in, read_entries, read_entry

__all__ = ["Borrower", "Shelf", "closed_shelf", "judged", "shelf_in", "shelf_of_user"]

log = logging.getLogger(__name__)

_COMPARED = 6  # masters of a library that show how they change with time
_OLDEST = 400  # days; an older master is not used


def judged(entries: Iterable[LibraryEntry]) -> list[tuple[LibraryEntry, Verdict]]:
    """Masters in order of kind and time, each with whether it agrees with its neighbours."""
    found = []
    ordered = sorted(entries, key=lambda entry: (str(entry.series), entry.night))
    for _, group in groupby(ordered, key=lambda entry: str(entry.series)):
        series = list(group)
        values = [one.blocks if one.kind == "flat" else (one.level,) for one in series]
        errors = np.array([one.error for one in series])
        days = np.array([_day(one) for one in series])
        found += list(zip(series, verdicts(days, np.array(values), errors), strict=True))
    return found


@dataclass(frozen=True)
class Shelf:
    """A folder of masters.

    Attributes
    ----------
    folder : Path
    entries : tuple of LibraryEntry
    name : str
        What the report calls it.
    tolerance : float
        By how much the detector may have been warmer in a dark, K.
    is_of_user : bool
        It is the user's library, wherever that lies, and not a folder that was named.
    """

    folder: Path
    entries: tuple[LibraryEntry, ...]
    name: str
    tolerance: float
    is_of_user: bool = False

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """By the names of the files."""
        return {entry.file: verdict for entry, verdict in judged(self.entries)}

    def fitting(
        self, kind: str, frames: Sequence[FrameInfo], mode: str, *, has_bias: bool
    ) -> list[LibraryEntry]:
        """Those of a kind that fit science frames, whatever their night."""
        first, warm = frames[0], temperature_of(frames)
        wanted = first.camera, f"{first.binning[0]}x{first.binning[1]}", mode_in_words(first)
        return [
            entry
            for entry in self.entries
            if entry.kind == kind
            and (entry.camera, entry.binning, entry.readout) == wanted
            and entry.filter_mode == mode
            and all(
                not one or not other or one == other
                for one, other in ((entry.gain_setting, first.gain_setting), (entry.offset, first.offset))
            )
            and (kind != "flat" or entry.band == first.band)
            and (kind != "dark" or entry.has_bias == has_bias)
            and (
                kind != "dark"
                or entry.temperature is None
                or warm is None
                or abs(entry.temperature - warm) <= self.tolerance
            )
        ]

    def words(self, entry: LibraryEntry) -> str:
        """Where a master lies, and its checksum."""
        return f"{self.name}: {entry.file}, SHA-256 {entry.sha256}"

    def alike(self, entry: LibraryEntry) -> list[LibraryEntry]:
        """Valid masters of the same kind and detector, made between the same two jumps, in order of time."""
        agreeing = [
            o for o in self.entries if o.series == entry.series and o.night and self.verdicts[o.file].agrees
        ]
        ordered = sorted(agreeing, key=lambda other: other.night)
        begun = [other.night for other in ordered if self.verdicts[other.file].jumps]
        part = sum(night <= entry.night for night in begun)
        return [other for other in ordered if sum(night <= other.night for night in begun) == part]

    def jumped_around(self, entry: LibraryEntry, night: str) -> str:
        """The night by which masters of a kind had changed for good, where this night lies between it and the last."""
        for other in self.entries:
            if other.series == entry.series and other.night and self.verdicts[other.file].jumps:
                before = [o.night for o in self.entries if o.series == entry.series and o.night < other.night]
                if before and max(before) < night < other.night:
                    return other.night
        return ""

    def pixels(self, entry: LibraryEntry) -> Master:
        """A master as it lies there."""
        made = read_entry(self.folder, entry)
        return Master(
            entry.kind,
            made,
            entry.exposure,
            "exact",
            (),
            photons=entry.photons,
            source=self.words(entry),
        )


def shelf_of_user(folder: Path, tolerance: float) -> Shelf:
    """The user's library for an instrument, which may be empty: copies that earlier runs made of it are used again."""
    return Shelf(folder, tuple(read_entries(folder)), "library", tolerance, is_of_user=True)


def shelf_in(folder: Path, tolerance: float, say: Callable[[str], object]) -> Shelf:
    """The masters in a folder that the user named.

    Raises
    ------
    ProductError
        It cannot be looked into, or holds none.
    """
    entries = masters_in(folder, say)
    if not entries:
        raise ProductError(
            f"--masters {folder}: it holds no master written by this software; give a folder such as NIGHT/red/cals"
        )
    return Shelf(folder, tuple(entries), folder.name, tolerance)


def closed_shelf(folder: str) -> Shelf:
    """A folder of masters that is not looked into: copies that an earlier run made of them are used again."""
    return Shelf(Path(folder), (), Path(folder).name, 0.0)


@dataclass(frozen=True)
class Borrower:
    """Takes masters from a shelf into the output folder."""

    maker: Maker
    shelf: Shelf
    frames: tuple[FrameInfo, ...]

    def borrow(
        self, kind: str, night: str, exposure: float = 0.0, bias: Master | None = None
    ) -> Master | None:
        """A master for the science frames of a night; None where none serves.

        A copy that an earlier run made is used as it is, whatever lies on the shelf now.
        """
        first = next((frame for frame in self.frames if frame.night == night), self.frames[0])
        maker, key = self.maker, self.key(kind, night, exposure, bias)
        name = maker.free_name(kind, exposure, replace(first, night=night))
        again = maker.recalled_copy(name, key)
        if again is not None:
            return again
        found = self.found(kind, night, exposure, bias)
        if found is None:
            return None
        master, problems = found
        return maker.kept_copy(maker.written(master, replace(first, night=night)), key, problems)

    def key(self, kind: str, night: str, exposure: float, bias: Master | None) -> str:
        """What a copy is known by again: not by what lies on the shelf."""
        first = self.frames[0]
        where = (
            first.camera,
            first.binning,
            mode_in_words(first),
            first.band if kind == "flat" else "",
            first.shape,
        )
        settings = first.gain_setting, first.offset, self.warmth() if kind == "dark" else None
        shelf = "" if self.shelf.is_of_user else str(self.shelf.folder)
        mode = self.maker.setup.filter_mode
        return fingerprint("borrowed", shelf, kind, night, exposure, bias is not None, where, settings, mode)

    def warmth(self) -> int | None:
        """The detector's temperature in steps of what darks may differ by: one frame more does not change it."""
        warm = temperature_of(self.frames)
        step = float(self.maker.setup.instrument.calibration.temperature_tolerance.to_value(u.K))
        return None if warm is None or step <= 0 else round(warm / step)

    def found(
        self, kind: str, night: str, exposure: float, bias: Master | None
    ) -> tuple[Master, list[Problem]] | None:
        """The nearest valid master of a kind with what its age adds, and what is to be said of it."""
        has_bias = bias is not None
        entries = self.shelf.fitting(kind, self.frames, self.maker.setup.filter_mode, has_bias=has_bias)
        shape = self.maker.shape_of(self.frames) if entries else None
        entries = [entry for entry in entries if entry.shape == shape]
        problems: list[Problem] = []
        valid: list[LibraryEntry] = []
        for entry in entries:
            verdict = self.shelf.verdicts[entry.file]
            if verdict.agrees and _age(entry, night) <= _OLDEST:
                valid.append(entry)
            elif not verdict.agrees and entry.night:
                why = (
                    f"the {kind} of {entry.night} in the {self.shelf.name} contradicts those around it by"
                    f" {verdict.sigmas:.0f} sigma; it is not used"
                )
                problems.append(Problem(f"{self.shelf.name}: {entry.file}", "masters", why, Grade.REMARK))
        valid.sort(key=lambda entry: (_age(entry, night), entry.night))
        if not valid:
            self.maker.problems.extend(problems)
            return None
        made = self.dark(valid, exposure, bias) if kind == "dark" else (self.shelf.pixels(valid[0]), valid[0])
        if made is None:
            return None
        master, entry = made
        master, words = self.aged(master, entry, night)
        jump = self.shelf.jumped_around(entry, night)
        if jump:
            words += (
                f"; but masters of this kind changed permanently by {jump}, and it is not known whether that was before"
                " or after this night"
            )
        grade = Grade.DOUBTFUL if jump else Grade.REMARK
        problems.append(Problem(master.words, "masters", words, grade))
        return master, problems

    def dark(
        self, valid: Sequence[LibraryEntry], exposure: float, bias: Master | None
    ) -> tuple[Master, LibraryEntry] | None:
        """A dark of an exposure: the nearest of that exposure, else made of others."""
        same = [entry for entry in valid if near_exposure(entry.exposure, exposure)]
        if same:
            return replace(self.shelf.pixels(same[0]), exposure=exposure), same[0]
        nearest: dict[float, LibraryEntry] = {}
        for entry in valid:
            nearest.setdefault(entry.exposure, entry)
        made = dark_ladder(
            {t: self.shelf.pixels(entry) for t, entry in nearest.items()}, exposure, has_bias=bias is not None
        )
        return None if made is None else (replace(made, source=self.shelf.words(valid[0])), valid[0])

    def aged(self, master: Master, entry: LibraryEntry, night: str) -> tuple[Master, str]:
        """The master with what its age adds to its variance, and the sentence about it."""
        same = self.shelf.alike(entry)
        same.sort(key=lambda other: (abs(_age(other, night)), other.night))
        seen = [(_day(other), read_entry(self.shelf.folder, other)) for other in same[:_COMPARED]]
        days = _age(entry, night)
        more = drift_variance(seen, days) if entry.night and night else None
        when = night_in_words(entry.night, night)
        head = f"this night has none that can be used; the one from {when} in the {self.shelf.name} is used instead"
        rung = f"of {when}" if master.rung == "exact" else f"{master.rung}, of {when}"
        if more is None:
            return replace(
                master, rung=rung
            ), f"{head}; how it changes with time is not known, since there is only one"
        pixels = master.pixels._replace(variance=master.pixels.variance + more)
        unit = "" if master.kind == "flat" else " electrons"
        typical = float(np.sqrt(np.median(more)))
        size = f"{100 * typical:.2g} %" if master.kind == "flat" else f"{typical:.2g}{unit}"
        return (
            replace(master, pixels=pixels, rung=rung),
            f"{head}; its errors allow for how much such masters change in that time, {size}",
        )


def _age(entry: LibraryEntry, night: str) -> int:
    """Days between a master and a night; 0 where one of them is not known."""
    return abs(days_between(night, entry.night)) if entry.night and night else 0


def _day(entry: LibraryEntry) -> float:
    return float(date.fromisoformat(entry.night).toordinal()) if entry.night else 0.0
