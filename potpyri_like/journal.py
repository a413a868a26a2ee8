"""What earlier runs did, so that the next one does only what is missing or changed.

An SQLite database (write-ahead log) in the output folder keeps, for each raw frame and each chain of stages, what went
in (the SHA-256 of the raw bytes, the frame's description, and the fingerprints of code, instrument, masters,
reference and settings) and what came out. Whatever is cut off, what was committed stands.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from potpyri_like.encoding import decode, encode
from potpyri_like.errors import ProductError, ReductionError
from potpyri_like.store import REMEDY, Reading, sha256, signature

__all__ = ["Busy", "Journal", "Known", "Task"]

log = logging.getLogger(__name__)

FOLDER, NAME = ".journal", "journal.sqlite"
VERSION = 1
COMMIT_SECONDS = 0.5
SPOILT = ("malformed", "not a database", "no such table", "no such column")  # what SQLite says
Signature = tuple[int, int, int, int]  # size, modified [ns], changed [ns], inode
SCHEMA = """
CREATE TABLE files (file TEXT PRIMARY KEY, signature TEXT, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE headers (file TEXT PRIMARY KEY, key TEXT, rows BLOB);
CREATE TABLE jobs (job TEXT PRIMARY KEY, parts TEXT) WITHOUT ROWID;
CREATE TABLE outcomes (
    frame TEXT, chain TEXT, raw TEXT, described TEXT, job TEXT, outcome BLOB, sha256 TEXT, PRIMARY KEY (frame, chain)
);
CREATE TABLE products (name TEXT PRIMARY KEY, key TEXT, signature TEXT, sha256 TEXT, memo BLOB);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""


class Busy(ReductionError):
    """Another run is at work on the same output folder."""


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

    outcome: Any = None
    why: str = ""


class Journal:
    """The journal of one output folder; one run at a time has it.

    Parameters
    ----------
    root : Path
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

    def __init__(self, root: Path, *, redo: bool = False) -> None:
        self.root = root
        self.folder = root / FOLDER
        with told(self.folder):
            self.folder.mkdir(exist_ok=True)
            self._lock = locked(self.folder / "lock")
        self._committed = time.monotonic()
        try:
            with told(self.folder):
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
            with told(self.folder):
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
            if row[0] == stamp(signature(path)):
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
        with told(self.folder):
            yield from self._execute("SELECT file, sha256 FROM files ORDER BY file").fetchall()

    def learn(self, file: str, of: Signature, digest: str) -> None:
        """Remember the SHA-256 of a raw file, and by what to see that it has not changed."""
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", file, stamp(of), digest)

    def read(self, file: str, reading: Reading) -> None:
        """Remember a raw file that was read."""
        of = reading.size, reading.mtime_ns, reading.ctime_ns, reading.inode
        self.learn(file, of, reading.sha256)

    # -- headers ---------------------------------------------------------------------------------------------

    def rows(self, file: str, key: str) -> Any:
        """What was made of a raw file's header; None where it was not under that key."""
        row = self._row("SELECT key, rows FROM headers WHERE file = ?", file)
        if row is not None and row[0] == key:
            with suppress(ValueError):
                return decode(row[1])
        return None

    def keep_rows(self, file: str, key: str, rows: Any) -> Any:
        """Remember what was made of a raw file's header; it comes back as it will be read."""
        content = encode(rows)
        self._write("INSERT OR REPLACE INTO headers VALUES (?, ?, ?)", file, key, content)
        return decode(content)

    # -- frames ----------------------------------------------------------------------------------------------

    def known(self, task: Task) -> Known:
        """The outcome of a task, or the reason why it has to be done."""
        query = "SELECT raw, described, job, outcome, sha256 FROM outcomes WHERE frame = ? AND chain = ?"
        row = self._row(query, task.frame, task.chain)
        if row is None:
            return Known(why="new")
        raw, described, job, content, digest = row
        if job != task.job:
            return Known(why=self.difference(job, task.parts))
        if described != task.described:
            return Known(why="described otherwise")
        if raw != self.content(task.file, task.path):
            return Known(why="another raw file")
        if not isinstance(content, bytes) or sha256_of(content) != digest:
            return Known(why="spoilt in the journal")
        return Known(outcome=decode(content))

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
        self._write("INSERT OR IGNORE INTO jobs VALUES (?, ?)", task.job, json.dumps(dict(task.parts)))
        self._write(
            "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(task.frame, task.chain, raw, task.described, task.job, content, sha256_of(content)),
        )

    def difference(self, job: str, parts: Mapping[str, str]) -> str:
        """What is not as it was in a job, in words."""
        row = self._row("SELECT parts FROM jobs WHERE job = ?", job)
        before = json.loads(row[0]) if row else {}
        changed = [name for name in parts if before.get(name) != parts[name]]
        return f"other {changed[0]}" if changed else "other settings"

    # -- products --------------------------------------------------------------------------------------------

    def recall(self, name: str, key: str) -> Any:
        """What was remembered with a product that was made under that key and stands as it was written; or None."""
        row = self._row("SELECT key, signature, sha256, memo FROM products WHERE name = ?", name)
        if row is None or row[0] != key or not self._stands(name, row[1], row[2]):
            return None
        with suppress(ValueError):
            return decode(row[3])
        return None

    def has_product(self, name: str) -> bool:
        """Whether something was remembered with a product, be it there or not."""
        return self._row("SELECT 1 FROM products WHERE name = ?", name) is not None

    def keep_product(self, name: str, key: str = "", memo: Any = None) -> str:
        """Remember a product that was written; its SHA-256.

        Without a key, what was remembered with the same bytes stands.
        """
        path = self.root / name
        digest, now = sha256(path), stamp(signature(path))
        row = self._row("SELECT sha256 FROM products WHERE name = ?", name)
        if not key and row is not None and row[0] == digest:
            self._write("UPDATE products SET signature = ? WHERE name = ?", now, name)
        else:
            values = name, key, now, digest, encode(memo)
            self._write("INSERT OR REPLACE INTO products VALUES (?, ?, ?, ?, ?)", *values)
        return digest

    def forget_others(self, names: Collection[str]) -> list[str]:
        """Products of earlier runs that are none of these, and stand as they were written; all others are forgotten."""
        with told(self.folder):
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

    def _stands(self, name: str, stamped: str, digest: str) -> bool:
        path = self.root / name
        with suppress(OSError):
            return stamp(signature(path)) == stamped or sha256(path) == digest
        return False

    # -- notes -----------------------------------------------------------------------------------------------

    def note(self, name: str) -> Any:
        """What was noted under a name; None where nothing was."""
        row = self._row("SELECT value FROM notes WHERE name = ?", name)
        return None if row is None else json.loads(row[0])

    def write_note(self, name: str, value: Any) -> None:
        """Note something, at once and for good."""
        self._write("INSERT OR REPLACE INTO notes VALUES (?, ?)", name, json.dumps(value))
        with told(self.folder):
            self.commit()

    def forget(self, name: str) -> None:
        self._write("DELETE FROM notes WHERE name = ?", name)

    # -- the database ----------------------------------------------------------------------------------------

    def _row(self, query: str, *values: Any) -> Any:
        """The first row that a query finds; None where it finds none."""
        with told(self.folder):
            return self._execute(query, *values).fetchone()

    def _write(self, statement: str, *values: Any) -> None:
        with told(self.folder):
            self._execute(statement, *values)
            if time.monotonic() - self._committed > COMMIT_SECONDS:
                self.commit()

    def _execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """A statement's result; where a page turns out to be spoilt, that of a database begun afresh."""
        values = tuple(as_stored(value) for value in values)
        try:
            return self._db.execute(statement, values)
        except sqlite3.DatabaseError as error:
            if not is_spoilt(error):
                raise
            self._db.close()
            self._db = self._afresh(error)
            return self._db.execute(statement, values)

    def _opened(self) -> sqlite3.Connection:
        """The database; one that cannot be read is removed, and a new one begun."""
        try:
            return prepared(self.folder / NAME)
        except sqlite3.DatabaseError as error:
            if not is_spoilt(error):
                raise
            return self._afresh(error)

    def _afresh(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """A new database in the place of one that is spoilt."""
        log.warning("%s cannot be read any more (%s); it is begun afresh", self.folder / NAME, error)
        for each in self.folder.glob(f"{NAME}*"):
            each.unlink()
        return prepared(self.folder / NAME)


def prepared(path: Path) -> sqlite3.Connection:
    """A database with our tables; those of another version are dropped.

    Its index of the log stays in this process's memory (exclusive mode), so that it works on network disks, too.
    """
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # notes must not be older than what they tell of
        if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                database.execute(f"DROP TABLE {name}")
            database.executescript(SCHEMA + f"PRAGMA user_version = {VERSION};")
    except sqlite3.Error:
        database.close()
        raise
    return database


def as_stored(value: Any) -> Any:
    """A value as SQLite takes it: a file's name that is no UTF-8 as bytes."""
    if isinstance(value, str) and not value.isascii():
        with suppress(UnicodeEncodeError):
            value.encode()
            return value
        return os.fsencode(value)
    return value


def is_spoilt(error: sqlite3.DatabaseError) -> bool:
    """Whether an error tells that a database is not as we wrote it, and not that the disk is full or closed."""
    return any(words in str(error) for words in SPOILT)


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def stamp(of: Signature) -> str:
    """A file's size, times and place on the disk, by which a change shows."""
    return " ".join(map(str, of))


def locked(path: Path) -> IO[str]:
    """The open lock of an output folder, gone with the process that has it.

    Raises
    ------
    Busy
        Somebody else has it.
    """
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        who = file.read().strip()
        file.close()
        raise Busy(
            f"{path.parent.parent}: another run is at work there{f' ({who})' if who else ''};"
            " wait for it, or choose another folder with --out DIR"
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()}\n")
    file.flush()
    return file


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Tell in our words that the journal cannot be written."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise ProductError(f"{folder}: the journal cannot be written ({why}); {REMEDY}") from error
