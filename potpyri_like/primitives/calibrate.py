"""Bias, dark and flat taken out of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.frame import Frame, MaskBit
from potpyri_like.imaging import calibrate, fill_bad
from potpyri_like.primitives.stage import Setup, exposure_of, pixels_of, to_ccd
from potpyri_like.results import Master, Masters

__all__ = ["UNUSABLE", "Calibrate", "typical"]

SAMPLED = 37  # every so many rows and columns tell what is typical
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
        dark = masters.dark_of(exposure_of(frame.info))
        pixels = calibrate(
            pixels_of(frame),
            bias=masters.bias.pixels if masters.bias else None,
            dark=dark.pixels if dark else None,
            flat=masters.flat.pixels if masters.flat else None,
            flat_floor=setup.instrument.calibration.flat_floor,
            poisson_factor=photon_factor(frame, masters),
        )
        fill_bad(pixels, int(UNUSABLE), out=pixels.data)
        used = [f"{m.kind} ({m.rung})" for m in (masters.bias, dark, masters.flat) if m is not None]
        return frame.after(
            f"calibrated with {', '.join(used) or 'nothing'}",
            ccd=to_ccd(pixels, frame.ccd.wcs),
            pixel_noise=pixel_noise(frame, dark, masters),
        )


def photon_factor(frame: Frame, masters: Masters) -> float:
    """What multiplies the variance of photons: the 3x3 median, and a gain that is not what was declared."""
    of_gain = masters.flat.photons if masters.flat else 1.0
    return float(frame.results.get("poisson_factor", 1.0) * of_gain)


def pixel_noise(frame: Frame, dark: Master | None, masters: Masters) -> dict[str, float]:
    """The variance of a typical pixel by what makes it, as in `Series.pixel_noise`; of a frame not yet calibrated."""
    photons, flat = photon_factor(frame, masters), masters.flat
    rounding = frame.results.get("poisson_factor", 1.0) * frame.results.get("digitisation", 0.0)
    return {
        "photons": photons,
        "digitisation": rounding,
        "read-out": max(typical(frame.variance) - rounding, 0.0),
        "dark current": photons * max(typical(dark.pixels.data), 0.0) if dark else 0.0,
        "flat": typical(flat.pixels.variance) if flat else 0.0,
    }


def typical(plane: np.ndarray) -> float:
    """The median of a sample of pixels."""
    return float(np.median(plane[::SAMPLED, ::SAMPLED]))
