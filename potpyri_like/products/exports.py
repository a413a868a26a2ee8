"""A set's measurements in the formats of others: archi's text, FITS, CSV, and the two reports of the AAVSO.

Nothing here writes a file: each function gives the contents of one.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.table import Table

from potpyri_like.errors import ProductError
from potpyri_like.frame import Purpose, excluded
from potpyri_like.photometry.series import LightCurve, Series
from potpyri_like.products.tables import Card, light_curve_table, names, star_table, table_hdu
from potpyri_like.products.words import FLAG_MEANINGS, SOFTWARE, ascii_only, clean, flag_words, plural, short
from potpyri_like.results import SetResult, StarTable

if TYPE_CHECKING:
    from potpyri_like.lightcurves.transit_fit import BandFit, Estimate, TransitFit

__all__ = [
    "aavso_exoplanet",
    "aavso_extended",
    "aavso_filter",
    "archi_text",
    "light_curve_csv",
    "light_curve_fits",
]

_MJD = 2400000.5
_MAG = 2.5 / np.log(10)
_NOBODY = "NONE"  # stands where the observer's code belongs, until it is known
_NA = "na"
_DELIMITER = ","
_COLUMNS = ("time", "airmass", "x", "y", "fwhm", "sky", "comparison")  # that a baseline may depend on
_MOST_DETREND = 4  # AAVSO
_LONGEST_FREE = 250  # AAVSO: characters of PRIORS and of RESULTS
_LONGEST_PLANET, _LONGEST_STAR, _LONGEST_CHART = 100, 30, 20  # AAVSO: of names
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
_OTHER = "O"


# -- archi ---------------------------------------------------------------------------------------------------


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
    series = _measured(result)
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
        f"method: {_method(options)}",
        f"aperture: {series.radii[result.aperture]:.4f} px = {series.radii_fwhm[result.aperture]:.4f} FWHM",
        f"sky: annulus from {inner:.4f} to {outer:.4f} px, subtracted",
        f"stars: the target is star {'unknown' if curve is None else curve.star} and comes first, then the others"
        " by their numbers in measurements.fits",
        f"comparison stars (weights): {weights or 'none'}",
        f"MJD_TIME: {scale} of mid-exposure minus {_MJD}, days",
        "ROLL_ANGLE: rotation of the field against the reference frame, degrees",
        "FLUX, FLUX_ERR: electrons in the aperture, above the sky; nan: not measured",
        *(f"{name}: {value}" for name, value in options.items()),
    ]


def _method(options: Mapping[str, object]) -> str:
    """How the light was summed."""
    return str(options.get("photometer") or "aperture")


def _target_first(result: SetResult, series: Series) -> list[int]:
    """The numbers of the stars, the target's first where there is one."""
    stars = list(range(series.flux.shape[1]))
    target = result.light_curve.star if result.light_curve is not None else None
    return stars if target is None else [target, *(star for star in stars if star != target)]


# -- FITS and CSV --------------------------------------------------------------------------------------------


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
    curve = _light_curve(result)
    options = options or {}
    primary = fits.PrimaryHDU()
    primary.header.extend(_light_curve_cards(curve, _method(options)))
    for bit, words in sorted(FLAG_MEANINGS.items()):
        primary.header.add_comment(f"LIGHTCURVE flags bit {bit}: {words}")
    tables = [table_hdu("LIGHTCURVE", light_curve_table(curve))]
    if result.series is not None:
        tables.append(table_hdu("STARS", star_table(result)))
    return fits.HDUList([primary, *tables, _config_hdu(options)])


