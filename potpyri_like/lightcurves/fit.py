"""One transit fitted to all bands simultaneously: mid-transit time, duration, depths, and their uncertainties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from potpyri_like.errors import ReductionError
from potpyri_like.lightcurves import _steps
from potpyri_like.lightcurves._joint import least
from potpyri_like.lightcurves._sampling import Samples, draw
from potpyri_like.lightcurves._summary import summary
from potpyri_like.lightcurves.curves import BandCurve, TransitPriors
from potpyri_like.lightcurves.search import find_transit
from potpyri_like.lightcurves.transit_fit import TransitFit

__all__ = ["CANDIDATES", "fit_transit"]

CANDIDATES = ("time", "time2", "airmass", "x", "y", "fwhm", "sky", "comparison", "flip")
_N_GAUSSIAN = 20000  # samples of the covariance where nothing is sampled


def fit_transit(
    curves: Sequence[BandCurve],
    *,
    priors: TransitPriors | None = None,
    candidates: Sequence[str] = CANDIDATES,
    steps: Sequence[float] = (),
    seed: int = 0,
    sample: bool = True,
) -> TransitFit:
    """Fit one transit to all bands: common mid-transit time, duration and impact parameter, a radius for each band.

    Each band has its own limb darkening within a prior and its own baseline, whose columns are chosen by the
    BIC with the transit in the model. The coefficients of those that it rejects are held near 0, the nearer the surer
    it is, so that the errors of the transit carry the doubt. Errors grow by sqrt(chi2 / dof) where
    that is above 1 and by the red noise at time scales from ingress to half the duration.

    Parameters
    ----------
    curves : sequence of BandCurve
        With names that differ.
    priors : TransitPriors, optional
    candidates : sequence of str
        Columns of the baselines; those that a curve lacks are passed over.
    steps : sequence of float, days
        Times of meridian flips: the column "flip".
    seed : int
        The same seed gives the same result to the bit.
    sample : bool
        False stops at least squares: estimates and samples are those of its covariance.

    Raises
    ------
    ReductionError
        When there is nothing to fit. A transit that is not significant is told in the result.
    """
    priors = priors or TransitPriors()
    _check(curves)
    search = find_transit(curves, priors=priors)
    zero = float(np.floor(search.tc))
    bands = tuple(_steps.opened(curve, zero, candidates, steps) for curve in curves)
    best = _steps.first(bands, search, priors, zero)
    for _ in range(2):
        bands = _steps.each(_steps.clipped, bands, priors, zero, best)
        bands = _steps.each(_steps.chosen, bands, priors, zero, best)
        best = _refined(bands, priors, zero, best)[0]
        bands = _steps.each(_steps.scaled, bands, priors, zero, best)
    best, covariance, _ = _refined(bands, priors, zero, best)
    model = _steps.model_of(bands, priors, zero)
    draws = draw(model, best, covariance, seed=seed) if sample else _gaussian(best, covariance, seed)
    return summary(bands, model, best, draws, search=search, zero=zero)


def _refined(
    bands: Sequence[_steps.Band], priors: TransitPriors, zero: float, best: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    model = _steps.model_of(bands, priors, zero)
    return least(model, model.full(best)[0])


def _gaussian(best: np.ndarray, covariance: np.ndarray, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    points = rng.multivariate_normal(best, covariance, size=_N_GAUSSIAN, method="eigh")
    return Samples(points, np.nan, np.nan)


def _check(curves: Sequence[BandCurve]) -> None:
    if not curves:
        raise ReductionError("no light curve to fit a transit to; give at least one")
    twice = [name for name, n in Counter(curve.name for curve in curves).items() if n > 1]
    if twice:
        raise ReductionError(
            f"two light curves are called {', '.join(twice)}; give each a name of its own, as 'r 2024-05-02'"
        )
