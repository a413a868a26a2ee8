"""From a night of raw telescope frames to calibrated light curves and images, for any instrument.

``import potpyri_like as pl`` gives the Python interface, which is loaded when it is first used:
``pl.reduce``, ``pl.scan``, ``pl.read``, ...; see `potpyri_like.interface`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from potpyri_like.interface import (
        Observation,
        Run,
        calibrate,
        detect,
        filter3x3,
        instrument,
        match,
        measure,
        read,
        reduce,
        scan,
        simulate,
    )

__version__ = "0.1.0"

__all__ = [
    "Observation",
    "Run",
    "__version__",
    "calibrate",
    "detect",
    "filter3x3",
    "instrument",
    "match",
    "measure",
    "read",
    "reduce",
    "scan",
    "simulate",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from potpyri_like import interface

    return getattr(interface, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
