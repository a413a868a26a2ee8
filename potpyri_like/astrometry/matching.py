"""Match two star lists: find the transform between them from their pattern alone.

Every pair of stars in one list, laid on every pair of compatible length in the other, proposes a similarity;
a proposal is worth the stars that it lands on stars of fitting brightness (pair voting). The best ones are
refined by least squares, and the winner has to be too good to be chance: the expected number of equally good
proposals among unrelated lists (the verification of Lang et al. 2010 in its simplest form) is bounded.

Positions are complex numbers, ``z = x + iy``: a similarity is ``w = a z + b``, a mirrored one of ``x - iy``.

What it cannot know. A pattern that looks the same after a turn is rejected as ambiguous. Hot pixels stand
still and agree with themselves, in brightness too; so a match that stands still is believed only after the
stars which it leaves over were asked whether they agree on a movement, but fewer than six or so cannot prove
one: clean hot pixels first. When the field moved by less than the tolerance, their place tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree
from scipy.special import bdtrc

from potpyri_like.astrometry.transform import Transform, as_complex, fit_affine, fit_similarity, similarity
from potpyri_like.errors import RegistrationError

__all__ = ["SURE_CHANCE", "Match", "fit_pairs", "follow_stars", "is_certain", "match_stars"]

_FLUX_TOLERANCE = 1.2  # |ln| of flux ratios: 1.3 mag, for colours between bands, thin cloud and saturation
_MAX_CHANCE = 0.003  # expected chance matches below which a match is believed
SURE_CHANCE = 1e-5  # the same, where a prior is overruled or the full search is skipped
_SURE_FRACTION = 0.6  # of the stars that could match: enough to skip the full search
_MAX_PROPOSALS = 100_000
_REFINED = 20  # proposals that are refined
_ENOUGH = 10  # stars found where they were expected; or half of all, where there are fewer
_GRID = 1024  # cells along the longer side of the lookup grid


@dataclass(frozen=True, eq=False)
class Match:
    """The match of two star lists.

    Attributes
    ----------
    transform : Transform
        From source to target.
    pairs : ndarray of int, shape (n, 2)
        Indices of the same star in source and target; one-to-one.
    rms : float, pixels
        Root mean square distance of the pairs after the transform.
    chance : float
        Expected number of matches as good as this one between unrelated lists.
    """

    transform: Transform
    pairs: np.ndarray
    rms: float
    chance: float


@dataclass(frozen=True, eq=False)
class _Stars:
    """One list, brightest first: indices into what was given, positions, ln of flux (NaN when unknown)."""

    index: np.ndarray
    xy: np.ndarray
    log_flux: np.ndarray

    def take(self, which: np.ndarray | slice) -> _Stars:
        return _Stars(self.index[which], self.xy[which], self.log_flux[which])


@dataclass(frozen=True, eq=False)
class _Problem:
    """Two lists and what is known of the transform between them."""

    source: _Stars
    target: _Stars
    tolerance: float
    scale: tuple[float, float]
    flips: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class _Proposals:
    """Similarities ``w = a z + b`` (z mirrored with `flip`) and the ln flux ratio each of them implies."""

    a: np.ndarray
    b: np.ndarray
    log_ratio: np.ndarray
    flip: bool


@dataclass(frozen=True, eq=False)
class _Solution:
    """A refined proposal; `pairs` index the bright lists, `agreeing` counts those of fitting brightness."""

    transform: Transform
    pairs: np.ndarray
    rms: float
    agreeing: int
    chance: float


def match_stars(
    source: ArrayLike,
    target: ArrayLike,
    *,
    source_flux: ArrayLike | None = None,
    target_flux: ArrayLike | None = None,
    scale: tuple[float, float] = (0.98, 1.02),
    allow_flip: bool = False,
    tolerance: float = 2.0,
    max_stars: int = 25,
    min_matched: int | None = None,
    affine: bool = False,
    guess: Transform | Sequence[Transform] | None = None,
) -> Match:
    """Find the transform between two star lists, of any rotation and shift.

    Parameters
    ----------
    source, target : array_like, shapes (n, 2) and (m, 2), pixels
        Positions; brightest first when no fluxes are given. Positions that are not finite are excluded.
    source_flux, target_flux : array_like, shapes (n,) and (m,), optional
        Order the lists and, when both are given, have to agree up to one common factor.
    scale : (float, float)
        Smallest and largest target pixels per source pixel.
    allow_flip : bool
        Consider mirror images too.
    tolerance : float, pixels
        Largest distance of a matched pair, in the target.
    max_stars : int
        The brightest stars of each list that vote; the pairs are looked for among all.
    min_matched : int, optional
        Fewest pairs; 3 by default.
    affine : bool
        Refine to an affine transform; takes six pairs that do not lie on a line.
    guess : Transform or sequence of Transform, optional
        Tried first, in that order, with any shift, at a small part of the cost; the identity by default.

    Raises
    ------
    RegistrationError
        When no transform agrees with more stars than chance would.
    """
    everything = _Problem(
        _brightest(source, source_flux),
        _brightest(target, target_flux),
        tolerance,
        scale,
        (False, True) if allow_flip else (False,),
    )
    bright = replace(
        everything,
        source=everything.source.take(slice(max_stars)),
        target=everything.target.take(slice(max_stars)),
    )
    _check_counts(everything)
    guesses = [Transform.identity()] if guess is None else [guess] if isinstance(guess, Transform) else guess
    solution = _moving(bright, _solve(bright, guesses))
    return _finish(everything, solution, min_matched=min_matched or 3, affine=affine)


def follow_stars(
    source: ArrayLike,
    target: ArrayLike,
    *,
    source_flux: ArrayLike,
    target_flux: ArrayLike,
    tolerance: float = 2.0,
) -> Match:
    """The shift that carries one or two stars to those of another frame, which make no pattern.

    Two stars have to keep their distance. One is the only star of fitting brightness, or outshines all others twofold.

    Parameters
    ----------
    source, target : array_like, shapes (1 or 2, 2) and (m, 2), pixels
    source_flux, target_flux : array_like, shapes (1 or 2,) and (m,)
        May differ by a factor of three.
    tolerance : float, pixels

    Returns
    -------
    Match
        Its chance is NaN: nothing but the brightness speaks for it.

    Raises
    ------
    RegistrationError
        No star fits, or several do.
    """
    one, other = _brightest(source, source_flux), _brightest(target, target_flux)
    pairs = [
        (i, j)
        for i, j in np.ndindex(len(one.xy), len(other.xy))
        if abs(other.log_flux[j] - one.log_flux[i]) < _FLUX_TOLERANCE
    ]
    lists = f"{len(one.xy)} stars against {len(other.xy)}"
    if not pairs:
        raise RegistrationError(f"{lists}: none has the brightness of those of the reference")
    shift = {pair: other.xy[pair[1]] - one.xy[pair[0]] for pair in pairs}
    both = [
        (a, b)
        for a in pairs
        for b in pairs
        if a[0] < b[0] and a[1] != b[1] and np.hypot(*(shift[a] - shift[b])) < tolerance
    ]
    singles = [(i, j) for i, j in pairs if i == 0]
    if len(both) == 1:
        found = list(both[0])
    elif not both and singles and _outshines(other.log_flux, [j for _, j in singles]):
        found = singles[:1]
    else:
        raise RegistrationError(f"{lists}: {len(both) or len(pairs)} of them could be those of the reference")
    i, j = np.array(found).T
    offset = (other.xy[j] - one.xy[i]).mean(axis=0)
    apart = other.xy[j] - one.xy[i] - offset
    rms = float(np.sqrt(np.mean(np.sum(apart**2, axis=1))))
    given = np.column_stack([one.index[i], other.index[j]])
    return Match(replace(Transform.identity(), offset=offset), given, rms, float("nan"))


def _outshines(log_flux: np.ndarray, fitting: list[int]) -> bool:
    """Whether the brightest of the stars that fit is the only one, or twice as bright as the next."""
    return len(fitting) == 1 or bool(log_flux[fitting[0]] - log_flux[fitting[1]] > np.log(2))


def fit_pairs(
    source: ArrayLike, target: ArrayLike, transform: Transform, *, tolerance: float = 2.0, chance: float = 0.0
) -> Match:
    """The similarity between positions of the same stars, without those that disagree.

    Parameters
    ----------
    source, target : array_like, shape (n, 2), pixels
        Positions of the same star in both; NaN where it was not found.
    transform : Transform
        Nearly so, from source to target.
    tolerance : float, pixels
        Largest distance of a pair that counts, in the target.
    chance : float
        What is known of it; handed on.

    Raises
    ------
    RegistrationError
        Fewer than three pairs agree.
    """
    source, target = np.asarray(source, float).reshape(-1, 2), np.asarray(target, float).reshape(-1, 2)
    reach = 1.5 * tolerance
    for _ in range(5):
        pairs, distance = _agreeing(source, target, transform, reach)
        transform = fit_similarity(source[pairs], target[pairs], flip=transform.flipped)
        reach = _reach(distance, tolerance)
    pairs, distance = _agreeing(source, target, transform, tolerance)
    return Match(transform, np.column_stack([pairs, pairs]), float(np.sqrt(np.mean(distance**2))), chance)


def is_certain(match: Match, *, expected: int, fwhm: float, tolerance: float = 2.0) -> bool:
    """Whether a match cannot be by chance: enough of the stars that were expected, and closer than chance puts them.

    Stars matched by chance lie anywhere within the tolerance, 0.7 of it from their places in the root mean square.

    Parameters
    ----------
    match : Match
    expected : int
        Stars that should be in the image.
    fwhm, tolerance : float, pixels
    """
    close = match.rms < max(tolerance / 4, fwhm / 12)
    return match.chance <= SURE_CHANCE and len(match.pairs) >= min(_ENOUGH, expected / 2) and close


def _agreeing(
    source: np.ndarray, target: np.ndarray, transform: Transform, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs within reach after the transform, and their distances."""
    distance = np.hypot(*(transform(source) - target).T)
    pairs = np.flatnonzero(distance <= reach)
    if len(pairs) < 3:
        raise RegistrationError(
            f"{len(pairs)} of {len(source)} stars are at the predicted positions, 3 are needed"
        )
    return pairs, distance[pairs]


