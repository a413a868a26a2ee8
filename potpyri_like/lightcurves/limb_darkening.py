"""Limb-darkening coefficients of a Sun-like star by band, and which coefficients are physical."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["WIDTH", "is_physical", "limb_darkening"]

# Quadratic u1, u2 for Teff 5750 K, log g 4.5, [Fe/H] 0, rounded, after the model atmospheres of Claret (2004,
# A&A 428, 1001) and Claret & Bloemen (2011, A&A 529, A75). Two grids and two ways of fitting one atmosphere
# differ by 0.05 to 0.1, a star 500 K away by as much again.
_SLOAN = {"u": (0.80, 0.05), "g": (0.57, 0.20), "r": (0.39, 0.28), "i": (0.30, 0.29), "z": (0.24, 0.29)}
_JOHNSON = {"U": (0.82, 0.03), "B": (0.65, 0.16), "V": (0.46, 0.26), "R": (0.37, 0.28), "I": (0.28, 0.29)}
_CLEAR = (0.42, 0.27)
WIDTH = 0.15
_UNKNOWN_WIDTH = 0.25

_CLEAR_NAMES = {"clear", "open", "none", "white", "c", "l", "lum", "luminance", "kepler"}
_SLOAN_NAME = re.compile(
    r"(?:(?:sdss|sloan|ps1|ps)?([ugriz])(?:p|'|s|prime|sdss|sloan|ps1|ps)?)", re.IGNORECASE
)
_JOHNSON_NAME = re.compile(
    r"(?:[Jj]ohnson|[Cc]ousins|[Bb]essell?|j|c|b)?([UBVRI])(?:j|c|[Jj]ohnson|[Cc]ousins|[Bb]essell?)?"
)


def limb_darkening(band: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Quadratic coefficients of a Sun-like star, with the widths of their priors: ``((u1, width), (u2, width))``.

    Parameters
    ----------
    band : str
        "r", "rp", "r'", "rs", "SDSS r", "R", "Rc", "Johnson V", "clear", ...: a bare capital is Johnson-Cousins,
        a bare small letter Sloan. An unknown name gets the values of a clear filter and a wider width.
    """
    known = _coefficients(re.sub(r"[\s_.-]", "", band))
    u1, u2 = _CLEAR if known is None else known
    width = _UNKNOWN_WIDTH if known is None else WIDTH
    return (u1, width), (u2, width)


def is_physical(u1: ArrayLike, u2: ArrayLike) -> np.ndarray:
    """Whether the star is bright everywhere and darkens towards its limb (Kipping 2013, eqs 6 to 8).

    ``u1 + u2 < 1``, ``u1 > 0``, ``u1 + 2 u2 > 0``; arrays broadcast.
    """
    u1, u2 = np.asarray(u1), np.asarray(u2)
    return (u1 + u2 < 1) & (u1 > 0) & (u1 + 2 * u2 > 0)


def _coefficients(band: str) -> tuple[float, float] | None:
    if band.lower() in _CLEAR_NAMES:
        return _CLEAR
    if johnson := _JOHNSON_NAME.fullmatch(band):
        return _JOHNSON[johnson[1]]
    if sloan := _SLOAN_NAME.fullmatch(band):
        return _SLOAN[sloan[1].lower()]
    return None
