"""The report of a transit for the AAVSO Exoplanet Database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from potpyri_like.photometry.series import LightCurve, Series
from potpyri_like.products.exports.aavso_extended import aavso_filter
from potpyri_like.products.exports.fields import (
    DELIMITER,
    LONGEST_PLANET,
    NA,
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
from potpyri_like.products.words import SOFTWARE, flag_words, plural, short
from potpyri_like.results import SetResult

if TYPE_CHECKING:
    from potpyri_like.lightcurves.transit_fit import BandFit, Estimate, TransitFit

__all__ = ["aavso_exoplanet"]

_COLUMNS = ("time", "airmass", "x", "y", "fwhm", "sky", "comparison")  # that a baseline may depend on
_MOST_DETREND = 4  # AAVSO
_LONGEST_FREE = 250  # AAVSO: characters of PRIORS and of RESULTS


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
    for that, with what the baseline depends on beside it. Points whose flags exclude them from reports are excluded.

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
        Up to four of time, airmass, x, y, fwhm, sky, comparison; those without a number are excluded. Without it,
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
    curve, series = light_curve(result), measured(result)
    host, world, doubt = _planet_names(curve.target, star=star, planet=planet)
    band = _fitted_band(fit, curve_name or curve.band)
    if detrend is None:
        detrend = ("airmass",) if band is None else band.chosen
    known = _detrending(curve, detrend)
    shown = np.flatnonzero(np.isfinite(curve.flux) & np.isfinite(curve.time) & submitted(curve))
    some(shown, curve)
    told = [one_line(notes), *_exoplanet_notes(curve, shown)]
    header = {
        "TYPE": "EXOPLANET",
        "OBSCODE": observer_code(observer),
        "SECONDARY_OBSCODES": DELIMITER.join(observer_code(code) for code in secondary),
        "SOFTWARE": SOFTWARE,
        "DELIM": DELIMITER,
        "DATE_TYPE": "BJD_TDB" if curve.time_name == "bjd_tdb" else "JD_UTC",
        "OBSTYPE": one_line(obstype),
        "STAR_NAME": one_line(host)[:LONGEST_PLANET],
        "EXOPLANET_NAME": one_line(world)[:LONGEST_PLANET],
        "BINNING": "x".join(map(str, result.observed.binning)),
        "EXPOSURE_TIME": _exposure_words(series),
        "FILTER": one_line(filter_code) or aavso_filter(curve.band),
        "DETREND_PARAMETERS": DELIMITER.join(name.upper() for name in known),
        "MEASUREMENT_TYPE": "Rnflux",
        "PRIORS": _within(f"{key}={value}" for key, value in (priors or {}).items()),
        "RESULTS": _within(_transit_results(fit, band)),
        "NOTES": "; ".join(filter(None, told)),
    }
    lines = [f"#{key}={value}" for key, value in header.items()]
    lines += [*code_comment(observer), *doubt, *_exoplanet_rows(curve, known, shown)]
    return "\n".join(lines) + "\n"


def _exoplanet_rows(curve: LightCurve, known: Mapping[str, np.ndarray], shown: np.ndarray) -> Iterator[str]:
    """The names of the columns and a line for each point of an Exoplanet report."""
    yield DELIMITER.join(["#DATE", "DIFF", "ERR", *(f"DETREND_{n + 1}" for n in range(len(known)))])
    for i in shown:
        point = [fixed(curve.time[i], 8), fixed(curve.flux[i], 8), fixed(curve.flux_err[i], 6)]
        yield DELIMITER.join(point + [fixed(values[i], 6) for values in known.values()])


def _planet_names(target: str, *, star: str, planet: str) -> tuple[str, str, list[str]]:
    """Names of the star and of its planet, and a comment where the planet's is a guess."""
    suffix = re.search(r"(?<=[\w)])(\s+[b-j]|(?<=\d)[b-j]|\.\d\d)$", target)
    host = star or (target[: suffix.start()].strip() if suffix else target)
    if planet or suffix:
        return host, planet or target, []
    guess = f"{host} b"
    return (
        host,
        guess,
        ["# The target's name does not include the planet: correct EXOPLANET_NAME if it is another one"],
    )


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
            known[name] = (values - zero) / (middle(values) if name == "comparison" else 1.0)
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
    return fixed(figure.value, digits) + (f" +/- {fixed(error, digits)}" if np.isfinite(error) else "")


def _exoplanet_notes(curve: LightCurve, shown: np.ndarray) -> list[str]:
    """What NOTES says of a light curve besides what the observer says."""
    flags = Counter(words for i in shown for words in flag_words(curve.flags[i]))
    return [
        *filter_note(aavso_filter(curve.band), curve.band),
        f"aperture {short(curve.radius)} px",
        plural(len(curve.comparisons), "comparison star"),
        *(f"{plural(count, 'point')} with {words}" for words, count in flags.items()),
    ]


def _exposure_words(series: Series) -> str:
    """The median exposure in seconds."""
    exposure = middle(series.exposure)
    return f"{exposure:g}" if np.isfinite(exposure) else NA


def _within(entries: Iterable[str]) -> str:
    """As many entries, from the first, as there is room for in a line of the AAVSO."""
    text = ""
    for entry in map(one_line, entries):
        longer = f"{text}{DELIMITER}{entry}" if text else entry
        if len(longer) > _LONGEST_FREE:
            break
        text = longer
    return text
