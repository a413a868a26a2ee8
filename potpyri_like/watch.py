"""A night while it is observed: light curves and page follow the frames; in quiet moments all is as a run leaves it."""

from __future__ import annotations

import http.server
import logging
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

from potpyri_like.errors import FrameError, NightError, ReductionError
from potpyri_like.instruments import Instrument
from potpyri_like.journal import Journal
from potpyri_like.night import Night, list_files
from potpyri_like.options import Options
from potpyri_like.photometry import ApertureChoice
from potpyri_like.pipeline import (
    Memory,
    Standing,
    by_target,
    output_of,
    reduce_night,
    run_stages,
    scan_again,
    standing,
    statuses,
    wanted_sets,
    write_night_table,
)
from potpyri_like.primitives import RECIPES, Compare, FrameOutcome, Work
from potpyri_like.products import Picture, night_page, set_images, set_tables, write_images, write_tables
from potpyri_like.results import RunReport
from potpyri_like.runner import Job, Progress, Runner, Silent
from potpyri_like.store import Output, read_header, signature

__all__ = ["Arrivals", "served", "watch_night"]

log = logging.getLogger(__name__)

POLL = 0.5  # s between two looks at the folder
PATIENCE = 60.0  # s that a file may stay incomplete and unchanged before it is taken as it is
QUIET = 15.0  # s without a frame, at least, before the products are brought to their final state
CADENCES = 4.0  # and so many times the usual interval between frames
CHOOSE_AGAIN = 64  # frames up to which the reference is chosen again whenever their number has doubled
GROWTH = 1.1  # the aperture is chosen again when there are so many times more frames
RELOAD = 5  # s


class Disturbed(Exception):
    """Frames came while the final state was being made."""


@dataclass
class Arrivals:
    """The raw files of a night as they come; a file counts once it is whole, and the same in two looks.

    Attributes
    ----------
    folder, skip : Path
        The night, and where its products go.
    patience : float
        Seconds that a file may stay as it is without being whole.
    """

    folder: Path
    skip: Path
    patience: float = PATIENCE
    seen: dict[Path, tuple[Any, float]] = field(default_factory=dict)
    whole: dict[Path, Any] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)

    def look(self) -> tuple[Path, ...]:
        """Files that have become whole, or changed, since the last look."""
        now, new = time.monotonic(), []
        for path in self.files():
            try:
                state = signature(path)
            except OSError:  # gone again
                continue
            if self.whole.get(path) == state:
                continue
            before, since = self.seen.get(path, (None, now))
            if before != state:
                self.seen[path] = state, now
            elif now - since > self.patience or is_whole(path):
                self.whole[path] = state
                new.append(path)
        self.times += [now] * bool(new)
        return tuple(new)

    def files(self) -> tuple[Path, ...]:
        try:
            return list_files(self.folder, self.skip).files
        except NightError:
            return ()

    def waiting(self) -> set[Path]:
        """Files that are not whole yet."""
        return {path for path in self.files() if path not in self.whole}

    def is_quiet(self) -> bool:
        """Whether no frame has come for much longer than usual."""
        intervals = [b - a for a, b in zip(self.times[-9:], self.times[-8:], strict=False)]
        usual = statistics.median(intervals) if intervals else 0.0
        return bool(self.times) and self.silence() > max(QUIET, CADENCES * usual) and not self.waiting()

    def silence(self) -> float:
        """Seconds since the last frame."""
        return time.monotonic() - self.times[-1] if self.times else 0.0


def is_whole(path: Path) -> bool:
    """Whether a file is as long as its header says."""
    try:
        read_header(path)
    except (FrameError, OSError):
        return False
    return True


