"""The per-frame path of `timeseries` on 2048 x 2048 frames: milliseconds and share of each stage, and memory.

Read, filter, calibrate (dark and flat), register, measure 150 stars in 20 apertures, on one core. Processor time, so
that a busy machine disturbs little; the demanded figure is for an idle one.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from against import CALIBRATION, Bench, prepared

from potpyri_like.primitives import Measure, Register
from potpyri_like.run.jobs import Job
from potpyri_like.run.runner import run_frame

ROUNDS = 3
DEMANDED_MS, DEMANDED_MB = 80, 500
Seconds = Mapping[str, Sequence[float]]


def main() -> None:
    """Print the table and the memory of this process."""
    with tempfile.TemporaryDirectory() as folder:
        bench = prepared(Path(folder))
        for line in table(time_stages(bench)):
            print(line)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(bench.xy)} stars; demanded: {DEMANDED_MS} ms or less on an idle machine")
    print(
        f"resident memory, simulation included: {peak:.0f} MB; demanded of a worker: under {DEMANDED_MB} MB"
    )


def time_stages(bench: Bench) -> Seconds:
    """Processor seconds of each stage on each frame; those of reading are part of Trim's."""
    seconds = defaultdict(list)
    for info in bench.work.observed.frames * ROUNDS:
        outcome = run_frame(info, Job.of((*CALIBRATION, Register(), Measure()), bench.work.setup))
        assert not outcome.reason, outcome.reason
        for stage, spent in outcome.seconds.items():
            seconds[stage].append(spent)
        seconds["reading"].append(outcome.reading.seconds)
    return seconds


def table(seconds: Seconds) -> Iterator[str]:
    """Medians and shares in Markdown."""
    total = sum(median(values) for stage, values in seconds.items() if stage != "reading")
    yield "| stage | ms | share |"
    yield "|---|---:|---:|"
    for stage, values in seconds.items():
        if stage != "reading":
            yield f"| {stage} | {1e3 * median(values):.1f} | {median(values) / total:.0%} |"
    yield f"| all | {1e3 * total:.1f} | |"
    reading = median(seconds["reading"])
    yield f"| of which reading, decoding and SHA-256 | {1e3 * reading:.1f} | {reading / total:.0%} |"


if __name__ == "__main__":
    main()