def _light_curve_cards(curve: LightCurve, how: str) -> list[Card]:
    """The cards of the primary header; those that would be NaN are left out."""
    barycentric = curve.time_name == "bjd_tdb"
    cards: list[Card] = [
        ("OBJECT", ascii_only(curve.target), "target"),
        ("CAMERA", ascii_only(curve.camera), "camera"),
        ("FILTER", ascii_only(curve.band), "band"),
        ("METHOD", ascii_only(how), "how the light was summed"),
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


def light_curve_csv(result: SetResult) -> str:
    """A light curve as CSV (RFC 4180), with the columns of lightcurve.ecsv in the first line.

    Numbers have all their digits, and NaN is "nan": ``float`` gives each back to the last bit.

    Raises
    ------
    ProductError
        There is no light curve.
    """
    table = light_curve_table(_light_curve(result))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(table.colnames)
    writer.writerows(zip(*(table[name].tolist() for name in table.colnames), strict=True))
    return text.getvalue()


# -- AAVSO ---------------------------------------------------------------------------------------------------


def aavso_exoplanet(
    result: SetResult,
    fit: TransitFit | None = None,
    *,
    curve_name: str = "",
    observer: str = "",
    secondary: Sequence[str] = (),
    star: str = "",
    planet: str = "",
    filter_code: str = "",
    detrend: Sequence[str] | None = None,
    priors: Mapping[str, object] | None = None,
    obstype: str = "CCD",
    notes: str = "",
) -> str:
    """A report for the AAVSO Exoplanet Database, of its format's revision 1.0 (apps.aavso.org/exosite/doc).

    The fluxes are as measured, 1 out of transit, without the baseline that a fit may have found: the format asks
    for that, with what the baseline depends on beside it. Points whose flags exclude them from reports are left out.

    Parameters
    ----------
    result : SetResult
    fit : TransitFit, optional
        What goes into RESULTS, if it found a transit.
    curve_name : str
        The name that this light curve has in the fit; without it, its band.
    observer : str
        The observer's AAVSO code; without it stands NONE, and a comment asks for the code.
    secondary : sequence of str
        Codes of other observers.
    star, planet : str
        Their names; without them they are taken from the target's.
    filter_code : str
        The AAVSO's short name of the filter, where `aavso_filter` would not find it.
    detrend : sequence of str, optional
        Up to four of time, airmass, x, y, fwhm, sky, comparison; those without a number are left out. Without it,
        those that the fit chose for its baseline; without a fit, the airmass.
    priors : mapping of str to value, optional
    obstype : str
        "CCD", which CMOS counts as, or "DSLR".
    notes : str

    Raises
    ------
    ProductError
        There is no light curve, or no number in it.
    """
    curve, series = _light_curve(result), _measured(result)
    host, world, doubt = _planet_names(curve.target, star=star, planet=planet)
    band = _fitted_band(fit, curve_name or curve.band)
    if detrend is None:
        detrend = ("airmass",) if band is None else band.chosen
    known = _detrending(curve, detrend)
    shown = np.flatnonzero(np.isfinite(curve.flux) & np.isfinite(curve.time) & _submitted(curve))
    _some(shown, curve)
    told = [_one_line(notes), *_exoplanet_notes(curve, shown)]
    header = {
        "TYPE": "EXOPLANET",
        "OBSCODE": _observer_code(observer),
        "SECONDARY_OBSCODES": _DELIMITER.join(_observer_code(code) for code in secondary),
        "SOFTWARE": SOFTWARE,
        "DELIM": _DELIMITER,
        "DATE_TYPE": "BJD_TDB" if curve.time_name == "bjd_tdb" else "JD_UTC",
        "OBSTYPE": _one_line(obstype),
        "STAR_NAME": _one_line(host)[:_LONGEST_PLANET],
        "EXOPLANET_NAME": _one_line(world)[:_LONGEST_PLANET],
        "BINNING": "x".join(map(str, result.observed.binning)),
        "EXPOSURE_TIME": _exposure_words(series),
        "FILTER": _one_line(filter_code) or aavso_filter(curve.band),
        "DETREND_PARAMETERS": _DELIMITER.join(name.upper() for name in known),
        "MEASUREMENT_TYPE": "Rnflux",
        "PRIORS": _within(f"{key}={value}" for key, value in (priors or {}).items()),
        "RESULTS": _within(_transit_results(fit, band)),
        "NOTES": "; ".join(filter(None, told)),
    }
    lines = [f"#{key}={value}" for key, value in header.items()]
    lines += [*_code_comment(observer), *doubt, *_exoplanet_rows(curve, known, shown)]
    return "\n".join(lines) + "\n"


def _exoplanet_rows(curve: LightCurve, known: Mapping[str, np.ndarray], shown: np.ndarray) -> Iterator[str]:
    """The names of the columns and a line for each point of an Exoplanet report."""
    yield _DELIMITER.join(["#DATE", "DIFF", "ERR", *(f"DETREND_{n + 1}" for n in range(len(known)))])
    for i in shown:
        point = [_fixed(curve.time[i], 8), _fixed(curve.flux[i], 8), _fixed(curve.flux_err[i], 6)]
        yield _DELIMITER.join(point + [_fixed(values[i], 6) for values in known.values()])


def aavso_extended(
    result: SetResult,
    *,
    observer: str = "",
    star: str = "",
    filter_code: str = "",
    obstype: str = "CCD",
    chart: str = _NA,
    notes: str = "",
) -> str:
    """A report in the AAVSO Extended File Format, version 1.2 (www.aavso.org/aavso-extended-file-format).

    Magnitudes are differential, -2.5 log10 of the target's light over that of the comparison stars together. The
    check star is the steadiest of these, measured against the others. Times are JD_UTC of mid-exposure. Points
    without a flux above 0, and those whose flags exclude them from reports, are left out; of the others NOTES tells
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
    curve, series = _light_curve(result), _measured(result)
    code = _one_line(filter_code) or aavso_filter(curve.band)
    mag = _magnitude(curve.flux, _middle(_target_ratio(curve, series, result.aperture)))
    check, check_mag = _check_star(result, curve)
    shown = np.flatnonzero(np.isfinite(mag) & np.isfinite(series.jd_utc) & _submitted(curve))
    _some(shown, curve)
    same = {
        "NAME": _field(star or curve.target).lstrip("# ")[:_LONGEST_STAR].strip() or _NA,
        "FILT": _field(code),
        "TRANS": "NO",
        "MTYPE": "DIF",
        "CNAME": _comparison_words(curve),
        "KNAME": _NA if check is None else f"star {check}",
        "CHART": _field(chart)[:_LONGEST_CHART] or _NA,
    }
    lines = _extended_header(curve, series, observer=observer, obstype=obstype, check=check)
    for i in shown:
        told = [*flag_words(curve.flags[i]), *_filter_note(code, curve.band), notes]
        point = {
            "DATE": _fixed(series.jd_utc[i], 8),
            "MAG": _fixed(mag[i], 4),
            "MERR": _error_words(_MAG * curve.flux_err[i] / curve.flux[i]),
            "KMAG": _fixed(check_mag[i], 4),
            "AMASS": _fixed(series.airmass[i], 4),
            "NOTES": _field("; ".join(filter(None, told))) or _NA,
        }
        lines.append(_DELIMITER.join({**same, **point}.get(name, _NA) for name in _EXTENDED_COLUMNS))
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
    return _SLOAN.get(single) or (single if single in "UBVRI" else _SLOAN.get(single.lower(), "")) or _OTHER


def _extended_header(
    curve: LightCurve, series: Series, *, observer: str, obstype: str, check: int | None
) -> list[str]:
    """The lines of an Extended report before its data."""
    parameters = {
        "TYPE": "EXTENDED",
        "OBSCODE": _observer_code(observer),
        "SOFTWARE": SOFTWARE,
        "DELIM": _DELIMITER,
        "DATE": "JD",
        "OBSTYPE": _one_line(obstype),
    }
    lines = [f"#{key}={value}" for key, value in parameters.items()] + _code_comment(observer)
    lines.append(
        f"# Aperture {short(curve.radius)} px; the comparison stars are {_star_places(curve.comparisons, series)}"
    )
    if check is not None:
        lines.append(f"# Check star: star {check}, measured against the other comparison stars")
    return [*lines, "#" + _DELIMITER.join(_EXTENDED_COLUMNS)]


def _star_places(stars: Iterable[int], series: Series) -> str:
    """Stars with their places in the reference frame."""
    places = (f"star {star} at ({x:.1f} {y:.1f})" for star in stars for x, y in [series.reference_xy[star]])
    return "; ".join(places) or "none"


def _comparison_words(curve: LightCurve) -> str:
    """CNAME: the comparison stars together, or the one there is."""
    if len(curve.comparisons) > 1:
        return "ENSEMBLE"
    return "".join(f"star {star}" for star in curve.comparisons) or _NA


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
    return float(stars.flux[check] / _middle(curve.comparison))


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


def _planet_names(target: str, *, star: str, planet: str) -> tuple[str, str, list[str]]:
    """Names of the star and of its planet, and a comment where the planet's is a guess."""
    suffix = re.search(r"(?<=[\w)])(\s+[b-j]|(?<=\d)[b-j]|\.\d\d)$", target)
    host = star or (target[: suffix.start()].strip() if suffix else target)
    if planet or suffix:
        return host, planet or target, []
    guess = f"{host} b"
    return host, guess, ["# The target's name tells no planet: correct EXOPLANET_NAME if it is not this one"]


def _detrending(curve: LightCurve, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns of a light curve that a baseline may depend on, those with a number in them.

    Times are counted from the first day's beginning and comparison counts in their median, for the AAVSO has
    six digits before the point.
    """
    known: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(wanted):
        values = np.asarray(getattr(curve, name), float) if name in _COLUMNS else np.empty(0)
        if len(known) < _MOST_DETREND and np.isfinite(values).any():
            zero = np.floor(np.nanmin(values)) if name == "time" else 0.0
            known[name] = (values - zero) / (_middle(values) if name == "comparison" else 1.0)
    return known


def _fitted_band(fit: TransitFit | None, name: str) -> BandFit | None:
    """What a fit says of one curve."""
    return next((band for band in fit.bands if band.name == name), None) if fit is not None else None


def _transit_results(fit: TransitFit | None, band: BandFit | None) -> list[str]:
    """What RESULTS says of a transit."""
    if fit is None:
        return []
    if not fit.detected:
        return ["no significant transit"]
    told = [("Tc", fit.tc, 6)]
    if band is not None:
        told += [("Rp/R*", band.k, 5), ("Depth", band.depth, 6)]
    told += [("Duration", fit.t14, 5), ("b", fit.b, 3)]
    return [
        f"{name}={_estimated(figure, digits)}" for name, figure, digits in told if np.isfinite(figure.value)
    ]


def _estimated(figure: Estimate, digits: int) -> str:
    """A number with the larger of its two uncertainties."""
    error = max(figure.minus, figure.plus)
    return _fixed(figure.value, digits) + (f" +/- {_fixed(error, digits)}" if np.isfinite(error) else "")


def _exoplanet_notes(curve: LightCurve, shown: np.ndarray) -> list[str]:
    """What NOTES says of a light curve besides what the observer says."""
    flags = Counter(words for i in shown for words in flag_words(curve.flags[i]))
    return [
        *_filter_note(aavso_filter(curve.band), curve.band),
        f"aperture {short(curve.radius)} px",
        plural(len(curve.comparisons), "comparison star"),
        *(f"{plural(count, 'point')} with {words}" for words, count in flags.items()),
    ]


def _filter_note(code: str, band: str) -> list[str]:
    """The name of a filter that the AAVSO has no short name for."""
    return [f"filter {_one_line(band)}"] if code == _OTHER else []


def _exposure_words(series: Series) -> str:
    """The median exposure in seconds."""
    exposure = _middle(series.exposure)
    return f"{exposure:g}" if np.isfinite(exposure) else _NA


def _observer_code(code: str) -> str:
    """An observer's code, or what stands for one."""
    return re.sub(r"[^A-Z0-9]", "", code.upper()) or _NOBODY


def _code_comment(observer: str) -> list[str]:
    """The request for a code that is missing."""
    if _observer_code(observer) != _NOBODY:
        return []
    return [f"# Put your AAVSO observer code in the place of {_NOBODY} above before you send this file"]


# -- pieces --------------------------------------------------------------------------------------------------


def _light_curve(result: SetResult) -> LightCurve:
    """The light curve of a set, which must be there."""
    if result.light_curve is None:
        raise ProductError(f"{result.observed.name}: no light curve was made, and there is nothing to export")
    return result.light_curve


def _measured(result: SetResult) -> Series:
    """The series of a set, which must be there."""
    if result.series is None:
        raise ProductError(f"{result.observed.name}: no star was measured, and there is nothing to export")
    return result.series


def _submitted(curve: LightCurve) -> np.ndarray:
    """The points that may be reported to others: neither known to be bad nor of a doubtful time."""
    return ~excluded(curve.flags, Purpose.TIMES)


def _some(shown: np.ndarray, curve: LightCurve) -> None:
    """Nothing, where there are points to be shown."""
    if not shown.size:
        raise ProductError(f"{clean(curve.target)}: its light curve has no point to report; see its flags")


def _middle(values: np.ndarray) -> float:
    """Median without NaN; NaN without numbers."""
    values = np.asarray(values, float)
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def _fixed(value: float, digits: int) -> str:
    """A number with so many decimals, or "na"."""
    return f"{value:.{digits}f}" if np.isfinite(value) else _NA


def _error_words(error: float) -> str:
    """An uncertainty in magnitudes in the six characters of the AAVSO; never 0."""
    return f"{np.clip(error, 1e-4, 9999):.4f}"[:6] if np.isfinite(error) else _NA


def _within(entries: Iterable[str]) -> str:
    """As many entries, from the first, as there is room for in a line of the AAVSO."""
    text = ""
    for entry in map(_one_line, entries):
        longer = f"{text}{_DELIMITER}{entry}" if text else entry
        if len(longer) > _LONGEST_FREE:
            break
        text = longer
    return text


def _one_line(text: str) -> str:
    """Text in a line of ASCII."""
    return " ".join(ascii_only(text).split())


def _field(text: str) -> str:
    """Text for one field of a row: without the character between fields."""
    return _one_line(text.replace(_DELIMITER, " "))
