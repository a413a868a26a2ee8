"""The reference of a set, and each frame matched to it."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.astrometry import Match, Transform, fit_pairs, follow_stars, match_stars
from potpyri_like.astrometry.matching import is_certain
from potpyri_like.errors import RegistrationError
from potpyri_like.frame import Frame, FrameInfo, MaskBit
from potpyri_like.imaging import MEDIAN_NOISE_FACTOR, flux_cost
from potpyri_like.photometry import (
    RICH,
    Stars,
    brightest,
    detect_stars,
    fwhm_at,
    fwhm_of,
    glance,
    profile_at,
    round_up,
    sharp_and_rich,
    stars_at,
    typical_width,
)
from potpyri_like.primitives.fields import (
    CALIBRATED,
    FILTER_MODE,
    IMAGE,
    MASTERS,
    REFERENCE,
    REGISTRATION,
    STARS,
    WCS_OF_FRAME,
)
from potpyri_like.primitives.stage import FrameOutcome, SetStage, Setup, Tools, Work
from potpyri_like.registration import Registration
from potpyri_like.results import Candidate, Choice, Reference
from potpyri_like.stages import AnyField, FrameStage, Input

__all__ = [
    "FEW_STARS",
    "ChooseReference",
    "DetectStars",
    "Register",
    "detected_stars",
    "expected_stars",
    "filter_notes",
    "sample_of",
]

log = logging.getLogger(__name__)

_MATCHED_ON = 60  # the brightest stars
FEW_STARS = 5
_PATTERN = 3  # stars that make one
_PEAKS = 40  # of a frame, that are looked at first
_TOLERANCE = 2.0  # pixel
_WIDEST = 1.5  # times the reference's FWHM: of the window for centroids, since wide ones hold two stars
_WIDTHS = 1.1  # ratio of the widths to which the widest is rounded


@dataclass(frozen=True)
class DetectStars(FrameStage):
    """Detect the stars of a calibrated frame.

    Attributes
    ----------
    stars : int
        At most so many.
    """

    former_names = ("Find",)

    reads = (CALIBRATED, Input(REFERENCE, required=False))
    gives: ClassVar[tuple[AnyField, ...]] = (STARS,)
    stars: int = _MATCHED_ON

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        stars = detect_stars(
            frame.data,
            mask=frame.unusable,
            max_stars=self.stars,
            saturated=(frame.mask & np.uint16(MaskBit.SATURATED)) > 0,
            fwhm=setup.reference.fwhm if setup.reference is not None else None,
        )
        return frame.after(f"{len(stars)} stars found", stars=stars)


@dataclass(frozen=True)
class _Open(DetectStars):
    """Detect the stars of the reference, and hand on its image."""

    gives: ClassVar[tuple[AnyField, ...]] = (STARS, IMAGE, WCS_OF_FRAME)

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        found = super().__call__(frame, setup)
        return found.after("image returned", image=frame.data, wcs=frame.wcs)


@dataclass(frozen=True)
class ChooseReference(SetStage):
    """Choose the frame to register to: among a sample of the night, sharp and rich in stars.

    Attributes
    ----------
    sample : int
        Frames that are looked at.
    calibration : tuple of FrameStage
        The stages before the stars are detected.
    """

    calibration: tuple[FrameStage, ...]
    reads = (
        FILTER_MODE,
        MASTERS,
    )
    gives = (REFERENCE,)
    sample: int = 12

    def __call__(self, work: Work, tools: Tools) -> Work:
        frames = sample_of(work.observed.frames, self.sample)
        stages = (*self.calibration, DetectStars(stars=10 * tools.options.stars))
        looks = tools.run_frames(frames, stages, work.setup, what=f"{work.observed.name}, reference")
        best, why = _choose(looks, of=len(work.observed.frames))
        candidates = tuple(_reference_candidate(look, best) for look in looks)
        opened = tools.run_frames(
            [best.info],
            (*self.calibration, _Open(stars=10 * tools.options.stars)),
            work.setup,
            what="",
        )[0]
        reference = _make_reference(opened, why, stars=tools.options.stars, widest=_widest_of(looks))
        log.info("%s: reference %s, %s", work.observed.name, best.info.label, why)
        notes = (
            *work.result.notes,
            *filter_notes(work.setup.filter_mode, reference.fwhm),
            *_weak_notes(len(reference.xy)),
        )
        return work.found(
            reference=reference, choices=[Choice("reference", best.info.label, why, candidates)], notes=notes
        )


@dataclass(frozen=True)
class Register(FrameStage):
    """Find the reference's stars in a frame: the transform from the reference's pixels to the frame's.

    The frame's brightest peaks tell where the reference's stars must be, and there they are looked for; only where
    that fails are the frame's stars detected. No frame needs another one but the reference.

    Raises
    ------
    RegistrationError
        Its stars are not the reference's, as far as can be told.
    """

    reads = (
        CALIBRATED,
        FILTER_MODE,
        REFERENCE,
    )
    gives = (REGISTRATION,)

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        reference = setup[REFERENCE]
        try:
            found, match, fwhm = frame, *expected_stars(frame, reference, clean=setup.filter_mode != "none")
        except RegistrationError as failure:
            log.debug("%s: stars are detected, since %s", frame.info.label, failure)
            found = DetectStars()(frame, setup)
            match, fwhm = detected_stars(found, reference)
        fwhm = fwhm if np.isfinite(fwhm) else reference.fwhm
        profile = profile_at(frame.data, frame.mask, match.transform(reference.xy[match.pairs[:, 0]]), fwhm)
        return frame.after(
            f"matched on {len(match.pairs)} stars, rms {match.rms:.2f} pixel",
            registration=Registration(match.transform, len(match.pairs), float(match.rms), fwhm, profile),
        )


def expected_stars(frame: Frame, reference: Reference, *, clean: bool = True) -> tuple[Match, float]:
    """The reference's brightest stars where the frame's brightest peaks say they must be, and the frame's FWHM.

    Raises
    ------
    RegistrationError
        The peaks match by a hair, or too few stars are there.
    """
    look = glance(frame.data, fwhm=reference.fwhm, clean=clean)
    xy, flux = reference.xy[:_MATCHED_ON], reference.flux[:_MATCHED_ON]
    peaks, light = brightest(look, fwhm=reference.fwhm, count=_PEAKS)
    guesses = Transform.identity(), Transform.half_turn(frame.data.shape)
    first = match_stars(xy, peaks, source_flux=flux, target_flux=light, guess=guesses)
    width = typical_width(look, peaks[first.pairs[:15, 1]], fwhm=reference.fwhm)
    places = first.transform(xy)
    stars = stars_at(
        look, places, fwhm=min(width, _WIDEST * reference.fwhm), max_shift=max(_TOLERANCE, width / 2)
    )
    match = fit_pairs(xy, stars, first.transform, tolerance=_TOLERANCE, chance=first.chance)
    inside = np.count_nonzero(((places > 0) & (places < np.array(frame.data.shape[::-1]) - 1)).all(axis=1))
    if not is_certain(match, expected=int(inside), fwhm=reference.fwhm, tolerance=_TOLERANCE):
        raise RegistrationError(
            f"{len(match.pairs)} of {inside} stars are where the brightest peaks predict, within {match.rms:.2f}"
            f" pixel; chance gives {first.chance:.2g} such patterns"
        )
    return match, fwhm_at(frame.data, frame.mask, stars[match.pairs[:, 1]], width)


def detected_stars(found: Frame, reference: Reference) -> tuple[Match, float]:
    """The detected stars matched with the reference's, and the frame's FWHM."""
    stars: Stars = found[STARS]
    return _matched(reference.xy, reference.flux, stars), fwhm_of(found.data, stars)


def _matched(xy: np.ndarray, flux: np.ndarray, stars: Stars) -> Match:
    """A frame's stars and the brightest of a reference by their pattern; fewer than three are followed."""
    match = match_stars if len(xy) >= _PATTERN else follow_stars
    return match(
        xy[:_MATCHED_ON],
        stars.xy[:_MATCHED_ON],
        source_flux=flux[:_MATCHED_ON],
        target_flux=stars.flux[:_MATCHED_ON],
    )


