"""When an instrument's frames go through the 3x3 filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import astropy.units as u

from potpyri_like.errors import DeclarationError
from potpyri_like.instruments.dates import check_unit

__all__ = ["PixelFilter"]


@dataclass(frozen=True)
class PixelFilter:
    """The 3x3 filter against warm pixels.

    Attributes
    ----------
    mode : str
        "median": the median of nine, everywhere; "selective": only pixels far above their neighbours; "none".
    minimum_exposure : Quantity or None
        Shorter science exposures are not filtered, nor are the calibrations that go with them.
    binned : str or None
        The mode for binned frames, whose stars are too sharp for the median of nine; None: the same.
    """

    mode: str
    minimum_exposure: u.Quantity | None = None
    binned: str | None = None

    MODES: ClassVar[tuple[str, ...]] = ("median", "selective", "none")

    def __post_init__(self) -> None:
        for name, mode in (("mode", self.mode), ("binned", self.binned or self.mode)):
            if mode not in self.MODES:
                raise DeclarationError(
                    f"PixelFilter: {name} = {mode!r}; it is one of {', '.join(self.MODES)}"
                )
        if self.minimum_exposure is not None:
            check_unit("PixelFilter", "minimum_exposure", self.minimum_exposure, u.s)

    def for_frames(self, exposure: u.Quantity, binning: tuple[int, int] = (1, 1)) -> str:
        """The mode for science frames of this exposure and binning, and for their calibrations."""
        if self.minimum_exposure is not None and exposure < self.minimum_exposure:
            return "none"
        return self.binned or self.mode if max(binning) > 1 else self.mode
