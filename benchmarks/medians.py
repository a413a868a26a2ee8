"""How fast, how exact and how frugal the medians are, beside the libraries everybody uses.

Run ``python benchmarks/medians.py``. The contenders take turns within each round, so that a busy
machine slows both; the ratio is the median over the rounds. With bottleneck installed ccdproc is
about twice as fast.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
import tracemalloc
import warnings
from collections.abc import Callable
from statistics import median as middle

import ccdproc
import numpy as np
from astropy.nddata import CCDData
from scipy.ndimage import median_filter

from potpyri_like.imaging import median, median3x3

SHAPE = (2048, 2048)
FRAMES = 20


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> tuple[float, float, float]:
    """Median seconds of both and median ratio of interleaved rounds; ours is warmed up first."""
    ours()
    times = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return middle(a for a, _ in times), middle(b for _, b in times), middle(b / a for a, b in times)


def extra_megabytes(call: Callable[[], object]) -> float:
    """The most memory allocated during the call, its result included."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def row(what: str, found: str, demanded: str, good: bool) -> bool:
    print(f"{what:<58}{found:>22}{demanded:>12}   {'' if not demanded else 'ok' if good else 'MISSED'}")
    return good


def filter_rows(image: np.ndarray, demanded: float, rounds: int) -> bool:
    kind = image.dtype.name
    ours, theirs = median3x3(image), median_filter(image, size=3, mode="reflect")
    same = row(
        f"3x3 median, {kind}: equal to scipy",
        str(ours.tobytes() == theirs.tobytes()),
        "True",
        np.array_equal(ours, theirs),
    )
    mine, other, ratio = compare(
        lambda: median3x3(image), lambda: median_filter(image, size=3, mode="reflect"), rounds
    )
    found = f"{1e3 * mine:.1f} / {1e3 * other:.0f} ms: {ratio:.0f} x"
    return row(f"3x3 median, {kind}: against scipy", found, f"{demanded:.0f} x", ratio >= demanded) and same


def stack_rows(frames: list[np.ndarray], demanded: float, rounds: int) -> bool:
    ccds = [CCDData(frame, unit="adu") for frame in frames]

    def theirs() -> np.ndarray:
        return ccdproc.combine(ccds, method="median").data

    same = row(f"median of {FRAMES}: equal to np.median", *equal_to_numpy(frames))
    mine, other, ratio = compare(lambda: median(frames), theirs, rounds)
    fast = row(
        f"median of {FRAMES}: against ccdproc.combine",
        f"{1e3 * mine:.0f} / {1e3 * other:.0f} ms: {ratio:.0f} x", f"{demanded:.0f} x", ratio >= demanded,
    )  # fmt: skip
    memory = extra_megabytes(lambda: median(frames))
    small = row(f"median of {FRAMES}: memory beyond the inputs", f"{memory:.0f} MB", "100 MB", memory < 100)
    row("   (ccdproc.combine)", f"{extra_megabytes(theirs):.0f} MB", "", True)
    return same and fast and small


def equal_to_numpy(frames: list[np.ndarray]) -> tuple[str, str, bool]:
    same = np.array_equal(median(frames), np.median(frames, axis=0).astype(np.float32))
    return str(same), "True", same


def main() -> int:
    rng = np.random.default_rng(1)
    frames = [rng.poisson(300, SHAPE).astype(np.uint16) for _ in range(FRAMES)]
    print(f"{f'{SHAPE[0]} x {SHAPE[1]} pixels':<58}{'ours / theirs':>22}{'demanded':>12}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries
        done = [
            filter_rows(frames[0], 15, rounds=7),
            filter_rows(frames[0].astype(np.float32), 15, rounds=5),
            stack_rows(frames, 30, rounds=3),
        ]
    return 0 if all(done) else 1


if __name__ == "__main__":
    raise SystemExit(main())
