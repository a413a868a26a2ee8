"""The table of a fitted transit."""

from __future__ import annotations

import numpy as np
from astropy.table import Table

from potpyri_like.lightcurves import Estimate
from potpyri_like.products.tables.columns import column, names
from potpyri_like.products.words import SOFTWARE, TIME_MEANINGS, clean
from potpyri_like.results import SetResult

__all__ = ["transit_table"]

_PARAMETER_MEANINGS = {
    "tc": "mid-transit time, on the scale given by time",
    "t14": "from first to fourth contact",
    "b": "impact parameter, in radii of the star",
    "depth": "flux lost at mid-transit, relative",
    "k": "radius of the planet in radii of the star",
    "k2": "square of k",
    "u1": "limb darkening, linear coefficient",
    "u2": "limb darkening, quadratic coefficient",
    "error_scale": "scaling of the input errors, before beta",
    "beta": "scaling of the errors for red noise",
    "rms": "of the residuals of the fitted points, relative",
    "baseline_*": "coefficient of a baseline regressor, in the unit of that regressor",
}


def transit_table(result: SetResult) -> Table:
    """One row for each parameter of the fit of a target's transit: the contents of transit.ecsv.

    Values are medians; `minus` and `plus` reach to 16 and 84 percent. Empty without a fit.
    """
    fit = result.transit
    rows = [] if fit is None else [("tc", "", fit.tc, "d"), ("t14", "", fit.t14, "d"), ("b", "", fit.b, "")]
    for band in () if fit is None else fit.bands:
        estimates = [(name, band.name, getattr(band, name), "") for name in ("depth", "k", "k2", "u1", "u2")]
        known = (("error_scale", band.scale), ("beta", band.beta), ("rms", band.rms))
        rows += [*estimates, *((name, band.name, _exactly(value), "") for name, value in known)]
        rows += [(f"baseline_{name}", band.name, _exactly(c), "") for name, c in band.coefficients.items()]
    columns = (
        column("name", names(row[0] for row in rows), None, "parameter; see meanings in the metadata"),
        column("band", names(row[1] for row in rows), None, "empty for parameters common to all bands"),
        column("value", np.array([row[2].value for row in rows], float), None, "median of the posterior"),
        column("minus", np.array([row[2].minus for row in rows], float), None, "from 16 percent up to it"),
        column("plus", np.array([row[2].plus for row in rows], float), None, "from it up to 84 percent"),
        column("unit", names(row[3] for row in rows), None, "of the value; empty for a number"),
    )
    return Table(columns, meta=_transit_meta(result))


def _exactly(value: float) -> Estimate:
    """A number without an error of its own."""
    return Estimate(float(value), np.nan, np.nan)


def _transit_meta(result: SetResult) -> dict[str, object]:
    """What transit.ecsv says of the whole fit, in plain Python types."""
    fit, curve = result.transit, result.light_curve
    if fit is None:
        return {"target": clean(result.observed.target), "software": SOFTWARE}
    chi2, freedom, probability = fit.chromaticity
    return {
        "target": clean(result.observed.target),
        "time": "" if curve is None else TIME_MEANINGS.get(curve.time_name, curve.time_name),
        "coverage": fit.coverage,
        "coverage_note": fit.coverage_note,
        "significance": float(fit.significance),
        "detected": bool(fit.detected),
        "why": fit.why,
        "chromaticity": {"chi2": float(chi2), "dof": int(freedom), "probability": float(probability)},
        "chi2": float(fit.chi2),
        "dof": int(fit.dof),
        "outliers": int(fit.n_outliers),
        "period_days": None if fit.period is None else float(fit.period),
        "baseline_columns": {clean(band.name): list(map(clean, band.columns)) for band in fit.bands},
        "baseline_chosen": {clean(band.name): list(map(clean, band.chosen)) for band in fit.bands},
        "meanings": _PARAMETER_MEANINGS,
        "software": SOFTWARE,
    }
