"""Samples of the posterior of a transit in several bands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import emcee
import numpy as np

from potpyri_like.errors import ReductionError
from potpyri_like.lightcurves._joint import COMMON, Model, log_posterior, of_part, thinned
from potpyri_like.lightcurves.transit import ingress_duration

__all__ = ["Samples", "draw"]

_WALKERS = 4  # per free parameter
_BIN = 0.2  # of the ingress
_ROUNDS = 40  # of drawing walkers, ever nearer to the best
_SAFE_DARKENING = (0.4, 0.2)
_BURN_IN, _KEPT = 500, 1500  # steps


@dataclass(frozen=True, eq=False)
class Samples:
    """Free parameters, shape (n, n_free), their longest autocorrelation time in steps, and the acceptance."""

    free: np.ndarray
    autocorrelation: float
    acceptance: float


def draw(model: Model, best: np.ndarray, covariance: np.ndarray, *, seed: int) -> Samples:
    """Sample the posterior with an ensemble of walkers (Foreman-Mackey et al. 2013) that jump along differences.

    The same seed gives the same samples to the bit. The burn-in is thrown away. Points are taken in bins much
    shorter than the ingress, which changes nothing but the time it takes.
    """
    model = _thinner(model, best)
    start = _cloud(model, best, covariance, np.random.default_rng(seed))
    sampler = emcee.EnsembleSampler(
        *start.shape,
        lambda free: log_posterior(model, free),
        moves=[
            (emcee.moves.DEMove(), 0.6),
            (emcee.moves.StretchMove(), 0.3),
            (emcee.moves.DESnookerMove(), 0.1),
        ],
        vectorize=True,
    )
    random_state = np.random.RandomState(seed).get_state()  # emcee draws from this kind
    state = emcee.State(start, random_state=random_state)
    sampler.run_mcmc(state, _BURN_IN + _KEPT, skip_initial_state_check=True)
    chain = sampler.get_chain(discard=_BURN_IN)
    times = emcee.autocorr.integrated_time(chain, tol=0)
    return Samples(
        chain.reshape(-1, start.shape[1]), float(np.max(times)), float(np.mean(sampler.acceptance_fraction))
    )


def _thinner(model: Model, best: np.ndarray) -> Model:
    """The model with its points in bins of a fifth of the ingress, where that saves a third of them."""
    theta = model.full(best)
    parts = []
    for i, part in enumerate(model.parts):
        of = of_part(theta, i)
        ingress = float(ingress_duration(k=of["k"], t14=of["t14"], b=of["b"])[0, 0])
        fewer = thinned(part, _BIN * ingress)
        parts.append(fewer if fewer.time.size < 0.67 * part.time.size else part)
    return replace(model, parts=tuple(parts))


def _cloud(model: Model, best: np.ndarray, covariance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Starting points like the least-squares answer and its covariance, inside the limits."""
    best = _allowed(model, best)
    wanted = max(_WALKERS * len(best), 8)
    points = np.empty((0, len(best)))
    for shrink in 0.6 ** np.arange(_ROUNDS):
        drawn = rng.multivariate_normal(best, shrink * covariance, size=4 * wanted, method="eigh")
        drawn = _reflected(drawn, model.low[model.free], model.high[model.free])
        points = np.vstack([points, drawn[np.isfinite(log_posterior(model, drawn))]])
        if len(points) >= wanted:
            return points[:wanted]
    raise ReductionError("the transit priors are incompatible: no parameters satisfy all; widen them")


def _allowed(model: Model, best: np.ndarray) -> np.ndarray:
    """The best parameters, moved as little as is needed towards a star and a path that surely exist."""
    safe = model.full(best)[0]
    safe[2] = min(safe[2], 0.5)
    safe[COMMON + len(model.parts) :] = np.tile(_SAFE_DARKENING, len(model.parts))
    for share in np.linspace(0, 1, 21):
        moved = best + share * (safe[model.free] - best)
        if np.isfinite(log_posterior(model, moved)[0]):
            return moved
    return best


def _reflected(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    points = np.where(points < low, 2 * low - points, points)
    return np.where(points > high, 2 * high - points, points)
