"""From measured frames to the fitted transit: how long it takes, and how much memory.

python benchmarks/analysis.py [FRAMES [STARS]]

Three bands of simulated measurements (500 frames, 150 stars, 30 apertures) are gathered, compared, the aperture chosen,
the transit fitted with its baselines and sampled, the noise averaged in time and its budget closed.
"""

import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time

from potpyri_like.astrometry import Transform
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.lightcurves import transit_light_curve
from potpyri_like.night import ObservationSet
from potpyri_like.options import Options
from potpyri_like.photometry import Aperture, Measurement
from potpyri_like.primitives.average_over_time import AverageOverTime
from potpyri_like.primitives.compare_stars import CompareStars
from potpyri_like.primitives.compute_noise_budget import ComputeNoiseBudget
from potpyri_like.primitives.extract_light_curve import ExtractLightCurve
from potpyri_like.primitives.fit_transit import FitTransit
from potpyri_like.primitives.gather_series import GatherSeries
from potpyri_like.primitives.measure import Measure
from potpyri_like.primitives.stage import FrameOutcome, Setup, Work
from potpyri_like.results import Reference, SetResult

HOURS, FWHM = 4.0, 10.0
RADII = tuple(np.round(np.geomspace(0.5, 5, 30), 3))
START = Time(2460729.74, format="jd", scale="utc")


def frame(band: str, number: int, frames: int) -> FrameInfo:
    return FrameInfo(
        path=Path(f"{band}{number:05d}.fits"),
        kind=FrameKind.SCIENCE,
        camera={"g": "C1", "r": "C2", "i": "C3"}[band],
        band=band,
        target="WASP-0",
        binning=(1, 1),
        exposure=20 * u.s,
        mid_time=START + number * HOURS / 24 / frames * u.d,
        shape=(2048, 2048),
    )


def work_of(band: str, frames: int, stars: int, seed: int) -> Work:
    """A set whose frames are measured."""
    rng = np.random.default_rng(seed)
    xy, flux = rng.uniform(200, 1800, (stars, 2)), np.sort(10 ** rng.uniform(4, 6, stars))[::-1]
    infos = tuple(frame(band, n, frames) for n in range(frames))
    days = np.arange(frames) * HOURS / 24 / frames
    dip = transit_light_curve(days, tc=0.08, k=0.1, t14=0.07, b=0.3, u1=0.4, u2=0.25, exposure=20 / 86400)
    growth = 1 - np.exp(-4 * np.log(2) * np.square(RADII))
    area = np.pi * np.square(np.multiply(RADII, FWHM))
    drift = np.cumsum(rng.normal(0, 0.1, (frames, 2)), axis=0)
    outcomes = []
    for n, info in enumerate(infos):
        seen = flux * (1 - 0.02 * n / frames)
        seen[3] *= dip[n]
        variance = seen[:, None] * growth + area * 80
        sums = seen[:, None] * growth + rng.normal(size=variance.shape) * np.sqrt(variance)
        whole = np.ones(stars)
        measured = Measurement(
            xy=xy + drift[n],
            flux=sums,
            flux_err=np.sqrt(variance),
            sky=60 * whole,
            sky_scatter=8 * whole,
            peak=seen / 90,
            flags=np.zeros(stars, int),
        )
        results = {
            "measurement": measured,
            "fwhm": FWHM * (1 + 0.1 * np.cos(n / 40)),
            "ellipticity": 0.05,
            "angle": 10.0,
            "matched": 60,
            "transform": Transform(np.eye(2), drift[n]),
            "pixel_noise": {
                "photons": 1.0,
                "digitisation": 0.1,
                "read-out": 15.0,
                "dark current": 3.0,
                "flat": 1e-6,
            },
        }
        outcomes.append(FrameOutcome(info, results))
    image = np.full((2048, 2048), 60, np.float32)
    reference = Reference(infos[0], image, xy, flux, FWHM, 1.2 * FWHM, "the first")
    observed = ObservationSet("WASP-0", infos[0].camera, band, (1, 1), f"WASP-0/{band}", infos)
    setup = Setup(Opticam(), reference=reference, coordinates=SkyCoord(153.5, 16.05, unit="deg"))
    return Work(observed, setup, SetResult(observed), tuple(outcomes), target_star=3, target_why="simulated")


def main(frames: int = 500, stars: int = 150) -> None:
    works = tuple(work_of(band, frames, stars, seed) for seed, band in enumerate("gri"))
    tools = SimpleNamespace(options=Options(fit="transit"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = 0.0
    stages = (
        GatherSeries(Measure(photometer=Aperture(grid=RADII))),
        CompareStars(),
        ExtractLightCurve(),
        FitTransit(),
        AverageOverTime(),
        ComputeNoiseBudget(),
    )
    for stage in stages:
        begun = time.process_time()
        works = stage(works, tools) if stage.per == "target" else tuple(stage(w, tools) for w in works)
        spent = time.process_time() - begun
        total += spent
        print(f"{type(stage).__name__:<16}{spent:7.1f} s")
    fit = works[0].result.transit
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{'together':<16}{total:7.1f} s of one processor; {peak - before:.0f} MB more than the measurements"
    )
    print(
        f"Tc {fit.tc.value:.5f} +- {fit.tc.plus:.5f}; depths "
        + ", ".join(f"{b.depth.value:.5f}" for b in fit.bands)
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
