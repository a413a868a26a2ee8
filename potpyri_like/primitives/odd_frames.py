"""Reject calibration frames that disagree with the others, and report why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from potpyri_like.imaging import Oddity, Sample, agreement, faint_frames

__all__ = ["Judgement", "judge"]

_FLATS_ALIKE = 0.015  # relative; flats of one twilight differ by a few tenths of a percent across the image
_BELOW_BIAS = 10.0  # standard deviations of a pixel; a dark so far below lies there not by drift


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


def judge(kind: str, samples: Sequence[Sample], levels: Sequence[float], *, has_bias: bool) -> Judgement:
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
    """
    found = Judgement()
    if kind == "flat":
        for index, middle in faint_frames(levels).items():
            found.rejected[index] = (
                f"a flat of {levels[index]:.0f} electron, where flats of {middle:.0f} electron are available"
            )
    if kind == "dark" and has_bias:
        _reject_without_bias(samples, levels, found)
    rest = [index for index in range(len(samples)) if index not in found.rejected]
    _compare(kind, rest, samples, found)
    kept = len(samples) - len(found.rejected)
    if len(found.rejected) > 1 and kept < 2 * len(found.rejected) and (kept < 3 or len(found.rejected) > 2):
        found.doubts.append(
            f"{len(found.rejected)} of {len(samples)} {kind} frames disagree with the other {kept}, which were"
            " combined; the reason of each is in night.ecsv"
        )
    return found


def _reject_without_bias(samples: Sequence[Sample], levels: Sequence[float], found: Judgement) -> None:
    """Reject darks that lie below the bias, where others do not."""
    below = [i for i, level in enumerate(levels) if level < -_BELOW_BIAS * np.sqrt(samples[i].variance)]
    if len(below) == len(samples) and below:
        depth = -float(np.median([levels[i] for i in below]))
        found.doubts.append(
            f"all dark frames are {depth:.0f} electron below the bias, as if the bias had been subtracted or taken"
            " with another camera setting"
        )
        return
    for i in below:
        found.rejected[i] = (
            f"it is {-levels[i]:.0f} electron below the bias, as if the bias had been subtracted"
        )


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
    return f"{value:.2g} electron" if value < 10 else f"{value:.0f} electron"
