"""From a night of raw telescope frames to calibrated light curves and images, for any instrument.

``import potpyri_like as pl`` gives the Python interface, which is loaded when it is first used:
``pl.reduce``, ``pl.scan``, ``pl.read``, ...; see `potpyri_like.interface`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from potpyri_like.interface.nights import instrument, reduce, scan, simulate
    from potpyri_like.interface.results import Observation, Run
    from potpyri_like.interface.runs import check, explain, inject, verify, watch
    from potpyri_like.interface.steps import calibrate, detect, filter3x3, match, measure, read
    from potpyri_like.options import Options

__version__ = "0.1.0"

__all__ = [
    "Observation",
    "Options",
    "Run",
    "__version__",
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


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from potpyri_like import interface

    return getattr(interface, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
