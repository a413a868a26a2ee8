"""Stages that run against any registered instrument."""

from potpyri_like.primitives.align import Align
from potpyri_like.primitives.calibrate import Calibrate
from potpyri_like.primitives.choose_target import ChooseTarget
from potpyri_like.primitives.compare_stars import CompareStars
from potpyri_like.primitives.extract_light_curve import ExtractLightCurve
from potpyri_like.primitives.filter_pixels import FilterPixels
from potpyri_like.primitives.gather_series import GatherSeries
from potpyri_like.primitives.locate_target import LocateTarget
from potpyri_like.primitives.make_masters import MakeMasters
from potpyri_like.primitives.match_cameras import MatchCameras
from potpyri_like.primitives.measure import Measure
from potpyri_like.primitives.recipes import imaging, timeseries
from potpyri_like.primitives.register import ChooseReference, DetectStars, Register
from potpyri_like.primitives.stack import Stack
from potpyri_like.primitives.stage import (
    Exposure,
    ExposureStage,
    FrameOutcome,
    SetStage,
    Setup,
    TargetStage,
    Tools,
    Work,
)
from potpyri_like.primitives.trim import Trim

__all__ = [
    "Align",
    "Calibrate",
    "ChooseReference",
    "ChooseTarget",
    "CompareStars",
    "DetectStars",
    "Exposure",
    "ExposureStage",
    "ExtractLightCurve",
    "FilterPixels",
    "FrameOutcome",
    "GatherSeries",
    "LocateTarget",
    "MakeMasters",
    "MatchCameras",
    "Measure",
    "Register",
    "SetStage",
    "Setup",
    "Stack",
    "TargetStage",
    "Tools",
    "Trim",
    "Work",
    "imaging",
    "timeseries",
]

_FORMER = {
    "PickVariable": ChooseTarget,
    "DrawLightCurve": ExtractLightCurve,
    "Compare": CompareStars,
    "Find": DetectStars,
    "HotPixels": FilterPixels,
}  # names that plugins and recipes of users may still import


def __getattr__(name: str) -> type:
    if name in _FORMER:
        return _FORMER[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
