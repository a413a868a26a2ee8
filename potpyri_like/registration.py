"""The transform from the reference to a frame, and measurements at a position in it."""

from __future__ import annotations

from dataclasses import dataclass

from potpyri_like.astrometry import Transform
from potpyri_like.photometry.psf import Profile

__all__ = ["Place", "Probe", "Registration"]


@dataclass(frozen=True)
class Registration:
    """The transform from the reference to a frame, and the width of its stars.

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
    """The position of coordinates in a frame by its own WCS.

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
    """The flux at a position in a frame, electron.

    Attributes
    ----------
    flux, error : float, electron
    """

    flux: float
    error: float
