"""The best frames of a set as one deep image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from astropy.io import fits

from potpyri_like.encoding import fingerprint
from potpyri_like.frame import Purpose, excluded
from potpyri_like.identity import instrument_identity
from potpyri_like.imaging import (
    Noise,
    Pixels,
    combine,
    scale_to_typical,
    sharpest_frames,
    stacked_pixels,
)
from potpyri_like.photometry import Series
from potpyri_like.primitives.align import Align
from potpyri_like.primitives.fields import (
    ALIGNED,
    FILTER_MODE,
    MASTERS,
    REFERENCE,
    REGISTRATION,
    SERIES,
    STACK,
)
from potpyri_like.primitives.stage import SetStage, Tools, Work
from potpyri_like.results import Choice, Reference
from potpyri_like.stages import FrameStage
from potpyri_like.store import Scratch, ascii_text

__all__ = ["Stack"]

_AT_A_TIME = 8  # frames held in memory
_STAR_PEAKS = (
    0.5  # part by which a star's peak may differ from frame to frame, with the seeing, before it is clipped
)


@dataclass(frozen=True)
class Stack(SetStage):
    """Combine the frames, each without its sky and scaled to the typical transparency.

    Attributes
    ----------
    calibration : tuple of FrameStage
        The stages before a frame is aligned.
    best : int or None
        The sharpest so many frames; None: all.
    """

    calibration: tuple[FrameStage, ...]
    reads = (
        FILTER_MODE,
        MASTERS,
        SERIES,
        REFERENCE,
    )
    gives = (STACK,)
    at_the_end: ClassVar[bool] = True
    best: int | None = None

    def __call__(self, work: Work, tools: Tools) -> Work:
        series, reference = work.result[SERIES], work.setup[REFERENCE]
        chosen = _sharpest(series, self.best)
        name = f"{work.observed.folder}/stack.fits"
        why = "all frames that were matched" if self.best is None else "the sharpest frames without a flag"
        stacked = work.found(
            products={**work.result.products, "stack.fits": name},
            choices=[Choice("frames of the stack", str(len(chosen)), why)],
        )
        key = partial(self.key, work, tools, series, chosen)
        if tools.recall(name, key) is not None:
            return stacked
        with Scratch(reference.image.shape, tools.output) as scratch:
            self.fill(scratch, work, tools, series, chosen)
            if not len(scratch):
                return work
            alike = Noise(np.ones(len(scratch)), np.zeros(len(scratch)), relative=_STAR_PEAKS)
            pixels = stacked_pixels(combine(scratch, method="clipped mean", noise=alike))
        tools.output.write_fits(
            name, _stack_hdus(pixels, work, reference, [series.frames[i] for i in chosen])
        )
        tools.keep(name, key(), len(chosen))
        return stacked

    def key(self, work: Work, tools: Tools, series: Series, chosen: np.ndarray) -> str:
        """What the stack depends on."""
        by_label = {outcome.info.label: outcome for outcome in work.outcomes}
        frames = [by_label[series.frames[i]] for i in chosen]
        transforms = [outcome[REGISTRATION].transform for outcome in frames]
        scales = [_scale_of(series, index) for index in chosen]
        setup, observed = work.setup, work.observed
        shared = (
            self.made_by,
            instrument_identity(type(setup.instrument)),
            setup.filter_mode,
            setup.masters,
        )
        what = self.calibration, setup.reference, observed.target, observed.band, observed.camera
        return fingerprint(
            *shared, *what, transforms, scales, tools.raw([outcome.info for outcome in frames])
        )

    def fill(self, scratch: Scratch, work: Work, tools: Tools, series: Series, chosen: np.ndarray) -> None:
        """The chosen frames onto the disk, some at a time: aligned, without sky, scaled."""
        by_label = {outcome.info.label: outcome for outcome in work.outcomes}
        frames = [by_label[series.frames[i]] for i in chosen]
        align = Align({outcome.info.label: outcome[REGISTRATION].transform for outcome in frames})
        stages = (*self.calibration, align)
        for first in range(0, len(frames), _AT_A_TIME):
            some = [outcome.info for outcome in frames[first : first + _AT_A_TIME]]
            done = tools.run_frames(some, stages, work.setup, what="")
            for index, outcome in zip(chosen[first:], done, strict=False):
                if not outcome.reason:
                    scratch.append(outcome[ALIGNED] * np.float32(_scale_of(series, index)))


def _sharpest(series: Series, count: int | None) -> np.ndarray:
    """Indices of the frames to stack, in order of time."""
    measured = np.isfinite(series.flux).any(axis=(1, 2))
    clear = ~excluded(series.flags, Purpose.CHOICES)
    return sharpest_frames(series.fwhm, measured=measured, clear=clear, count=count)


def _scale_of(series: Series, frame: int) -> float:
    """What brings a frame to the typical transparency, from its stars at the middle aperture."""
    return scale_to_typical(series.flux[:, :, len(series.radii) // 2], frame)


def _stack_hdus(pixels: Pixels, work: Work, reference: Reference, frames: Sequence[str]) -> fits.HDUList:
    """SCI, MASK and ERR of a stack, and what it was made of."""
    header = fits.Header()
    header["OBJECT"] = ascii_text(work.observed.target)
    header["BAND"], header["CAMERA"] = ascii_text(work.observed.band), ascii_text(work.observed.camera)
    header["BUNIT"] = ("electron", "sky subtracted, scaled to a typical frame")
    header["EXPTIME"] = (float(work.observed.exposure.to_value("s")), "[s] of each frame")
    header["NCOMBINE"] = (len(frames), "frames combined")
    header["REFFRAME"] = (ascii_text(reference.info.label), "frame that defines the pixel grid")
    if reference.wcs is not None:
        header.update(reference.wcs.to_header(relax=True))
    for name in frames:
        header.add_history(ascii_text(name))
    return fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(pixels.data, header, name="SCI"),
            fits.ImageHDU(pixels.mask, name="MASK"),
            fits.ImageHDU(np.sqrt(pixels.variance), name="ERR"),
        ]
    )
