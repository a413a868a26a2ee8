"""Runs a recipe over a night: the frames on the workers, failures where they happen, a report at the end."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import shutil
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from astropy.coordinates import SkyCoord

from potpyri_like.edits import read_edited
from potpyri_like.errors import FrameError, NightError, ReductionError, RegistrationError, UsageError
from potpyri_like.frame import FrameFlag, FrameInfo
from potpyri_like.instruments import Instrument
from potpyri_like.night import Night, ObservationSet, scan, with_folder
from potpyri_like.options import Options
from potpyri_like.primitives import RECIPES, FrameOutcome, FrameStage, Recipe, Setup, Work
from potpyri_like.primitives.target import target_spec
from potpyri_like.products import night_page, page_images, run_json, set_tables, write_images, write_tables
from potpyri_like.results import Choice, Problem, RunReport, SetResult
from potpyri_like.store import Output, sha256

__all__ = ["Progress", "Silent", "reduce_night"]

log = logging.getLogger(__name__)

FRAMES_WORTH_A_WORKER = 12  # a worker takes a second to start
NIGHT_TABLE = "night.ecsv"


class Progress(Protocol):
    """What watches a run."""

    def begin(self, what: str, total: int) -> None: ...
    def step(self) -> None: ...
    def end(self) -> None: ...


class Silent:
    """Watches nothing."""

    def begin(self, what: str, total: int) -> None: ...
    def step(self) -> None: ...
    def end(self) -> None: ...


def reduce_night(
    instrument: Instrument,
    folder: Path,
    *,
    out: Path | None = None,
    options: Options | None = None,
    origins: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Reduce every target in a folder of raw frames, and write the products.

    Parameters
    ----------
    instrument : Instrument
    folder : Path
        Never written to, but for the folder `red` in it where `out` is not given.
    out : Path, optional
    options : Options, optional
    origins : mapping of str to str, optional
        Where each option came from, for the report.
    progress : Progress, optional

    Raises
    ------
    NightError
        There is nothing to reduce.
    ProductError
        Nothing can be written.
    UsageError
        An option does not fit the night.
    """
    options = options or Options()
    output = Output(folder / "red" if out is None else out)
    night = scan(folder, instrument, edited=earlier_table(output), skip=output.root)
    check_options(night, options)
    output.make()
    output.write_table(NIGHT_TABLE, night.table())
    sets = wanted_sets(night, options)
    recipe = RECIPES[options.recipe or instrument.recipe]()
    with workers(options, max(len(s.frames) for s in sets)) as executor:
        runner = Runner(output, options, progress or Silent(), executor)
        with runner:
            works = [
                work
                for group in by_target(night, sets, options)
                for work in run_recipe(recipe, group, runner)
            ]
    report = RunReport(
        instrument=instrument.name,
        recipe=recipe.name,
        night=night,
        sets=tuple(work.result for work in works),
        status=statuses(night, works),
        options={
            name: (value, (origins or {}).get(name, "default")) for name, value in options.named().items()
        },
        timings=dict(runner.seconds),
    )
    output.write_table(NIGHT_TABLE, night.table(report.status))
    return publish(report, output)


def publish(report: RunReport, output: Output) -> RunReport:
    """Write the tables, the figures, the page and run.json; the report with the products' names."""
    images = page_images(report)
    write_images(output, images)
    sets = []
    for result in report.sets:
        tables = set_tables(result)
        write_tables(output, tables)
        own = [name for name in (*tables, *images) if name.startswith(f"{result.observed.folder}/")]
        sets.append(replace(result, products={**result.products, **{Path(name).name: name for name in own}}))
    report = replace(report, sets=tuple(sets))
    output.write_text("report.html", night_page(report, images))
    output.write_json("run.json", run_json(report, sha256=checksums(report.night)))
    return report


def checksums(night: Night) -> dict[str, str]:
    """The SHA-256 of each raw file that was used and is still there."""
    found: dict[Path, str] = {}
    for info in night.frames:
        if info.path not in found and info.path.is_file():
            found[info.path] = sha256(info.path)
    return {row.file: found[row.info.path] for row in night.rows if row.info and row.info.path in found}


