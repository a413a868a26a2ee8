"""The only reader of raw files and the only writer of anything.

Raw files are opened read-only, and with distrust. What is written goes to a temporary name in the same
folder, is synced, and only then gets its own name: a product is whole or absent.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib
import io
import json
import math
import os
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import Table

from potpyri_like.errors import FrameError, HeaderError, PixelError, ProductError
from potpyri_like.header import RawHeader

__all__ = [
    "Output",
    "Scratch",
    "ascii_text",
    "is_raw_name",
    "one_line",
    "printable",
    "read_header",
    "read_raw",
    "read_table",
    "sha256",
    "unpacked_name",
]

SUFFIXES = (".fit", ".fits", ".fts")
PACKED = (".gz", ".fz", ".bz2")
UNPACK: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open}
BITPIX = (8, 16, 32, 64, -32, -64)
MOST_PIXELS = 2**29  # of one image; the largest detectors have 2**28
MOST_PLANES = 100_000
CHECKSUM = "of this HDU"  # astropy's own comment is the time of day
MOST_UNPACKED = 2**32  # bytes
REMEDY = "make room or give the right to write there, or choose another folder with --out DIR"
IMAGES = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)
STANDARD = (*IMAGES, fits.BinTableHDU, fits.TableHDU, fits.GroupsHDU, fits.hdu.base.NonstandardExtHDU)
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    fits.VerifyError,
)


def is_raw_name(name: str) -> bool:
    """Whether a file of that name may hold a raw frame."""
    return unpacked_name(name).lower().endswith(SUFFIXES) and not name.startswith(".")


def unpacked_name(name: str) -> str:
    """The name without .gz, .fz or .bz2."""
    for packed in PACKED:
        if name.lower().endswith(packed):
            return name[: -len(packed)]
    return name


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
        It is no FITS file, or cannot be read.
    PixelError
        It is shorter than its header says, or says what no detector has.
    """
    try:
        with opened(path) as hdus:
            return RawHeader(path, tuple(hdu.header.copy() for hdu in hdus), inside or path.name)
    except FrameError:
        raise
    except PermissionError as error:
        raise HeaderError(
            f"{path.name}: it may not be read ({error.strerror}); the frame is left out"
        ) from error
    except (*BROKEN, cfitsio_error()) as error:
        raise HeaderError(
            f"{path.name}: it is not a readable FITS file ({told(error)}); the frame is left out"
        ) from error


def read_raw(
    path: Path, wanted: Callable[[RawHeader], Iterable[int]], *, plane: int | None = None, inside: str = ""
) -> tuple[RawHeader, dict[int, np.ndarray]]:
    """The headers of a raw file and those of its images that are wanted, as they are, in native byte order.

    Parameters
    ----------
    path : Path
    wanted : callable
        Gets the headers; gives the HDUs wanted.
    plane : int or None
        The plane of a cube: no other is read.
    inside : str
        Its path within the night.

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
        with opened(path) as hdus:
            header = RawHeader(path, tuple(hdu.header.copy() for hdu in hdus), inside or path.name)
            images = {hdu: native(hdus[hdu], plane) for hdu in wanted(header)}
    except FrameError:
        raise
    except (*BROKEN, cfitsio_error()) as error:
        raise PixelError(
            f"{path.name}: its pixels cannot be read ({told(error)}); the frame is left out"
        ) from error
    for hdu, image in images.items():
        check_exposed(path, hdu, image)
    return header, images


# -- reading, with distrust ----------------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[fits.HDUList]:
    """A raw file, read-only, its headers checked; a packed one is unpacked in memory, its checksum verified.

    astropy reads .gz and .bz2 itself, but overlooks a wrong checksum and never ends with some spoilt headers.
    """
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = unpacked(path, file)
        length = source.seek(0, os.SEEK_END)
        source.seek(0)
        with fits.open(source, mode="readonly", memmap=False) as hdus:
            for number, hdu in enumerate(hdus):
                check_hdu(path, number, hdu)
            check_length(path, hdus, source, length)
            yield hdus


def unpacked(path: Path, file: IO[bytes]) -> IO[bytes]:
    """The file, or the content of a .gz or .bz2 file, known by its first bytes."""
    start = file.read(3)
    file.seek(0)
    for magic, unpack in UNPACK.items():
        if start.startswith(magic):
            return copied(path, unpack(file))
    return file


def copied(path: Path, packed: IO[bytes]) -> io.BytesIO:
    """All that comes out of a packed file, within reason."""
    content = io.BytesIO()
    while chunk := packed.read(2**20):
        if content.tell() > MOST_UNPACKED:
            raise PixelError(f"{path.name}: more than {MOST_UNPACKED} bytes unpacked; unpack it beforehand")
        content.write(chunk)
    return content


def check_hdu(path: Path, number: int, hdu: Any) -> None:
    """Raise a PixelError for what no detector makes, before memory is taken for it."""
    header = hdu.header
    naxis, bitpix = header.get("NAXIS"), header.get("BITPIX")
    known = isinstance(naxis, int) and 0 <= naxis <= 999
    axes: list[Any] = [header.get(f"NAXIS{axis}") for axis in range(1, naxis + 1)] if known else [None]
    if bitpix not in BITPIX or not all(isinstance(n, int) and n >= 0 for n in axes):
        what = f"BITPIX = {bitpix!r}, NAXIS = {naxis!r}" + "".join(f", {n!r}" for n in axes if known)
        raise PixelError(f"{path.name}: HDU {number} says {what}, which cannot be; the frame is left out")
    if not isinstance(hdu, STANDARD):
        raise HeaderError(f"{path.name}: the header of HDU {number} is spoilt; the frame is left out")
    if isinstance(hdu, IMAGES) and (math.prod(axes[:2]) > MOST_PIXELS or math.prod(axes[2:]) > MOST_PLANES):
        size = " x ".join(map(str, axes))
        raise PixelError(
            f"{path.name}: HDU {number} announces {size} pixels: too large; the frame is left out"
        )


def check_length(path: Path, hdus: fits.HDUList, source: IO[bytes], found: int) -> None:
    """Raise a PixelError where a file ends before its last image does, or its last extension.

    Parameters
    ----------
    path : Path
    hdus : HDUList
    source : file
    found : int
        Its length, bytes.
    """
    last = hdus[-1].fileinfo()
    wanted = last["datLoc"] + min(last["datSpan"], hdus[-1].size)
    if found < wanted:
        raise PixelError(
            f"{path.name}: truncated: {found} bytes where its header announces {wanted};"
            " the frame is left out"
        )
    source.seek(last["datLoc"] + last["datSpan"])
    announced = hdus[0].header.get("NEXTEND", 0)
    if source.read(8) == b"XTENSION" or (isinstance(announced, int) and len(hdus) - 1 < announced):
        raise PixelError(
            f"{path.name}: truncated or spoilt: only {len(hdus) - 1} extensions can be read;"
            " the frame is left out"
        )


def native(hdu: Any, plane: int | None) -> np.ndarray:
    """One image in native byte order, C-contiguous."""
    image = hdu.data if plane is None else hdu.section[np.unravel_index(plane, hdu.shape[:-2])]
    if image is None or image.ndim != 2:
        raise ValueError(f"its shape is {hdu.shape}, where one image is wanted")
    return np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("="))


def check_exposed(path: Path, hdu: int, image: np.ndarray) -> None:
    """Raise a PixelError where no pixel differs from the others."""
    finite = True if image.dtype.kind in "iu" else np.isfinite(image)
    if not np.any(finite):
        raise PixelError(f"{path.name}: no pixel of HDU {hdu} is a number; the frame is left out")
    some = image.flat[np.argmax(finite)]
    if np.min(image, where=finite, initial=some) == np.max(image, where=finite, initial=some):
        raise PixelError(
            f"{path.name}: every pixel of HDU {hdu} is {some:g}: no exposure; the frame is left out"
        )


def cfitsio_error() -> type[Exception]:
    """What astropy raises for a spoilt tile of a compressed image; it has no public name."""
    for module in ("hdu.compressed._compression", "_tiled_compression._compression"):
        with suppress(ImportError):
            return importlib.import_module(f"astropy.io.fits.{module}").CfitsioException
    return OSError


def told(error: BaseException) -> str:
    """What another library's error says, in one line."""
    return one_line(str(error))[:200] or type(error).__name__


