"""One transit in several bands: the model, its parameters, and the baselines solved at every step.

The flux of a band is ``T (D c)``: the transit times a linear baseline. For given parameters of the transit the
coefficients c follow from linear least squares, or are integrated out, so no search ever sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from potpyri_like.lightcurves.limb_darkening import is_physical
from potpyri_like.lightcurves.transit import transit_depth, transit_light_curve

__all__ = [
    "COMMON",
    "MAX_K",
    "Model",
    "Part",
    "beforehand",
    "chi2_of_columns",
    "depth_gradient",
    "depths",
    "least",
    "linear_columns",
    "log_posterior",
    "of_part",
    "solve",
    "thinned",
    "transits",
    "wide",
]

COMMON = 3  # tc, ln t14, b
_WIDE = np.array([10.0, 0.1])  # prior widths of baseline coefficients: the constant, any other column
MAX_K = 0.5
_STEP = 1e-5  # of the derivatives: days, radii of the star or plain numbers
_SOFT = 0.01  # how sharply least squares feels the limits of limb darkening


@dataclass(frozen=True, eq=False)
class Part:
    """One band's measured points, in order of time.

    `time` and `exposure` in days, `error` as it is to be believed, `design` of shape (n, n_columns), and `width`, of
    shape (n_columns,), how far from 0 the coefficients of its columns may be: the prior's standard deviations.
    """

    name: str
    time: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    exposure: np.ndarray
    design: np.ndarray
    width: np.ndarray

    def take(self, index: slice | np.ndarray) -> Part:
        names = ("time", "flux", "error", "exposure", "design")
        return replace(self, **{name: getattr(self, name)[index] for name in names})


@dataclass(frozen=True, eq=False)
class Model:
    """The parts and what is known beforehand of tc, ln t14, b, then k of each part, then u1, u2 of each part.

    Attributes
    ----------
    mean, sigma : ndarray, shape (n_parameters,)
        Gaussian priors; sigma 0 is fixed, infinite is free.
    low, high : ndarray, shape (n_parameters,)
    period : float or None, days
    """

    parts: tuple[Part, ...]
    mean: np.ndarray
    sigma: np.ndarray
    low: np.ndarray
    high: np.ndarray
    period: float | None

    @property
    def free(self) -> np.ndarray:
        return self.sigma > 0

    def full(self, free: np.ndarray) -> np.ndarray:
        """All parameters, shape (n, n_parameters), from the free ones."""
        free = np.atleast_2d(free)
        full = np.tile(self.mean, (len(free), 1))
        full[:, self.free] = free
        return full


def of_part(theta: np.ndarray, i: int) -> dict[str, np.ndarray]:
    """The parameters of part i as `transit_light_curve` names them, each of shape (n, 1)."""
    n_parts = (theta.shape[1] - COMMON) // 3
    tc, t14, b, k = (theta[:, [j]] for j in (0, 1, 2, COMMON + i))
    u = COMMON + n_parts + 2 * i
    return {"tc": tc, "t14": np.exp(t14), "b": b, "k": k, "u1": theta[:, [u]], "u2": theta[:, [u + 1]]}


def transits(model: Model, theta: np.ndarray, i: int) -> np.ndarray:
    """The transit of part i for each row of all parameters, shape (n, n_points)."""
    part = model.parts[i]
    return transit_light_curve(
        part.time,
        **of_part(theta, i),
        period=model.period,
        exposure=part.exposure,
        tolerance=0.1 * float(np.median(part.error)),
    )


def depths(theta: np.ndarray, i: int) -> np.ndarray:
    """Flux lost at mid-transit in part i, shape (n,)."""
    of = of_part(theta, i)
    return transit_depth(k=of["k"], b=of["b"], u1=of["u1"], u2=of["u2"])[:, 0]


def depth_gradient(theta: np.ndarray, i: int) -> np.ndarray:
    """Derivatives of the depth in part i by all parameters, shape (n_parameters,); `theta` has one row."""
    shifts = _STEP * np.eye(theta.shape[1])
    return (depths(theta + shifts, i) - depths(theta - shifts, i)) / (2 * _STEP)


def solve(part: Part, transit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best coefficients for each transit, and the natural logarithm of the determinant of their information.

    Parameters
    ----------
    transit : ndarray, shape (n, n_points)

    Returns
    -------
    (ndarray, shape (n, n_columns)), (ndarray, shape (n, n_columns, n_columns)), (ndarray, shape (n, n_columns))
        Coefficients, their information, and its product with them.
    """
    columns = part.design.shape[1]
    weight = part.error**-2
    products = (part.design[:, :, None] * part.design[:, None, :]).reshape(-1, columns**2)
    information = (transit**2 @ (weight[:, None] * products)).reshape(-1, columns, columns)
    information = information + np.diag(part.width**-2.0)
    right = transit @ ((weight * part.flux)[:, None] * part.design)
    return np.linalg.solve(information, right[..., None])[..., 0], information, right


