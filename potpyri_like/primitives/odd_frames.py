"""Reject calibration frames that disagree with the others, and report why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from potpyri_like.imaging import (
    Illumination,
    Oddity,
    Sample,
    agreement,
    faint_frames,
    flatness,
    illumination,
)

__all__ = ["Judgement", "judge"]

_FLATS_ALIKE = 0.015  # relative; flats of one twilight differ by a few tenths of a percent across the image
_UNSTEADY = (
    0.008  # relative; by which a change from flat to flat makes their mean differ from those in its middle
)
_BELOW_BIAS = 10.0  # standard deviations of a pixel; a dark so far below lies there not by drift
_ALL_BELOW = 2.0  # the same of the mean of all darks: a bias level drifts by less
_MORE_EVEN = 2.0  # times; so much decides between groups of flats, by the sky that they leave
_SHARE = 0.2  # of the flats; more that disagree make the others doubtful, too
_NAMED = 6  # frames of a group that are named in a sentence


@dataclass
class Judgement:
    """What a comparison of the frames says.

    Attributes
    ----------
    rejected : dict of int to str
        Why, by the frame's index.
    doubts : list of str
        What makes the master doubtful that is made of the others.
    """

    rejected: dict[int, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)


def judge(
    kind: str,
    samples: Sequence[Sample],
    levels: Sequence[float],
    *,
    has_bias: bool,
    names: Sequence[str] = (),
    sky: Callable[[], Sample | None] = lambda: None,
) -> Judgement:
    """Compare frames of one kind.

    Parameters
    ----------
    kind : str
        "bias", "dark", "flat".
    samples : sequence of Sample
        electron; of flats relative to their level.
    levels : sequence of float, electron
        Of each frame.
    has_bias : bool
        Whether the bias was subtracted.
    names : sequence of str
        Of the frames, for the sentences.
    sky : callable
        Gives the sky of science frames, by which the better of two groups of flats is known; asked for at need.
    """
    found = Judgement()
    if kind == "flat":
        for index, middle in faint_frames(levels).items():
            found.rejected[index] = (
                f"a flat of {levels[index]:.0f} electrons, whereas flats of {middle:.0f} electrons are available"
            )
    if kind == "dark" and has_bias:
        _reject_without_bias(samples, levels, found)
    rest = [index for index in range(len(samples)) if index not in found.rejected]
    if kind == "flat":
        rest = _kept_on_large_scales(rest, samples, levels, names, sky, found)
    _compare(kind, rest, samples, found)
    kept = len(samples) - len(found.rejected)
    lost = len(found.rejected)
    if not found.doubts and lost > 1 and kept < 2 * lost and (kept < 3 or lost > 2):
        found.doubts.append(
            f"{lost} of {len(samples)} {kind} frames disagree with the other {kept}, which were"
            " combined; the reason of each is in night.ecsv"
        )
    return found


def _reject_without_bias(samples: Sequence[Sample], levels: Sequence[float], found: Judgement) -> None:
    """Reject darks that lie below the bias, where others do not."""
    sigma = np.sqrt([sample.variance for sample in samples])
    below = [i for i, level in enumerate(levels) if level < -_BELOW_BIAS * sigma[i]]
    depth = -float(np.median(levels)) if len(levels) else 0.0
    if depth > _ALL_BELOW * np.median(sigma) and 2 * sum(np.less(levels, -_ALL_BELOW * sigma)) > len(levels):
        found.doubts.append(
            f"all dark frames are {depth:.0f} electrons below the bias, as if the bias had been subtracted or taken"
            " with another camera setting; set the status of the wrong ones to 'leave out' in night.ecsv"
        )
        return
    for i in below:
        found.rejected[i] = (
            f"it is {-levels[i]:.0f} electrons below the bias, as if the bias had been subtracted"
        )


def _kept_on_large_scales(
    rest: Sequence[int],
    samples: Sequence[Sample],
    levels: Sequence[float],
    names: Sequence[str],
    sky: Callable[[], Sample | None],
    found: Judgement,
) -> list[int]:
    """The flats that agree on large scales: the majority, or the best group; the others are rejected."""
    if len(rest) < 2:
        return list(rest)
    known = [i for i in rest if np.isfinite(samples[i].blocks).mean() > 0.5]
    seen = illumination([samples[i] for i in known])
    groups = [[known[i] for i in group] for group in seen.groups]
    if not seen.has_majority:
        groups, why = _best_first(groups, samples, levels, sky())
        if not groups:
            return list(rest)  # each differs from each: all are compared and combined
        found.doubts.append(_divided_in_words(groups, seen, names) + why)
    elif seen.unsteady > _UNSTEADY:
        found.doubts.append(
            f"the illumination of the {len(groups[0])} flats that were combined changes from one to the next, so that"
            f" their mean depends on how many were taken when, by {_amount('flat', seen.unsteady)}"
        )
    odd = list(chain.from_iterable(groups[1:]))
    others = f"the other {len(groups[0])} flat frames" + (
        " that were combined" if not seen.has_majority else ""
    )
    for group, apart in zip(groups[1:], _apart_from_first(groups, seen, known), strict=True):
        for index in group:
            found.rejected[index] = _in_words("flat", Oddity("shape", apart, seen.usual), others, above=False)
    if seen.has_majority and len(odd) > 1 and len(odd) >= _SHARE * len(known):
        found.doubts.append(
            f"{len(odd)} of {len(known)} flat frames{_named(odd, names)} differ by up to"
            f" {_amount('flat', max(seen.apart))} across the image from the other {len(groups[0])}, which were combined"
        )
    return [i for i in rest if i not in odd]


def _apart_from_first(
    groups: Sequence[Sequence[int]], seen: Illumination, known: Sequence[int]
) -> list[float]:
    """By how much each group but the first differs from the first, whatever their order was."""
    by_group = {
        tuple(known[i] for i in group): apart for group, apart in zip(seen.groups, seen.apart, strict=True)
    }
    of_first = by_group[tuple(groups[0])]  # where another was put first
    return [max(by_group[tuple(group)], of_first) for group in groups[1:]]


def _best_first(
    groups: list[list[int]], samples: Sequence[Sample], levels: Sequence[float], sky: Sample | None
) -> tuple[list[list[int]], str]:
    """Groups of flats, the one to be used first, and why; none where nothing tells which."""
    largest = [group for group in groups if len(group) == len(groups[0])]
    if len(largest) == 1:
        return groups, "; the largest group was combined"
    if sky is not None:
        left = [flatness(sky, [samples[i] for i in group]) for group in largest]
        order = np.argsort(left, kind="stable")
        if left[order[1]] > _MORE_EVEN * left[order[0]]:
            best = largest[order[0]]
            low, high = (_amount("flat", left[i]) for i in order[:2])
            return [best, *(group for group in groups if group is not best)], (
                f"; the first group was combined, because it leaves the sky of the science frames even to within {low},"
                f" the others to within {high}"
            )
    if len(largest[0]) == 1:
        return [], ""
    best = max(largest, key=lambda group: sum(levels[i] for i in group))
    return [
        best,
        *(group for group in groups if group is not best),
    ], "; the first group was combined, being the brighter one"


def _divided_in_words(groups: Sequence[Sequence[int]], seen: Illumination, names: Sequence[str]) -> str:
    """Into what groups flats fall."""
    number = sum(map(len, groups))
    parts = [f"{len(group)}{_named(group, names)}" for group in groups[:4]]
    more = f" and {len(groups) - 4} more" if len(groups) > 4 else ""
    return (
        f"{number} flat frames fall into {len(groups)} groups that differ by up to"
        f" {_amount('flat', max(seen.apart))} across the image: {' against '.join(parts)}{more}; set the status of the"
        " wrong ones to 'leave out' in night.ecsv"
    )


def _named(indices: Sequence[int], names: Sequence[str]) -> str:
    """The names of some frames in brackets; "" where none are known."""
    if not names:
        return ""
    shown = ", ".join(names[i] for i in indices[:_NAMED])
    return f" ({shown}{', ...' if len(indices) > _NAMED else ''})"


def _compare(kind: str, rest: Sequence[int], samples: Sequence[Sample], found: Judgement) -> None:
    """Reject what disagrees with the majority of the frames that are left."""
    if kind == "flat":
        result = agreement([samples[i] for i in rest], levels=False, sigmas=0, relative=_FLATS_ALIKE)
    else:
        result = agreement([samples[i] for i in rest])
    others = f"the other {len(rest) - len(result.odd)} {kind} frames"
    middle = np.median([np.nanmedian(samples[i].blocks) for i in rest]) if result.odd else 0.0
    for index, oddity in result.odd.items():
        level = float(np.nanmedian(samples[rest[index]].blocks)) if oddity.what == "level" else 0.0
        found.rejected[rest[index]] = _in_words(kind, oddity, others, above=level > middle)
    if result.divided is not None:
        where = "in level" if result.divided.what == "level" else "across the image"
        found.doubts.append(
            f"{len(rest)} {kind} frames differ by up to {_amount(kind, result.divided.by)} {where}, and no majority"
            " agrees; all were combined; set the status of the wrong ones to 'leave out' in night.ecsv"
        )


def _in_words(kind: str, oddity: Oddity, others: str, *, above: bool) -> str:
    """How a frame disagrees."""
    if oddity.what == "no good pixels":
        return "no good pixels"
    if oddity.what == "noise":
        return f"its noise is {oddity.by:.1f} times that of {others}"
    by = _amount(kind, oddity.by)
    others += f", which agree within {_amount(kind, oddity.usual)}" if oddity.usual > 0 else ""
    if oddity.what == "level":
        return f"its level is {by} {'above' if above else 'below'} that of {others}"
    what = "its illumination" if kind == "flat" else "it"
    return f"{what} differs by up to {by} across the image from {others}"


def _amount(kind: str, value: float) -> str:
    """A deviation with its unit."""
    if kind == "flat":
        return f"{100 * value:.2g} %"
    return f"{value:.2g} electrons" if value < 10 else f"{value:.0f} electrons"
