"""Files below one folder, reached by directory descriptors: no link is followed, whatever takes the place of a file.

A night may come from somebody else, with links, pipes and hard links where products are to be. Each name is taken
apart, each folder on the way is opened in the one above it and as a folder only, and what is done is done in the last.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO

from potpyri_like.errors import ProductError

__all__ = [
    "MOST_TEXT",
    "Folder",
    "Odd",
    "parts_of",
    "read_inside",
    "read_text",
    "say_on_screen",
    "say_once",
    "to_disk",
]

log = logging.getLogger(__name__)

_CLOSED = os.O_CLOEXEC | os.O_NOFOLLOW
_AS_FOLDER = os.O_RDONLY | os.O_DIRECTORY | _CLOSED
_AS_FILE = _CLOSED | os.O_NONBLOCK | os.O_NOCTTY  # a pipe without a writer keeps nobody waiting
_NO_FOLDER = (errno.ELOOP, errno.ENOTDIR)  # what systems say of a link whereas a folder is expected
_TRIES = 3  # of making what somebody else replaces at the same time
MOST_TEXT = 2**24  # bytes of a file of options or times
_ON_SCREEN = {"on_screen": True}  # a warning that is shown, whether the log is or not


class Odd(OSError):
    """Something that is not the plain file or folder it should be."""

    def __init__(self, path: Path | str, what: str) -> None:
        super().__init__(errno.ELOOP, what, str(path))


def say_on_screen(sentence: str, *values: object) -> None:
    """Log a warning that the observer sees."""
    log.warning(sentence, *values, extra=_ON_SCREEN)


@cache
def say_once(sentence: str, *values: object) -> None:
    """The same, once in a run of the program."""
    say_on_screen(sentence, *values)


def parts_of(name: str) -> tuple[str, ...]:
    """The folders of a name, and its last part.

    Raises
    ------
    Odd
        It leads out of the folder that it is a name in.
    """
    parts = tuple(name.split("/"))
    if not all(parts) or "\0" in name or {".", ".."} & set(parts):
        raise Odd(name, "it is not the name of a file below its folder")
    return parts


@dataclass(frozen=True)
class Folder:
    """A folder, and all that is done below it.

    Attributes
    ----------
    path : Path
    named : bool
        The user named it: it may be a link. One within a night, that the user did not name, may not.
    inside : tuple of str
        The way from there to the folder that is meant.
    """

    path: Path
    named: bool = True
    inside: tuple[str, ...] = ()

    def below(self, name: str) -> Folder:
        """A folder in it."""
        return replace(self, inside=(*self.inside, *parts_of(name)))

    def __str__(self) -> str:
        return str(self.path.joinpath(*self.inside))

    # -- descriptors -----------------------------------------------------------------------------------------

    @contextmanager
    def held(self, parts: tuple[str, ...] = (), *, make: bool = False) -> Iterator[int]:
        """The descriptor of a folder below this one, made where it is not there and should be.

        Where it is made, a link, a pipe or a device in its place is removed, with a sentence.
        """
        handle = self._first(make=make)
        try:
            for part in (*self.inside, *parts):
                below = self._next(handle, part, make=make)
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)

    def _first(self, *, make: bool) -> int:
        """The descriptor of `path` itself."""
        if make and self.named:
            self.path.mkdir(parents=True, exist_ok=True)
        if self.named:
            return os.open(self.path, _AS_FOLDER & ~os.O_NOFOLLOW)
        if make:
            with suppress(FileExistsError):
                os.mkdir(self.path)  # noqa: PTH102  (the mode of the others)
        try:
            return os.open(self.path, _AS_FOLDER)
        except OSError as error:
            if error.errno in _NO_FOLDER and self.path.is_symlink():
                raise ProductError(
                    f"{self.path}: it is a link, which is not followed in a night's folder; give the folder"
                    " that it leads to with --out DIR, or remove the link"
                ) from error
            raise

    def _next(self, handle: int, part: str, *, make: bool) -> int:
        """The descriptor of a folder in another."""
        for _ in range(_TRIES):
            try:
                return os.open(part, _AS_FOLDER, dir_fd=handle)
            except FileNotFoundError:
                if not make:
                    raise
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=handle)
            except OSError as error:
                if error.errno not in _NO_FOLDER:
                    raise
                what = _oddity_at(handle, part)
                if not what or not make:
                    raise Odd(part, f"{part} is {what or 'a file'}, whereas a folder is expected") from error
                os.unlink(part, dir_fd=handle)
                say_on_screen(
                    "%s/%s was %s, which is not followed; a folder was made in its place", self, part, what
                )
        raise Odd(part, f"{part} keeps being replaced by another program")

    # -- looking ---------------------------------------------------------------------------------------------

    def status(self, name: str, *, plain: bool = False) -> os.stat_result:
        """What a name is, a link itself where it is one; an Odd where it should be a plain file and is not."""
        *above, last = parts_of(name)
        with self.held(tuple(above)) as handle:
            found = os.stat(last, dir_fd=handle, follow_symlinks=False)
        if plain and not stat.S_ISREG(found.st_mode):
            raise Odd(name, "it is not a regular file")
        return found

    def is_there(self) -> bool:
        """Whether the folder exists, and is one."""
        try:
            with self.held():
                return True
        except OSError:
            return False

    # -- reading ---------------------------------------------------------------------------------------------

    def open(self, name: str) -> BinaryIO:
        """A plain file, to be read.

        Raises
        ------
        Odd
            It is a link, a pipe or a device, or its name leads elsewhere.
        OSError
            It is not there, or may not be read.
        """
        *above, last = parts_of(name)
        with self.held(tuple(above)) as handle:
            try:
                found = os.open(last, os.O_RDONLY | _AS_FILE, dir_fd=handle)
            except OSError as error:
                what = _oddity_at(handle, last)
                if what:
                    raise Odd(name, f"it is {what}, which is not followed") from error
                raise
        return _plain(found, name)

    # -- writing ---------------------------------------------------------------------------------------------

    @contextmanager
    def replacing(self, name: str, prefix: str) -> Iterator[BinaryIO]:
        """A new file that takes a name once it is whole and on the disk, whatever had that name before."""
        *above, last = parts_of(name)
        with self.held(tuple(above), make=True) as handle:
            temporary = prefix + secrets.token_hex(8)
            made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOSED, 0o666, dir_fd=handle)
            try:
                # its path is for libraries that look at the name of a file
                with open(f"{self}/{name}.new", "wb", opener=lambda *_: made) as file:
                    yield file
                    file.flush()
                    to_disk(file.fileno())
                os.rename(temporary, last, src_dir_fd=handle, dst_dir_fd=handle)
            finally:
                with suppress(FileNotFoundError):  # as it should be: it has its name
                    os.unlink(temporary, dir_fd=handle)
            _sync(handle)

    def own(self, name: str, flags: int) -> int:
        """The descriptor of a file that is written in place: plain, under this name only, and made where there is none.

        Anything else under that name is removed, with a sentence.
        """
        *above, last = parts_of(name)
        with self.held(tuple(above), make=True) as handle:
            for _ in range(_TRIES):
                self._remove_odd(handle, last)
                with suppress(Odd):
                    return _alone(os.open(last, flags | os.O_CREAT | _AS_FILE, 0o666, dir_fd=handle), name)
        raise Odd(name, "it keeps being replaced by another program")

    def scratch(self, prefix: str) -> BinaryIO:
        """A file without a name, gone when it is closed."""
        with self.held() as handle:
            name = prefix + secrets.token_hex(8)
            made = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _CLOSED, 0o600, dir_fd=handle)
            os.unlink(name, dir_fd=handle)
        return os.fdopen(made, "w+b")

    def rename(self, name: str, new: str) -> None:
        """Give a file of this folder another name in it."""
        with self.held() as handle:
            os.rename(*map(_only, (name, new)), src_dir_fd=handle, dst_dir_fd=handle)

    # -- removing --------------------------------------------------------------------------------------------

    def remove_odd(self, name: str) -> None:
        """Remove what is to be a plain file of its own, and is not, with a sentence."""
        *above, last = parts_of(name)
        with suppress(FileNotFoundError), self.held(tuple(above)) as handle:
            self._remove_odd(handle, last)

    def _remove_odd(self, handle: int, last: str) -> None:
        what = _oddity_at(handle, last, alone=True)
        if what:
            os.unlink(last, dir_fd=handle)
            say_on_screen(
                "%s/%s was %s, which is not followed: it was removed and recreated", self, last, what
            )

    def remove(self, name: str) -> None:
        """Remove a file or a link, where it is there."""
        *above, last = parts_of(name)
        with suppress(FileNotFoundError), self.held(tuple(above)) as handle:
            os.unlink(last, dir_fd=handle)

    def remove_empty(self, name: str) -> bool:
        """Remove a folder that is empty; whether it was."""
        *above, last = parts_of(name)
        with suppress(OSError), self.held(tuple(above)) as handle:
            os.rmdir(last, dir_fd=handle)
            return True
        return False

    def remove_tree(self, name: str) -> None:
        """Remove a folder with all that is in it, or the link in its place, as far as that can be done."""
        *above, last = parts_of(name)
        with suppress(OSError), self.held(tuple(above)) as handle:
            if _oddity_at(handle, last):
                os.unlink(last, dir_fd=handle)
            else:
                shutil.rmtree(last, ignore_errors=True, dir_fd=handle)

    def sweep(self, prefix: str) -> None:
        """Remove all files, in all folders, whose names begin with a prefix."""
        with suppress(FileNotFoundError), self.held() as handle:
            for _, _, names, here in os.fwalk(dir_fd=handle):
                for name in (name for name in names if name.startswith(prefix)):
                    os.unlink(name, dir_fd=here)

    def names(self) -> list[str]:
        """What is in the folder."""
        with self.held() as handle:
            return sorted(os.listdir(handle))  # noqa: PTH208  (a descriptor)


# -- what a name stands for ----------------------------------------------------------------------------------


def _oddity_at(handle: int, name: str, *, alone: bool = False) -> str:
    """What a name in a folder is, where it is neither a plain file nor a folder, or has to be alone and is not."""
    try:
        found = os.stat(name, dir_fd=handle, follow_symlinks=False)
    except OSError:
        return ""
    if stat.S_ISLNK(found.st_mode):
        return "a link"
    if stat.S_ISDIR(found.st_mode):
        return ""
    if not stat.S_ISREG(found.st_mode):
        return "a pipe, a device or a socket"
    return "a hard link to another file" if alone and found.st_nlink > 1 else ""


def _plain(handle: int, name: str) -> BinaryIO:
    """An open file that is one, to be read."""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Odd(name, "it is not a regular file")
    return os.fdopen(handle, "rb")


def _alone(handle: int, name: str) -> int:
    """An open file that is one, and under one name only."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(handle)
        raise Odd(name, "it is not a regular file of its own")
    return handle


