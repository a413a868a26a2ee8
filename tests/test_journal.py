import fcntl
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import potpyri_like
from potpyri_like.encoding import encode, fingerprint
from potpyri_like.errors import ProductError
from potpyri_like.run.journal import DIGEST, FOLDER, NAME, Busy, Journal, Task
from potpyri_like.store import Reading, sha256, signature

HOLD = """
import sys, time
from pathlib import Path
from potpyri_like.run.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.write_note("kept", 1)
journal.learn("lost", (1, 2, 3, 4), "ab")
print("ready", flush=True)
time.sleep(60)
"""
ENV = {**os.environ, "PYTHONPATH": str(Path(potpyri_like.__file__).parents[1])}


@pytest.fixture
def journal(tmp_path):
    root = tmp_path / "red"
    root.mkdir()
    with Journal(root) as journal:
        yield journal


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(b"1234")
    return path


def task(path, **changes):
    parts = changes.pop("parts", {"version of the software": "v1", "masters": "m1", "reference": "r1"})
    job = fingerprint(parts)
    return replace(Task("C1/a.fits", "C1/a.fits", path, "described", "Trim Measure", job, parts), **changes)


def kept(journal, raw, outcome, **changes):
    """The task, its outcome remembered."""
    asked = task(raw, **changes)
    journal.keep(asked, sha256(raw), encode(outcome))
    return asked


def opened_again(journal, **options):
    journal.close()
    return Journal(journal.root, **options)


def touch(path, *, later=10**9):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + later))


# -- one run at a time ---------------------------------------------------------------------------------------


@pytest.fixture
def holder(tmp_path):
    """Another process that has the journal of tmp_path/red."""
    root = tmp_path / "red"
    root.mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", HOLD, root], env=ENV, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process, root
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_a_second_opener_is_told_who_is_at_work_and_a_killed_process_lets_go(holder):
    process, root = holder
    with pytest.raises(
        Busy,
        match=rf"{root}: another run is using this folder \(process {process.pid}\); wait until it ends, or",
    ):
        Journal(root)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with Journal(root) as journal:
        assert journal.note("kept") == 1  # committed: it stands
        assert (root / FOLDER / "lock").read_text() == f"process {os.getpid()}\n"


def test_a_second_opener_in_the_same_process_is_rejected_until_the_first_closes(journal):
    with pytest.raises(Busy, match=f"process {os.getpid()}"):
        Journal(journal.root)
    with opened_again(journal) as again:
        assert again.note("run") is None


def test_a_journal_that_cannot_be_opened_keeps_no_lock(tmp_path):
    (tmp_path / FOLDER / NAME).mkdir(parents=True)
    with pytest.raises(ProductError):
        Journal(tmp_path)
    with (tmp_path / FOLDER / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_children_do_not_inherit_the_lock(journal):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        opened_again(journal).close()
    finally:
        child.communicate(b"\n")


# -- raw files -----------------------------------------------------------------------------------------------


def test_a_raw_file_is_unknown_until_it_was_read(journal, raw):
    assert journal.raw("a.fits", raw) == ""
    journal.read("a.fits", Reading(*signature(raw), "digest", 0.1))
    assert journal.raw("a.fits", raw) == "digest"
    assert journal.raw("b.fits", raw) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"12345"),
        lambda path: path.write_bytes(b"1235"),
        touch,
        lambda path: touch(path, later=-1),
        lambda path: path.chmod(0o600),  # shows in the time of change only
        lambda path: (path.with_name("b").write_bytes(b"1234"), path.with_name("b").replace(path)),
        lambda path: path.unlink(),
    ],
    ids=["size", "content", "later", "earlier", "ctime", "another inode", "gone"],
)
def test_a_raw_file_that_may_have_changed_is_unknown_and_read_again(journal, raw, change):
    known = journal.content("a.fits", raw)
    status = raw.stat()
    time.sleep(0.02)  # clocks of file systems tick every few milliseconds
    change(raw)
    if raw.exists() and raw.read_bytes() == b"1235":
        os.utime(raw, ns=(status.st_atime_ns, status.st_mtime_ns))  # only the time of change tells
    assert journal.raw("a.fits", raw) == ""
    again = journal.content("a.fits", raw)
    assert again == (sha256(raw) if raw.exists() else "")
    assert (again == known) == (raw.exists() and raw.read_bytes() == b"1234")


