"""Names of files and folders that follow from the words of a night."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain, count
from pathlib import PurePath
from typing import TypeVar

from potpyri_like.frame import FrameInfo
from potpyri_like.night.amplifiers import part_in_words
from potpyri_like.night.files import NIGHT_TABLE, RUN_RECORD
from potpyri_like.store import OWN_FOLDER

__all__ = ["band_slug", "bare_reason", "dated", "set_folders", "set_marks", "slug", "with_folder"]

_OWN_NAMES = ("cals", "log", OWN_FOLDER, NIGHT_TABLE, RUN_RECORD, "report.html")
_SIGNS = {
    "'": "prime",
    "′": "prime",
    "´": "prime",
    "`": "prime",
    "’": "prime",
    '"': "second",
    "*": "star",
    "/": "over",
}
_LONGEST_NAME = 80  # bytes; file systems take 255, and names get prefixes and suffixes


def with_folder(file: str, reason: str) -> str:
    """A reason that begins with the bare name of a frame, with its path within the night instead."""
    name = PurePath(file).name
    for bare in (name, name.rpartition("[")[0]):
        if bare and reason.startswith(f"{bare}:"):
            return file + reason[len(bare) :]
    return reason


def bare_reason(file: str, reason: str) -> str:
    """A reason without the name of its frame in front, as it stands beside that name in a table.

    Parameters
    ----------
    file : str
        The frame's path within the night, with the plane where there is one.
    reason : str
    """
    name = PurePath(file).name
    for whole in (file, name, file.rpartition("[")[0], name.rpartition("[")[0]):
        if whole and reason.startswith(f"{whole}: "):
            return reason[len(whole) + 2 :]
    return reason


def set_folders(firsts: Mapping[tuple, FrameInfo]) -> dict[tuple, str]:
    """A folder for each set: target/band, with more where two sets would share one.

    Parameters
    ----------
    firsts : mapping of tuple to FrameInfo
        A frame of each set, by `set_key`.
    """
    keys = sorted(firsts, key=str)
    targets = _different({key[0]: slug(firsts[key].target or "unnamed") for key in keys})
    bands = _telling({firsts[key].band for key in keys})
    plain = {key: f"{targets[key[0]]}/{bands[firsts[key].band]}" for key in keys}
    shared = Counter(name.casefold() for name in plain.values())
    return _different(
        {
            key: name if shared[name.casefold()] == 1 else name + _suffix(firsts[key])
            for key, name in plain.items()
        }
    )


def _telling(bands: Iterable[str]) -> dict[str, str]:
    """A name for each band, from itself alone, but where letters of another case are all that tells two apart."""
    names = {band: band_slug(band) for band in sorted(bands)}
    alike: dict[str, list[str]] = {}
    for band, name in names.items():
        alike.setdefault(name.casefold(), []).append(band)
    own = {
        band
        for group in alike.values()
        for band in group
        if group == [band] or _is_the_one(band, group, names)
    }
    return {band: name if band in own else f"{name}_{_cases(band)}" for band, name in names.items()}


def _is_the_one(band: str, group: Iterable[str], names: Mapping[str, str]) -> bool:
    """Whether a band alone, of some whose names are alike, is what its name is."""
    return [other for other in group if names[other] == other] == [band]


def _cases(text: str) -> str:
    """Which of its letters are capitals, in words; of a longer text as a number."""
    if len(text) == 1:
        return "capital" if text.isupper() else "small"
    if not text:
        return "unnamed"
    return f"{zlib.crc32(text.encode(errors='surrogateescape')):08x}"


def band_slug(band: str) -> str:
    """The name of a band as part of a file's or a folder's: signs that no name of a file can have are in words.

    r' is r_prime, so that r and r' are two folders, in whatever night.
    """
    dots = re.sub(r"^\.+|\.+$|\.\.+", "_dot_", band.strip())
    words = "".join(f"_{_SIGNS[sign]}_" if sign in _SIGNS else sign for sign in dots)
    return slug(re.sub("_+", "_", words)) if band.strip() else "clear"


def dated(path: str, night: str) -> str:
    """A path within the output folder, below the folder of a night where one is given: YYYYMMDD/path."""
    return f"{night.replace('-', '')}/{path}" if night else path


def set_marks(firsts: Mapping[tuple, FrameInfo]) -> dict[tuple, str]:
    """What tells each set from the others of its target, camera and band, in words; "" for the only one.

    Parameters
    ----------
    firsts : mapping of tuple to FrameInfo
        A frame of each set, by `set_key`.
    """
    alike: dict[tuple, list[tuple]] = {}
    for key, info in firsts.items():
        alike.setdefault((info.target, info.camera, info.band), []).append(key)
    marks = dict.fromkeys(firsts, "")
    for keys in alike.values():
        words = [_words_of(firsts[key]) for key in keys]
        telling = [one for one in range(len(words[0])) if len({each[one] for each in words}) > 1]
        if len(keys) > 1:
            marks |= {
                key: ", ".join(filter(None, (each[one] for one in telling)))
                for key, each in zip(keys, words, strict=True)
            }
    return marks


def _words_of(info: FrameInfo) -> tuple[str, ...]:
    """What two sets of one target, camera and band may differ in."""
    return (
        f"binning {info.binning[0]}x{info.binning[1]}",
        info.readout,
        f"gain {info.gain_setting or 'unknown'}",
        f"offset {info.offset or 'unknown'}",
        part_in_words(info.window) if info.window is not None else "",
    )


def _suffix(info: FrameInfo) -> str:
    """Camera, binning, readout and the place of a window, for the name of a folder."""
    parts = [
        slug(info.camera),
        f"{info.binning[0]}x{info.binning[1]}",
        *([slug(info.readout)] if info.readout else []),
        *([f"gain{slug(info.gain_setting)}"] if info.gain_setting else []),
        *(["at_{}_{}".format(*info.window)] if info.window and any(info.window[:2]) else []),
        *(["{2}x{3}".format(*info.window)] if info.window and info.tiles else []),
    ]
    return "".join(f"_{part}" for part in parts)


_Key = TypeVar("_Key")


def _different(names: Mapping[_Key, str]) -> dict[_Key, str]:
    """The names, numbered where two are the same in any letter case."""
    found: dict[_Key, str] = {}
    taken: set[str] = set()
    for key, name in names.items():
        numbered = chain([name], (f"{name}_{number}" for number in count(2)))
        found[key] = next(other for other in numbered if other.casefold() not in taken)
        taken.add(found[key].casefold())
    return found


def slug(text: str) -> str:
    """A name that is safe as a folder: letters, digits, ``+ - _ .``; short, not hidden, none of ours."""
    clean = re.sub(r"[^\w+.-]+", "_", unicodedata.normalize("NFC", text)).strip("._").lstrip("-._")
    clean = clean.encode()[:_LONGEST_NAME].decode(errors="ignore").rstrip("._") or "unnamed"
    return f"{clean}_" if clean.casefold() in _OWN_NAMES else clean
