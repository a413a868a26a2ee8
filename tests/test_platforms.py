"""What only Linux has is used nowhere without another way: the software runs on macOS, too."""

import ast
import fcntl
import os
import re
import tempfile
from pathlib import Path

import pytest

from potpyri_like.run import journal
from potpyri_like.run.journal import Journal
from potpyri_like.run.workers import Pool, usable_cores, workers
from potpyri_like.store import folders
from potpyri_like.store.folders import Folder

PACKAGE = Path(__file__).resolve().parents[1] / "potpyri_like"

# By the Availability notes of the Python manual: not on macOS.
LINUX_ONLY = {
    "os": (
        r"sched_\w+|memfd_create|eventfd\w*|timerfd\w*|O_TMPFILE|O_PATH|O_DIRECT|O_NOATIME|O_LARGEFILE|fdatasync"
        r"|posix_fadvise|posix_fallocate|copy_file_range|splice|pipe2|getrandom|[gsl]\w+xattr|pidfd_open|unshare|setns"
        r"|getres[ug]id|setres[ug]id|startfile"
    ),
    "signal": r"sigtimedwait|sigwaitinfo|pidfd_send_signal|SIGRT\w+|SIGPWR|SIGSTKFLT|SIGPOLL",
    "select": r"e?poll(fd)?|EPOLL\w+",
    "socket": r"AF_(NETLINK|PACKET|ALG|VSOCK|CAN|TIPC)|SO_BINDTODEVICE|MSG_\w*CMSG\w*",
    "resource": r"prlimit|RLIMIT_(AS|MSGQUEUE|NICE|RTPRIO|RTTIME|SIGPENDING)|RUSAGE_THREAD",
    "time": r"CLOCK_(BOOTTIME|TAI|HIGHRES|PROF)|pthread_getcpuclockid",
    "fcntl": r"F_(ADD_SEALS|GET_SEALS|NOTIFY|SETLEASE|GETLEASE|OFD_\w+|SETPIPE_SZ)|DN_\w+",
}
WITH_ANOTHER_WAY = {("run/workers.py", "os.sched_getaffinity"), ("run/journal.py", "/proc/self/fd")}


def linux_only(path):
    """What a file uses that macOS does not have: attributes of modules, and folders of the kernel."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if re.fullmatch(LINUX_ONLY.get(node.value.id, "(?!)"), node.attr):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and re.match(r"/(proc|sys|run|dev/shm)\b", str(node.value)):
            yield node.value


def test_what_only_linux_has_is_used_where_there_is_another_way_and_nowhere_else():
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in linux_only(path)
    }
    assert found == WITH_ANOTHER_WAY


def test_the_search_for_linux_only_calls_finds_them(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(
        'os.sched_getaffinity(0)\nos.open("/proc/meminfo", os.O_TMPFILE)\nselect.epoll()\nos.fsync(1)\n'
    )
    assert sorted(linux_only(file)) == [
        "/proc/meminfo",
        "os.O_TMPFILE",
        "os.sched_getaffinity",
        "select.epoll",
    ]


# -- cores -----------------------------------------------------------------------------------------------


def test_without_the_scheduler_s_affinity_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert usable_cores() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_where_the_scheduler_tells_its_affinity_only_those_cores_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 4, 6}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == 3


def test_without_the_scheduler_s_affinity_the_pool_is_as_large_as_the_computer(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with workers(None, most=9) as executor:
        assert isinstance(executor, Pool)
        assert list(executor.map(abs, [-1, 2])) == [1, 2]
    with workers(None, most=1) as executor:
        assert executor is None


# -- files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", [("/proc/self/fd",), ("/dev/fd",), ("/nowhere/fd",)], ids="".join)
def test_the_journal_opens_wherever_open_files_are_listed(tmp_path, monkeypatch, shown):
    monkeypatch.setattr(journal, "OPENED", tuple(map(Path, shown)))
    with Journal(tmp_path / "red") as opened:
        assert opened.note("kept") is None


def test_a_journal_that_is_not_the_file_looked_at_is_noticed_by_both_lists(tmp_path, monkeypatch):
    for place in ("/proc/self/fd", "/dev/fd"):
        if not Path(place).is_dir():
            continue
        monkeypatch.setattr(journal, "OPENED", (Path(place),))
        (tmp_path / journal.NAME).write_bytes(b"")
        with pytest.raises(journal.ProductError, match="the folder was replaced"):
            journal.check_opened(Folder(tmp_path), (tmp_path / journal.NAME).stat())


def test_where_the_system_can_flush_the_drive_s_cache_it_is_asked_to(monkeypatch):
    asked = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)  # macOS, sys/fcntl.h
    monkeypatch.setattr(fcntl, "fcntl", lambda handle, command: asked.append(command))
    with tempfile.TemporaryFile() as file:
        folders.to_disk(file.fileno())
        assert asked == [51]

        def unknown(handle, command):
            raise OSError(45, "Operation not supported")

        monkeypatch.setattr(fcntl, "fcntl", unknown)
        monkeypatch.setattr(os, "fsync", lambda handle: asked.append("fsync"))
        folders.to_disk(file.fileno())
        assert asked == [51, "fsync"]