def test_a_raw_file_is_hashed_once(journal, raw, opens):
    first = journal.content("a.fits", raw)
    before = len(opens)
    assert journal.content("a.fits", raw) == first == journal.raw("a.fits", raw)
    assert not [path for path, *_ in opens[before:] if str(path) == str(raw)]


# -- headers -------------------------------------------------------------------------------------------------


def test_rows_come_back_under_their_key_only(journal):
    rows = [("a.fits", "use", "", None)]
    assert journal.keep_rows("a.fits", "key", rows) == rows
    assert journal.rows("a.fits", "key") == rows
    assert journal.rows("a.fits", "other") is None and journal.rows("b.fits", "key") is None


# -- frames --------------------------------------------------------------------------------------------------


def test_an_outcome_comes_back_in_the_next_run(journal, raw):
    flux = np.arange(5, dtype=np.float32)
    asked = kept(journal, raw, {"results": {"flux": flux}, "reason": ""})
    with opened_again(journal) as again:
        known = again.known(asked)
    assert known.why == "" and known.outcome["reason"] == ""
    np.testing.assert_array_equal(known.outcome["results"]["flux"], flux)


def test_a_touched_raw_file_of_equal_bytes_is_the_same(journal, raw):
    asked = kept(journal, raw, 1)
    touch(raw)
    assert journal.known(asked).outcome == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"frame": "C1/b.fits"}, "new"),
        ({"chain": "Trim DetectStars"}, "new"),
        ({"described": "otherwise"}, "changed in night.ecsv"),
        (
            {"parts": {"version of the software": "v2", "masters": "m1", "reference": "r1"}},
            "version of the software changed",
        ),
        ({"parts": {"version of the software": "v1", "masters": "m2", "reference": "r1"}}, "masters changed"),
        ({"parts": {"version of the software": "v1", "masters": "m2", "reference": "r2"}}, "masters changed"),
        (
            {"parts": {"version of the software": "v1", "masters": "m1", "reference": "r1", "target": "t"}},
            "target changed",
        ),
    ],
    ids=str,
)
def test_the_reason_why_an_outcome_does_not_serve_is_told(journal, raw, changes, why):
    kept(journal, raw, 1)
    known = journal.known(task(raw, **changes))
    assert (known.outcome, known.why) == (None, why)


def test_an_outcome_of_other_bytes_does_not_serve(journal, raw):
    asked = kept(journal, raw, 1)
    raw.write_bytes(b"4321")
    assert journal.known(asked).why == "raw file changed"
    raw.unlink()
    assert journal.known(asked).why == "raw file changed"


def test_the_last_outcome_counts(journal, raw):
    kept(journal, raw, 1)
    asked = kept(journal, raw, 2, described="otherwise")
    assert journal.known(asked).outcome == 2
    assert journal.known(task(raw)).why == "changed in night.ecsv"


def test_a_spoilt_outcome_is_done_again(journal, raw):
    asked = kept(journal, raw, [1.0, 2.0])
    with opened_again(journal) as again:
        content = encode([1.0, 3.0])  # reads well, and is not what was kept
        again._write("UPDATE outcomes SET outcome = ?", content)
        assert again.known(asked).why == "corrupt in the journal"
        again._write("UPDATE outcomes SET outcome = ?", "text")
        assert again.known(asked).why == "corrupt in the journal"


