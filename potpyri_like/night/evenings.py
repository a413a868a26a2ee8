"""Which night each frame belongs to: noon to noon at the site, named by the date of its evening."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import PurePosixPath

import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time

from potpyri_like.astrometry import evening_of, local_days, utc_days
from potpyri_like.frame import FrameInfo, FrameKind

__all__ = ["by_nearness", "days_between", "night_in_words", "with_nights"]

_THROUGH_NOON = (
    1 / 24
)  # day; science frames nearer to one another than this were taken in one go, noon or not
_LONGEST_NIGHT = 0.75  # day
_DAYTIME = 4 / 24  # day; calibrations this near to noon may belong to the night before or after it
_FIRST_DIGITAL = np.datetime64("1990-01-01")  # a clock that says less was never set
_UNSET = np.datetime64("2000-01-01")  # where other clocks begin that were never set
_FEW = 4  # a clock is doubted where so many times more frames around its own are of another night


def with_nights(infos: Sequence[FrameInfo], site_of: Callable[[str], EarthLocation]) -> list[FrameInfo]:
    """The frames with the nights that they belong to.

    Science frames make the nights, by their times; a calibration frame of another date has that date, and makes none.
    Frames that were taken in one go belong to one night even through noon, as where the site or the clock's zone is
    not what was declared. A frame whose clock was never set, or that lies among many of another night, belongs to the
    night of those, with a note. "" stands for a night that cannot be known.

    Parameters
    ----------
    infos : sequence of FrameInfo
        All frames that are to be used.
    site_of : callable
        Gives the site of a camera.

    Returns
    -------
    list of FrameInfo
        In the order given.
    """
    days = _days_of(infos, site_of)
    science = [i for i, info in enumerate(infos) if info.kind is FrameKind.SCIENCE]
    names = _nights_by_time(days, science)
    doubted = _doubted_clocks(infos, names)
    firm = {i: name for i, name in names.items() if i not in doubted}
    sky = _Science(infos, firm)
    found = dict(firm)
    for i in science:
        if i not in found:
            found[i] = sky.night_around(i)
    for i, night in _calibration_nights(infos, days, sky):
        found[i] = night
    return [
        replace(info, night=found[i], notes=(*info.notes, _clock_note(info, found[i])))
        if i in doubted and found[i] != names[i]
        else replace(info, night=found[i])
        for i, info in enumerate(infos)
    ]


def _days_of(infos: Sequence[FrameInfo], site_of: Callable[[str], EarthLocation]) -> np.ndarray:
    """Local mean solar time in days, whole at noon; NaN where a frame has no time."""
    days = np.full(len(infos), np.nan)
    for camera in {info.camera for info in infos}:
        own = [(i, x.mid_time) for i, x in enumerate(infos) if x.camera == camera and x.mid_time is not None]
        if own:
            times = Time([utc_days(time) for _, time in own], format="jd", scale="utc")
            days[[i for i, _ in own]] = local_days(times, site_of(camera))
    return days


def days_between(night: str, other: str) -> int:
    """Days from one night to another, negative where the other was before."""
    return int((np.datetime64(other) - np.datetime64(night)).astype(int))


def night_in_words(other: str, night: str) -> str:
    """Return a night, and how many days it is before or after another; "" is a night that is not known."""
    if not other or not night:
        return other or "an unknown date"
    days = days_between(night, other)
    return f"{other} ({abs(days)} day{'s' * (abs(days) != 1)} {'after' if days > 0 else 'before'})"


def _nights_by_time(days: np.ndarray, science: Sequence[int]) -> dict[int, str]:
    """The night of each science frame that has a time: noon to noon, but no cut through a series of frames."""
    order = sorted((i for i in science if np.isfinite(days[i])), key=lambda i: days[i])
    nights: list[list[int]] = []
    for _, run in groupby(order, key=lambda i: np.floor(days[i])):
        own = list(run)
        if nights and _is_one_series(days[nights[-1]], days[own]):
            nights[-1] += own
        else:
            nights.append(own)
    named = ((night, evening_of(np.median(days[night]))) for night in nights)
    return {i: name for night, name in named for i in night}


def _is_one_series(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether frames before and after a noon were taken in one go, and within one night's length."""
    return bool(after[0] - before[-1] < _THROUGH_NOON and after[-1] - before[0] < _LONGEST_NIGHT)


# -- clocks that cannot be right -----------------------------------------------------------------------------


def _doubted_clocks(infos: Sequence[FrameInfo], names: dict[int, str]) -> set[int]:
    """Science frames whose date makes no night: of a clock that was never set, or amid frames of another night."""
    unset = {i for i, name in names.items() if _is_unset(name)}
    if len(unset) == len(names):
        return set()
    set_ = {i: name for i, name in names.items() if i not in unset}
    return unset | _amid_others(infos, set_)


def _is_unset(name: str) -> bool:
    """Whether a date is where clocks begin that nobody has set."""
    date = np.datetime64(name)
    return bool(date < _FIRST_DIGITAL or abs((date - _UNSET).astype(int)) <= 1)


def _amid_others(infos: Sequence[FrameInfo], names: dict[int, str]) -> set[int]:
    """The frames of nights that consist of few frames, each with many of one other night on both its sides.

    Files of one folder and camera are looked at, in the order of their names.
    """
    if len(set(names.values())) < 2:
        return set()
    around: dict[str, set[str]] = defaultdict(set)
    rows: dict[tuple, list[int]] = defaultdict(list)
    for i in names:
        rows[PurePosixPath(infos[i].label).parent, infos[i].camera].append(i)
    for row in rows.values():
        row.sort(key=lambda i: _natural(infos[i].label))
        for at, i in enumerate(row):
            around[names[i]].add(_other_night_around([names[k] for k in row], at))
    count = Counter(names.values())
    few = {
        night
        for night, others in around.items()
        if len(others) == 1 and all(other and _FEW * count[night] <= count[other] for other in others)
    }
    return {i for i, night in names.items() if night in few}


