"""The only reader of raw files and the only writer of anything.

Raw files are opened read-only. What is written goes to a temporary name in the same folder, is synced, and only
then gets its own name: a product is whole or absent.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import Table

from potpyri_like.errors import HeaderError, PixelError, ProductError
from potpyri_like.header import RawHeader

__all__ = ["Output", "Scratch", "is_raw_name", "read_header", "read_raw", "read_table", "sha256"]

SUFFIXES = (".fit", ".fits", ".fts")
PACKED = (".gz", ".fz", ".bz2")
BROKEN = (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError)


def is_raw_name(name: str) -> bool:
    """Whether a file of that name may hold a raw frame."""
    lower = name.lower()
    for packed in PACKED:
        lower = lower.removesuffix(packed)
    return lower.endswith(SUFFIXES) and not name.startswith(".")


def read_header(path: Path, *, inside: str = "") -> RawHeader:
    """The headers of a raw file.

    Parameters
    ----------
    path : Path
    inside : str
        Its path within the night.

    Raises
    ------
    HeaderError
        It is no FITS file, cannot be read, or is shorter than its header says.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, mode="readonly", memmap=False) as hdus:
                headers = tuple(hdu.header.copy() for hdu in hdus)
                check_length(path, hdus)
    except PermissionError as error:
        raise HeaderError(f"{path.name}: it may not be read ({error.strerror}); the frame is left out") from error
    except BROKEN as error:
        raise HeaderError(f"{path.name}: it is not a readable FITS file ({error}); the frame is left out") from error
    return RawHeader(path, headers, inside or path.name)


def check_length(path: Path, hdus: fits.HDUList) -> None:
    """Raise a PixelError where a plain file ends before its last image does."""
    if path.suffix.lower() in PACKED[::2]:
        return
    last = hdus[-1].fileinfo()
    if last is None:
        return
    wanted, found = last["datLoc"] + last["datSpan"], path.stat().st_size
    unpadded = last["datLoc"] + abs(hdus[-1].header.get("BITPIX", 8)) // 8 * naxis_product(hdus[-1].header)
    if found < min(wanted, unpadded):
        raise PixelError(
            f"{path.name}: truncated: {found} bytes where its header announces {wanted}; the frame is left out"
        )


def naxis_product(header: fits.Header) -> int:
    axes = [int(header[f"NAXIS{i}"]) for i in range(1, int(header.get("NAXIS", 0)) + 1)]
    return int(np.prod(axes, dtype=np.int64)) if axes else 0


def read_raw(
    path: Path, wanted: Callable[[RawHeader], Iterable[int]], *, plane: int | None = None
) -> tuple[RawHeader, dict[int, np.ndarray]]:
    """The headers of a raw file and those of its images that are wanted, as they are, in native byte order.

    Parameters
    ----------
    path : Path
    wanted : callable
        Gets the headers; gives the HDUs wanted.
    plane : int or None
        The plane of a cube.

    Returns
    -------
    header : RawHeader
    images : dict of int to ndarray
        2-D arrays by HDU.

    Raises
    ------
    HeaderError
        `wanted` raised it.
    PixelError
        The pixels cannot be read, or are all the same.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, mode="readonly", memmap=False) as file:
                header = RawHeader(path, tuple(hdu.header.copy() for hdu in file), path.name)
                images = {hdu: native(file[hdu].data, plane) for hdu in wanted(header)}
    except BROKEN as error:
        raise PixelError(f"{path.name}: its pixels cannot be read ({error}); the frame is left out") from error
    for hdu, image in images.items():
        if image.min() == image.max():
            raise PixelError(
                f"{path.name}: every pixel of HDU {hdu} is {image.flat[0]:g}: no exposure; the frame is left out"
            )
    return header, images


def native(data: np.ndarray, plane: int | None) -> np.ndarray:
    """One image in native byte order, C-contiguous."""
    image = data if plane is None else data.reshape(-1, *data.shape[-2:])[plane]
    return np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("="))


def read_table(path: Path) -> Table:
    """A table that we wrote, ECSV.

    Raises
    ------
    HeaderError
        It cannot be read any more.
    """
    try:
        return Table.read(path, format="ascii.ecsv")
    except BROKEN as error:
        raise HeaderError(
            f"{path.name}: it cannot be read as a table any more ({error}); mend it, or delete it to start afresh"
        ) from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Output:
    """The folder that everything is written to.

    Attributes
    ----------
    root : Path
    """

    root: Path

    def make(self) -> None:
        """Make the folder and prove that it can be written to.

        Raises
        ------
        ProductError
            It cannot.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise ProductError(
                f"{self.root}: nothing can be written there ({error.strerror}); choose another folder with --out DIR"
            ) from error

    def write(self, name: str, fill: Callable[[BinaryIO], Any]) -> Path:
        """Write a product atomically.

        Parameters
        ----------
        name : str
            Its path within the folder.
        fill : callable
            Gets the open binary file.

        Raises
        ------
        ProductError
            The disk is full, or the folder cannot be written to.
        """
        path = self.root / name
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                temporary = Path(file.name)
                fill(file)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~current_umask())
            temporary.replace(path)
        except OSError as error:
            raise ProductError(f"{path}: it cannot be written ({error.strerror or error})") from error
        finally:
            if temporary is not None and temporary.exists():
                temporary.unlink()
        return path

    def write_bytes(self, name: str, content: bytes) -> Path:
        return self.write(name, lambda file: file.write(content))

    def write_text(self, name: str, text: str) -> Path:
        return self.write_bytes(name, text.encode())

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        return self.write_text(name, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")

    def write_table(self, name: str, table: Table) -> Path:
        """Write a table as ECSV."""
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        return self.write_text(name, text.getvalue())

    def write_fits(self, name: str, hdus: fits.HDUList) -> Path:
        """Write a FITS file with checksums."""
        return self.write(name, lambda file: hdus.writeto(file, checksum=True))


def current_umask() -> int:
    """The process's umask (there is no way to read it but to set it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Scratch:
    """Frames of one shape waiting on disk to be combined; read back in parts, gone when closed.

    Attributes
    ----------
    shape : (int, int)
        Rows, columns of each frame, float32.
    """

    def __init__(self, shape: tuple[int, int], folder: Path) -> None:
        self.shape = shape
        self._file = tempfile.TemporaryFile(dir=folder)
        self._frames = 0

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._frames

    def append(self, image: np.ndarray) -> None:
        """Keep one frame."""
        self._file.write(np.ascontiguousarray(image, dtype=np.float32).data)
        self._file.flush()
        self._frames += 1

    def chunk(self, first: int, last: int) -> np.ndarray:
        """Pixels `first` to `last` (excluded) of all flattened frames, shape (n_frames, last - first)."""
        size = self.shape[0] * self.shape[1]
        values = np.empty((self._frames, last - first), np.float32)
        for index, row in enumerate(values):
            start = 4 * (index * size + first)
            os.preadv(self._file.fileno(), [row.data.cast("B")], start)
        return values
