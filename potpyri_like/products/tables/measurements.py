"""measurements.fits: every star, frame and aperture, and how it is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Column, Table

from potpyri_like.errors import HeaderError
from potpyri_like.photometry.series import Series
from potpyri_like.products.tables.columns import PER_PIXEL, column, names
from potpyri_like.products.tables.stars import star_table
from potpyri_like.products.words import FLAG_MEANINGS, SOFTWARE, ascii_only
from potpyri_like.results import SetResult
from potpyri_like.store import FITS_ELECTRON

__all__ = [
    "Card",
    "Measurements",
    "aperture_table",
    "frame_table",
    "measurements",
    "read_measurements",
    "table_hdu",
]

Card = tuple[str, str | int | float | bool | None, str]  # of a FITS header: keyword, value, comment
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
            column("frame", np.arange(count), None, "index along the axis of frames"),
            column("file", names(series.frames), None, "raw frame"),
            column("bjd_tdb", bjd, u.d, "mid-exposure at the target"),
            column("jd_utc", series.jd_utc, u.d, "mid-exposure"),
            column("fwhm", series.fwhm, u.pix, "full width at half maximum"),
            column("ellipticity", series.ellipticity, None, "of the stars, 1 - minor / major axis"),
            column("angle", series.angle, u.deg, "of their major axis, from +x towards +y"),
            column("dx", series.shift[:, 0], u.pix, "columns: centre of the reference in the frame"),
            column("dy", series.shift[:, 1], u.pix, "rows: centre of the reference in the frame"),
            column("rotation", series.rotation, u.deg, "against the reference"),
            column("sky", series.frame_sky, PER_PIXEL, "median over the stars"),
            column("airmass", series.airmass, None, "at mid-exposure"),
            column("flags", np.asarray(series.flags, np.int32), None, "bits, see the primary header"),
            column(
                "matched", np.asarray(series.matched, np.int32), None, "stars that agreed with the reference"
            ),
            column("reason", names(series.reasons), None, "why the frame is flagged"),
        )
    )


def aperture_table(series: Series) -> Table:
    """One row for each aperture of a series."""
    return Table(
        (
            column("radius_fwhm", series.radii_fwhm, None, "in FWHM of the reference"),
            column("radius", series.radii, u.pix, "radius"),
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
        unit = str(hdu.header.get(f"TUNIT{number}", "")).replace(FITS_ELECTRON, "electron")
        values = _native(np.asarray(hdu.data[key]))
        columns.append(column(key, values, u.Unit(unit) if unit else None, hdu.header[f"TCOMM{number}"]))
    return Table(columns)


def _native(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
