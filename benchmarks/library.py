"""Masters that were borrowed from other nights, and whether their errors hold what changed since.

python benchmarks/library.py [NIGHTS]

A library of simulated nights, some days apart: a bias whose level and slope wander, flats that age on large scales,
each with dust of which a grain moves now and then. Each night is left out in turn, the master nearest to it is taken,
and compared with the true one of the night. Shown for each kind: the part of the pixels whose error covers the truth,
the median over nights and the quarters of them (of errors that are right and independent it is 68 %), the same without
what age adds, and the pulls. Then: whether a jump in the middle of the library, and a single bad night, are reported.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np

from potpyri_like.frame import Pixels
from potpyri_like.imaging import drift_variance, verdicts

SIZE = 128
READ_NOISE, BIASES = 6.0, 10  # electron, frames
FLAT_NOISE = 0.003  # of a master flat
COMPARED = 6  # masters that show how they change


class Library(NamedTuple):
    """The true masters of some nights, and those made of their frames."""

    days: np.ndarray
    truth: np.ndarray
    masters: list[Pixels]


def wandering(rng: np.random.Generator, days: np.ndarray, per_day: float) -> np.ndarray:
    """A random walk, of so much in a day."""
    steps = rng.normal(0, per_day, days.size) * np.sqrt(np.diff(days, prepend=days[0]))
    return np.cumsum(steps)


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Coordinates from -1 to 1."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    return x, y


def observed(rng: np.random.Generator, days: np.ndarray, truth: np.ndarray, noise: float) -> Library:
    masters = [
        Pixels(
            (one + rng.normal(0, noise, one.shape)).astype(np.float32),
            np.full(one.shape, noise**2, np.float32),
            np.zeros(one.shape, np.uint16),
        )
        for one in truth
    ]
    return Library(days, truth, masters)


def biases(seed: int, nights: int) -> Library:
    """Nights whose bias wanders in level by half an electron a day, and in slopes by twice that from edge to edge."""
    rng = np.random.default_rng(seed)
    days, (x, y) = np.cumsum(rng.integers(1, 8, nights)).astype(float), grid()
    fixed = 390 + rng.normal(0, 2, (SIZE, SIZE))
    parts = [wandering(rng, days, 0.5) for _ in range(3)]
    truth = np.array([fixed + a + b * x + c * y for a, b, c in zip(*parts, strict=True)])
    return observed(rng, days, truth, READ_NOISE / np.sqrt(BIASES))


def flats(seed: int, nights: int) -> Library:
    """Nights whose flat ages by two tenths of a percent a day, with dust of which a grain moves each fifth night."""
    rng = np.random.default_rng(seed)
    days, (x, y) = np.cumsum(rng.integers(1, 8, nights)).astype(float), grid()
    fixed = 1 + rng.normal(0, 0.01, (SIZE, SIZE)) - 0.1 * (x**2 + y**2)
    parts = [wandering(rng, days, 0.002) for _ in range(3)]
    places, truth = rng.uniform(-1, 1, (6, 2)), []
    for i in range(nights):
        if rng.random() < 0.2:
            places[rng.integers(6)] = rng.uniform(-1, 1, 2)
        dust = sum(np.exp(-(((np.hypot(x - a, y - b) - 0.1) / 0.03) ** 2)) for a, b in places)
        a, b, c = (part[i] for part in parts)
        truth.append(fixed + a * x + b * y + c * x * y - 0.03 * dust)
    return observed(rng, days, np.array(truth), FLAT_NOISE)


def borrowed(library: Library, night: int) -> tuple[Pixels, float]:
    """The master nearest to a night among the others, with what its age adds to its variance."""
    others = np.array([i for i in range(len(library.days)) if i != night])
    near = others[np.argsort(np.abs(library.days[others] - library.days[night]), kind="stable")]
    age = float(abs(library.days[near[0]] - library.days[night]))
    more = drift_variance([(float(library.days[i]), library.masters[i]) for i in near[:COMPARED]], age)
    master = library.masters[near[0]]
    return master._replace(variance=master.variance + more), age


def coverage(library: Library) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each night left out: the part of pixels covered, with and without what age adds, and the rms of the pulls."""
    found = []
    for night in range(len(library.days)):
        master, _ = borrowed(library, night)
        off = master.data - library.truth[night]
        plain = np.sqrt(library.masters[0].variance)
        pulls = off / np.sqrt(master.variance)
        found.append((np.mean(np.abs(pulls) < 1), np.mean(np.abs(off) < plain), np.sqrt(np.mean(pulls**2))))
    return tuple(np.array(found).T)  # type: ignore[return-value]


def levels(library: Library) -> tuple[np.ndarray, np.ndarray]:
    """The median of each master, and its error."""
    values = np.array([np.median(master.data) for master in library.masters])
    return values, np.array([np.sqrt(np.median(m.variance)) / SIZE for m in library.masters])


def jumps(seed: int, nights: int, *, jump: float = 0.0, bad: float = 0.0) -> tuple[list[int], list[int]]:
    """Nights after which the level is another for good, and nights that contradict their neighbours."""
    library = biases(seed, nights)
    values, errors = levels(library)
    values[nights // 2 :] += jump
    values[nights // 4] += bad
    found = verdicts(library.days, values, errors)
    return [i for i, v in enumerate(found) if v.jumps], [i for i, v in enumerate(found) if not v.agrees]


def main(nights: int = 60) -> None:
    """Print the tables."""
    print("kind    covered, median of nights  (quarters)      without age   rms of pulls, median")
    for name, kind in (("bias", biases), ("flat", flats)):
        with_age, without, rms = coverage(kind(1, nights))
        low, middle, high = np.percentile(with_age, (25, 50, 75))
        print(
            f"{name}   {100 * middle:12.1f} %             ({100 * low:.0f} to {100 * high:.0f} %)"
            f"   {100 * np.median(without):10.1f} %   {np.median(rms):10.2f}"
        )
    seeds = range(50)
    told = [jumps(seed, nights, jump=30.0) for seed in seeds]
    bad = [jumps(seed, nights, bad=30.0) for seed in seeds]
    none = [jumps(seed, nights) for seed in seeds]
    print(
        f"a jump of 30 electron is reported in {sum(nights // 2 in j for j, _ in told)} of {len(seeds)} libraries"
    )
    print(f"one bad night is named in {sum(nights // 4 in b for _, b in bad)}")
    print(f"good nights are named in {sum(set(b) - {nights // 4} != set() for _, b in bad)} of those", end="")
    print(f" and in {sum(bool(b) for _, b in none)} of the same without a bad one")
    print(f"without any, a jump is reported in {sum(bool(j) for j, _ in none)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
