"""Values as the formats of other programs want them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from potpyri_like.errors import ProductError
from potpyri_like.frame import Purpose, excluded
from potpyri_like.photometry.series import LightCurve, Series
from potpyri_like.products.words import ascii_only, clean
from potpyri_like.results import SetResult

__all__ = [
    "DELIMITER",
    "LONGEST_CHART",
    "LONGEST_PLANET",
    "LONGEST_STAR",
    "NA",
    "OTHER",
    "code_comment",
    "filter_note",
    "fixed",
    "light_curve",
    "measured",
    "method",
    "middle",
    "observer_code",
    "one_line",
    "some",
    "submitted",
]

_NOBODY = "NONE"  # stands where the observer's code belongs, until it is known
NA = "na"
DELIMITER = ","
LONGEST_PLANET, LONGEST_STAR, LONGEST_CHART = 100, 30, 20  # AAVSO: of names
OTHER = "O"


def method(options: Mapping[str, object]) -> str:
    """The photometry method."""
    return str(options.get("photometer") or "aperture")


def filter_note(code: str, band: str) -> list[str]:
    """The name of a filter that the AAVSO has no short name for."""
    return [f"filter {one_line(band)}"] if code == OTHER else []


def observer_code(code: str) -> str:
    """An observer's code, or what stands for one."""
    return re.sub(r"[^A-Z0-9]", "", code.upper()) or _NOBODY


def code_comment(observer: str) -> list[str]:
    """The request for a code that is missing."""
    if observer_code(observer) != _NOBODY:
        return []
    return [f"# Put your AAVSO observer code instead of {_NOBODY} above before you send this file"]


def light_curve(result: SetResult) -> LightCurve:
    """The light curve of a set, which must be there."""
    if result.light_curve is None:
        raise ProductError(f"{result.observed.name}: no light curve was made, and there is nothing to export")
    return result.light_curve


def measured(result: SetResult) -> Series:
    """The series of a set, which must be there."""
    if result.series is None:
        raise ProductError(f"{result.observed.name}: no star was measured, and there is nothing to export")
    return result.series


def submitted(curve: LightCurve) -> np.ndarray:
    """The points that may be reported to others: neither known to be bad nor of a doubtful time."""
    return ~excluded(curve.flags, Purpose.TIMES)


def some(shown: np.ndarray, curve: LightCurve) -> None:
    """Nothing, where there are points to be shown."""
    if not shown.size:
        raise ProductError(f"{clean(curve.target)}: its light curve has no point to report; see its flags")


def middle(values: np.ndarray) -> float:
    """Median without NaN; NaN without numbers."""
    values = np.asarray(values, float)
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals, or "na"."""
    return f"{value:.{digits}f}" if np.isfinite(value) else NA


def one_line(text: str) -> str:
    """Text in a line of ASCII."""
    return " ".join(ascii_only(text).split())
