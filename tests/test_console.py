import contextlib
import logging
import os
import pty
import re
import signal
import sys
from pathlib import Path

import click
import pytest

from potpyri_like.commands.console import GOES_ON, STOPPED, Bars, interruptible, progress_for
from potpyri_like.errors import NightError, UsageError
from potpyri_like.interface.screen import Lines, Log, LogFile
from potpyri_like.store import Output

SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"


@contextlib.contextmanager
def terminal(monkeypatch):
    """A terminal for standard error; the list gets what is shown on it."""
    ours, theirs = pty.openpty()
    shown = []
    with open(theirs, "w") as screen, monkeypatch.context() as patch:  # noqa: PTH123 - a descriptor, not a path
        patch.setattr(sys, "stderr", screen)
        yield shown
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while part := os.read(ours, 10_000):
            shown.append(part)
    os.close(ours)


# -- the log -------------------------------------------------------------------------------------------------


def test_the_log_begins_when_the_output_folder_is_there_and_lacks_nothing(tmp_path):
    log = logging.getLogger("potpyri_like.somewhere")
    with Log(Output(tmp_path / "out"), screen=False):
        log.warning("before")
        assert not (tmp_path / "out").exists()
        (tmp_path / "out").mkdir()
        log.info("after \udcff")
    (file,) = (tmp_path / "out/log").iterdir()
    assert re.fullmatch(r"reduce_\d{8}T\d{6}\.log", file.name)
    first, second = file.read_text(encoding="utf-8").splitlines()
    assert first.endswith("WARNING potpyri_like.somewhere: before") and second.endswith(r"after \udcff")
    assert " UTC " in first


def test_a_wrong_option_leaves_no_log(tmp_path):
    with pytest.raises(UsageError), Log(Output(tmp_path), screen=False):
        logging.getLogger("potpyri_like").info("begun")
        raise UsageError("wrong")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (NightError("night: it is day"), "ERROR potpyri_like.cli: night: it is day"),
        (KeyboardInterrupt(), "stopped by Ctrl-C, or by a request to terminate"),
    ],
)
def test_what_stops_a_run_is_in_the_log(tmp_path, error, told):
    with pytest.raises(type(error)), Log(Output(tmp_path), screen=False):
        raise error
    (file,) = (tmp_path / "log").iterdir()
    assert told in file.read_text()
    is_a_bug = isinstance(error, ZeroDivisionError)
    assert ("Traceback" in file.read_text()) == is_a_bug


def test_logging_is_left_as_it_was_found(tmp_path):
    logger = logging.getLogger("potpyri_like")
    before = logger.level, logger.propagate, list(logger.handlers)
    with Log(Output(tmp_path), screen=True):
        assert len(logger.handlers) == len(before[2]) + 2
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_a_log_that_cannot_be_written_does_not_stop_the_run(tmp_path):
    (tmp_path / "log").write_text("in the way")
    with Log(Output(tmp_path), screen=False):
        logging.getLogger("potpyri_like").warning("on we go")
    assert (tmp_path / "log").read_text() == "in the way"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_spoils_the_log_and_not_the_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(LogFile, "_open", lambda self: Path("/dev/full").open("w"))  # noqa: SIM115
    with pytest.raises(NightError, match="it is day"), Log(Output(tmp_path), screen=False):
        logging.getLogger("potpyri_like").warning("on we go")
        raise NightError("it is day")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("screen", [False, True])
def test_without_a_folder_the_log_is_on_the_screen_if_at_all(capsys, screen):
    with Log(None, screen=screen):
        logging.getLogger("potpyri_like.night").warning("a link leaves the night")
    assert ("a link leaves the night" in capsys.readouterr().err) == screen


# -- the progress --------------------------------------------------------------------------------------------


def test_progress_in_a_pipe_is_plain_lines(capsys):
    progress = progress_for(sys.stderr)
    assert isinstance(progress, Lines)
    progress.begin("WASP-0, C1 g", 12)
    for _ in range(12):
        progress.step()
    progress.end()
    progress.say("all is well")
    progress.begin("WASP-0, C2 r", 1)
    assert capsys.readouterr() == ("", "WASP-0, C1 g: 12 frames\nall is well\nWASP-0, C2 r: 1 frame\n")


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    with terminal(monkeypatch) as shown:
        progress = progress_for(sys.stderr)
        assert isinstance(progress, Bars)
        progress.begin("WASP-0, C1 g", 12)
        for _ in range(12):
            progress.step()
        progress.end()
    assert b"WASP-0, C1 g" in b"".join(shown) and b"100%" in b"".join(shown)


def test_what_is_said_while_a_bar_is_shown_has_a_line_of_its_own(monkeypatch):
    with terminal(monkeypatch) as shown:
        progress = Bars()
        progress.begin("WASP-0, C1 g", 12)
        progress.step()
        progress.say("new frames: continuing")
        progress.step()  # of a bar that is gone
        progress.end()
    lines = b"".join(shown).replace(SHOW_CURSOR, b"").split(b"\r\n")
    assert b"new frames: continuing" in lines


def test_beside_a_log_on_the_screen_progress_is_lines_even_on_a_terminal(monkeypatch):
    with terminal(monkeypatch), interruptible(plain=True) as progress:
        assert isinstance(progress, Lines)


# -- the end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt(), NightError("it is day"), ZeroDivisionError()])
def test_the_cursor_is_back_however_a_bar_ends(monkeypatch, error):
    with terminal(monkeypatch) as shown:  # noqa: SIM117 - what is shown is complete after the first
        with pytest.raises((SystemExit, NightError, ZeroDivisionError)), interruptible() as progress:
            progress.begin("WASP-0, C1 g", 12)
            raise error
    all_of_it = b"".join(shown)
    assert all_of_it.rindex(SHOW_CURSOR) > all_of_it.rindex(HIDE_CURSOR)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_request_to_terminate_end_with_one_sentence_and_130(capsys, number):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop, interruptible(tell=lambda: click.echo("so far")):
        os.kill(os.getpid(), number)
    assert stop.value.code == STOPPED == 130
    assert capsys.readouterr() == ("so far\n", GOES_ON + "\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_that_ends_by_itself_says_nothing_of_ctrl_c(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        pass
    assert capsys.readouterr() == ("", "")
    assert signal.getsignal(signal.SIGTERM) is before
