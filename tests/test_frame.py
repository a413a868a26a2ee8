"""What each flag excludes from: one table, and nobody else's."""

import re
from pathlib import Path

import numpy as np
import pytest

import potpyri_like
from potpyri_like.frame import (
    EXCLUDED_FROM,
    STAR_FLAG_SHIFT,
    FrameFlag,
    Purpose,
    StarFlag,
    bits_excluded,
    excluded,
)

FAULTS = (FrameFlag.UNMATCHED, FrameFlag.FEW_STARS, FrameFlag.CLOUD, FrameFlag.POOR_SEEING, FrameFlag.TRAILED)
STAR_FAULTS = (StarFlag.SATURATED, StarFlag.COSMIC_RAY, StarFlag.FILLED)
HARMLESS = (StarFlag.BAD_PIXEL, StarFlag.EDGE, StarFlag.HOT_PIXEL, StarFlag.NO_CENTROID)


@pytest.mark.parametrize("purpose", Purpose)
def test_what_is_known_to_be_bad_is_excluded_from_everything(purpose):
    for flag in FAULTS:
        assert excluded(np.array([flag]), purpose).all()
    for flag in STAR_FAULTS:
        assert excluded(np.array([int(flag) << STAR_FLAG_SHIFT]), purpose).all()


@pytest.mark.parametrize("purpose", Purpose)
def test_a_replaced_pixel_a_cut_annulus_and_a_position_carried_over_are_excluded_from_nothing(purpose):
    flags = [int(flag) << STAR_FLAG_SHIFT for flag in HARMLESS]
    assert not excluded(np.array([0, *flags]), purpose).any()


def test_a_doubtful_clock_is_excluded_from_times_alone():
    clock = np.array([FrameFlag.TIME_DOUBTFUL])
    assert not excluded(clock, Purpose.CHOICES | Purpose.FIT).any()
    assert excluded(clock, Purpose.TIMES).all()


def test_purposes_add_up_and_bits_do_not_collide():
    assert bits_excluded(Purpose.FIT | Purpose.TIMES) == bits_excluded(Purpose.FIT) | FrameFlag.TIME_DOUBTFUL
    assert all(bit & (bit - 1) == 0 for bit in EXCLUDED_FROM)
    reserved = {64, 16384, 32768}
    assert not reserved & {*FrameFlag, *(int(flag) << STAR_FLAG_SHIFT for flag in StarFlag)}


def test_no_other_room_keeps_a_set_of_bits_of_its_own():
    """Sums of flags, as in CLOUD | UNMATCHED, stand in the table alone."""
    root = Path(potpyri_like.__file__).parent
    joined = re.compile(r"(FrameFlag|StarFlag)\.\w+\s*\|\s*(FrameFlag|StarFlag)\.")
    found = [path for path in root.rglob("*.py") if joined.search(path.read_text())]
    assert found == []
