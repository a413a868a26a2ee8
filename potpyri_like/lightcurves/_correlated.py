"""By how much correlated noise widens the errors of a transit, with what the fit has swallowed given back.

Residuals are flatter than the noise was: the transit and the baseline took up a part of it, and the slower the
noise the larger that part. The noise is therefore estimated as white plus exponentially correlated by restricted
maximum likelihood, which knows what was fitted (Patterson & Thompson 1971), and the error of a least-squares
answer follows from it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from potpyri_like.lightcurves import _joint
from potpyri_like.lightcurves._joint import Model, Part

__all__ = ["red_factor"]

_MAX_BINS = 120
_AMPLITUDES = (
    0.15,
    0.25,
    0.4,
    0.6,
    0.9,
    1.3,
    2.0,
)  # of the red noise, in units of the white noise of a point
_SCALES = (0.03, 0.06, 0.12, 0.24, 0.5)  # correlation times, of the span of the data


def red_factor(model: Model, best: np.ndarray, i: int, *, scale: float) -> float:
    """The factor, at least 1, for errors of mid-transit time and depth in part i, with errors already times `scale`."""
    part = model.parts[i]
    columns = _joint.linear_columns(model, best, i, part.design)
    left = part.flux - _joint.transits(model, model.full(best), i)[0] * _baseline(model, best, i)
    whole = replace(part, flux=left, design=columns)
    binned = _joint.thinned(whole, (part.time[-1] - part.time[0]) / _MAX_BINS)
    known = _joint.beforehand(model, best, i, part.width)
    weighted = binned.design / binned.error[:, None] ** 2
    answer = np.linalg.solve(weighted.T @ binned.design + known, weighted.T)
    answer = _directions(model, best, i) @ answer[part.design.shape[1] :]
    believed = np.einsum("ij,j,ij->i", answer, (scale * binned.error) ** 2, answer)
    true = _variances(binned, known, answer, float(np.median(part.error)))
    ratio = np.divide(true, believed, out=np.ones_like(true), where=believed > 0)
    return float(np.sqrt(max(1.0, ratio.max())))


def _baseline(model: Model, best: np.ndarray, i: int) -> np.ndarray:
    part = model.parts[i]
    return part.design @ _joint.solve(part, _joint.transits(model, model.full(best), i))[0][0]


def _directions(model: Model, best: np.ndarray, i: int) -> np.ndarray:
    """The gradients of mid-transit time and depth with respect to the free parameters, shape (2, n_free)."""
    mid = np.arange(len(model.mean)) == 0
    return np.stack([mid, _joint.depth_gradient(model.full(best), i)])[:, model.free]


def _variances(binned: Part, known: np.ndarray, answer: np.ndarray, point: float) -> np.ndarray:
    """Variances of linear answers, averaged over the noises that are likely; half the prior says white."""
    white = np.diag(binned.error**2)
    apart = np.abs(binned.time[:, None] - binned.time)
    span = binned.time[-1] - binned.time[0]
    red = [np.exp(-apart / (scale * span)) * (size * point) ** 2 for size in _AMPLITUDES for scale in _SCALES]
    tried = [white, *(white + one for one in red)]
    found = [_restricted(binned, known, covariance) for covariance in tried]
    likelihood = np.array([one[0] for one in found])
    weight = np.exp(-0.5 * (likelihood - likelihood.min())) * np.array([1.0] + [1 / len(red)] * len(red))
    factor = np.array([one[1] for one in found])
    variances = np.array([np.einsum("ij,jk,ik->i", answer, covariance, answer) for covariance in tried])
    return (weight * factor) @ variances / weight.sum()


def _restricted(binned: Part, known: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """-2 ln of the restricted likelihood, and the factor for the covariance at which it is largest."""
    root = np.linalg.cholesky(covariance)
    rows = np.linalg.solve(root, np.column_stack([binned.design, binned.flux]))
    columns, data = rows[:, :-1], rows[:, -1]
    information = columns.T @ columns + known
    right = columns.T @ data
    square = data @ data - right @ np.linalg.solve(information, right)
    # Of the parameters, those count as fitted that the data know better than what was known before.
    fitted = np.trace(np.linalg.solve(information, columns.T @ columns))
    freedom = max(data.size - fitted, 1.0)
    factor = max(square, 1e-300) / freedom
    determinants = 2 * np.log(np.diag(root)).sum() + np.linalg.slogdet(information)[1]
    return freedom * np.log(factor) + determinants, factor
