"""How a dark of the exposure time of the frames is had."""

from __future__ import annotations

from collections.abc import Iterable

from potpyri_like.frame import FrameInfo
from potpyri_like.imaging import curvature_variance, dark_shares, near_exposure, weighted_sum
from potpyri_like.primitives.stage import exposure_of
from potpyri_like.results import Master

__all__ = ["dark_ladder", "has_exposure"]


def has_exposure(frames: Iterable[FrameInfo], exposure: float) -> bool:
    """Whether any of the frames has that exposure, s."""
    return any(near_exposure(exposure_of(f), exposure) for f in frames)


def dark_ladder(
    exact: dict[float, Master], exposure: float, *, has_bias: bool = False, bias: Master | None = None
) -> Master | None:
    """The dark of an exposure: exact, interpolated, scaled, or none.

    Parameters
    ----------
    exact : dict of float to Master
        Darks of the exposures that were taken, seconds; without the bias where there is one.
    exposure : float
        s
    has_bias : bool
        Whether they are without the bias: only then can one of them be scaled.
    bias : Master, optional
        That was subtracted from them.

    Notes
    -----
    The variance of a dark that was interpolated or scaled holds what its exposures show of a dark current that does not
    grow in a straight line.
    """
    has_bias = has_bias or bias is not None
    made = dark_shares(list(exact), exposure, has_bias=has_bias)
    if made is None:
        return None
    used = [exact[t] for t in made.shares]
    if made.method == "exact":
        return used[0]
    parts = {t: exact[t].pixels for t in exact}
    pixels = weighted_sum(parts, made.shares)
    bend = curvature_variance(
        parts, made.shares, exposure, at_zero=None if bias is None else bias.pixels.variance
    )
    if bend is not None:
        pixels = pixels._replace(variance=pixels.variance + bend)
    method = f"{made.method} from {', '.join(f'{t:g} s' for t in made.shares)}"
    inputs = tuple(i for dark in used for i in dark.inputs)
    share = sum(made.shares.values()) if bias is not None else 0.0
    return Master("dark", pixels, exposure, method, inputs, bias_share=share)
