"""The only reader of raw files: opened read-only, with distrust, and checked against their own sums."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import importlib
import io
import lzma
import math
import os
import re
import struct
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from potpyri_like.errors import FrameError, HeaderError, PixelError, UnavailableError
from potpyri_like.store.folders import Odd, parts_of
from potpyri_like.store.header import RawHeader, texts_beyond_ascii
from potpyri_like.store.words import one_line

__all__ = [
    "MOST_AT_ONCE",
    "Reading",
    "datasum",
    "is_circumstance",
    "is_raw_name",
    "raw_sha256",
    "read_header",
    "read_raw",
    "read_table",
    "sha256",
    "signature",
    "signature_of",
    "unpacked_name",
]

_SUFFIXES = (".fit", ".fits", ".fts")
_PACKED = (".gz", ".fz", ".bz2", ".xz")
_UNPACK: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7z": lzma.open}
_BITPIX = (8, 16, 32, 64, -32, -64)
_MOST_PIXELS = 2**29  # of one image; the largest detectors have 2**28
_MOST_PLANES = 100_000
_MOST_UNPACKED = 2**32  # bytes
_MOST_EXPANSION, _NOT_MUCH = 50, 2**26  # times the size of what was packed; bytes that are taken in any case
_BLOCK, _CARD = 2880, 80  # bytes
_ONES = 2**32 - 1
_COUNT = re.compile(rb"(Z?NAXIS|TFIELDS) *= *\+?(\d{4,70})", re.IGNORECASE)
_MOST_AXES = 999  # and columns: FITS standard 4.0, 4.4.1 and 7.3.1
_MOST_HEADER = 2**24  # bytes
MOST_AT_ONCE = 2**30  # bytes; of a larger file only what is wanted is taken into memory
# How the pixels of plain images lie in a file, by BITPIX and BZERO
_PLAIN = {(16, 0): ">i2", (16, 32768): ">u2", (32, 0): ">i4", (-32, 0): ">f4"}
_SIGN = np.uint16(32768)
_IMAGES = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)
_STANDARD = (*_IMAGES, fits.BinTableHDU, fits.TableHDU, fits.GroupsHDU, fits.hdu.base.NonstandardExtHDU)
_BROKEN = (
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
    lzma.LZMAError,
    fits.VerifyError,
)


def is_raw_name(name: str) -> bool:
    """Whether a file of that name may hold a raw frame."""
    return unpacked_name(name).lower().endswith(_SUFFIXES) and not name.startswith(".")


def unpacked_name(name: str) -> str:
    """The name without .gz, .fz, .bz2 or .xz."""
    for packed in _PACKED:
        if name.lower().endswith(packed):
            return name[: -len(packed)]
    return name


@dataclass(frozen=True)
class Reading:
    """What is known of a raw file from reading it.

    Attributes
    ----------
    size : int
        Bytes on disk.
    mtime_ns, ctime_ns, inode : int
        As they were before it was read.
    sha256 : str
        Of the bytes on disk, packed or not.
    seconds : float
        Wall-clock time of reading, checksum, unpacking and decoding.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str
    seconds: float


