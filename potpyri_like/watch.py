"""A night while it is observed: light curves and page follow the frames; in quiet moments all is as a run leaves it."""

from __future__ import annotations

import http.server
import logging
import os
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from potpyri_like.earlier import check_instrument_of, check_night_of, note_owner, write_night_table
from potpyri_like.encoding import Kept
from potpyri_like.errors import FrameError, NightError, ProductError, ReductionError
from potpyri_like.frame import FrameInfo
from potpyri_like.instruments import Instrument
from potpyri_like.jobs import NOT_THE_PIXELS, Job
from potpyri_like.journal import Busy, Journal
from potpyri_like.night import check_apart, check_is_folder, is_ours, list_files
from potpyri_like.options import Options
from potpyri_like.photometry import ApertureChoice
from potpyri_like.pipeline import (
    Memory,
    Standing,
    by_target,
    check_understood,
    in_turn,
    output_of,
    plugins_for,
    recipe_of,
    reduce_night,
    report_of,
    run_stages,
    scan_again,
    standing,
    wanted_sets,
)
from potpyri_like.plugins import Plugins
from potpyri_like.primitives import FrameOutcome, Work
from potpyri_like.primitives.fields import APERTURE
from potpyri_like.products import (
    Content,
    Picture,
    contents,
    made_of,
    night_page,
    write_content,
)
from potpyri_like.results import Reference, RunReport, SetResult
from potpyri_like.runner import Progress, Runner, Silent
from potpyri_like.store import Output, one_line, read_header, signature
from potpyri_like.workers import WorkerDied

__all__ = ["CADENCES", "POLL", "QUIET", "Arrivals", "Live", "served", "watch_night"]

log = logging.getLogger(__name__)

POLL = 0.5  # s between two looks at the folder, at least
_SHARE = 0.1  # of the time may go into looking
_PATIENCE = 60.0  # s that a file may stay incomplete and unchanged before it is taken as it is
QUIET = 15.0  # s without a frame, at least, before the products are brought to their final state
CADENCES = 4.0  # and so many times the usual interval between frames
_CHOOSE_AGAIN = 64  # frames up to which the reference is chosen again whenever their number has doubled
_GROWTH = 1.1  # the aperture is chosen again when there are so many times more frames
_RELOAD = 5  # s
_LIVE, _FIELD = ("lightcurve.ecsv", "lightcurve.png"), "field.png"  # products of a night that goes on
_SERVED = (".html", ".png", ".apng", ".gif", ".ecsv", ".fits", ".json", ".csv", ".txt", ".tbl")  # products
_ANSWER = 0.1  # s between two looks of the server whether it should end
_OTHER_RUN = 5.0  # s between two tries where another run is at work on the same products
_State = tuple[int, int, int, int]  # of a file: size, times, place on the disk


class _Disturbed(Exception):
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
    whole : dict of Path to State
        The files that count.
    coming : dict of Path to (State, float)
        Those that do not yet, and since when they have been as they are.
    times : list of float
        When something changed.
    """

    folder: Path
    skip: Path
    patience: float = _PATIENCE
    whole: dict[Path, _State] = field(default_factory=dict)
    coming: dict[Path, tuple[_State, float]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    pause: float = POLL

    def look(self) -> tuple[Path, ...]:
        """Files that have become whole, changed or gone since the last look."""
        now, states = time.monotonic(), self.states()
        gone = self.whole.keys() - states.keys()
        for path in gone:
            del self.whole[path]
        others = {path: state for path, state in states.items() if self.whole.get(path) != state}
        coming = {path: self.since(path, state, now) for path, state in others.items()}
        new = {
            path: state for path, (state, since) in coming.items() if self.counts(path, state, now - since)
        }
        self.whole = {path: state for path, state in self.whole.items() if path not in coming} | new
        self.coming = {path: about for path, about in coming.items() if path not in new}
        self.times += [now] * bool(new or gone)
        self.pause = max(POLL, (time.monotonic() - now) / _SHARE)
        return (*new, *gone)

    def states(self) -> dict[Path, _State]:
        """All files as they are now."""
        found: dict[Path, _State] = {}
        with suppress(NightError):
            for path in list_files(self.folder, self.skip).files:
                with suppress(OSError):  # gone again
                    found[path] = signature(path)
        return found

    def since(self, path: Path, state: _State, now: float) -> tuple[_State, float]:
        """A file's state, and since when it has had it."""
        before, since = self.coming.get(path, (None, now))
        return state, since if before == state else now

    def counts(self, path: Path, state: _State, age: float) -> bool:
        """Whether a file that was looked at before is whole, or will not become so."""
        known = self.coming.get(path)
        return known is not None and known[0] == state and (age > self.patience or _is_whole(path))

    def take(self, states: Mapping[Path, _State]) -> None:
        """Count files as they were found: their products are there."""
        self.whole, self.coming = dict(states), {}
        self.times = self.times or [time.monotonic()]

    def are_disturbed(self) -> bool:
        """Whether something came or went since the last look."""
        return self.states() != self.whole

    def are_quiet(self) -> bool:
        """Whether no frame has come for much longer than usual."""
        last = self.times[-9:]
        usual = statistics.median(b - a for a, b in pairwise(last)) if len(last) > 1 else 0.0
        return bool(self.times) and not self.coming and self.silence() > max(QUIET, CADENCES * usual)

    def silence(self) -> float:
        """Seconds since something came."""
        return time.monotonic() - self.times[-1] if self.times else 0.0


