"""The table of the noise budget."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import Column, Table

from potpyri_like.photometry.budget import NoiseBudget
from potpyri_like.products.tables.columns import column
from potpyri_like.products.words import SOFTWARE, clean
from potpyri_like.results import SetResult

__all__ = ["noise_budget_table"]


def noise_budget_table(result: SetResult) -> Table:
    """One row for each star: the terms of its noise, and what was predicted and measured at each time scale."""
    stars, budget = result.stars, result.budget
    if stars is None or budget is None:
        return Table(meta={"software": SOFTWARE})
    columns = [
        column("star", np.arange(len(stars.flux)), None, "index, brightest first"),
        column("flux", stars.flux, u.electron, "median at the chosen aperture"),
        column("weight", stars.weight, None, "in the ensemble of comparison stars"),
    ]
    for name, noise in budget.terms.items():
        key = "noise_" + clean(name).replace(" ", "_").replace("-", "_")
        columns.append(column(key, noise, None, f"noise of one frame from: {clean(name)}; relative"))
    for index, width in enumerate(budget.width):
        columns += _scale_columns(budget, index, float(width))
    meta = {
        "target": clean(result.observed.target),
        "band": clean(result.observed.band),
        "camera": clean(result.observed.camera),
        "noise_unit": "relative to the flux: 0.001 is 1 ppt, about 1.086 mmag",
        "widths_minutes": [float(width) for width in budget.width],
        "software": SOFTWARE,
    }
    return Table(columns, meta=meta)


def _scale_columns(budget: NoiseBudget, index: int, width: float) -> list[Column]:
    """Predicted and measured noise at one time scale, their ratio and its uncertainty."""
    name = "frame" if width == 0 else f"{width:g}min"
    when = "of single frames" if width == 0 else f"of bins of {width:g} minutes"
    return [
        column(f"predicted_{name}", budget.predicted[:, index], None, f"standard deviation {when}, relative"),
        column(f"measured_{name}", budget.measured[:, index], None, f"standard deviation {when}, relative"),
        column(f"ratio_{name}", budget.ratio[:, index], None, f"predicted / measured, {when}"),
        column(
            f"uncertainty_{name}",
            budget.uncertainty[:, index],
            None,
            "relative uncertainty of the measured value",
        ),
    ]
