"""Celestial coordinates from a raw header: whole, as astropy reads them, or not at all with the reason."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, NamedTuple

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning, NoConvergence
from astropy.wcs.utils import wcs_to_celestial_frame

from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.layout import Layout, Readout
from potpyri_like.store.header import RawHeader, card_value

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = ["Solution", "celestial_wcs", "wcs_of", "wcs_trouble"]

_TEXT = r"CTYPE[12]|CUNIT[12]|RADESYS|RADECSYS|PS[12]_\d+|WAT[0-2]_\d+"
_NUMBERS = (
    r"(CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|PV[12]_\d+|LONPOLE|LATPOLE|EQUINOX|EPOCH"
    r"|[AB]P?_(ORDER|\d+_\d+)|[AB]_DMAX"
)
_CARDS = re.compile(f"(?P<text>{_TEXT})$|({_NUMBERS})$")
_SCALE = re.compile(r"(CD|PC)[12]_[12]$|CDELT[12]$")
_TABLES = re.compile(r"(CPDIS|CQDIS|D2IMDIS)[12]$|D2IM(ARR|EXT|ERR)|AXISCORR$")
_CELESTIAL = re.compile(r"(RA|DEC|[GEHS]LON|[GEHS]LAT)(-|$)")
_UNITS = {
    "degree": "deg",
    "degrees": "deg",
    "deg": "deg",
    "arcseconds": "arcsec",
    "radians": "rad",
    "radian": "rad",
}
_PAIRS = ({"RA", "DEC"}, *({f"{letter}LON", f"{letter}LAT"} for letter in "GEHS"))
# FITS standard 4.0, table 13; and what SCAMP, IRAF and others write.
_PROJECTIONS = (
    *[
        "AZP",
        "SZP",
        "TAN",
        "STG",
        "SIN",
        "ARC",
        "ZPN",
        "ZEA",
        "AIR",
        "CYP",
        "CEA",
        "CAR",
        "MER",
        "SFL",
        "PAR",
        "MOL",
        "AIT",
        "COP",
        "COE",
        "COD",
        "COO",
        "BON",
        "PCO",
        "TSC",
        "CSC",
        "QSC",
    ],
    *["HPX", "XPH", "TPV", "TPD", "TPU", "TNX", "ZPX", "NCP", "GLS"],
)
_FRAMES = ("ICRS", "FK5", "FK4")  # that astropy makes of RADESYS
_FLAT = 1e-6  # short over long axis of a pixel on the sky
_SCALES = (
    1e-4,
    2e4,
)  # arcsec per pixel; interferometers have milliseconds of arc, all-sky cameras some degrees
_FAITHFUL = 0.05  # pixels; to the sky and back
_FAULTS = (ValueError, KeyError, MemoryError, TypeError, ArithmeticError, NoConvergence)


class Solution(NamedTuple):
    """The coordinates of an image; or None and why those of the header cannot be used, "" where it has none."""

    wcs: WCS | None
    why: str


def celestial_wcs(header: RawHeader, readout: Readout) -> Solution:
    """The coordinates of the trimmed image of one amplifier, flipped as it is.

    Everything that astropy understands is used: swapped axes, LONPOLE and LATPOLE, SIP, TPV, TNX and ZPX, TAN with the
    polynomials of SCAMP, galactic and ecliptic axes, FK4 and FK5. Numbers written as text are read as numbers, and
    units that are spelled out as units.
    """
    raw = _cards_of(header, readout.hdu)
    if not any(_CELESTIAL.match(str(raw.get(f"CTYPE{axis}", "")).strip().upper()) for axis in (1, 2)):
        return Solution(None, "")
    if tables := [card for card in raw if _TABLES.match(card)]:
        return Solution(None, f"{tables[0]} = {raw[tables[0]]!r}: distortion tables are not read")
    if lacking := _lacking_cards(raw):
        return Solution(None, lacking)
    try:
        cards = _clean_cards(raw)
        if impossible := _impossible_cards(cards):
            return Solution(None, impossible)
        return Solution(_tried(_placed(cards, readout), readout.data.shape), "")
    except _FAULTS as error:
        said = " ".join(str(error).split())
        return Solution(None, re.sub(r"ERROR \d+ in \w+\(\) at line \d+ of file \S+: ", "", said)[:200])


def _lacking_cards(raw: fits.Header) -> str:
    """What the coordinates lack that their cards promise; "" where they are whole."""
    if not any(_SCALE.match(card) for card in raw):
        return "no CD, PC or CDELT card gives a scale"
    for card in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
        if card not in raw:
            return f"there is no {card} card"
    kind = str(raw["CTYPE1"]).strip().upper() if "CTYPE1" in raw else ""
    for suffix, card in (("-SIP", "A_ORDER"), ("-TNX", "WAT1_001"), ("-ZPX", "WAT1_001")):
        if kind.endswith(suffix) and card not in raw:
            return f"CTYPE1 = {kind!r} promises a distortion, and there is no {card} card"
    return ""


def _impossible_cards(cards: fits.Header) -> str:
    """Which of the cleaned cards cannot be, and why; "" where all of them can."""
    kinds = {axis: str(cards.get(f"CTYPE{axis}", "")).strip().upper() for axis in (1, 2)}
    told = ", ".join(f"CTYPE{axis} = {kind!r}" for axis, kind in kinds.items())
    names = {kind.partition("-")[0] for kind in kinds.values()}
    if not any(names == pair for pair in _PAIRS):
        return f"{told} are not two celestial axes"
    codes = {kind.partition("-")[2].strip("-") for kind in kinds.values()}
    projections = {code.partition("-")[0] for code in codes}
    if unknown := projections - set(_PROJECTIONS):
        return f"{told}: {', '.join(sorted(unknown)) or 'nothing'} is no projection of the FITS standard"
    if len(projections) > 1:
        return f"{told} are two different projections"
    for axis, kind in kinds.items():
        unit = str(cards.get(f"CUNIT{axis}", "deg")).strip() or "deg"
        if not _is_angle(unit):
            return f"CUNIT{axis} = {unit!r} is no unit of an angle"
        value = (cards[f"CRVAL{axis}"] * u.Unit(unit)).to_value(u.deg)
        if kind.partition("-")[0].endswith(("DEC", "LAT")) and not abs(value) <= 90:
            return f"CRVAL{axis} = {cards[f'CRVAL{axis}']!r} is no {'declination' if kind[0] == 'D' else 'latitude'}"
    frame = str(cards.get("RADESYS", cards.get("RADECSYS", ""))).strip()
    if "RA" in names and frame and frame not in _FRAMES:
        return f"RADESYS = {frame!r} is no celestial frame that is known here ({', '.join(_FRAMES)})"
    return _scale_trouble(cards)


def _scale_trouble(cards: fits.Header) -> str:
    """Why the matrix of the coordinates leads to no place on the sky; "" where it does."""
    which = "CD" if any(card.startswith("CD") and card[2].isdigit() for card in cards) else "PC"
    names = [f"{which}{i}_{j}" for i, j in ((1, 1), (1, 2), (2, 1), (2, 2))]
    default = (0.0, 0.0, 0.0, 0.0) if which == "CD" else (1.0, 0.0, 0.0, 1.0)
    matrix = np.array([cards.get(n, d) for n, d in zip(names, default, strict=True)], float).reshape(2, 2)
    there = [n for n in names if n in cards]
    if which == "PC":
        steps = [float(cards.get(f"CDELT{axis}", 1.0)) for axis in (1, 2)]
        there += [f"CDELT{axis}" for axis in (1, 2) if f"CDELT{axis}" in cards]
        matrix = np.diag(steps) @ matrix
    told = ", ".join(f"{name} = {cards[name]:g}" for name in there)
    lacking = [n for n in names if n not in cards] if which == "CD" else []
    told += f" (no {', '.join(lacking)} card, which is 0)" if lacking else ""
    long, short = np.linalg.svd(matrix, compute_uv=False)
    if not short > _FLAT * long:
        return f"{told}: the matrix of the scale is singular"
    unit = str(cards.get("CUNIT1", "deg")).strip() or "deg"
    scale = (np.sqrt(long * short) * u.Unit(unit)).to_value(u.arcsec)
    low, high = _SCALES
    return "" if low < scale < high else f"{told}: {scale:.3g} arcsec per pixel cannot be"


def _is_angle(unit: str) -> bool:
    """Whether text is a unit of an angle."""
    try:
        return bool(u.Unit(unit).is_equivalent(u.deg))
    except (ValueError, TypeError):
        return False


def _cards_of(header: RawHeader, hdu: int) -> fits.Header:
    """The cards on coordinates, as they are: those of the image's HDU, or the primary header's where it has none."""
    own = header.hdus[hdu]
    source = own if hdu == 0 or "CTYPE1" in own else header.hdus[0]
    wanted = fits.Header()
    for card in source:
        if (_CARDS.match(card) or _TABLES.match(card)) and card_value(source, card) is not None:
            wanted[card] = source[card]  # IRAF's coefficients need the blanks at their ends
    return wanted


def _clean_cards(raw: fits.Header) -> fits.Header:
    """The cards with numbers for numbers, units by their names and a suffix that tells of SIP terms.

    Raises
    ------
    ValueError
        A card holds text where a number belongs.
    """
    clean = fits.Header()
    for card, value in raw.items():
        clean[card] = value if _CARDS.match(card)["text"] else _number(card, value)  # type: ignore[index]
    for axis in (1, 2):
        unit, kind = (str(clean.get(f"{name}{axis}", "")).strip() for name in ("CUNIT", "CTYPE"))
        if unit:
            clean[f"CUNIT{axis}"] = _UNITS.get(unit.lower().rstrip("."), unit)
        if "A_ORDER" in clean and kind.endswith("-TAN"):
            clean[f"CTYPE{axis}"] = f"{kind}-SIP"
    return clean


def _number(card: str, value: object) -> float | int:
    """The value as a number, whole where it was."""
    try:
        number = value if isinstance(value, int) else float(str(value))
    except ValueError as error:
        raise ValueError(f"{card} = {value!r} is not a number") from error
    if not np.isfinite(number):
        raise ValueError(f"{card} = {value!r} is not a number")
    return number


def _placed(cards: fits.Header, readout: Readout) -> WCS:
    """The coordinates of the trimmed image, flipped and placed as the amplifier is."""
    for axis, (low, flip, size, start) in enumerate(
        (
            (readout.data.x0, readout.flip_x, readout.data.shape[1], readout.x0),
            (readout.data.y0, readout.flip_y, readout.data.shape[0], readout.y0),
        ),
        start=1,
    ):
        at = cards.get(f"CRPIX{axis}", 0.0) - low
        if flip:
            cards = _flipped(cards, axis)
            at = size + 1 - at
        cards[f"CRPIX{axis}"] = at + start
    return _wcs_of_cards(cards)


def _flipped(cards: fits.Header, axis: int) -> fits.Header:
    """The cards of the image mirrored along one axis, but for the place of its reference pixel."""
    matrix = _wcs_of_cards(cards).pixel_scale_matrix.copy()
    matrix[:, axis - 1] *= -1
    kept = [(card, value) for card, value in cards.items() if not re.match(r"(CD|PC)\d_|CDELT|CROTA", card)]
    mirrored = fits.Header(kept)
    for i, j in np.ndindex(2, 2):
        mirrored[f"CD{i + 1}_{j + 1}"] = matrix[i, j]
    for card in [card for card in mirrored if re.match(r"[AB]P?_\d+_\d+$", card)]:
        name, *powers = card.split("_")
        odd = int(powers[axis - 1]) % 2 == 1
        same_axis = name[0] == "AB"[axis - 1]
        mirrored[card] *= -1 if odd != same_axis else 1
    return mirrored


def _wcs_of_cards(cards: fits.Header) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(cards, naxis=2)


def _tried(wcs: WCS, shape: tuple[int, int]) -> WCS:
    """The coordinates, if a way to the sky and back ends where it began, in the middle of the image and around it.

    Raises
    ------
    ValueError
        It does not, or these are no celestial coordinates.
    """
    if not wcs.has_celestial:
        raise ValueError(f"CTYPE = {', '.join(wcs.wcs.ctype)} are not two celestial axes")
    there = np.array([[0.5, 0.5], [0.2, 0.2], [0.8, 0.2], [0.2, 0.8], [0.8, 0.8]]) * np.array(shape[::-1])
    wcs_to_celestial_frame(wcs)
    back = wcs.all_world2pix(wcs.all_pix2world(there, 0), 0)
    off = np.abs(back - there).max()
    if not np.isfinite(off):
        told = ", ".join(f"CRVAL{axis} = {value:g}" for axis, value in enumerate(wcs.wcs.crval, start=1))
        raise ValueError(f"{told} and a projection {wcs.wcs.ctype[0]} give the image no place on the sky")
    if not off < _FAITHFUL:
        raise ValueError(f"a way to the sky and back ends {off:.2g} pixels off")
    return wcs


@once_a_method("wcs")
def wcs_of(instrument: Instrument, header: RawHeader, layout: Layout) -> WCS | None:
    """The celestial coordinates of a trimmed image, if its header has them; else None."""
    return None if len(layout.readouts) > 1 else celestial_wcs(header, layout.readouts[0]).wcs


@once_a_method("wcs_trouble")
def wcs_trouble(instrument: Instrument, header: RawHeader, layout: Layout) -> str:
    """Why the celestial coordinates that a header has are not used; "" where they are, or where it has none."""
    found = celestial_wcs(header, layout.readouts[0])
    if len(layout.readouts) == 1 or found == (None, ""):
        return found.why
    return f"the image is assembled from {len(layout.readouts)} amplifiers, each with coordinates of its own"
