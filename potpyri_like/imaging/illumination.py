"""Whether flats agree on large scales: which of them do not belong to the others, and into what groups they fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from potpyri_like.imaging.combine import MAD_TO_SIGMA
from potpyri_like.imaging.comparison import Sample

__all__ = ["Illumination", "flatness", "illumination"]

_ALIKE = 0.01  # relative; four flats of nine that are off by less change a mean by less than half a percent
_SCATTERS = 3.5  # of what the flats usually differ by
_MOST = 0.015  # relative; who differs by more is of another group, however much the flats usually differ
_MATTERS = 0.003  # relative; who changes the mean of all by less stays
_STEP, _STEPS = (
    0.005,
    1.5,
)  # relative, and of what they usually differ by: a twilight changes from one flat to the next
_BIWEIGHT, _ROUNDS = (
    4.7,
    6,
)  # Tukey's constant, standard deviations; and how often the weights are found again


@dataclass(frozen=True)
class Illumination:
    """How flats agree on large scales.

    Attributes
    ----------
    groups : tuple of tuple of int
        The indices of flats that agree among themselves, the largest group first; one group where all agree.
    apart : tuple of float
        By how much each group differs from the first, relative; 0 for the first.
    has_majority : bool
        Whether the first holds more than half of all.
    usual : float
        By how much the flats of the first group differ from one another.
    unsteady : float
        By how much the mean of the first group differs from that of those in its middle.
    """

    groups: tuple[tuple[int, ...], ...]
    apart: tuple[float, ...]
    has_majority: bool
    usual: float
    unsteady: float


def illumination(samples: Sequence[Sample]) -> Illumination:
    """Compare flats, each divided by its level, on large scales.

    The half of the flats that are most alike show what good ones differ by; a flat that differs from them by more than
    1 %, and by more than 3.5 times as much or 1.5 %, is of another group, unless others lead to it step by step, as
    in a twilight that changes, or it would change the mean of all by less than 0.3 %. Where no half agrees there is no
    majority.

    Parameters
    ----------
    samples : sequence of Sample
    """
    n = len(samples)
    shapes = _smooth_shapes(samples)
    apart = np.abs(shapes[:, None] - shapes).max(axis=2) if n > 1 else np.zeros((n, n))
    if n < 2:
        return Illumination((tuple(range(n)),), (0.0,), True, 0.0, 0.0)
    core = _core(apart)
    usual = _usual(apart, core)
    limit = max(_ALIKE, _SCATTERS * usual) if n > 3 else _ALIKE
    away, step = _from(apart, core), min(max(_STEP, _STEPS * usual), _MOST / 2)
    inside = _with_steps(apart, np.flatnonzero(away <= min(limit, _MOST)).tolist(), step)
    if 2 * len(inside) > n and _radius(apart, core) <= limit:
        rest = _linked(apart, [i for i in range(n) if i not in inside], limit)
        harmless = [g for g in rest if len(g) / n * float(np.median(apart[np.ix_(g, core)])) < _MATTERS]
        inside = tuple(sorted({*inside, *(i for group in harmless for i in group)}))
        groups = (inside, *(group for group in rest if group not in harmless))
        return _described(shapes, apart, groups, usual, core, has_majority=True)
    groups = tuple(_linked(apart, list(range(n)), limit))
    core = list(groups[0])
    return _described(shapes, apart, groups, _usual(apart, core), core, has_majority=2 * len(core) > n)


def flatness(sky: Sample, flats: Sequence[Sample]) -> float:
    """By how much the sky of an image varies across it, relative, once it is divided by the mean of some flats."""
    lit = np.nanmean([flat.blocks for flat in flats], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = sky.blocks / np.where(lit > 0.1, lit, np.nan)
    middle = np.nanmedian(left)
    return float(np.nanpercentile(np.abs(left / middle - 1), 90)) if middle > 0 else float("inf")


def _with_steps(apart: np.ndarray, inside: list[int], step: float) -> tuple[int, ...]:
    """The frames inside, and those to which steps of no more than so much lead from them."""
    while near := [
        i for i in range(len(apart)) if i not in inside and inside and apart[i, inside].min() <= step
    ]:
        inside = inside + near
    return tuple(sorted(inside))


def _core(apart: np.ndarray) -> list[int]:
    """The more than half of the frames that lie nearest to one of them."""
    number = len(apart) // 2 + 1
    middle = int(np.argmin(np.sort(apart, axis=1)[:, number - 1]))
    return [int(i) for i in np.argsort(apart[middle], kind="stable")[:number]]


def _usual(apart: np.ndarray, core: Sequence[int]) -> float:
    """By how much frames of a core differ: what a third of their pairs stay below, since one of them may be odd."""
    pairs = np.sort(apart[np.ix_(core, core)][np.triu_indices(len(core), 1)])
    return float(pairs[(len(pairs) - 1) // 3]) if pairs.size else 0.0


def _radius(apart: np.ndarray, core: Sequence[int]) -> float:
    """The distance of the farthest frame of a core from the first of it."""
    return float(apart[core[0], core].max())


def _from(apart: np.ndarray, core: Sequence[int]) -> np.ndarray:
    """The typical distance of each frame from those of a core: the lower median."""
    ordered = np.sort(apart[:, core], axis=1)
    return ordered[:, (len(core) - 1) // 2]


def _linked(apart: np.ndarray, some: Sequence[int], limit: float) -> list[tuple[int, ...]]:
    """Frames in groups, each within the limit of another one of its group; the largest group first."""
    left, groups = list(some), []
    while left:
        group, fresh = [left[0]], [left[0]]
        left = left[1:]
        while fresh:
            near = [i for i in left if min(apart[i, j] for j in fresh) <= limit]
            left = [i for i in left if i not in near]
            group, fresh = group + near, near
        groups.append(tuple(sorted(group)))
    return sorted(groups, key=lambda group: (-len(group), group))


def _described(
    shapes: np.ndarray,
    apart: np.ndarray,
    groups: Sequence[tuple[int, ...]],
    usual: float,
    core: Sequence[int],
    *,
    has_majority: bool,
) -> Illumination:
    first = list(groups[0])
    distances = [0.0] + [float(np.median(apart[np.ix_(list(group), first)])) for group in groups[1:]]
    shift = shapes[first].mean(axis=0) - shapes[list(core)].mean(axis=0)
    return Illumination(tuple(groups), tuple(distances), has_majority, usual, float(np.abs(shift).max()))


def _smooth_shapes(samples: Sequence[Sample]) -> np.ndarray:
    """What is left of each frame on the largest scales without what they share: a paraboloid, its middle at zero.

    Stars, which lie elsewhere in each frame, weigh nothing.

    Returns
    -------
    ndarray, shape (n_samples, n_blocks)
    """
    blocks = np.array([sample.blocks for sample in samples], dtype=float)
    blocks /= np.nanmedian(blocks, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = blocks / np.nanmedian(blocks, axis=0) - 1
    terms = _paraboloid(samples[0].rows, blocks.shape[1] // samples[0].rows)
    fitted = np.array([terms @ _robust_fit(terms, values) for values in left])
    return np.asarray(fitted - np.median(fitted, axis=1, keepdims=True))


def _paraboloid(rows: int, columns: int) -> np.ndarray:
    """1, x, y, x y, x^2, y^2 at the middle of each block, x and y from -1 to 1; shape (n_blocks, 6)."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    x, y = x.ravel(), y.ravel()
    return np.column_stack([np.ones_like(x), x, y, x * y, x * x, y * y])


def _robust_fit(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The coefficients of terms that follow most of the values (Tukey's biweight)."""
    good = np.isfinite(values)
    if good.sum() < 2 * terms.shape[1]:
        return np.zeros(terms.shape[1])
    terms, values = terms[good], values[good]
    weights = np.ones(len(values))
    found = np.zeros(terms.shape[1])
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(terms * root[:, None], values * root, rcond=None)[0]
        away = values - terms @ found
        spread = MAD_TO_SIGMA * float(np.median(np.abs(away)))
        if spread == 0:
            break
        weights = np.square(np.maximum(1 - np.square(away / (_BIWEIGHT * spread)), 0))
    return found
