"""From a raw file to a trimmed and filtered frame."""

import hashlib

import numpy as np
import pytest
from small_night import small_night

from potpyri_like.imaging import filter_hot_pixels
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night import scan
from potpyri_like.primitives import FilterPixels, Trim
from potpyri_like.primitives.stage import Setup


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    """A science frame of one amplifier."""
    folder = tmp_path_factory.mktemp("trim")
    small_night(folder, frames=1, darks=0, flats=0)
    return scan(folder, Opticam()).sets()[0].frames[0]


def test_what_reading_the_file_told_is_handed_on(info, opens):
    opens[:] = opens[:1]
    reading = Trim()(info, Setup(Opticam())).results["reading"]
    assert sum(str(given) == str(info.path) for given, *_ in opens) == 1
    assert reading.sha256 == hashlib.sha256(info.path.read_bytes()).hexdigest()
    assert reading.size == info.path.stat().st_size


@pytest.mark.parametrize("mode", ["median", "selective", "none"])
def test_the_filter_gives_the_same_bits_whether_or_not_it_knows_the_counts(info, mode):
    setup = Setup(Opticam(), filter_mode=mode)
    trimmed = Trim()(info, setup)
    assert trimmed.results["counts"] is not None
    wanted = filter_hot_pixels(trimmed.pixels, mode=mode)
    for plane, expected in zip(FilterPixels()(trimmed, setup).pixels, wanted, strict=True):
        np.testing.assert_array_equal(plane, expected)
