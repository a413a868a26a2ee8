"""Check the times of one camera's frames against each other, the exposures, the Sun and the horizon."""

from __future__ import annotations

import numpy as np

__all__ = ["cadence", "contradicted", "outlasting", "sharing"]

_ONE_MOMENT = 1e-3  # s; frames nearer to each other share a time
_MOST = 2 / 3  # of the frames; some may overlap where the observer changed the exposure and a clock is coarse
_SLACK, _RELATIVE_SLACK = 1.0, 0.02  # s; of the exposure
_ONE_CLOCK = 0.5  # days; within, one clock, one site and one direction hold


def cadence(mid_time: np.ndarray) -> float:
    """The median time from one frame to the next, in seconds; NaN for a single frame.

    Parameters
    ----------
    mid_time : ndarray, shape (n_frames,), days
        In any order.
    """
    steps = np.diff(np.unique(mid_time[np.isfinite(mid_time)]))
    return float(np.median(steps) * 86400) if len(steps) else float("nan")


def sharing(mid_time: np.ndarray) -> np.ndarray:
    """Frames that share their time with another: a camera cannot take two at once; shape (n_frames,).

    Parameters
    ----------
    mid_time : ndarray, shape (n_frames,), days
    """
    order = np.argsort(mid_time)
    same = np.diff(mid_time[order]) * 86400 < _ONE_MOMENT
    shared = np.zeros(len(mid_time), bool)
    shared[order] = np.append(same, False) | np.append(False, same)
    return shared


def outlasting(mid_time: np.ndarray, exposure: np.ndarray) -> bool:
    """Whether the exposures outlast the start of the next frame, in most frames: they, or the times, cannot be.

    Parameters
    ----------
    mid_time : ndarray, shape (n_frames,), days
    exposure : ndarray, shape (n_frames,), seconds
    """
    start = mid_time * 86400 - exposure / 2
    order = np.argsort(start)
    step, length = np.diff(start[order]), exposure[order][:-1]
    over = length - step > _SLACK + _RELATIVE_SLACK * length
    apart = step > _ONE_MOMENT  # frames that share a time are another fault
    return bool(apart.sum() >= 2 and over[apart].mean() >= _MOST)


def contradicted(mid_time: np.ndarray, impossible: np.ndarray) -> np.ndarray:
    """Frames whose times share the fault of the impossible ones: all of the same half day; shape (n_frames,).

    A clock or a site that is wrong for one frame of a night is wrong for those around it.

    Parameters
    ----------
    mid_time : ndarray, shape (n_frames,), days
    impossible : ndarray of bool, shape (n_frames,)
    """
    if not impossible.any():
        return impossible
    wrong = np.sort(mid_time[impossible])
    after = np.searchsorted(wrong, mid_time)
    behind = np.abs(mid_time - wrong[np.maximum(after - 1, 0)])
    ahead = np.abs(mid_time - wrong[np.minimum(after, len(wrong) - 1)])
    return np.minimum(behind, ahead) <= _ONE_CLOCK
