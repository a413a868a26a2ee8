"""The text format of archi."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from potpyri_like.photometry.series import Series
from potpyri_like.products.exports.fields import measured, method
from potpyri_like.products.words import SOFTWARE, ascii_only
from potpyri_like.results import SetResult

__all__ = ["archi_text"]

_MJD = 2400000.5


def archi_text(result: SetResult, *, options: Mapping[str, object] | None = None) -> str:
    """Every star's counts at the chosen aperture, as the users of archi read them.

    Comments, the last of which names the columns; then MJD, the field's rotation where archi has the roll of its
    satellite, and flux and error of the target and of every other star, separated by semicolons. NaN is "nan".
    ``numpy.genfromtxt(file, delimiter=";")`` reads it back to the last bit.

    Parameters
    ----------
    result : SetResult
    options : mapping of str to value, optional
        The settings to be told in the comments.

    Raises
    ------
    ProductError
        Nothing was measured.
    """
    series = measured(result)
    order = _target_first(result, series)
    heads = [f"# {ascii_only(line)}" for line in _archi_header(result, series, options or {})]
    columns = [
        "MJD_TIME",
        "ROLL_ANGLE",
        *(f"{kind}_{star}" for star in order for kind in ("FLUX", "FLUX_ERR")),
    ]
    pairs = np.stack(
        [series.flux[:, order, result.aperture], series.flux_err[:, order, result.aperture]], axis=2
    )
    values = np.column_stack([series.time - _MJD, series.rotation, pairs.reshape(len(series.frames), -1)])
    rows = [";".join(map(repr, row)) for row in values.astype(float).tolist()]
    return "\n".join([*heads, "# " + ";".join(columns), *rows]) + "\n"


def _archi_header(result: SetResult, series: Series, options: Mapping[str, object]) -> list[str]:
    """What the comments of `archi_text` tell."""
    observed, curve = result.observed, result.light_curve
    inner, outer = series.annulus
    scale = "BJD_TDB" if series.bjd_tdb is not None else "JD_UTC"
    comparisons = {} if curve is None else curve.comparisons
    weights = ", ".join(f"{star} ({weight:.4f})" for star, weight in comparisons.items())
    return [
        SOFTWARE,
        f"target: {observed.target}",
        f"camera: {observed.camera}; band: {observed.band}",
        f"method: {method(options)}",
        f"aperture: {series.radii[result.aperture]:.4f} px = {series.radii_fwhm[result.aperture]:.4f} FWHM",
        f"sky: annulus from {inner:.4f} to {outer:.4f} px, subtracted",
        f"stars: the target, star {'unknown' if curve is None else curve.star} and comes first, then the others"
        " by their numbers in measurements.fits",
        f"comparison stars (weights): {weights or 'none'}",
        f"MJD_TIME: {scale} of mid-exposure minus {_MJD}, days",
        "ROLL_ANGLE: rotation of the field against the reference frame, degrees",
        "FLUX, FLUX_ERR: electrons in the aperture, above the sky; nan: not measured",
        *(f"{name}: {value}" for name, value in options.items()),
    ]


def _target_first(result: SetResult, series: Series) -> list[int]:
    """The numbers of the stars, the target's first where there is one."""
    stars = list(range(series.flux.shape[1]))
    target = result.light_curve.star if result.light_curve is not None else None
    return stars if target is None else [target, *(star for star in stars if star != target)]
