"""Runs stages over frames: what the journal knows is not done again, the rest goes to the workers.

The one place where a frame's failure is caught.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from potpyri_like.encoding import decode, encode, fingerprint
from potpyri_like.errors import FrameError, RegistrationError, UnavailableError
from potpyri_like.frame import FrameInfo
from potpyri_like.identity import code_identity, instrument_identity
from potpyri_like.journal import Journal, Task
from potpyri_like.night import with_folder
from potpyri_like.options import Options
from potpyri_like.primitives import FrameOutcome, FrameStage, Setup
from potpyri_like.results import Timing
from potpyri_like.store import Output, Reading, is_circumstance
from potpyri_like.workers import Cluster, Shared, WorkerDied, here

__all__ = ["Progress", "Runner", "Silent", "run_frame"]

log = logging.getLogger(__name__)

# What frames of a set share, and how it is called where it has changed.
SHARED = {
    "filter_mode": "3x3 filter",
    "masters": "masters",
    "reference": "reference",
    "forced": "target",
    "coordinates": "coordinates",
}
NOT_THE_PIXELS = ("path", "inside", "notes", "decided_by")  # of what is known of a frame
KEPT = ("results", "stage", "reason", "refused")  # of an outcome
IN_HAND = 8  # tasks given out for each worker, so that none waits for the next


class Progress(Protocol):
    """What watches a run."""

    def begin(self, what: str, total: int) -> None: ...
    def step(self) -> None: ...
    def end(self) -> None: ...
    def say(self, what: str) -> None: ...


class Silent:
    """Watches nothing."""

    def begin(self, what: str, total: int) -> None: ...
    def step(self) -> None: ...
    def end(self) -> None: ...
    def say(self, what: str) -> None: ...


@dataclass(frozen=True, eq=False)
class Job:
    """Stages, and what the frames they run on share.

    Attributes
    ----------
    stages : tuple of FrameStage
    setup : Setup
    chain : str
        The stages' names.
    parts : mapping of str to str
        Fingerprints of everything that the stages read besides the frame.
    key : str
        The fingerprint of all that.
    """

    stages: tuple[FrameStage, ...]
    setup: Setup
    chain: str
    parts: Mapping[str, str]
    key: str

    @classmethod
    def of(cls, stages: tuple[FrameStage, ...], setup: Setup) -> Job:
        read = {name for stage in stages for name in stage.reads}
        parts = {
            "version of the software": fingerprint(code_identity()),
            "instrument": instrument_identity(type(setup.instrument)),
            "settings": fingerprint(stages),
            **{words: fingerprint(getattr(setup, name)) for name, words in SHARED.items() if name in read},
        }
        chain = " ".join(type(stage).__name__ for stage in stages)
        return cls(stages, setup, chain, parts, fingerprint(parts))

    @property
    def is_kept(self) -> bool:
        """Whether the outcomes are numbers, not images."""
        return not any(getattr(stage, "hands_on_pixels", False) for stage in self.stages)

    def task(self, info: FrameInfo) -> Task:
        """This job on one frame."""
        file = info.inside or info.path.name
        known = {name: value for name, value in vars(info).items() if name not in NOT_THE_PIXELS}
        return Task(info.label, file, info.path, fingerprint(known), self.chain, self.key, self.parts)


@dataclass
class Runner:
    """Lends stages the output folder, the options, the workers and the journal; keeps the time.

    Attributes
    ----------
    executor : Executor or None
        None: everything in this process.
    journal : Journal or None
        None: nothing is known, and nothing remembered.
    timing : Timing
    settled : bool
        False where something failed that may succeed another time.
    blind : set of str
        Workers of a cluster that could not read what others could: they get no more frames.
    """

    output: Output
    options: Options
    progress: Progress
    executor: Executor | None = None
    journal: Journal | None = None
    timing: Timing = field(default_factory=Timing)
    settled: bool = True
    kept: list[str] = field(default_factory=list)
    blind: set[str] = field(default_factory=set)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *error: object) -> None:
        self.output.tidy()

    # -- what stages ask for ---------------------------------------------------------------------------------

    def run_frames(
        self, infos: Sequence[FrameInfo], stages: Sequence[FrameStage], setup: Setup, *, what: str
    ) -> list[FrameOutcome]:
        """Run stages over frames; failures are outcomes, not exceptions."""
        job = Job.of(tuple(stages), setup)
        done = self.known(infos, job, what)
        missing = [index for index in range(len(infos)) if index not in done]
        progress = self.progress if what and missing else Silent()
        progress.begin(what, len(missing))
        for index, outcome in self.outcomes(missing, infos, job):
            done[index] = self.remembered(outcome, job)
            progress.step()
        progress.end()
        return [done[index] for index in range(len(infos))]

    def raw(self, infos: Sequence[FrameInfo]) -> tuple[str, ...]:
        """The SHA-256 of some raw files, read where they were not yet; "" for one that cannot be read."""
        if self.journal is None:
            return ("",) * len(infos)
        return tuple(self.journal.content(info.inside, info.path) for info in infos)

    def recall(self, product: str, key: Callable[[], str]) -> Any:
        """What was remembered with a product that stands as it was made under that key; None where it does not.

        The key is asked for where it matters only: raw files have to be read for it.
        """
        memo = None
        if self.journal is not None and self.journal.has_product(product):
            memo = self.journal.recall(product, key())
        if memo is not None:
            self.kept.append(product)
        return memo

    def keep(self, product: str, key: str, memo: Any) -> None:
        """Remember a product that was written, and under which key, unless something that it may need was missing."""
        if self.journal is not None and self.settled:
            self.journal.keep_product(product, key, memo)

    def read(self, info: FrameInfo, reading: Reading) -> None:
        """Remember a raw file that was read."""
        self.timing.read(reading.size, reading.seconds)
        if self.journal is not None:
            self.journal.read(info.inside, reading)

    def unsettle(self) -> None:
        """Note that something failed that may succeed another time: nothing is kept that depends on it."""
        self.settled = False

    # -- what is known, and what becomes known ---------------------------------------------------------------

    def known(self, infos: Sequence[FrameInfo], job: Job, what: str) -> dict[int, FrameOutcome]:
        """The outcomes that the journal has, by index; and a word about why the others have to be done."""
        if self.journal is None or not job.is_kept:
            return {}
        found: dict[int, FrameOutcome] = {}
        reasons: Counter[str] = Counter()
        for index, info in enumerate(infos):
            known = self.journal.known(job.task(info))
            if known.outcome is None:
                reasons[known.why] += 1
            else:
                found[index] = FrameOutcome(info, **known.outcome)
        if found and what:
            causes = ", ".join(f"{number} {why}" for why, number in reasons.items())
            todo = f"{reasons.total()} to do: {causes}" if reasons else "nothing to do"
            self.progress.say(f"{what}: {len(found)} of {len(infos)} known from before, {todo}")
        elif what and set(reasons) - {"new"}:
            self.progress.say(f"{what}: all {len(infos)} to do again: {', '.join(reasons)}")
        return found

    def remembered(self, outcome: FrameOutcome, job: Job) -> FrameOutcome:
        """An outcome as it will be known from now on; the log and the clock told."""
        log.debug("%s: %s", outcome.info.label, outcome.reason or "done")
        self.timing.add(outcome.seconds)
        if outcome.trace:
            log.error("%s: %s\n%s", outcome.info.label, outcome.stage, outcome.trace)
        if outcome.reading is not None:
            self.read(outcome.info, outcome.reading)
        if outcome.trace or outcome.died or outcome.passing:
            self.unsettle()
            return outcome
        return self.kept_outcome(outcome, job) if job.is_kept else outcome

    def kept_outcome(self, outcome: FrameOutcome, job: Job) -> FrameOutcome:
        """The outcome as it comes back from the journal, which has it now."""
        content = encode({name: getattr(outcome, name) for name in KEPT})
        if outcome.reading is not None and self.journal is not None:
            self.journal.keep(job.task(outcome.info), outcome.reading.sha256, content)
        return replace(outcome, **decode(content))

    # -- the workers -----------------------------------------------------------------------------------------

    def outcomes(
        self, wanted: Sequence[int], infos: Sequence[FrameInfo], job: Job
    ) -> Iterator[tuple[int, FrameOutcome]]:
        """Outcomes with their indices, as they come; from the workers where that is worth while.

        What circumstances kept from being done is tried again: by other workers of a cluster, then by this process.
        """
        if not wanted:
            return
        begun = time.perf_counter()
        alone = self.executor is None or (len(wanted) < 2 and not job.is_kept)
        tried = Tried(infos)
        first = self.outcomes_here(wanted, infos, job) if alone else self.outcomes_there(wanted, tried, job)
        again = []
        for index, outcome in first:
            if outcome.passing:
                again.append(index)
            else:
                yield index, outcome
        for index, outcome in self.outcomes_here(again, infos, job):
            if not outcome.passing:
                self.avoid(tried.workers[index], outcome)
            yield index, outcome
        self.timing.loop(len(wanted), time.perf_counter() - begun)

    def outcomes_here(
        self, wanted: Sequence[int], infos: Sequence[FrameInfo], job: Job
    ) -> Iterator[tuple[int, FrameOutcome]]:
        """Outcomes with their indices, from this process."""
        for index in wanted:
            yield index, run_frame(infos[index], job.stages, job.setup)

    def outcomes_there(
        self, wanted: Sequence[int], tried: Tried, job: Job
    ) -> Iterator[tuple[int, FrameOutcome]]:
        """Outcomes with their indices, as they come from the workers; each frame from as many as it needs."""
        shared, infos = Shared(job.key, (job.stages, job.setup)), tried.infos
        waiting = deque(wanted)
        given: dict[Future, int] = {}
        try:
            while waiting or given:
                while waiting and len(given) < self.in_hand:
                    index = waiting.popleft()
                    if (future := self.submitted(infos[index], shared, self.blind)) is None:
                        yield index, unavailable(infos[index], "no worker is left that can read the night")
                    else:
                        given[future] = index
                for future in wait(given, return_when=FIRST_COMPLETED).done:
                    index = given.pop(future)
                    outcome = replace(outcome_of(future, infos[index]), info=infos[index])
                    if again := self.elsewhere(outcome, tried.workers[index], shared):
                        given[again] = index
                    else:
                        yield index, outcome
        finally:
            for future in given:
                future.cancel()

    def submitted(self, info: FrameInfo, shared: Shared, avoided: Collection[str]) -> Future | None:
        """A frame for any worker but some; None where there is no other."""
        assert self.executor is not None
        if avoided and isinstance(self.executor, Cluster):
            return self.executor.submit_but(avoided, run_frame_of_job, absolute(info), shared)
        return self.executor.submit(run_frame_of_job, absolute(info), shared)

    def elsewhere(self, outcome: FrameOutcome, tried: set[str], shared: Shared) -> Future | None:
        """A frame that circumstances kept from being done, for a worker that has not tried it yet, if there is one."""
        if not outcome.passing:
            self.avoid(tried, outcome)
        elif outcome.where:
            tried.add(outcome.where)
            return self.submitted(outcome.info, shared, self.blind | tried)
        return None

    def avoid(self, workers: set[str], outcome: FrameOutcome) -> None:
        """Give no more frames to workers that could not read one that others could."""
        for worker in workers - self.blind:
            said = (
                f"worker {worker} cannot read {outcome.info.label}, which others can: it gets no more frames"
            )
            log.warning("%s", said)
            self.progress.say(said)
        self.blind |= workers

    @property
    def in_hand(self) -> int:
        """How many tasks to give out at a time."""
        return IN_HAND * max(1, getattr(self.executor, "count", 1))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Wall-clock time of a stage that runs once per set; what it runs on frames is told apart."""
        begun = time.perf_counter()
        yield
        self.timing.add({stage: time.perf_counter() - begun}, per_frame=False)


