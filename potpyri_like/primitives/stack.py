"""The best frames of a set as one deep image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from astropy.io import fits

from potpyri_like.frame import Frame, MaskBit
from potpyri_like.imaging import Pixels, combine, warp
from potpyri_like.photometry import Series
from potpyri_like.primitives.stage import FrameOutcome, FrameStage, Setup, Tools, Work, pixels_of, to_ccd
from potpyri_like.results import Choice, Reference
from potpyri_like.store import Scratch

__all__ = ["Align", "Stack"]


@dataclass(frozen=True)
class Align:
    """Resample a registered frame to the reference's pixels."""

    per: ClassVar[str] = "frame"

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        assert setup.reference is not None
        to_reference = frame.results["transform"].inverse()
        pixels = warp(
            pixels_of(frame), to_reference.matrix, to_reference.offset, shape=setup.reference.image.shape
        )
        return frame.after("resampled to the reference", ccd=to_ccd(pixels), aligned=pixels)


@dataclass(frozen=True)
class Stack:
    """Combine the frames, each without its sky and scaled to the reference's transparency.

    Attributes
    ----------
    registration : tuple of FrameStage
        The stages up to `Register`.
    best : int or None
        The sharpest so many frames; None: all.
    """

    registration: tuple[FrameStage, ...]
    per: ClassVar[str] = "set"
    best: int | None = None

    def __call__(self, work: Work, tools: Tools) -> Work:
        series, reference = work.result.series, work.setup.reference
        assert series is not None and reference is not None
        chosen = sharpest(series, self.best)
        if not len(chosen):
            return work
        by_name = {outcome.info.label: outcome for outcome in work.outcomes}
        with Scratch(reference.image.shape, tools.output.root) as scratch:
            for index in chosen:
                self.add(scratch, by_name[series.frames[index]], work, tools, scale_to_reference(series, index))
            if not len(scratch):
                return work
            stacked = combine(scratch, method="clipped mean")
        why = "all frames that were matched" if self.best is None else "the sharpest frames without a flag"
        name = f"{work.observed.folder}/stack.fits"
        empty = ~np.isfinite(stacked.value)
        pixels = Pixels(
            np.where(empty, 0, stacked.value),
            np.where(empty | ~np.isfinite(stacked.variance), 0, stacked.variance),
            np.where(empty, np.uint8(MaskBit.BAD), np.uint8(0)),
        )
        tools.output.write_fits(name, stack_hdus(pixels, work, reference, [series.frames[i] for i in chosen]))
        return work.found(
            products={**work.result.products, "stack": name},
            choices=[Choice("frames of the stack", str(len(chosen)), why)],
        )

    def add(self, scratch: Scratch, outcome: FrameOutcome, work: Work, tools: Tools, scale: float) -> None:
        """One frame onto the disk, aligned, without sky, scaled."""
        again = tools.run_frames([outcome.info], (*self.registration, Align()), work.setup, what="")[0]
        if again.reason:
            return
        pixels: Pixels = again.results["aligned"]
        bad = (pixels.mask & MaskBit.BAD) > 0
        if bad.all():
            return
        sky = np.median(pixels.data[~bad])
        scratch.append(np.where(bad, np.nan, (pixels.data - sky) * np.float32(scale)))


def sharpest(series: Series, count: int | None) -> np.ndarray:
    """Indices of the frames to stack, in order of time."""
    usable = np.flatnonzero(np.isfinite(series.fwhm) & np.isfinite(series.flux).any(axis=(1, 2)))
    clear = usable[series.flags[usable] == 0]
    usable = clear if len(clear) else usable
    if count is not None:
        usable = usable[np.argsort(series.fwhm[usable], kind="stable")[:count]]
    return np.sort(usable)


def scale_to_reference(series: Series, index: int) -> float:
    """Typical flux of the stars over all frames, over that in one frame, at the middle aperture."""
    middle = series.flux[:, :, len(series.radii) // 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        typical = np.array([np.nanmedian(star) if np.isfinite(star).any() else np.nan for star in middle.T])
        ratio = typical / middle[index]
    good = np.isfinite(ratio) & (ratio > 0)
    return float(np.median(ratio[good])) if good.any() else 1.0


def stack_hdus(pixels: Pixels, work: Work, reference: Reference, frames: Sequence[str]) -> fits.HDUList:
    """SCI, MASK and ERR of a stack, and what it was made of."""
    header = fits.Header()
    header["OBJECT"] = work.observed.target
    header["BAND"], header["CAMERA"] = work.observed.band, work.observed.camera
    header["BUNIT"] = ("electron", "without sky, as in a typical frame")
    header["EXPTIME"] = (float(work.observed.exposure.to_value("s")), "[s] of each frame")
    header["NCOMBINE"] = (len(frames), "frames combined")
    header["REFFRAME"] = (reference.info.label, "whose pixels these are")
    if reference.wcs is not None:
        header.update(reference.wcs.to_header(relax=True))
    for name in frames:
        header.add_history(name)
    return fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(pixels.data, header, name="SCI"),
            fits.ImageHDU(pixels.mask, name="MASK"),
            fits.ImageHDU(np.sqrt(pixels.variance), name="ERR"),
        ]
    )