def _brightest(xy: ArrayLike, flux: ArrayLike | None) -> _Stars:
    """The stars with finite positions, brightest first."""
    xy = np.asarray(xy, dtype=float).reshape(-1, 2)
    flux = np.full(len(xy), np.nan) if flux is None else np.asarray(flux, dtype=float)
    log_flux = np.log(flux, out=np.full(len(xy), np.nan), where=flux > 0)
    order = np.argsort(-log_flux, kind="stable")  # NaN, the unknown, goes last and keeps its order
    order = order[np.isfinite(xy[order]).all(axis=1)]
    return _Stars(order, xy[order], log_flux[order])


def _check_counts(problem: _Problem) -> None:
    n, m = len(problem.source.xy), len(problem.target.xy)
    if min(n, m) < 3:
        raise RegistrationError(f"{n} stars against {m}: a pattern needs at least three stars in each list")


def _solve(problem: _Problem, guesses: Sequence[Transform]) -> _Solution:
    """The first quick answer that is certain, else that of the full search; between equals the quick one.

    A shift after a guess needs one star fewer to be believed than a free similarity, which two stars define.
    """
    believed = None
    for guess in guesses:
        quick = _shift_only(problem, guess)
        if quick is not None and _is_sure(problem, quick):
            return quick
        if quick is not None and quick.chance < _MAX_CHANCE and believed is None:
            believed = quick
    try:
        found = _search(problem)
    except RegistrationError:
        if believed is None:
            raise
        return believed
    return found if believed is None or found.agreeing > believed.agreeing else believed


