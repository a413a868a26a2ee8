"""The 3x3 filter against hot pixels."""

from __future__ import annotations

from dataclasses import dataclass

from potpyri_like.frame import Frame
from potpyri_like.imaging import MEDIAN_COVARIANCE, MEDIAN_PIXEL_FACTOR, filter_hot_pixels
from potpyri_like.primitives.fields import COUNTS, FILTER_MODE, FILTERED, MASTERS, POISSON_FACTOR, TRIMMED
from potpyri_like.primitives.stage import Setup, exposure_of
from potpyri_like.stages import FrameStage, Input

__all__ = ["FilterPixels"]


@dataclass(frozen=True)
class FilterPixels(FrameStage):
    """Filter a trimmed frame in the mode that the set's setup names; a frame filtered before is left alone.

    The full median is for science frames and calibrations alike. The selective filter is for science frames alone, and
    the dark is subtracted first. What the filter does to the noise of a pixel is handed on, since the
    photons' noise is not known yet; how it correlates them stands in the frame.
    """

    former_names = ("HotPixels",)

    reads = (
        TRIMMED,
        COUNTS,
        FILTER_MODE,
        Input(MASTERS, required=False),
    )
    version = 2
    gives = (
        FILTERED,
        POISSON_FACTOR,
    )

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        mode = "none" if setup.instrument.is_filtered(frame.info) else setup.filter_mode
        dark = (
            setup.masters.of_night(frame.info.night).dark_of(exposure_of(frame.info))
            if mode == "selective"
            else None
        )
        pixels = filter_hot_pixels(
            frame.pixels,
            mode=mode,
            counts=frame.results.get("counts"),
            dark=dark.pixels.data if dark else None,
        )
        factor, covariance = (MEDIAN_PIXEL_FACTOR, MEDIAN_COVARIANCE) if mode == "median" else (1.0, 1.0)
        return frame.after(
            f"3x3 filter: {mode}",
            pixels=pixels,
            covariance=covariance * frame.covariance,
            poisson_factor=factor,
        )
