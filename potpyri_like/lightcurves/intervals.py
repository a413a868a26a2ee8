"""Intervals of time that somebody wrote down: which points lie out of transit."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.errors import UsageError

__all__ = ["TIME_SCALES", "named_scale", "parse_intervals", "select"]

_COLUMNS = ("init_time", "final_time")
TIME_SCALES = {
    "bjd": "bjd_tdb",
    "bjd_tdb": "bjd_tdb",
    "jd": "jd_utc",
    "jd_utc": "jd_utc",
    "jd_utc_mid": "jd_utc",
}
_SCALE = re.compile(r"#\s*(?:time|times|scale)\s*[:=]\s*([^\s,;]+)", re.IGNORECASE)
_OFFSETS = (2400000.0, 2400000.5, -2400000.0, -2400000.5)  # JD - 2400000 and MJD against JD, either way


def parse_intervals(text: str, *, path_name: str) -> list[tuple[float, float]]:
    """Read a table `init_time,final_time` of intervals, in days, in the time system of the light curve.

    Empty lines and lines that begin with # are skipped; other columns are not looked at. A table with its
    header only holds no interval.

    Parameters
    ----------
    text : str
    path_name : str
        Of the file, for the messages.

    Returns
    -------
    list of (start, end), in order of time
    """
    rows = [(n, row) for n, row in _rows(text) if row]
    if not rows:
        return []
    columns = _columns(*rows[0], path_name)
    read = [(*_interval(row, columns, f"{path_name}, line {n}"), n) for n, row in rows[1:]]
    return _without_overlap(sorted(read), path_name)


def named_scale(text: str, *, path_name: str) -> str:
    """Return the scale of time that a comment of such a table names, as in "# time: BJD_TDB"; "" where none does.

    Returns
    -------
    str
        "bjd_tdb", "jd_utc" or "".

    Raises
    ------
    UsageError
        It is another one.
    """
    for number, line in enumerate(io.StringIO(text.lstrip("\ufeff")), start=1):
        if found := _SCALE.match(line.strip()):
            scale = TIME_SCALES.get(found[1].lower(), "")
            if not scale:
                raise UsageError(
                    f"{path_name}, line {number}: {found[1]} is no scale of time that is known here;"
                    " write BJD_TDB or JD_UTC"
                )
            return scale
    return ""


def select(
    time: ArrayLike, intervals: Sequence[tuple[float, float]], *, path_name: str = "intervals"
) -> np.ndarray:
    """Which points lie within one of the intervals, both ends included.

    An interval that holds no point is an error, which says whether the times look like those of another count
    of days (JD, JD - 2400000, MJD). Without any interval every point is taken.

    Parameters
    ----------
    time : array_like, shape (n,), days
        NaN is never selected.
    intervals : sequence of (start, end), days

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    time = np.asarray(time, float)
    if not len(intervals):
        return np.isfinite(time)
    masks = [(time >= start) & (time <= end) for start, end in intervals]
    for number, ((start, end), mask) in enumerate(zip(intervals, masks, strict=True), start=1):
        if not mask.any():
            raise UsageError(
                f"{path_name}: interval {number}, {start:.6f} to {end:.6f}, holds no point of the light curve, "
                f"{_range(time)}; {_advice(time, start, end)}"
            )
    return np.any(masks, axis=0)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that say something, with their numbers, as lists of stripped cells."""
    for number, line in enumerate(io.StringIO(text.lstrip("\ufeff")), start=1):
        if line.strip(" \t\r\n,") and not line.lstrip().startswith("#"):
            yield number, [cell.strip() for cell in next(csv.reader([line]))]


def _columns(number: int, header: Sequence[str], path_name: str) -> list[int]:
    """Where the two columns are."""
    names = [name.lower() for name in header]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise UsageError(
            f"{path_name}, line {number}: the header is '{','.join(header)}', without {' and '.join(missing)}; "
            f"write '{','.join(_COLUMNS)}' above the intervals"
        )
    return [names.index(name) for name in _COLUMNS]


def _interval(row: Sequence[str], columns: Sequence[int], where: str) -> tuple[float, float]:
    start, end = (_number(row[c] if c < len(row) else "", where) for c in columns)
    if not start < end:
        raise UsageError(
            f"{where}: the interval begins at {start:.6f} and ends at {end:.6f}; "
            "the end must be after the beginning: exchange the two or correct them"
        )
    return start, end


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise UsageError(
            f"{where}: '{cell}' is not a time; write two Julian dates such as 2460729.875,2460729.921, "
            "or remove the line"
        )
    return value


def _without_overlap(read: Sequence[tuple[float, float, int]], path_name: str) -> list[tuple[float, float]]:
    for (_, end, line), (start, _, other) in pairwise(read):
        if start < end:
            raise UsageError(
                f"{path_name}, lines {min(line, other)} and {max(line, other)}: the intervals overlap, "
                f"one begins at {start:.6f} before the other ends at {end:.6f}; join them or shorten one"
            )
    return [(start, end) for start, end, _ in read]


def _range(time: np.ndarray) -> str:
    time = time[np.isfinite(time)]
    return f"which runs from {time.min():.6f} to {time.max():.6f}" if time.size else "which has no times"


def _advice(time: np.ndarray, start: float, end: float) -> str:
    fits = [off for off in _OFFSETS if ((time >= start + off) & (time <= end + off)).any()]
    if not fits:
        return "correct the interval or remove it"
    ways = " or ".join(f"{'add' if off > 0 else 'subtract'} {abs(off):.1f}" for off in fits)
    return f"the times look like another count of days: {ways}"
