"""Baselines: functions of airmass, seeing, position and other recorded quantities that multiply a transit.

A baseline is linear, ``D c``: one column of D for each recorded quantity, standardised, after a constant. Which
columns the light curve needs is for the Bayesian information criterion to say, with the transit in the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.photometry.noise import MAD_TO_SIGMA, expected, point_to_point, spikes

__all__ = [
    "Baseline",
    "Choice",
    "baseline_columns",
    "choose_columns",
    "flip_column",
    "flip_times",
    "levelled",
    "natural_coefficients",
    "with_fitted_scatter",
]

_CONSTANT = "constant"
_FEWEST = 12  # points that have a baseline
_FLIP = 90.0  # degrees from one frame to the next
_Column = tuple[np.ndarray, float, float]  # values, centre, scale


@dataclass(frozen=True, eq=False)
class Baseline:
    """Columns that may enter a baseline, standardised.

    Attributes
    ----------
    names : tuple of str
        "constant" first.
    matrix : ndarray, shape (n, n_columns)
        Median 0 and scatter 1 but for the constant.
    centre, scale : ndarray, shape (n_columns,)
        ``matrix = (column - centre) / scale``; 0 and 1 for the constant.
    dropped : mapping of str to str
        The columns excluded, each with the reason.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    dropped: Mapping[str, str]

    def index(self, names: Sequence[str]) -> list[int]:
        """Where the named columns stand, in the order of the matrix."""
        return [i for i, name in enumerate(self.names) if name in names]


@dataclass(frozen=True)
class Choice:
    """Which columns the data ask for.

    Attributes
    ----------
    names : tuple of str
        Without the constant, which is always there.
    bic : float
        Of that choice.
    table : mapping of str to float
        For each candidate, the BIC with it minus the BIC without it, all chosen columns present: negative where
        it is needed.
    tried : tuple of (tuple of str, float)
        Every set that was tried and its BIC, in the order of trying.
    """

    names: tuple[str, ...]
    bic: float
    table: Mapping[str, float]
    tried: tuple[tuple[tuple[str, ...], float], ...]


def baseline_columns(
    time: ArrayLike, columns: Mapping[str, np.ndarray], *, candidates: Sequence[str] | None = None
) -> Baseline:
    """The candidate columns on one scale, with the constant; "time" and "time2" are made from the time.

    Parameters
    ----------
    time : array_like, shape (n,), days
        Finite.
    columns : mapping of str to array_like, shape (n,)
        NaN where not measured: filled by interpolation in time.
    candidates : sequence of str, optional
        What may enter; all columns and the two powers of time without it.

    Returns
    -------
    Baseline
        A column that is missing, mostly NaN or constant is dropped, with the reason.
    """
    time = np.asarray(time, float)
    names = ("time", "time2", *columns) if candidates is None else tuple(candidates)
    kept: dict[str, _Column] = {_CONSTANT: (np.ones(time.size), 0.0, 1.0)}
    dropped: dict[str, str] = {}
    for name in dict.fromkeys(names):
        reason, column = _standard(time, _named(name, time, columns))
        if column is None:
            dropped[name] = reason
        elif name != _CONSTANT:
            kept[name] = column
    values, centres, scales = zip(*kept.values(), strict=True)
    return Baseline(tuple(kept), np.column_stack(values), np.array(centres), np.array(scales), dropped)


def flip_column(time: ArrayLike, flips: ArrayLike) -> np.ndarray:
    """1 after an odd number of meridian flips, 0 before and after an even number.

    Parameters
    ----------
    time : array_like, shape (n,), days
    flips : float or sequence of float, days
        The times of the flips.
    """
    after = np.asarray(time, float)[:, None] > np.atleast_1d(np.asarray(flips, float))
    return (after.sum(axis=1) % 2).astype(float)


def flip_times(time: np.ndarray, rotation: np.ndarray) -> list[float]:
    """The times at which the field turned over from one frame to the next, as at the meridian.

    Parameters
    ----------
    time : ndarray, shape (n,)
        In order.
    rotation : ndarray, shape (n,), degrees
        Of the field, of any number of turns; NaN where unknown.
    """
    known = np.flatnonzero(np.isfinite(rotation))
    turned = np.abs((np.diff(rotation[known]) + 180) % 360 - 180) > _FLIP
    time = time[known]
    return [
        float((before + after) / 2) for before, after in zip(time[:-1][turned], time[1:][turned], strict=True)
    ]


def natural_coefficients(
    baseline: Baseline, names: Sequence[str], coefficients: ArrayLike
) -> dict[str, float]:
    """Coefficients of the columns as they were recorded: relative flux per airmass, per pixel, per day...

    "time" and "time2" are counted from the median time. The constant is what is left where every column is 0.
    """
    index = baseline.index(names)
    natural = np.asarray(coefficients, float) / baseline.scale[index]
    result = {baseline.names[i]: float(c) for i, c in zip(index, natural, strict=True)}
    result[_CONSTANT] = float(result[_CONSTANT] - np.sum(natural * baseline.centre[index]))
    return result


