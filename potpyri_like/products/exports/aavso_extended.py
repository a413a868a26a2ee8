"""The extended format of the AAVSO."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from potpyri_like.photometry.series import LightCurve, Series
from potpyri_like.products.exports.fields import (
    DELIMITER,
    LONGEST_CHART,
    LONGEST_STAR,
    NA,
    OTHER,
    code_comment,
    filter_note,
    fixed,
    light_curve,
    measured,
    middle,
    observer_code,
    one_line,
    some,
    submitted,
)
from potpyri_like.products.words import SOFTWARE, flag_words, short
from potpyri_like.results import SetResult, StarTable

__all__ = ["aavso_extended", "aavso_filter"]

_MAG = 2.5 / np.log(10)
_EXTENDED_COLUMNS = (
    "NAME",
    "DATE",
    "MAG",
    "MERR",
    "FILT",
    "TRANS",
    "MTYPE",
    "CNAME",
    "CMAG",
    "KNAME",
    "KMAG",
    "AMASS",
    "GROUP",
    "CHART",
    "NOTES",
)
# The short names of vsx.aavso.org/index.php?view=api.bands. In upper case Johnson-Cousins, in lower Sloan.
_SLOAN = {"u": "SU", "g": "SG", "r": "SR", "i": "SI", "z": "SZ"}
_CODES = ("U", "B", "V", "R", "I", "J", "H", "K", "TB", "TG", "TR", "CV", "CR", "CBB", *_SLOAN.values(), "ZS")
_CLEAR = (
    "",
    "c",
    "l",
    "clear",
    "luminance",
    "lum",
    "none",
    "no filter",
    "nofilter",
    "open",
    "empty",
    "white",
)


def aavso_extended(
    result: SetResult,
    *,
    observer: str = "",
    star: str = "",
    filter_code: str = "",
    obstype: str = "CCD",
    chart: str = NA,
    notes: str = "",
) -> str:
    """A report in the AAVSO Extended File Format, version 1.2 (www.aavso.org/aavso-extended-file-format).

    Magnitudes are differential, -2.5 log10 of the target's light over that of the comparison stars together. The
    check star is the steadiest of these, measured against the others. Times are JD_UTC of mid-exposure. Points
    without a flux above 0, and those whose flags exclude them from reports, are excluded; of the others NOTES tells
    the flags.

    Parameters
    ----------
    result : SetResult
    observer : str
        The observer's AAVSO code; without it stands NONE, and a comment asks for the code.
    star : str
        The AAVSO's name or designation of the star; without it, the target's name.
    filter_code : str
        The AAVSO's short name of the filter, where `aavso_filter` would not find it.
    obstype : str
    chart : str
        The AAVSO's identification of the comparison stars' chart.
    notes : str
        Told of every point.

    Raises
    ------
    ProductError
        There is no light curve, or nothing above 0 in it.
    """
    curve, series = light_curve(result), measured(result)
    code = one_line(filter_code) or aavso_filter(curve.band)
    mag = _magnitude(curve.flux, middle(_target_ratio(curve, series, result.aperture)))
    check, check_mag = _check_star(result, curve)
    shown = np.flatnonzero(np.isfinite(mag) & np.isfinite(series.jd_utc) & submitted(curve))
    some(shown, curve)
    same = {
        "NAME": _field(star or curve.target).lstrip("# ")[:LONGEST_STAR].strip() or NA,
        "FILT": _field(code),
        "TRANS": "NO",
        "MTYPE": "DIF",
        "CNAME": _comparison_words(curve),
        "KNAME": NA if check is None else f"star {check}",
        "CHART": _field(chart)[:LONGEST_CHART] or NA,
    }
    lines = _extended_header(curve, series, observer=observer, obstype=obstype, check=check)
    for i in shown:
        told = [*flag_words(curve.flags[i]), *filter_note(code, curve.band), notes]
        point = {
            "DATE": fixed(series.jd_utc[i], 8),
            "MAG": fixed(mag[i], 4),
            "MERR": _error_words(_MAG * curve.flux_err[i] / curve.flux[i]),
            "KMAG": fixed(check_mag[i], 4),
            "AMASS": fixed(series.airmass[i], 4),
            "NOTES": _field("; ".join(filter(None, told))) or NA,
        }
        lines.append(DELIMITER.join({**same, **point}.get(name, NA) for name in _EXTENDED_COLUMNS))
    return "\n".join(lines) + "\n"


def aavso_filter(band: str) -> str:
    """The AAVSO's short name of a filter; "O", other, for one that it has none for.

    Lower case is Sloan (g, g', gp, g_sdss), upper case Johnson and Cousins (V, Rc); nothing and "clear" are CV,
    which means magnitudes of the V band.
    """
    plain = re.sub(r"(?i)(sloan|sdss|johnson|cousins|bessell?)", "", band).strip(" '_-.′")
    if plain.casefold() in _CLEAR:
        return "CV"
    if plain in _CODES:
        return plain
    if plain.casefold() == "zs":  # Pan-STARRS z, cut short
        return "ZS"
    single = plain[:1] if re.fullmatch(r"[A-Za-z][pcs]?", plain) else ""
    return _SLOAN.get(single) or (single if single in "UBVRI" else _SLOAN.get(single.lower(), "")) or OTHER


def _extended_header(
    curve: LightCurve, series: Series, *, observer: str, obstype: str, check: int | None
) -> list[str]:
    """The lines of an Extended report before its data."""
    parameters = {
        "TYPE": "EXTENDED",
        "OBSCODE": observer_code(observer),
        "SOFTWARE": SOFTWARE,
        "DELIM": DELIMITER,
        "DATE": "JD",
        "OBSTYPE": one_line(obstype),
    }
    lines = [f"#{key}={value}" for key, value in parameters.items()] + code_comment(observer)
    lines.append(
        f"# Aperture {short(curve.radius)} px; the comparison stars are {_star_places(curve.comparisons, series)}"
    )
    if check is not None:
        lines.append(f"# Check star: star {check}, measured against the other comparison stars")
    return [*lines, "#" + DELIMITER.join(_EXTENDED_COLUMNS)]


def _star_places(stars: Iterable[int], series: Series) -> str:
    """Stars with their places in the reference frame."""
    places = (f"star {star} at ({x:.1f} {y:.1f})" for star in stars for x, y in [series.reference_xy[star]])
    return "; ".join(places) or "none"


def _comparison_words(curve: LightCurve) -> str:
    """CNAME: the comparison stars together, or the one there is."""
    if len(curve.comparisons) > 1:
        return "ENSEMBLE"
    return "".join(f"star {star}" for star in curve.comparisons) or NA


def _check_star(result: SetResult, curve: LightCurve) -> tuple[int | None, np.ndarray]:
    """The comparison star of the least scatter and its magnitudes; None and NaN where none was measured."""
    stars, nothing = result.stars, np.full(len(curve.time), np.nan)
    if stars is None:
        return None, nothing
    usable = [s for s in curve.comparisons if s != curve.star and np.isfinite(stars.rms[s])]
    if not usable:
        return None, nothing
    check = min(usable, key=lambda s: stars.rms[s])
    return check, _magnitude(stars.relflux[:, check], _check_ratio(stars, curve, check))


def _check_ratio(stars: StarTable, curve: LightCurve, check: int) -> float:
    """Light of the check star over that of the comparison stars together."""
    return float(stars.flux[check] / middle(curve.comparison))


def _target_ratio(curve: LightCurve, series: Series, aperture: int) -> np.ndarray:
    """Light of the target over that of the comparison stars, for each frame: of a relative flux of 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = series.flux[:, curve.star, aperture] / curve.comparison / curve.flux
    return np.where(np.isfinite(ratio) & (ratio > 0), ratio, np.nan)


def _magnitude(flux: np.ndarray, ratio: float) -> np.ndarray:
    """Magnitudes of relative fluxes, of which 1 is the light of so many ensembles; NaN below 0."""
    light = np.where(flux > 0, flux, np.nan) * ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        mag = -_MAG * np.log(light)
    return np.where(np.isfinite(mag), mag, np.nan)


def _error_words(error: float) -> str:
    """An uncertainty in magnitudes in the six characters of the AAVSO; never 0."""
    return f"{np.clip(error, 1e-4, 9999):.4f}"[:6] if np.isfinite(error) else NA


def _field(text: str) -> str:
    """Text for one field of a row: without the character between fields."""
    return one_line(text.replace(DELIMITER, " "))