SPOILT = {
    "a digit": lambda kept: kept.replace(b"1234", b"1235"),
    "the digest": lambda kept: b"x" + kept[1:],
    "no digest": lambda kept: kept[DIGEST:],
    "nothing": lambda kept: b"",
    "text": lambda kept: "1234",
    "a number": lambda kept: 1234,
    "no value": lambda kept: None,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_nothing_that_is_not_as_it_was_kept_comes_out(journal, raw, spoil):
    (journal.root / "p.txt").write_text("p")
    asked = kept(journal, raw, 1234)
    journal.keep_rows("C1/a.fits", "key", 1234)
    journal.keep_product("p.txt", "key", 1234)
    journal.write_note("night.ecsv", 1234)
    columns = {"outcomes": "outcome", "headers": "rows", "products": "memo", "notes": "value"}

    def found(again):
        noted = again.note("night.ecsv")
        return [
            again.known(asked).outcome,
            again.rows("C1/a.fits", "key"),
            again.recall("p.txt", "key"),
            noted,
        ]

    with opened_again(journal) as again:
        assert found(again) == [1234] * 4
        for table, column in columns.items():
            ((value,),) = again._db.execute(f"SELECT {column} FROM {table}").fetchall()
            again._write(f"UPDATE {table} SET {column} = ?", spoil(value))
        assert found(again) == [None] * 4


def test_redo_forgets_what_was_computed(journal, raw):
    asked = kept(journal, raw, 1)
    journal.keep_rows("C1/a.fits", "key", [])
    (journal.root / "p.txt").write_text("p")
    journal.keep_product("p.txt", "key", 1)
    journal.write_note("run", {"key": 1})
    journal.write_note("night.ecsv", {"versions": []})
    with opened_again(journal, redo=True) as again:
        assert again.known(asked).why == "new"
        assert again.rows("C1/a.fits", "key") is None
        assert again.recall("p.txt", "key") is None
        assert again.note("run") is None
        assert again.note("night.ecsv") == {"versions": []}  # what the observer changed is no computation


# -- products ------------------------------------------------------------------------------------------------


@pytest.fixture
def product(journal):
    path = journal.root / "cals" / "dark.fits"
    path.parent.mkdir()
    path.write_bytes(b"dark")
    assert journal.keep_product("cals/dark.fits", "key", ["a.fits"]) == sha256(path)
    return path


def test_a_product_is_recalled_under_its_key_with_what_was_remembered(journal, product):
    assert journal.recall("cals/dark.fits", "key") == ["a.fits"]
    assert journal.recall("cals/dark.fits", "other") is None
    assert journal.recall("cals/flat.fits", "key") is None
    assert journal.product("cals/dark.fits") == sha256(product)


@pytest.mark.parametrize(
    ("change", "stands"),
    [
        (lambda path: path.write_bytes(b"Dark"), False),
        (lambda path: path.write_bytes(b"dark!"), False),
        (lambda path: path.unlink(), False),
        (lambda path: (path.unlink(), path.mkdir()), False),
        (touch, True),
        (lambda path: (path.with_name("b").write_bytes(b"dark"), path.with_name("b").replace(path)), True),
    ],
    ids=["edited", "longer", "deleted", "a folder", "touched", "replaced by equal bytes"],
)
def test_a_product_is_recalled_while_it_stands(journal, product, change, stands):
    time.sleep(0.02)
    change(product)
    assert journal.recall("cals/dark.fits", "key") == (["a.fits"] if stands else None)
    assert bool(journal.product("cals/dark.fits")) == stands


def test_products_that_are_needed_no_more_are_told_unless_somebody_changed_them(journal, product):
    for name in ("old.txt", "edited.txt", "gone.txt"):
        (journal.root / name).write_text(name)
        journal.keep_product(name)
    (journal.root / "edited.txt").write_text("mine")
    (journal.root / "gone.txt").unlink()
    assert journal.forget_others({"cals/dark.fits", "new.txt"}) == ["old.txt"]
    assert journal.forget_others({"cals/dark.fits"}) == []
    assert journal.recall("cals/dark.fits", "key") == ["a.fits"]


def test_what_was_remembered_with_a_product_stands_with_its_bytes(journal, product):
    journal.keep_product("cals/dark.fits")
    assert journal.recall("cals/dark.fits", "key") == ["a.fits"]
    product.write_bytes(b"Dark")
    journal.keep_product("cals/dark.fits")
    assert journal.recall("cals/dark.fits", "key") is None
    assert journal.product("cals/dark.fits") == sha256(product)


# -- what may befall it --------------------------------------------------------------------------------------


@pytest.fixture
def full(journal, raw):
    """A journal of many pages, closed; and a task that it knows."""
    for number in range(200):
        kept(journal, raw, np.full(500, float(number)), frame=f"{number}.fits")
    asked = kept(journal, raw, 1)
    journal.write_note("run", {"key": 1})
    journal.close()
    return journal.root, asked


def all_questions(journal, asked):
    """Everything that can be asked; what came of the task."""
    journal.note("run"), journal.rows("a", "k"), journal.product("p"), journal.recall("p", "k")
    journal.raw("C1/a.fits", asked.path)
    for number in range(200):
        journal.known(replace(asked, frame=f"{number}.fits"))
    return journal.known(asked)


SPOIL = {
    "garbage": lambda path: path.write_bytes(os.urandom(50_000)),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no database\n" * 999),
    "its head": lambda path: overwrite(path, 0, bytes(100)),
    "its first page": lambda path: overwrite(path, 100, os.urandom(3996)),
    "its middle": lambda path: overwrite(path, 8192, os.urandom(path.stat().st_size - 16384)),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2 // 4096 * 4096),
    "truncated within a page": lambda path: os.truncate(path, 5000),
    "another's": lambda path: (path.unlink(), another_database(path)),
}


def overwrite(path, start, content):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def another_database(path):
    database = sqlite3.connect(path)
    database.executescript("CREATE TABLE files (x); PRAGMA user_version = 1;")
    database.close()


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.slow
def test_a_spoilt_database_is_begun_afresh(full, raw, how, caplog):
    root, asked = full
    SPOIL[how](root / FOLDER / NAME)
    with Journal(root) as journal:
        assert all_questions(journal, asked).outcome in (None, 1)
        kept(journal, raw, 2)
    with Journal(root) as journal:
        assert journal.known(asked).outcome == 2
    assert how == "empty" or "recreated" in caplog.text


def test_a_spoilt_page_that_is_met_when_writing_is_no_obstacle(full, raw):
    root, asked = full
    with Journal(root) as journal:
        overwrite(root / FOLDER / NAME, 4096, os.urandom((root / FOLDER / NAME).stat().st_size - 4096))
        journal._db.execute("PRAGMA cache_size = 0")
        kept(journal, raw, 2)
        assert journal.known(asked).outcome == 2


@pytest.mark.parametrize("place", [FOLDER, f"{FOLDER}/{NAME}", f"{FOLDER}/lock"])
def test_something_else_in_its_place_is_told_in_one_sentence(tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("") if place == FOLDER else path.mkdir()
    with pytest.raises(
        ProductError,
        match=rf"^{tmp_path}/\.journal: the journal cannot be written \([^\n]+\); free some space",
    ):
        Journal(tmp_path)


def test_a_journal_of_another_version_is_begun_afresh(full):
    root, asked = full
    database = sqlite3.connect(root / FOLDER / NAME)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with Journal(root) as journal:
        assert journal.known(asked).why == "new"


def test_one_cut_off_while_it_was_made_is_made_again(tmp_path):
    (tmp_path / FOLDER).mkdir()
    database = sqlite3.connect(tmp_path / FOLDER / NAME)
    database.execute("CREATE TABLE files (file TEXT PRIMARY KEY)")
    database.close()
    with Journal(tmp_path) as journal:
        journal.learn("a", (1, 2, 3, 4), "ab")


@pytest.mark.slow
def test_a_full_disk_is_told_in_one_sentence(tmp_path, raw):
    code = """
import resource, sys
from pathlib import Path
from potpyri_like.errors import ProductError
from potpyri_like.run.journal import Journal
root = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with Journal(root) as journal:
        for number in range(1000):
            journal.keep_rows(str(number), "key", "x" * 1000)
except ProductError as error:
    print(error)
"""
    root = tmp_path / "red"
    root.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", code, root], env=ENV, capture_output=True, text=True, check=True
    )
    assert not ran.stderr
    assert (
        ran.stdout.startswith(f"{root}/.journal: the journal cannot be written (")
        and ran.stdout.count("\n") == 1
    )
    with Journal(root) as journal:  # what there is can be used
        assert journal.keep_rows("a", "key", [1]) == [1]


@pytest.mark.slow
def test_what_was_committed_stands_after_a_kill_and_the_rest_is_as_if_never_written(full, raw):
    root, asked = full
    code = (
        "import sys, os, signal; from pathlib import Path; from potpyri_like.run.journal import Journal;"
        "j = Journal(Path(sys.argv[1])); j.learn('early', (1, 2, 3, 4), 'ab'); j.write_note('a', [1]);"
        "j._committed += 60; j.learn('late', (1, 2, 3, 4), 'ab'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = subprocess.run([sys.executable, "-c", code, root], env=ENV, check=False)
    assert ran.returncode == -signal.SIGKILL
    with Journal(root) as journal:
        files = dict(journal._db.execute("SELECT file, sha256 FROM files").fetchall())
        assert journal.note("a") == [1] and files.get("early") == "ab" and "late" not in files
        assert journal.known(asked).outcome == 1


# -- a journal that somebody else sent -------------------------------------------------------------------------


@pytest.fixture
def theirs(tmp_path):
    """Another program's database, which stays as it is."""
    path = tmp_path / "outside" / "bookmarks.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE bookmarks (address TEXT)")
    return path


def files_of(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["lock", NAME, f"{NAME}-wal", f"{NAME}-shm", f"{NAME}-journal"])
@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["link", "hard link"])
@pytest.mark.slow
def test_a_link_among_the_files_of_the_journal_is_not_followed(full, raw, theirs, name, link):
    root, asked = full
    before = files_of(theirs.parent)
    (root / FOLDER / name).unlink(missing_ok=True)
    link(theirs, root / FOLDER / name)
    with Journal(root) as journal:
        kept(journal, raw, 2)
    with Journal(root) as journal:
        assert journal.known(asked).outcome == 2
    assert files_of(theirs.parent) == before