def choose_columns(
    candidates: Sequence[str], chi2: Callable[[tuple[str, ...]], float], *, n_points: int
) -> Choice:
    """Choose columns by the Bayesian information criterion, adding and removing one at a time (Schwarz 1978).

    Parameters
    ----------
    candidates : sequence of str
        Without the constant.
    chi2 : callable
        The chi-square of the best model, transit and all, with the named columns besides the constant.
    n_points : int
        Points that are fitted; each column costs their logarithm.
    """
    tried: dict[frozenset[str], float] = {}

    def bic(names: Iterable[str]) -> float:
        key = frozenset(names)
        if key not in tried:
            ordered = tuple(name for name in candidates if name in key)
            tried[key] = float(chi2(ordered)) + len(key) * np.log(max(n_points, 2))
        return tried[key]

    chosen = _descend(candidates, bic)
    table = {name: bic(chosen | {name}) - bic(chosen - {name}) for name in candidates}
    order = tuple(name for name in candidates if name in chosen)
    history = tuple((tuple(n for n in candidates if n in key), value) for key, value in tried.items())
    return Choice(order, bic(chosen), table, history)


def levelled(
    time: ArrayLike, flux: ArrayLike, error: ArrayLike, columns: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A constant star's flux over the baseline that the criterion asks for, about 1; and the columns that it took.

    Single outliers have no say. The errors count as no less than the point-to-point scatter.

    Parameters
    ----------
    time, flux, error : array_like, shape (n,)
        NaN where not measured.
    columns : mapping of str to array_like, shape (n,)
    """
    time, flux, error = (np.asarray(values, float) for values in (time, flux, error))
    good = np.isfinite(flux) & np.isfinite(time) & (error > 0) & ~spikes(flux)
    if good.sum() < _FEWEST:
        return flux.copy(), ()
    scale = max(1.0, point_to_point(flux[good], time[good]) / expected(error[good]))
    candidates = {name: np.asarray(values, float) for name, values in columns.items()}
    baseline = baseline_columns(time[good], {name: values[good] for name, values in candidates.items()})
    weight = 1 / (scale * error[good])
    rows, data = baseline.matrix * weight[:, None], flux[good] * weight

    def solved(names: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        index = baseline.index((_CONSTANT, *names))
        return np.linalg.lstsq(rows[:, index], data, rcond=None)[0], index

    def chi2(names: Sequence[str]) -> float:
        coefficients, index = solved(names)
        return float(np.sum((data - rows[:, index] @ coefficients) ** 2))

    names = choose_columns(baseline.names[1:], chi2, n_points=int(good.sum())).names
    coefficients, index = solved(names)
    level = np.full(flux.size, np.nan)
    level[good] = baseline.matrix[:, index] @ coefficients
    return flux / level, names


def with_fitted_scatter(flux: np.ndarray, fitted: int) -> np.ndarray:
    """A flux about 1 with the scatter that a fit took from it: residuals shrink as numbers are fitted to them.

    Parameters
    ----------
    flux : ndarray, shape (n,)
        Over what was fitted; NaN where not measured.
    fitted : int
        Numbers that were fitted besides the level.
    """
    points = int(np.isfinite(flux).sum())
    return 1 + (flux - 1) * np.sqrt(points / max(points - fitted, 1))


def _descend(candidates: Sequence[str], bic: Callable[[Iterable[str]], float]) -> frozenset[str]:
    """Add or remove one name at a time for as long as that lowers the BIC."""
    chosen: frozenset[str] = frozenset()
    while True:
        best = min((chosen ^ {name} for name in candidates), key=bic, default=chosen)
        if bic(best) >= bic(chosen):
            return chosen
        chosen = best


def _named(name: str, time: np.ndarray, columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if name in columns:
        return np.asarray(columns[name], float)
    if name in ("time", "time2"):
        centred = time - np.median(time)
        return centred if name == "time" else centred**2
    return None


def _standard(time: np.ndarray, values: np.ndarray | None) -> tuple[str, _Column | None]:
    """Why a column cannot serve ("" when it can), and its values, centre and scale."""
    if values is None:
        return "not recorded", None
    good = np.isfinite(values)
    if good.sum() < max(2, 0.5 * values.size):
        return f"measured in only {good.sum()} of {values.size} points", None
    values = _filled(time, values, good)
    centre = float(np.median(values))
    scale = _scale(values, centre)
    if not scale > 1e-9 * max(abs(centre), np.finfo(float).tiny):
        return "constant", None
    return "", ((values - centre) / scale, centre, scale)


def _filled(time: np.ndarray, values: np.ndarray, good: np.ndarray) -> np.ndarray:
    order = np.argsort(time[good], kind="stable")
    return np.where(good, values, np.interp(time, time[good][order], values[good][order]))


def _scale(values: np.ndarray, centre: float) -> float:
    """Robust scatter; the plain one of a step, which has none."""
    robust, plain = MAD_TO_SIGMA * np.median(np.abs(values - centre)), np.std(values)
    return float(robust if robust > 0.1 * plain else plain)
