"""Frames in colour among those of a night: which planes are colours, and what their bands are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import astropy.units as u
import numpy as np

from potpyri_like.astrometry import utc_days
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments.colours import PLANES, in_colours

__all__ = ["with_colours"]

_COARSE = 1.0  # s; as some clocks are: by less than that nothing overlaps
_MOSTLY = 0.5  # of the files, where single ones may follow after a pause
_BECAUSE = "three of them would have run past the start of the next file"


def with_colours(infos: Sequence[FrameInfo], in_time: Collection[str] = ()) -> list[FrameInfo]:
    """The frames, with planes as colours where they cannot be exposures one after the other.

    The bands of colours are R, G and B alone where a camera has but one filter in the night.

    Parameters
    ----------
    infos : sequence of FrameInfo
    in_time : collection of str
        Cameras whose planes are exposures, as they declare.
    """
    return _named(_judged(infos, in_time))


def _judged(infos: Sequence[FrameInfo], in_time: Collection[str]) -> list[FrameInfo]:
    """The frames; the planes of files of three that overlap the next file in time are colours."""
    planes: dict[Path, list[FrameInfo]] = defaultdict(list)
    for info in infos:
        if info.plane is not None and not info.mosaic and info.camera not in in_time:
            planes[info.path].append(info)
    files = [group for group in planes.values() if len(group) == PLANES and not any(i.colour for i in group)]
    cameras: dict[tuple, list[list[FrameInfo]]] = defaultdict(list)
    for group in files:
        cameras[group[0].camera, group[0].kind].append(group)
    overlapping = {
        info.path for groups in cameras.values() if _overlap(groups) for group in groups for info in group
    }
    first = {path: planes[path][0].mid_time for path in overlapping}
    return [
        in_colours(replace(info, mid_time=first[info.path]), _BECAUSE) if info.path in overlapping else info
        for info in infos
    ]


def _overlap(groups: Iterable[Sequence[FrameInfo]]) -> bool:
    """Whether most files begin before the planes of the one before can have ended."""
    files = [
        (utc_days(group[0].mid_time) * 86400, float(np.nan_to_num(group[0].exposure.to_value(u.s))))
        for group in groups
        if group[0].mid_time is not None
    ]
    early = [
        _COARSE < PLANES * exposure - (after - before) < PLANES * exposure
        for (before, exposure), (after, _) in pairwise(sorted(files))
    ]
    return bool(early) and sum(early) > _MOSTLY * len(early)


def _named(infos: Sequence[FrameInfo]) -> list[FrameInfo]:
    """The frames with the shortest names of their bands that tell them apart."""
    filters: dict[str, set[str]] = defaultdict(set)
    for info in infos:
        if info.colour and info.kind is FrameKind.SCIENCE:
            filters[info.camera].add(info.through)
    return [
        replace(info, band=info.colour)
        if info.colour
        and info.band == f"{info.through} {info.colour}".strip()
        and filters[info.camera] <= {info.through}
        else info
        for info in infos
    ]