@dataclass(frozen=True)
class _AllBut(Collection[Path]):
    """Every path but those that count."""

    whole: Mapping[Path, _State]

    def __contains__(self, path: object) -> bool:
        return path not in self.whole

    def __iter__(self) -> Iterator[Path]:
        raise TypeError("there is no end of them")

    def __len__(self) -> int:
        raise TypeError("there is no end of them")


def _is_whole(path: Path) -> bool:
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
        say(f"watching {folder}; Ctrl-C ends it")
        say(f"page: {page}")
        return watch.until(idle)


def _check_folder(folder: Path, output: Output) -> None:
    """Raise a NightError or a UsageError where there is nothing to watch."""
    check_is_folder(folder)
    if is_ours(folder):
        raise NightError(f"{folder}: products of an earlier run lie there; give the folder of the raw frames")
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
        done: Standing | ReductionError = NightError(f"{self.folder}: no frame came")
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
                self.say("frames came: going on")
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
            self.say("nothing has changed since the last run; its products stand")
        return done

    def state(self) -> Standing:
        """The final state of what there is, after it was followed until it was quiet.

        Raises
        ------
        Disturbed
            Frames came meanwhile.
        """
        self.follow()
        self.say("no more frames for now: bringing all products to their final state")
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
        self.say("all products are in their final state")
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
    return f"up to date {time.time() - last:.1f} s after the last" if last > since else "up to date"


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
        arrivals: Arrivals,
    ) -> None:
        self.instrument, self.folder, self.output, self.options = instrument, folder, output, options
        self.journal, self.memory = journal, _LiveMemory(instrument, journal)
        self.arrivals = arrivals
        self.runner = _LiveRunner(output, options, Silent(), executor, journal, arrivals=arrivals)
        stages = recipe_of(instrument, options).stages
        self.per_set = tuple(takewhile(lambda stage: stage.per == "observation", stages))
        rest = stages[len(self.per_set) :]
        self.per_target = tuple(takewhile(lambda stage: stage.per == "target", rest))
        rest = rest[len(self.per_target) :]
        self.per_frame = tuple(takewhile(lambda stage: stage.per == "frame", rest))
        self.after = rest[len(self.per_frame) :]
        self.prepared: dict[tuple, tuple[int, Work]] = {}
        self.located: dict[tuple, Work] = {}
        self.chosen: dict[str, tuple[int, ApertureChoice]] = {}
        self.shown: dict[str, tuple[Reference | None, object]] = {}
        self.fields: dict[str, bytes] = {}

    def update(self) -> str:
        """Take in all frames that are there; in a few words, what there is now."""
        try:
            works = self.taken_in()
        except ProductError:
            raise
        except ReductionError as error:  # more frames may mend it
            return str(error).partition("\n")[0]
        self.journal.commit()
        targets = dict.fromkeys(work.observed.target for work in works)
        return "; ".join(
            f"{target}: {', '.join(_in_words(work) for work in works if work.observed.target == target)}"
            for target in targets
        )

    def taken_in(self) -> list[Work]:
        """All frames that are there, worked on and written."""
        waiting = _AllBut(self.arrivals.whole)
        night = scan_again(self.folder, self.instrument, self.output, self.memory, waiting=waiting)
        self.memory.hand_over(self.journal)
        sets = wanted_sets(night, self.options)
        works = in_turn(by_target(night, sets, self.options), self.group)
        report = report_of(night, works, self.options)
        write_night_table(self.output, self.journal, night, report.status)
        self.write(report)
        return works

    def group(self, works: tuple[Work, ...]) -> tuple[Work, ...]:
        """All stages on the sets of one target, as far as they have to be done."""
        ready = [self.prepare(work) for work in works]
        if any(is_new or _name_of(work) not in self.located for work, is_new in ready):
            located = run_stages(self.per_target, tuple(work for work, _ in ready), self.runner)
            self.located |= {_name_of(work): work for work in located}
        works = tuple(_with_frames(self.located[_name_of(work)], work) for work in works)
        works = run_stages(self.per_frame, works, self.runner)
        settled = {
            folder: choice for folder, (_, choice) in self.chosen.items() if self.stands(folder, works)
        }
        after = [_with_choices(s, settled) for s in self.after]
        works = run_stages([s for s in after if not s.at_the_end], works, self.runner)
        self.chosen |= {
            work.observed.folder: (len(work.observed.frames), work.choice)
            for work in works
            if work.choice is not None and work.observed.folder not in settled
        }
        return works

    def prepare(self, work: Work) -> tuple[Work, bool]:
        """Masters and reference of a set, and whether they are new."""
        key, count = _name_of(work), len(work.observed.frames)
        if key in self.prepared:
            before, known = self.prepared[key]
            enough = before >= _CHOOSE_AGAIN or count < 2 * before
            if enough and not known.failed:
                return _with_frames(known, work), False
        (done,) = run_stages(self.per_set, (work,), self.runner)
        self.prepared[key] = count, done
        self.chosen.pop(work.observed.folder, None)
        return done, True

    def stands(self, folder: str, works: Sequence[Work]) -> bool:
        """Whether a choice of aperture still serves."""
        count = next((len(work.observed.frames) for work in works if work.observed.folder == folder), 0)
        return folder in self.chosen and count < _GROWTH * self.chosen[folder][0]

    def write(self, report: RunReport) -> None:
        """The light curves and the page."""
        pictures: dict[str, Picture] = {}
        for result in report.sets:
            wanted = (*_LIVE, _FIELD) if self.is_other_field(result) else _LIVE
            for name, content in _live(result, wanted, plugins_for(self.options)):
                if isinstance(content, Picture):
                    pictures[name] = content
                else:
                    write_content(self.output, name, content)
        images = _drawn(pictures, self.runner.executor)
        for name, image in images.items():
            self.output.write_bytes(name, image)
        self.fields |= {name: image for name, image in images.items() if name.endswith(f"/{_FIELD}")}
        self.output.write_text("report.html", night_page(report, self.fields | images, reload=_RELOAD))

    def is_other_field(self, result: SetResult) -> bool:
        """Whether the reference frame, or the stars marked in it, are not those that were drawn."""
        curve, folder = result.light_curve, result.observed.folder
        stars = (curve.star, curve.comparisons) if curve is not None else None
        reference, before = self.shown.get(folder, (None, None))
        self.shown[folder] = result.reference, stars
        return result.reference is not reference or stars != before


