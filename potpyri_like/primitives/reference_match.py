"""Matches the references of two cameras by their stars."""

from __future__ import annotations

from potpyri_like.astrometry import Match, match_stars
from potpyri_like.errors import RegistrationError
from potpyri_like.primitives.stage import Located, Work

__all__ = ["ON_CHIP", "ON_SKY", "at", "base_of", "match_references", "only"]

_SAME_SCALE, _SCALE_ERROR = (
    0.02,
    0.10,
)  # the ratio of declared pixel scales is trusted to this: of one camera, of two
_SCALE_WRONG = 0.25  # of two cameras, where their stars do not agree so: a declaration may be wrong
ON_SKY, ON_CHIP = 3.0, 1.0  # arcsec, pixel: how far a star may be from its coordinates; the larger counts


def at(work: Work) -> Located:
    """A set's target, for other sets."""
    return Located(
        work.observed.name,
        work.observed.camera,
        work.setup.reference,
        work.result.pixel_scale,
        work.target_xy,
    )


def only(works: tuple[Work, ...], old: Work, new: Work) -> tuple[Work, ...]:
    """The works with another one in the place of one."""
    return tuple(new if work is old else work for work in works)


def base_of(works: tuple[Work, ...]) -> Work:
    """The set that the others are matched to: the first with a reference."""
    return next((work for work in works if work.setup.reference is not None), works[0])


def match_references(one: Located, other: Work) -> Match:
    """The stars of two references of the same field, at the ratio of the declared scales, mirrored or not.

    Raises
    ------
    RegistrationError
        They do not agree.
    """
    if one.camera == other.observed.camera:
        return _match_at_scale(one, other, _SAME_SCALE)
    try:
        return _match_at_scale(one, other, _SCALE_ERROR)
    except RegistrationError:
        return _match_at_scale(one, other, _SCALE_WRONG)


def _match_at_scale(one: Located, other: Work, error: float) -> Match:
    """The same, the ratio of the scales being known to a relative error."""
    a, b = one.reference, other.setup.reference
    if a is None or b is None:
        raise RegistrationError("one of them has no reference")
    ratio, same_camera = one.pixel_scale / other.result.pixel_scale, one.camera == other.observed.camera
    return match_stars(
        a.xy,
        b.xy,
        source_flux=a.flux,
        target_flux=b.flux,
        scale=(ratio * (1 - error), ratio * (1 + error)),
        allow_flip=not same_camera,
        tolerance=max(2.0, 0.4 * b.fwhm),
        affine=True,
    )
