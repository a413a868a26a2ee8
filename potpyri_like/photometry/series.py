"""The measurements of an observation: the series of all stars, and the light curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = ["LightCurve", "Series"]


@dataclass(frozen=True)
class Series:
    """Every star in every frame of one set, at every aperture.

    Frames are in order of time. A frame that could not be matched has NaN everywhere and says why in `reasons`.

    Attributes
    ----------
    frames : tuple of str
        The frames' names.
    jd_utc : ndarray, shape (n_frames,), days
        Mid-exposure.
    bjd_tdb : ndarray, shape (n_frames,), days, or None
        Mid-exposure at the target; None without believable coordinates.
    exposure : ndarray, shape (n_frames,), s
    airmass : ndarray, shape (n_frames,)
        NaN without coordinates.
    fwhm : ndarray, shape (n_frames,), pixel
    ellipticity : ndarray, shape (n_frames,)
        Of the stars, 1 - minor / major axis.
    angle : ndarray, shape (n_frames,), degrees
        Of their major axis, from +x towards +y.
    scintillation : ndarray, shape (n_frames,)
        Relative; 0 where the telescope's diameter is not declared. It is in `flux_err`.
    pixel_noise : mapping of str to ndarray, shape (n_frames,), electron^2
        Variance of a pixel, as it counts in a sum over many, by what makes it: "read-out", "digitisation",
        "dark current"; and "flat", relative. "photons" is what multiplies the variance of photons, 1 without the 3x3
        median.
    shift : ndarray, shape (n_frames, 2), pixel
        Where the reference's centre lies in the frame, minus that centre: dx, dy.
    rotation : ndarray, shape (n_frames,), degrees
    matched : ndarray of int, shape (n_frames,)
        Stars that agreed with the reference.
    flags : ndarray of int, shape (n_frames,)
        Bits of `FrameFlag`.
    reasons : tuple of str
        Why a frame is flagged; "" where it is not.
    reference_xy : ndarray, shape (n_stars, 2), pixel
        Positions in the reference frame.
    xy : ndarray, shape (n_frames, n_stars, 2), pixel
    flux, flux_err : ndarray, shape (n_frames, n_stars, n_apertures), electron
    sky : ndarray, shape (n_frames, n_stars), electron/pixel
    peak : ndarray, shape (n_frames, n_stars), electron
    star_flags : ndarray of int, shape (n_frames, n_stars)
        Bits of `StarFlag`.
    radii : ndarray, shape (n_apertures,), pixel
    radii_fwhm : ndarray, shape (n_apertures,)
        The same in units of the reference's FWHM.
    annulus : (float, float), pixel
    parts_blends : bool
        Stars whose light overlaps were measured together: the flux of one holds none of another's.
    """

    frames: tuple[str, ...]
    jd_utc: np.ndarray
    bjd_tdb: np.ndarray | None
    exposure: np.ndarray
    airmass: np.ndarray
    fwhm: np.ndarray
    ellipticity: np.ndarray
    angle: np.ndarray
    scintillation: np.ndarray
    pixel_noise: Mapping[str, np.ndarray]
    shift: np.ndarray
    rotation: np.ndarray
    matched: np.ndarray
    flags: np.ndarray
    reasons: tuple[str, ...]
    reference_xy: np.ndarray
    xy: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    sky: np.ndarray
    peak: np.ndarray
    star_flags: np.ndarray
    radii: np.ndarray
    radii_fwhm: np.ndarray
    annulus: tuple[float, float]
    parts_blends: bool = False

    @property
    def time(self) -> np.ndarray:
        """BJD_TDB where there is one, else JD_UTC; days."""
        return self.jd_utc if self.bjd_tdb is None else self.bjd_tdb

    @property
    def time_name(self) -> str:
        """The name of that time as a column: "bjd_tdb" or "jd_utc_mid"."""
        return "jd_utc_mid" if self.bjd_tdb is None else "bjd_tdb"

    @property
    def exposure_days(self) -> np.ndarray:
        """The exposures in the unit of the times, shape (n_frames,), days."""
        return self.exposure / 86400

    def columns(self, star: int) -> dict[str, np.ndarray]:
        """What a star's baseline may follow, each of shape (n_frames,)."""
        return {
            "airmass": self.airmass,
            "x": self.xy[:, star, 0],
            "y": self.xy[:, star, 1],
            "fwhm": self.fwhm,
            "sky": self.sky[:, star],
        }

    @property
    def frame_sky(self) -> np.ndarray:
        """Median sky of the stars, shape (n_frames,), electron/pixel; NaN where nothing was measured."""
        sky = np.full(len(self.frames), np.nan)
        measured = np.isfinite(self.sky).any(axis=1)
        sky[measured] = np.nanmedian(self.sky[measured], axis=1)
        return sky


@dataclass(frozen=True)
class LightCurve:
    """One star in one band.

    Attributes
    ----------
    star : int
        Its index in the series.
    target, band, camera : str
    time_name : str
        "bjd_tdb" or "jd_utc_mid".
    time : ndarray, shape (n_frames,), days
        Mid-exposure.
    flux, flux_err : ndarray, shape (n_frames,)
        Relative to the comparison stars, 1 out of transit; NaN where not measured.
    x, y, fwhm : ndarray, shape (n_frames,), pixel
    sky : ndarray, shape (n_frames,), electron/pixel
    airmass : ndarray, shape (n_frames,)
    comparison : ndarray, shape (n_frames,), electron
        Summed counts of the comparison stars.
    flags : ndarray of int, shape (n_frames,)
        `FrameFlag` bits, plus `StarFlag` bits of the star shifted up by 8.
    frames : tuple of str
    radius, radius_fwhm : float
        The aperture, in pixels and in FWHM of the reference.
    annulus : (float, float), pixel
    comparisons : mapping of int to float
        The comparison stars' indices and weights, which sum to 1.
    noise : mapping of str to float
        rms, point_to_point, expected: relative; after a fit also residual_rms, cdpp and beta.
    model, trend : ndarray, shape (n_frames,)
        Transit and baseline of a fit, whose product is the flux; 1 where nothing was fitted.
    reasons : mapping of str to str
        How "target", "aperture", "comparisons", "baseline" were chosen.
    is_identified : bool
        The observer named the star; else it is only the one that varies most.
    is_limit : bool
        No star was seen at the place, which was measured all the same.
    """

    star: int
    target: str
    band: str
    camera: str
    time_name: str
    time: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    x: np.ndarray
    y: np.ndarray
    fwhm: np.ndarray
    sky: np.ndarray
    airmass: np.ndarray
    comparison: np.ndarray
    flags: np.ndarray
    frames: tuple[str, ...]
    radius: float
    radius_fwhm: float
    annulus: tuple[float, float]
    model: np.ndarray
    trend: np.ndarray
    comparisons: Mapping[int, float] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    is_identified: bool = True
    is_limit: bool = False

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """What its baseline may follow, each of shape (n_frames,)."""
        return {
            "airmass": self.airmass,
            "x": self.x,
            "y": self.y,
            "fwhm": self.fwhm,
            "sky": self.sky,
            "comparison": self.comparison,
        }

    @property
    def detrended(self) -> np.ndarray:
        """The flux over the baseline, shape (n_frames,): what a transit is read off."""
        return self.flux / self.trend

    @property
    def residuals(self) -> np.ndarray:
        """The flux over transit and baseline, minus 1, shape (n_frames,); without a fit the flux minus 1."""
        return self.flux / (self.trend * self.model) - 1
