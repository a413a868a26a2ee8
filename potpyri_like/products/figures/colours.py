"""The colours of the bands, the same in figures and on the page."""

from __future__ import annotations

__all__ = ["band_colour"]

_BAND_COLOURS = {
    "u": "darkviolet",
    "g": "dodgerblue",
    "r": "forestgreen",
    "i": "red",
    "z": "saddlebrown",
    "U": "indigo",
    "B": "royalblue",
    "V": "olivedrab",
    "R": "firebrick",
    "VR": "darkgoldenrod",
    "I": "maroon",
}


def band_colour(band: str) -> str:
    """The colour of a band; slate for one without a colour of its own."""
    plain = band.strip().rstrip("'p_") or band
    return _BAND_COLOURS.get(plain, _BAND_COLOURS.get(plain.lower(), "#486581"))
