"""The only reader of raw files: opened read-only, with distrust, and checked against their own sums."""

from __future__ import annotations

import errno
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
from typing import IO, Any, TypeAlias

import numpy as np
from astropy.io import fits
from astropy.table import Table

from potpyri_like.errors import FrameError, HeaderError, PixelError, UnavailableError
from potpyri_like.store.folders import Odd, parts_of
from potpyri_like.store.header import RawHeader, card_value, texts_beyond_ascii
from potpyri_like.store.packed import FITS_ENDINGS, PACKED_ENDINGS, most_in, unpacked
from potpyri_like.store.sums import agrees_with_checksum, datasum, sums_written
from potpyri_like.store.words import one_line

__all__ = [
    "MOST_AT_ONCE",
    "Reading",
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

_BITPIX = (8, 16, 32, 64, -32, -64)
_MOST_PIXELS = 2**29  # of one image; the largest detectors have 2**28
_MOST_PLANES = 100_000
_BLOCK, _CARD = 2880, 80  # bytes
# A number that scales pixels, where it is none: astropy takes the file for corrupt, or the pixels as they are
_SCALE = re.compile(rb"(BZERO|BSCALE) *= *([^/]*)")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([EeDd][+-]?\d+)?")
_COUNT = re.compile(rb"(Z?NAXIS|TFIELDS) *= *\+?(\d{4,70})", re.IGNORECASE)
_MOST_AXES = 999  # and columns: FITS standard 4.0, 4.4.1 and 7.3.1
_MOST_HEADER = 2**24  # bytes
MOST_AT_ONCE = 2**30  # bytes; of a larger file only what is wanted is taken into memory
# How the pixels of plain images lie in a file, by BITPIX and BZERO
_PLAIN = {(16, 0): ">i2", (16, 32768): ">u2", (32, 0): ">i4", (-32, 0): ">f4"}
_SIGN = np.uint16(32768)
_IMAGES = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)
_STANDARD = (*_IMAGES, fits.BinTableHDU, fits.TableHDU, fits.GroupsHDU, fits.hdu.base.NonstandardExtHDU)
_AT_A_TIME = 2880 * 2**12  # bytes that are summed at a time
_Signature: TypeAlias = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode
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
    return unpacked_name(name).lower().endswith(FITS_ENDINGS) and not name.startswith(".")


