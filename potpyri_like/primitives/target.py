"""Which star is the target, in every camera."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.astrometry import Match, match_stars
from potpyri_like.errors import RegistrationError, UsageError
from potpyri_like.frame import FrameInfo
from potpyri_like.primitives.register import Register
from potpyri_like.primitives.stage import FrameStage, Tools, Work
from potpyri_like.results import Choice, Problem, Reference

__all__ = ["LocateTarget", "MatchCameras", "target_spec"]

log = logging.getLogger(__name__)

SCALE_ERROR = 0.10  # declared pixel scales of different cameras are trusted to this
ON_SKY = 3.0  # arcsec; how far a star may be from the coordinates given


@dataclass(frozen=True)
class MatchCameras:
    """Match the stars of each set's reference to those of the first set of the same target."""

    per: ClassVar[str] = "target"

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        first = base_of(works)
        return tuple(work if work is first else self.matched(work, first) for work in works)

    def matched(self, work: Work, first: Work) -> Work:
        """A set with its stars' counterparts in the first set."""
        try:
            match = match_references(first, work)
        except RegistrationError as error:
            what = f"{work.observed.name} and {first.observed.name}"
            return work.found(
                problems=[Problem(what, "match cameras", f"their stars could not be matched: {error}")]
            )
        same = {int(there): int(here) for here, there in match.pairs}
        log.info("%s: %d stars are those of %s", work.observed.name, len(same), first.observed.name)
        transform = match.transform
        why = (
            f"{len(same)} stars agree, scale {transform.scale:.4f}, rotation {transform.rotation:+.2f} deg,"
            f" rms {match.rms:.2f} pixel"
        )
        return work.found(
            same_as=same,
            same_as_set=first.observed.folder,
            choices=[Choice(f"stars matched to {first.observed.name}", f"{len(same)} stars", why)],
        )


@dataclass(frozen=True)
class LocateTarget:
    """Find the target in every set: by the pixel given in one camera, or by its coordinates and a WCS.

    Attributes
    ----------
    calibration : tuple of FrameStage
        The stages before a frame is registered.
    """

    calibration: tuple[FrameStage, ...]
    per: ClassVar[str] = "target"

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        spec = tools.options.target_xy
        if spec is not None:
            return self.by_pixel(works, tools, *target_spec(spec))
        return tuple(by_coordinates(work) for work in works)

    def by_pixel(
        self, works: tuple[Work, ...], tools: Tools, camera: str, xy: np.ndarray
    ) -> tuple[Work, ...]:
        """The target from its pixel in one frame of one camera, carried over to the others."""
        first = named(works, camera) if camera else base_of(works)
        try:
            here = self.in_reference(first, tools, xy)
        except RegistrationError as error:
            problem = Problem(first.observed.name, "target", str(error))
            return tuple(work.found(problems=[problem]) if work is first else work for work in works)
        log.info("%s: the target is at %.1f, %.1f in the reference", first.observed.name, *here)
        located = snapped(first, here, f"--target-xy {xy[0]:g},{xy[1]:g} in {first.observed.camera}")
        assert located.target_xy is not None
        return tuple(located if w is first else carried(w, first, located.target_xy) for w in works)

    def in_reference(self, work: Work, tools: Tools, xy: np.ndarray) -> np.ndarray:
        """A pixel of the frame it was read off in, as a pixel of the reference."""
        info = target_frame(work, tools.options.target_frame)
        reference = work.setup.reference
        if reference is None or info == reference.info:
            return xy
        outcome = tools.run_frames([info], (*self.calibration, Register()), work.setup, what="")[0]
        if outcome.reason:
            raise RegistrationError(
                f"the target's pixel was given for {info.label}, which could not be matched ({outcome.reason});"
                " name another frame with --target-frame"
            )
        return outcome.results["transform"].inverse()(xy[None])[0]


def target_spec(text: str) -> tuple[str, np.ndarray]:
    """Camera ("" for any) and pixel of "X,Y" or "CAMERA:X,Y".

    Raises
    ------
    UsageError
        It is neither.
    """
    camera, _, numbers = text.rpartition(":")
    try:
        x, y = (float(part) for part in numbers.split(","))
    except ValueError as error:
        raise UsageError(
            f"--target-xy {text}: give X,Y or CAMERA:X,Y, as in 512,480 or C1:512,480"
        ) from error
    return camera.strip(), np.array([x, y])


