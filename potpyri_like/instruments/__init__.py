"""The contract for an instrument, and the words to declare one with."""

from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.header import RawHeader
from potpyri_like.hookspecs import hookimpl
from potpyri_like.instruments.base import Calibration, Instrument, PixelFilter
from potpyri_like.instruments.cameras import Amplifier, Camera, Layout, Readout
from potpyri_like.instruments.keywords import Compound, HeaderKeywords, Keyword
from potpyri_like.instruments.rules import Above, Always, Below, Condition, Has, InPath, Is, Matches, Rule

__all__ = [
    "Above",
    "Always",
    "Amplifier",
    "Below",
    "Calibration",
    "Camera",
    "Compound",
    "Condition",
    "FrameInfo",
    "FrameKind",
    "Has",
    "HeaderKeywords",
    "InPath",
    "Instrument",
    "Is",
    "Keyword",
    "Layout",
    "Matches",
    "PixelFilter",
    "RawHeader",
    "Readout",
    "Rule",
    "hookimpl",
]
