"""Columns of numbers with their units."""

from __future__ import annotations

from collections.abc import Iterable

import astropy.units as u
import numpy as np
from astropy.table import Column
from numpy.typing import ArrayLike

from potpyri_like.products.words import clean

__all__ = ["PER_PIXEL", "column", "names"]

PER_PIXEL = u.electron / u.pix


def column(name: str, values: ArrayLike, unit: u.UnitBase | None, description: str) -> Column:
    return Column(values, name=name, unit=unit, description=description)


def names(texts: Iterable[str]) -> np.ndarray:
    """Texts as an array that is never of width 0, which FITS would not hold."""
    cleaned = [clean(text) for text in texts]
    return np.array(cleaned, dtype=f"U{max([1, *map(len, cleaned)])}")
