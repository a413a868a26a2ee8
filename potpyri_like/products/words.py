"""Numbers, flags and observations in words, the same in every product."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from potpyri_like import __version__
from potpyri_like.frame import STAR_FLAG_SHIFT, FrameFlag, StarFlag
from potpyri_like.results import SetResult

__all__ = [
    "FLAG_MEANINGS",
    "FLAG_NAMES",
    "SOFTWARE",
    "TIME_MEANINGS",
    "ascii_only",
    "clean",
    "flag_words",
    "in_mmag",
    "in_ppt",
    "pixels_or_arcsec",
    "plural",
    "set_title",
    "short",
]

SOFTWARE = f"potpyri_like {__version__}"
_MMAG = 2500 / math.log(10)  # of a small relative change

_FRAME_WORDS = {
    FrameFlag.UNMATCHED: "frame not matched to the reference, not measured",
    FrameFlag.FEW_STARS: "frame matched on few stars",
    FrameFlag.CLOUD: "cloud",
    FrameFlag.TIME_DOUBTFUL: "time doubtful",
    FrameFlag.POOR_SEEING: "poor seeing",
    FrameFlag.TRAILED: "stars trailed",
    FrameFlag.DISAGREE: "comparison stars disagree",
    FrameFlag.CUT: "rejected by the observer's condition",
}
_STAR_WORDS = {
    StarFlag.SATURATED: "saturated pixel in the aperture",
    StarFlag.BAD_PIXEL: "bad pixel in the aperture, filled",
    StarFlag.HOT_PIXEL: "hot pixel in the aperture, replaced",
    StarFlag.EDGE: "aperture or annulus leaves the image",
    StarFlag.NO_CENTROID: "no centroid, position predicted",
    StarFlag.COSMIC_RAY: "cosmic ray in the aperture",
    StarFlag.NEIGHBOUR: "light of other stars in the aperture",
    StarFlag.SLOPE: "sky around the star not level",
    StarFlag.FILLED: "much of the flux on bad pixels",
}
FLAG_MEANINGS = {
    **{int(flag): words for flag, words in _FRAME_WORDS.items()},
    **{int(flag) << STAR_FLAG_SHIFT: words for flag, words in _STAR_WORDS.items()},
}
FLAG_NAMES = {  # short, for counts of frames
    int(FrameFlag.UNMATCHED): "not matched",
    int(FrameFlag.FEW_STARS): "few stars matched",
    int(FrameFlag.CLOUD): "cloud",
    int(FrameFlag.TIME_DOUBTFUL): "time doubtful",
    int(FrameFlag.POOR_SEEING): "poor seeing",
    int(FrameFlag.TRAILED): "stars trailed",
    int(FrameFlag.DISAGREE): "comparison stars disagree",
    int(FrameFlag.CUT): "rejected by --reject",
}
TIME_MEANINGS = {
    "bjd_tdb": "BJD_TDB of mid-exposure: barycentric Julian date, light travel time to the target included",
    "jd_utc_mid": "JD_UTC of mid-exposure: not barycentric, because the target's coordinates are missing or invalid",
}


def flag_words(flags: int) -> tuple[str, ...]:
    """What the bits of a light curve's flags mean, lowest bit first."""
    return tuple(words for bit, words in sorted(FLAG_MEANINGS.items()) if int(flags) & bit)


def in_ppt(noise: float) -> str:
    """A relative noise in parts per thousand, as a number without its unit."""
    return short(1e3 * noise)


def in_mmag(noise: float) -> str:
    """A relative noise in millimagnitudes, as a number without its unit."""
    return short(_MMAG * noise)


def short(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent where that can be avoided; a dash for NaN."""
    if value is None or not np.isfinite(value):
        return "–"
    if value == 0 or not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def pixels_or_arcsec(pixels: Iterable[float], scale: float, *, digits: int = 3) -> str:
    """A length or a range of lengths in pixels and, where the scale is known, in arcsec."""
    values = list(pixels)
    text = "–".join(short(value, digits) for value in values) + " px"
    if not np.isfinite(scale):
        return text
    return f"{text} ({'–'.join(short(value * scale, digits) for value in values)}″)"


def plural(count: int, noun: str) -> str:
    """A count and its noun: "1 frame", "2 frames"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def set_title(result: SetResult) -> str:
    """Target, band and camera of an observation."""
    observed = result.observed
    return "  ".join(part for part in (observed.target, observed.band, observed.camera) if part)


def clean(text: str) -> str:
    """Text without control characters and lone surrogates, which no file format of ours can hold."""
    whole = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in whole)


def ascii_only(text: str) -> str:
    """Text for FITS: printable ASCII on one line, other characters as their escapes."""
    return clean(text).replace("\n", " ").replace("\t", " ").encode("ascii", "backslashreplace").decode()