def signature(path: Path) -> tuple[int, int, int, int]:
    """Size, mtime_ns, ctime_ns and inode of a file: while they are the same, so is its content."""
    return signature_of(path.stat())


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
        It is no FITS file.
    PixelError
        It is shorter than its header says, or says what no detector has.
    UnavailableError
        It cannot be read for the moment.
    """
    try:
        with path.open("rb") as file:
            source = _unpacked(path, file)
            with _opened(path, source) as hdus:
                return _header_of(path, hdus, source, inside)
    except FrameError:
        raise
    except (*_BROKEN, _cfitsio_error()) as error:
        _check_available(path, error)
        raise HeaderError(
            f"{path.name}: it is not a readable FITS file ({_told(error)}); the frame is left out"
        ) from error


def read_raw(
    path: Path, wanted: Callable[[RawHeader], Iterable[int]], *, plane: int | None = None, inside: str = ""
) -> tuple[RawHeader, dict[int, np.ndarray], Reading]:
    """The headers of a raw file, those of its images that are wanted, as they are, and what reading it told.

    A file is read once, and everything comes from those bytes. Of a cube, or of what is too large for the memory,
    only the plane or the images that are wanted are read, and the bytes a second time for the checksum, once for all
    planes.

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
        2-D arrays by HDU, in native byte order.
    reading : Reading

    Raises
    ------
    HeaderError
        `wanted` raised it.
    PixelError
        The pixels cannot be decoded, or are all the same.
    UnavailableError
        The file cannot be read for the moment.
    """
    begun = time.perf_counter()
    try:
        with path.open("rb") as file:
            known = signature_of(os.fstat(file.fileno()))
            content = file.read() if plane is None and known[0] <= MOST_AT_ONCE else None
            source = _unpacked(path, file if content is None else io.BytesIO(content))
            with _opened(path, source) as hdus:
                header = _header_of(path, hdus, source, inside)
                images = {n: _image_of(hdus[n], source, plane) for n in dict.fromkeys(wanted(header))}
                for n in images if plane is None else ():
                    _check_sum(path, n, hdus[n], source)
        digest = _sha256_of(path, known) if content is None else hashlib.sha256(content).hexdigest()
    except FrameError:
        raise
    except (*_BROKEN, _cfitsio_error()) as error:
        _check_available(path, error)
        raise PixelError(
            f"{path.name}: its pixels cannot be read ({_told(error)}); the frame is left out"
        ) from error
    for hdu, image in images.items():
        _check_exposed(path, hdu, image)
    return header, images, Reading(*known, digest, time.perf_counter() - begun)


def is_circumstance(error: BaseException) -> bool:
    """Whether an error tells of the computer at that moment, and not of the bytes of a file.

    What the operating system says has a number; what libraries say of corrupt bytes has none.
    """
    if isinstance(error, MemoryError | TimeoutError | FileNotFoundError | PermissionError):
        return True
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)  # EINVAL: a seek to nowhere


def _check_available(path: Path, error: BaseException) -> None:
    """Raise an UnavailableError where circumstances kept a file from being read."""
    if is_circumstance(error):
        why = "no memory is left" if isinstance(error, MemoryError) else _told_by_system(error)
        may = "it may not be read" if isinstance(error, PermissionError) else "it cannot be read now"
        raise UnavailableError(
            f"{path.name}: {may} ({why}); the frame is left out until it can be"
        ) from error


def _told_by_system(error: BaseException) -> str:
    """What the operating system says, without the path."""
    return getattr(error, "strerror", None) or _told(error)


def signature_of(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@lru_cache(maxsize=8)
def _sha256_of(path: Path, known: tuple[int, int, int, int]) -> str:
    """The SHA-256 of a file as it is while its signature is that: the planes of a cube ask for it one by one."""
    return sha256(path)


@contextmanager
def _opened(path: Path, source: IO[bytes]) -> Iterator[fits.HDUList]:
    """The HDUs of a raw file's unpacked content, their headers checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        length = source.seek(0, os.SEEK_END)
        source.seek(0)
        _check_counts(path, 0, source, 0)
        with fits.open(source, mode="readonly", memmap=False) as hdus:
            for number, hdu in enumerate(hdus):
                _check_hdu(path, number, hdu, length)
                where = hdu.fileinfo()
                _check_counts(path, number + 1, source, where["datLoc"] + where["datSpan"])
            _check_length(path, hdus, source, length)
            yield hdus


def _unpacked(path: Path, file: IO[bytes]) -> IO[bytes]:
    """The file, or the content of a .gz, .bz2 or .xz file, known by its first bytes; its checksum is verified.

    astropy reads these itself, but overlooks a wrong checksum and never ends with some spoilt headers.
    """
    most = _most_in(file.seek(0, os.SEEK_END))
    file.seek(0)
    start = file.read(3)
    file.seek(0)
    for magic, unpack in _UNPACK.items():
        if start.startswith(magic):
            return _copied(path, unpack(file), most)
    return file


def _most_in(packed: int) -> int:
    """Bytes that may come out of so many packed ones; no detector's noise packs as well."""
    return min(_MOST_UNPACKED, max(_NOT_MUCH, _MOST_EXPANSION * packed))


def _copied(path: Path, packed: IO[bytes], most: int) -> io.BytesIO:
    """All that comes out of a packed file, within reason."""
    content = io.BytesIO()
    while chunk := packed.read(2**20):
        if content.tell() > most:
            raise PixelError(f"{path.name}: more than {most} bytes come out of it: no frame; it is left out")
        content.write(chunk)
    return content