def _only(name: str) -> str:
    """A name without folders."""
    (part,) = parts_of(name)
    return part


def to_disk(handle: int) -> None:
    """Wait until what was written is on the disk: on macOS fsync alone leaves it in the drive's own cache."""
    whole = getattr(fcntl, "F_FULLFSYNC", None)
    if whole is not None:
        with suppress(OSError):  # network disks do not know it
            fcntl.fcntl(handle, whole)
            return
    os.fsync(handle)


def _sync(handle: int) -> None:
    """Make sure that a file's new name outlives a power cut; some network disks cannot."""
    with suppress(OSError):
        to_disk(handle)


# -- files of the night, and the user's own ------------------------------------------------------------------


def read_inside(root: Path, path: Path) -> bytes:
    """A small file of a night; a link in it may lead to another file of the night.

    Raises
    ------
    Odd
        It leads out of the night, is not a regular file, or is too large for one of that kind.
    OSError
        It is not there, or may not be read.
    """
    with _plain(os.open(path, os.O_RDONLY | _AS_FILE & ~os.O_NOFOLLOW), str(path)) as file:
        real = path.resolve()
        if not real.is_relative_to(root.resolve()) or not os.path.samestat(
            os.fstat(file.fileno()), os.lstat(real)
        ):
            raise Odd(path, "it is a link out of the night, which is not followed")
        content = file.read(MOST_TEXT + 1)
    if len(content) > MOST_TEXT:
        raise Odd(path, f"it is larger than {MOST_TEXT} bytes")
    return content


def read_text(path: Path) -> str:
    """A file of text that the user named, or that is installed."""
    return path.read_text(encoding="utf-8-sig")
