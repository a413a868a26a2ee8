"""The per-frame path of `timeseries` on 2048 x 2048 frames: milliseconds and share of each stage, and memory.

Read, calibrate (dark and flat), filter, register, measure 150 stars in 20 apertures, on one core. Processor time, so
that a busy machine disturbs little; the demanded figure is for an idle one.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import resource
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.pipeline import Runner, Silent, run_frame, start
from potpyri_like.primitives import (
    Calibrate,
    ChooseReference,
    HotPixels,
    MakeMasters,
    Measure,
    Register,
    Trim,
)
from potpyri_like.registry import load_registry
from potpyri_like.store import Output
from potpyri_like.testing import NightPlan, simulate_night

FRAMES, ROUNDS = 8, 3
DEMANDED_MS, DEMANDED_MB = 150, 600


def main() -> None:
    instrument = load_registry()["OPTICAM"]
    plan = NightPlan(
        frames=FRAMES, size=(2048, 2048), cameras=("C1",), stars=220, darks=3, flats=3, flip=None
    )
    with tempfile.TemporaryDirectory() as folder:
        simulate_night(instrument, Path(folder), plan)
        seconds, stars = time_stages(instrument, Path(folder))
    total = 1000 * sum(np.median(values) for values in seconds.values())
    print(
        f"per frame, 2048 x 2048 uint16, {stars} stars x 20 apertures, one core, median of {FRAMES * ROUNDS}"
    )
    for stage, values in seconds.items():
        milliseconds = 1000 * np.median(values)
        print(f"  {stage:<10} {milliseconds:7.1f} ms  {milliseconds / total:5.0%}")
    print(f"  {'all':<10} {total:7.1f} ms         demanded: {DEMANDED_MS} ms or less on an idle machine")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"  resident memory, simulation included: {peak:.0f} MB; demanded of a worker: under {DEMANDED_MB} MB"
    )


def time_stages(instrument, folder: Path) -> tuple[dict[str, list[float]], int]:
    """Processor seconds of each stage on each frame, and the number of stars."""
    output = Output(folder / "red")
    output.make()
    night = scan(folder, instrument)
    runner = Runner(output, Options(), Silent())
    calibration = (Trim(), HotPixels(), Calibrate())
    work = start(night, night.sets()[0], Options())
    for stage in (MakeMasters(), ChooseReference(calibration)):
        work = stage(work, runner)
    stages = (*calibration, Register(), Measure())
    seconds = defaultdict(list)
    for info in work.observed.frames * ROUNDS:
        outcome = run_frame(info, stages, work.setup)
        assert not outcome.reason, outcome.reason
        for stage, spent in outcome.results["seconds"].items():
            seconds[stage].append(spent)
    return seconds, len(work.setup.reference.xy)


if __name__ == "__main__":
    main()