def target_frame(work: Work, name: str | None) -> FrameInfo:
    """The frame in which the target's pixel was read off."""
    if name is None:
        return work.observed.frames[0]
    for info in work.observed.frames:
        if name in (info.label, info.path.name, str(info.path)):
            return info
    raise UsageError(f"--target-frame {name}: no science frame of {work.observed.name} has that name")


def named(works: tuple[Work, ...], camera: str) -> Work:
    """The first set of that camera (or band)."""
    for work in works:
        if camera.casefold() in (work.observed.camera.casefold(), work.observed.band.casefold()):
            return work
    cameras = ", ".join(dict.fromkeys(work.observed.camera for work in works))
    raise UsageError(f"--target-xy {camera}:...: no frames of a camera {camera}; there are {cameras}")


def base_of(works: tuple[Work, ...]) -> Work:
    """The set that the others are matched to: the first with a reference."""
    return next((work for work in works if work.setup.reference is not None), works[0])


def match_references(one: Work, other: Work) -> Match:
    """The stars of two references of the same field, at the ratio of the declared scales, mirrored or not.

    Raises
    ------
    RegistrationError
        They do not agree.
    """
    a, b = one.setup.reference, other.setup.reference
    if a is None or b is None:
        raise RegistrationError("one of them has no reference")
    ratio = one.result.pixel_scale / other.result.pixel_scale
    error = SCALE_ERROR if one.observed.camera != other.observed.camera else 0.02
    return match_stars(
        a.xy,
        b.xy,
        source_flux=a.flux,
        target_flux=b.flux,
        scale=(ratio * (1 - error), ratio * (1 + error)),
        allow_flip=one.observed.camera != other.observed.camera,
        tolerance=max(2.0, 0.4 * b.fwhm),
        affine=True,
    )


def carried(work: Work, first: Work, xy: np.ndarray) -> Work:
    """The target's place in another set."""
    try:
        match = match_references(first, work)
    except RegistrationError as error:
        problem = Problem(
            work.observed.name,
            "target",
            f"the target could not be carried over from {first.observed.name}: {error}",
        )
        return work.found(problems=[problem])
    there = match.transform(xy[None])[0]
    return snapped(
        work, there, f"the same star as in {first.observed.name}, by {len(match.pairs)} common stars"
    )


def by_coordinates(work: Work) -> Work:
    """The star at the coordinates, where the reference has a WCS and they are real."""
    reference, coordinates = work.setup.reference, work.setup.coordinates
    if reference is None or reference.wcs is None or coordinates is None:
        return work
    x, y = reference.wcs.world_to_pixel(coordinates)
    scale = work.result.pixel_scale
    star, distance = nearest(reference, np.array([float(x), float(y)]))
    if star is None or not distance * scale < ON_SKY:
        where = coordinates.to_string("hmsdms", precision=1)
        near = "" if star is None else f" (the nearest is {distance * scale:.0f} arcsec away)"
        return work.found(
            choices=[Choice("target", "not found", f"no star within {ON_SKY:g} arcsec of {where}{near}")]
        )
    return work.with_(
        target_xy=reference.xy[star],
        target_star=star,
        target_why=f"the star {distance * scale:.1f} arcsec from its coordinates",
    )


def snapped(work: Work, xy: np.ndarray, why: str) -> Work:
    """The star at a place, or the place itself where no star was detected."""
    reference = work.setup.reference
    assert reference is not None
    rows, columns = reference.image.shape
    if not (0 <= xy[0] < columns and 0 <= xy[1] < rows):
        where = f"it falls at {xy[0]:.0f}, {xy[1]:.0f}, outside the reference of {columns} x {rows} pixels"
        return work.found(problems=[Problem(work.observed.name, "target", f"{why}: {where}")])
    star, distance = nearest(reference, xy)
    if star is not None and distance <= max(5.0, 1.5 * reference.fwhm):
        return work.with_(
            target_xy=reference.xy[star],
            target_star=star,
            target_why=f"{why}; {distance:.1f} pixel from the star",
        )
    setup = work.setup.with_(forced=np.array([xy]))
    return work.with_(
        setup=setup,
        target_xy=xy,
        target_star=len(reference.xy),
        target_why=f"{why}; no star was detected there, so that place is measured",
    )


def nearest(reference: Reference, xy: np.ndarray) -> tuple[int | None, float]:
    """The star nearest to a place and its distance, pixels."""
    if not len(reference.xy):
        return None, float("inf")
    distance = np.hypot(*(reference.xy - xy).T)
    return int(np.argmin(distance)), float(distance.min())
