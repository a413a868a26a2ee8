"""What a run shows on the screen: its log, which also goes to a file, and a line for each stage."""

from __future__ import annotations

import io
import logging
import sys
import time
from contextlib import suppress
from types import TracebackType

import click

from potpyri_like.errors import NotUnderstood, ProductError, ReductionError, UsageError
from potpyri_like.store import Output

__all__ = ["Lines", "Log", "LogFile"]

log = logging.getLogger("potpyri_like.cli")


class LogFile(logging.FileHandler):
    """A log in the output folder, begun once that is there: a run that cannot start leaves nothing behind."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.name_within = _free_name(output, time.strftime("log/reduce_%Y%m%dT%H%M%S", time.gmtime()))
        super().__init__(output.root / self.name_within, delay=True)
        self.waiting: list[logging.LogRecord] = []
        self.is_opening = False

    def emit(self, record: logging.LogRecord) -> None:
        self.waiting.append(record)
        if self.is_opening:  # what is said of a link in its place waits, too
            return
        with suppress(OSError, ProductError):  # a folder that cannot be written to is the pipeline's to tell
            if self.stream is None and not self.output.folder.is_there():
                return
            if self.stream is None:
                self.stream = self._opened()
            for waiting in self.waiting:
                super().emit(waiting)
            self.waiting.clear()

    def _opened(self) -> io.TextIOWrapper:
        self.is_opening = True
        try:
            return self._open()
        finally:
            self.is_opening = False

    def _open(self) -> io.TextIOWrapper:
        file = self.output.appending(self.name_within)
        return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk spoils the log, not the screen."""

    def close(self) -> None:
        with suppress(OSError):  # the last lines find no room
            super().close()

    def discard(self) -> None:
        """Leave no log behind."""
        self.close()
        with suppress(OSError, ProductError):
            self.output.remove([self.name_within])


class _Sentences(logging.Handler):
    """The warnings that an observer sees in any case."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "on_screen", False):
            click.echo(record.getMessage(), err=True)


def _free_name(output: Output, stem: str) -> str:
    """A log of that name, with a number where several begin in one second."""
    names = (f"{stem}.log", *(f"{stem}_{number}.log" for number in range(2, 100)))
    return next((name for name in names if not output.has(name)), names[0])


class Log:
    """What the package logs goes to a file in the output folder, and to the screen if that is wanted.

    Parameters
    ----------
    output : Output or None
        None: no file.
    screen : bool
    """

    def __init__(self, output: Output | None, *, screen: bool) -> None:
        self.file = None if output is None else LogFile(output)
        self.handlers: list[logging.Handler] = [self.file or logging.NullHandler()]
        self.handlers.append(logging.StreamHandler(sys.stderr) if screen else _Sentences())
        self.logger = logging.getLogger("potpyri_like")
        self.before = self.logger.level, self.logger.propagate

    def __enter__(self) -> None:
        form = logging.Formatter("%(asctime)s UTC %(levelname)s %(name)s: %(message)s")
        form.converter = time.gmtime
        for handler in self.handlers:
            if not isinstance(handler, _Sentences):
                handler.setFormatter(form)
            self.logger.addHandler(handler)
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ReductionError):
            log.error("%s", error)
        elif kind is KeyboardInterrupt:
            log.warning("stopped by Ctrl-C, or by a request to terminate")
        elif kind is not None:
            log.error("stopped by %s", kind.__name__, exc_info=error)
        for handler in self.handlers:
            self.logger.removeHandler(handler)
            handler.close()
        level, self.logger.propagate = self.before
        self.logger.setLevel(level)
        if isinstance(error, UsageError | NotUnderstood) and self.file is not None:
            self.file.discard()


class Lines:
    """A line for each stage, in a pipe."""

    def begin(self, what: str, total: int) -> None:
        click.echo(f"{what}: {total} frame{'s' * (total != 1)}", err=True)

    def step(self) -> None: ...

    def end(self) -> None: ...

    def say(self, what: str) -> None:
        click.echo(what, err=True)
