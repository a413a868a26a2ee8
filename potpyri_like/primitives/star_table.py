"""The table of the stars."""

from __future__ import annotations

from typing import Any

import numpy as np

from potpyri_like.frame import STAR_FLAG_SHIFT, Purpose, excluded
from potpyri_like.photometry import (
    ApertureChoice,
    Series,
    expected,
    nan_median,
    point_to_point,
    rank_variables,
    relative_flux,
    rms,
)
from potpyri_like.primitives.points import SERIES_FRAMES, for_choices
from potpyri_like.results import StarTable

__all__ = ["star_table"]


def star_table(series: Series, choice: ApertureChoice) -> StarTable:
    """The table of the stars at the chosen aperture."""
    flux, error = series.flux[..., choice.index], series.flux_err[..., choice.index]
    flagged = excluded(series.star_flags << STAR_FLAG_SHIFT, Purpose.CHOICES)
    divides = np.where(flagged & (choice.ensemble.weights > 0), np.nan, flux)
    relflux, relerr = relative_flux(divides, error, choice.ensemble.weights)
    steady = for_choices(series)
    out = ~np.isfinite(steady.flux[..., choice.index])
    clear, clear_err = np.where(out, np.nan, relflux), np.where(out, np.nan, relerr)
    level = nan_median(clear)
    level = np.where(level > 0, level, 1.0)
    relflux, relerr, clear, clear_err = (values / level for values in (relflux, relerr, clear, clear_err))
    if len(series.frames) >= SERIES_FRAMES:
        score, _ = rank_variables(clear, clear_err, series.time)
    else:
        score = np.full(flux.shape[1], np.nan)
    return StarTable(
        flux=_per_star(np.nanmedian, np.where(out, np.nan, flux)),
        weight=choice.ensemble.weights,
        rms=_per_star(rms, clear),
        point_to_point=_per_star(lambda f: point_to_point(f, series.time), clear),
        expected=_per_star(expected, np.where(np.isfinite(clear), clear_err, np.nan)),
        score=score,
        own_aperture=_own_apertures(steady, choice.ensemble.weights),
        why=choice.ensemble.reasons,
        relflux=relflux,
        relflux_err=relerr,
    )


def _own_apertures(series: Series, weights: np.ndarray) -> np.ndarray:
    """The radius that suits each star best, by the point-to-point scatter of its own light curve, pixels."""
    found = np.full((series.flux.shape[1], len(series.radii)), np.inf)
    for aperture in range(len(series.radii) if len(series.frames) >= SERIES_FRAMES else 0):
        relflux, _ = relative_flux(series.flux[..., aperture], series.flux_err[..., aperture], weights)
        found[:, aperture] = [point_to_point(curve, series.time) for curve in relflux.T]
    found[~np.isfinite(found)] = np.inf
    known = np.isfinite(found).any(axis=1)
    return np.where(known, series.radii[np.argmin(found, axis=1)], np.nan)


def _per_star(figure: Any, values: np.ndarray) -> np.ndarray:
    """A figure of each star's series, shape (n_stars,); NaN for a star never measured."""
    return np.array(
        [figure(column) if np.isfinite(column).any() else np.nan for column in values.T], dtype=float
    )
