"""How a frame lies on the reference, and what is found out about a place in it."""

from __future__ import annotations

from dataclasses import dataclass

from potpyri_like.astrometry import Transform
from potpyri_like.photometry.psf import Profile

__all__ = ["Place", "Probe", "Registration"]


@dataclass(frozen=True)
class Registration:
    """How a frame lies on the reference, and how wide its stars are.

    Attributes
    ----------
    transform : Transform
        From the reference's pixels to the frame's.
    matched : int
        Stars that agree on it.
    rms : float, pixel
        Their scatter about it.
    fwhm : float, pixel
    profile : Profile
        NaN where no star is good enough to tell it.
    """

    transform: Transform
    matched: int
    rms: float
    fwhm: float
    profile: Profile

    @property
    def psf(self) -> Profile:
        """The profile; where it is not known, that of round stars as wide."""
        return self.profile if self.profile.is_known else Profile(self.fwhm)


@dataclass(frozen=True)
class Place:
    """Where a frame's own WCS puts some coordinates.

    Attributes
    ----------
    xy : (float, float), pixel, or None
    doubt : str
        Why a WCS that is there cannot be used.
    """

    xy: tuple[float, float] | None = None
    doubt: str = ""


@dataclass(frozen=True)
class Probe:
    """The light at a place in a frame, electron.

    Attributes
    ----------
    flux, error : float, electron
    """

    flux: float
    error: float