def filter_notes(mode: str, fwhm: float) -> list[str]:
    """What the 3x3 median cost, where it was used."""
    if mode != "median":
        return []
    cost = flux_cost(fwhm)
    return [
        f"the 3x3 median reduces the flux of all stars by {cost:.1%} at FWHM {fwhm:.1f} pixel, and adds"
        f" {np.sqrt(MEDIAN_NOISE_FACTOR) - 1:.0%} to the sky noise in an aperture (--filter none avoids this)"
    ]


def _weak_notes(stars: int) -> list[str]:
    """That frames are matched by less than a pattern, where it is so."""
    if stars >= _PATTERN:
        return []
    what = "a single star" if stars == 1 else "two stars"
    return [
        f"frames are matched on {what} by position alone, without a pattern: check that it is the right one"
    ]


def sample_of(frames: tuple[FrameInfo, ...], count: int) -> list[FrameInfo]:
    """So many frames, by lot, in order of time.

    The lots are drawn from the frames' names, without their folders: another frame more or less in the night leaves the
    others' lots as they are, so that a night that goes on keeps its reference unless a better one comes.
    """
    lots = {info.label: (_lot_of(info), info.label) for info in frames}
    drawn = set(sorted(lots, key=lots.__getitem__)[:count])
    return [info for info in frames if info.label in drawn]


