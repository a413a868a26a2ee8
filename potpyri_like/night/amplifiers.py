"""Which pixels frames hold: those that lack an amplifier, and calibration frames that hold the pixels of others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments.file_notes import ON_SCREEN, SOME_MISSING

__all__ = ["holds", "mode_in_words", "part_in_words", "with_lost_amplifiers"]

_Tile = tuple[int, int, int, int, int]
_WORTH = 0.25  # of the frames without an amplifier: as many with it show that it was lost


def with_lost_amplifiers(infos: Sequence[FrameInfo]) -> list[FrameInfo]:
    """The frames; a science frame without an amplifier that others of its observation have is one of theirs.

    Its image is as large as theirs, without data where the amplifier is missing, and a note says so.
    """
    groups: dict[tuple, list[int]] = defaultdict(list)
    for number, info in enumerate(infos):
        if info.kind is FrameKind.SCIENCE and info.tiles:
            key = info.target.casefold(), info.camera, info.band, info.binning, info.readout
            groups[key].append(number)
    found = list(infos)
    for numbers in groups.values():
        counts = Counter(infos[number].tiles for number in numbers)
        firsts = {infos[number].tiles: infos[number] for number in reversed(numbers)}
        for number in numbers:
            fuller = [
                tiles
                for tiles, count in counts.items()
                if set(tiles) > set(infos[number].tiles) and count >= _WORTH * counts[infos[number].tiles]
            ]
            if fuller:
                found[number] = _completed(infos[number], firsts[max(fuller, key=len)])
    return found


def _completed(info: FrameInfo, whole: FrameInfo) -> FrameInfo:
    """A frame without an amplifier as one of those that have it."""
    assert info.window is not None and whole.window is not None
    missing = [tile for tile in whole.tiles if tile not in info.tiles]
    left, low, columns, rows = whole.window
    where = " and ".join(part_in_words((tile[0] - left, tile[1] - low, *tile[2:])) for tile in missing)
    note = (
        f"{ON_SCREEN}only {len(info.tiles)} of {len(whole.tiles)} amplifiers are in it: {where} of the image are"
        " missing and masked; the rest is measured"
    )
    cut = left - info.window[0], low - info.window[1], columns, rows
    notes = *(other for other in info.notes if not other.endswith(SOME_MISSING)), note
    return replace(info, window=whole.window, tiles=whole.tiles, cut=cut, notes=notes)


def part_in_words(part: Sequence[int]) -> str:
    """A part of the image: "columns 1:512, rows 1:2304", counted from 1, in pixels of the file."""
    x, y, columns, rows = part[:4]
    return f"columns {x + 1}:{x + columns}, rows {y + 1}:{y + rows}"


def mode_in_words(info: FrameInfo) -> str:
    """How the pixels of a frame were read, and which they are where they are not the whole detector's first."""
    window = info.window
    if info.cut is not None and info.kind is not FrameKind.SCIENCE:
        left, low = (0, 0) if window is None else window[:2]
        x, y, columns, rows = info.cut
        window = left + x, low + y, columns, rows
    is_part = window is not None and (any(window[:2]) or bool(info.tiles))
    return ", ".join(filter(None, (info.readout, part_in_words(window) if window and is_part else "")))


def holds(calibration: FrameInfo, science: FrameInfo) -> bool:
    """Whether each pixel of a science frame was read by the same amplifier in a calibration frame.

    An amplifier may have read more of the detector in the calibration frame, but no two there are one here.
    """
    used: dict[_Tile, list[_Tile]] = defaultdict(list)
    for tile in science.tiles:
        outer = next((other for other in calibration.tiles if _is_within(tile, other)), None)
        if outer is None:
            return False
        used[outer].append(tile)
    return not any(_touch(*pair) for tiles in used.values() for pair in combinations(tiles, 2))


def _is_within(tile: _Tile, other: _Tile) -> bool:
    """Whether a part lies in another, and is mirrored as that is."""
    (x, y, columns, rows, how), (left, low, wide, high, other_how) = tile, other
    return (
        how == other_how and left <= x and low <= y and x + columns <= left + wide and y + rows <= low + high
    )


def _touch(one: _Tile, other: _Tile) -> bool:
    """Whether two parts have a border in common."""
    return all(
        max(one[axis], other[axis]) <= min(one[axis] + one[axis + 2], other[axis] + other[axis + 2])
        for axis in (0, 1)
    )
