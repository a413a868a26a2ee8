"""The contract for an instrument, and the words to declare one with."""

from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.hookspecs import hookimpl
from potpyri_like.instruments.base import Instrument
from potpyri_like.instruments.calibration import Calibration
from potpyri_like.instruments.cameras import Amplifier, Camera, camera_named, pixel_scale, site_of
from potpyri_like.instruments.celestial import wcs_of, wcs_trouble
from potpyri_like.instruments.common_kinds import COMMON_KINDS
from potpyri_like.instruments.dates import Dated
from potpyri_like.instruments.keywords import Compound, HeaderKeywords, Keyword
from potpyri_like.instruments.layout import Layout, Readout, image_hdus
from potpyri_like.instruments.pixel_filter import PixelFilter
from potpyri_like.instruments.rules import Above, Always, Below, Condition, Has, InPath, Is, Matches, Rule
from potpyri_like.instruments.simulated import Simulated, SimulatedCamera
from potpyri_like.store.header import RawHeader

__all__ = [
    "COMMON_KINDS",
    "Above",
    "Always",
    "Amplifier",
    "Below",
    "Calibration",
    "Camera",
    "Compound",
    "Condition",
    "Dated",
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
    "Simulated",
    "SimulatedCamera",
    "camera_named",
    "hookimpl",
    "image_hdus",
    "pixel_scale",
    "site_of",
    "wcs_of",
    "wcs_trouble",
]
