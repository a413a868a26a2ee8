"""The only writer of anything.

What is written goes to a temporary name in the same folder, is synced, and only then gets its own name: a product
is whole or absent.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import Table

from potpyri_like.errors import PixelError, ProductError
from potpyri_like.store.folders import Folder
from potpyri_like.store.raw import signature_of

__all__ = ["FITS_ELECTRON", "OWN_FOLDER", "REMEDY", "Output", "Scratch", "images_in", "table_text"]

FITS_ELECTRON = "ct"  # what an electron is called in FITS files
_UNIT, _ELECTRON = re.compile(r"BUNIT|TUNIT\d+"), re.compile(r"\belectrons?\b")
_CHECKSUM = "of this HDU"  # astropy's own comment is the time of day
_WRITING, _WORK = (
    ".writing_",
    ".work",
)  # names of what is not finished, and of what runs of old needed meanwhile
OWN_FOLDER = "red"  # in the night, where no other is named
REMEDY = "free some space or grant write permission there, or choose another folder with --out DIR"


def images_in(file: BinaryIO) -> list[np.ndarray]:
    """Return the images of an open FITS file that we wrote, in native byte order."""
    with fits.open(file, memmap=False) as hdus:
        images = [hdu.data for hdu in hdus if hdu.data is not None]
        return [np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("=")) for image in images]


@dataclass(frozen=True)
class Output:
    """The folder that everything is written to; what is done in it follows no link (see `folders`).

    Attributes
    ----------
    root : Path
    written : set of str
        The products written so far, by their paths within the folder.
    own : Folder or None
        How to reach it, where the user did not name it.
    """

    root: Path
    written: set[str] = field(default_factory=set, compare=False, repr=False)
    own: Folder | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of_night(cls, night: Path, out: Path | None) -> Output:
        """Where the products of a night go: the folder that was named, else `red` in the night, which is no link."""
        if out is not None:
            return cls(out)
        return cls(night / OWN_FOLDER, own=Folder(night / OWN_FOLDER, named=False))

    @property
    def folder(self) -> Folder:
        return self.own or Folder(self.root)

    def below(self, name: str) -> Output:
        """A folder in it, as an output folder of its own."""
        return Output(self.root / name, own=self.folder.below(name))

    def for_workers(self) -> Output:
        """The same folder for a process that may have another working directory."""
        own = None if self.own is None else replace(self.own, path=self.own.path.absolute())
        return Output(self.root.absolute(), own=own)

    def make(self) -> None:
        """Make the folder and prove that it can be written to.

        Raises
        ------
        ProductError
            It cannot.
        """
        try:
            with self.folder.held(make=True):
                pass
            self.folder.scratch(_WRITING).close()
        except OSError as error:
            raise ProductError(
                f"{self.root}: nothing can be written there ({error.strerror or error});"
                " choose another folder with --out DIR"
            ) from error

    def tidy(self) -> None:
        """Remove what a run that was cut off left half-written."""
        self.folder.sweep(_WRITING)
        self.folder.remove_tree(_WORK)

    def remove(self, names: Iterable[str]) -> None:
        """Remove products, and the folders that are empty without them."""
        for name in names:
            self.folder.remove(name)
            above = name.split("/")[:-1]
            while above and self.folder.remove_empty("/".join(above)):
                above.pop()

    # -- reading what is there -------------------------------------------------------------------------------

    def open(self, name: str) -> BinaryIO:
        """A product, to be read; an OSError where it is not there, or not a regular file in plain folders."""
        return self.folder.open(name)

    def read_bytes(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    def read_images(self, name: str) -> list[np.ndarray]:
        """The images of a FITS file that we wrote, in native byte order."""
        with self.open(name) as file:
            return images_in(file)

    def sha256(self, name: str) -> str:
        """The SHA-256 of a product's bytes."""
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def signature(self, name: str) -> tuple[int, int, int, int]:
        """Its size, times and place on the disk; an OSError where it is not a regular file."""
        return signature_of(self.folder.status(name, plain=True))

    def has(self, name: str) -> bool:
        """Whether a name is there, as whatever."""
        try:
            self.folder.status(name)
        except OSError:
            return False
        return True

    # -- writing ---------------------------------------------------------------------------------------------

    def write(self, name: str, fill: Callable[[BinaryIO], object]) -> Path:
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
        try:
            with self.folder.replacing(name, _WRITING) as file:
                fill(file)
        except OSError as error:
            raise ProductError(
                f"{path}: it cannot be written ({error.strerror or error}); {REMEDY}"
            ) from error
        if not name.startswith("."):
            self.written.add(name)
        return path

    def write_bytes(self, name: str, content: bytes) -> Path:
        return self.write(name, lambda file: file.write(content))

    def write_text(self, name: str, text: str) -> Path:
        return self.write_bytes(name, text.encode(errors="backslashreplace"))

    def write_json(self, name: str, content: Mapping[str, object]) -> Path:
        return self.write_text(name, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")

    def write_table(self, name: str, table: Table) -> Path:
        """Write a table as ECSV."""
        return self.write_text(name, table_text(table))

    def write_fits(self, name: str, hdus: fits.HDUList) -> Path:
        """Write a FITS file with checksums that do not tell the time: same content, same bytes.

        Its units are those of the FITS standard, which knows no electrons: they are counts ("ct").
        """
        hdus.update_extend()
        for hdu in hdus:
            _with_fits_units(hdu.header)
            hdu.add_checksum(when=_CHECKSUM)
        return self.write(name, hdus.writeto)

    def appending(self, name: str) -> BinaryIO:
        """A file to which lines are added as they come: a log."""
        return os.fdopen(self.folder.own(name, os.O_WRONLY | os.O_APPEND), "ab")


def table_text(table: Table) -> str:
    """A table as ECSV."""
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


def _with_fits_units(header: fits.Header) -> None:
    """Electrons as counts in the cards that name units, each with a comment where it has none."""
    for card in [card for card in header if _UNIT.fullmatch(card)]:
        said = str(header[card])
        if _ELECTRON.search(said):
            header[card] = (_ELECTRON.sub(FITS_ELECTRON, said), header.comments[card] or "ct: electrons")


class Scratch:
    """Frames of one shape waiting on disk to be combined; read back in parts, gone when closed.

    Attributes
    ----------
    shape : (int, int)
        Rows, columns of each frame, float32.
    output : Output
        On whose disk they wait.
    """

    def __init__(self, shape: tuple[int, int], output: Output) -> None:
        self.shape = shape
        self.output = output
        self._file = output.folder.scratch(_WRITING)
        self._frames = 0

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # the disk is full, as was said before; nothing of it is wanted any more
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
            where = f"{self.output.root}: no room for frames waiting to be combined"
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
