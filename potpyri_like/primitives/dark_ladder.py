"""How a dark of the exposure time of the frames is had."""

from __future__ import annotations

from collections.abc import Iterable

from potpyri_like.frame import FrameInfo
from potpyri_like.imaging import dark_shares, near_exposure, weighted_sum
from potpyri_like.primitives.stage import exposure_of
from potpyri_like.results import Master

__all__ = ["dark_ladder", "has_exposure"]


def has_exposure(frames: Iterable[FrameInfo], exposure: float) -> bool:
    """Whether any of the frames has that exposure, s."""
    return any(near_exposure(exposure_of(f), exposure) for f in frames)


def dark_ladder(exact: dict[float, Master], exposure: float, *, has_bias: bool) -> Master | None:
    """The dark of an exposure: exact, interpolated, scaled, or none.

    Parameters
    ----------
    exact : dict of float to Master
        Darks of the exposures that were taken, seconds; without the bias where there is one.
    exposure : float
        s
    has_bias : bool
        Whether they are without the bias: only then can one of them be scaled.
    """
    made = dark_shares(list(exact), exposure, has_bias=has_bias)
    if made is None:
        return None
    used = [exact[t] for t in made.shares]
    if made.method == "exact":
        return used[0]
    pixels = weighted_sum({t: exact[t].pixels for t in made.shares}, made.shares)
    method = f"{made.method} from {', '.join(f'{t:g} s' for t in made.shares)}"
    return Master("dark", pixels, exposure, method, tuple(i for dark in used for i in dark.inputs))