def _is_sure(problem: _Problem, solution: _Solution) -> bool:
    """Whether so many stars agree that nothing else has to be tried."""
    possible = min(
        _count_inside(solution.transform(problem.source.xy), problem.target.xy, problem.tolerance),
        _count_inside(solution.transform.inverse()(problem.target.xy), problem.source.xy, problem.tolerance),
    )
    return solution.chance < SURE_CHANCE and solution.agreeing >= _SURE_FRACTION * possible


def _moving(problem: _Problem, solution: _Solution) -> _Solution:
    """The match of the moving stars, when what agrees is only what stands still (hot pixels)."""
    if not _stands_still(problem, solution.transform):
        return solution
    left = replace(
        problem,
        source=problem.source.take(np.setdiff1d(np.arange(len(problem.source.xy)), solution.pairs[:, 0])),
        target=problem.target.take(np.setdiff1d(np.arange(len(problem.target.xy)), solution.pairs[:, 1])),
    )
    if min(len(left.source.xy), len(left.target.xy)) < 3:
        return solution
    try:
        other = _search(left)
    except RegistrationError:
        return solution
    moved = other.chance < SURE_CHANCE and not _stands_still(problem, other.transform)
    return other if moved else solution


def _stands_still(problem: _Problem, transform: Transform) -> bool:
    return _differ(problem, transform, Transform.identity()) <= problem.tolerance


