"""Calibrate a frame with bias, dark and flat."""

from __future__ import annotations

from dataclasses import dataclass

from potpyri_like.frame import UNUSABLE, Frame
from potpyri_like.imaging import calibrate, fill_bad, level_mosaic, photon_factor, pixel_noise, typical
from potpyri_like.primitives.fields import (
    CALIBRATED,
    DIGITISATION,
    FILTERED,
    MASTERS,
    PIXEL_NOISE,
    POISSON_FACTOR,
    TRIMMED,
)
from potpyri_like.primitives.stage import Setup, exposure_of
from potpyri_like.results import Masters
from potpyri_like.stages import FrameStage, Input

__all__ = ["Calibrate", "typical"]


@dataclass(frozen=True)
class Calibrate(FrameStage):
    """Subtract bias and dark, divide by the flat, add the photon noise to the variance, and fill bad pixels.

    A filled pixel has the mean of its good neighbours, and keeps its bit in the mask. The sky of a mosaic that is not
    split is made equal in its colours.
    """

    reads = (
        TRIMMED,
        DIGITISATION,
        Input(FILTERED, required=False),
        Input(POISSON_FACTOR, required=False),
        MASTERS,
    )
    gives = (
        CALIBRATED,
        PIXEL_NOISE,
    )

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        masters = setup.masters.of_night(frame.info.night)
        dark = masters.dark_of(exposure_of(frame.info))
        pixels = calibrate(
            frame.pixels,
            bias=masters.bias.pixels if masters.bias else None,
            bias_left=1 - dark.bias_share if dark else 1.0,
            dark=dark.pixels if dark else None,
            flat=masters.flat.pixels if masters.flat else None,
            flat_floor=setup.instrument.calibration.flat_floor,
            poisson_factor=_photons(frame, masters),
            pedestal=masters.pedestal,
        )
        fill_bad(pixels, int(UNUSABLE), out=pixels.data)
        if frame.info.mosaic and not frame.info.colour:
            pixels = pixels._replace(data=level_mosaic(pixels.data))
        used = [f"{m.kind} ({m.rung})" for m in (masters.bias, dark, masters.flat) if m is not None]
        return frame.after(
            f"calibrated with {', '.join(used) or 'nothing'}",
            pixels=pixels,
            pixel_noise=_noise_of(frame, masters),
        )


def _noise_of(frame: Frame, masters: Masters) -> dict[str, float]:
    """The variance of a typical pixel of a frame not yet calibrated; see `Series.pixel_noise`."""
    dark, flat = masters.dark_of(exposure_of(frame.info)), masters.flat
    return pixel_noise(
        frame.variance,
        photons=_photons(frame, masters),
        covariance=frame.covariance,
        digitisation=frame.results.get("poisson_factor", 1.0) * frame.results.get("digitisation", 0.0),
        dark=dark.pixels.data if dark else None,
        flat_variance=flat.pixels.variance if flat else None,
    )


def _photons(frame: Frame, masters: Masters) -> float:
    """What multiplies the variance of photons: the 3x3 median, and a gain that is not what was declared."""
    of_filter = float(frame.results.get("poisson_factor", 1.0))
    return photon_factor(of_filter=of_filter, of_gain=masters.flat.photons if masters.flat else 1.0)