def _residuals(model: Model, free: np.ndarray) -> np.ndarray:
    """Whitened residuals of all points, then of the priors, shape (n, n_points + n_priors)."""
    theta = model.full(free)
    rows = []
    for i, part in enumerate(model.parts):
        transit = transits(model, theta, i)
        coefficients, _, _ = solve(part, transit)
        rows.append((part.flux - transit * (coefficients @ part.design.T)) / part.error)
    return np.hstack([*rows, _prior_rows(model, theta)])


def log_posterior(model: Model, free: np.ndarray) -> np.ndarray:
    """With the coefficients integrated out; minus infinity outside the limits. Shape (n,)."""
    theta = model.full(free)
    allowed = _allowed(model, theta)
    result = np.full(len(theta), -np.inf)
    theta = theta[allowed]
    if len(theta):
        result[allowed] = -0.5 * np.sum(_gaussian_rows(model, theta) ** 2, axis=1)
        for i, part in enumerate(model.parts):
            result[allowed] += _log_evidence(part, transits(model, theta, i))
    return result


def least(model: Model, start: np.ndarray, *, most: int = 60) -> tuple[np.ndarray, np.ndarray, float]:
    """The best free parameters near `start`, their covariance, and the cost (chi-square with priors)."""
    low, high = model.low[model.free], model.high[model.free]
    width = high - low
    inside = np.clip(start[model.free], low + 1e-6 * width, high - 1e-6 * width)
    found = least_squares(
        lambda free: _residuals(model, free)[0],
        inside,
        jac=lambda free: _jacobian(model, free),
        bounds=(low, high),
        x_scale="jac",
        max_nfev=most,
    )
    # A uniform prior counts as a Gaussian of the same variance: what the data leave free has a finite error.
    information = found.jac.T @ found.jac + np.diag(12 / width**2)
    return found.x, np.linalg.inv(information), 2 * found.cost


def _jacobian(model: Model, free: np.ndarray) -> np.ndarray:
    """Derivatives of the whitened residuals by the free parameters, shape (n_rows, n_free)."""
    shifts = _STEP * np.eye(len(free))
    both = _residuals(model, np.vstack([free + shifts, free - shifts]))
    return ((both[: len(free)] - both[len(free) :]) / (2 * _STEP)).T


def chi2_of_columns(
    model: Model, free: np.ndarray, i: int, matrix: np.ndarray, names: Sequence[str]
) -> tuple[Callable[[Sequence[str]], float], Callable[[str, Sequence[str]], float]]:
    """Functions of sets of columns of part i, the transit near `free` in the fit: the chi-square, and a column's error.

    The transit enters linearly, and what the other parts and the priors know of it holds it.

    Parameters
    ----------
    matrix : ndarray, shape (n_points, n_columns)
        All columns that may be asked for, after the constant.
    names : sequence of str
        Of those columns.
    """
    part = model.parts[i]
    transit = transits(model, model.full(free), i)[0]
    columns = linear_columns(model, free, i, matrix)
    rows = columns / part.error[:, None]
    data = (part.flux - transit * np.median(part.flux)) / part.error
    gram = rows.T @ rows + beforehand(model, free, i, wide(matrix.shape[1]))
    right, square = rows.T @ data, data @ data
    transit_columns = list(range(matrix.shape[1], rows.shape[1]))

    def index_of(chosen: Sequence[str]) -> list[int]:
        return [0, *(1 + names.index(name) for name in chosen), *transit_columns]

    def chi2(chosen: Sequence[str]) -> float:
        index = index_of(chosen)
        return square - right[index] @ np.linalg.solve(gram[np.ix_(index, index)], right[index])

    def error(name: str, chosen: Sequence[str]) -> float:
        index = index_of((name, *chosen))
        return float(np.sqrt(np.linalg.inv(gram[np.ix_(index, index)])[1, 1]))

    return chi2, error


