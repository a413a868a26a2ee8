"""Which of the frames of one target show one field, by where the telescope looked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import astropy.units as u
import numpy as np

from potpyri_like.frame import FrameInfo
from potpyri_like.instruments import Instrument, camera_named, pixel_scale

__all__ = ["field_numbers", "side_of", "with_fields"]

_COMMON = 0.5  # of the field: frames that share less show two
_FEWEST = 3  # frames; fewer have wrong coordinates, or are left to the matching of their stars


def with_fields(
    infos: Sequence[FrameInfo], instrument: Instrument, *, joined: bool = False
) -> list[FrameInfo]:
    """The science frames, with `_p2`, `_p3`, ... after the target's name where it was observed at several pointings.

    The pointings are numbered in order of time. A frame without coordinates belongs to the pointing of the frame that
    is nearest in time.

    Parameters
    ----------
    infos : sequence of FrameInfo
    instrument : Instrument
    joined : bool
        Frames that overlap at all, or through others between them, are one field: for a stack.
    """
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, info in enumerate(infos):
        alike["" if joined else info.night, info.target.casefold()].append(index)
    found = list(infos)
    for indices in alike.values():
        if all(infos[i].pointing is None for i in indices):
            continue
        indices.sort(key=lambda i: _begin_of(infos[i]))
        numbers = field_numbers(*_places([infos[i] for i in indices], instrument), joined=joined)
        for index, number in zip(indices, numbers, strict=True):
            if number:
                name = infos[index].target or "unnamed"
                found[index] = replace(infos[index], target=f"{name}_p{number + 1}")
    return found


def _begin_of(info: FrameInfo) -> float:
    """When a frame was taken, MJD; infinity where that is not known."""
    return np.inf if info.mid_time is None else float(info.mid_time.mjd)


def _places(infos: Sequence[FrameInfo], instrument: Instrument) -> tuple[np.ndarray, float]:
    """Right ascension and declination of each frame, degrees, NaN where unknown; and the side of the largest field."""
    nowhere = (np.nan, np.nan)
    sky = [nowhere if i.pointing is None else (i.pointing.ra.deg, i.pointing.dec.deg) for i in infos]
    return np.array(sky, float).reshape(-1, 2), max(
        (side_of(info, instrument) for info in infos), default=np.nan
    )


def side_of(info: FrameInfo, instrument: Instrument) -> float:
    """The side of a square as large as the field, degrees; that of all amplifiers together where there are several."""
    rows, columns = info.shape
    amplifiers = max(1, len(camera_named(instrument, info.camera).amplifiers))
    pixels = rows * columns * amplifiers
    if info.tiles and info.window is not None:
        pixels = info.window[2] * info.window[3]
    return float((pixel_scale(instrument, info) * u.arcsec).to_value(u.deg) * np.sqrt(pixels))


def field_numbers(sky: np.ndarray, side: float, *, joined: bool = False) -> np.ndarray:
    """The number of each frame's field, from 0, in the order in which they come.

    Parameters
    ----------
    sky : ndarray, shape (n, 2), degrees
        Right ascension and declination of frames in order of time; NaN where unknown.
    side : float, degrees
        Of the field.
    joined : bool
        Frames that overlap at all, or through others, are of one field; else they have to share half of the field with
        its first frame.
    """
    known = np.flatnonzero(np.isfinite(sky).all(axis=1))
    numbers = np.zeros(len(sky), int)
    if not len(known) or not side > 0:
        return numbers
    labels = (_linked if joined else _led)(sky[known], side)
    labels = _without_few(labels)
    nearest = np.abs(np.arange(len(sky))[:, None] - known[None]).argmin(axis=1)
    numbers = labels[nearest]
    order = {label: number for number, label in enumerate(dict.fromkeys(numbers.tolist()))}
    return np.array([order[label] for label in numbers.tolist()], int)


def _overlap(sky: np.ndarray, one: np.ndarray, side: float) -> np.ndarray:
    """The part of the field that some frames have in common with one."""
    across = (sky[:, 0] - one[0] + 180) % 360 - 180
    apart = np.abs(np.column_stack([across * np.cos(np.radians(one[1])), sky[:, 1] - one[1]])) / side
    return np.prod(np.clip(1 - apart, 0, 1), axis=1)


def _led(sky: np.ndarray, side: float) -> np.ndarray:
    """The first frame with which each shares half of the field."""
    labels = np.full(len(sky), -1)
    while (labels < 0).any():
        first = int(np.argmax(labels < 0))
        labels[(labels < 0) & (_overlap(sky, sky[first], side) >= _COMMON)] = first
    return labels


def _linked(sky: np.ndarray, side: float) -> np.ndarray:
    """The first frame with which each overlaps, through others, too."""
    labels = np.full(len(sky), -1)
    while (labels < 0).any():
        first = int(np.argmax(labels < 0))
        labels[first], waiting = first, [first]
        while waiting:
            new = np.flatnonzero((labels < 0) & (_overlap(sky, sky[waiting.pop()], side) > 0))
            labels[new] = first
            waiting += new.tolist()
    return labels


def _without_few(labels: np.ndarray) -> np.ndarray:
    """The labels, those of very few frames replaced by that of most: their coordinates may be wrong."""
    values, counts = np.unique(labels, return_counts=True)
    main = values[np.argmax(counts)]
    few = values[(counts < _FEWEST) & (values != main)]
    return np.where(np.isin(labels, few), main, labels)