def test_a_folder_of_the_journal_that_is_a_link_is_made_anew(tmp_path, theirs, caplog):
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / FOLDER).symlink_to(theirs.parent)
    before = files_of(theirs.parent)
    with Journal(tmp_path / "red") as journal:
        journal.write_note("a", 1)
    assert files_of(theirs.parent) == before and len(caplog.records) == 1
    assert (tmp_path / "red" / FOLDER / NAME).is_file()


def test_a_journal_of_ours_is_opened_without_a_word(full, caplog):
    root, asked = full
    with Journal(root) as journal:
        assert journal.known(asked).outcome == 1
    assert not caplog.records


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE notes; CREATE VIEW notes AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
        " SELECT x AS name, '1' AS value FROM c",
        "CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM files; END",
        "CREATE TABLE more (x)",
        "CREATE INDEX i ON notes (value)",
        "DROP TABLE jobs",
        "PRAGMA user_version = 77",
        "PRAGMA application_id = 5",
        *(
            f"INSERT INTO products (name) VALUES ('{name}')"
            for name in ("../a.txt", "/etc/passwd", "a/../../b")
        ),
    ],
)
def test_a_journal_that_is_not_as_we_wrote_it_is_set_aside_with_one_sentence(full, statement, caplog):
    root, asked = full
    with closing(sqlite3.connect(root / FOLDER / NAME)) as database:
        database.executescript(statement)
    with Journal(root) as journal:
        assert journal.known(asked).why == "new"
    assert len(caplog.records) == 1 and "renamed to journal.sqlite~" in caplog.text
    assert (root / FOLDER / f"{NAME}~").is_file()


