"""The raw files of a folder, and what is ours in it."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from potpyri_like.errors import NightError, UsageError
from potpyri_like.store import OWN_FOLDER, Unopened, is_raw_name, one_line, unopened_among
from potpyri_like.store.packed import frames_in_zip

__all__ = ["NIGHT_TABLE", "RUN_RECORD", "Listing", "check_apart", "check_is_folder", "is_ours", "list_files"]

log = logging.getLogger(__name__)
NIGHT_TABLE, RUN_RECORD = "night.ecsv", "run.json"
_ELSEWHERE = "a link that leaves the night is not followed; put the frames themselves there"


@dataclass(frozen=True)
class Listing:
    """What lies in a night's folder.

    Attributes
    ----------
    files : tuple of Path
        Those that may be raw frames, in order.
    closed : tuple of OSError
        What befell folders that cannot be looked into.
    odd : tuple of (Path, str)
        Links that lead nowhere or out of the night, pipes and devices, each with what is wrong; they are passed over.
    unopened : tuple of Unopened
        What looks like frames and is not opened, by its form.
    """

    files: tuple[Path, ...]
    closed: tuple[OSError, ...] = ()
    odd: tuple[tuple[Path, str], ...] = ()
    unopened: tuple[Unopened, ...] = ()

    @property
    def strangers(self) -> int:
        """How many links leave the night."""
        return sum(why == _ELSEWHERE for _, why in self.odd)


def check_apart(root: Path, output: Path) -> None:
    """Raise a UsageError where products would lie among raw files."""
    if output.resolve() == root.resolve():
        raise UsageError(
            f"--out {output}: that is the night itself; choose a folder of its own for the products"
        )
    inside = output.is_dir() and output.resolve().is_relative_to(root.resolve())
    if inside and output.name != OWN_FOLDER and not is_ours(output) and _raw_names(output, None).files:
        raise UsageError(f"--out {output}: raw files of the night lie there; choose another folder")


def check_is_folder(root: Path) -> None:
    """Raise a NightError where there is no folder of that name."""
    if not root.is_dir():
        what = "it is a file, whereas a folder is expected" if root.exists() else "there is no such folder"
        raise NightError(f"{root}: {what}")


def list_files(root: Path, skip: Path | None) -> Listing:
    """The raw files below a folder.

    Raises
    ------
    NightError
        There is none, or no folder.
    """
    check_is_folder(root)
    if is_ours(root):
        raise NightError(
            f"{root}: that folder contains the products of an earlier run; give the folder of the raw frames"
        )
    listing = _raw_names(root, skip)
    if listing.strangers:
        log.warning("%s: %d links that point outside the night are ignored", root, listing.strangers)
    if not listing.files:
        closed = "".join(f"; {one_line(str(error))}" for error in listing.closed[:3])
        links = f"; {listing.strangers} links that point outside it are ignored" if listing.strangers else ""
        others = "".join(f"; {each}" for each in listing.unopened)
        raise NightError(
            f"{root}: no .fit, .fits or .fts file in it or its subfolders{links}{closed}{others}"
        )
    return listing


def _raw_names(root: Path, skip: Path | None) -> Listing:
    """Files that may be raw below a folder; products, hidden files and links elsewhere are passed over."""
    top, avoid = root.resolve(), None if skip is None else skip.resolve()
    files: list[Path] = []
    closed: list[OSError] = []
    odd: list[tuple[Path, str]] = []
    others: list[Path] = []
    for folder, folders, names in os.walk(root, onerror=closed.append):
        here = Path(folder)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
        folders[:] = sorted(name for name in folders if _is_searched(here / name, avoid))
        raw = [name for name in names if is_raw_name(name) or _is_zipped_frame(here / name)]
        others += [here / name for name in {*names}.difference(raw)]
        for name in sorted([*raw, *links]):
            why = _oddity(os.path.join(folder, name), top)  # noqa: PTH118  (quicker)
            if why:
                odd.append((here / name, why))
            elif name not in links:
                files.append(here / name)
    unopened = tuple(unopened_among(sorted(others), files, root))
    return Listing(tuple(sorted(files)), tuple(closed), tuple(odd), unopened)


def _is_zipped_frame(path: Path) -> bool:
    """Whether a file is a zip archive of one frame, whatever its name."""
    return path.suffix.lower() == ".zip" and len(frames_in_zip(path)) == 1


def _oddity(path: str, top: Path) -> str:
    """Why a name is passed over that may be one of a raw frame; "" for a file, or a folder of the night."""
    try:
        linked = stat.S_ISLNK(os.lstat(path).st_mode)
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError as error:
        return f"it cannot be accessed ({error.strerror}); the frame is rejected"
    if linked and not Path(path).resolve().is_relative_to(top):
        return _ELSEWHERE
    plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return "" if plain else "it is not a regular file, but a pipe, a device or a socket; it is rejected"


def _is_searched(folder: Path, avoid: Path | None) -> bool:
    """Whether a folder within the night may hold raw files."""
    if folder.name.startswith(".") or folder.name == OWN_FOLDER or is_ours(folder):
        return False
    return avoid is None or folder.resolve() != avoid


def is_ours(folder: Path) -> bool:
    """Whether a folder holds the products of an earlier run."""
    beside = [folder / name for name in ("log", "cals", RUN_RECORD)]
    # os.path: a folder without permission is not ours, and no PermissionError
    return os.path.isfile(folder / NIGHT_TABLE) and any(map(os.path.exists, beside))  # noqa: PTH113