def linear_columns(model: Model, free: np.ndarray, i: int, matrix: np.ndarray) -> np.ndarray:
    """What the flux of part i changes by: columns of the baseline, then free parameters, shape (n_points, n)."""
    theta, part = model.full(free), model.parts[i]
    transit = transits(model, theta, i)
    level = (solve(part, transit)[0] @ part.design.T)[0]
    return np.hstack([transit[0][:, None] * matrix, _slopes(model, theta, i) * level[:, None]])


def wide(n_columns: int) -> np.ndarray:
    """The widths of columns of which nothing is known, the constant first."""
    return _WIDE[(np.arange(n_columns) > 0).astype(int)]


def beforehand(model: Model, free: np.ndarray, i: int, widths: np.ndarray) -> np.ndarray:
    """What is known of columns, by the widths of their priors, and of the transit without part i: their information."""
    stops = np.cumsum([part.time.size for part in model.parts])
    rows = _jacobian(model, free)
    rows = np.delete(rows, slice(stops[i] - model.parts[i].time.size, stops[i]), axis=0)
    width = (model.high - model.low)[model.free]
    total = np.diag(np.concatenate([widths**-2.0, 12 / width**2]))
    total[len(widths) :, len(widths) :] += rows.T @ rows
    return total


def thinned(part: Part, width: float) -> Part:
    """The part in bins of time `width`, days, whose exposures are as long as the points in them are wide."""
    _, bins = np.unique(np.floor((part.time - part.time[0]) / width), return_inverse=True)
    weight = part.error**-2
    total = np.bincount(bins, weight)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(bins, weight * values) / total

    centre = mean(part.time)
    variance = np.maximum(mean(part.time**2) - centre**2, 0)
    return replace(
        part,
        time=centre,
        flux=mean(part.flux),
        error=total**-0.5,
        exposure=np.sqrt(12 * variance + mean(part.exposure**2)),
        design=np.column_stack([mean(column) for column in part.design.T]),
    )


def _slopes(model: Model, theta: np.ndarray, i: int) -> np.ndarray:
    """Derivatives of the transit of part i by the free parameters, shape (n_points, n_free)."""
    free = np.flatnonzero(model.free)
    shifts = np.zeros((len(free), theta.shape[1]))
    shifts[np.arange(len(free)), free] = _STEP
    both = transits(model, np.vstack([theta + shifts, theta - shifts]), i)
    return ((both[: len(free)] - both[len(free) :]) / (2 * _STEP)).T


def _log_evidence(part: Part, transit: np.ndarray) -> np.ndarray:
    coefficients, information, right = solve(part, transit)
    fitted = np.einsum("ij,ij->i", coefficients, right)
    return 0.5 * (fitted - np.linalg.slogdet(information)[1])


def _allowed(model: Model, theta: np.ndarray) -> np.ndarray:
    n_parts = len(model.parts)
    u = theta[:, COMMON + n_parts :].reshape(-1, n_parts, 2)
    inside = np.all(((theta >= model.low) & (theta <= model.high))[:, model.free], axis=1)
    physical = np.all(is_physical(u[..., 0], u[..., 1]) | ~_dark_free(model), axis=1)
    crosses = (theta[:, 2] < 1 + theta[:, COMMON : COMMON + n_parts].min(axis=1)) | ~model.free[2]
    return inside & physical & crosses


def _dark_free(model: Model) -> np.ndarray:
    return np.any(model.free[COMMON + len(model.parts) :].reshape(-1, 2), axis=1)


def _gaussian_rows(model: Model, theta: np.ndarray) -> np.ndarray:
    known = model.free & np.isfinite(model.sigma)
    return (theta[:, known] - model.mean[known]) / model.sigma[known]


def _prior_rows(model: Model, theta: np.ndarray) -> np.ndarray:
    n_parts = len(model.parts)
    u = theta[:, COMMON + n_parts :].reshape(-1, n_parts, 2)
    over = np.maximum(u.sum(axis=2) - 1, 0) + np.maximum(-(u[..., 0] + 2 * u[..., 1]), 0)
    grazing = np.maximum(theta[:, [2]] - 1 - theta[:, COMMON : COMMON + n_parts], 0)
    return np.hstack(
        [_gaussian_rows(model, theta), np.where(_dark_free(model), over, 0) / _SOFT, grazing / _SOFT]
    )
