"""Light curves and measurements as tables and FITS files, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Column, Table
from numpy.typing import ArrayLike

from potpyri_like.errors import HeaderError
from potpyri_like.lightcurves import Estimate
from potpyri_like.photometry.budget import NoiseBudget
from potpyri_like.photometry.series import LightCurve, Series
from potpyri_like.products.words import FLAG_MEANINGS, SOFTWARE, TIME_MEANINGS, ascii_only, clean
from potpyri_like.results import SetResult
from potpyri_like.store import read_table

Card = tuple[str, str | int | float | bool | None, str]  # of a FITS header: keyword, value, comment

__all__ = [
    "Card",
    "Measurements",
    "aperture_table",
    "frame_table",
    "light_curve_table",
    "measurements",
    "names",
    "noise_budget_table",
    "ranking_table",
    "read_light_curve",
    "read_measurements",
    "star_table",
    "table_hdu",
    "transit_table",
]

_PARAMETER_MEANINGS = {
    "tc": "mid-transit, on the scale told by time",
    "t14": "from first to fourth contact",
    "b": "impact parameter, in radii of the star",
    "depth": "flux lost at mid-transit, relative",
    "k": "radius of the planet in radii of the star",
    "k2": "square of k",
    "u1": "limb darkening, linear coefficient",
    "u2": "limb darkening, quadratic coefficient",
    "error_scale": "by which the given errors were multiplied, before beta",
    "beta": "by which they were multiplied for red noise",
    "rms": "of the residuals that were used, relative",
    "baseline_*": "coefficient of a column of the baseline, in the natural unit of that column",
}
_PER_PIXEL = u.electron / u.pix
_CUBE_AXES = "numpy [star, aperture, frame]; NAXIS1 is frame"
_PLANE_AXES = "numpy [star, frame]; NAXIS1 is frame"


@dataclass(frozen=True)
class Measurements:
    """What a measurements.fits holds.

    Attributes
    ----------
    stars : Table
        One row per star; x and y in pixels of the reference, 0-based.
    frames : Table
        One row per frame, in order of time.
    apertures : Table
    flux, flux_err : ndarray, shape (n_stars, n_apertures, n_frames), electron
    relflux, relflux_err : ndarray, shape (n_stars, n_frames), or None
        At the chosen aperture; None where no light curve was made.
    aperture : int
        Index of the chosen aperture.
    meta : mapping of str to str, float or int
        The primary header.
    """

    stars: Table
    frames: Table
    apertures: Table
    flux: np.ndarray
    flux_err: np.ndarray
    relflux: np.ndarray | None
    relflux_err: np.ndarray | None
    aperture: int
    meta: Mapping[str, object]


# -- lightcurve.ecsv -----------------------------------------------------------------------------------------


def light_curve_table(light_curve: LightCurve) -> Table:
    """One light curve as a table: the contents of lightcurve.ecsv.

    Flux is relative to the comparison stars, 1 out of transit; positions are 0-based with pixel centres on
    integers. The metadata are plain Python types.
    """
    meaning = TIME_MEANINGS.get(light_curve.time_name, "mid-exposure")
    star = f"of star {light_curve.star}"
    columns = (
        _column(light_curve.time_name, light_curve.time, u.d, meaning),
        _column("flux", light_curve.flux, None, "relative to the comparison stars, 1 out of transit"),
        _column("flux_err", light_curve.flux_err, None, "standard error of flux"),
        _column(
            "x", light_curve.x, u.pix, f"column of the centroid {star}, 0-based, pixel centres on integers"
        ),
        _column("y", light_curve.y, u.pix, f"row of the centroid {star}, 0-based, pixel centres on integers"),
        _column("fwhm", light_curve.fwhm, u.pix, "full width at half maximum of the stars of the frame"),
        _column("sky", light_curve.sky, _PER_PIXEL, f"sky in the annulus {star}"),
        _column("airmass", light_curve.airmass, None, "at mid-exposure; NaN without coordinates"),
        _column("comparison", light_curve.comparison, u.electron, "summed counts of the comparison stars"),
        _column("model", light_curve.model, None, "the fitted transit; 1 where none was fitted"),
        _column("trend", light_curve.trend, None, "the fitted baseline; 1 where none was fitted"),
        _column("detrended", light_curve.detrended, None, "flux over trend"),
        _column(
            "flags",
            np.asarray(light_curve.flags, int),
            None,
            "bits; see flag_bits in the metadata; 0 is good",
        ),
        _column("frame", names(light_curve.frames), None, "raw frame"),
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
            f"{Path(path).name}: it is no light curve of potpyri_like ({error} is wanted);"
            " give a lightcurve.ecsv"
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


# -- stars.ecsv ----------------------------------------------------------------------------------------------


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
            _column("star", np.arange(count), None, "index, brightest first"),
            _column("x", xy[:, 0], u.pix, "column in the reference frame, 0-based"),
            _column("y", xy[:, 1], u.pix, "row in the reference frame, 0-based"),
            _column("flux", known.flux if known else unknown, u.electron, "median at the chosen aperture"),
            _column(
                "weight", known.weight if known else unknown, None, "in the ensemble of comparison stars"
            ),
            _column("rms", known.rms if known else unknown, None, "of the relative flux"),
            _column("why", names(known.why if known else [""] * count), None, "why the weight is 0"),
            _column(
                "point_to_point", known.point_to_point if known else unknown, None, "of the relative flux"
            ),
            _column("expected", known.expected if known else unknown, None, "rms that the errors promise"),
            _column(
                "score", known.score if known else unknown, None, "variability over noise, 1 if constant"
            ),
            _column(
                "own_aperture",
                known.own_aperture if known else unknown,
                u.pix,
                "radius of its own least scatter",
            ),
        )
    )


# -- transit.ecsv --------------------------------------------------------------------------------------------


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
        _column("name", names(row[0] for row in rows), None, "parameter; see meanings in the metadata"),
        _column("band", names(row[1] for row in rows), None, "empty for what all bands share"),
        _column("value", np.array([row[2].value for row in rows], float), None, "median of the posterior"),
        _column("minus", np.array([row[2].minus for row in rows], float), None, "from 16 percent up to it"),
        _column("plus", np.array([row[2].plus for row in rows], float), None, "from it up to 84 percent"),
        _column("unit", names(row[3] for row in rows), None, "of the value; empty for a number"),
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


# -- noise_budget.ecsv ---------------------------------------------------------------------------------------


def noise_budget_table(result: SetResult) -> Table:
    """One row for each star: the terms of its noise, and what was predicted and measured at each time scale."""
    stars, budget = result.stars, result.budget
    if stars is None or budget is None:
        return Table(meta={"software": SOFTWARE})
    columns = [
        _column("star", np.arange(len(stars.flux)), None, "index, brightest first"),
        _column("flux", stars.flux, u.electron, "median at the chosen aperture"),
        _column("weight", stars.weight, None, "in the ensemble of comparison stars"),
    ]
    for name, noise in budget.terms.items():
        key = "noise_" + clean(name).replace(" ", "_").replace("-", "_")
        columns.append(_column(key, noise, None, f"noise of one frame from: {clean(name)}; relative"))
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
        _column(
            f"predicted_{name}", budget.predicted[:, index], None, f"standard deviation {when}, relative"
        ),
        _column(f"measured_{name}", budget.measured[:, index], None, f"standard deviation {when}, relative"),
        _column(f"ratio_{name}", budget.ratio[:, index], None, f"predicted over measured, {when}"),
        _column(f"uncertainty_{name}", budget.uncertainty[:, index], None, "relative, of what was measured"),
    ]


# -- measurements.fits ---------------------------------------------------------------------------------------


def measurements(result: SetResult) -> fits.HDUList:
    """Every star, every frame, every aperture: the contents of measurements.fits.

    Tables STARS, FRAMES, APERTURES; images FLUX and FLUX_ERR, numpy [star, aperture, frame], RELFLUX and
    RELFLUX_ERR, numpy [star, frame], at the chosen aperture. Without a series there are only the primary
    header and an empty table of stars; without light curves no relative flux.
    """
    hdus = fits.HDUList([_primary(result), table_hdu("STARS", star_table(result))])
    series = result.series
    if series is None:
        return hdus
    hdus.append(table_hdu("FRAMES", frame_table(series)))
    hdus.append(table_hdu("APERTURES", aperture_table(series)))
    hdus.append(_image_hdu("FLUX", np.transpose(series.flux, (1, 2, 0)), "electron", _CUBE_AXES))
    hdus.append(_image_hdu("FLUX_ERR", np.transpose(series.flux_err, (1, 2, 0)), "electron", _CUBE_AXES))
    if result.stars is not None:
        hdus.append(_image_hdu("RELFLUX", result.stars.relflux.T, "", _PLANE_AXES))
        hdus.append(_image_hdu("RELFLUX_ERR", result.stars.relflux_err.T, "", _PLANE_AXES))
    return hdus


def _primary(result: SetResult) -> fits.PrimaryHDU:
    """The primary header of measurements.fits."""
    observed, series = result.observed, result.series
    hdu = fits.PrimaryHDU()
    cards: list[Card] = [
        ("OBJECT", ascii_only(observed.target), "target"),
        ("CAMERA", ascii_only(observed.camera), "camera"),
        ("FILTER", ascii_only(observed.band), "band"),
        ("SOFTWARE", SOFTWARE, "made by"),
        ("CONTENT", "photometry of every star, frame and aperture" if series else "nothing was measured", ""),
    ]
    if np.isfinite(result.pixel_scale):
        cards.append(("PIXSCALE", float(result.pixel_scale), "[arcsec/pix]"))
    if series is not None:
        cards += _series_cards(series, result.aperture)
    hdu.header.extend(cards)
    hdu.header.add_comment("Positions are 0-based, pixel centres on integers; NaN: not measured.")
    hdu.header.add_comment(f"FLUX and FLUX_ERR: {_CUBE_AXES}")
    hdu.header.add_comment(f"RELFLUX and RELFLUX_ERR: {_PLANE_AXES}")
    for bit, words in sorted(FLAG_MEANINGS.items()):
        if bit < 256:
            hdu.header.add_comment(f"FRAMES flags bit {bit}: {words}")
    return hdu


def _series_cards(series: Series, aperture: int) -> list[Card]:
    """The cards that say how a series was measured, and in which time."""
    barycentric = series.bjd_tdb is not None
    cards: list[Card] = [
        ("TIMESYS", "TDB" if barycentric else "UTC", "scale of the time column that counts"),
        ("TIMECOL", "bjd_tdb" if barycentric else "jd_utc", "that column of FRAMES, mid-exposure, days"),
    ]
    if aperture < len(series.radii):
        cards += [
            ("APERTURE", int(aperture), "row of APERTURES that was chosen, 0-based"),
            ("APRADIUS", float(series.radii[aperture]), "[pix] its radius"),
            ("APFWHM", float(series.radii_fwhm[aperture]), "its radius in FWHM of the reference"),
        ]
    named = (("ANNINNER", series.annulus[0], "inner"), ("ANNOUTER", series.annulus[1], "outer"))
    cards += [
        (key, float(r), f"[pix] {which} radius of the sky annulus")
        for key, r, which in named
        if np.isfinite(r)
    ]
    return cards


def frame_table(series: Series) -> Table:
    """One row for each frame of a series, in order of time."""
    count = len(series.frames)
    bjd = np.full(count, np.nan) if series.bjd_tdb is None else series.bjd_tdb
    return Table(
        (
            _column("frame", np.arange(count), None, "index along the axis of frames"),
            _column("file", names(series.frames), None, "raw frame"),
            _column("bjd_tdb", bjd, u.d, "mid-exposure at the target"),
            _column("jd_utc", series.jd_utc, u.d, "mid-exposure"),
            _column("fwhm", series.fwhm, u.pix, "full width at half maximum"),
            _column("ellipticity", series.ellipticity, None, "of the stars, 1 - minor / major axis"),
            _column("angle", series.angle, u.deg, "of their major axis, from +x towards +y"),
            _column("dx", series.shift[:, 0], u.pix, "columns: centre of the reference in the frame"),
            _column("dy", series.shift[:, 1], u.pix, "rows: centre of the reference in the frame"),
            _column("rotation", series.rotation, u.deg, "against the reference"),
            _column("sky", series.frame_sky, _PER_PIXEL, "median over the stars"),
            _column("airmass", series.airmass, None, "at mid-exposure"),
            _column("flags", np.asarray(series.flags, np.int32), None, "bits, see the primary header"),
            _column(
                "matched", np.asarray(series.matched, np.int32), None, "stars that agreed with the reference"
            ),
            _column("reason", names(series.reasons), None, "why the frame is flagged"),
        )
    )


def aperture_table(series: Series) -> Table:
    """One row for each aperture of a series."""
    return Table(
        (
            _column("radius_fwhm", series.radii_fwhm, None, "in FWHM of the reference"),
            _column("radius", series.radii, u.pix, "radius"),
        )
    )


def table_hdu(name: str, table: Table) -> fits.BinTableHDU:
    """A table for FITS: text in ASCII, units as TUNIT and descriptions as TCOMM cards."""
    plain = Table({key: _fits_values(table[key]) for key in table.colnames})
    hdu = fits.table_to_hdu(plain)
    hdu.name = name
    for number, key in enumerate(table.colnames, start=1):
        hdu.header[f"TCOMM{number}"] = ascii_only(table[key].description or "")
        # Set here, for "electron" is not among the units of the FITS standard, and astropy would drop it.
        if table[key].unit is not None:
            hdu.header[f"TUNIT{number}"] = table[key].unit.to_string().replace(" ", "")
    return hdu


def _fits_values(values: Column) -> np.ndarray:
    """A column's values as FITS can hold them."""
    return names(map(ascii_only, values)) if values.dtype.kind == "U" else np.asarray(values)


