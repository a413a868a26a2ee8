"""Watch a night while it is observed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from potpyri_like.errors import NightError, ProductError, ReductionError
from potpyri_like.instruments import Instrument
from potpyri_like.night import check_apart, check_is_folder, is_ours
from potpyri_like.options import Options
from potpyri_like.run.arrivals import Arrivals
from potpyri_like.run.earlier import check_instrument_of, check_night_of, note_owner
from potpyri_like.run.journal import Busy, Journal
from potpyri_like.run.live import Live, served
from potpyri_like.run.memory import Memory, Standing, scan_again, standing
from potpyri_like.run.output import output_of
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.progress import Progress, Silent
from potpyri_like.run.report import check_understood
from potpyri_like.store import Output, one_line

__all__ = ["watch_night"]

_OTHER_RUN = 5.0  # s between two tries where another run is at work on the same products


class _Disturbed(Exception):
    """Frames came while the final state was being made."""


def watch_night(
    instrument: Instrument,
    folder: Path,
    *,
    out: Path | None = None,
    options: Options | None = None,
    origins: Mapping[str, str] | None = None,
    command: str = "",
    idle: float | None = None,
    serve: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Standing:
    """Follow a night until nothing has come for a while; what `reduce_night` would come to.

    Parameters
    ----------
    instrument : Instrument
    folder : Path
        It exists; frames may still be missing.
    out : Path, optional
    options : Options, optional
    origins : mapping of str to str, optional
    command : str
    idle : float or None
        Seconds without a frame after which to end; None: never.
    serve : int or None
        Serve the products at this port of this computer; 0: at any.
    executor : Executor, optional
    progress : Progress, optional
        Watches what takes long.
    say : callable
        Is told, in a sentence, what happens.

    Raises
    ------
    NightError
        There is no folder, or nothing could be reduced in the end.
    Busy
        Another run is at work on the same output folder.
    ProductError
        Nothing can be written.
    """
    output = output_of(folder, out)
    _check_folder(folder, output)
    check_instrument_of(output, instrument, folder)
    if out is not None:
        check_night_of(output, folder, None)
    watch = _Watch(
        instrument,
        folder,
        out,
        options or Options(),
        origins or {},
        command,
        executor,
        progress or Silent(),
        say,
        Arrivals(folder, output.root),
    )
    with ExitStack() as stack:
        page = str(output.root / "report.html")
        if serve is not None:
            page = stack.enter_context(served(output, serve))
        say(f"watching {folder}; press Ctrl-C to stop")
        say(f"page: {page}")
        return watch.until(idle)


def _check_folder(folder: Path, output: Output) -> None:
    """Raise a NightError or a UsageError where there is nothing to watch."""
    check_is_folder(folder)
    if is_ours(folder):
        raise NightError(f"{folder}: contains products of an earlier run; give the folder of the raw frames")
    check_apart(folder, output.root)


@dataclass
class _Watch:
    """A night that is watched: live while frames come, final whenever it is quiet.

    Attributes
    ----------
    instrument, folder, out, options, origins, command, executor, progress, say
        As for `watch_night`.
    arrivals : Arrivals
    """

    instrument: Instrument
    folder: Path
    out: Path | None
    options: Options
    origins: Mapping[str, str]
    command: str
    executor: Executor | None
    progress: Progress
    say: Callable[[str], None]
    arrivals: Arrivals

    def until(self, idle: float | None) -> Standing:
        """Watch until nothing has come for so many seconds; what all came to.

        Raises
        ------
        ReductionError
            Why it came to nothing.
        """
        done: Standing | ReductionError = NightError(f"{self.folder}: no frame arrived")
        if self.arrivals.states():
            done = self.once()
        while self.another(idle):
            done = self.once()
        if isinstance(done, ReductionError):
            raise done
        return done

    def another(self, idle: float | None) -> bool:
        """Wait for a frame; False where none came for so long that the watch ends."""
        begun = time.monotonic()
        while not self.arrivals.look():
            quiet = self.arrivals.silence() if self.arrivals.times else time.monotonic() - begun
            if idle is not None and quiet > idle:
                return False
            time.sleep(self.arrivals.pause)
        return True

    def once(self) -> Standing | ReductionError:
        """Follow the frames until all is in its final state, or cannot come to one yet."""
        while True:
            try:
                found = self.known() or self.state()
            except _Disturbed:
                self.say("new frames: continuing")
            except Busy as error:
                if not self.arrivals.times:
                    raise
                self.say(f"{error}; waiting for it")
                time.sleep(_OTHER_RUN)
            except ProductError:
                raise
            except ReductionError as error:  # more frames may mend it
                self.say(one_line(str(error)))
                return error
            else:
                return found

    def known(self) -> Standing | None:
        """What an earlier run came to, where nothing has changed since."""
        states = self.arrivals.states()
        done = None
        if states:
            done = standing(self.instrument, self.folder, out=self.out, options=self.options)
        if done is not None:
            self.arrivals.take(states)
            self.say("no change since the last run; its products are up to date")
        return done

    def state(self) -> Standing:
        """The final state of what there is, after it was followed until it was quiet.

        Raises
        ------
        Disturbed
            Frames came meanwhile.
        """
        self.follow()
        self.say("no new frames: finalising all products")
        report = reduce_night(
            self.instrument,
            self.folder,
            out=self.out,
            options=self.options,
            origins=self.origins,
            command=self.command,
            executor=self.executor,
            progress=_Disturbable(self.arrivals, self.progress),
        )
        self.say("all products are final")
        return Standing.of(report, output_of(self.folder, self.out).root)

    def follow(self) -> None:
        """Keep the light curves and the page up to date until the night is quiet."""
        output, arrivals = output_of(self.folder, self.out), self.arrivals
        if not output.folder.is_there():  # a night that is not understood leaves nothing behind
            check_understood(scan_again(self.folder, self.instrument, output, Memory(self.instrument)))
        output.make()
        with Journal(output) as journal:
            note_owner(journal, self.instrument, self.folder)
            journal.forget("run")
            output.tidy()
            live = Live(self.instrument, self.folder, output, self.options, journal, self.executor, arrivals)
            live.runner.progress = self.progress  # the first update may take long
            begun = time.time()
            new = (*arrivals.look(), *arrivals.whole)
            while not arrivals.are_quiet():
                if new:
                    self.say(f"{live.update()}; {_late(new, begun)}")
                    live.runner.progress = Silent()
                new = arrivals.look()
                if not new:
                    time.sleep(arrivals.pause)


def _late(new: Sequence[Path], since: float) -> str:
    """How long after the last of some files all is up to date; for those that came since a moment."""
    came = [path.stat().st_ctime for path in new if path.exists()]
    last = max(came, default=0.0)
    return f"up to date {time.time() - last:.1f} s after the last frame" if last > since else "up to date"


@dataclass
class _Disturbable:
    """Progress that breaks off when frames come."""

    arrivals: Arrivals
    inner: Progress
    looked: float = 0.0

    def begin(self, what: str, total: int) -> None:
        self.inner.begin(what, total)
        self.check()

    def step(self) -> None:
        self.inner.step()
        self.check()

    def end(self) -> None:
        self.inner.end()

    def say(self, what: str) -> None:
        self.inner.say(what)
        self.check()

    def check(self) -> None:
        """Raise `_Disturbed` where something in the night has changed."""
        now = time.monotonic()
        if now - self.looked > max(1.0, self.arrivals.pause):
            self.looked = now
            if self.arrivals.are_disturbed():
                self.inner.end()
                raise _Disturbed
