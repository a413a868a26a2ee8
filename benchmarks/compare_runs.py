"""Whether two output folders hold the same values: after a change of the code that should change none.

    python benchmarks/compare_runs.py BEFORE/red AFTER/red [--but wcs.fits --but '*.png'] [--rtol 0]

Compared are FITS files (every header-data unit: cards, columns, pixels, NaN equal to NaN), ECSV tables (columns, units
and metadata), JSON (what was chosen and found, not when and by which version), pictures (pixels), and every other file
line by line. Logs and the run's own diary are not. Differences are named, one a line; the exit status is 1 if there is
one.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from PIL import Image

NOT_COMPARED = ("log/*", ".journal*", ".lock*")
OF_THE_DAY = re.compile(  # keys and cards that tell of the run and of the code, not of the night
    r"^(start.*|end.*|finish.*|seconds|timings|duration|command|out|night|products|versions?|source_sha256|python|"
    r"platform|date|origin|software|creator|options|resumed|stages|processor|workers|checksum|datasum)$",
    re.IGNORECASE,
)
FAR_OFF = 5  # places that are named in one difference


def differences(before: Path, after: Path, *, but: Sequence[str] = (), rtol: float = 0.0) -> Iterator[str]:
    """Every difference between two folders, as a sentence.

    Parameters
    ----------
    before, after : Path
    but : sequence of str
        Patterns of paths inside the folders that are not compared.
    rtol : float
        By which numbers may differ, relative; 0 asks for the same values.
    """
    ours, theirs = (files_of(folder, (*NOT_COMPARED, *but)) for folder in (before, after))
    yield from (f"{name}: only in {before}" for name in sorted(ours - theirs))
    yield from (f"{name}: only in {after}" for name in sorted(theirs - ours))
    for name in sorted(ours & theirs):
        compare = COMPARERS.get(Path(name).suffix, lines_apart)
        yield from (f"{name}: {text}" for text in compare(before / name, after / name, rtol))


def files_of(folder: Path, but: Sequence[str]) -> set[str]:
    """The files below a folder, by their paths in it."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not any(fnmatch(name, pattern) for pattern in but)}


def fits_apart(before: Path, after: Path, rtol: float) -> Iterator[str]:
    """What differs between two FITS files."""
    with fits.open(before) as one, fits.open(after) as two:
        if [hdu.name for hdu in one] != [hdu.name for hdu in two]:
            yield f"units {[hdu.name for hdu in one]} and {[hdu.name for hdu in two]}"
            return
        for first, second in zip(one, two, strict=True):
            yield from cards_apart(first, second)
            yield from arrays_apart(first.name or "PRIMARY", first.data, second.data, rtol)


def cards_apart(first: Any, second: Any) -> Iterator[str]:
    """Cards whose value or comment differ."""
    one, two = (
        [
            (card.keyword, card.value, card.comment)
            for card in hdu.header.cards
            if not of_the_day(card.keyword)
        ]
        for hdu in (first, second)
    )
    for card in [card for card in one if card not in two]:
        yield f"{first.name}: card {card} only before"
    for card in [card for card in two if card not in one]:
        yield f"{first.name}: card {card} only after"


def tables_apart(before: Path, after: Path, rtol: float) -> Iterator[str]:
    """What differs between two ECSV tables."""
    one, two = (Table.read(path, format="ascii.ecsv") for path in (before, after))
    if one.colnames != two.colnames:
        yield f"columns {one.colnames} and {two.colnames}"
        return
    for name in one.colnames:
        if one[name].unit != two[name].unit:
            yield f"{name}: in {one[name].unit} and in {two[name].unit}"
        yield from arrays_apart(name, filled(one[name]), filled(two[name]), rtol)
    yield from values_apart("metadata", plain(one.meta), plain(two.meta), rtol)


def filled(column: Any) -> np.ndarray:
    """A column without a mask: empty cells as such."""
    if not hasattr(column, "mask"):
        return np.asarray(column)
    values = np.asarray(column.filled(), dtype=object)
    return np.where(np.asarray(column.mask), "--", values).astype(str)


def arrays_apart(name: str, one: Any, two: Any, rtol: float) -> Iterator[str]:
    """What differs between two arrays, record arrays column by column."""
    if one is None or two is None:
        if one is not two:
            yield f"{name}: data in one of them only"
        return
    one, two = np.asarray(one), np.asarray(two)
    if one.shape != two.shape or one.dtype.newbyteorder("=") != two.dtype.newbyteorder("="):
        yield f"{name}: {one.dtype}{one.shape} and {two.dtype}{two.shape}"
    elif one.dtype.names:
        for column in one.dtype.names:
            yield from arrays_apart(f"{name}.{column}", one[column], two[column], rtol)
    else:
        yield from places_apart(name, one, two, rtol)