def _image_hdu(name: str, array: np.ndarray, unit: str, axes: str) -> fits.ImageHDU:
    """An array as a float32 image extension, the meaning of its axes in a comment."""
    hdu = fits.ImageHDU(np.ascontiguousarray(array, dtype=np.float32), name=name)
    if unit:
        hdu.header["BUNIT"] = unit
    hdu.header.add_comment(axes)
    return hdu


def read_measurements(path: Path) -> Measurements:
    """What is in a measurements.fits, in native byte order.

    Raises
    ------
    HeaderError
        The file cannot be read, or holds no measurements of ours.
    """
    try:
        with fits.open(Path(path), memmap=False) as hdus:
            return _measurements_of(hdus)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise HeaderError(
            f"{Path(path).name}: no measurements of potpyri_like can be read from it ({error});"
            " give a measurements.fits"
        ) from error


def _measurements_of(hdus: fits.HDUList) -> Measurements:
    """What `measurements` put into an HDU list."""
    header = hdus[0].header
    images = {hdu.name: _native(hdu.data) for hdu in hdus if isinstance(hdu, fits.ImageHDU)}
    return Measurements(
        stars=_table_of(hdus["STARS"]),
        frames=_table_of(hdus["FRAMES"]),
        apertures=_table_of(hdus["APERTURES"]),
        flux=images["FLUX"],
        flux_err=images["FLUX_ERR"],
        relflux=images.get("RELFLUX"),
        relflux_err=images.get("RELFLUX_ERR"),
        aperture=header["APERTURE"],
        meta={key: value for key, value in header.items() if key not in ("COMMENT", "")},
    )


