"""How time and memory grow: with the frames, with the stars, and with the workers.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [--short]

A slope is that of the logarithm of the time against the logarithm of the number: 1 is linear.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from against import CALIBRATION

from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.plugins import load_plugins
from potpyri_like.primitives import ChooseReference, MakeMasters, Measure, Register
from potpyri_like.run.observations import start
from potpyri_like.run.progress import Silent
from potpyri_like.run.runner import Runner
from potpyri_like.run.workers import Pool
from potpyri_like.store import Output
from potpyri_like.testing import NightPlan, simulate_night

SIZE, DISTINCT = 2048, 8
FRAMES = (50, 200, 800, 3200)
STARS = (20, 200, 2000)
STAGES = (*CALIBRATION, Register(), Measure())


@dataclass(frozen=True)
class Point:
    """Frames, stars and workers; seconds that all frames took, and the most memory of a worker, MB."""

    frames: int
    stars: int
    workers: int
    seconds: float
    megabytes: float


def main() -> int:
    """Print the points and the slopes."""
    short = "--short" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        for line in report(*measured(Path(folder), frames=FRAMES[:2] if short else FRAMES)):
            print(line)
    return 0


def report(
    by_frames: Sequence[Point], by_stars: Sequence[Point], by_workers: Sequence[Point]
) -> Iterator[str]:
    """The points and slopes in Markdown."""
    yield "| frames | stars | workers | ms per frame | frames/s | memory of a worker |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for p in (*by_frames, *by_stars, *by_workers):
        each = p.seconds / p.frames
        yield f"| {p.frames} | {p.stars} | {p.workers} | {1e3 * each:.0f} | {1 / each:.1f} | {p.megabytes:.0f} MB |"
    one, two = by_workers
    yield ""
    yield f"- slope of the time with the frames: {slope([p.frames for p in by_frames], by_frames):.2f}"
    yield f"- slope of the time with the stars: {slope([p.stars for p in by_stars], by_stars):.2f}"
    yield f"- two workers against one: {one.seconds / two.seconds:.2f} times the frames per second"


def slope(numbers: Sequence[int], points: Sequence[Point]) -> float:
    """Of log(seconds) against log(number)."""
    return float(np.polyfit(np.log(numbers), np.log([p.seconds for p in points]), 1)[0])


def measured(folder: Path, *, frames: Sequence[int]) -> tuple[list[Point], list[Point], list[Point]]:
    """Over frames, over stars, over workers."""
    instrument = load_plugins()["OPTICAM"]
    plan = NightPlan(
        frames=DISTINCT, size=(SIZE, SIZE), cameras=("C1",), stars=2600, darks=3, flats=3, flip=None
    )
    simulate_night(instrument, folder, plan)
    by_frames = [in_child(folder, count, 150, 1) for count in frames]
    by_stars = [in_child(folder, 60, stars, 1) for stars in STARS]
    by_workers = [in_child(folder, 200, 150, workers) for workers in (1, 2)]
    return by_frames, by_stars, by_workers


def in_child(folder: Path, frames: int, stars: int, workers: int) -> Point:
    """One point, in a process of its own, whose workers' memory is theirs alone."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(point, folder, frames, stars, workers).result()


def point(folder: Path, frames: int, stars: int, workers: int) -> Point:
    """So many frames through a pool of so many workers."""
    output = Output(folder / "red")
    output.make()
    night = scan(folder, load_plugins()["OPTICAM"])
    work = start(night, night.sets()[0], Options())
    pool = Pool(workers)
    with Runner(output, Options(stars=stars), Silent(), pool) as runner:
        for stage in (MakeMasters(), ChooseReference(CALIBRATION)):
            work = stage(work, runner)
        infos = (work.observed.frames * (frames // DISTINCT + 1))[:frames]
        runner.run_frames(
            infos[: 4 * workers], STAGES, work.setup, what=""
        )  # the workers are there, and warm
        begun = time.perf_counter()
        outcomes = runner.run_frames(infos, STAGES, work.setup, what="")
        seconds = time.perf_counter() - begun
        assert not any(outcome.reason for outcome in outcomes)
    pool.shutdown()
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    assert work.setup.reference is not None
    return Point(frames, len(work.setup.reference.xy), workers, seconds, memory)


if __name__ == "__main__":
    sys.exit(main())
