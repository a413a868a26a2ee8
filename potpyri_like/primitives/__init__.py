"""Stages that run against any registered instrument."""

from potpyri_like.primitives.calibrate import Calibrate
from potpyri_like.primitives.cameras import MatchCameras
from potpyri_like.primitives.compare import Compare
from potpyri_like.primitives.gather import GatherSeries
from potpyri_like.primitives.hot_pixels import HotPixels
from potpyri_like.primitives.light_curve import DrawLightCurve
from potpyri_like.primitives.masters import MakeMasters
from potpyri_like.primitives.measure import Measure
from potpyri_like.primitives.recipes import imaging, timeseries
from potpyri_like.primitives.register import ChooseReference, Find, Register
from potpyri_like.primitives.stack import Align, Stack
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
from potpyri_like.primitives.target import LocateTarget
from potpyri_like.primitives.trim import Trim
from potpyri_like.primitives.variable import PickVariable

__all__ = [
    "Align",
    "Calibrate",
    "ChooseReference",
    "Compare",
    "DrawLightCurve",
    "Exposure",
    "ExposureStage",
    "Find",
    "FrameOutcome",
    "GatherSeries",
    "HotPixels",
    "LocateTarget",
    "MakeMasters",
    "MatchCameras",
    "Measure",
    "PickVariable",
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
