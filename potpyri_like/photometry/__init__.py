"""Numerics on stars and light curves."""

from potpyri_like.photometry.apertures import aperture_sums
from potpyri_like.photometry.bins import Bins, bin_series
from potpyri_like.photometry.centroids import refine_positions
from potpyri_like.photometry.choice import ApertureChoice, choose_aperture, rank_variables
from potpyri_like.photometry.detect import Stars, detect_stars, frame_fwhm
from potpyri_like.photometry.ensemble import (
    Ensemble,
    baseline,
    cloudy_frames,
    ensemble_light_curve,
    ensemble_weights,
    relative_flux,
)
from potpyri_like.photometry.glance import Glance, brightest, glance, stars_at, typical_width
from potpyri_like.photometry.measure import (
    Measurement,
    Sky,
    annulus_sky,
    aperture_flags,
    measure_stars,
    peaks,
)
from potpyri_like.photometry.noise import ccd_error, expected, point_to_point, rms, robust_rms, scintillation
from potpyri_like.photometry.series import LightCurve, Series

__all__ = [
    "ApertureChoice",
    "Bins",
    "Ensemble",
    "Glance",
    "LightCurve",
    "Measurement",
    "Series",
    "Sky",
    "Stars",
    "annulus_sky",
    "aperture_flags",
    "aperture_sums",
    "baseline",
    "bin_series",
    "brightest",
    "ccd_error",
    "choose_aperture",
    "cloudy_frames",
    "detect_stars",
    "ensemble_light_curve",
    "ensemble_weights",
    "expected",
    "frame_fwhm",
    "glance",
    "measure_stars",
    "peaks",
    "point_to_point",
    "rank_variables",
    "refine_positions",
    "relative_flux",
    "rms",
    "robust_rms",
    "scintillation",
    "stars_at",
    "typical_width",
]