def test_a_rollback_journal_deletes_no_file_that_it_names(full, tmp_path):
    root, _ = full
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    super_journal(root / FOLDER / f"{NAME}-journal", precious)
    with Journal(root):
        pass
    assert precious.read_text() == "mine"


def super_journal(path, named):
    """A rollback journal with one page that was changed, and the name of a super-journal (SQLite's file format)."""
    magic, name = bytes([0xD9, 0xD5, 0x05, 0xF9, 0x20, 0xA1, 0x63, 0xD7]), str(named).encode()
    head = magic + struct.pack(">IIIII", 0, 1, 1, 512, 4096)
    tail = struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    path.write_bytes(head.ljust(512, b"\0") + tail)


def test_a_folder_that_is_replaced_while_the_journal_is_opened_is_told(tmp_path, theirs, monkeypatch):
    (tmp_path / "red").mkdir()
    (theirs.parent / NAME).write_bytes(theirs.read_bytes())
    before, connect = files_of(theirs.parent), sqlite3.connect

    def swapping(*args, **kwargs):
        (tmp_path / "red" / FOLDER).rename(tmp_path / "red" / "was")
        (tmp_path / "red" / FOLDER).symlink_to(theirs.parent)
        return connect(*args, **kwargs)

    monkeypatch.setattr(sqlite3, "connect", swapping)
    with pytest.raises(ProductError, match=r"replaced|cannot be written"):
        Journal(tmp_path / "red")
    assert files_of(theirs.parent) == before
