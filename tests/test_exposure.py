import numpy as np
import pytest
from plain import Plain, cards, noise, write

from potpyri_like.frame import FrameKind
from potpyri_like.instruments import Below, Has, Is, Rule
from potpyri_like.night import scan


def described(folder, kind, says, instrument=Plain, **more):
    write(folder / "a.fits", noise(), cards(kind, says, **more))
    (row,) = scan(folder, instrument()).rows
    return row


@pytest.mark.parametrize("says", [-1, -1.0, "-1,0", "NaN", "n/a", "inf"])
def test_a_bias_needs_no_exposure(tmp_path, says):
    info = described(tmp_path, "bias", says).info
    assert info.kind is FrameKind.BIAS and info.exposure.value == 0
    assert info.notes == (f"exposure: EXPTIME = {says} is not an exposure, and none is needed",)


@pytest.mark.parametrize("says", [0.0, 3.2e-5, "3,2E-05", 0.001])
def test_a_bias_with_an_exposure_that_can_be_keeps_it_without_a_word(tmp_path, says):
    info = described(tmp_path, "bias", says).info
    assert info.exposure.value == pytest.approx(float(str(says).replace(",", "."))) and info.notes == ()


def test_a_flat_of_minus_one_second_is_one_of_unknown_exposure(tmp_path):
    info = described(tmp_path, "flat", -1.0).info
    assert np.isnan(info.exposure.value) and info.notes


@pytest.mark.parametrize("kind", ["light", "dark"])
@pytest.mark.parametrize("says", [-1.0, "NaN", "inf"])
def test_a_light_and_a_dark_need_an_exposure_that_can_be(tmp_path, kind, says):
    row = described(tmp_path, kind, says)
    assert row.info is None and row.reason.startswith("a.fits: ") and "EXPTIME" in row.reason


class ByExposure(Plain):
    """What has no exposure and no name is a bias."""

    name = "BYEXPOSURE"
    kinds = (
        Rule(FrameKind.BIAS, Is("IMAGETYP", "bias")),
        Rule(FrameKind.BIAS, Below("EXPTIME", 0.0) & ~Has("NAME")),
        Rule(FrameKind.SCIENCE, Is("IMAGETYP", "light")),
    )


def test_a_light_of_minus_one_second_is_no_bias_where_the_exposure_alone_says_so(tmp_path):
    row = described(tmp_path, "light", -1.0, ByExposure)
    assert row.info is None and "an exposure of -1.0 s (EXPTIME) is invalid" in row.reason


def test_a_bias_that_its_kind_says_and_one_of_no_exposure_are_biases(tmp_path):
    assert described(tmp_path / "a", "bias", -1.0, ByExposure).info.kind is FrameKind.BIAS
    assert described(tmp_path / "b", "light", 0.0, ByExposure).info.kind is FrameKind.BIAS
