"""Analysis of light curves: noise at all time scales, baselines, transits, periods, lags."""

from potpyri_like.lightcurves.baselines import flip_times, levelled, with_fitted_scatter
from potpyri_like.lightcurves.cdpp import cdpp, cdpp_in_time
from potpyri_like.lightcurves.curves import BandCurve, Prior, TransitPriors, is_due, priors_of_ephemeris
from potpyri_like.lightcurves.fit import CANDIDATES, fit_transit
from potpyri_like.lightcurves.fluxes import (
    ExcessVariance,
    RmsFlux,
    excess_variance,
    rms_flux,
    segment_duration,
)
from potpyri_like.lightcurves.intervals import TIME_SCALES, named_scale, parse_intervals, select
from potpyri_like.lightcurves.lags import Lag, correlation, lag
from potpyri_like.lightcurves.metrics import Metric, named_metric, names_code
from potpyri_like.lightcurves.periods import (
    Periodogram,
    PhaseBins,
    fold,
    multiband_periodogram,
    periodogram,
    phase_bins,
)
from potpyri_like.lightcurves.rednoise import TimeAveraging, beta_at, time_averaging
from potpyri_like.lightcurves.search import TransitSearch, find_transit
from potpyri_like.lightcurves.transit import (
    ingress_duration,
    radius_for_depth,
    transit_light_curve,
    transit_of_depth,
)
from potpyri_like.lightcurves.transit_fit import BandFit, Estimate, TransitFit

__all__ = [
    "CANDIDATES",
    "TIME_SCALES",
    "BandCurve",
    "BandFit",
    "Estimate",
    "ExcessVariance",
    "Lag",
    "Metric",
    "Periodogram",
    "PhaseBins",
    "Prior",
    "RmsFlux",
    "TimeAveraging",
    "TransitFit",
    "TransitPriors",
    "TransitSearch",
    "beta_at",
    "cdpp",
    "cdpp_in_time",
    "correlation",
    "excess_variance",
    "find_transit",
    "fit_transit",
    "flip_times",
    "fold",
    "ingress_duration",
    "is_due",
    "lag",
    "levelled",
    "multiband_periodogram",
    "named_metric",
    "named_scale",
    "names_code",
    "parse_intervals",
    "periodogram",
    "phase_bins",
    "priors_of_ephemeris",
    "radius_for_depth",
    "rms_flux",
    "segment_duration",
    "select",
    "time_averaging",
    "transit_light_curve",
    "transit_of_depth",
    "with_fitted_scatter",
]