def _check_counts(path: Path, number: int, source: IO[bytes], start: int) -> None:
    """Raise a PixelError for more axes or columns than FITS allows, before astropy counts to that number.

    Parameters
    ----------
    path : Path
    number : int
        The HDU that is read next, whose header begins at
    start : int
        of the file, if there is one.
    """
    here = source.tell()
    source.seek(start)
    for block in iter(lambda: source.read(_BLOCK), b""):
        for found in _COUNT.finditer(block):
            if found.start() % _CARD == 0 and int(found[2]) > _MOST_AXES:
                what = f"{found[1].decode().upper()} = {int(found[2])}"
                raise PixelError(
                    f"{path.name}: HDU {number} says {what}, which cannot be; the frame is left out"
                )
        if any(block.startswith(b"END     ", at) for at in range(0, _BLOCK, _CARD)):
            break
        if source.tell() - start > _MOST_HEADER:
            break
    source.seek(here)


def _check_hdu(path: Path, number: int, hdu: fits.ImageHDU, length: int) -> None:
    """Raise a PixelError for what no detector makes, before memory is taken for it."""
    header = hdu.header
    naxis, bitpix = header.get("NAXIS"), header.get("BITPIX")
    known = isinstance(naxis, int) and 0 <= naxis <= _MOST_AXES
    axes: list[Any] = [header.get(f"NAXIS{axis}") for axis in range(1, naxis + 1)] if known else [None]
    if bitpix not in _BITPIX or not all(isinstance(n, int) and n >= 0 for n in axes):
        what = f"BITPIX = {bitpix!r}, NAXIS = {naxis!r}" + "".join(f", {n!r}" for n in axes if known)
        raise PixelError(f"{path.name}: HDU {number} says {what}, which cannot be; the frame is left out")
    if not isinstance(hdu, _STANDARD) or not isinstance(header.get("XTENSION", ""), str):
        raise HeaderError(f"{path.name}: the header of HDU {number} is spoilt; the frame is left out")
    if isinstance(hdu, fits.CompImageHDU) and math.prod(axes) * abs(bitpix) // 8 > _most_in(length):
        raise PixelError(
            f"{path.name}: HDU {number} announces more than {length} bytes can hold: too large; the frame is left out"
        )
    if isinstance(hdu, _IMAGES) and (
        math.prod(axes[:2]) > _MOST_PIXELS or math.prod(axes[2:]) > _MOST_PLANES
    ):
        size = " x ".join(map(str, axes))
        raise PixelError(
            f"{path.name}: HDU {number} announces {size} pixels: too large; the frame is left out"
        )


def _check_length(path: Path, hdus: fits.HDUList, source: IO[bytes], found: int) -> None:
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


def _image_of(hdu: fits.ImageHDU, source: IO[bytes], plane: int | None) -> np.ndarray:
    """One image in native byte order, C-contiguous."""
    layout = _plain_layout(hdu)
    if layout is not None and len(hdu.shape) == 2 and plane is None:
        return _copied_out(hdu, source, layout, 0)
    if layout is not None and len(hdu.shape) > 2 and plane is not None:
        return _copied_out(hdu, source, layout, plane)
    return _decoded(hdu, plane)


def _plain_layout(hdu: fits.ImageHDU) -> str | None:
    """How pixels lie in the file that need no arithmetic but for their sign; None for others."""
    header = hdu.header
    if type(hdu) not in (fits.PrimaryHDU, fits.ImageHDU) or 0 in hdu.shape:
        return None
    if "BLANK" in header or header.get("BSCALE", 1) != 1:
        return None
    return _PLAIN.get((header["BITPIX"], header.get("BZERO", 0)))


def _decoded(hdu: fits.ImageHDU, plane: int | None) -> np.ndarray:
    """One image as astropy reads it."""
    image = hdu.data if plane is None else hdu.section[np.unravel_index(plane, hdu.shape[:-2])]
    if image is None or image.ndim != 2:
        raise ValueError(f"its shape is {hdu.shape}, where one image is wanted")
    return np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("="))


def _copied_out(hdu: fits.ImageHDU, source: IO[bytes], layout: str, plane: int) -> np.ndarray:
    """One image straight from the bytes of the file, in a sixth of the time."""
    if plane >= math.prod(hdu.shape[:-2]):
        raise IndexError(f"its shape is {hdu.shape}; it has no plane {plane}")
    kind, shape = np.dtype(layout), hdu.shape[-2:]
    size = math.prod(shape) * kind.itemsize
    stored = _bytes_at(source, hdu.fileinfo()["datLoc"] + plane * size, size)
    image = np.frombuffer(stored, kind).reshape(shape).astype(kind.newbyteorder("="))
    if kind.kind == "u":
        np.bitwise_xor(image, _SIGN, out=image)
    return image