def earlier_table(output: Output) -> Any:
    """The night.ecsv of an earlier run, which the observer may have edited; None on the first."""
    path = output.root / NIGHT_TABLE
    return read_edited(path) if path.is_file() else None


def check_options(night: Night, options: Options) -> None:
    """Raise a UsageError for an option that names what the night does not have, before anything is written."""
    science = [frame for observed in night.sets() for frame in observed.frames]
    if options.target is not None and science:
        wanted_sets(night, options)
    if options.target_xy is not None and science:
        camera, _ = target_spec(options.target_xy)
        known = {name.casefold() for frame in science for name in (frame.camera, frame.band)}
        if camera and camera.casefold() not in known:
            names = ", ".join(sorted({frame.camera for frame in science}))
            raise UsageError(
                f"--target-xy {options.target_xy}: no frames of a camera {camera}; there are {names}"
            )


def wanted_sets(night: Night, options: Options) -> tuple[ObservationSet, ...]:
    """The sets to reduce.

    Raises
    ------
    NightError
        There is none; the message says what there is instead.
    """
    sets = night.sets()
    if not sets:
        kinds = Counter(str(info.kind) for info in night.frames)
        found = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "no frame that can be used"
        refused = "".join(f"\n  {row.reason}" for row in night.refused[:5])
        raise NightError(f"{night.root}: no science frames; there are {found}{refused}")
    if options.target is None:
        return sets
    wanted = tuple(s for s in sets if options.target.casefold() in s.target.casefold())
    if not wanted:
        names = ", ".join(dict.fromkeys(s.target for s in sets))
        raise UsageError(f"--target {options.target}: no such target; there are {names}")
    return wanted


def by_target(night: Night, sets: Sequence[ObservationSet], options: Options) -> Iterator[tuple[Work, ...]]:
    """The work on each target, its sets in the order of the instrument's cameras."""
    order = [camera.name for camera in night.instrument.cameras]
    for _, group in groupby(
        sorted(sets, key=lambda s: s.target.casefold()), key=lambda s: s.target.casefold()
    ):
        yield tuple(
            start(night, s, options) for s in sorted(group, key=lambda s: (order.index(s.camera), s.folder))
        )


def start(night: Night, observed: ObservationSet, options: Options) -> Work:
    """The work on one set, before its first stage."""
    instrument = night.instrument
    mode = options.filter_ or instrument.pixel_filter.for_exposure(observed.exposure)
    coordinates, why = target_coordinates(observed, options)
    setup = Setup(instrument, filter_mode=mode, coordinates=coordinates, coordinates_why=why)
    asked = (
        "as --filter asks"
        if options.filter_
        else f"{instrument.name}'s rule for {observed.exposure:g} exposures"
    )
    result = SetResult(
        observed,
        pixel_scale=instrument.pixel_scale(observed.frames[0]),
        choices=(Choice("3x3 filter", mode, f"{asked}; on science, darks and flats alike"),),
    )
    return Work(observed, setup, result)