def watch_night(
    instrument: Instrument,
    folder: Path,
    *,
    out: Path | None = None,
    options: Options | None = None,
    origins: Mapping[str, str] | None = None,
    command: str = "",
    idle: float | None = None,
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
    executor : Executor, optional
    progress : Progress, optional
        Watches the runs that make the final state.
    say : callable
        Is told, in a sentence, what happens.

    Raises
    ------
    NightError
        There is no folder, or nothing could be reduced in the end.
    """
    if not folder.is_dir():
        raise NightError(f"{folder}: there is no such folder")
    options, output = options or Options(), output_of(folder, out)
    arrivals = Arrivals(folder, output.root)
    begun = time.monotonic()
    say(f"watching {folder}; Ctrl-C ends it")
    while True:
        final = standing(instrument, folder, out=out, options=options)
        if final is not None:
            arrivals.look()
            if not another(arrivals, begun, idle):
                return final
        elif not arrivals.times and not another(arrivals, begun, idle):
            raise NightError(f"{folder}: no frame came in {idle:.0f} s")
        follow(instrument, folder, output, options, arrivals, executor, say)
        say("no more frames: bringing all products to their final state")
        try:
            settled = reduce_night(
                instrument,
                folder,
                out=out,
                options=options,
                origins=origins,
                command=command,
                executor=executor,
                progress=Disturbable(arrivals, progress or Silent()),
            )
        except Disturbed:
            say("frames came: going on")
            continue
        done = Standing.of(settled, output.root)
        say("final; waiting for more frames" if idle is None else "final")
        if not another(arrivals, begun, idle):
            return done


def another(arrivals: Arrivals, begun: float, idle: float | None) -> bool:
    """Wait for a frame; False where none came for so long that the watch ends."""
    while not arrivals.look():
        quiet = arrivals.silence() if arrivals.times else time.monotonic() - begun
        if idle is not None and quiet > idle:
            return False
        time.sleep(POLL)
    return True


def follow(
    instrument: Instrument,
    folder: Path,
    output: Output,
    options: Options,
    arrivals: Arrivals,
    executor: Executor | None,
    say: Callable[[str], None],
) -> None:
    """Keep the light curves and the page up to date until the night is quiet."""
    output.make()
    with Journal(output.root) as journal:
        journal.forget("run")
        output.tidy()
        live = Live(instrument, folder, output, options, journal, executor)
        new: tuple[Path, ...] = arrivals.look()
        pending = True
        while not arrivals.is_quiet():
            if pending or new:
                begun = time.time()
                told = live.update(arrivals.waiting())
                came = max((path.stat().st_mtime for path in new if path.exists()), default=begun)
                say(f"{told}; up to date {time.time() - came:.1f} s after the last")
                pending = False
            new = arrivals.look()
            if not new:
                time.sleep(POLL)


@dataclass
class Disturbable:
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

    def check(self) -> None:
        """Raise `Disturbed` where a new file lies in the night."""
        now = time.monotonic()
        if now - self.looked > 1.0:
            self.looked = now
            if self.arrivals.waiting():
                raise Disturbed


class Live:
    """The state of a night that goes on: each set's masters and reference stay, only new frames are worked on."""

    def __init__(
        self,
        instrument: Instrument,
        folder: Path,
        output: Output,
        options: Options,
        journal: Journal,
        executor: Executor | None,
    ) -> None:
        self.instrument, self.folder, self.output, self.options = instrument, folder, output, options
        self.journal, self.memory = journal, LiveMemory(instrument, journal)
        self.runner = LiveRunner(output, options, Silent(), executor, journal)
        stages = RECIPES[options.recipe or instrument.recipe]().stages
        self.per_set = tuple(takewhile(lambda stage: stage.per == "set", stages))
        rest = stages[len(self.per_set) :]
        self.per_target = tuple(takewhile(lambda stage: stage.per == "target", rest))
        rest = rest[len(self.per_target) :]
        self.per_frame = tuple(takewhile(lambda stage: stage.per == "frame", rest))
        self.after = tuple(dropwhile(lambda stage: stage.per == "frame", rest))
        self.prepared: dict[tuple, tuple[int, Work]] = {}
        self.located: dict[tuple, Work] = {}
        self.chosen: dict[str, tuple[int, ApertureChoice]] = {}
        self.pictures: dict[tuple[str, int], dict[str, bytes]] = {}

    def update(self, waiting: set[Path]) -> str:
        """Take in all frames that are there; in a few words, what there is now."""
        try:
            night = scan_again(self.folder, self.instrument, self.output, self.memory, waiting=waiting)
            self.memory.hand_over(self.journal)
            write_night_table(self.output, self.journal, night, {})
            sets = wanted_sets(night, self.options)
        except NightError as error:
            return str(error).partition("\n")[0]
        works = [work for group in by_target(night, sets, self.options) for work in self.group(group)]
        report = self.report(night, works)
        self.write(report)
        self.journal.commit()
        counts = ", ".join(f"{work.observed.name} {len(work.observed.frames)}" for work in works)
        return f"frames: {counts}"

    def group(self, works: tuple[Work, ...]) -> tuple[Work, ...]:
        """All stages on the sets of one target, as far as they have to be done."""
        ready = [self.prepare(work) for work in works]
        if any(is_new for _, is_new in ready):
            located = run_stages(self.per_target, tuple(work for work, _ in ready), self.runner)
            self.located |= {name_of(work): work for work in located}
        works = tuple(with_frames(self.located[name_of(work)], work) for work in works)
        works = run_stages(self.per_frame, works, self.runner)
        settled = {
            folder: choice for folder, (_, choice) in self.chosen.items() if self.stands(folder, works)
        }
        after = [replace(s, settled=settled) if isinstance(s, Compare) else s for s in self.after]
        works = run_stages([s for s in after if not getattr(s, "at_the_end", False)], works, self.runner)
        self.chosen |= {
            work.observed.folder: (len(work.observed.frames), work.choice)
            for work in works
            if work.choice is not None and work.observed.folder not in settled
        }
        return works

    def prepare(self, work: Work) -> tuple[Work, bool]:
        """Masters and reference of a set, and whether they are new."""
        key, count = name_of(work), len(work.observed.frames)
        if key in self.prepared:
            before, known = self.prepared[key]
            enough = before >= CHOOSE_AGAIN or count < 2 * before
            if enough and not known.failed:
                return with_frames(known, work), False
        (done,) = run_stages(self.per_set, (work,), self.runner)
        self.prepared[key] = count, done
        self.chosen.pop(work.observed.folder, None)
        return done, True

    def stands(self, folder: str, works: Sequence[Work]) -> bool:
        """Whether a choice of aperture still serves."""
        count = next((len(work.observed.frames) for work in works if work.observed.folder == folder), 0)
        return folder in self.chosen and count < GROWTH * self.chosen[folder][0]

    def report(self, night: Night, works: Sequence[Work]) -> RunReport:
        """The night as far as it is."""
        return RunReport(
            instrument=self.instrument.name,
            recipe=self.options.recipe or self.instrument.recipe,
            night=night,
            sets=tuple(work.result for work in works),
            status=statuses(night, works),
        )

    def write(self, report: RunReport) -> None:
        """The light curves and the page."""
        images: dict[str, bytes] = {}
        for result in report.sets:
            write_tables(self.output, set_tables(result, only=("lightcurve.ecsv",)))
            images |= drawn(set_images(result, only=("lightcurve.png",)))
            still = result.observed.folder, id(result.reference)
            if still not in self.pictures:
                self.pictures[still] = drawn(set_images(result, only=("field.png",)))
            images |= self.pictures[still]
        write_images(self.output, images)
        self.output.write_text("report.html", night_page(report, images, reload=RELOAD))


def drawn(pictures: Mapping[str, Picture]) -> dict[str, bytes]:
    """Pictures as PNGs."""
    return {name: picture() for name, picture in pictures.items()}


def name_of(work: Work) -> tuple:
    """What tells a set from the others, however many there are."""
    observed = work.observed
    return (
        observed.target.casefold(),
        observed.camera,
        observed.band,
        observed.binning,
        observed.frames[0].readout,
    )


def with_frames(known: Work, now: Work) -> Work:
    """A set as it was, with the frames that there are now."""
    return known.with_(observed=now.observed, result=replace(known.result, observed=now.observed))


@dataclass
class LiveMemory(Memory):
    """Keeps what was made of the headers at hand, besides the journal."""

    at_hand: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def rows(self, file: str, key: str) -> Any:
        known = self.at_hand.get(file)
        if known is None or known[0] != key:
            rows = super().rows(file, key)
            if rows is None:
                return None
            self.at_hand[file] = key, rows
        return self.at_hand[file][1]


@dataclass
class LiveRunner(Runner):
    """Keeps outcomes at hand, besides the journal."""

    at_hand: dict[tuple[str, str], FrameOutcome] = field(default_factory=dict)

    def known(self, infos: Sequence[Any], job: Job, what: str) -> dict[int, FrameOutcome]:
        if not job.is_kept:
            return {}
        keys = [(job.task(info).described + info.label, job.key) for info in infos]
        found = {
            i: replace(self.at_hand[key], info=infos[i]) for i, key in enumerate(keys) if key in self.at_hand
        }
        rest = [i for i in range(len(infos)) if i not in found]
        for i, outcome in super().known([infos[i] for i in rest], job, "").items():
            found[rest[i]] = self.at_hand[keys[rest[i]]] = outcome
        return found


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """A small server of the products on this computer, and nowhere else; its address.

    Raises
    ------
    ReductionError
        The port is taken.
    """
    handler = partial(Handler, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise ReductionError(f"--serve {port}: {error.strerror or error}; give another port") from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/report.html"
    finally:
        server.shutdown()
        server.server_close()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Gives products to a browser, and has it load them again after some seconds."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        if self.path.partition("?")[0].endswith(".html"):
            self.send_header("Refresh", str(RELOAD))
        super().end_headers()

    def send_head(self) -> Any:
        """Only files whose names are not hidden, and no listings."""
        parts = Path(self.path.partition("?")[0]).parts
        if any(part.startswith(".") for part in parts) or self.path.endswith("/"):
            self.send_error(404)
            return None
        return super().send_head()

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