def _bytes_at(source: IO[bytes], start: int, size: int) -> bytes | memoryview:
    """Some bytes of a file; those of one in memory are not copied."""
    if isinstance(source, io.BytesIO):
        return memoryview(source.getvalue())[start : start + size]
    source.seek(start)
    return source.read(size)


def _header_of(path: Path, hdus: fits.HDUList, source: IO[bytes], inside: str) -> RawHeader:
    """All headers of a file, with text as it is written."""
    texts = []
    for hdu in hdus:
        where = hdu.fileinfo()
        texts.append(
            texts_beyond_ascii(bytes(_bytes_at(source, where["hdrLoc"], where["datLoc"] - where["hdrLoc"])))
        )
    told = tuple(texts) if any(texts) else ()
    return RawHeader(path, tuple(hdu.header.copy() for hdu in hdus), inside or path.name, told)


def _check_sum(path: Path, number: int, hdu: fits.ImageHDU, source: IO[bytes]) -> None:
    """Raise a PixelError where the pixels of a plain image are not those for which its DATASUM was written."""
    written = hdu.header.get("DATASUM")
    if type(hdu) not in (fits.PrimaryHDU, fits.ImageHDU) or not str(written).strip().isdigit():
        return
    where = hdu.fileinfo()
    if datasum(_bytes_at(source, where["datLoc"], where["datSpan"])) % _ONES != int(str(written)) % _ONES:
        raise PixelError(
            f"{path.name}: the pixels of HDU {number} do not add up to DATASUM = {written}: bytes were changed after it"
            " was written; the frame is left out"
        )


def datasum(content: bytes | memoryview) -> int:
    """The 32-bit ones' complement sum of a data unit's words, as DATASUM gives it (FITS 4.0, section 4.4.2.7).

    Parameters
    ----------
    content : bytes
        As they are in the file, padded to blocks.
    """
    total = int(np.frombuffer(content, ">u4").sum(dtype=np.uint64))
    while total > _ONES:
        total = (total & _ONES) + (total >> 32)
    return total


def _check_exposed(path: Path, hdu: int, image: np.ndarray) -> None:
    """Raise a PixelError where no pixel differs from the others."""
    if _differ(image[:1]) or _differ(image):  # the first row tells, nearly always
        return
    good = np.isfinite(image)
    if not good.any():
        raise PixelError(f"{path.name}: no pixel of HDU {hdu} is a number; the frame is left out")
    raise PixelError(
        f"{path.name}: every pixel of HDU {hdu} is {image[good][0]:g}: no exposure; the frame is left out"
    )


def _differ(image: np.ndarray) -> bool:
    """Whether any two finite pixels differ."""
    finite = image if image.dtype.kind in "iu" else image[np.isfinite(image)]
    return finite.size > 0 and finite.min() != finite.max()


def _cfitsio_error() -> type[Exception]:
    """What astropy raises for a spoilt tile of a compressed image; it has no public name."""
    for module in ("hdu.compressed._compression", "_tiled_compression._compression"):
        with suppress(ImportError):
            return importlib.import_module(f"astropy.io.fits.{module}").CfitsioException
    return OSError


def _told(error: BaseException) -> str:
    """What another library's error says, in one line."""
    return one_line(str(error))[:200] or type(error).__name__


def read_table(path: Path) -> Table:
    """A table that we wrote, ECSV.

    Raises
    ------
    HeaderError
        It cannot be read any more.
    """
    try:
        return Table.read(path, format="ascii.ecsv")
    except _BROKEN as error:
        raise HeaderError(
            f"{path.name}: it cannot be read as a table any more ({_told(error)});"
            " mend it, or delete it to start afresh"
        ) from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def raw_sha256(folder: Path, name: str) -> str:
    """The SHA-256 of a raw file by its name in a run.json.

    Raises
    ------
    OSError
        It is not there, or its name or a link leads out of the night.
    """
    path = folder.joinpath(*parts_of(name))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Odd(name, "it lies outside of the night")
    if not path.is_file():
        raise FileNotFoundError(name)
    return sha256(path)
