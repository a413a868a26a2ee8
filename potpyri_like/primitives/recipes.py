"""The recipes: what is done to a night, in order."""

from __future__ import annotations

from potpyri_like.hookspecs import hookimpl
from potpyri_like.primitives.animate import Animate
from potpyri_like.primitives.audit_times import AuditTimes
from potpyri_like.primitives.average_over_time import AverageOverTime
from potpyri_like.primitives.calibrate import Calibrate
from potpyri_like.primitives.choose_target import ChooseTarget
from potpyri_like.primitives.compare_stars import CompareStars
from potpyri_like.primitives.compute_noise_budget import ComputeNoiseBudget
from potpyri_like.primitives.extract_light_curve import ExtractLightCurve
from potpyri_like.primitives.filter_pixels import FilterPixels
from potpyri_like.primitives.fit_transit import FitTransit
from potpyri_like.primitives.gather_series import GatherSeries
from potpyri_like.primitives.locate_target import LocateTarget
from potpyri_like.primitives.make_masters import MakeMasters
from potpyri_like.primitives.match_cameras import MatchCameras
from potpyri_like.primitives.measure import Measure
from potpyri_like.primitives.register import ChooseReference, Register
from potpyri_like.primitives.search_periods import SearchPeriods
from potpyri_like.primitives.stack import Stack
from potpyri_like.primitives.trim import Trim
from potpyri_like.stages import Recipe

__all__ = ["imaging", "register_recipes", "timeseries"]


def timeseries() -> Recipe:
    """Light curves: every star in every frame, relative to comparison stars."""
    calibration = (Trim(), FilterPixels(), Calibrate())
    measure = Measure()
    return Recipe(
        "timeseries",
        about="Light curves: every star in every frame, relative to comparison stars.",
        stages=(
            MakeMasters(),
            ChooseReference(calibration),
            MatchCameras(),
            LocateTarget(calibration),
            *calibration,
            Register(),
            measure,
            GatherSeries(measure),
            AuditTimes(),
            CompareStars(),
            ChooseTarget(),
            ExtractLightCurve(),
            FitTransit(),
            SearchPeriods(),
            AverageOverTime(),
            ComputeNoiseBudget(),
            Animate(calibration),
            Stack(calibration, best=15),
        ),
    )


def imaging() -> Recipe:
    """A deep image of each target and band, and the fluxes of its stars."""
    calibration = (Trim(), FilterPixels(), Calibrate())
    measure = Measure()
    return Recipe(
        "imaging",
        about="A deep image of each target and band, and the fluxes of its stars.",
        stages=(
            MakeMasters(),
            ChooseReference(calibration),
            *calibration,
            Register(),
            measure,
            GatherSeries(measure),
            AuditTimes(),
            CompareStars(),
            Stack(calibration),
        ),
        joins_nights=True,
    )


@hookimpl
def register_recipes() -> list[Recipe]:
    """The recipes that come with the software."""
    return [timeseries(), imaging()]
