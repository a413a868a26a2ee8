"""The three planes that travel together through the numerics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Pixels"]


class Pixels(NamedTuple):
    """An image, what it is worth, and what is wrong with it.

    Attributes
    ----------
    data : ndarray, shape (rows, cols), float32, electron
        Finite everywhere.
    variance : ndarray, shape (rows, cols), float32, electron^2
        Stated so that its sum over an aperture is the variance of the aperture's flux: where a
        step correlates neighbouring pixels, the covariance is counted in.
    mask : ndarray, shape (rows, cols), uint8
        Bits of `potpyri_like.frame.MaskBit`; 0 is a good pixel.
    """

    data: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
