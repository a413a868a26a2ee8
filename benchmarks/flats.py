"""Which of several twilight flats have a gradient, by name, and whether good ones are left alone.

python benchmarks/flats.py [SEEDS]

Nine flats of one twilight: their level falls by a factor of four, stars cross them, and the gradient of the sky
changes from one to the next by some tenths of a percent. One to four of them get a gradient besides, of 2, 5 or 10 %
from one edge to the other or to both sides of the middle, all in one direction or each in its own. For each: by how
much the mean of all would be off, in how many of the nights where that is more than 0.5 % not all of those were named,
how many good flats were named with them, and by how much the mean of the others is off at most. Then the same without
any gradient, and how many of those nights were called doubtful.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from potpyri_like.imaging import sample_frame
from potpyri_like.primitives.odd_frames import judge

FLATS, SIZE = 9, 192
GRADIENTS, ODD = (0.02, 0.05, 0.10), (1, 2, 3, 4)
MATTERS = 0.005  # by which a master is off that has to be noticed
NATURAL = 0.002  # scatter of the gradients of good flats, from the middle to the edge
STARS, FWHM = 25, 4.0


class Trial(NamedTuple):
    """What became of one night's flats.

    Attributes
    ----------
    off : float
        By how much the mean of all flats is off, at most.
    missed : int
        Flats with a gradient that were not named.
    wrong : int
        Good flats that were named.
    left : float
        By how much the mean of those that are combined is off.
    doubtful : bool
        Whether the master was called doubtful.
    """

    off: float
    missed: int
    wrong: int
    left: float
    doubtful: bool


def twilight(rng: np.random.Generator, tilts: np.ndarray, *, natural: float = NATURAL) -> np.ndarray:
    """Flats of one twilight over their levels, shape (n, SIZE, SIZE), with gradients of those amplitudes in x and y."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    detector = 1 - 0.2 * (x**2 + y**2) / 2 + 0.01 * rng.standard_normal((SIZE, SIZE))
    drift, levels = rng.normal(0, natural, 2), np.geomspace(40000, 10000, len(tilts))
    flats = []
    for i, (level, tilt) in enumerate(zip(levels, tilts, strict=True)):
        of_sky = drift * (2 * i / len(tilts) - 1) + rng.normal(0, natural / 2, 2)
        sky = 1 + of_sky[0] * x + of_sky[1] * y
        lit = level * detector * sky * (1 + tilt[0] * x + tilt[1] * y) + stars(rng) * detector
        made = rng.normal(lit, np.sqrt(lit + 36))
        flats.append(made / np.median(made))
    return np.array(flats)


def stars(rng: np.random.Generator) -> np.ndarray:
    """Stars anywhere, a few of them as bright as twilight, electron."""
    image, sigma = np.zeros((SIZE, SIZE)), FWHM / 2.3548
    y, x = np.mgrid[:SIZE, :SIZE]
    for place, peak in zip(
        rng.uniform(0, SIZE, (STARS, 2)), 300 * rng.pareto(1, STARS).clip(0, 200), strict=True
    ):
        image += peak * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * sigma**2))
    return image


def tilts_of(
    rng: np.random.Generator, number: int, gradient: float, *, both: bool, together: bool
) -> np.ndarray:
    """The gradient of each flat in x and y, from the middle to the edge; of `number` of them not zero."""
    amplitude = gradient if both else gradient / 2
    angles = np.full(FLATS, rng.uniform(0, 2 * np.pi)) if together else rng.uniform(0, 2 * np.pi, FLATS)
    odd = rng.permutation(FLATS) < number
    return amplitude * np.column_stack([np.cos(angles), np.sin(angles)]) * odd[:, None]


def off_by(tilts: np.ndarray) -> float:
    """By how much the mean of flats with these gradients is off at the edge."""
    return float(np.hypot(*tilts.mean(axis=0)))


def trial(seed: int, number: int, gradient: float, *, both: bool = True, together: bool = True) -> Trial:
    """One night."""
    rng = np.random.default_rng(seed)
    tilts = tilts_of(rng, number, gradient, both=both, together=together)
    flats = twilight(rng, tilts)
    found = judge(
        "flat",
        [
            sample_frame(flat, float(np.median(flat)) / level)
            for flat, level in zip(flats, levels(), strict=True)
        ],
        list(levels()),
        has_bias=True,
    )
    odd = {i for i in range(FLATS) if tilts[i].any()}
    named = set(found.rejected)
    kept = [i for i in range(FLATS) if i not in named]
    return Trial(
        off_by(tilts),
        len(odd - named),
        len(named - odd),
        off_by(tilts[kept]) if kept else 1.0,
        bool(found.doubts),
    )


def levels() -> np.ndarray:
    """Of the flats, electron."""
    return np.geomspace(40000, 10000, FLATS)


def kinds() -> Iterator[tuple[int, float, bool, bool]]:
    """Flats with a gradient, which, to both sides of the middle or from edge to edge, in one direction or not."""
    for gradient in GRADIENTS:
        for number in ODD:
            for both in (True, False):
                for together in (True, False):
                    yield number, gradient, both, together


def main(seeds: int = 50) -> None:
    """Print the table."""
    print(
        "gradient  flats  direction  mean off   nights that matter, missed in   good ones named   left, at most"
    )
    for number, gradient, both, together in kinds():
        trials = [trial(seed, number, gradient, both=both, together=together) for seed in range(seeds)]
        matter = [t for t in trials if t.off > MATTERS]
        print(
            f"{'+-' if both else '  '}{100 * gradient:4.0f} %  {number:5d}  {'one' if together else 'each its own':12s}"
            f"{100 * np.mean([t.off for t in trials]):7.2f} %  {len(matter):8d} {sum(t.missed > 0 for t in matter):12d}"
            f"  {sum(t.wrong for t in trials):20d}  {100 * max(t.left for t in trials):14.2f} %"
        )
    good = [trial(1000 + seed, 0, 0.0) for seed in range(seeds)]
    print(
        f"no gradient: {sum(t.wrong for t in good)} good flats named, {sum(t.doubtful for t in good)} nights doubtful,"
        f" of {seeds}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
