"""The tables of stars."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import Table

from potpyri_like.products.tables.columns import column, names
from potpyri_like.products.words import SOFTWARE, clean
from potpyri_like.results import SetResult

__all__ = ["ranking_table", "star_table"]


def ranking_table(result: SetResult) -> Table:
    """The stars of a set, the most variable for its noise first: the contents of stars.ecsv."""
    table = star_table(result)
    order = np.argsort(-np.nan_to_num(np.asarray(table["score"]), nan=-np.inf), kind="stable")
    ranked = table[order][
        "star",
        "x",
        "y",
        "flux",
        "rms",
        "point_to_point",
        "expected",
        "score",
        "own_aperture",
        "weight",
        "why",
    ]
    ranked.meta.update(
        target=clean(result.observed.target),
        band=clean(result.observed.band),
        camera=clean(result.observed.camera),
        order="score, variability over noise, falling; about 1 for a constant star",
        software=SOFTWARE,
    )
    return ranked


def star_table(result: SetResult) -> Table:
    """One row for each star of a set, in the order of its series; empty without a series."""
    xy = np.zeros((0, 2)) if result.series is None else np.asarray(result.series.reference_xy, float)
    count = len(xy)
    known = result.stars
    unknown = np.full(count, np.nan)
    return Table(
        (
            column("star", np.arange(count), None, "index, brightest first"),
            column("x", xy[:, 0], u.pix, "column in the reference frame, 0-based"),
            column("y", xy[:, 1], u.pix, "row in the reference frame, 0-based"),
            column("flux", known.flux if known else unknown, u.electron, "median at the chosen aperture"),
            column("weight", known.weight if known else unknown, None, "in the ensemble of comparison stars"),
            column("rms", known.rms if known else unknown, None, "of the relative flux"),
            column("why", names(known.why if known else [""] * count), None, "why the weight is 0"),
            column(
                "point_to_point", known.point_to_point if known else unknown, None, "of the relative flux"
            ),
            column(
                "expected", known.expected if known else unknown, None, "rms expected from the error bars"
            ),
            column(
                "score",
                known.score if known else unknown,
                None,
                "variability over noise, about 1 if constant",
            ),
            column(
                "own_aperture",
                known.own_aperture if known else unknown,
                u.pix,
                "radius that minimises its own scatter",
            ),
        )
    )
