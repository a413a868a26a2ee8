"""The journal of earlier runs, by which the next run computes only what is missing or changed.

An SQLite database (write-ahead log) in the output folder keeps, for each raw frame and each chain of stages, what went
in (the SHA-256 of the raw bytes, the frame's description, and the fingerprints of code, instrument, masters,
reference and settings) and what came out. Whatever is cut off, what was committed stands.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from potpyri_like.encoding import Kept, decode, encode
from potpyri_like.errors import ProductError, ReductionError
from potpyri_like.store import REMEDY, Output, Reading, one_line, sha256, signature
from potpyri_like.store.folders import Folder, Odd, parts_of, say_on_screen

__all__ = [
    "COMMIT_SECONDS",
    "DIGEST",
    "FOLDER",
    "NAME",
    "OPENED",
    "Busy",
    "Journal",
    "Known",
    "Task",
    "check_opened",
    "sealed",
    "unsealed",
]

FOLDER, NAME = ".journal", "journal.sqlite"
_VERSION = 4
DIGEST = hashlib.sha256().digest_size  # bytes, before what is kept
COMMIT_SECONDS = 0.5
_WHO = 200  # characters that tell who has the lock
_APPLICATION = 0x704C696B  # by which SQLite files are told apart
_SPOILT = ("malformed", "not a database", "no such table", "no such column")  # what SQLite says
_ASIDE = "~"  # ends the name of a database that was set aside
OPENED = Path("/proc/self/fd"), Path("/dev/fd")  # where Linux and macOS list the files this process has open
_Signature = tuple[int, int, int, int]  # size, modified [ns], changed [ns], inode
_SCHEMA = """
CREATE TABLE files (file TEXT PRIMARY KEY, signature TEXT, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE headers (file TEXT PRIMARY KEY, key TEXT, rows BLOB);
CREATE TABLE jobs (job TEXT PRIMARY KEY, parts BLOB) WITHOUT ROWID;
CREATE TABLE outcomes (
    frame TEXT, chain TEXT, raw TEXT, described TEXT, job TEXT, outcome BLOB, PRIMARY KEY (frame, chain)
);
CREATE TABLE products (name TEXT PRIMARY KEY, key TEXT, signature TEXT, sha256 TEXT, memo BLOB);
CREATE TABLE notes (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
"""


class _NotOurs(sqlite3.DatabaseError):
    """A database that was not written by this software, or was modified."""


class Busy(ReductionError):
    """Another run is using the same output folder."""


@dataclass(frozen=True)
class Task:
    """A chain of stages on one frame, and what goes into it.

    Attributes
    ----------
    frame : str
        Its label.
    file : str
        The raw file's path within the night.
    path : Path
    described : str
        Fingerprint of what is known of the frame.
    chain : str
        The stages' names.
    job : str
        Fingerprint of all `parts`.
    parts : mapping of str to str
        Fingerprints of what the frames of a set share, by what it is: "code", "masters", "reference", ...
    """

    frame: str
    file: str
    path: Path
    described: str
    chain: str
    job: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class Known:
    """What the journal knows of a task: its outcome, or why that does not serve."""

    outcome: Kept = None
    why: str = ""


class Journal:
    """The journal of one output folder; one run at a time has it.

    Parameters
    ----------
    output : Output or Path
        The output folder, which exists.
    redo : bool
        Forget what was computed.

    Raises
    ------
    Busy
        Another run has it.
    ProductError
        It cannot be written.
    """

    def __init__(self, output: Output | Path, *, redo: bool = False) -> None:
        self.output = output if isinstance(output, Output) else Output(output)
        self.root = self.output.root
        self.folder = self.root / FOLDER
        self._files = self.output.folder.below(FOLDER)
        with _told(self.folder):
            self._lock = _locked(self._files, self.root)
        self._committed = time.monotonic()
        try:
            with _told(self.folder):
                self._db = self._opened()
                if redo:
                    self.start_again()
        except ProductError:
            self._lock.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit, and let others in."""
        if self._lock.closed:
            return
        try:
            with _told(self.folder):
                self.commit()
        finally:
            with suppress(sqlite3.Error):
                self._db.close()
            self._lock.close()

    def start_again(self) -> None:
        """Forget what was computed."""
        for table in ("headers", "outcomes", "jobs", "products"):
            self._write(f"DELETE FROM {table}")
        self.forget("run")
        self.commit()

    def commit(self) -> None:
        self._db.commit()
        self._committed = time.monotonic()

    # -- raw files -------------------------------------------------------------------------------------------

    def raw(self, file: str, path: Path) -> str:
        """The SHA-256 of a raw file that has not changed since it was read; "" where that is not known."""
        row = self._row("SELECT signature, sha256 FROM files WHERE file = ?", file)
        if row is None:
            return ""
        with suppress(OSError):
            if row[0] == _stamp(signature(path)):
                return str(row[1])
        return ""

    def content(self, file: str, path: Path) -> str:
        """The SHA-256 of a raw file, read where it is not known; "" where it cannot be read."""
        known = self.raw(file, path)
        if known:
            return known
        with suppress(OSError):
            before = signature(path)
            found = sha256(path)
            self.learn(file, before, found)
            return found
        return ""

    def inputs(self) -> Iterator[tuple[str, str]]:
        """The raw files that are known, and their SHA-256."""
        with _told(self.folder):
            yield from self._execute("SELECT file, sha256 FROM files ORDER BY file").fetchall()

    def learn(self, file: str, of: _Signature, digest: str) -> None:
        """Remember the SHA-256 of a raw file, and by what to see that it has not changed."""
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", file, _stamp(of), digest)

    def read(self, file: str, reading: Reading) -> None:
        """Remember a raw file that was read."""
        of = reading.size, reading.mtime_ns, reading.ctime_ns, reading.inode
        self.learn(file, of, reading.sha256)

    # -- headers ---------------------------------------------------------------------------------------------

    def rows(self, file: str, key: str) -> Kept:
        """What was made of a raw file's header; None where it was not under that key."""
        row = self._row("SELECT key, rows FROM headers WHERE file = ?", file)
        if row is not None and row[0] == key:
            with suppress(ValueError):
                return decode(unsealed(row[1]))
        return None

    def keep_rows(self, file: str, key: str, rows: object) -> Kept:
        """Remember what was made of a raw file's header; it comes back as it will be read."""
        content = encode(rows)
        self._write("INSERT OR REPLACE INTO headers VALUES (?, ?, ?)", file, key, sealed(content))
        return decode(content)

    # -- frames ----------------------------------------------------------------------------------------------

    def known(self, task: Task) -> Known:
        """The outcome of a task, or the reason why it has to be done."""
        query = "SELECT raw, described, job, outcome FROM outcomes WHERE frame = ? AND chain = ?"
        row = self._row(query, task.frame, task.chain)
        if row is None:
            return Known(why="new")
        raw, described, job, content = row
        if job != task.job:
            return Known(why=self.difference(job, task.parts))
        if described != task.described:
            return Known(why="changed in night.ecsv")
        if raw != self.content(task.file, task.path):
            return Known(why="raw file changed")
        try:
            return Known(outcome=decode(unsealed(content)))
        except ValueError:
            return Known(why="corrupt in the journal")

    def keep(self, task: Task, raw: str, content: bytes) -> None:
        """Remember the outcome of a task.

        Parameters
        ----------
        task : Task
        raw : str
            SHA-256 of the bytes that were read.
        content : bytes
            The outcome, encoded.
        """
        self._write("INSERT OR IGNORE INTO jobs VALUES (?, ?)", task.job, sealed(encode(dict(task.parts))))
        self._write(
            "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?)",
            *(task.frame, task.chain, raw, task.described, task.job, sealed(content)),
        )

    def difference(self, job: str, parts: Mapping[str, str]) -> str:
        """What is not as it was in a job, in words."""
        row = self._row("SELECT parts FROM jobs WHERE job = ?", job)
        before: Mapping[str, str] = {}
        with suppress(ValueError):
            before = decode(unsealed(row[0])) if row else {}
        changed = [name for name in parts if before.get(name) != parts[name]]
        return f"{changed[0]} changed" if changed else "settings changed"

    # -- products --------------------------------------------------------------------------------------------

    def recall(self, name: str, key: str) -> Kept:
        """What was remembered with a product that was made under that key and stands as it was written; or None."""
        row = self._row("SELECT key, signature, sha256, memo FROM products WHERE name = ?", name)
        if row is None or row[0] != key or not self._stands(name, row[1], row[2]):
            return None
        with suppress(ValueError):
            return decode(unsealed(row[3]))
        return None

    def has_product(self, name: str) -> bool:
        """Whether something was remembered with a product, be it there or not."""
        return self._row("SELECT 1 FROM products WHERE name = ?", name) is not None

    def keep_product(self, name: str, key: str = "", memo: object = None) -> str:
        """Remember a product that was written; its SHA-256.

        Without a key, what was remembered with the same bytes stands.
        """
        digest, now = self.output.sha256(name), _stamp(self.output.signature(name))
        row = self._row("SELECT sha256 FROM products WHERE name = ?", name)
        if not key and row is not None and row[0] == digest:
            self._write("UPDATE products SET signature = ? WHERE name = ?", now, name)
        else:
            values = name, key, now, digest, sealed(encode(memo))
            self._write("INSERT OR REPLACE INTO products VALUES (?, ?, ?, ?, ?)", *values)
        return digest

    def forget_others(self, names: Collection[str]) -> list[str]:
        """Products of earlier runs that are none of these, and stand as they were written; all others are forgotten."""
        with _told(self.folder):
            known = [name for (name,) in self._execute("SELECT name FROM products").fetchall()]
        others = [name for name in known if name not in names]
        left = [name for name in others if self.product(name)]
        for name in others:
            self._write("DELETE FROM products WHERE name = ?", name)
        return left

    def product(self, name: str) -> str:
        """The SHA-256 of a product as it was written; "" where it was not, or is not there as it was."""
        row = self._row("SELECT signature, sha256 FROM products WHERE name = ?", name)
        return row[1] if row is not None and self._stands(name, *row) else ""

    def unchanged(self, name: str) -> str:
        """The SHA-256 of a product whose size, times and place on the disk are as noted; "" where they are not."""
        row = self._row("SELECT signature, sha256 FROM products WHERE name = ?", name)
        with suppress(OSError):
            return row[1] if row is not None and _stamp(self.output.signature(name)) == row[0] else ""
        return ""

    def _stands(self, name: str, stamped: str, digest: str) -> bool:
        with suppress(OSError):  # it is not there, or not a regular file below the output folder
            return _stamp(self.output.signature(name)) == stamped or self.output.sha256(name) == digest
        return False

    # -- notes -----------------------------------------------------------------------------------------------

    def note(self, name: str) -> Kept:
        """What was noted under a name; None where nothing was, or where it is not as it was noted."""
        row = self._row("SELECT value FROM notes WHERE name = ?", name)
        with suppress(ValueError):
            return None if row is None else json.loads(unsealed(row[0]))
        return None

    def write_note(self, name: str, value: object) -> None:
        """Note something, at once and for good."""
        self._write("INSERT OR REPLACE INTO notes VALUES (?, ?)", name, sealed(json.dumps(value).encode()))
        with _told(self.folder):
            self.commit()

    def forget(self, name: str) -> None:
        self._write("DELETE FROM notes WHERE name = ?", name)

    # -- the database ----------------------------------------------------------------------------------------

    def _row(self, query: str, *values: object) -> Any:
        """The first row that a query finds; None where it finds none."""
        with _told(self.folder):
            return self._execute(query, *values).fetchone()

    def _write(self, statement: str, *values: object) -> None:
        with _told(self.folder):
            self._execute(statement, *values)
            if time.monotonic() - self._committed > COMMIT_SECONDS:
                self.commit()

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        """The result of a statement; if a page is corrupt, that of a recreated database."""
        values = tuple(_as_stored(value) for value in values)
        try:
            return self._db.execute(statement, values)
        except sqlite3.DatabaseError as error:
            if not _is_spoilt(error):
                raise
            self._db.close()
            self._db = self._afresh(error)
            return self._db.execute(statement, values)

    def _opened(self) -> sqlite3.Connection:
        """The database; one that cannot be read or was modified is renamed and recreated."""
        try:
            return _prepared(self._files)
        except sqlite3.DatabaseError as error:
            if not _is_spoilt(error):
                raise
            return self._afresh(error)

    def _afresh(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """A new database instead of a corrupt one."""
        path = self.folder / NAME
        say_on_screen(
            "%s is corrupt or was modified (%s): renamed to %s and recreated",
            path,
            error,
            NAME + _ASIDE,
        )
        self._files.rename(NAME, NAME + _ASIDE)
        self._files.remove(f"{NAME}-wal")
        return _prepared(self._files)


def _prepared(files: Folder) -> sqlite3.Connection:
    """The database in a folder, with our tables and nothing else.

    SQLite opens files by their paths. So they are looked at before, nothing is read or written before it is certain
    that it has opened the file that was looked at, and nothing is written before all that is in it is ours. A rollback
    journal, which we never leave, is not given to SQLite: it may name any file for removal.

    Its index of the log stays in this process's memory (exclusive mode), so that it works on network disks, too.

    Raises
    ------
    NotOurs
        Something else is in it.
    """
    for name in (f"{NAME}-journal", f"{NAME}-shm"):
        files.remove(name)
    files.remove_odd(f"{NAME}-wal")
    looked_at = _made(files)
    address = f"{Path(str(files)).absolute().as_uri()}/{NAME}?mode=rw"
    database = sqlite3.connect(address, uri=True, check_same_thread=False)
    try:
        check_opened(files, looked_at)
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        new = _is_new(database)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA fullfsync = ON")  # of macOS; no effect elsewhere
        database.execute("PRAGMA synchronous = FULL")  # notes must not be older than what they tell of
        if new:
            database.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION}; COMMIT;"
            )
    except sqlite3.Error:
        database.close()
        raise
    return database


def _made(files: Folder) -> os.stat_result:
    """The file of the database, made where there is none; closed again, or SQLite's locks would end with that."""
    handle = files.own(NAME, os.O_RDWR)
    try:
        return os.fstat(handle)
    finally:
        os.close(handle)


def check_opened(files: Folder, wanted: os.stat_result) -> None:
    """Raise a ProductError where SQLite cannot have opened the file that was looked at."""
    here = os.path.samestat(files.status(NAME), wanted)
    shown = next((folder for folder in OPENED if folder.is_dir()), None)
    if not here or (shown and not any(_is_file(handle, wanted) for handle in shown.iterdir())):
        raise ProductError(f"{files}: the folder was replaced while the journal was being opened; run again")


def _is_file(handle: Path, wanted: os.stat_result) -> bool:
    """Whether a descriptor of this process is of that file."""
    with suppress(OSError, ValueError):
        return os.path.samestat(os.fstat(int(handle.name)), wanted)
    return False


def _is_new(database: sqlite3.Connection) -> bool:
    """Whether a database is empty; a NotOurs where what is in it is not what we write."""
    found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    tables = _tables_of(database)
    if found == [0, 0] and not tables:
        return True
    if found != [_APPLICATION, _VERSION]:
        raise _NotOurs("written by another version of this software, or by another program")
    if tables != _our_tables():
        raise _NotOurs("unexpected tables")
    for (name,) in database.execute("SELECT name FROM products"):
        _check_inside(name)
    return False


def _check_inside(name: object) -> None:
    """Raise a NotOurs where a product's name is none of a file below the output folder."""
    try:
        parts_of(os.fsdecode(name) if isinstance(name, bytes) else str(name))
    except Odd as error:
        raise _NotOurs(f"it names a product elsewhere, {one_line(repr(name))[:100]}") from error


def _tables_of(database: sqlite3.Connection) -> list[tuple[str, ...]]:
    """All tables, indices, views and triggers, in the words that made them."""
    return database.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    ).fetchall()


