"""Names of one target that are written differently: in case, or with blanks, hyphens and underscores."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import astropy.units as u

from potpyri_like.frame import FrameInfo

__all__ = ["other_spellings", "with_one_spelling"]

_NEAR = 3 * u.arcmin


def with_one_spelling(infos: Sequence[FrameInfo]) -> list[FrameInfo]:
    """The frames, each target under the name that most of its frames have.

    Names are those of one target that are equal but for case, blanks, hyphens and underscores, and whose frames point
    within 3' of each other; where headers do not tell, their stars show later whether it is one field. A hyphen
    between digits counts: NGC4993-1 and NGC49931 are two.
    """
    names = other_spellings(infos)
    return [replace(info, target=names.get(info.target, info.target)) for info in infos]


def other_spellings(infos: Sequence[FrameInfo]) -> dict[str, str]:
    """The names that are other spellings of another one, and that one."""
    alike: dict[str, list[FrameInfo]] = defaultdict(list)
    for info in infos:
        alike[_bare(info.target)].append(info)
    found = {}
    for frames in alike.values():
        count = Counter(info.target for info in frames)
        if len(count) > 1 and _are_near(frames):
            usual = min(count, key=lambda name: (-count[name], name))
            found.update({name: usual for name in count if name != usual})
    return found


def _bare(name: str) -> str:
    """A name without what is written in one way or another."""
    return re.sub(r"(?<!\d)[\s_-]+|[\s_-]+(?!\d)", "", name.strip()).casefold()


def _are_near(frames: Sequence[FrameInfo]) -> bool:
    """Whether the first frame of each name points to the same field, as far as their headers tell."""
    places = {info.target: info.pointing for info in reversed(frames) if info.pointing is not None}
    first, *others = [*places.values()] or [None]
    return all(first.separation(other) < _NEAR for other in others)
