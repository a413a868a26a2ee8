"""Milliseconds per step of the hot path, and ratios against photutils in the same run.

    OMP_NUM_THREADS=1 python benchmarks/photometry.py

A frame of 2048 x 2048 pixels with 150 stars and 20 apertures; best of several rounds. Ratios travel between
machines, milliseconds do not.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
from photutils.aperture import CircularAperture, aperture_photometry
from photutils.detection import DAOStarFinder
from scipy.special import erf

from potpyri_like.astrometry.matching import match_stars
from potpyri_like.astrometry.transform import Transform
from potpyri_like.photometry.apertures import aperture_sums
from potpyri_like.photometry.centroids import refine_positions
from potpyri_like.photometry.detect import detect_stars, frame_fwhm
from potpyri_like.photometry.glance import brightest, glance, stars_at
from potpyri_like.photometry.measure import annulus_sky, aperture_flags, measure_stars

SIZE, STARS, RADII = 2048, 150, 20
SKY, READ_NOISE = 200.0, 5.0


def star_field(fwhm: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A noisy frame of Gaussian stars, and where they are."""
    clean, half = np.full((SIZE, SIZE), SKY), int(4 * fwhm) + 2
    xy = rng.uniform(100, SIZE - 101, (STARS, 2))
    for (x, y), flux in zip(xy, 10 ** rng.uniform(4, 6, STARS), strict=True):
        column, row = int(x), int(y)
        edges = np.arange(-half, half + 2) - 0.5
        root = fwhm / np.sqrt(4 * np.log(2))
        across, along = (np.diff(erf((edges - c) / root)) / 2 for c in (y - row, x - column))
        tile = np.s_[row - half : row + half + 1, column - half : column + half + 1]
        clean[tile] += flux * np.outer(across, along)
    return (rng.poisson(clean) + rng.normal(0, READ_NOISE, clean.shape)).astype(np.float32), xy


def best(work: Callable, *, rounds: int = 7) -> float:
    """Milliseconds of the fastest round."""
    times = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return 1e3 * min(times)


def steps(image: np.ndarray, xy: np.ndarray, fwhm: float) -> dict[str, Callable]:
    """The steps of the hot path, by name."""
    variance, mask = np.abs(image) + READ_NOISE**2, np.zeros(image.shape, np.uint16)
    radii, (inner, outer) = np.linspace(0.5, 2.5, RADII) * fwhm, (max(12, 3 * fwhm), max(30, 6 * fwhm))
    stars = detect_stars(image)
    look = glance(image, fwhm=fwhm)
    shifted, first = Transform(np.eye(2), np.array([9.0, -4.0])), stars.take(slice(25))
    settings = {"fwhm": fwhm, "radii": radii, "annulus": (inner, outer), "recentre": 3}
    return {
        "detect": lambda: detect_stars(image),
        "the brightest peaks instead": lambda: brightest(glance(image, fwhm=fwhm), fwhm=fwhm, count=40),
        "the stars where they must be": lambda: stars_at(look, first.xy, fwhm=fwhm, max_shift=3),
        "match": lambda: match_stars(first.xy, shifted(first.xy)),
        "fwhm": lambda: frame_fwhm(image, *first.xy[:20].T, sky=SKY, binning=max(1, int(fwhm / 4))),
        "centroid": lambda: refine_positions(image, xy, fwhm=fwhm, max_shift=3),
        "sky": lambda: annulus_sky(image, xy, inner=inner, outer=outer, mask=mask),
        "apertures": lambda: aperture_sums(image, variance, xy, radii),
        "flags": lambda: aperture_flags(mask, xy, radii[-1]),
        "measure_stars, the last four": lambda: measure_stars(image, variance, mask, xy, **settings),
    }


def photutils_steps(image: np.ndarray, xy: np.ndarray, fwhm: float) -> dict[str, Callable]:
    """The same work by photutils, for the steps where that is possible."""
    error = np.sqrt(np.abs(image) + READ_NOISE**2)
    apertures = [CircularAperture(xy, radius) for radius in np.linspace(0.5, 2.5, RADII) * fwhm]
    finder = DAOStarFinder(threshold=5 * float(np.sqrt(SKY + READ_NOISE**2)), fwhm=fwhm)
    return {
        "detect": lambda: finder(image - np.float32(SKY)),
        "apertures": lambda: aperture_photometry(image, apertures, error=error),
    }


def main() -> None:
    """Print a table for two samplings."""
    rng = np.random.default_rng(1)
    for fwhm in (3.0, 10.0):
        image, xy = star_field(fwhm, rng)
        theirs = photutils_steps(image, xy, fwhm)
        print(f"FWHM {fwhm:g} px: {SIZE} x {SIZE}, {STARS} stars, {RADII} apertures")
        for name, work in steps(image, xy, fwhm).items():
            ours = best(work)
            line = f"  {name:32s}{ours:8.1f} ms"
            if name in theirs:
                other = best(theirs[name], rounds=3)
                line += f"   photutils {other:8.1f} ms, ratio {other / ours:.1f}"
            print(line)


if __name__ == "__main__":
    main()
