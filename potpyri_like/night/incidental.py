"""Observations that a night was not taken for: of focus, test and pointing frames. They come last in every list."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from potpyri_like.frame import FrameInfo

if TYPE_CHECKING:
    from potpyri_like.night.night import ObservationSet

__all__ = ["incidental", "is_of_few", "last", "target_key", "with_asides"]

_FEW, _FEW_OF = 5, 8  # frames; so many times fewer than another target has
_APART, _APART_OF = (
    10,
    4,
)  # the same for frames of a target's own name that were taken elsewhere, or whose files say so
_OTHER_SIZE_OF = 2  # the same for few frames of another size
_SERIES = 3  # frames of a target, beside which a single one of another kind is none
_ALIKE = 2.0  # times longer or shorter: exposures of one kind
_WORDS = {
    "focus": r"focus(s?(ed|ing))?|foco|fokus|enfoque",
    "pointing": r"pointings?|acq(uisition)?|apuntado",
    "test": r"tests?|testing|pruebas?",
}
_WORD = re.compile(
    r"(?<![a-z])(?:" + "|".join(f"(?P<{name}>{words})" for name, words in _WORDS.items()) + r")(?![a-z])",
    re.IGNORECASE,
)
# What stands beside such a word where the whole is no star's name: numbers, exposures, filters, cameras, the frame.
_BESIDE = re.compile(
    r"(exp|exposures?|times?|images?|frames?|fields?|shots?|cameras?|cam|filters?|shutter|guid(er?|ing)|tracking|seeing"
    r"|bin(ning)?|new|old|[a-z]'?|[a-z]?[\d.]+[a-z]?|\d+x\d+|sdss|p\d+)",
    re.IGNORECASE,
)
_PART = re.compile(r"[\s_\-,;:()\[\]/#]+")


def target_key(observed: ObservationSet) -> tuple[str, str]:
    """What the observations of one target in one night share."""
    return observed.night, observed.target.casefold()


def incidental(sets: Sequence[ObservationSet]) -> Mapping[tuple[str, str], str]:
    """Why the night was not taken for some targets, by `target_key`: those of focus, test and pointing frames.

    By their names, or since they are few beside another target's: of any sort, or of another size, or one of another
    kind, or elsewhere under its name. Where no other target is left, all are what the night was taken for.
    """
    groups: dict[tuple[str, str], list[ObservationSet]] = defaultdict(list)
    for observed in sets:
        groups[target_key(observed)].append(observed)
    frames = {key: max(len(observed.frames) for observed in group) for key, group in groups.items()}
    named = {key: _named(key[1]) for key in groups}
    rest = {key: group for key, group in groups.items() if not named[key]}
    if not rest:
        return {}
    most = max(frames[key] for key in rest)
    main = [observed for key in rest if frames[key] * _FEW_OF > most for observed in rest[key]]
    found = {}
    for key, group in groups.items():
        if named[key] == "focus" or (named[key] and frames[key] < most):
            found[key] = f"{named[key]} frames, by their name"
        elif not named[key] and (why := _few(key, group, frames, most, main)):
            found[key] = why
    return found


def _named(target: str) -> str:
    """Of what a target's name says that its frames are; "" for a star's name, with such a word in it or not."""
    word = _WORD.search(target)
    if word is None:
        return ""
    what = str(word.lastgroup)
    rest = _PART.split(f"{target[: word.start()]} {target[word.end() :]}")
    alone = all(_BESIDE.fullmatch(part) or _WORD.fullmatch(part) for part in rest if part)
    return what if alone or what == "focus" or target.endswith(f"_{what}") else ""


def _few(
    key: tuple[str, str],
    group: Sequence[ObservationSet],
    frames: Mapping[tuple[str, str], int],
    most: int,
    main: Sequence[ObservationSet],
) -> str:
    """Why a target of few frames is none that the night was taken for; "" for one that may be."""
    count = frames[key]
    if is_of_few(count, most):
        return "few frames beside a long series"
    night, name = key
    whole = name.rpartition("_p")[0]
    if whole and count <= _APART and count * _APART_OF <= frames.get((night, whole), 0):
        return "few frames, far from the others of that name"
    others = [observed for observed in main if target_key(observed) != key]
    if most < _SERIES:
        return ""
    if count <= _FEW and count * _OTHER_SIZE_OF <= most and _is_of_another_size(group, others):
        return "few frames of another size"
    if count == 1:
        alike = any(_is_alike(own, other) for own in group for other in others)
        return "" if alike else "one frame of another kind"
    return ""


def is_of_few(frames: int, most: int) -> bool:
    """Whether so many frames are few beside the most."""
    return frames <= _FEW and _FEW_OF * frames <= most


def _is_of_another_size(group: Sequence[ObservationSet], others: Sequence[ObservationSet]) -> bool:
    """Whether no other frame of the cameras has the size of these, in pixels of the detector."""
    known = {(other.camera, _size(other)) for other in others}
    cameras = {camera for camera, _ in known}
    return all(
        observed.camera in cameras and (observed.camera, _size(observed)) not in known for observed in group
    )


def _size(observed: ObservationSet) -> tuple[int, int]:
    """Rows and columns of the detector that are in a frame, to a binned pixel or two."""
    (rows, columns), (across, along) = observed.frames[0].shape, observed.binning
    return round(rows * along / 8), round(columns * across / 8)


def _is_alike(one: ObservationSet, other: ObservationSet) -> bool:
    """Whether two observations are of one kind: camera, band, binning, size, and about the exposure."""
    times = [max(float(np.nan_to_num(each.exposure.to_value(u.s))), 1e-3) for each in (one, other)]
    alike = (one.camera, one.band, one.binning, _size(one)) == (
        other.camera,
        other.band,
        other.binning,
        _size(other),
    )
    return alike and max(times) <= _ALIKE * min(times)


def last(sets: Sequence[ObservationSet]) -> tuple[ObservationSet, ...]:
    """The observations, incidental ones last; else in their order."""
    found = incidental(sets)
    return tuple(sorted(sets, key=lambda observed: target_key(observed) in found))


def with_asides(infos: Sequence[FrameInfo], by_hand: Collection[str] = ()) -> list[FrameInfo]:
    """The science frames, with `_focus`, `_test` or `_pointing` after the target's name where their files say so.

    Where they are few beside the others of that name, and nobody wrote their target into night.ecsv.

    Parameters
    ----------
    infos : sequence of FrameInfo
    by_hand : collection of str
        Labels of frames whose target was written by hand.
    """
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, info in enumerate(infos):
        alike[info.night, info.target.casefold()].append(index)
    found = list(infos)
    for indices in alike.values():
        words = {i: _said_by_file(infos[i]) for i in indices if infos[i].label not in by_hand}
        words = {i: word for i, word in words.items() if word}
        if not words or len(words) > _APART or len(words) * _APART_OF > len(indices) - len(words):
            continue
        for i, word in words.items():
            found[i] = replace(infos[i], target=f"{infos[i].target or 'unnamed'}_{word}")
    return found


def _said_by_file(info: FrameInfo) -> str:
    """What the name of a file, or of a folder within the night, says that the frame is for; "" where it says nothing.

    A target that is so named needs no more.
    """
    word = _WORD.search(info.inside or info.path.name)
    return "" if word is None or _WORD.search(info.target) else str(word.lastgroup)