@dataclass(frozen=True)
class Tried:
    """Some frames, and by their indices the workers of a cluster that could not read them."""

    infos: Sequence[FrameInfo]
    workers: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))


def absolute(info: FrameInfo) -> FrameInfo:
    """The same frame, for a process that may have another working directory."""
    return info if info.path.is_absolute() else replace(info, path=info.path.absolute())


def outcome_of(future: Future, info: FrameInfo) -> FrameOutcome:
    """What a worker made of a frame; a frame that killed its workers is refused."""
    try:
        return future.result()
    except WorkerDied as error:
        reason = f"{info.label}: every worker process that tried it died: {error}; the frame is left out"
        return FrameOutcome(info, {}, "worker", reason, refused=True, died=True)
    except (OSError, MemoryError) as error:
        return unavailable(info, f"a worker could not be asked, {type(error).__name__}: {error}")


def unavailable(info: FrameInfo, why: str) -> FrameOutcome:
    """The outcome of a frame that circumstances kept from being worked on."""
    return FrameOutcome(info, {}, "worker", f"{info.label}: {why}", refused=True, passing=True)


def run_frame_of_job(info: FrameInfo, shared: Shared) -> FrameOutcome:
    """`run_frame` in a worker, which is given what its frames share once."""
    return replace(run_frame(info, *shared.value), where=here())


