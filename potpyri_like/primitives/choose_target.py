"""Pick the most variable star if no target is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from potpyri_like.primitives.fields import CAMERA_MATCH, SERIES, STAR_TABLE, TARGET, VARIABLE
from potpyri_like.primitives.points import unfit
from potpyri_like.primitives.stage import TargetStage, Tools, Work
from potpyri_like.results import Choice, Grade, Problem
from potpyri_like.stages import Input

__all__ = ["VARIABLE_SCORE", "ChooseTarget"]

VARIABLE_SCORE = 5.0
_LOOKED_AT = 3  # stars of each band that may be the one that varies most


@dataclass(frozen=True)
class ChooseTarget(TargetStage):
    """Where no target was named: the star that varies most over its noise, in all bands together."""

    former_names = ("PickVariable",)

    reads = (
        SERIES,
        STAR_TABLE,
        TARGET,
        Input(CAMERA_MATCH, required=False),
    )
    gives = (VARIABLE,)

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        open_ = [w for w in works if not w.named_by and w.result.stars is not None]
        ranked = [w for w in open_ if np.isfinite(_scores(w)).any()]
        if not ranked:
            why = "too few frames to find a variable star, and no target given: give --target-xy"
            return tuple(w.with_(target_why=why) if w in open_ else w for w in works)
        best, star = _most_variable(ranked)
        return tuple(self.picked(w, best, star) if w in ranked else w for w in works)

    def picked(self, work: Work, best: Work, star: int) -> Work:
        """The star in this band that is the picked one; none where it is not known which that is."""
        here = star if work is best else _same_star(work, best, star)
        score = work.result[STAR_TABLE].score
        if here is None or here >= len(score):
            why = (
                f"star {star} of {best.observed.name}, the most variable, is not among the stars matched here"
            )
            return work.with_(target_why=why).found(
                problems=[Problem(work.observed.name, "light curve", why, Grade.REMARK)]
            )
        verdict = (
            "is the most significantly variable"
            if score[here] >= VARIABLE_SCORE
            else "is the most variable, but not significantly"
        )
        why = (
            f"no target given (--target-xy): all stars were measured; star {here} {verdict}"
            f" (score {score[here]:.1f}); not identified as {work.observed.target}"
        )
        return work.with_(target_star=here, target_why=why).found(
            choices=[Choice("target", f"star {here}", why)]
        )


def _most_variable(ranked: Sequence[Work]) -> tuple[Work, int]:
    """The star that varies most in all bands together, and a set in which it is known.

    Together, since of two stars compared with each other alone both vary alike.
    """
    candidates = [
        (work, int(star))
        for work in ranked
        for star in np.argsort(-np.nan_to_num(_scores(work)))[:_LOOKED_AT]
    ]
    return max(candidates, key=lambda one: sum(_score_of(work, *one) for work in ranked))


def _score_of(work: Work, base: Work, star: int) -> float:
    """How much a star of another set varies in this one; 0 where it is not known."""
    here = star if work is base else _same_star(work, base, star)
    known = _scores(work)
    return float(np.nan_to_num(known[here])) if here is not None and here < len(known) else 0.0


def _scores(work: Work) -> np.ndarray:
    """The variability of each star over its noise; NaN for those often saturated, at the edge or not found."""
    table, series = work.result[STAR_TABLE], work.result[SERIES]
    score = table.score.copy()
    score[list(unfit(series))] = np.nan
    return score if np.isfinite(score).any() else table.score


def _same_star(work: Work, base: Work, star: int) -> int | None:
    """The number in one set of a star that is known by its number in another, if both know the same stars."""
    if work.observed.folder == base.observed.folder:
        return star
    common = star if not base.result.same_as else base.result.same_as.get(star)
    if not work.result.same_as:
        return common
    back = {there: here for here, there in work.result.same_as.items()}
    return back.get(common) if common is not None else None