def _differ(problem: _Problem, one: Transform, other: Transform) -> float:
    """Largest distance between where two transforms put the corners of the source field, pixels."""
    low, high = problem.source.xy.min(axis=0), problem.source.xy.max(axis=0)
    corners = np.array([low, high, (low[0], high[1]), (high[0], low[1])])
    return float(np.hypot(*(one(corners) - other(corners)).T).max())


# ---------------------------------------------------------------- proposals


def _shift_only(problem: _Problem, guess: Transform) -> _Solution | None:
    """The best shift after the guess, refined; the densest place among all the differences of positions."""
    moved = guess(problem.source.xy)
    shifts = (problem.target.xy[None] - moved[:, None]).reshape(-1, 2)
    tree = cKDTree(shifts)
    # Twice the tolerance, since a small rotation spreads the shifts.
    crowd = tree.query_ball_point(shifts, 2 * problem.tolerance, return_length=True)
    best = shifts[tree.query_ball_point(shifts[np.argmax(crowd)], 2 * problem.tolerance)].mean(axis=0)
    shifted = replace(guess, offset=guess.offset + best)
    refined = _refine(problem, shifted, tried=len(shifts))
    elsewhere = np.hypot(*(shifts - best).T) > 4 * problem.tolerance
    if refined is None or crowd.max(initial=0, where=elsewhere) >= crowd.max():
        return refined  # another shift is as good: pattern alone has to tell
    if _differ(problem, refined.transform, shifted) > 2 * problem.tolerance:
        return refined
    return replace(
        refined,
        chance=min(
            refined.chance,
            _chance(problem, shifted, refined.agreeing, len(shifts), defining=1, reach=2 * problem.tolerance),
        ),
    )


def _search(problem: _Problem) -> _Solution:
    """The best of all pair proposals, if it is believable and has no rival."""
    proposals = [_propose(problem, flip) for flip in problem.flips]
    tried = sum(len(p.a) for p in proposals)
    refined = [_refine(problem, t, tried=tried) for t in _most_voted(problem, proposals)]
    solutions = sorted((s for s in refined if s is not None), key=lambda s: _rank(problem, s))
    if not solutions or solutions[0].chance > _MAX_CHANCE:
        raise RegistrationError(_no_match(problem, solutions, tried))
    for rival in solutions[1:]:
        _check_rival(problem, solutions[0], rival)
    return solutions[0]


def _rank(problem: _Problem, solution: _Solution) -> tuple[int, bool, float]:
    """Sorts the better solution first; one that stands still, as hot pixels do, loses a draw."""
    return -solution.agreeing, _stands_still(problem, solution.transform), solution.rms


