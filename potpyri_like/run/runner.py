"""Runs stages over frames: from the journal, or on the workers."""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any

from potpyri_like.encoding import Kept, decode, encode, fingerprint
from potpyri_like.errors import (
    DeclarationError,
    FrameError,
    ProductError,
    RegistrationError,
    UnavailableError,
)
from potpyri_like.frame import Frame, FrameInfo, Results
from potpyri_like.night import with_folder
from potpyri_like.options import Options
from potpyri_like.primitives import FrameOutcome, Setup
from potpyri_like.primitives.saved import SAVABLE, SavedImage
from potpyri_like.recipe_file import line_in_file
from potpyri_like.results import Timing
from potpyri_like.run.jobs import Job, Step
from potpyri_like.run.journal import Journal
from potpyri_like.run.progress import Progress, Silent
from potpyri_like.run.workers import Cluster, Shared, WorkerDied, here
from potpyri_like.stages import FrameStage
from potpyri_like.store import Output, Reading, is_circumstance

__all__ = ["KEPT", "Runner", "frame_after", "joined", "part_of", "run_frame"]

log = logging.getLogger(__name__)
KEPT = ("results", "stage", "reason", "rejected")  # of an outcome
_READING, _SAVING = "read saved image", "save image"  # in the table of times, beside the stages
_IN_HAND = 8  # tasks given out for each worker, so that none waits for the next


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
    partly : dict of (str, str) to mapping
        What is known of frames of which not all is: results by stage, by the frame and the job's key.
    common : dict of str to object
        What stages keep for other sets of the same run.
    names : dict of (str, str) to str
        Of the files in which images of frames are saved, by the kind of image (`SAVABLE`) and the frame.
    saves : frozenset of str
        The kinds that are to be saved.
    images : dict of (str, str) to tuple of SavedImage
        Those to be read or written for frames that are worked on, by the frame and the job's key.
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
    partly: dict[tuple[str, str], Results] = field(default_factory=dict)
    common: dict[str, Any] = field(default_factory=dict)
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    saves: frozenset[str] = frozenset()
    images: dict[tuple[str, str], tuple[SavedImage, ...]] = field(default_factory=dict)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *error: object) -> None:
        self.output.tidy()

    # -- what stages ask for ---------------------------------------------------------------------------------

    def run_frames(
        self,
        infos: Sequence[FrameInfo],
        stages: Sequence[FrameStage],
        setup: Setup,
        *,
        what: str,
        save: bool = False,
    ) -> list[FrameOutcome]:
        """Run stages over frames; failures are outcomes, not exceptions.

        Parameters
        ----------
        infos : sequence of FrameInfo
        stages : sequence of FrameStage
        setup : Setup
        what : str
            What is told of it; "": nothing.
        save : bool
            Save the images that the run is asked for, where they were not.
        """
        job = Job.of(stages, setup)
        for info in infos:
            self.images.pop((info.label, job.key), None)
            if images := tuple(self.images_for(info, job, save=save)):
                self.images[info.label, job.key] = images
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

    def recall(self, product: str, key: Callable[[], str]) -> Kept:
        """What was remembered with a product that stands as it was made under that key; None where it does not.

        The key is asked for where it matters only: raw files have to be read for it.
        """
        memo = None
        if self.journal is not None and self.journal.has_product(product):
            memo = self.journal.recall(product, key())
        if memo is not None:
            self.kept.append(product)
        return memo

    def recall_copy(self, product: str, key: str) -> Kept:
        """The same of a product that was copied from elsewhere."""
        return self.recall(product, lambda: key)

    def keep(self, product: str, key: str, memo: object) -> None:
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
        if self.journal is None:
            return {}
        if not job.kept:
            return self.known_images(infos, job, what)
        found: dict[int, FrameOutcome] = {}
        reasons: Counter[str] = Counter()
        for index, info in enumerate(infos):
            steps, why = self.known_steps(info, job)
            if not why and self.lacks_image(info, job, steps):
                why = "to be saved"
            if why:
                reasons[why] += 1
                good = {name: step["results"] for name, step in steps.items() if not step["reason"]}
                self.partly[info.label, job.key] = good
            else:
                found[index] = FrameOutcome(info, **joined(steps.values()))
        if found and what:
            causes = ", ".join(f"{number} {why}" for why, number in reasons.items())
            todo = f"{reasons.total()} to do: {causes}" if reasons else "nothing to do"
            self.progress.say(f"{what}: {len(found)} of {len(infos)} already done, {todo}")
        elif what and set(reasons) - {"new"}:
            self.progress.say(f"{what}: all {len(infos)} to be redone: {', '.join(reasons)}")
        return found

    def known_steps(self, info: FrameInfo, job: Job) -> tuple[dict[str, dict[str, Kept]], str]:
        """What the journal knows of a frame, by stage, and why that is not all; "" where it is."""
        assert self.journal is not None
        steps: dict[str, dict[str, Kept]] = {}
        why = ""
        for step in job.kept:
            known = self.journal.known(job.task(step, info))
            if known.outcome is None:
                why = why or known.why
            elif known.outcome["reason"]:  # the frame failed there, and so did all that follows
                return {step.stage.name: known.outcome}, ""
            else:
                steps[step.stage.name] = known.outcome
        return steps, why

    # -- images that are saved -------------------------------------------------------------------------------

    def images_for(self, info: FrameInfo, job: Job, *, save: bool) -> Iterator[SavedImage]:
        """The saved images of a frame that a job makes: to be read where they stand, else to be written if so asked."""
        for step, kind in _savable(job):
            name, last = self.names.get((kind, info.label), ""), step.stage.name
            if not name or self.journal is None:
                continue
            new = SavedImage(last, name, self.output.for_workers(), job.made_by(last) - {"reading"})
            memo = self.recall(name, partial(self.image_key, info, job, step))
            known = None if memo is None else new.known(memo, self.journal.product(name))
            if known is not None and job.can_start_after(last, known.lost):
                yield known
            elif known is None and save and self.is_to_be_saved(kind, name):
                yield new

    def is_to_be_saved(self, kind: str, name: str) -> bool:
        """Whether an image is wanted as a product."""
        return kind in self.saves

    def image_key(self, info: FrameInfo, job: Job, step: Step) -> str:
        """What the image of a frame after a step depends on."""
        return fingerprint(step.key, job.task(step, info).described, self.raw([info]))

    def lacks_image(self, info: FrameInfo, job: Job, steps: Mapping[str, Mapping[str, Kept]]) -> bool:
        """Whether an image of a frame that is known has to be saved, which did not fail before."""
        failed = {name for name, step in steps.items() if step["reason"]}
        new = (image for image in self.images_of(info, job) if not image.digest)
        return any(not failed & job.upto(image.stage) for image in new)

    def known_images(self, infos: Sequence[FrameInfo], job: Job, what: str) -> dict[int, FrameOutcome]:
        """The outcomes of a job that is done for an image, where this was saved; by index."""
        last = job.stages[-1].name
        found = {
            index: FrameOutcome(info, image.results)
            for index, info in enumerate(infos)
            for image in self.images_of(info, job)
            if image.stage == last and image.digest
        }
        if found and what:
            self.progress.say(f"{what}: {len(found)} of {len(infos)} already saved")
        return found

    def note_image(self, image: SavedImage, info: FrameInfo, job: Job) -> None:
        """Remember an image that was saved."""
        self.output.written.add(image.name)
        (step,) = (step for step in job.steps if step.stage.name == image.stage)
        self.keep_image(image.name, self.image_key(info, job, step), image.memo)

    def keep_image(self, name: str, key: str, memo: object) -> None:
        """Remember it in the journal: what failed elsewhere has no part in it."""
        if self.journal is not None:
            self.journal.keep_product(name, key, memo)

    def remembered(self, outcome: FrameOutcome, job: Job) -> FrameOutcome:
        """An outcome as it will be known from now on; the log and the clock told."""
        log.debug("%s: %s", outcome.info.label, outcome.reason or "done")
        self.timing.add(outcome.seconds)
        if outcome.trace:
            log.error("%s: %s\n%s", outcome.info.label, outcome.stage, outcome.trace)
        if outcome.reading is not None:
            self.read(outcome.info, outcome.reading)
        for image in outcome.saved:
            self.note_image(image, outcome.info, job)
        if outcome.trace or outcome.died or outcome.passing:
            self.unsettle()
            return outcome
        return self.kept_outcome(outcome, job) if job.kept else outcome

    def kept_outcome(self, outcome: FrameOutcome, job: Job) -> FrameOutcome:
        """The outcome as it comes back from the journal, which has it now."""
        partly = self.partly.pop((outcome.info.label, job.key), {})
        steps = {step.stage.name: encode(part_of(outcome, step)) for step in job.kept_of(outcome.stage)}
        if (
            raw := self.raw_of(outcome, known=bool(partly) or outcome.read_again)
        ) and self.journal is not None:
            for step in job.kept_of(outcome.stage):
                if step.stage.name not in partly:
                    self.journal.keep(job.task(step, outcome.info), raw, steps[step.stage.name])
        return replace(outcome, **joined(map(decode, steps.values()))) if steps else outcome

    def raw_of(self, outcome: FrameOutcome, *, known: bool) -> str:
        """The SHA-256 of the raw file that an outcome was made from; "" where its pixels were not read."""
        if outcome.reading is not None:
            return outcome.reading.sha256
        if not known or self.journal is None:
            return ""
        return self.journal.content(outcome.info.inside, outcome.info.path)

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
        alone = self.executor is None or (len(wanted) < 2 and not job.kept)
        tried = _Tried(infos)
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
            info = infos[index]
            yield index, run_frame(info, job, self.partly_of(info, job), self.images_of(info, job))

    def partly_of(self, info: FrameInfo, job: Job) -> Results:
        """What is known of a frame before it is worked on, results by stage."""
        return self.partly.get((info.label, job.key), {})

    def images_of(self, info: FrameInfo, job: Job) -> tuple[SavedImage, ...]:
        """Its images that are to be read or written."""
        return self.images.get((info.label, job.key), ())

    def outcomes_there(
        self, wanted: Sequence[int], tried: _Tried, job: Job
    ) -> Iterator[tuple[int, FrameOutcome]]:
        """Outcomes with their indices, as they come from the workers; each frame from as many as it needs."""
        shared, infos = Shared(job.key, job), tried.infos
        waiting = iter(wanted)
        given: dict[Future, int] = {}
        try:
            while True:
                for index in islice(waiting, self.in_hand - len(given)):
                    if (future := self.submitted(infos[index], shared, self.blind)) is None:
                        yield index, _unavailable(infos[index], "no remaining worker can read the night")
                    else:
                        given[future] = index
                if not given:
                    break
                for future in wait(given, return_when=FIRST_COMPLETED).done:
                    index = given.pop(future)
                    outcome = replace(_outcome_of(future, infos[index]), info=infos[index])
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
        job = shared.value
        what = _absolute(info), shared, self.partly_of(info, job), self.images_of(info, job)
        if avoided and isinstance(self.executor, Cluster):
            return self.executor.submit_but(avoided, _run_frame_of_job, *what)
        return self.executor.submit(_run_frame_of_job, *what)

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
            said = f"worker {worker} cannot read {outcome.info.label}, which others can: it is given no more frames"
            log.warning("%s", said)
            self.progress.say(said)
        self.blind |= workers

    @property
    def in_hand(self) -> int:
        """How many tasks to give out at a time."""
        return _IN_HAND * max(1, getattr(self.executor, "count", 1))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Wall-clock time of a stage that runs once per set; what it runs on frames is told apart."""
        begun = time.perf_counter()
        yield
        self.timing.add({stage: time.perf_counter() - begun}, per_frame=False)


@dataclass(frozen=True)
class _Tried:
    """Some frames, and by their indices the workers of a cluster that could not read them."""

    infos: Sequence[FrameInfo]
    workers: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))


def _absolute(info: FrameInfo) -> FrameInfo:
    """The same frame, for a process that may have another working directory."""
    return info if info.path.is_absolute() else replace(info, path=info.path.absolute())


def _outcome_of(future: Future, info: FrameInfo) -> FrameOutcome:
    """The outcome of a frame on a worker; a frame that killed its workers is rejected."""
    try:
        return future.result()
    except WorkerDied as error:
        reason = f"{info.label}: every worker process that tried it died: {error}; the frame is rejected"
        return FrameOutcome(info, {}, "worker", reason, rejected=True, died=True)
    except (OSError, MemoryError) as error:
        return _unavailable(info, f"a worker did not respond, {type(error).__name__}: {error}")


def _unavailable(info: FrameInfo, why: str) -> FrameOutcome:
    """The outcome of a frame that circumstances kept from being worked on."""
    return FrameOutcome(info, {}, "worker", f"{info.label}: {why}", rejected=True, passing=True)


def _checked(stage: FrameStage, before: Frame | FrameInfo, after: Frame) -> Frame:
    """The frame that a stage handed on.

    Raises
    ------
    DeclarationError
        It found out what it does not declare.
    """
    had = before.results if isinstance(before, Frame) else {}
    new = {name for name, value in after.results.items() if had.get(name) is not value}
    odd = new - {given.name for given in stage.gives}
    if odd:
        raise DeclarationError(
            f"{stage.name} gives {', '.join(sorted(odd))}, which it does not declare in gives"
        )
    return after


def part_of(outcome: FrameOutcome, step: Step) -> dict[str, Kept]:
    """What is kept of an outcome for one of its stages; of a frame that failed, that it did."""
    names = [given.name for given in step.stage.gives if given.kept]
    results = {name: outcome.results[name] for name in names if name in outcome.results}
    return {"results": results, **{name: getattr(outcome, name) for name in KEPT if name != "results"}}


def joined(steps: Iterable[Mapping[str, Kept]]) -> dict[str, Kept]:
    """The outcome of several stages, from what is kept of each."""
    whole: dict[str, Kept] = {"results": {}, "stage": "", "reason": "", "rejected": False}
    for step in steps:
        whole["results"] |= step["results"]
        if step["reason"]:
            whole |= {name: step[name] for name in KEPT if name != "results"}
    return whole


def _run_frame_of_job(
    info: FrameInfo, shared: Shared, partly: Results, images: Sequence[SavedImage]
) -> FrameOutcome:
    """`run_frame` in a worker, which is given what its frames share once."""
    return replace(run_frame(info, shared.value, partly, images), where=here())


def _savable(job: Job) -> Iterator[tuple[Step, str]]:
    """The steps of a job whose images may be saved, in order, and as which kind."""
    for step in job.steps:
        for kind, made in SAVABLE.items():
            if made in step.stage.gives:
                yield step, kind


def _image_at_hand(
    info: FrameInfo, job: Job, images: Sequence[SavedImage]
) -> tuple[SavedImage, Frame] | tuple[None, None]:
    """The image from which a frame goes on, the last that stands, and the frame; None where there is none."""
    for image in reversed(images):
        frame = image.read(info, job.setup.instrument) if image.digest else None
        if frame is not None:
            return image, frame
    return None, None


def frame_after(info: FrameInfo, stages: Iterable[FrameStage], setup: Setup) -> Frame:
    """A frame after some stages, with its pixels; whatever a stage raises is raised.

    Parameters
    ----------
    info : FrameInfo
    stages : iterable of FrameStage
        From the one that reads the raw file on.
    setup : Setup
    """
    frame: Any = info
    for stage in stages:
        frame = _checked(stage, frame, stage(frame, setup.showing(stage)))
    return frame


def _failure(info: FrameInfo, error: Exception) -> dict[str, Kept]:
    """What an outcome says of an error; what nobody foresaw comes with its traceback."""
    match error:
        case FrameError():
            unavailable = isinstance(error, UnavailableError)
            return {"reason": with_folder(info.label, str(error)), "rejected": True, "passing": unavailable}
        case RegistrationError():
            return {"reason": f"{info.label}: {error}"}
    return {
        "reason": f"{info.label}: {type(error).__name__}: {error}{line_in_file(error)}",
        "trace": "".join(traceback.format_exception(error)),
        "passing": is_circumstance(error),
    }


def run_frame(
    info: FrameInfo,
    job: Job,
    partly: Results = MappingProxyType({}),
    images: Sequence[SavedImage] = (),
) -> FrameOutcome:
    """The stages of a job on one frame: the one place where a frame's failure is caught.

    Parameters
    ----------
    info : FrameInfo
    job : Job
    partly : mapping of str to mapping
        Results that are already done, by stage: what they serve for does not run again.
    images : sequence of SavedImage
        To be read or written.

    Raises
    ------
    ProductError
        An image cannot be written.
    """
    frame: Any = info
    seconds: dict[str, float] = {}
    name, failed = "", dict[str, Kept]()
    saved: list[SavedImage] = []
    at_hand, start = None, None
    try:
        new = {image.stage: image for image in images if not image.digest}
        begun = time.process_time()
        at_hand, start = _image_at_hand(info, job, images)
        if at_hand is not None:
            seconds[_READING] = time.process_time() - begun
        stages = job.needed(partly, at_hand=at_hand.stage if at_hand else "", images=new)
        for stage in job.stages:
            name, begun = stage.name, time.process_time()
            if stage in stages:
                frame = _checked(stage, frame, stage(frame, job.setup.showing(stage)))
                seconds[name] = time.process_time() - begun
            if at_hand is not None and start is not None and name == at_hand.stage:
                frame = start if frame is info else start.knowing(frame.results)
            if name in partly:
                frame = (Frame.without_pixels(info) if frame is info else frame).knowing(partly[name])
            if name in new:
                begun = time.process_time()
                saved.append(new[name].written(frame))
                seconds[_SAVING] = time.process_time() - begun
        name = ""
    except ProductError:
        raise
    except Exception as error:  # noqa: BLE001  (the one place; the cause is recorded and shows in the exit status)
        failed = _failure(info, error)
    found = {} if frame is info else dict(frame.results)
    reading = found.pop("reading", None)
    return FrameOutcome(
        info,
        {} if failed else found,
        name,
        seconds=seconds,
        reading=reading,
        read_again=at_hand is not None,
        saved=tuple(saved),
        **failed,
    )