def target_coordinates(observed: ObservationSet, options: Options) -> tuple[SkyCoord | None, str]:
    """Where the target is, ICRS, and where that is known from."""
    if options.radec is not None:
        return parse_radec(options.radec), "the coordinates given with --radec"
    known = [info.pointing for info in observed.frames if info.pointing is not None]
    if not known:
        return None, ""
    middle = known[len(known) // 2]
    where = middle.to_string("hmsdms", precision=0)
    return (
        middle,
        f"the headers' pointing, {where}, which may be minutes of arc off the target: up to 0.1 s each",
    )


def parse_radec(text: str) -> SkyCoord:
    """Coordinates in degrees or sexagesimal (hours, degrees).

    Raises
    ------
    UsageError
        They are neither.
    """
    words = text.replace(",", " ").split()
    try:
        if len(words) == 2 and not any(":" in w or "h" in w for w in words):
            return SkyCoord(float(words[0]), float(words[1]), unit="deg")
        return SkyCoord(" ".join(words), unit=("hourangle", "deg"))
    except ValueError as error:
        raise UsageError(
            f"--radec {text!r}: give 'HH:MM:SS.S +DD:MM:SS' or degrees, 'RA DEC' ({error})"
        ) from error


def run_recipe(recipe: Recipe, works: tuple[Work, ...], runner: Runner) -> tuple[Work, ...]:
    """All stages over the sets of one target; a set that fails is left behind with its reason."""
    for per, group in groupby(recipe.stages, key=lambda stage: stage.per):
        stages = tuple(group)
        if per == "frame":
            works = tuple(w if w.failed else measure(w, stages, runner) for w in works)
            continue
        for stage in stages:
            works = (
                apply_to_target(stage, works, runner)
                if per == "target"
                else tuple(w if w.failed else apply_to_set(stage, w, runner) for w in works)
            )
    return works


def apply_to_set(stage: Any, work: Work, runner: Runner) -> Work:
    """One stage on one set."""
    name = type(stage).__name__
    try:
        with runner.timed(name):
            return stage(work, runner)
    except UsageError:
        raise
    except ReductionError as error:
        log.warning("%s: %s: %s", work.observed.name, name, error)
        return work.found(problems=[Problem(work.observed.name, name, str(error))]).with_(failed=True)


def apply_to_target(stage: Any, works: tuple[Work, ...], runner: Runner) -> tuple[Work, ...]:
    """One stage on all sets of a target that have come so far."""
    alive = tuple(work for work in works if not work.failed)
    if not alive:
        return works
    with runner.timed(type(stage).__name__):
        done = dict(zip((id(work) for work in alive), stage(alive, runner), strict=True))
    return tuple(done.get(id(work), work) for work in works)


def measure(work: Work, stages: Sequence[FrameStage], runner: Runner) -> Work:
    """The frame stages over all frames of a set."""
    outcomes = runner.run_frames(work.observed.frames, stages, work.setup, what=work.observed.name)
    problems = [Problem(o.info.label, o.stage, o.reason) for o in outcomes if o.reason]
    return work.with_(outcomes=tuple(outcomes)).found(problems=problems)


def statuses(night: Night, works: Sequence[Work]) -> dict[str, tuple[str, str]]:
    """What became of each raw file, where it is more than the night already knew."""
    found: dict[str, tuple[str, str]] = {}
    names = {(row.info.path, row.info.plane): row.file for row in night.rows if row.info is not None}
    for work in works:
        for problem in work.result.problems:
            if problem.stage.startswith("master"):
                for row in night.rows:
                    if row.info is not None and row.info.label == problem.what:
                        found[row.file] = ("refused", problem.why)
        series = work.result.series
        flagged = (
            dict(zip(series.frames, zip(series.flags, series.reasons, strict=True), strict=True))
            if series
            else {}
        )
        for outcome in work.outcomes:
            file = names[outcome.info.path, outcome.info.plane]
            bits, reason = flagged.get(outcome.info.label, (0, outcome.reason))
            if outcome.refused:
                found[file] = ("refused", outcome.reason)
            elif bits or outcome.reason:
                found[file] = ("flagged", reason or str(FrameFlag(int(bits))))
            else:
                found[file] = ("measured", "")
    return found


@dataclass
class Runner:
    """Lends stages the output folder, the options and the workers; keeps the time.

    Attributes
    ----------
    executor : Executor or None
        None: everything in this process.
    seconds : dict of str to float
        Processor seconds in frame stages, wall-clock seconds in the others.
    """

    output: Output
    options: Options
    progress: Progress
    executor: Executor | None = None
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    jobs_sent: int = 0
    job: tuple[Setup, tuple[FrameStage, ...], Path] | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.output.root / ".work", ignore_errors=True)

    def run_frames(
        self, infos: Sequence[FrameInfo], stages: Sequence[FrameStage], setup: Setup, *, what: str
    ) -> list[FrameOutcome]:
        """Run stages over frames; failures are outcomes, not exceptions."""
        if what:
            self.progress.begin(what, len(infos))
        outcomes = []
        for outcome in self.outcomes(infos, tuple(stages), setup):
            outcomes.append(outcome)
            log.debug("%s: %s", outcome.info.label, outcome.reason or "done")
            if outcome.trace:
                log.error("%s: %s\n%s", outcome.info.label, outcome.stage, outcome.trace)
            for stage, seconds in outcome.results.get("seconds", {}).items():
                self.seconds[stage] += seconds
            if what:
                self.progress.step()
        if what:
            self.progress.end()
        return outcomes

    def outcomes(
        self, infos: Sequence[FrameInfo], stages: tuple[FrameStage, ...], setup: Setup
    ) -> Iterator[FrameOutcome]:
        """The outcomes in the order of the frames, from the workers where that is worth while."""
        if self.executor is None or len(infos) < 2:
            yield from (run_frame(info, stages, setup) for info in infos)
            return
        job = self.job_for(stages, setup)
        try:
            yield from self.executor.map(run_frame_of_job, infos, [str(job)] * len(infos), chunksize=1)
        except BrokenExecutor as error:
            raise ReductionError(
                "a worker process was killed, most likely for want of memory; run again with --jobs 1"
            ) from error

    def job_for(self, stages: tuple[FrameStage, ...], setup: Setup) -> Path:
        """The file from which workers read what their frames share; written once for as long as it serves."""
        if self.job is None or self.job[0] is not setup or self.job[1] != stages:
            if self.job is not None:
                self.job[2].unlink()
            self.jobs_sent += 1
            content = pickle.dumps((stages, setup), protocol=5)
            self.job = setup, stages, self.output.write_bytes(f".work/{self.jobs_sent}.pickle", content)
        return self.job[2]

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - begun


