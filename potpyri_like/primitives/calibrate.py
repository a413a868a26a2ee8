"""Bias, dark and flat taken out of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.frame import Frame, MaskBit
from potpyri_like.imaging import calibrate, fill_bad
from potpyri_like.primitives.stage import Setup, exposure_of, pixels_of, to_ccd
from potpyri_like.results import Master, Masters

__all__ = ["UNUSABLE", "Calibrate"]

UNUSABLE = np.uint8(MaskBit.BAD | MaskBit.COSMIC_RAY)


@dataclass(frozen=True)
class Calibrate:
    """Subtract bias and dark, divide by the flat, add the photons' noise to the variance, and fill bad pixels.

    A filled pixel has the mean of its good neighbours, and keeps its bit in the mask.
    """

    per: ClassVar[str] = "frame"
    reads: ClassVar[tuple[str, ...]] = ("masters",)

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        masters = setup.masters
        dark = dark_for(masters, exposure_of(frame.info))
        pixels = calibrate(
            pixels_of(frame),
            bias=masters.bias.pixels if masters.bias else None,
            dark=dark.pixels if dark else None,
            flat=masters.flat.pixels if masters.flat else None,
            flat_floor=setup.instrument.calibration.flat_floor,
            poisson_factor=frame.results.get("poisson_factor", 1.0),
        )
        fill_bad(pixels, int(UNUSABLE), out=pixels.data)
        used = [f"{m.kind} ({m.rung})" for m in (masters.bias, dark, masters.flat) if m is not None]
        return frame.after(
            f"calibrated with {', '.join(used) or 'nothing'}", ccd=to_ccd(pixels, frame.ccd.wcs)
        )


def dark_for(masters: Masters, exposure: float) -> Master | None:
    """The master dark of that exposure, seconds."""
    return masters.darks.get(round(exposure, 3))
