"""From the best parameters and the samples of a transit fit to what a person reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from potpyri_like.lightcurves import _joint
from potpyri_like.lightcurves._joint import COMMON, Model
from potpyri_like.lightcurves._sampling import Samples
from potpyri_like.lightcurves._steps import Band, both_factors
from potpyri_like.lightcurves.baselines import choose_columns, natural_coefficients
from potpyri_like.lightcurves.search import TransitSearch
from potpyri_like.lightcurves.transit import ingress_duration
from potpyri_like.lightcurves.transit_fit import BandFit, Estimate, TransitFit
from potpyri_like.photometry.noise import rms

__all__ = ["summary"]

_FALSE_ALARM = 1e-5  # probability at one place; about a thousandth when the places tried are counted
_PERCENTILES = (15.87, 50, 84.13)


def summary(
    bands: Sequence[Band],
    model: Model,
    best: np.ndarray,
    draws: Samples,
    *,
    search: TransitSearch,
    zero: float,
) -> TransitFit:
    """The whole answer."""
    theta = model.full(draws.free)
    sampled = np.isfinite(draws.autocorrelation)
    fits = tuple(_of_band(band, model, best, i, theta, sampled) for i, band in enumerate(bands))
    chi2, dof = _chi2(bands, fits, len(best))
    significance = float(np.sqrt(sum(_gain(band, fit) for band, fit in zip(bands, fits, strict=True))))
    detected, why = _judged(significance, len(bands))
    coverage, note = _coverage(bands, model.full(best), len(bands))
    samples = theta.copy()
    samples[:, 0] += zero
    samples[:, 1] = np.exp(samples[:, 1])
    return TransitFit(
        tc=_shifted(_estimate(theta[:, 0]), zero),
        t14=_estimate(samples[:, 1]),
        b=_estimate(theta[:, 2]),
        bands=fits,
        samples=samples,
        names=_names(bands),
        chi2=chi2,
        dof=dof,
        n_outliers=int(sum(band.used.size - band.used.sum() for band in bands)),
        significance=significance,
        detected=detected,
        why=why,
        coverage=coverage,
        coverage_note=note,
        chromaticity=_chromaticity(theta[:, COMMON : COMMON + len(bands)] ** 2),
        period=model.period,
        autocorrelation=draws.autocorrelation,
        acceptance=draws.acceptance,
        search=search,
    )


def _of_band(band: Band, model: Model, best: np.ndarray, i: int, theta: np.ndarray, sampled: bool) -> BandFit:
    transit, baseline = both_factors(band, model, best, i)
    k, u = COMMON + i, COMMON + len(model.parts) + 2 * i
    names = tuple(band.baseline.names[j] for j in band.baseline.index(("constant", *band.columns)))
    best_theta = model.full(best)
    coefficients = _joint.solve(model.parts[i], _joint.transits(model, best_theta, i))[0][0]
    left = band.part.flux - transit * baseline
    return BandFit(
        name=band.curve.name,
        depth=_estimate(_depths(theta, best_theta, i, sampled=sampled)),
        k=_estimate(theta[:, k]),
        k2=_estimate(theta[:, k] ** 2),
        u1=_estimate(theta[:, u]),
        u2=_estimate(theta[:, u + 1]),
        columns=names,
        chosen=band.choice.names,
        coefficients=natural_coefficients(band.baseline, names, coefficients),
        bic=band.choice.table,
        dropped=band.baseline.dropped,
        scale=band.raised * band.scale,
        beta=band.beta,
        model=_whole(band, transit),
        baseline=_whole(band, baseline),
        residuals=_whole(band, left),
        used=_whole(band, band.used) == 1,
        rms=rms(left[band.used]),
    )


def _depths(theta: np.ndarray, best: np.ndarray, i: int, *, sampled: bool) -> np.ndarray:
    """Depths of the samples; linear about the best where the samples are a Gaussian, which knows no limits."""
    if sampled:
        return _joint.depths(theta, i)
    return _joint.depths(best, i) + (theta - best) @ _joint.depth_gradient(best, i)


def _estimate(values: np.ndarray) -> Estimate:
    low, middle, high = np.percentile(values, _PERCENTILES)
    return Estimate(float(middle), float(middle - low), float(high - middle))


def _shifted(estimate: Estimate, zero: float) -> Estimate:
    return Estimate(estimate.value + zero, estimate.minus, estimate.plus)


def _whole(band: Band, values: np.ndarray) -> np.ndarray:
    whole = np.full(np.shape(band.curve.time), np.nan)
    whole[band.index] = values
    return whole


def _names(bands: Sequence[Band]) -> tuple[str, ...]:
    names = [band.curve.name for band in bands]
    dark = [f"{u}_{name}" for name in names for u in ("u1", "u2")]
    return ("tc", "t14", "b", *(f"k_{name}" for name in names), *dark)


def _chi2(bands: Sequence[Band], fits: Sequence[BandFit], n_free: int) -> tuple[float, int]:
    chi2, n = 0.0, 0
    for band, fit in zip(bands, fits, strict=True):
        part = band.fitted()
        left = fit.residuals[band.index][band.used]
        chi2 += float(np.sum((left / part.error) ** 2))
        n += left.size - part.design.shape[1]
    return chi2, n - n_free


def _gain(band: Band, fit: BandFit) -> float:
    """By how much the transit lowers chi-square below that of the best baseline without one."""
    part = band.fitted()
    matrix = band.part.design[band.used] / part.error[:, None]
    flux = part.flux / part.error

    def chi2(names: Sequence[str]) -> float:
        columns = matrix[:, band.baseline.index(("constant", *names))]
        coefficients = np.linalg.lstsq(columns, flux, rcond=None)[0]
        return np.sum((flux - columns @ coefficients) ** 2)

    alone = choose_columns(band.baseline.names[1:], chi2, n_points=flux.size)
    left = fit.residuals[band.index][band.used] / part.error
    return max(chi2(tuple({*alone.names, *band.columns})) - float(np.sum(left**2)), 0.0)


def _judged(significance: float, n_bands: int) -> tuple[bool, str]:
    probability = float(stats.chi2.sf(significance**2, n_bands + 2))
    detected = probability < _FALSE_ALARM
    what = "is significant" if detected else "is not significant"
    return detected, (
        f"the transit {what}: it lowers chi-square by {significance**2:.1f}; "
        f"false-alarm probability {probability:.1g} (limit {_FALSE_ALARM:g})"
    )


def _coverage(bands: Sequence[Band], theta: np.ndarray, n_bands: int) -> tuple[str, str]:
    """The part of the transit that was observed, and a sentence about it."""
    time = np.concatenate([band.part.time[band.used] for band in bands])
    cadence = max(float(np.median(np.diff(band.part.time))) for band in bands)
    tc, t14 = theta[0, 0], np.exp(theta[0, 1])
    k = theta[0, COMMON : COMMON + n_bands].mean()
    ingress = float(ingress_duration(k=k, t14=t14, b=theta[0, 2]))
    margin = max(ingress, 3 * cadence)
    seen = [_passed(time, tc + sign * 0.5 * (t14 - ingress), 0.5 * ingress + margin) for sign in (-1, 1)]
    return {
        (True, True): ("full", "ingress and egress observed"),
        (True, False): ("ingress only", _half("egress")),
        (False, True): ("egress only", _half("ingress")),
        (False, False): (
            "no ingress or egress",
            "neither ingress nor egress observed: mid-transit time, duration and depth follow from the priors",
        ),
    }[seen[0], seen[1]]


def _half(missing: str) -> str:
    return (
        f"the {missing} was not observed: mid-transit time and duration are constrained by the priors only,"
        " and correlated"
    )


def _passed(time: np.ndarray, middle: float, reach: float) -> bool:
    near = np.abs(time - middle) <= reach
    return bool((near & (time <= middle)).any() and (near & (time >= middle)).any())


def _chromaticity(k2: np.ndarray) -> tuple[float, int, float]:
    """One k**2 for all curves: what is common to them is in the covariance, and so cancels."""
    n = k2.shape[1]
    covariance = np.atleast_2d(np.cov(k2, rowvar=False))
    if n < 2 or np.linalg.matrix_rank(covariance) != n:
        return np.nan, 0, np.nan
    inverse = np.linalg.inv(covariance)
    mean = k2.mean(axis=0)
    common = inverse.sum(axis=0) @ mean / inverse.sum()
    chi2 = float((mean - common) @ inverse @ (mean - common))
    return chi2, n - 1, float(stats.chi2.sf(chi2, n - 1))
