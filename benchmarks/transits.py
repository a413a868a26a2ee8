"""Simulated OPTICAM nights of one transit at many signal-to-noise levels: what comes back of it.

python benchmarks/transits.py [NIGHTS [FIRST_SEED]]

Each night has three bands, raw frames, calibrations, drift, a meridian flip, seeing that comes and goes; it is reduced
from its raw files as an observer would. Printed: depth and mid-time against the truth in units of their errors, and
the noise of constant stars against what their errors promise, from one frame to half an hour.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from potpyri_like.options import Options
from potpyri_like.plugins import load_plugins
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.testing import NightPlan, simulate_night

FLUX = 6_000.0, 40_000.0  # electron/s of the target, from the faintest night to the brightest
PLAN = {
    "frames": 120,
    "hours": 3.5,
    "binning": (2, 2),
    "size": (512, 512),
    "stars": 40,
    "depth": 0.01,
    "drift": 15,
}


def one_night(seed: int, flux: float):
    """The report of one night, and what is true of it."""
    instrument = load_plugins()["OPTICAM"]
    with tempfile.TemporaryDirectory() as folder:
        truth = simulate_night(instrument, Path(folder), NightPlan(seed=seed, target_flux=flux, **PLAN))
        x, y = truth.target_xy["C1"]
        radec = truth.radec.to_string("hmsdms")
        options = Options(target_xy=f"C1:{x:.1f},{y:.1f}", radec=radec, fit="transit", jobs=2, animation="no")
        return reduce_night(instrument, Path(folder), options=options), truth


def pull(estimate, true: float) -> float:
    """How many of its own errors an estimate is off."""
    return (estimate.value - true) / (estimate.plus if estimate.value < true else estimate.minus)


def summary(name: str, pulls: list[float]) -> None:
    values = np.array(pulls)
    print(
        f"{name}: {values.size} pulls, mean {values.mean():+.2f} +- {values.std(ddof=1) / np.sqrt(values.size):.2f},"
        f" standard deviation {values.std(ddof=1):.2f}, beyond 2: {np.mean(np.abs(values) > 2):.0%}"
    )


def main(nights: int = 20, first: int = 1) -> None:
    depths, times, weights, ratios, constant = [], [], [], [], {}
    for number, flux in enumerate(np.geomspace(*FLUX, nights)):
        report, truth = one_night(first + number, float(flux))
        fit = report.sets[0].transit
        if fit is None:
            print(
                f"seed {first + number}: no fit: {[c.why for c in report.sets[0].choices if c.what == 'transit']}"
            )
            continue
        times.append(pull(fit.tc, truth.tc))
        own = []
        for band in fit.bands:
            true = truth.depth[band.name]
            own.append(pull(band.depth, true))
            error = (band.depth.minus + band.depth.plus) / 2
            ratios.append(band.depth.value / true - 1)
            weights.append((true / error) ** 2)
        depths += own
        said = ", ".join(
            f"{b.name} {100 * b.depth.value:.3f} +- {50 * (b.depth.minus + b.depth.plus):.3f} % ({p:+.1f};"
            f" {', '.join(b.chosen)})"
            for b, p in zip(fit.bands, own, strict=True)
        )
        error = 43200 * (fit.tc.plus + fit.tc.minus)
        print(
            f"seed {first + number}, {flux:.0f} e/s: Tc off {times[-1]:+.1f} of {error:.0f} s; {said}",
            flush=True,
        )
        for result in report.sets:
            collect(result, constant)
    summary("depth", depths)
    summary("mid-time", times)
    weights = np.array(weights)
    bias = np.sum(weights * ratios) / weights.sum()
    print(f"depth: weighted mean {100 * bias:+.2f} +- {100 / np.sqrt(weights.sum()):.2f} % off")
    for width, (measured, predicted) in sorted(constant.items()):
        ratio = np.sqrt(np.sum(measured) / np.sum(predicted))
        print(
            f"constant stars, bins of {width:g} min: rms measured / predicted {ratio:.3f} ({len(measured)} stars)"
        )


def collect(result, constant: dict) -> None:
    """Add the variances of the comparison stars, each over its predicted one."""
    budget, stars = result.budget, np.flatnonzero(result.stars.weight > 0)
    for scale, width in enumerate(budget.width):
        measured, predicted = constant.setdefault(width, ([], []))
        known = stars[np.isfinite(budget.ratio[stars, scale])]
        measured.extend((budget.measured[known, scale] / budget.predicted[known, scale]) ** 2)
        predicted.extend(np.ones(known.size))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