def _check_rival(problem: _Problem, best: _Solution, rival: _Solution) -> None:
    """Reject to choose between two different transforms that explain the lists equally well."""
    equal = rival.agreeing == best.agreeing and rival.rms < 2 * best.rms + 0.05 * problem.tolerance
    different = _differ(problem, best.transform, rival.transform) > 2 * problem.tolerance
    if equal and different and not _stands_still(problem, rival.transform):
        raise RegistrationError(
            f"{_lists(problem)}: two different transforms agree on "
            f"{best.agreeing} stars each (rotations {best.transform.rotation:.1f} and "
            f"{rival.transform.rotation:.1f} degrees); more stars are needed to decide"
        )


def _lists(problem: _Problem) -> str:
    return f"{len(problem.source.xy)} stars against {len(problem.target.xy)}"


def _no_match(problem: _Problem, solutions: list[_Solution], tried: int) -> str:
    if not solutions:
        return f"{_lists(problem)}: none of {tried} trial transforms agrees on three stars"
    best = solutions[0]
    return (
        f"{_lists(problem)}: the best of {tried} trial transforms agrees on {best.agreeing} stars, but "
        f"{best.chance:.2g} such matches are expected by chance, limit {_MAX_CHANCE:g}; more stars or a closer "
        "scale would help"
    )


def _propose(problem: _Problem, flip: bool) -> _Proposals:
    """The similarities that lay a pair of source stars on a pair of target stars."""
    z, w = as_complex(problem.source.xy, flip=flip), as_complex(problem.target.xy)
    i, j = np.triu_indices(len(z), 1)
    k, m = np.nonzero(~np.eye(len(w), dtype=bool))
    one, two = _compatible(np.abs(z[j] - z[i]), np.abs(w[m] - w[k]), i + j, problem)
    i, j, k, m = i[one], j[one], k[two], m[two]
    first = problem.target.log_flux[k] - problem.source.log_flux[i]
    second = problem.target.log_flux[m] - problem.source.log_flux[j]
    fits = ~(np.abs(first - second) > 1.5 * _FLUX_TOLERANCE)  # so written, an unknown flux fits
    i, j, k, m = i[fits], j[fits], k[fits], m[fits]
    a = (w[m] - w[k]) / (z[j] - z[i])
    b = (w[m] + w[k] - a * (z[j] + z[i])) / 2
    return _Proposals(a, b, (first + second)[fits] / 2, flip)


