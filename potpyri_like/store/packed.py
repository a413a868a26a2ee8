"""What comes out of packed raw files, within reason: gzip, bzip2, xz, lzma, and zip archives of one frame."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from potpyri_like.errors import HeaderError, PixelError

__all__ = ["FITS_ENDINGS", "PACKED_ENDINGS", "frames_in_zip", "most_in", "unpacked"]

FITS_ENDINGS = (".fit", ".fits", ".fts")
PACKED_ENDINGS = (".gz", ".fz", ".bz2", ".xz", ".lzma", ".zip")
_UNPACK: dict[bytes, Callable[[IO[bytes]], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": lambda file: bz2.BZ2File(file),
    b"\xfd7z": lambda file: lzma.LZMAFile(file),  # noqa: SIM115
    b"\x5d\x00\x00": lambda file: lzma.LZMAFile(file),  # noqa: SIM115
}
_ZIP = b"PK\x03"
_MOST_UNPACKED = 2**32  # bytes
_MOST_EXPANSION, _NOT_MUCH = 50, 2**26  # times the size of what was packed; bytes that are taken in any case


class _Readable(Protocol):
    """What bytes come out of."""

    def read(self, size: int = -1, /) -> bytes: ...


def unpacked(path: Path, file: IO[bytes]) -> IO[bytes]:
    """The file, or the content of a packed one, known by its first bytes; its checksum is verified.

    astropy reads these itself, but overlooks a wrong checksum and never ends with some corrupt headers.

    Raises
    ------
    HeaderError
        It is a zip archive that does not hold one frame.
    PixelError
        More comes out than any frame has.
    """
    most = most_in(file.seek(0, os.SEEK_END))
    file.seek(0)
    start = file.read(3)
    file.seek(0)
    if start == _ZIP:
        return _out_of_zip(path, file, most)
    for magic, unpack in _UNPACK.items():
        if start.startswith(magic):
            return _copied(path, unpack(file), most)
    return file


def most_in(packed: int) -> int:
    """Bytes that may come out of so many packed ones; no detector's noise packs as well."""
    return min(_MOST_UNPACKED, max(_NOT_MUCH, _MOST_EXPANSION * packed))


def frames_in_zip(path: Path) -> tuple[str, ...]:
    """The names of the FITS files in a zip archive; none where it cannot be opened, or is a link or a pipe."""
    if path.is_symlink() or not path.is_file():
        return ()
    try:
        with zipfile.ZipFile(path) as archive:
            return _frames(archive)
    except (OSError, ValueError, zipfile.BadZipFile, RuntimeError):
        return ()


def _frames(archive: zipfile.ZipFile) -> tuple[str, ...]:
    """The members that are FITS files by their names, without what macOS puts beside them."""
    names = (name for name in archive.namelist() if not name.startswith("__MACOSX/"))
    return tuple(
        name for name in names if name.lower().endswith(FITS_ENDINGS) and not Path(name).name.startswith(".")
    )


def _out_of_zip(path: Path, file: IO[bytes], most: int) -> IO[bytes]:
    """The one frame in a zip archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = _frames(archive)
            if len(names) != 1:
                raise HeaderError(
                    f"{path.name}: a zip archive of {len(names)} FITS files, whereas one is expected; unpack it"
                )
            with archive.open(names[0]) as member:
                return _copied(path, member, most)
    except (zipfile.BadZipFile, RuntimeError) as error:  # encrypted, or packed by a method of its own
        raise HeaderError(f"{path.name}: the zip archive cannot be opened ({error}); unpack it") from error


def _copied(path: Path, packed: _Readable, most: int) -> io.BytesIO:
    """All that comes out of a packed file, within reason."""
    content = io.BytesIO()
    while chunk := packed.read(2**20):
        if content.tell() > most:
            raise PixelError(
                f"{path.name}: it unpacks to more than {most} bytes, too many for a frame; it is rejected"
            )
        content.write(chunk)
    return content
