"""The user's library of masters of earlier nights, and folders of masters: what lies there, and its pixels."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from pathlib import Path

import numpy as np
from astropy.io import fits

from potpyri_like.errors import ProductError
from potpyri_like.frame import Pixels
from potpyri_like.store.output import Output, images_in
from potpyri_like.store.words import one_line

__all__ = [
    "LARGEST_MASTER",
    "LibraryEntry",
    "add_entry",
    "entry_of",
    "library_path",
    "masters_in",
    "read_entries",
    "read_entry",
]

_INDEX = "index.json"
_KINDS = ("bias", "dark", "flat")
LARGEST_MASTER = 2**31  # bytes of a master
_BLOCKS = 8  # along each axis, of the shape that is remembered of a flat


@dataclass(frozen=True)
class LibraryEntry:
    """A master that a library holds.

    Attributes
    ----------
    file : str
        Its name in the folder.
    kind, camera, band, binning, readout, filter_mode : str
        Of the frames it was made of.
    shape : tuple of int
        Rows, columns.
    exposure : float
        s
    night : str
        The date of its evening, YYYY-MM-DD.
    frames : int
        That were combined.
    has_bias : bool
        Of a dark: whether the bias was subtracted from it.
    photons : float
        See `Master.photons`.
    temperature : float or None
        Of the detector, degrees Celsius.
    gain_setting, offset : str
    level, error : float
        Of a bias its level, electron; of a dark its current, electron/s; of a flat 1; and the error of that.
    blocks : tuple of float
        Of a flat: its shape in 8 x 8 parts of it.
    sha256 : str
    """

    file: str
    kind: str
    camera: str
    band: str
    binning: str
    readout: str
    filter_mode: str
    shape: tuple[int, ...]
    exposure: float
    night: str
    frames: int
    has_bias: bool
    photons: float
    temperature: float | None
    gain_setting: str
    offset: str
    level: float
    error: float
    blocks: tuple[float, ...]
    sha256: str

    @property
    def series(self) -> tuple:
        """What the masters share that can be compared from night to night."""
        exposure = round(self.exposure, 1) if self.kind == "dark" else 0.0
        temperature = (
            round(self.temperature / 5) if self.temperature is not None and self.kind == "dark" else None
        )
        return (*self.detector, self.kind, self.band, self.has_bias, exposure, temperature)

    @property
    def detector(self) -> tuple:
        """The pixels it belongs to, and how they were read and filtered."""
        return (
            self.camera,
            self.binning,
            self.readout,
            self.shape,
            self.gain_setting,
            self.offset,
            self.filter_mode,
        )


def library_path(instrument: str) -> Path:
    """Where the user's library for an instrument lies, whether there is one or not; in $XDG_DATA_HOME."""
    base = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share")
    base = base if base.is_absolute() else Path("~/.local/share").expanduser()
    return base / "potpyri-like" / "library" / instrument


def read_entries(folder: Path) -> list[LibraryEntry]:
    """What a library holds; nothing where there is none, or its index cannot be understood.

    Raises
    ------
    ProductError
        There is an index that cannot be read.
    """
    try:
        content = json.loads(Output(folder).read_bytes(_INDEX))
        rows = content["entries"]
        return [entry for row in rows if (entry := _checked(row)) is not None]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ProductError(
            f"{folder / _INDEX}: the index of the library cannot be read ({one_line(str(error))}); remove it, and add"
            " the nights again with reduce library add NIGHT"
        ) from error


def _checked(row: Mapping[str, object]) -> LibraryEntry | None:
    """An entry out of an index; None where it is none that we write."""
    names = {item.name for item in fields(LibraryEntry)}
    if (
        not isinstance(row, Mapping)
        or set(row) != names
        or row["kind"] not in _KINDS
        or "/" in str(row["file"])
    ):
        return None
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return LibraryEntry(**values)  # type: ignore[arg-type]


def add_entry(folder: Path, entry: LibraryEntry, content: bytes) -> LibraryEntry:
    """Put a master into a library; one of the same night and kind is replaced.

    Raises
    ------
    ProductError
        It cannot be written.
    """
    output = Output(folder)
    output.make()
    others = [
        other for other in read_entries(folder) if (other.series, other.night) != (entry.series, entry.night)
    ]
    taken = {other.file for other in others}
    names = (entry.file if n == 1 else entry.file.replace(".fits", f"_{n}.fits") for n in range(1, 1000))
    entry = replace(entry, file=next(name for name in names if name not in taken))
    output.write_bytes(entry.file, content)
    entries = sorted([*others, entry], key=lambda one: (one.night, one.file))
    output.write_json(_INDEX, {"entries": [asdict(one) for one in entries]})
    return entry


