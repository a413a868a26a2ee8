"""The Python interface: nights, runs and single steps, for notebooks and scripts.

``import potpyri_like as pl`` gives all of it. Images are `CCDData`, tables `QTable`, times `Time`. What the
command line does goes through it, too.
"""

from potpyri_like.interface.nights import instrument, reduce, scan, simulate
from potpyri_like.interface.results import Observation, Run
from potpyri_like.interface.runs import check, explain, inject, verify, watch
from potpyri_like.interface.steps import calibrate, detect, filter3x3, match, measure, read
from potpyri_like.options import Options

__all__ = [
    "Observation",
    "Options",
    "Run",
    "calibrate",
    "check",
    "detect",
    "explain",
    "filter3x3",
    "inject",
    "instrument",
    "match",
    "measure",
    "read",
    "reduce",
    "scan",
    "simulate",
    "verify",
    "watch",
]
