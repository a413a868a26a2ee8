"""Celestial coordinates from a raw header, tolerant of what cameras and solvers write there."""

from __future__ import annotations

import re
import warnings

from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from potpyri_like.header import RawHeader
from potpyri_like.imaging import Section

__all__ = ["celestial_wcs"]

CARDS = re.compile(
    r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[12]$|(CD|PC)[12]_[12]$|PV[12]_\d+$|RADESYS$|EQUINOX$"
)


def celestial_wcs(header: RawHeader, data: Section) -> WCS | None:
    """The WCS of the data section of one image; None where the header has no usable one.

    Numbers written as text are read as numbers. A TAN solution with PV cards is one of SCAMP, whose
    distortion is that of the TPV convention.
    """
    cards = {card: header[card] for card in header if CARDS.match(card) and card in header}
    kinds = str(cards.get("CTYPE1", "")), str(cards.get("CTYPE2", ""))
    if not (kinds[0].startswith("RA--") and kinds[1].startswith("DEC-")):
        return None
    if kinds[0].endswith("-TAN") and any(card.startswith("PV") for card in cards):
        cards |= {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV"}
    try:
        clean = fits.Header({card: as_number(card, value) for card, value in cards.items()})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(clean, naxis=2)
    except (ValueError, KeyError, MemoryError):
        return None
    wcs.wcs.crpix = wcs.wcs.crpix - [data.x0, data.y0]
    return wcs if wcs.has_celestial else None


def as_number(card: str, value: object) -> object:
    """The value as a number, but for the cards that hold text."""
    return value if card.startswith(("CTYPE", "CUNIT", "RADESYS")) else float(str(value))