@lru_cache(maxsize=1)
def _our_tables() -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_SCHEMA)
        return _tables_of(database)


def _as_stored(value: object) -> object:
    """A value as SQLite takes it: a file's name that is no UTF-8 as bytes."""
    if isinstance(value, str) and not value.isascii():
        with suppress(UnicodeEncodeError):
            value.encode()
            return value
        return os.fsencode(value)
    return value


def _is_spoilt(error: sqlite3.DatabaseError) -> bool:
    """Whether an error tells that a database is not as we wrote it, and not that the disk is full or closed."""
    return isinstance(error, _NotOurs) or any(words in str(error) for words in _SPOILT)


def sealed(content: bytes) -> bytes:
    """What is kept, after its digest."""
    return hashlib.sha256(content).digest() + content


def unsealed(kept: object) -> bytes:
    """What was kept.

    Raises
    ------
    ValueError
        It is not as it was kept.
    """
    content = kept[DIGEST:] if isinstance(kept, bytes) else b""
    if not isinstance(kept, bytes) or kept[:DIGEST] != hashlib.sha256(content).digest():
        raise ValueError("stored value corrupt")
    return content


def _stamp(of: _Signature) -> str:
    """A file's size, times and place on the disk, by which a change shows."""
    return " ".join(map(str, of))


def _locked(files: Folder, root: Path) -> IO[str]:
    """The open lock of an output folder, gone with the process that has it.

    Raises
    ------
    Busy
        Somebody else has it.
    """
    file = os.fdopen(files.own("lock", os.O_RDWR | os.O_APPEND), "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        who = one_line(file.read(_WHO))
        file.close()
        raise Busy(
            f"{root}: another run is using this folder{f' ({who})' if who else ''};"
            " wait until it ends, or choose another folder with --out DIR"
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()}\n")
    file.flush()
    return file


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Raise an error that says that the journal cannot be written."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise ProductError(f"{folder}: the journal cannot be written ({why}); {REMEDY}") from error