def run_frame(info: FrameInfo, stages: tuple[FrameStage, ...], setup: Setup) -> FrameOutcome:
    """All stages on one frame: the one place where a frame's failure is caught."""
    frame: Any = info
    seconds: dict[str, float] = {}
    name, failed = "", dict[str, Any]()
    try:
        for stage in stages:
            name, begun = type(stage).__name__, time.process_time()
            frame = stage(frame, setup.showing(stage.reads))
            seconds[name] = time.process_time() - begun
        name = ""
    except FrameError as error:
        unavailable = isinstance(error, UnavailableError)
        failed = {"reason": with_folder(info.label, str(error)), "refused": True, "passing": unavailable}
    except RegistrationError as error:
        failed = {"reason": f"{info.label}: {error}"}
    except Exception as error:  # noqa: BLE001  (the one place; the cause is recorded and shows in the exit status)
        failed = {
            "reason": f"{info.label}: {type(error).__name__}: {error}",
            "trace": traceback.format_exc(),
            "passing": is_circumstance(error),
        }
    found = {} if frame is info else dict(frame.results)
    reading = found.pop("reading", None)
    if "transform" in found:
        found.pop("stars", None)
    return FrameOutcome(info, {} if failed else found, name, seconds=seconds, reading=reading, **failed)
