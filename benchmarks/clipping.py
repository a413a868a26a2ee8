"""What a clipped mean makes of a few bad values among few frames, and what it costs where none is bad.

python benchmarks/clipping.py [SEEDS]

For each number of frames: the bias of the mean where one or two values are too high, over the error of the mean of the
good ones, for values off by 8, 12 and 100 standard deviations, at single pixels and in whole frames; and the variance
of the plain mean over that of the clipped mean where no value is bad (the efficiency). Then the efficiency where the
noise is that of photons, with a declared gain that is right, half or twice the true one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from potpyri_like.imaging import Noise, combine

FRAMES = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 20, 25, 30)
OFF = (8.0, 12.0, 100.0)  # standard deviations
SHAPE = (64, 64)
HIT = 0.05  # of the pixels, where single ones are bad
LEVEL, SIGMA = 1000.0, 10.0
MOST_BIAS, LEAST_EFFICIENCY = 0.3, 0.95


def cases(frames: tuple[int, ...] = FRAMES) -> Iterator[tuple[int, int]]:
    """Numbers of frames and of bad ones among them."""
    for n in frames:
        yield from [(n, 1)] if n < 5 else [(n, 1), (n, 2)]


def clipped(stack: np.ndarray, noise: Noise | None = None) -> np.ndarray:
    return combine(stack, method="clipped mean", noise=noise).value.astype(float)


def bias(n: int, bad: int, off: float, *, whole: bool, seeds: int) -> float:
    """The mean error of the clipped mean where values are bad, over the standard error of the good ones' mean."""
    errors = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        stack = rng.normal(LEVEL, SIGMA, (n, *SHAPE)).astype(np.float32)
        hit = np.ones(SHAPE, bool) if whole else rng.random(SHAPE) < HIT
        which = rng.permutation(n) if whole else rng.random(stack.shape).argsort(axis=0)
        stack += np.float32(off * SIGMA) * (hit & (which.reshape(n, *which.shape[1:] or (1, 1)) < bad))
        errors.append(np.mean(clipped(stack)[hit] - LEVEL))
    return float(np.mean(errors)) / (SIGMA / np.sqrt(n - bad))


def efficiency(n: int, *, seeds: int) -> float:
    """The variance of the plain mean over that of the clipped one, where no value is bad."""
    plain, ours = [], []
    for seed in range(seeds):
        stack = np.random.default_rng(seed).normal(LEVEL, SIGMA, (n, *SHAPE)).astype(np.float32)
        plain.append(np.mean(np.square(stack.mean(axis=0, dtype=float) - LEVEL)))
        ours.append(np.mean(np.square(clipped(stack) - LEVEL)))
    return float(np.mean(plain) / np.mean(ours))


def efficiency_with_photons(n: int, declared: float, *, seeds: int) -> float:
    """The same for pixels of very different levels, with photon noise; `declared` is the gain in units of the true one.

    Each pixel's error counts in units of its own noise.
    """
    plain, ours = [], []
    level = np.geomspace(1, 3e4, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    deviation = np.sqrt(25 + level)
    noise = Noise(np.full(n, 25.0), np.ones(n))  # as if the electrons were true ones
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        stack = rng.poisson(level, (n, *SHAPE)) + rng.normal(0, 5, (n, *SHAPE))
        plain.append(np.mean(np.square((stack.mean(axis=0) - level) / deviation)))
        found = clipped((stack * declared).astype(np.float32), noise) / declared
        ours.append(np.mean(np.square((found - level) / deviation)))
    return float(np.mean(plain) / np.mean(ours))


def main(seeds: int = 200) -> int:
    good = True
    print(
        f"{seeds} seeds; bias / error of the good values' mean (at most {MOST_BIAS}), at 8, 12 and 100 sigma"
    )
    print("frames  bad    single pixels             whole frames              efficiency")
    for n, bad in cases():
        biases = [bias(n, bad, off, whole=whole, seeds=seeds) for whole in (False, True) for off in OFF]
        clean = efficiency(n, seeds=seeds)
        fine = max(np.abs(biases)) < MOST_BIAS and clean > LEAST_EFFICIENCY
        words = ["  ".join(f"{value:+.3f}" for value in part) for part in (biases[:3], biases[3:])]
        print(
            f"{n:6d} {bad:4d}    {words[0]}    {words[1]}    {clean:.3f}   {'ok' if fine else 'MISSED'}",
            flush=True,
        )
        good &= fine
    print("\nefficiency with photon noise, declared gain / true gain of 1/2, 1, 2")
    for n in (3, 4, 5, 10, 30):
        values = [efficiency_with_photons(n, gain, seeds=max(seeds // 10, 1)) for gain in (0.5, 1, 2)]
        print(f"{n:6d}         " + "  ".join(f"{value:.3f}" for value in values), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main(*(int(word) for word in sys.argv[1:])))
