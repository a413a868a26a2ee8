"""Noise measures of a light curve, by name: the metrics of the aperture choice.

Each takes flux and time (days), in any order, with NaN for "not measured", and gives one number of which less
is better, relative for a relative flux; NaN when there are too few points.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.errors import UsageError
from potpyri_like.identity import module_identity
from potpyri_like.lightcurves.cdpp import cdpp, cdpp_in_time
from potpyri_like.photometry.bins import bin_series
from potpyri_like.photometry.noise import point_to_point, rms

__all__ = ["METRICS", "Metric", "binned", "named_metric", "names_code"]

_MINUTES = 1 / 1440  # days
_POINTS = 12  # of a bin, without a width


def binned(flux: ArrayLike, time: ArrayLike, *, width: float | None = None) -> float:
    """Scatter of the means of 12 consecutive points, or of bins `width` minutes wide: white and red noise, trends.

    An incomplete bin (fewer points than 12, or than half of the median bin's) does not count; fewer than two
    bins give NaN.
    """
    flux, time = np.asarray(flux, float), np.asarray(time, float)
    good = np.flatnonzero(np.isfinite(flux) & np.isfinite(time))
    good = good[np.argsort(time[good], kind="stable")]
    if width is None:
        whole = good.size // _POINTS * _POINTS
        return rms(flux[good[:whole]].reshape(-1, _POINTS).mean(axis=1))
    bins = bin_series(time[good], flux[good], width=width * _MINUTES)
    return rms(bins.value[bins.n >= np.median(bins.n) / 2]) if bins.n.size else np.nan


def _std(flux: ArrayLike, time: ArrayLike) -> float:
    """Scatter about the mean, trends included."""
    flux = np.asarray(flux, float)
    return rms(flux[np.isfinite(np.asarray(time, float))])


def _cdpp_of(flux: ArrayLike, time: ArrayLike, *, width: float) -> float:
    return cdpp_in_time(flux, time, duration=width * _MINUTES)


METRICS: dict[str, Callable[..., float]] = {
    "p2p": point_to_point,
    "std": _std,
    "binned": binned,
    "cdpp": cdpp,
}
_WITH_WIDTH: dict[str, Callable[..., float]] = {"binned": binned, "cdpp": _cdpp_of}


@dataclass(frozen=True)
class Metric:
    """A figure of noise and the name that it was asked for by; can be sent to another process.

    Attributes
    ----------
    name : str
    function : callable(flux, time) -> float
    module : str
        Where a function of somebody's own stands; "" for ours.
    """

    name: str
    function: Callable[..., object]
    module: str = ""

    @property
    def digest(self) -> str:
        """The SHA-256 of the source of a function of somebody's own; "" for ours."""
        return module_identity(self.module) if self.module else ""

    def __call__(self, flux: ArrayLike, time: ArrayLike | None) -> float:
        """The figure; the function gets copies, so it cannot spoil the light curve."""
        try:
            result = self.function(np.array(flux, float), np.array(time, float))
        except Exception as error:
            raise UsageError(
                f"metric {self.name}: the function stopped with {type(error).__name__}: {error}; "
                "it is called with flux and time (days), both with NaN where nothing was measured"
            ) from error
        return _one_number(result, self.name)


def names_code(text: object) -> bool:
    """Whether a metric is a function of somebody's own, whose module would be imported."""
    first, colon, _ = str(text).partition(":")
    return bool(colon) and first not in _WITH_WIDTH


def named_metric(text: str) -> Metric:
    """The metric of that name, or a function of one's own.

    Parameters
    ----------
    text : str
        One of `METRICS`; "binned:10" or "cdpp:60" with a width in minutes; or "module:function", which is
        imported now and called with flux and time (days).
    """
    if text in METRICS:
        return Metric(text, METRICS[text])
    first, colon, second = text.partition(":")
    if colon and first in _WITH_WIDTH:
        return Metric(text, partial(_WITH_WIDTH[first], width=_width(second, text)))
    if not (colon and first and second):
        near = difflib.get_close_matches(text, METRICS, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"metric '{text}': no such name; {meant}there are {', '.join(METRICS)}, binned:MINUTES, "
            "cdpp:MINUTES and module:function of your own"
        )
    return Metric(text, _imported(first, second), first)


def _width(text: str, name: str) -> float:
    try:
        width = float(text)
    except ValueError:
        width = np.nan
    if not (np.isfinite(width) and width > 0):
        raise UsageError(
            f"metric '{name}': '{text}' is not a width; write minutes above 0, such as binned:10"
        )
    return width


def _imported(module_name: str, name: str) -> Callable[..., Any]:
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise UsageError(
            f"metric {module_name}:{name}: the module cannot be imported ({type(error).__name__}: {error}); "
            "it must be installed, or its folder named in PYTHONPATH"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        found = "is not a function" if hasattr(module, name) else "does not exist there"
        raise UsageError(
            f"metric {module_name}:{name}: '{name}' {found}; write the name of a function of flux and time"
        )
    return function


def _one_number(result: object, name: str) -> float:
    value = np.asarray(result)
    if value.size != 1 or value.dtype.kind not in "fiu" or np.isinf(value).any():
        raise UsageError(
            f"metric {name}: the function gave {result!r}; it must give one number, less being better, "
            "or NaN if undefined"
        )
    return float(value.reshape(()))