def _table_of(hdu: fits.BinTableHDU) -> Table:
    """A table of ours from FITS: native byte order, units and descriptions from the TUNIT and TCOMM cards."""
    columns = []
    for number, key in enumerate(hdu.columns.names, start=1):
        unit = hdu.header.get(f"TUNIT{number}")
        values = _native(np.asarray(hdu.data[key]))
        columns.append(_column(key, values, u.Unit(unit) if unit else None, hdu.header[f"TCOMM{number}"]))
    return Table(columns)


# -- columns -------------------------------------------------------------------------------------------------


def _column(name: str, values: ArrayLike, unit: u.UnitBase | None, description: str) -> Column:
    return Column(values, name=name, unit=unit, description=description)


def names(texts: Iterable[str]) -> np.ndarray:
    """Texts as an array that is never of width 0, which FITS would not hold."""
    cleaned = [clean(text) for text in texts]
    return np.array(cleaned, dtype=f"U{max([1, *map(len, cleaned)])}")


def _numbers(values: Column) -> np.ndarray:
    """A column as float64, NaN where it is empty."""
    return np.ma.filled(np.ma.asarray(values, float), np.nan)


def _texts(values: Column) -> tuple[str, ...]:
    """A column as texts, "" where it is empty."""
    return tuple(str(text) for text in np.ma.filled(np.ma.asarray(values), ""))


def _native(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
