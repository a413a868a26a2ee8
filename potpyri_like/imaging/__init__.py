"""Numerics on pixels: arrays in, new arrays out; they know no file and no instrument."""

from potpyri_like.frame import Pixels
from potpyri_like.imaging.assemble import (
    OverscanLevel,
    Piece,
    assemble,
    counts_of,
    level_of_data,
    overscan_level,
    rounding_variance,
)
from potpyri_like.imaging.calibrate import (
    calibrate,
    noise_floor,
    photon_factor,
    pixel_noise,
    typical,
)
from potpyri_like.imaging.combine import (
    Combined,
    FrameSource,
    Noise,
    Subset,
    combine,
    median,
    median_variance_factor,
)
from potpyri_like.imaging.comparison import (
    Agreement,
    Oddity,
    Sample,
    agreement,
    faint_frames,
    sample_frame,
    scatter_ratio,
)
from potpyri_like.imaging.darks import (
    DarkShares,
    curvature_variance,
    dark_shares,
    group_exposures,
    near_exposure,
    same_exposure,
    weighted_sum,
)
from potpyri_like.imaging.dimming import Dimming, dimmed, dimming_radius
from potpyri_like.imaging.drift import Verdict, drift_variance, verdicts
from potpyri_like.imaging.flats import normalise_flat
from potpyri_like.imaging.hot_pixels import (
    MEDIAN_COVARIANCE,
    MEDIAN_NOISE_FACTOR,
    MEDIAN_PIXEL_FACTOR,
    fill_bad,
    filter_hot_pixels,
    flux_cost,
)
from potpyri_like.imaging.illumination import Illumination, flatness, illumination
from potpyri_like.imaging.medians import median3x3
from potpyri_like.imaging.mosaics import level_mosaic, mosaic_colour
from potpyri_like.imaging.networks import median_network, sorting_network
from potpyri_like.imaging.pedestal import Pedestal, pedestal_of
from potpyri_like.imaging.pixels import Counts
from potpyri_like.imaging.resample import warp
from potpyri_like.imaging.sections import Section, parse_mirrored, parse_section, says_nothing
from potpyri_like.imaging.snapshots import Snapshot, snapshot
from potpyri_like.imaging.stacking import (
    scale_to_typical,
    sharpest_frames,
    stacked_pixels,
    without_sky,
)
from potpyri_like.imaging.transfer import Transfer, photon_transfer, sample_boxes

__all__ = [
    "MEDIAN_COVARIANCE",
    "MEDIAN_NOISE_FACTOR",
    "MEDIAN_PIXEL_FACTOR",
    "Agreement",
    "Combined",
    "Counts",
    "DarkShares",
    "Dimming",
    "FrameSource",
    "Illumination",
    "Noise",
    "Oddity",
    "OverscanLevel",
    "Pedestal",
    "Piece",
    "Pixels",
    "Sample",
    "Section",
    "Snapshot",
    "Subset",
    "Transfer",
    "Verdict",
    "agreement",
    "assemble",
    "calibrate",
    "combine",
    "counts_of",
    "curvature_variance",
    "dark_shares",
    "dimmed",
    "dimming_radius",
    "drift_variance",
    "faint_frames",
    "fill_bad",
    "filter_hot_pixels",
    "flatness",
    "flux_cost",
    "group_exposures",
    "illumination",
    "level_mosaic",
    "level_of_data",
    "median",
    "median3x3",
    "median_network",
    "median_variance_factor",
    "mosaic_colour",
    "near_exposure",
    "noise_floor",
    "normalise_flat",
    "overscan_level",
    "parse_mirrored",
    "parse_section",
    "pedestal_of",
    "photon_factor",
    "photon_transfer",
    "pixel_noise",
    "rounding_variance",
    "same_exposure",
    "sample_boxes",
    "sample_frame",
    "says_nothing",
    "scale_to_typical",
    "scatter_ratio",
    "sharpest_frames",
    "snapshot",
    "sorting_network",
    "stacked_pixels",
    "typical",
    "verdicts",
    "warp",
    "weighted_sum",
    "without_sky",
]