def read_entry(folder: Path, entry: LibraryEntry) -> Pixels:
    """The pixels of a master.

    Raises
    ------
    ProductError
        It is not as it was when it was added.
    """
    try:
        content = Output(folder).read_bytes(entry.file)
    except OSError as error:
        raise ProductError(f"{folder / entry.file}: it cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ProductError(
            f"{folder / entry.file}: it has changed since it was added; add its night again with reduce library"
            " add NIGHT"
        )
    data, mask, error_plane = images_in(io.BytesIO(content))
    return Pixels(data, np.square(error_plane), mask)


def masters_in(folder: Path, say: Callable[[str], object]) -> list[LibraryEntry]:
    """The masters that lie in a folder; `say` is told of the FITS files that are none.

    Raises
    ------
    ProductError
        The folder cannot be looked into.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".fits", ".fit"))
    except OSError as error:
        raise ProductError(f"{folder}: no masters can be read there ({error.strerror or error})") from error
    found = []
    for path in paths:
        entry = entry_of(path.name, Output(folder).read_bytes(path.name)) if _is_master_sized(path) else None
        if entry is None:
            say(f"{path}: it is not a master written by this software; it is not used")
        else:
            found.append(entry)
    return found


def _is_master_sized(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size < LARGEST_MASTER


def entry_of(name: str, content: bytes) -> LibraryEntry | None:
    """What a master says of itself; None where it is none that we wrote."""
    try:
        with fits.open(io.BytesIO(content), memmap=False) as hdus:
            header = hdus[0].header
            planes = [hdus[0].data, hdus["MASK"].data, hdus["ERR"].data]
            if any(plane is None or plane.ndim != 2 or plane.shape != planes[0].shape for plane in planes):
                return None
            return _described(name, header, planes, hashlib.sha256(content).hexdigest())
    except (OSError, KeyError, ValueError, TypeError, IndexError):
        return None


def _described(
    name: str, header: fits.Header, planes: Iterable[np.ndarray], sha256: str
) -> LibraryEntry | None:
    """An entry from the cards and planes of a master."""
    data, mask, error = planes
    kind = str(header["OBJECT"]).removeprefix("master ")
    if kind not in _KINDS:
        return None
    good = mask == 0
    value, exposure = float(np.median(data[good])) if good.any() else math.nan, float(header["EXPTIME"])
    noise = float(np.median(error[good])) / math.sqrt(max(good.sum(), 1)) if good.any() else math.nan
    per = exposure if kind == "dark" and exposure > 0 else 1.0
    temperature = header.get("DETTEMP")
    return LibraryEntry(
        file=name,
        kind=kind,
        camera=str(header["CAMERA"]),
        band=str(header["BAND"]),
        binning=str(header["BINNING"]),
        readout=str(header["READOUT"]),
        filter_mode=str(header["FILTER3"]),
        shape=tuple(int(n) for n in data.shape),
        exposure=exposure,
        night=_date_of(str(header["NIGHT"])),
        frames=int(header["NCOMBINE"]),
        has_bias=float(header["BIASPART"]) > 0,
        photons=float(header["PHOTONS"]),
        temperature=None if temperature is None else float(temperature),
        gain_setting=str(header["GAINSET"]),
        offset=str(header["OFFSET"]),
        level=value / per,
        error=noise / per,
        blocks=tuple(_blocks(data, good)) if kind == "flat" else (),
        sha256=sha256,
    )


def _date_of(text: str) -> str:
    """A date as YYYY-MM-DD; "" where it is none."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _blocks(data: np.ndarray, good: np.ndarray) -> list[float]:
    """The median of each of 8 x 8 parts of an image."""
    rows, columns = (np.array_split(np.arange(size), _BLOCKS) for size in data.shape)
    return [
        float(np.median(part)) if (part := data[np.ix_(r, c)][good[np.ix_(r, c)]]).size else math.nan
        for r in rows
        for c in columns
    ]
