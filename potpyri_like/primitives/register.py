"""The reference of a set, and each frame matched to it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.astrometry import match_stars
from potpyri_like.errors import RegistrationError
from potpyri_like.frame import Frame, FrameInfo, MaskBit
from potpyri_like.imaging import MEDIAN_NOISE_FACTOR, flux_cost
from potpyri_like.photometry import Stars, annulus_sky, detect_stars, frame_fwhm
from potpyri_like.primitives.calibrate import UNUSABLE
from potpyri_like.primitives.stage import FrameOutcome, FrameStage, Setup, Tools, Work
from potpyri_like.results import Choice, Reference

__all__ = ["ChooseReference", "Find", "Register"]

log = logging.getLogger(__name__)

MATCHED_ON = 60  # the brightest stars
FEW_STARS = 5


@dataclass(frozen=True)
class Find:
    """Detect the stars of a calibrated frame.

    Attributes
    ----------
    stars : int
        At most so many.
    keep_image : bool
        Hand the image on among the results: for a reference.
    """

    per: ClassVar[str] = "frame"
    stars: int = MATCHED_ON
    keep_image: bool = False

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        stars = detect_stars(
            frame.data,
            mask=frame.mask & UNUSABLE,
            max_stars=self.stars,
            saturated=(frame.mask & np.uint8(MaskBit.SATURATED)) > 0,
            fwhm=setup.reference.fwhm if setup.reference is not None else None,
        )
        kept = {"image": frame.data, "wcs": frame.ccd.wcs} if self.keep_image else {}
        return frame.after(f"{len(stars)} stars found", stars=stars, **kept)


@dataclass(frozen=True)
class ChooseReference:
    """Choose the frame to register to: among a sample over the night, sharp and rich in stars.

    Attributes
    ----------
    sample : int
        Frames that are looked at.
    calibration : tuple of FrameStage
        The stages before the stars are detected.
    """

    calibration: tuple[FrameStage, ...]
    per: ClassVar[str] = "set"
    sample: int = 9

    def __call__(self, work: Work, tools: Tools) -> Work:
        frames = spread(work.observed.frames, self.sample)
        stages = (*self.calibration, Find(stars=10 * tools.options.stars))
        looks = tools.run_frames(frames, stages, work.setup, what=f"{work.observed.name}, reference")
        best, why = choose(looks, of=len(work.observed.frames))
        opened = tools.run_frames(
            [best.info],
            (*self.calibration, Find(stars=10 * tools.options.stars, keep_image=True)),
            work.setup,
            what="",
        )[0]
        reference = make_reference(opened, why, stars=tools.options.stars, widest=widest_of(looks))
        log.info("%s: reference %s, %s", work.observed.name, best.info.label, why)
        work = work.with_(setup=work.setup.with_(reference=reference))
        notes = (*work.result.notes, *filter_notes(work.setup.filter_mode, reference.fwhm))
        return work.found(
            reference=reference, choices=[Choice("reference", best.info.label, why)], notes=notes
        )


@dataclass(frozen=True)
class Register:
    """Find the reference's stars in a frame: the transform from the reference's pixels to the frame's.

    Raises
    ------
    RegistrationError
        Its stars are not the reference's, as far as can be told.
    """

    per: ClassVar[str] = "frame"

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        reference = setup.reference
        assert reference is not None
        found = Find()(frame, setup)
        stars: Stars = found.results["stars"]
        few = min(len(reference.xy), MATCHED_ON)
        match = match_stars(
            reference.xy[:few], stars.xy, source_flux=reference.flux[:few], target_flux=stars.flux
        )
        fwhm = seeing(frame.data, stars)
        return found.after(
            f"matched on {len(match.pairs)} stars, rms {match.rms:.2f} pixel",
            transform=match.transform,
            matched=len(match.pairs),
            rms=match.rms,
            fwhm=fwhm if np.isfinite(fwhm) else reference.fwhm,
        )


def filter_notes(mode: str, fwhm: float) -> list[str]:
    """What the 3x3 median cost, where it was used."""
    if mode != "median":
        return []
    cost = flux_cost(fwhm)
    return [
        f"the 3x3 median takes {cost:.1%} of a star's light at FWHM {fwhm:.1f} pixel, from all stars alike, and adds"
        f" {np.sqrt(MEDIAN_NOISE_FACTOR) - 1:.0%} to the sky's noise in an aperture (--filter none spares that)"
    ]


def seeing(image: np.ndarray, stars: Stars) -> float:
    """The FWHM of the frame, pixels, from its best stars; NaN where it has none."""
    good = np.flatnonzero(~stars.saturated & np.isfinite(stars.fwhm))[:8]
    if not len(good):
        return float("nan")
    xy, width = stars.xy[good], float(np.median(stars.fwhm[good]))
    sky = annulus_sky(image, xy, inner=4 * width, outer=6 * width + 4)
    known = np.isfinite(sky.level)
    return frame_fwhm(image, *xy[known].T, sky=sky.level[known], radius=max(2 * width, 8.0))


def spread(frames: tuple[FrameInfo, ...], count: int) -> list[FrameInfo]:
    """So many frames, evenly over the set."""
    index = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    return [frames[i] for i in index]


def choose(looks: list[FrameOutcome], *, of: int) -> tuple[FrameOutcome, str]:
    """The sharpest of the frames that show nearly as many stars as the richest and the same field as most; and why.

    Raises
    ------
    RegistrationError
        No frame shows a star.
    """
    usable = [look for look in looks if not look.reason and len(look.results["stars"])]
    if not usable:
        causes = "; ".join(dict.fromkeys(look.reason for look in looks if look.reason))
        raise RegistrationError(
            f"no star in any of {len(looks)} frames looked at" + (f" ({causes})" if causes else "")
        )
    counts = np.array([len(look.results["stars"]) for look in usable])
    widths = np.array([np.median(look.results["stars"].fwhm[:30]) for look in usable])
    rich = np.flatnonzero(counts >= 0.8 * counts.max())
    best, alike = most_typical(usable, rich[np.argsort(widths[rich], kind="stable")])
    if of == 1:
        return usable[best], f"the only frame; {counts[best]} stars"
    return usable[best], (
        f"FWHM {widths[best]:.1f} pixel and {counts[best]} stars: the sharpest of {len(looks)} frames looked at"
        f" (of {of}) among those with at least 80 % of the most stars, {counts.max()};"
        f" its stars are those of {alike} of the {len(usable) - 1} others"
    )


def most_typical(looks: list[FrameOutcome], candidates: np.ndarray) -> tuple[int, int]:
    """The first candidate whose field half of the other frames show, else that which most show; and how many do."""
    alike = np.full(len(looks), -1)
    for candidate in candidates:
        others = [look for i, look in enumerate(looks) if i != candidate]
        alike[candidate] = sum(same_field(looks[candidate], other) for other in others)
        if 2 * alike[candidate] >= len(others):
            break
    best = candidates[np.argmax(alike[candidates])] if alike[candidate] * 2 < len(looks) - 1 else candidate
    return int(best), int(alike[best])


def same_field(one: FrameOutcome, other: FrameOutcome) -> bool:
    """Whether two frames show the same stars."""
    a, b = one.results["stars"], other.results["stars"]
    try:
        match_stars(
            a.xy[:MATCHED_ON],
            b.xy[:MATCHED_ON],
            source_flux=a.flux[:MATCHED_ON],
            target_flux=b.flux[:MATCHED_ON],
        )
    except RegistrationError:
        return False
    return True


def widest_of(looks: list[FrameOutcome]) -> float:
    """The largest typical FWHM of the frames looked at, pixels; NaN where none shows a star."""
    found = [look.results["stars"] for look in looks if not look.reason]
    return max((float(np.median(stars.fwhm[:30])) for stars in found if len(stars)), default=float("nan"))


def make_reference(outcome: FrameOutcome, why: str, *, stars: int, widest: float) -> Reference:
    """The reference from the frame that was chosen: its brightest stars, and those that outshine them by saturation."""
    if outcome.reason:
        raise RegistrationError(
            f"the reference {outcome.info.label} could not be read again: {outcome.reason}"
        )
    found, image = outcome.results["stars"], outcome.results["image"]
    fwhm = seeing(image, found)
    unsaturated = np.cumsum(~found.saturated)
    found = found.take(np.flatnonzero(unsaturated <= stars)[: 2 * stars])
    fwhm = fwhm if np.isfinite(fwhm) else float(np.median(found.fwhm))
    return Reference(
        info=outcome.info,
        image=image,
        xy=found.xy,
        flux=found.flux,
        fwhm=fwhm,
        widest=max(fwhm, widest) if np.isfinite(widest) else fwhm,
        why=why,
        wcs=outcome.results["wcs"],
    )
