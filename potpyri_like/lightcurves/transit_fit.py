"""The results of a transit fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from potpyri_like.lightcurves.search import TransitSearch

__all__ = ["BandFit", "Estimate", "TransitFit"]


@dataclass(frozen=True)
class Estimate:
    """A value and how far one sigma (16 and 84 percent) reaches below and above it."""

    value: float
    minus: float
    plus: float


@dataclass(frozen=True, eq=False)
class BandFit:
    """The results for one light curve; arrays are as long as the curve, NaN where it is not measured.

    Attributes
    ----------
    name : str
    depth : Estimate
        Flux lost at mid-transit, relative.
    k, k2 : Estimate
        Radius of the planet in radii of the star, and its square.
    u1, u2 : Estimate
        Limb darkening; mostly the prior's.
    columns : tuple of str
        In the baseline, constant first: those chosen, and those held near 0.
    chosen : tuple of str
        By the Bayesian information criterion.
    coefficients : mapping of str to float
        In natural units: see `natural_coefficients`.
    bic : mapping of str to float
        For each candidate, BIC with it minus BIC without it.
    dropped : mapping of str to str
        Candidates that could not serve, with the reason.
    scale : float
        By which the given errors were multiplied before beta.
    beta : float
        The factor for red noise, 1 and above.
    model, baseline, residuals : ndarray, shape (n,)
        Transit, baseline, and flux minus their product; of the most probable parameters.
    used : ndarray of bool, shape (n,)
        False where not measured and where clipped.
    rms : float
        Of the residuals that were used.
    """

    name: str
    depth: Estimate
    k: Estimate
    k2: Estimate
    u1: Estimate
    u2: Estimate
    columns: tuple[str, ...]
    chosen: tuple[str, ...]
    coefficients: Mapping[str, float]
    bic: Mapping[str, float]
    dropped: Mapping[str, str]
    scale: float
    beta: float
    model: np.ndarray
    baseline: np.ndarray
    residuals: np.ndarray
    used: np.ndarray
    rms: float


@dataclass(frozen=True, eq=False)
class TransitFit:
    """One transit in all bands.

    Attributes
    ----------
    tc, t14 : Estimate, days
        Mid-transit, on the scale of the curves' times; from first to fourth contact.
    b : Estimate
        Impact parameter.
    bands : tuple of BandFit
        In the order of the curves.
    samples : ndarray, shape (n, n_parameters)
        Of the posterior, or of the Gaussian of least squares; columns as in `names`.
    names : tuple of str
        tc, t14, b, then k, u1 and u2 with the name of each curve.
    chi2 : float
    dof : int
        With errors as scaled.
    n_outliers : int
        Points clipped.
    significance : float
        Square root of the gain in chi-square over the best baselines without a transit.
    detected : bool
    why : str
        The sentence for that.
    coverage : str
        "full", "ingress only", "egress only" or "no ingress or egress".
    coverage_note : str
        The sentence for that.
    chromaticity : (float, int, float)
        Chi-square, degrees of freedom and probability of one k**2 in all curves; NaN for a single curve.
    period : float or None, days
        That was used.
    autocorrelation : float
        The longest, in steps; NaN without sampling.
    acceptance : float
        Fraction of the jumps; NaN without sampling.
    search : TransitSearch
        Where the fit began.
    """

    tc: Estimate
    t14: Estimate
    b: Estimate
    bands: tuple[BandFit, ...]
    samples: np.ndarray
    names: tuple[str, ...]
    chi2: float
    dof: int
    n_outliers: int
    significance: float
    detected: bool
    why: str
    coverage: str
    coverage_note: str
    chromaticity: tuple[float, int, float]
    period: float | None
    autocorrelation: float
    acceptance: float
    search: TransitSearch