def one_line(text: str) -> str:
    """Text without line breaks or anything else that does not print."""
    return printable(" ".join(text.split()))


def ascii_text(text: str) -> str:
    """Text that a FITS header takes: printable ASCII in one line, other characters as their escapes."""
    return one_line(text).encode("ascii", "backslashreplace").decode()


def printable(text: str) -> str:
    """Text in which what does not print, or is no Unicode (a file name in another encoding), is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
            f"{path.name}: it cannot be read as a table any more ({told(error)});"
            " mend it, or delete it to start afresh"
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
                f"{self.root}: nothing can be written there ({error.strerror or error});"
                " choose another folder with --out DIR"
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
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".writing_", delete=False) as file:
                temporary = Path(file.name)
                fill(file)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~current_umask())
            temporary.replace(path)
        except OSError as error:
            raise ProductError(
                f"{path}: it cannot be written ({error.strerror or error}); {REMEDY}"
            ) from error
        finally:
            if temporary is not None and temporary.exists():
                temporary.unlink()
        return path

    def write_bytes(self, name: str, content: bytes) -> Path:
        return self.write(name, lambda file: file.write(content))

    def write_text(self, name: str, text: str) -> Path:
        return self.write_bytes(name, text.encode(errors="backslashreplace"))

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        return self.write_text(name, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")

    def write_table(self, name: str, table: Table) -> Path:
        """Write a table as ECSV."""
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        return self.write_text(name, text.getvalue())

    def write_fits(self, name: str, hdus: fits.HDUList) -> Path:
        """Write a FITS file with checksums that do not tell the time: same content, same bytes."""
        hdus.update_extend()
        for hdu in hdus:
            hdu.add_checksum(when=CHECKSUM)
        return self.write(name, hdus.writeto)


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
    folder : Path
        On whose disk they wait.
    """

    def __init__(self, shape: tuple[int, int], folder: Path) -> None:
        self.shape = shape
        self.folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._frames = 0

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._frames

    def append(self, image: np.ndarray) -> None:
        """Keep one frame.

        Raises
        ------
        PixelError
            Its shape is not that of the others.
        ProductError
            The disk is full.
        """
        if image.shape != self.shape:
            raise PixelError(
                f"an image of shape {image.shape} cannot be combined with others of {self.shape}"
            )
        try:
            self._file.write(np.ascontiguousarray(image, dtype=np.float32).data)
            self._file.flush()
        except OSError as error:
            where = f"{self.folder}: no room for frames waiting to be combined"
            raise ProductError(f"{where} ({error.strerror or error}); {REMEDY}") from error
        self._frames += 1

    def chunk(self, first: int, last: int) -> np.ndarray:
        """Pixels `first` to `last` (excluded) of all flattened frames, shape (n_frames, last - first)."""
        size = self.shape[0] * self.shape[1]
        values = np.empty((self._frames, last - first), np.float32)
        for index, row in enumerate(values):
            start = 4 * (index * size + first)
            os.preadv(self._file.fileno(), [row.data.cast("B")], start)
        return values
