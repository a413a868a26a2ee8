"""Whether masters can be what they are taken for, by themselves and beside the science frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from potpyri_like.errors import FrameError
from potpyri_like.frame import FrameInfo
from potpyri_like.imaging import typical
from potpyri_like.primitives.master_maker import Maker, some_of
from potpyri_like.primitives.stage import exposure_of
from potpyri_like.results import Grade, Masters, Problem

__all__ = ["contradictions"]

_MANY = 10  # science frames; of fewer, one is looked at
_BELOW = 2.0  # standard deviations of a pixel; the level of a bias drifts by less


class _Light(NamedTuple):
    """The level of a science frame with the bias in it, electron, its noise per pixel, and its exposure, s."""

    level: float
    sigma: float
    exposure: float


def contradictions(maker: Maker, masters: Masters, frames: Sequence[FrameInfo]) -> list[Problem]:
    """What is wrong with a night's bias and darks, which cannot be brighter than the science frames.

    Parameters
    ----------
    maker : Maker
    masters : Masters
        Of the night.
    frames : sequence of FrameInfo
        Its science frames.
    """
    if masters.bias is None and not masters.darks:
        return []
    lights = list(_lights(maker, masters, frames))
    why = _of_bias(masters, lights) or _of_darks(masters, lights)
    return [Problem(what, "masters", reason, Grade.DOUBTFUL) for what, reason in why]


def _lights(maker: Maker, masters: Masters, frames: Sequence[FrameInfo]) -> Iterator[_Light]:
    """The levels of some science frames, those that can be read."""
    for info in some_of(frames) if len(frames) >= _MANY else some_of(frames)[-2:-1] or some_of(frames):
        try:
            levels = masters.bias.levels if masters.bias is not None else ()
            frame = maker.with_level(info, has_bias=masters.bias is not None, levels=levels)
        except FrameError:  # it is rejected by name when its turn comes
            continue
        level = typical(frame.data)
        photons = max(level - (typical(masters.bias.pixels.data) if masters.bias else 0.0), 0.0)
        yield _Light(level, float(np.sqrt(typical(frame.variance) + photons)), exposure_of(info))


def _of_bias(masters: Masters, lights: Sequence[_Light]) -> list[tuple[str, str]]:
    """That the bias lies above the science frames."""
    if masters.bias is None or not lights:
        return []
    bias = typical(masters.bias.pixels.data)
    left = float(np.median([light.level - bias for light in lights]))
    if left >= -_BELOW * float(np.median([light.sigma for light in lights])):
        return []
    why = (
        f"its level, {bias:.0f} electrons, is {-left:.0f} electrons above that of the science frames, whose sky and"
        " errors come out too small; it was taken with a different camera setting: set the status of the bias frames to"
        " 'leave out' in night.ecsv, or add those that belong to the night"
    )
    return [("master bias", why)]


def _of_darks(masters: Masters, lights: Sequence[_Light]) -> list[tuple[str, str]]:
    """Which darks are brighter than the science frames that they are subtracted from."""
    bias = typical(masters.bias.pixels.data) if masters.bias is not None else 0.0
    found = []
    for exposure in sorted({light.exposure for light in lights}):
        dark, own = masters.dark_of(exposure), [light for light in lights if light.exposure == exposure]
        if dark is None:
            continue
        left = float(np.median([light.level - bias for light in own])) - typical(dark.pixels.data)
        if left < -_BELOW * float(np.median([light.sigma for light in own])):
            why = (
                f"it is {-left:.0f} electrons brighter than the science frames of {exposure:g} s that it is subtracted"
                " from; it was taken at a different temperature or setting, or light reached the detector: set the"
                " status of its frames to 'leave out' in night.ecsv, or add those that belong to the night"
            )
            found.append((f"master dark of {dark.exposure:g} s", why))
    return found