def places_apart(name: str, one: np.ndarray, two: np.ndarray, rtol: float) -> Iterator[str]:
    """Where two arrays of one shape and kind differ."""
    unlike = one != two
    if one.dtype.kind in "fc":
        unlike &= ~(np.isnan(one) & np.isnan(two))
        if rtol:
            unlike &= ~np.isclose(one, two, rtol=rtol, atol=0, equal_nan=True)
    if not np.any(unlike):
        return
    where = [tuple(int(i) for i in place) for place in np.argwhere(unlike)[:FAR_OFF]]
    far = ""
    if one.dtype.kind in "fiu":
        far = f", by {np.nanmax(np.abs(one.astype(float) - two.astype(float))):g} at most"
    pairs = ", ".join(f"{place}: {one[place]!r} and {two[place]!r}" for place in where)
    yield f"{name}: {np.count_nonzero(unlike)} of {one.size} values differ{far} ({pairs})"


def json_apart(before: Path, after: Path, rtol: float) -> Iterator[str]:
    """What differs between two JSON files, apart from the time of day and the code."""
    one, two = (plain(json.loads(path.read_text(encoding="utf-8"))) for path in (before, after))
    yield from values_apart("", one, two, rtol)


def plain(value: Any) -> Any:
    """Without what tells of the run and of the code."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items() if not of_the_day(str(key))}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def of_the_day(key: str) -> bool:
    """Whether a key tells of the run and of the code."""
    return OF_THE_DAY.match(key) is not None


def values_apart(name: str, one: Any, two: Any, rtol: float) -> Iterator[str]:
    """Where two nested values differ."""
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        for key in sorted(one.keys() | two.keys()):
            yield from values_apart(f"{name}.{key}".lstrip("."), one.get(key), two.get(key), rtol)
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for number, (first, second) in enumerate(zip(one, two, strict=True)):
            yield from values_apart(f"{name}[{number}]", first, second, rtol)
    elif not alike(one, two, rtol):
        yield f"{name}: {one!r} and {two!r}"


def alike(one: Any, two: Any, rtol: float) -> bool:
    """Whether two plain values are the same; NaN is like NaN."""
    if isinstance(one, float) and isinstance(two, float):
        return bool(np.isclose(one, two, rtol=rtol, atol=0, equal_nan=True))
    return type(one) is type(two) and bool(one == two)


def pictures_apart(before: Path, after: Path, rtol: float) -> Iterator[str]:
    """What differs between two pictures, all screens of a moving one."""
    with Image.open(before) as one, Image.open(after) as two:
        if (count := getattr(one, "n_frames", 1)) != getattr(two, "n_frames", 1):
            yield "another number of screens"
            return
        for screen in range(count):
            one.seek(screen)
            two.seek(screen)
            first, second = (np.asarray(image.convert("RGB")) for image in (one, two))
            yield from arrays_apart(f"screen {screen}", first, second, 0.0)


def lines_apart(before: Path, after: Path, rtol: float) -> Iterator[str]:
    """The first line in which two other files differ."""
    one, two = (path.read_bytes().splitlines() for path in (before, after))
    if len(one) != len(two):
        yield f"{len(one)} and {len(two)} lines"
    for number, (first, second) in enumerate(zip(one, two, strict=False), start=1):
        if first != second:
            yield f"line {number}: {first[:200]!r} and {second[:200]!r}"
            return


COMPARERS = {
    ".fits": fits_apart,
    ".fz": fits_apart,
    ".ecsv": tables_apart,
    ".json": json_apart,
    ".png": pictures_apart,
    ".gif": pictures_apart,
    ".webp": pictures_apart,
}


def main(words: Sequence[str] | None = None) -> int:
    """Compare the folders that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--but", action="append", default=[], help="a pattern of files that are not compared")
    parser.add_argument("--rtol", type=float, default=0.0, help="by which numbers may differ; 0: not at all")
    asked = parser.parse_args(words)
    for folder in (asked.before, asked.after):
        if not folder.is_dir():
            parser.error(f"{folder}: no such folder")
    found = list(differences(asked.before, asked.after, but=asked.but, rtol=asked.rtol))
    for text in found:
        print(text)
    compared = len(files_of(asked.before, (*NOT_COMPARED, *asked.but)))
    print(f"{len(found)} differences in {compared} files" if found else f"the same in {compared} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
