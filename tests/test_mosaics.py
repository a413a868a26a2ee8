import numpy as np
import pytest

from potpyri_like.errors import DeclarationError
from potpyri_like.frame import MaskBit, Pixels
from potpyri_like.imaging import level_mosaic, mosaic_colour
from potpyri_like.imaging.mosaics import PATTERNS, mosaic_offset, shifted_pattern

LIGHT = {"R": 10.0, "G": 20.0, "B": 40.0}


def mosaic(pattern, shape=(6, 8)):
    """Electrons that tell their colour, variance of a hundredth of it."""
    rows, columns = np.indices(shape)
    at = 2 * (rows % 2) + columns % 2
    data = np.array([LIGHT[colour] for colour in pattern], np.float32)[at]
    return Pixels(data, data / 100, np.zeros(shape, np.uint16))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_colour_is_taken_out_of_a_mosaic_and_the_two_green_ones_are_added(pattern):
    for colour, light in LIGHT.items():
        pixels, number = mosaic_colour(mosaic(pattern), pattern, colour), 1 + (colour == "G")
        assert pixels.data.shape == (3, 4) and pixels.data.dtype == np.float32
        np.testing.assert_array_equal(pixels.data, number * light)
        np.testing.assert_allclose(pixels.variance, number * light / 100, rtol=1e-6)


def test_the_variance_of_green_is_that_which_it_shows(rng):
    light = rng.poisson(200, (400, 400)).astype(np.float32)
    green = mosaic_colour(Pixels(light, light, np.zeros(light.shape, np.uint16)), "RGGB", "G")
    assert np.var(green.data) == pytest.approx(np.mean(green.variance), rel=5 * np.sqrt(2 / green.data.size))


def test_a_flag_of_either_green_pixel_is_kept_and_no_other():
    pixels = mosaic("RGGB")
    pixels.mask[0, 1], pixels.mask[3, 2], pixels.mask[0, 0] = MaskBit.BAD, MaskBit.SATURATED, MaskBit.HOT
    green = mosaic_colour(pixels, "RGGB", "G").mask
    assert green[0, 0] == MaskBit.BAD and green[1, 1] == MaskBit.SATURATED and np.count_nonzero(green) == 2
    assert mosaic_colour(pixels, "RGGB", "R").mask[0, 0] == MaskBit.HOT


def test_an_odd_last_row_and_column_are_left_out_and_nothing_is_changed():
    pixels = mosaic("GBRG", (7, 9))
    before = [plane.copy() for plane in pixels]
    assert mosaic_colour(pixels, "GBRG", "B").data.shape == (3, 4)
    for plane, old in zip(pixels, before, strict=True):
        np.testing.assert_array_equal(plane, old)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 0), (0, 1), (3, 5), (2, 4)])
def test_the_pattern_of_a_part_is_that_of_its_first_pixels(pattern, x, y):
    part = mosaic(pattern, (12, 12)).data[y:, x:]
    found = shifted_pattern(pattern, x, y)
    assert [LIGHT[colour] for colour in found] == [part[0, 0], part[0, 1], part[1, 0], part[1, 1]]


def test_the_first_pixel_of_a_colour_lies_where_the_pattern_says():
    assert mosaic_offset("GRBG", "R") == (1, 0) and mosaic_offset("GRBG", "B") == (0, 1)
    assert mosaic_offset("RGGB", "G") == mosaic_offset("GRBG", "G") == (0.5, 0.5)


def test_a_levelled_mosaic_has_one_sky_and_the_same_light(rng):
    sky = mosaic("RGGB", (200, 200)).data + rng.normal(0, 1, (200, 200)).astype(np.float32)
    star = np.zeros_like(sky)
    star[90:100, 90:100] = 50
    levelled = level_mosaic(sky + star)
    assert np.std(sky) > 10 and np.std(levelled[:80]) == pytest.approx(1, abs=0.02)
    added = levelled[90:100, 90:100].sum() - 100 * np.median(levelled)
    assert added == pytest.approx(5000, abs=5 * np.sqrt(100 + 100 * 100 / 40000))


def test_what_has_no_mosaic_is_left_as_it_is(rng):
    image = np.full((30, 31), 5, np.float32)
    np.testing.assert_array_equal(level_mosaic(image), image)


@pytest.mark.parametrize(("pattern", "colour"), [("RGB", "R"), ("RGGB", "Y"), ("", "G")])
def test_an_unknown_mosaic_is_named(pattern, colour):
    with pytest.raises(DeclarationError, match="a mosaic"):
        mosaic_colour(mosaic("RGGB"), pattern, colour)
