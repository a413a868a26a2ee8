"""Names of files and folders that follow from the words of a night."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from itertools import chain, count
from pathlib import PurePath
from typing import TypeVar

from potpyri_like.frame import FrameInfo
from potpyri_like.night.files import NIGHT_TABLE, RUN_RECORD
from potpyri_like.store import OWN_FOLDER

__all__ = ["dated", "set_folders", "slug", "with_folder"]

_OWN_NAMES = ("cals", "log", OWN_FOLDER, NIGHT_TABLE, RUN_RECORD, "report.html")
_LONGEST_NAME = 80  # bytes; file systems take 255, and names get prefixes and suffixes


def with_folder(file: str, reason: str) -> str:
    """A reason that begins with the bare name of a frame, with its path within the night instead."""
    name = PurePath(file).name
    for bare in (name, name.rpartition("[")[0]):
        if bare and reason.startswith(f"{bare}:"):
            return file + reason[len(bare) :]
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
    plain = {key: f"{targets[key[0]]}/{slug(firsts[key].band or 'clear')}" for key in keys}
    shared = Counter(name.casefold() for name in plain.values())
    return _different(
        {
            key: name if shared[name.casefold()] == 1 else name + _suffix(firsts[key])
            for key, name in plain.items()
        }
    )


def dated(path: str, night: str) -> str:
    """A path within the output folder, below the folder of a night where one is given: YYYYMMDD/path."""
    return f"{night.replace('-', '')}/{path}" if night else path


def _suffix(info: FrameInfo) -> str:
    """Camera, binning and readout, for the name of a folder."""
    parts = [
        slug(info.camera),
        f"{info.binning[0]}x{info.binning[1]}",
        *([slug(info.readout)] if info.readout else []),
        *([f"gain{slug(info.gain_setting)}"] if info.gain_setting else []),
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