def unpacked_name(name: str) -> str:
    """The name without .gz, .fz, .bz2, .xz, .lzma or .zip."""
    for ending in PACKED_ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
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
            source = unpacked(path, file)
            with _opened(path, source) as hdus:
                return _header_of(path, hdus, source, inside)
    except FrameError:
        raise
    except (*_BROKEN, _cfitsio_error()) as error:
        _check_available(path, error)
        raise HeaderError(
            f"{path.name}: it is not a readable FITS file ({_told(error)}); the frame is rejected"
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
            source = unpacked(path, file if content is None else io.BytesIO(content))
            with _opened(path, source) as hdus:
                header = _header_of(path, hdus, source, inside)
                images = {n: _image_of(hdus[n], source, plane) for n in dict.fromkeys(wanted(header))}
                for n in images:
                    _check_sums(path, n, hdus[n], source, known)
        digest = _sha256_of(path, known) if content is None else hashlib.sha256(content).hexdigest()
    except FrameError:
        raise
    except (*_BROKEN, _cfitsio_error()) as error:
        _check_available(path, error)
        raise PixelError(
            f"{path.name}: its pixels cannot be read ({_told(error)}); the frame is rejected"
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
        may = (
            "there is no permission to read it"
            if isinstance(error, PermissionError)
            else "it cannot be read now"
        )
        raise UnavailableError(
            f"{path.name}: {may} ({why}); the frame is rejected until it can be read"
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


def _check_counts(path: Path, number: int, source: IO[bytes], start: int) -> None:
    """Raise a PixelError for more axes or columns than FITS allows, before astropy counts to that number.

    And for a BZERO or BSCALE that is no number.

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
                    f"{path.name}: HDU {number} says {what}, which is invalid; the frame is rejected"
                )
        _check_scale(path, block)
        if any(block.startswith(b"END     ", at) for at in range(0, _BLOCK, _CARD)):
            break
        if source.tell() - start > _MOST_HEADER:
            break
    source.seek(here)


def _check_scale(path: Path, block: bytes) -> None:
    """Raise a PixelError for a BZERO or BSCALE among some cards that cannot scale pixels."""
    for at in range(0, len(block), _CARD) if b"BZERO" in block or b"BSCALE" in block else ():
        found = _SCALE.match(block, at, at + _CARD)
        value = found[2].strip() if found else b""
        if found and (not _NUMBER.fullmatch(value) or (found[1] == b"BSCALE" and not _as_float(value))):
            card, said = found[1].decode(), value.decode("latin-1") or "nothing"
            raise PixelError(
                f"{path.name}: {card} = {one_line(said)} cannot scale its pixels; the frame is rejected"
                " (correct the card: whole numbers without a comma or quotes)"
            )


def _as_float(value: bytes) -> float:
    """A number as FITS writes it."""
    return float(value.upper().replace(b"D", b"E"))


def _check_hdu(path: Path, number: int, hdu: fits.ImageHDU, length: int) -> None:
    """Raise a PixelError for what no detector makes, before memory is taken for it."""
    header = hdu.header
    naxis, bitpix = header.get("NAXIS"), header.get("BITPIX")
    known = isinstance(naxis, int) and 0 <= naxis <= _MOST_AXES
    axes: list[Any] = [header.get(f"NAXIS{axis}") for axis in range(1, naxis + 1)] if known else [None]
    if bitpix not in _BITPIX or not all(isinstance(n, int) and n >= 0 for n in axes):
        what = f"BITPIX = {bitpix!r}, NAXIS = {naxis!r}" + "".join(f", {n!r}" for n in axes if known)
        raise PixelError(f"{path.name}: HDU {number} says {what}, which is invalid; the frame is rejected")
    if not isinstance(hdu, _STANDARD) or not isinstance(header.get("XTENSION", ""), str):
        raise HeaderError(f"{path.name}: the header of HDU {number} is corrupt; the frame is rejected")
    if isinstance(hdu, fits.CompImageHDU) and math.prod(axes) * abs(bitpix) // 8 > most_in(length):
        raise PixelError(
            f"{path.name}: HDU {number} declares more data than its {length} bytes can hold; the frame is rejected"
        )
    if isinstance(hdu, _IMAGES) and (
        math.prod(axes[:2]) > _MOST_PIXELS or math.prod(axes[2:]) > _MOST_PLANES
    ):
        size = " x ".join(map(str, axes))
        raise PixelError(
            f"{path.name}: HDU {number} declares {size} pixels: too large; the frame is rejected"
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
            f"{path.name}: truncated: {found} bytes, whereas its header declares {wanted}; the frame is rejected"
        )
    source.seek(last["datLoc"] + last["datSpan"])
    announced = hdus[0].header.get("NEXTEND", 0)
    if source.read(8) == b"XTENSION" or (isinstance(announced, int) and len(hdus) - 1 < announced):
        raise PixelError(
            f"{path.name}: truncated or corrupt: only {len(hdus) - 1} extensions can be read;"
            " the frame is rejected"
        )


def _image_of(hdu: fits.ImageHDU, source: IO[bytes], plane: int | None) -> np.ndarray:
    """One image in native byte order, C-contiguous; NaN where its BLANK says that there is no data."""
    layout = _plain_layout(hdu)
    if layout is not None and len(hdu.shape) == 2 and plane is None:
        return _without_blanks(_copied_out(hdu, source, layout, 0), hdu)
    if layout is not None and len(hdu.shape) > 2 and plane is not None:
        return _without_blanks(_copied_out(hdu, source, layout, plane), hdu)
    return _without_blanks(_decoded(hdu, plane), hdu)


def _without_blanks(image: np.ndarray, hdu: fits.ImageHDU) -> np.ndarray:
    """Whole numbers with NaN where they are BLANK, which astropy overlooks where BZERO makes them unsigned."""
    blank = card_value(hdu.header, "BLANK")
    if image.dtype.kind not in "iu" or type(blank) is not int:
        return image
    value = blank * float(hdu.header.get("BSCALE", 1)) + float(hdu.header.get("BZERO", 0))
    empty = image == value
    if not empty.any():
        return image
    floats = image.astype(np.float32 if image.dtype.itemsize <= 2 else np.float64)
    floats[empty] = np.nan
    return floats


def _plain_layout(hdu: fits.ImageHDU) -> str | None:
    """How pixels lie in the file that need no arithmetic but for their sign; None for others."""
    header = hdu.header
    if type(hdu) not in (fits.PrimaryHDU, fits.ImageHDU) or 0 in hdu.shape:
        return None
    if header.get("BSCALE", 1) != 1:
        return None
    return _PLAIN.get((header["BITPIX"], header.get("BZERO", 0)))


def _decoded(hdu: fits.ImageHDU, plane: int | None) -> np.ndarray:
    """One image as astropy reads it."""
    image = hdu.data if plane is None else hdu.section[np.unravel_index(plane, hdu.shape[:-2])]
    if image is None or image.ndim != 2:
        raise ValueError(f"its shape is {hdu.shape}, whereas one image is expected")
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
    texts, altered = [], []
    for number, hdu in enumerate(hdus):
        where = hdu.fileinfo()
        header = bytes(_bytes_at(source, where["hdrLoc"], where["datLoc"] - where["hdrLoc"]))
        texts.append(texts_beyond_ascii(header))
        data, checksum = sums_written(header)
        if data is not None and checksum and not agrees_with_checksum([datasum(header), data]):
            altered.append(number)
    told = tuple(texts) if any(texts) else ()
    headers = tuple(hdu.header.copy() for hdu in hdus)
    return RawHeader(path, headers, inside or path.name, told, altered=tuple(altered))


def _check_sums(path: Path, number: int, hdu: fits.ImageHDU, source: IO[bytes], known: _Signature) -> None:
    """Raise a PixelError where an HDU's data are not those for which its DATASUM, or else its CHECKSUM, was written.

    Of a compressed image the bytes of its table are summed, of a cube all planes. A header that was changed after its
    CHECKSUM was written is no fault of the pixels: see `RawHeader.altered`.
    """
    where = hdu.fileinfo()
    header = bytes(_bytes_at(source, where["hdrLoc"], where["datLoc"] - where["hdrLoc"]))
    data, checksum = sums_written(header)
    if data is None and not checksum:
        return
    found = _sum_of(path, source, where["datLoc"], where["datSpan"], known)
    if data is not None:
        right, card = agrees_with_checksum([found, -data]), f"DATASUM = {data}"
    else:
        right, card = agrees_with_checksum([datasum(header), found]), "its CHECKSUM"
    if not right:
        raise PixelError(
            f"{path.name}: the pixels of HDU {number} do not match {card}: bytes were changed after it"
            " was written; the frame is rejected"
        )


def _sum_of(path: Path, source: IO[bytes], start: int, size: int, known: _Signature) -> int:
    """The sum of some bytes of a file, or of one that was unpacked."""
    if isinstance(source, io.BytesIO):
        return datasum(_bytes_at(source, start, size))
    return _sum_in_file(path, start, size, known)


@lru_cache(maxsize=8)
def _sum_in_file(path: Path, start: int, size: int, known: _Signature) -> int:
    """The same while a file's signature is that: the planes of a cube ask for it one by one."""
    total, left = 0, size
    with path.open("rb") as file:
        file.seek(start)
        while left > 0 and (part := file.read(min(left, _AT_A_TIME))):
            total, left = datasum(part, total=total), left - len(part)
    return total


def _check_exposed(path: Path, hdu: int, image: np.ndarray) -> None:
    """Raise a PixelError where no pixel differs from the others."""
    if _differ(image[:1]) or _differ(image):  # the first row tells, nearly always
        return
    good = np.isfinite(image)
    if not good.any():
        raise PixelError(f"{path.name}: no pixel of HDU {hdu} is a number; the frame is rejected")
    raise PixelError(
        f"{path.name}: every pixel of HDU {hdu} is {image[good][0]:g}: no exposure; the frame is rejected"
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
            " repair it, or delete it to start again"
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
