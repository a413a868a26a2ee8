"""Files that look like frames by their names and are not opened: what they are, and what to do with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from potpyri_like.store.packed import FITS_ENDINGS, PACKED_ENDINGS, frames_in_zip

__all__ = ["Unopened", "unopened_among"]

_NAMED = 3  # of many files


@dataclass(frozen=True)
class _Kind:
    """A form of files that may hold frames.

    Attributes
    ----------
    what : str
    endings : tuple of str
        Of their names, in small letters.
    remedy : str
    are_frames : bool
        Nothing else has such names.
    """

    what: str
    endings: tuple[str, ...]
    remedy: str
    are_frames: bool = True


_AS_FITS = "convert them to FITS, without debayering (Siril, ASTAP and PixInsight do)"
_CAMERA_RAW = tuple(
    f".{name}"
    for name in re.findall(r"\w+", "cr2 cr3 crw nef nrw arw srf sr2 raf orf rw2 pef dng 3fr mrw x3f srw")
)
# Packers that Python's standard library does not have before 3.14
_PACKERS = (".z", ".zst", ".lz4", ".lz", ".lzo", ".br", ".7z", ".rar", ".tar", ".tgz")
_KINDS = (
    _Kind(
        "packed FITS file",
        tuple(fits + packer for fits in FITS_ENDINGS for packer in _PACKERS),
        "unpack them, or pack them with gzip or fpack",
    ),
    _Kind(
        "camera raw file",
        _CAMERA_RAW,
        _AS_FITS,
    ),
    _Kind(
        "SER video",
        (".ser",),
        "convert them to FITS, one file for each exposure, with their times (Siril does)",
    ),
    _Kind(
        "ADV video",
        (".adv", ".aav"),
        "convert them to FITS, one file for each exposure, with their times (Tangra does)",
    ),
    _Kind("XISF file", (".xisf",), "convert them to FITS (PixInsight and Siril do)"),
    _Kind("IRAF image", (".imh",), "convert them to FITS (wfits in IRAF does)"),
    _Kind(
        "TIFF image",
        (".tif", ".tiff"),
        "if they are raw frames, convert them to FITS, with their times",
        are_frames=False,
    ),
)
_ARCHIVES = _Kind("zip archive", (".zip",), "several frames are in each; unpack them")
_IN_ARCHIVES = (
    _Kind(
        "archive",
        (".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"),
        "if there are frames in them, unpack them",
        are_frames=False,
    ),
)


@dataclass(frozen=True)
class Unopened:
    """Files of one form that are not opened.

    Attributes
    ----------
    what : str
        The form, of one of them.
    names : tuple of str
        Their paths within the night.
    remedy : str
        What to do.
    are_frames : bool
        Nothing else has such names.
    """

    what: str
    names: tuple[str, ...]
    remedy: str
    are_frames: bool = True

    @property
    def many(self) -> str:
        """How many, of what."""
        return f"{len(self.names)} {self.what}{'s' * (len(self.names) != 1)}"

    def __str__(self) -> str:
        more = len(self.names) - _NAMED
        named = ", ".join(self.names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"{self.many} cannot be opened ({named}): {self.remedy}"


def unopened_among(files: Iterable[Path], frames: Collection[Path], root: Path) -> Iterator[Unopened]:
    """What looks like frames among some files and is not opened, by its form.

    A file beside a frame of the same name is a copy of that, and an archive of frames that are there as well.

    Parameters
    ----------
    files : iterable of Path
        Those that are no frames by their names.
    frames : collection of Path
        Those that are.
    root : Path
        Of the night.
    """
    beside = {path.with_name(_stem(path.name)) for path in frames}
    names = {path.name.casefold() for path in frames}
    found: dict[_Kind, list[str]] = {}
    for path in files:
        kind = _kind_of(path, names)
        if kind is not None and path.with_name(_stem(path.name)) not in beside:
            found.setdefault(kind, []).append(path.relative_to(root).as_posix())
    for kind, paths in found.items():
        yield Unopened(kind.what, tuple(sorted(paths)), kind.remedy, kind.are_frames)


def _kind_of(path: Path, names: Collection[str]) -> _Kind | None:
    """The form of a file that may hold frames; None for others."""
    name = path.name.lower()
    if name.startswith("."):
        return None
    if name.endswith(_ARCHIVES.endings):
        inside = {Path(member).name.casefold() for member in frames_in_zip(path)}
        return _ARCHIVES if inside - set(names) else None
    return next((kind for kind in (*_KINDS, *_IN_ARCHIVES) if name.endswith(kind.endings)), None)


def _stem(name: str) -> str:
    """The name without all that tells its form, in small letters."""
    name = name.lower()
    endings = (*PACKED_ENDINGS, *_PACKERS, *FITS_ENDINGS, *(e for kind in _KINDS for e in kind.endings))
    while (ending := next((e for e in endings if name.endswith(e) and len(name) > len(e)), "")) != "":
        name = name[: -len(ending)]
    return name
