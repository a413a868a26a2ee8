"""The fields that our stages exchange, by name."""

from __future__ import annotations

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from potpyri_like.frame import Frame
from potpyri_like.imaging import Snapshot
from potpyri_like.lightcurves import Periodogram, TimeAveraging, TransitFit
from potpyri_like.photometry import ApertureChoice, LightCurve, Measurement, Series, Stars
from potpyri_like.photometry.budget import NoiseBudget
from potpyri_like.registration import Place, Probe, Registration
from potpyri_like.results import Masters, Reference, StarTable
from potpyri_like.stages import Field
from potpyri_like.store import Reading

__all__ = [
    "ALIGNED",
    "APERTURE",
    "AUDIT",
    "AVERAGING",
    "BUDGET",
    "CALIBRATED",
    "CAMERA_MATCH",
    "COORDINATES",
    "COUNTS",
    "DIGITISATION",
    "DIMMED",
    "FILTERED",
    "FILTER_MODE",
    "FORCED",
    "IMAGE",
    "LEVELS",
    "LIGHT_CURVE",
    "MASTERS",
    "MEASUREMENT",
    "PERIODS",
    "PIXEL_NOISE",
    "PLACE",
    "POISSON_FACTOR",
    "PROBE",
    "READING",
    "REFERENCE",
    "REGISTRATION",
    "SERIES",
    "SNAPSHOT",
    "SNAPSHOTS",
    "STACK",
    "STARS",
    "STAR_TABLE",
    "TARGET",
    "TRANSIT",
    "TRIMMED",
    "VARIABLE",
    "WCS_OF_FRAME",
    "WCS_TROUBLE",
]


# -- what is known before the first stage ----------------------------------------------------------------------

FILTER_MODE = Field("filter_mode", str, "3x3 filter", at_start=True)
COORDINATES = Field("coordinates", SkyCoord, "coordinates", at_start=True)

# -- of a frame -----------------------------------------------------------------------------------------------

TRIMMED = Field("trimmed", Frame, "trimmed image", per="frame", is_pixels=True, kept=False)
FILTERED = Field("filtered", Frame, "image after the 3x3 filter", per="frame", is_pixels=True, kept=False)
CALIBRATED = Field("calibrated", Frame, "calibrated image", per="frame", is_pixels=True, kept=False)
DIMMED = Field("dimmed", Frame, "image with injected transits", per="frame", is_pixels=True, kept=False)
READING = Field("reading", Reading, "reading of the raw file", per="frame")
COUNTS = Field("counts", object, "counts of the image", per="frame", kept=False)
LEVELS = Field("levels", tuple, "levels of the amplifiers", per="frame", kept=False)
DIGITISATION = Field("digitisation", float, "variance of rounding to whole counts", per="frame", kept=False)
POISSON_FACTOR = Field(
    "poisson_factor", float, "gain correction of the photon noise", per="frame", kept=False
)
PIXEL_NOISE = Field("pixel_noise", dict, "variance of a typical pixel, by cause", per="frame")
STARS = Field("stars", Stars, "detected stars", per="frame")
IMAGE = Field("image", np.ndarray, "pixels of the reference", per="frame", kept=False)
WCS_OF_FRAME = Field("wcs", WCS, "WCS of the frame", per="frame", kept=False)
WCS_TROUBLE = Field("wcs_trouble", str, "why the WCS cannot be used", per="frame", kept=False)
REGISTRATION = Field("registration", Registration, "transform from the reference to the frame", per="frame")
MEASUREMENT = Field("measurement", Measurement, "measured stars", per="frame")
PLACE = Field("place", Place, "position of the coordinates in the frame", per="frame")
PROBE = Field("probe", Probe, "flux at a position", per="frame")
SNAPSHOT = Field("snapshot", Snapshot, "image of the field around the target", per="frame")
ALIGNED = Field("aligned", np.ndarray, "image resampled to the reference", per="frame", kept=False)

# -- of an observation ------------------------------------------------------------------------------------------

MASTERS = Field("masters", Masters, "masters")
REFERENCE = Field("reference", Reference, "reference")
FORCED = Field("forced", np.ndarray, "target")
CAMERA_MATCH = Field("same_as", dict, "stars matched to another camera's")
TARGET = Field("target_star", int, "the target star")
SERIES = Field("series", Series, "measurements in time order")
AUDIT = Field("audit", tuple, "doubtful times")
APERTURE = Field("choice", ApertureChoice, "aperture and comparison stars")
STAR_TABLE = Field("star_table", StarTable, "table of the stars")
VARIABLE = Field("variable", int, "the most variable star, where no target was named")
LIGHT_CURVE = Field("light_curve", LightCurve, "light curve of the target")
TRANSIT = Field("transit", TransitFit, "fit of the transit")
PERIODS = Field("periods", Periodogram, "periods")
AVERAGING = Field("averaging", TimeAveraging, "scatter by bin width")
BUDGET = Field("budget", NoiseBudget, "noise budget")
SNAPSHOTS = Field("snapshots", tuple, "snapshots of the field")
STACK = Field("stack", str, "stack of the best frames")