def _compatible(
    lengths: np.ndarray, others: np.ndarray, faintness: np.ndarray, problem: _Problem
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of pairs of equal length, but for the scale; those of bright stars when there are too many."""
    slack = problem.tolerance
    # A pair a few pixels long fixes no rotation.
    usable = np.flatnonzero(lengths > 5 * slack)
    usable = usable[np.argsort(faintness[usable], kind="stable")]
    order = np.argsort(others)
    low = np.searchsorted(others[order], problem.scale[0] * lengths[usable] - slack)
    high = np.searchsorted(others[order], problem.scale[1] * lengths[usable] + slack)
    count = high - low
    count[np.cumsum(count) > _MAX_PROPOSALS] = 0
    one = np.repeat(usable, count)
    start = np.repeat(low - np.cumsum(count) + count, count)
    return one, order[start + np.arange(len(one))]


def _most_voted(problem: _Problem, proposals: list[_Proposals]) -> list[Transform]:
    """The proposals that land most source stars on target stars."""
    lookup = _lookup_grid(problem)
    scores = [_votes(problem, p, lookup) for p in proposals]
    ranked = []
    for p, score in zip(proposals, scores, strict=True):
        best = np.argsort(-score, kind="stable")[:_REFINED]
        ranked += [(-score[n], similarity(p.a[n], p.b[n], flip=p.flip)) for n in best]
    return [transform for _, transform in sorted(ranked, key=lambda item: item[0])[:_REFINED]]


def _votes(
    problem: _Problem, proposals: _Proposals, lookup: tuple[np.ndarray, np.ndarray, float]
) -> np.ndarray:
    """For each proposal the number of stars that land on stars, a central hit counting twice a bare one."""
    z = as_complex(problem.source.xy, flip=proposals.flip)
    w = as_complex(problem.target.xy)
    grid, origin, cell = lookup
    score = np.empty(len(proposals.a))
    step = max(1, 200_000 // len(z))  # keeps the temporaries within the cache
    for start in range(0, len(score), step):
        part = slice(start, start + step)
        landed = proposals.a[part, None] * z + proposals.b[part, None]
        column = np.clip((landed.real - origin[0]) / cell, 0, grid.shape[1] - 1).astype(np.intp)
        row = np.clip((landed.imag - origin[1]) / cell, 0, grid.shape[0] - 1).astype(np.intp)
        star = grid[row, column]
        who, source = np.nonzero(star >= 0)
        star = star[who, source]
        distance = np.abs(landed[who, source] - w[star]) / problem.tolerance
        ratio = problem.target.log_flux[star] - problem.source.log_flux[source]
        odd = np.abs(ratio - proposals.log_ratio[part][who]) > _FLUX_TOLERANCE
        worth = np.where((distance < 1) & ~odd, 1 - distance**2 / 2, 0)
        score[part] = np.bincount(who, worth, minlength=len(landed))
    return score


def _lookup_grid(problem: _Problem) -> tuple[np.ndarray, np.ndarray, float]:
    """Which target star is near a place: star numbers or -1, the origin, and the size of a cell."""
    xy, reach = problem.target.xy, problem.tolerance
    cell = max(reach / 2, float(np.ptp(xy, axis=0).max()) / _GRID)
    margin = reach + 2 * cell
    origin = xy.min(axis=0) - margin
    shape = np.ceil((np.ptp(xy, axis=0) + 2 * margin) / cell).astype(int) + 1
    grid = np.full(shape[::-1], -1, dtype=np.int32)
    for star in range(len(xy) - 1, -1, -1):  # the brighter star is written last and wins
        low = ((xy[star] - reach - origin) / cell).astype(int)
        high = ((xy[star] + reach - origin) / cell).astype(int) + 1
        grid[low[1] : high[1], low[0] : high[0]] = star
    return grid, origin, cell


# ---------------------------------------------------------------- refinement and proof


def _refine(problem: _Problem, transform: Transform, *, tried: int) -> _Solution | None:
    """The proposal after least squares on the bright stars; None when fewer than three are left."""
    source, target = problem.source, problem.target
    try:
        transform, pairs, rms = _iterate(problem, transform, affine=False)
    except RegistrationError:
        return None
    slack = problem.tolerance / max(np.ptp(source.xy, axis=0).max(), 1)
    if len(pairs) < 3 or not problem.scale[0] - slack <= transform.scale <= problem.scale[1] + slack:
        return None
    ratio = target.log_flux[pairs[:, 1]] - source.log_flux[pairs[:, 0]]
    odd = np.abs(ratio - _median(ratio)) > _FLUX_TOLERANCE
    agreeing = len(pairs) - int(np.count_nonzero(odd))
    return _Solution(transform, pairs, rms, agreeing, _chance(problem, transform, agreeing, tried))


def _iterate(problem: _Problem, transform: Transform, *, affine: bool) -> tuple[Transform, np.ndarray, float]:
    """Pair, fit, and pair again until the pairs stay the same; returns transform, pairs and rms."""
    source, target = problem.source.xy, problem.target.xy
    tree = cKDTree(target)
    pairs, reach = np.empty((0, 2), dtype=int), 1.5 * problem.tolerance
    for _ in range(10):
        before = pairs
        pairs, distance = _nearest_pairs(transform(source), tree, reach)
        if np.array_equal(pairs, before):
            break
        plane = affine and _spans_a_plane(target[pairs[:, 1]], problem.tolerance)
        transform = _fit(source[pairs[:, 0]], target[pairs[:, 1]], transform, affine=plane)
        reach = _reach(distance, problem.tolerance)
    pairs, distance = _nearest_pairs(transform(source), tree, problem.tolerance)
    rms = float(np.sqrt(np.mean(distance**2))) if len(distance) else np.nan
    return transform, pairs, rms


def _fit(source: np.ndarray, target: np.ndarray, transform: Transform, *, affine: bool) -> Transform:
    """The affine transform, or the similarity of the same parity as the one so far."""
    if affine:
        return fit_affine(source, target)
    return fit_similarity(source, target, flip=transform.flipped)


def _reach(distance: np.ndarray, tolerance: float) -> float:
    """How far the next pairs may be apart: four sigma of the present ones, the tolerance at most."""
    if len(distance) < 6:
        return tolerance
    return float(
        np.clip(3.4 * np.median(distance), 0.25 * tolerance, tolerance)
    )  # median = 1.18 sigma in 2-D


def _nearest_pairs(moved: np.ndarray, tree: cKDTree, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """One-to-one pairs of each star and its nearest target within reach, and their distances."""
    distance, nearest = tree.query(moved, distance_upper_bound=reach)
    source = np.argsort(distance, kind="stable")
    source = source[np.isfinite(distance[source])]
    _, first = np.unique(nearest[source], return_index=True)  # the closest of those who want the same target
    source = np.sort(source[first])
    return np.column_stack([source, nearest[source]]), distance[source]


def _chance(
    problem: _Problem,
    transform: Transform,
    agreeing: int,
    tried: int,
    *,
    defining: int = 2,
    reach: float | None = None,
) -> float:
    """Expected number of proposals that agree on so many stars in unrelated lists.

    Two stars define a similarity, one a shift; each other one inside the target's field lands within reach of a star
    of fitting brightness with probability p, so their number is binomial.
    """
    others = _count_inside(transform(problem.source.xy), problem.target.xy, problem.tolerance) - defining
    hits = min(agreeing - defining, others)
    if hits < 1:
        return float(tried)
    return float(tried * bdtrc(hits - 1, others, _hit_probability(problem, reach or problem.tolerance)))


def _hit_probability(problem: _Problem, reach: float) -> float:
    """Chance that a place in the target's field is within reach of a star whose brightness fits."""
    n = len(problem.target.xy)
    # n random points span (n - 1) / (n + 1) of each side of their field.
    sides = np.maximum(np.ptp(problem.target.xy, axis=0) * (n + 1) / (n - 1), 10 * problem.tolerance)
    ratios = problem.target.log_flux[:, None] - problem.source.log_flux
    odd = np.abs(ratios - _median(ratios)) > _FLUX_TOLERANCE
    return float(min(1.0, (1 - odd.mean()) * n * np.pi * reach**2 / np.prod(sides)))


def _count_inside(xy: np.ndarray, field: np.ndarray, margin: float) -> int:
    """How many positions lie within the field that the others span."""
    low, high = field.min(axis=0) - margin, field.max(axis=0) + margin
    return int(np.count_nonzero(((xy >= low) & (xy <= high)).all(axis=1)))


def _median(values: np.ndarray) -> float:
    """Median of what is known; NaN when nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else np.nan


def _finish(everything: _Problem, solution: _Solution, *, min_matched: int, affine: bool) -> Match:
    """The solution carried over to all stars, with the numbering of the lists as they were given."""
    transform, pairs, rms = _iterate(everything, solution.transform, affine=affine)
    source, target = everything.source, everything.target
    lists = _lists(everything)
    if len(pairs) < min_matched:
        raise RegistrationError(f"{lists}: {len(pairs)} stars agree, {min_matched} are needed")
    if affine and not _spans_a_plane(target.xy[pairs[:, 1]], everything.tolerance):
        raise RegistrationError(
            f"{lists}: {len(pairs)} stars agree, too few or too nearly on a line for an affine transform; "
            "ask for a similarity"
        )
    given = np.column_stack([source.index[pairs[:, 0]], target.index[pairs[:, 1]]])
    return Match(transform, given, rms, solution.chance)


def _spans_a_plane(xy: np.ndarray, tolerance: float) -> bool:
    """Whether six stars or more spread by several tolerances across their line."""
    if len(xy) < 6:
        return False
    spread = np.linalg.svd(xy - xy.mean(axis=0), compute_uv=False)[1] / np.sqrt(len(xy))
    return bool(spread > 3 * tolerance)