def _lot_of(info: FrameInfo) -> bytes:
    """The lot of a frame, by the name of its file and its plane, wherever the file lies."""
    name = info.path.name if info.plane is None else f"{info.path.name}[{info.plane}]"
    return hashlib.sha256(name.encode(errors="surrogatepass")).digest()


def _choose(looks: list[FrameOutcome], *, of: int) -> tuple[FrameOutcome, str]:
    """The sharpest of the frames that show nearly as many stars as the richest and the same field as most; and why.

    Raises
    ------
    RegistrationError
        No frame shows a star.
    """
    usable = [look for look in looks if not look.reason and len(look[STARS])]
    if not usable:
        causes = "; ".join(dict.fromkeys(look.reason for look in looks if look.reason))
        raise RegistrationError(
            f"no star detected in any of {len(looks)} frames examined" + (f" ({causes})" if causes else "")
        )
    counts = np.array([len(look[STARS]) for look in usable])
    widths = np.array([np.median(look[STARS].fwhm[:30]) for look in usable])
    best, alike = _most_typical(usable, sharp_and_rich(counts, widths))
    if of == 1:
        return usable[best], f"the only frame; {counts[best]} stars"
    return usable[best], (
        f"FWHM {widths[best]:.1f} pixel and {counts[best]} stars: the sharpest of {len(looks)} frames examined"
        f" (of {of}) {_among(counts, best)};"
        f" same field as {'all' if alike == len(usable) - 1 else f'{alike} of the'} {len(usable) - 1} others"
    )


def _reference_candidate(look: FrameOutcome, best: FrameOutcome) -> Candidate:
    """A frame that was looked at, and why it is not the reference."""
    if look.reason or not len(look[STARS]):
        return Candidate(look.info.label, "", look.reason or "no star detected")
    stars, of_best = look[STARS], best[STARS]
    width, best_width = (float(np.median(found.fwhm[:30])) for found in (stars, of_best))
    figures = f"FWHM {width:.2f} pixel, {len(stars)} stars"
    if look is best:
        return Candidate(look.info.label, figures)
    if width < best_width:
        return Candidate(look.info.label, figures, "sharper, but with fewer stars or of another field")
    return Candidate(look.info.label, figures, "less sharp")


def _among(counts: np.ndarray, best: int) -> str:
    """Which frames the reference was the sharpest of, in words."""
    if counts[best] >= RICH * counts.max():
        return f"with at least {RICH:.0%} of the largest number of stars, {counts.max()}".replace("%", " %")
    return f"whose field most others share; frames with more stars, up to {counts.max()}, show another field"


def _most_typical(looks: list[FrameOutcome], candidates: np.ndarray) -> tuple[int, int]:
    """The first candidate whose field half of the other frames show, else that which most show; and how many do."""
    alike = np.full(len(looks), -1)
    for candidate in candidates:
        others = [look for i, look in enumerate(looks) if i != candidate]
        alike[candidate] = sum(_same_field(looks[candidate], other) for other in others)
        if 2 * alike[candidate] >= len(others):
            break
    best = candidates[np.argmax(alike[candidates])] if alike[candidate] * 2 < len(looks) - 1 else candidate
    return int(best), int(alike[best])


def _same_field(one: FrameOutcome, other: FrameOutcome) -> bool:
    """Whether two frames show the same stars."""
    a, b = one[STARS], other[STARS]
    try:
        _matched(a.xy, a.flux, b)
    except RegistrationError:
        return False
    return True


def _widest_of(looks: list[FrameOutcome]) -> float:
    """The largest typical FWHM of the frames looked at, pixels, rounded up by a tenth at most; NaN without stars.

    Rounded, since what it decides should not change with every frame that is a little worse.
    """
    found = [look[STARS] for look in looks if not look.reason]
    widest = max((float(np.median(stars.fwhm[:30])) for stars in found if len(stars)), default=float("nan"))
    return round_up(widest, _WIDTHS)


def _make_reference(outcome: FrameOutcome, why: str, *, stars: int, widest: float) -> Reference:
    """The reference from the frame that was chosen: its brightest stars, and those that outshine them by saturation."""
    if outcome.reason:
        raise RegistrationError(
            f"the reference {outcome.info.label} could not be read again: {outcome.reason}"
        )
    found, image = outcome[STARS], outcome[IMAGE]
    fwhm = fwhm_of(image, found)
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
        wcs=outcome.get(WCS_OF_FRAME),
    )
