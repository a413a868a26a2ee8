"""The steps of a transit fit, each of which hands on the bands: open, clip, choose columns, scale errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from potpyri_like.lightcurves import _joint
from potpyri_like.lightcurves._correlated import red_factor
from potpyri_like.lightcurves._joint import Model, Part
from potpyri_like.lightcurves.baselines import Baseline, Choice, baseline_columns, choose_columns, flip_column
from potpyri_like.lightcurves.curves import BandCurve, Prior, TransitPriors, measured
from potpyri_like.lightcurves.limb_darkening import limb_darkening
from potpyri_like.lightcurves.rednoise import beta_at, time_averaging
from potpyri_like.lightcurves.search import TransitSearch
from potpyri_like.lightcurves.transit import ingress_duration
from potpyri_like.photometry.noise import MAD_TO_SIGMA

__all__ = [
    "Band",
    "both_factors",
    "chosen",
    "clipped",
    "each",
    "first",
    "freedom",
    "model_of",
    "opened",
    "scaled",
]

_FIRST_COLUMNS = ("time", "airmass", "flip")  # before the data have chosen
_FIRST_B = (0.2, 0.7)
_FIRST_BIN, _FIRST_STEPS = 1 / 40, 12  # of the duration
_CLIP = 5.0  # robust scatters
_LEAST_FREE, _MOST_FREE = 0.02, 0.9  # of its variance, that a rejected coefficient keeps
_T14_LIMITS = (0.2 / 24, 1.0)  # days
_FREE = Prior(np.nan)


@dataclass(frozen=True, eq=False)
class Band:
    """One curve on its way through the fit.

    Attributes
    ----------
    index : ndarray of int, shape (n,)
        Its measured points in order of time; the arrays below are of these.
    part : Part
        With every column of the baseline, times from `zero`, and the errors before scaling.
    used : ndarray of bool, shape (n,)
    columns : tuple of str
        Of the baseline, besides the constant.
    widths : mapping of str to float
        Of the priors of the coefficients of those columns that the data neither ask for nor refuse.
    raised : float
        By which the errors that were given are smaller than those of the part.
    scale, beta : float
        By which those of the part have still to grow.
    """

    curve: BandCurve
    index: np.ndarray
    part: Part
    baseline: Baseline
    used: np.ndarray
    columns: tuple[str, ...]
    raised: float
    choice: Choice = field(default_factory=lambda: Choice((), np.nan, {}, ()))
    scale: float = 1.0
    beta: float = 1.0
    widths: Mapping[str, float] = field(default_factory=dict)

    def fitted(self, *, everything: bool = False) -> Part:
        """The part with the columns and errors of the moment; the points in use, or all."""
        picked = np.arange(self.used.size) if everything else np.flatnonzero(self.used)
        columns = self.baseline.index(("constant", *self.columns))
        held = [self.widths.get(self.baseline.names[j], np.inf) for j in columns]
        part = replace(
            self.part,
            design=self.part.design[:, columns],
            error=self.part.error * self.scale * self.beta,
            width=np.minimum(_joint.wide(len(columns)), held),
        )
        return part.take(picked)


def opened(curve: BandCurve, zero: float, candidates: Sequence[str], steps: Sequence[float]) -> Band:
    """The measured points of a curve with every column that may serve."""
    index, error = measured(curve)
    time = np.asarray(curve.time, float)[index]
    columns = {name: np.asarray(values, float)[index] for name, values in curve.columns.items()}
    if len(steps):
        columns["flip"] = flip_column(time, steps)
    baseline = baseline_columns(time - zero, columns, candidates=candidates)
    exposure = np.broadcast_to(np.asarray(curve.exposure, float), np.shape(curve.time))[index]
    given = np.asarray(curve.error, float)[index]
    return Band(
        curve=curve,
        index=index,
        part=Part(
            name=curve.name,
            time=time - zero,
            flux=np.asarray(curve.flux, float)[index],
            error=error,
            exposure=np.where(exposure > 0, exposure, 0.0),
            design=baseline.matrix,
            width=_joint.wide(baseline.matrix.shape[1]),
        ),
        baseline=baseline,
        used=np.ones(index.size, bool),
        columns=tuple(name for name in _FIRST_COLUMNS if name in baseline.names),
        raised=_ratio(error, given),
    )


def model_of(bands: Sequence[Band], priors: TransitPriors, zero: float) -> Model:
    """The joint model of the points in use."""
    tc, t14, b, k = (prior or _FREE for prior in (priors.tc, priors.t14, priors.b, priors.k))
    first = min(band.part.time[0] for band in bands)
    last = max(band.part.time[-1] for band in bands)
    relative = t14.sigma / t14.mean if t14 is not _FREE else np.inf
    rows = [
        (tc.mean - zero, tc.sigma, first - 0.5, last + 0.5),
        (np.log(t14.mean), relative, *np.log(_T14_LIMITS)),
        (b.mean, b.sigma, 0.0, 1 + _joint.MAX_K),
        *[(k.mean, k.sigma, 0.0, _joint.MAX_K)] * len(bands),
    ]
    for band in bands:
        (u1, sigma1), (u2, sigma2) = _darkening(band.curve, priors)
        rows += [(u1, sigma1, 0.0, 2.0), (u2, sigma2, -1.0, 1.0)]
    mean, sigma, low, high = np.array(rows).T
    period = None if priors.period is None else float(priors.period.mean)
    return Model(tuple(band.fitted() for band in bands), mean, sigma, low, high, period)


def first(bands: Sequence[Band], search: TransitSearch, priors: TransitPriors, zero: float) -> np.ndarray:
    """The best free parameters of all places that the search found, with a plain baseline.

    Each place has a few steps on thinned points, the best of them as many as it wants on all.
    """
    model = model_of(bands, priors, zero)
    coarse = replace(
        model, parts=tuple(_joint.thinned(part, _FIRST_BIN * search.t14) for part in model.parts)
    )
    found = []
    for tc, t14 in search.starts:
        for b in _FIRST_B:
            radii = np.sqrt(np.clip(search.depths, 1e-4, 0.1))
            theta = np.concatenate([[tc - zero, np.log(t14), b], radii, model.mean[3 + len(bands) :]])
            start = np.where(np.isfinite(model.mean), model.mean, theta)
            found.append(_joint.least(coarse, start, most=_FIRST_STEPS))
    best = min(found, key=lambda one: one[2])[0]
    return _joint.least(model, model.full(best)[0])[0]


def each(
    step: Callable[[Band, Model, np.ndarray, int], Band],
    bands: Sequence[Band],
    priors: TransitPriors,
    zero: float,
    best: np.ndarray,
) -> tuple[Band, ...]:
    """Every band after a step that sees the joint model and its best free parameters."""
    model = model_of(bands, priors, zero)
    return tuple(step(band, model, best, i) for i, band in enumerate(bands))


def clipped(band: Band, model: Model, best: np.ndarray, i: int) -> Band:
    """Without the points that lie more than five robust scatters from the fit."""
    off = _left_over(band, model, best, i) / band.part.error
    scatter = MAD_TO_SIGMA * np.median(np.abs(off[band.used] - np.median(off[band.used])))
    return replace(band, used=np.abs(off - np.median(off[band.used])) <= _CLIP * max(scatter, 1.0))


def chosen(band: Band, model: Model, best: np.ndarray, i: int) -> Band:
    """With the columns that the BIC takes, and those that it rejects held as near to 0 as it is sure of that."""
    names = band.baseline.names[1:]
    matrix = band.part.design[_rows(band, model, i)]
    chi2, error = _joint.chi2_of_columns(model, best, i, matrix, names)
    choice = choose_columns(names, chi2, n_points=len(matrix))
    free = {name: freedom(choice.table[name], len(matrix)) for name in names if name not in choice.names}
    widths = {
        name: error(name, choice.names) * np.sqrt(share / (1 - share))
        for name, share in free.items()
        if share > _LEAST_FREE
    }
    columns = tuple(name for name in names if name in choice.names or name in widths)
    return replace(band, choice=choice, columns=columns, widths=widths)


def freedom(change: float, n_points: int) -> float:
    """How much of its own variance a rejected coefficient keeps, between 0 and 1.

    By the rise of the BIC that it would cause, the column is in the baseline with a probability p (Kass & Raftery
    1995). Averaged over both cases its coefficient has p of its variance, and p (1 - p) of its square.
    """
    probability = 1 / (1 + np.exp(min(change, 50.0) / 2))
    square = max(np.log(n_points) - change, 0.0)
    return float(min(probability + probability * (1 - probability) * square, _MOST_FREE))


def scaled(band: Band, model: Model, best: np.ndarray, i: int) -> Band:
    """With errors that the residuals believe, at the scale of a point and of the ingress."""
    left = np.where(band.used, _left_over(band, model, best, i), np.nan)
    part = replace(band, scale=1.0, beta=1.0).fitted()
    model = replace(model, parts=(*model.parts[:i], part, *model.parts[i + 1 :]))
    theta = model.full(best)
    dof = band.used.sum() - part.design.shape[1] - 1 - (len(best) - len(model.parts)) / len(model.parts)
    chi2 = np.nansum((left / band.part.error) ** 2)
    of = _joint.of_part(theta, i)
    t14 = float(of["t14"][0, 0])
    ingress = float(ingress_duration(k=of["k"], t14=t14, b=of["b"])[0, 0])
    beta = beta_at(time_averaging(band.part.time, left), min(ingress, 0.25 * t14), 0.5 * t14)
    scale = float(np.sqrt(max(chi2 / max(dof, 1), 1.0)))
    return replace(band, scale=scale, beta=max(beta, red_factor(model, best, i, scale=scale)))


def _left_over(band: Band, model: Model, best: np.ndarray, i: int) -> np.ndarray:
    """Flux minus transit times baseline at all measured points, shape (n,)."""
    transit, baseline = both_factors(band, model, best, i)
    return band.part.flux - transit * baseline


def both_factors(band: Band, model: Model, best: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Transit and baseline at all measured points, the coefficients from those in use."""
    theta = model.full(best)
    coefficients = _joint.solve(model.parts[i], _joint.transits(model, theta, i))[0][0]
    whole = band.fitted(everything=True)
    everywhere = replace(model, parts=(*model.parts[:i], whole, *model.parts[i + 1 :]))
    return _joint.transits(everywhere, theta, i)[0], whole.design @ coefficients


def _rows(band: Band, model: Model, i: int) -> np.ndarray | slice:
    rows = np.flatnonzero(band.used)
    return rows if rows.size == model.parts[i].time.size else slice(None)


def _darkening(curve: BandCurve, priors: TransitPriors) -> tuple[tuple[float, float], tuple[float, float]]:
    known = priors.limb_darkening or {}
    return known.get(curve.name) or known.get(curve.band) or limb_darkening(curve.band)


def _ratio(error: np.ndarray, given: np.ndarray) -> float:
    known = np.isfinite(given) & (given > 0)
    return float(np.median(error[known] / given[known])) if known.any() else 1.0
