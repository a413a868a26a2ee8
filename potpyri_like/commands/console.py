"""What an observer sees while a run goes on: its progress, and how it stops."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

import click

from potpyri_like.interface.runs import Lines

__all__ = ["GOES_ON", "STOPPED", "Bars", "interruptible", "progress_for"]

STOPPED = 130  # exit status of what Ctrl-C ended, as shells have it
GOES_ON = "stopped; what is done is kept: the same command continues from there"


@contextmanager
def interruptible(
    sentence: str = GOES_ON, *, plain: bool = False, tell: Callable[[], None] = lambda: None
) -> Iterator[Bars | Lines]:
    """What shows the progress; Ctrl-C, or a request to terminate, ends it with one sentence.

    Parameters
    ----------
    sentence : str
        What the observer should know then.
    plain : bool
        Lines, not bars: the log is on the same screen.
    tell : callable
        Shows what there is to show nevertheless.
    """
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _terminate)
    progress = progress_for(sys.stderr, plain=plain)
    try:
        yield progress
    except KeyboardInterrupt:
        progress.end()
        tell()
        click.echo(sentence, err=True)
        raise SystemExit(STOPPED) from None
    finally:
        progress.end()
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _terminate(number: int, where: FrameType | None) -> None:
    """Let a request to terminate do what Ctrl-C does."""
    raise KeyboardInterrupt


class Bars:
    """A bar for each stage, on a terminal."""

    def __init__(self) -> None:
        self.bar: Any = None

    def begin(self, what: str, total: int) -> None:
        self.end()
        self.bar = click.progressbar(length=total, label=f"{what:<28}", file=sys.stderr)
        self.bar.__enter__()

    def step(self) -> None:
        if self.bar is not None:
            self.bar.update(1)

    def end(self) -> None:
        """Leave the line, and give the terminal its cursor back."""
        if self.bar is not None:
            self.bar.__exit__(None, None, None)
        self.bar = None

    def say(self, what: str) -> None:
        self.end()
        click.echo(what, err=True)


def progress_for(stream: TextIO, *, plain: bool = False) -> Bars | Lines:
    """What suits a terminal, or a pipe."""
    return Bars() if stream.isatty() and not plain else Lines()
