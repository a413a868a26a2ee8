"""A light curve as a FITS table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from astropy.io import fits
from astropy.table import Table

from potpyri_like.photometry.series import LightCurve
from potpyri_like.products.exports.fields import light_curve, method
from potpyri_like.products.tables.columns import names
from potpyri_like.products.tables.light_curve import light_curve_table
from potpyri_like.products.tables.measurements import Card, table_hdu
from potpyri_like.products.tables.stars import star_table
from potpyri_like.products.words import FLAG_MEANINGS, SOFTWARE, ascii_only
from potpyri_like.results import SetResult

__all__ = ["light_curve_fits"]


def light_curve_fits(result: SetResult, *, options: Mapping[str, object] | None = None) -> fits.HDUList:
    """A light curve as FITS: table LIGHTCURVE as in lightcurve.ecsv, STARS as in measurements.fits, and CONFIG.

    The same bytes for the same content: no card tells the date.

    Parameters
    ----------
    result : SetResult
    options : mapping of str to value, optional
        The settings: the rows of CONFIG, name and value as text.

    Raises
    ------
    ProductError
        There is no light curve.
    """
    curve = light_curve(result)
    options = options or {}
    primary = fits.PrimaryHDU()
    primary.header.extend(_light_curve_cards(curve, method(options)))
    for bit, words in sorted(FLAG_MEANINGS.items()):
        primary.header.add_comment(f"LIGHTCURVE flags bit {bit}: {words}")
    tables = [table_hdu("LIGHTCURVE", light_curve_table(curve))]
    if result.series is not None:
        tables.append(table_hdu("STARS", star_table(result)))
    return fits.HDUList([primary, *tables, _config_hdu(options)])


def _light_curve_cards(curve: LightCurve, how: str) -> list[Card]:
    """The cards of the primary header; those that would be NaN are excluded."""
    barycentric = curve.time_name == "bjd_tdb"
    cards: list[Card] = [
        ("OBJECT", ascii_only(curve.target), "target"),
        ("CAMERA", ascii_only(curve.camera), "camera"),
        ("FILTER", ascii_only(curve.band), "band"),
        ("METHOD", ascii_only(how), "photometry method"),
        ("APERTURE", float(curve.radius), "[pix] radius"),
        ("APFWHM", float(curve.radius_fwhm), "radius in FWHM of the reference"),
        ("ANNINNER", float(curve.annulus[0]), "[pix] inner radius of the sky annulus"),
        ("ANNOUTER", float(curve.annulus[1]), "[pix] outer radius of the sky annulus"),
        ("STAR", int(curve.star), "row of STARS, 0-based"),
        ("NCOMP", len(curve.comparisons), "comparison stars; weights in STARS"),
        ("TIMESYS", "TDB" if barycentric else "UTC", "scale of the times, mid-exposure"),
        ("TIMECOL", curve.time_name, "column of the times, days"),
        ("SOFTWARE", SOFTWARE, "made by"),
    ]
    noise = (("RMS", "rms"), ("P2P", "point_to_point"), ("EXPECTED", "expected"))
    cards += [(card, float(curve.noise.get(key, np.nan)), f"relative noise: {key}") for card, key in noise]
    return [card for card in cards if not (isinstance(card[1], float) and not np.isfinite(card[1]))]


def _config_hdu(options: Mapping[str, object]) -> fits.BinTableHDU:
    """The settings as a table of texts."""
    table = Table({"name": names(map(str, options)), "value": names(map(str, options.values()))})
    table["name"].description, table["value"].description = "setting", "as text"
    return table_hdu("CONFIG", table)
