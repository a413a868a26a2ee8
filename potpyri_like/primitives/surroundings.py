"""What is said and done about other light in the target's aperture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from potpyri_like.frame import StarFlag
from potpyri_like.photometry import Series, annulus_sky, light_of_others, nan_median, profile_at, sky_error
from potpyri_like.photometry.psf import Profile
from potpyri_like.primitives.stage import Work
from potpyri_like.results import Grade, Problem

__all__ = ["Surroundings", "surroundings_of"]

_CLEAN = 0.02  # of the light: so much of other stars is let in
_SLIGHTLY_MORE = 1.2  # times the least of all apertures, where none is clean
_SLOPE, _SURE = 0.02, 5.0  # of the flux, and standard deviations: a sky that is not level
_MUCH = 0.10  # of the flux: the depth of a transit is another one


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Other light in the target's apertures, in the reference.

    Attributes
    ----------
    others : ndarray, shape (n_apertures,)
        Share of other stars in the light of each.
    slope : ndarray, shape (n_apertures,)
        Part of the target's flux by which a sky that is not level falsifies it; 0 where it is level.
    """

    others: np.ndarray
    slope: np.ndarray

    @property
    def allowed(self) -> np.ndarray:
        """The apertures that hold little light of other stars; the least bad ones where none does."""
        others = np.nan_to_num(self.others, nan=0.0)
        return others <= max(_CLEAN, _SLIGHTLY_MORE * float(others.min()))

    def flagged(self, series: Series, star: int, aperture: int) -> Series:
        """The series with what holds for the target at an aperture."""
        flags = int(StarFlag.NEIGHBOUR) * bool(self.others[aperture] > _CLEAN)
        flags |= int(StarFlag.SLOPE) * bool(abs(self.slope[aperture]) > _SLOPE)
        if not flags:
            return series
        star_flags = series.star_flags.copy()
        star_flags[:, star] |= flags
        return replace(series, star_flags=star_flags)

    def problems(self, where: str, aperture: int) -> list[Problem]:
        """What a reader of the light curve has to know."""
        found = []
        others, slope = float(self.others[aperture]), float(self.slope[aperture])
        if others > _CLEAN:
            why = (
                f"{others:.0%} of the light in the target's aperture is that of other stars, by the reference: a"
                f" transit is {1 / (1 - others):.2f} times as deep as it appears"
            )
            found.append(
                Problem(where, "neighbours", why, Grade.DOUBTFUL if others > _MUCH else Grade.REMARK)
            )
        if abs(slope) > _SLOPE:
            why = (
                f"the sky around the target is not level: at the star it differs from that of its annulus by"
                f" {abs(slope):.0%} of the star's flux"
            )
            found.append(Problem(where, "sky", why, Grade.DOUBTFUL if abs(slope) > _MUCH else Grade.REMARK))
        return found


def surroundings_of(work: Work, series: Series) -> Surroundings | None:
    """What else is in the target's apertures, as the reference shows it; None without a target that shines there."""
    reference, star = work.setup.reference, work.target_star
    if reference is None or star is None or not len(series.radii):
        return None
    image, fwhm, xy = reference.image, reference.fwhm, series.reference_xy
    fitted = profile_at(image, np.zeros(image.shape, np.uint16), reference.xy, fwhm)
    profile = (fitted if fitted.is_known else Profile(fwhm)).through_pixels(1)
    others = np.zeros(len(series.radii))
    if not series.parts_blends:
        others = light_of_others(image, xy, star, series.radii, profile=profile, annulus=series.annulus)
    if not np.isfinite(others).any():
        return None
    level = float(annulus_sky(image, xy[[star]], inner=series.annulus[0], outer=series.annulus[1]).level[0])
    off, error = sky_error(image, xy, star, level=level, fwhm=fwhm, outer=series.annulus[1])
    flux = nan_median(series.flux[:, star])
    slope = np.zeros(len(series.radii))
    if abs(off) > _SURE * error:
        slope = np.nan_to_num(off * np.pi * series.radii**2 / np.where(flux > 0, flux, np.nan))
    return Surroundings(others, slope)
