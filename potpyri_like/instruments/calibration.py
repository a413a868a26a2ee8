"""How an instrument's frames are calibrated."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u

from potpyri_like.errors import DeclarationError

__all__ = ["Calibration"]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How an instrument's frames are calibrated.

    Attributes
    ----------
    bias, dark, flat : bool
        Frames that its nights should hold: where they do not, the run says so. What is there is used.
    combine : str
        "clipped mean" or, a quarter noisier, "median": how the masters are made.
    overscan_degree : int or None
        Degree of the polynomial in row number fitted to the overscan; None: one level for the frame.
    flat_floor : float
        Pixels with less than this part of the typical light (dust, vignetting) are masked.
    temperature_tolerance : Quantity
        By how much the detector may have been warmer or colder in a dark than in the science frames.
    """

    bias: bool = True
    dark: bool = True
    flat: bool = True
    combine: str = "clipped mean"
    overscan_degree: int | None = None
    flat_floor: float = 0.5
    temperature_tolerance: u.Quantity = 2 * u.K

    def __post_init__(self) -> None:
        tolerance = self.temperature_tolerance
        if (
            not isinstance(tolerance, u.Quantity)
            or not tolerance.unit.is_equivalent(u.K)
            or not tolerance > 0 * u.K
        ):
            raise DeclarationError(
                f"Calibration: temperature_tolerance = {tolerance!r}; give a difference of temperature, as in 2 * u.K"
            )
        if self.combine not in ("median", "clipped mean"):
            raise DeclarationError(
                f"Calibration: combine = {self.combine!r}; it is 'median' or 'clipped mean'"
            )