def _in_words(work: Work) -> str:
    """How many frames of a set there are."""
    observed = work.observed
    return f"{observed.camera} {observed.band}".strip() + f" {len(observed.frames)}"


def _drawn(pictures: Mapping[str, Picture], executor: Executor | None) -> dict[str, bytes]:
    """Pictures as PNGs, several at a time where there are workers."""
    if executor is None or len(pictures) < 2:
        return {name: picture() for name, picture in pictures.items()}
    tasks = {name: executor.submit(_draw, picture) for name, picture in pictures.items()}
    images = {}
    for name, task in tasks.items():
        try:
            images[name] = task.result()
        except WorkerDied:
            images[name] = pictures[name]()
    return images


def _draw(picture: Picture) -> bytes:
    """A picture as PNG; for a worker."""
    return picture()


def _live(result: SetResult, wanted: Collection[str], plugins: Plugins) -> Iterator[tuple[str, Content]]:
    """Those of an observation's products that are wanted while it goes on, by their paths."""
    for product in plugins.products.values():
        for shown in made_of(product.item, [result], only=wanted):
            content = contents(product.item, shown)
            if content is not None:
                yield shown.path(product.item), content


def _with_choices(stage: Any, settled: Mapping[str, ApertureChoice]) -> Any:
    """The stage, with the choices that stand where it is the one that chooses the aperture."""
    takes = APERTURE in stage.gives and any(item.name == "settled" for item in fields(stage))
    return replace(stage, settled=settled) if takes else stage