def _other_night_around(nights: Sequence[str], at: int) -> str:
    """The other night on both sides of a place in a row; "" where there is none, or there are two."""
    before = next((n for n in reversed(nights[:at]) if n != nights[at]), "")
    after = next((n for n in nights[at + 1 :] if n != nights[at]), "")
    return before if before == after else ""


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers within names by their value."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _clock_note(info: FrameInfo, night: str) -> str:
    says = info.mid_time.utc.isot[:19] if info.mid_time is not None else "nothing"
    to = (
        f"is assigned to the night of {night} by the frames around it"
        if night
        else "belongs to no known night"
    )
    return f"time: its clock says {says}, which is invalid; the frame {to}"


# -- where science frames are --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Science:
    """The nights of the science frames whose times are good, and in which folders they lie.

    Attributes
    ----------
    infos : sequence of FrameInfo
        All frames.
    nights : dict of int to str
        By number of the frame.
    """

    infos: Sequence[FrameInfo]
    nights: dict[int, str]

    @cached_property
    def all(self) -> set[str]:
        return set(self.nights.values())

    @cached_property
    def below(self) -> dict[PurePosixPath, set[str]]:
        """The nights in and below each folder."""
        found: dict[PurePosixPath, set[str]] = defaultdict(set)
        for i, night in self.nights.items():
            for folder in PurePosixPath(self.infos[i].label).parents:
                found[folder].add(night)
        return found

    @cached_property
    def rows(self) -> dict[PurePosixPath, list[int]]:
        """The frames of each folder in the order of their names."""
        found: dict[PurePosixPath, list[int]] = defaultdict(list)
        for i in sorted(self.nights, key=lambda i: _natural(self.infos[i].label)):
            found[PurePosixPath(self.infos[i].label).parent].append(i)
        return found

    def of_folder(self, info: FrameInfo) -> str:
        """The one night of the science frames nearest in the tree of folders; "" where they are of several."""
        for folder in PurePosixPath(info.label).parents:
            if nights := self.below.get(folder):
                return next(iter(nights)) if len(nights) == 1 else ""
        return ""

    def night_around(self, number: int) -> str:
        """The night of a science frame that has no good time: of its folder, or of its neighbours by name."""
        info = self.infos[number]
        if night := self.of_folder(info):
            return night
        key = _natural(info.label)
        row = self.rows.get(PurePosixPath(info.label).parent, [])
        before = [self.nights[i] for i in row if _natural(self.infos[i].label) < key][-1:]
        after = [self.nights[i] for i in row if _natural(self.infos[i].label) >= key][:1]
        return before[0] if before and before == after else ""


# -- calibration frames --------------------------------------------------------------------------------------


def _calibration_nights(
    infos: Sequence[FrameInfo], days: np.ndarray, science: _Science
) -> Iterator[tuple[int, str]]:
    """The night of each frame that is no science frame."""
    rest = [i for i, info in enumerate(infos) if info.kind is not FrameKind.SCIENCE]
    dated = {i: evening_of(days[i]) for i in rest if np.isfinite(days[i])}
    dated = {i: name for i, name in dated.items() if not _is_unset(name)}
    at_noon = {i for i in dated if abs(days[i] - np.round(days[i])) < _DAYTIME}
    sure = {(_alike(infos[i]), name) for i, name in dated.items() if i not in at_noon}
    folders: dict[PurePosixPath, set[str]] = defaultdict(set)
    for i, name in dated.items():
        folders[PurePosixPath(infos[i].label).parent].add(name)
    for i in rest:
        if i in at_noon:
            yield i, _night_beside_noon(infos[i], float(days[i]), science, sure)
        elif i in dated:
            yield i, dated[i]
        else:
            yield i, _undated(infos[i], science, folders)


def _alike(info: FrameInfo) -> tuple:
    """What calibration frames share that can stand for one another."""
    return info.kind, info.camera, info.binning, info.readout, info.shape, info.band


def _night_beside_noon(info: FrameInfo, day: float, science: _Science, sure: set[tuple]) -> str:
    """The night of a calibration frame taken by day: that of its folder, or the one beside it that needs it."""
    noon = int(np.round(day))
    pair = [night for night in (evening_of(noon - 1), evening_of(noon)) if night in science.all]
    folder = science.of_folder(info)
    if folder in pair:
        return folder
    lacking = [night for night in pair if (_alike(info), night) not in sure]
    for some in (pair, lacking):
        if len(some) == 1:
            return some[0]
    return evening_of(day)


def _undated(info: FrameInfo, science: _Science, folders: dict[PurePosixPath, set[str]]) -> str:
    """The night of a calibration frame without a time; "" where it may serve any."""
    if len(science.all) == 1:
        return next(iter(science.all))
    folder = PurePosixPath(info.label).parent
    beside = folders.get(folder, set())
    if folder not in science.below and len(beside) == 1:
        return next(iter(beside))
    return science.of_folder(info)


def by_nearness(frames: Iterable[FrameInfo], night: str) -> list[tuple[str, tuple[FrameInfo, ...]]]:
    """Frames by their nights, the one nearest to a night first; of two equally near the earlier; undated ones last."""
    groups: dict[str, list[FrameInfo]] = defaultdict(list)
    for info in frames:
        groups[info.night].append(info)
    if not night:
        return [(name, tuple(groups[name])) for name in sorted(groups)]
    known = sorted((name for name in groups if name), key=lambda name: (abs(days_between(night, name)), name))
    return [(name, tuple(groups[name])) for name in (*known, *([""] if "" in groups else []))]