@contextmanager
def workers(options: Options, frames: int) -> Iterator[Executor | None]:
    """A pool of single-threaded processes; None where one process does."""
    count = min(options.jobs or os.cpu_count() or 1, frames // FRAMES_WORTH_A_WORKER)
    if count <= 1:
        yield None
        return
    with (
        single_threaded(),
        ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        yield pool


@contextmanager
def single_threaded() -> Iterator[None]:
    """Keep the numerical libraries of processes started meanwhile to one thread each."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run_frame_of_job(info: FrameInfo, job: str) -> FrameOutcome:
    """`run_frame` in a worker, which reads what its frames share once."""
    return run_frame(info, *shared(job))


@lru_cache(maxsize=1)
def shared(job: str) -> tuple[tuple[FrameStage, ...], Setup]:
    """The stages and the setup of a job, from the file that the pipeline wrote."""
    return pickle.loads(Path(job).read_bytes())


def run_frame(info: FrameInfo, stages: tuple[FrameStage, ...], setup: Setup) -> FrameOutcome:
    """All stages on one frame: the one place where a frame's failure is caught."""
    frame: Any = info
    seconds: dict[str, float] = {}
    name = ""
    try:
        for stage in stages:
            name, begun = type(stage).__name__, time.process_time()
            frame = stage(frame, setup)
            seconds[name] = time.process_time() - begun
    except FrameError as error:
        return FrameOutcome(
            info, {"seconds": seconds}, name, with_folder(info.label, str(error)), refused=True
        )
    except RegistrationError as error:
        return FrameOutcome(info, {"seconds": seconds}, name, f"{info.label}: {error}")
    except Exception as error:  # noqa: BLE001  (the one place; the cause is recorded and shows in the exit status)
        reason = f"{info.label}: {type(error).__name__}: {error}"
        return FrameOutcome(info, {"seconds": seconds}, name, reason, trace=traceback.format_exc())
    results = {
        key: value
        for key, value in frame.results.items()
        if key != "stars" or "transform" not in frame.results
    }
    return FrameOutcome(info, {**results, "seconds": seconds})