def _name_of(work: Work) -> tuple:
    """What tells a set from the others, however many there are."""
    observed = work.observed
    return (
        observed.night,
        observed.target.casefold(),
        observed.camera,
        observed.band,
        observed.binning,
        observed.frames[0].readout,
    )


def _with_frames(known: Work, now: Work) -> Work:
    """A set as it was, with the frames that there are now."""
    return known.with_(observed=now.observed, result=replace(known.result, observed=now.observed))


@dataclass
class _LiveMemory(Memory):
    """Keeps what was made of the headers at hand, besides the journal."""

    at_hand: dict[str, tuple[str, Kept]] = field(default_factory=dict)
    keys: dict[Path, tuple[tuple, str]] = field(default_factory=dict)

    def key(self, path: Path, *more: object) -> str:
        of = signature(path), more
        known = self.keys.get(path)
        if known is None or known[0] != of:
            known = self.keys[path] = of, super().key(path, *more)
        return known[1]

    def rows(self, file: str, key: str) -> Kept:
        known = self.at_hand.get(file)
        if known is None or known[0] != key:
            rows = super().rows(file, key)
            if rows is None:
                return None
            self.at_hand[file] = key, rows
        return self.at_hand[file][1]

    def keep(self, file: str, key: str, rows: object) -> None:
        super().keep(file, key, rows)
        self.at_hand[file] = key, rows


@dataclass
class _LiveRunner(Runner):
    """Keeps outcomes at hand, besides the journal."""

    arrivals: Arrivals = field(default_factory=lambda: Arrivals(Path(), Path()))
    at_hand: dict[tuple, FrameOutcome] = field(default_factory=dict)
    descriptions: dict[str, tuple[list[object], str]] = field(default_factory=dict)

    def known(self, infos: Sequence[FrameInfo], job: Job, what: str) -> dict[int, FrameOutcome]:
        if not job.kept:
            return {}
        keys = [self.key(info, job) for info in infos]
        found = {
            i: replace(self.at_hand[key], info=infos[i]) for i, key in enumerate(keys) if key in self.at_hand
        }
        rest = [i for i in range(len(infos)) if i not in found]
        for i, outcome in super().known([infos[i] for i in rest], job, "").items():
            found[rest[i]] = self.at_hand[keys[rest[i]]] = outcome
        return found

    def kept_outcome(self, outcome: FrameOutcome, job: Job) -> FrameOutcome:
        kept = super().kept_outcome(outcome, job)
        self.at_hand[self.key(outcome.info, job)] = kept
        return kept

    def key(self, info: FrameInfo, job: Job) -> tuple:
        """What an outcome depends on; the description is made anew only where something in it is."""
        values = [value for name, value in vars(info).items() if name not in NOT_THE_PIXELS]
        before, described = self.descriptions.get(info.label, ([], ""))
        if len(before) != len(values) or any(a is not b for a, b in zip(before, values, strict=True)):
            described = job.task(job.steps[-1], info).described
            self.descriptions[info.label] = values, described
        return info.label, described, self.arrivals.whole.get(info.path), job.chain, job.key


@contextmanager
def served(output: Output, port: int) -> Iterator[str]:
    """A small server of the products on this computer, and nowhere else; its address.

    Raises
    ------
    ReductionError
        The port is taken.
    """
    handler = partial(_Handler, output=output)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise ReductionError(f"--serve {port}: {error.strerror or error}; give another port") from error
    thread = threading.Thread(target=server.serve_forever, args=(_ANSWER,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/report.html"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Gives products to a browser, and has it load them again after some seconds."""

    def __init__(self, *args: Any, output: Output, **more: Any) -> None:
        self.output = output
        super().__init__(*args, **more)

    def send_head(self) -> BinaryIO | None:
        """The answer's head, and the open product; the page at the root. Nothing else: no listing, link or log."""
        name = unquote(self.path.partition("?")[0].partition("#")[0]).removeprefix("/") or "report.html"
        file = self.product(name)
        if file is None:
            self.send_error(404)
            return None
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(name))
        self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
        self.send_header("Cache-Control", "no-store")
        if name.endswith(".html"):
            self.send_header("Refresh", str(_RELOAD))
        self.end_headers()
        return file

    def product(self, name: str) -> BinaryIO | None:
        """A product, open; None where there is none of that name that may be shown."""
        parts = name.split("/")
        if any(part.startswith(".") for part in parts) or not name.lower().endswith(_SERVED):
            return None
        with suppress(OSError, ValueError, ProductError):
            return self.output.open(name)
        return None

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)
