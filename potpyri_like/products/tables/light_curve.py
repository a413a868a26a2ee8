"""The table of a light curve, and how it is read again."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Column, Table

from potpyri_like.errors import HeaderError
from potpyri_like.photometry.series import LightCurve
from potpyri_like.products.tables.columns import PER_PIXEL, column, names
from potpyri_like.products.words import FLAG_MEANINGS, SOFTWARE, TIME_MEANINGS, clean
from potpyri_like.store import read_table

__all__ = ["light_curve_table", "read_light_curve"]


def light_curve_table(light_curve: LightCurve) -> Table:
    """One light curve as a table: the contents of lightcurve.ecsv.

    Flux is relative to the comparison stars, 1 out of transit; positions are 0-based with pixel centres on
    integers. The metadata are plain Python types.
    """
    meaning = TIME_MEANINGS.get(light_curve.time_name, "mid-exposure")
    star = f"of star {light_curve.star}"
    columns = (
        column(light_curve.time_name, light_curve.time, u.d, meaning),
        column("flux", light_curve.flux, None, "relative to the comparison stars, 1 out of transit"),
        column("flux_err", light_curve.flux_err, None, "standard error of flux"),
        column(
            "x", light_curve.x, u.pix, f"column of the centroid {star}, 0-based, pixel centres on integers"
        ),
        column("y", light_curve.y, u.pix, f"row of the centroid {star}, 0-based, pixel centres on integers"),
        column("fwhm", light_curve.fwhm, u.pix, "full width at half maximum of the stars of the frame"),
        column("sky", light_curve.sky, PER_PIXEL, f"sky in the annulus {star}"),
        column("airmass", light_curve.airmass, None, "at mid-exposure; NaN without coordinates"),
        column("comparison", light_curve.comparison, u.electron, "summed counts of the comparison stars"),
        column("model", light_curve.model, None, "the fitted transit; 1 where none was fitted"),
        column("trend", light_curve.trend, None, "the fitted baseline; 1 where none was fitted"),
        column("detrended", light_curve.detrended, None, "flux over trend"),
        column(
            "flags",
            np.asarray(light_curve.flags, int),
            None,
            "bits; see flag_bits in the metadata; 0 is good",
        ),
        column("frame", names(light_curve.frames), None, "raw frame"),
    )
    return Table(columns, meta=_light_curve_meta(light_curve))


def _light_curve_meta(light_curve: LightCurve) -> dict[str, object]:
    """What lightcurve.ecsv says of the whole light curve, in plain Python types."""
    inner, outer = light_curve.annulus
    return {
        "target": clean(light_curve.target),
        "star": int(light_curve.star),
        "identified": bool(light_curve.is_identified),
        "limit": bool(light_curve.is_limit),
        "band": clean(light_curve.band),
        "camera": clean(light_curve.camera),
        "time": {"column": light_curve.time_name, "meaning": TIME_MEANINGS.get(light_curve.time_name, "")},
        "aperture": {"pixels": float(light_curve.radius), "fwhm": float(light_curve.radius_fwhm)},
        "annulus": {"inner_pixels": float(inner), "outer_pixels": float(outer)},
        "comparisons": {int(star): float(weight) for star, weight in light_curve.comparisons.items()},
        "noise": {name: float(value) for name, value in light_curve.noise.items()},
        "noise_unit": "relative to the flux: 0.001 is 1 ppt, about 1.086 mmag",
        "reasons": {name: clean(why) for name, why in light_curve.reasons.items()},
        "flag_bits": dict(sorted(FLAG_MEANINGS.items())),
        "software": SOFTWARE,
    }


def read_light_curve(path: Path) -> LightCurve:
    """The light curve in a lightcurve.ecsv.

    Raises
    ------
    HeaderError
        The file cannot be read, or is no light curve of ours.
    """
    table = read_table(Path(path))
    try:
        return _light_curve_of(table)
    except (KeyError, TypeError, ValueError) as error:
        raise HeaderError(
            f"{Path(path).name}: not a light curve of potpyri_like (missing: {error}); give a lightcurve.ecsv"
        ) from error


def _light_curve_of(table: Table) -> LightCurve:
    """The light curve that `light_curve_table` made a table of."""
    meta = table.meta
    columns = ("flux", "flux_err", "x", "y", "fwhm", "sky", "airmass", "comparison", "model", "trend")
    return LightCurve(
        star=meta["star"],
        target=meta["target"],
        band=meta["band"],
        camera=meta["camera"],
        time_name=meta["time"]["column"],
        time=_numbers(table[meta["time"]["column"]]),
        flags=np.asarray(table["flags"], int),
        frames=_texts(table["frame"]),
        radius=meta["aperture"]["pixels"],
        radius_fwhm=meta["aperture"]["fwhm"],
        annulus=(meta["annulus"]["inner_pixels"], meta["annulus"]["outer_pixels"]),
        comparisons=dict(meta["comparisons"]),
        noise=dict(meta["noise"]),
        reasons=dict(meta["reasons"]),
        is_identified=bool(meta.get("identified", True)),
        is_limit=bool(meta.get("limit", False)),
        **{name: _numbers(table[name]) for name in columns},
    )


def _numbers(values: Column) -> np.ndarray:
    """A column as float64, NaN where it is empty."""
    return np.ma.filled(np.ma.asarray(values, float), np.nan)


def _texts(values: Column) -> tuple[str, ...]:
    """A column as texts, "" where it is empty."""
    return tuple(str(text) for text in np.ma.filled(np.ma.asarray(values), ""))
