"""The level of frames without light where nobody declared it and no bias tells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from potpyri_like.errors import FrameError
from potpyri_like.frame import FrameInfo
from potpyri_like.imaging import Pedestal, pedestal_of, sample_boxes, typical
from potpyri_like.instruments import camera_named
from potpyri_like.instruments.cameras import camera_of_date
from potpyri_like.primitives.master_maker import Maker
from potpyri_like.results import Grade, Problem
from potpyri_like.store import read_header

__all__ = ["pedestal_in_words", "undeclared_pedestal"]

_FRAMES = 5  # that are compared, each with the next
_SIGMAS = 5.0  # of its error, by which the level has to exceed zero
_PART = 0.2  # of the level of the frames; less does little to their errors


def undeclared_pedestal(maker: Maker, frames: Sequence[FrameInfo]) -> Pedestal | None:
    """The level without light of science frames whose instrument tells of none; None where it does, or none shows.

    Parameters
    ----------
    maker : Maker
    frames : sequence of FrameInfo
        Science frames of one night without a bias, in order of time.
    """
    instrument = maker.setup.instrument
    if len(frames) < 2 or instrument.is_filtered(frames[0]) or _is_known(maker, frames[0]):
        return None
    middle = max(0, len(frames) // 2 - _FRAMES // 2)
    boxes, variances, level = [], [], 0.0
    for info in frames[middle : middle + _FRAMES]:
        try:
            frame = maker.opened(info, maker.setup)
        except FrameError:  # it is rejected by name when its turn comes
            continue
        boxes.append(sample_boxes(frame.data))
        variances.append(typical(frame.variance))
        level = typical(frame.data)
    if len(boxes) < 2 or len({one.shape for one in boxes}) > 1:
        return None
    found = pedestal_of(list(pairwise(boxes)), read_variance=float(np.median(variances)))
    shows = found.level > _SIGMAS * found.error and found.level > _PART * level > 0
    return found if shows else None


def _is_known(maker: Maker, info: FrameInfo) -> bool:
    """Whether an overscan or the declaration tells the level of a frame."""
    instrument = maker.setup.instrument
    try:
        header = read_header(info.path, inside=info.inside)
        camera = camera_of_date(instrument, header, camera_named(instrument, info.camera))
        return camera.pedestal is not None or instrument.layout(header, camera).has_overscan
    except FrameError:
        return True


def pedestal_in_words(name: str, found: Pedestal, *, in_flat: bool) -> Problem:
    """What was found and what it is used for.

    Parameters
    ----------
    name : str
        Of the observation.
    found : Pedestal
    in_flat : bool
        Whether it was subtracted from the flats as well.
    """
    flats = "" if in_flat else "; --pedestal auto subtracts it from the flats, too"
    why = (
        f"{found.level:.0f} ± {found.error:.0f} electrons of the frames' level are a pedestal, not light (the scatter"
        f" of the sky corresponds to only {found.sky:.0f} electrons); they are subtracted, and errors and weights"
        f" allow for it{flats}. Take bias frames, or declare the camera's pedestal"
    )
    return Problem(f"{name}: pedestal", "masters", why, Grade.REMARK)
