"""Numerics on stars and light curves."""

from potpyri_like.photometry.agreement import disagreement
from potpyri_like.photometry.apertures import aperture_sums
from potpyri_like.photometry.bins import Bins, bin_series
from potpyri_like.photometry.budget import BUDGET_CLOSED, NoiseBudget, close_budget, noise_terms, photons_seen
from potpyri_like.photometry.centroids import CENTROIDS, refine_positions
from potpyri_like.photometry.choice import ApertureChoice, airmass_drift, choose_aperture, rank_variables
from potpyri_like.photometry.cuts import points_where
from potpyri_like.photometry.detect import Stars, detect_stars, frame_fwhm
from potpyri_like.photometry.ensemble import (
    Ensemble,
    baseline,
    ensemble_light_curve,
    ensemble_weights,
    light_lost,
    relative_flux,
)
from potpyri_like.photometry.glance import Glance, brightest, glance, stars_at, typical_width
from potpyri_like.photometry.masks import Template
from potpyri_like.photometry.measure import (
    Measurement,
    Sky,
    annulus_sky,
    aperture_flags,
    measure_stars,
    peaks,
)
from potpyri_like.photometry.noise import (
    ccd_error,
    expected,
    nan_median,
    point_to_point,
    rms,
    robust_rms,
    running_median,
    scintillation,
    spikes,
)
from potpyri_like.photometry.odd_light import odd_light
from potpyri_like.photometry.photometers import (
    Aperture,
    Context,
    Mask,
    Optimal,
    Photometer,
    Psf,
    Scene,
    Shape,
)
from potpyri_like.photometry.plateau import plateau
from potpyri_like.photometry.presence import SIGMA_STAR, combined_significance, forced_flux
from potpyri_like.photometry.psf import Profile, fit_profile
from potpyri_like.photometry.reach import light_reach, sky_annulus, sky_noise
from potpyri_like.photometry.seeing import RICH, fwhm_at, fwhm_of, profile_at, round_up, sharp_and_rich
from potpyri_like.photometry.series import LightCurve, Series
from potpyri_like.photometry.surroundings import light_of_others, sky_error

__all__ = [
    "BUDGET_CLOSED",
    "CENTROIDS",
    "RICH",
    "SIGMA_STAR",
    "Aperture",
    "ApertureChoice",
    "Bins",
    "Context",
    "Ensemble",
    "Glance",
    "LightCurve",
    "Mask",
    "Measurement",
    "NoiseBudget",
    "Optimal",
    "Photometer",
    "Profile",
    "Psf",
    "Scene",
    "Series",
    "Shape",
    "Sky",
    "Stars",
    "Template",
    "airmass_drift",
    "annulus_sky",
    "aperture_flags",
    "aperture_sums",
    "baseline",
    "bin_series",
    "brightest",
    "ccd_error",
    "choose_aperture",
    "close_budget",
    "combined_significance",
    "detect_stars",
    "disagreement",
    "ensemble_light_curve",
    "ensemble_weights",
    "expected",
    "fit_profile",
    "forced_flux",
    "frame_fwhm",
    "fwhm_at",
    "fwhm_of",
    "glance",
    "light_lost",
    "light_of_others",
    "light_reach",
    "measure_stars",
    "nan_median",
    "noise_terms",
    "odd_light",
    "peaks",
    "photons_seen",
    "plateau",
    "point_to_point",
    "points_where",
    "profile_at",
    "rank_variables",
    "refine_positions",
    "relative_flux",
    "rms",
    "robust_rms",
    "round_up",
    "running_median",
    "scintillation",
    "sharp_and_rich",
    "sky_annulus",
    "sky_error",
    "sky_noise",
    "spikes",
    "stars_at",
    "typical_width",
]
