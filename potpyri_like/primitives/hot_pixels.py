"""The 3x3 filter against warm pixels."""

from __future__ import annotations

from dataclasses import dataclass

from potpyri_like.frame import Frame
from potpyri_like.imaging import MEDIAN_NOISE_FACTOR, filter_hot_pixels
from potpyri_like.primitives.fields import COUNTS, FILTER_MODE, FILTERED, MASTERS, POISSON_FACTOR, TRIMMED
from potpyri_like.primitives.stage import Setup, exposure_of, pixels_of, to_ccd
from potpyri_like.stages import FrameStage, Input

__all__ = ["HotPixels"]


@dataclass(frozen=True)
class HotPixels(FrameStage):
    """Filter a trimmed frame in the mode that the set's setup names; a frame filtered before is left alone.

    The full median is for science frames and calibrations alike. The selective filter is for science frames alone, and
    their dark tells it what is no accident. What the filter does to the noise of an aperture is handed on, since the
    photons' noise is not known yet.
    """

    reads = (
        TRIMMED,
        COUNTS,
        FILTER_MODE,
        Input(MASTERS, required=False),
    )
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
            pixels_of(frame),
            mode=mode,
            counts=frame.results.get("counts"),
            dark=dark.pixels.data if dark else None,
        )
        factor = MEDIAN_NOISE_FACTOR if mode == "median" else 1.0
        return frame.after(f"3x3 filter: {mode}", ccd=to_ccd(pixels, frame.ccd.wcs), poisson_factor=factor)
