"""Numerics on positions, times and sky coordinates."""

from potpyri_like.astrometry.audit import cadence, contradicted, outlasting, sharing
from potpyri_like.astrometry.matching import SURE_CHANCE, Match, fit_pairs, follow_stars, match_stars
from potpyri_like.astrometry.time import (
    SCALES,
    airmass,
    altitude,
    bjd_tdb,
    evening_of,
    jd_utc,
    local_days,
    night_of,
    sun_altitude,
    utc_days,
    utc_of,
)
from potpyri_like.astrometry.transform import Transform, fit_affine, fit_similarity

__all__ = [
    "SCALES",
    "SURE_CHANCE",
    "Match",
    "Transform",
    "airmass",
    "altitude",
    "bjd_tdb",
    "cadence",
    "contradicted",
    "evening_of",
    "fit_affine",
    "fit_pairs",
    "fit_similarity",
    "follow_stars",
    "jd_utc",
    "local_days",
    "match_stars",
    "night_of",
    "outlasting",
    "sharing",
    "sun_altitude",
    "utc_days",
    "utc_of",
]
