"""Exact sums in circles, against photutils and against geometry."""

import numpy as np
import pytest
from photutils.aperture import CircularAperture, aperture_photometry

from potpyri_like.photometry.apertures import aperture_sums


def exact(image, xy, radius):
    return np.array(aperture_photometry(image.astype(float), CircularAperture(xy, radius))["aperture_sum"])


@pytest.mark.parametrize("level", [0.0, 5e4])
def test_sums_are_those_of_photutils_to_ten_digits(level):
    rng = np.random.default_rng(1)
    image = rng.normal(level, 30, (150, 160)).astype(np.float32)
    image[60:90, 60:90] += rng.exponential(2e4, (30, 30)).astype(np.float32)
    variance = (np.abs(image) + 25).astype(np.float32)
    xy, radii = rng.uniform(40, 110, (70, 2)), np.geomspace(0.6, 35, 20)
    sums, variances = aperture_sums(image, variance, xy, radii)
    for n, radius in enumerate(radii):
        assert np.all(
            np.abs(sums[:, n] - exact(image, xy, radius)) < 1e-10 * exact(np.abs(image), xy, radius)
        )
        assert variances[:, n] == pytest.approx(exact(variance, xy, radius), rel=1e-10)


@pytest.mark.parametrize("place", [0.0, 0.5, 0.25, 0.3, 0.5 + 1e-15, 0.5 - 1e-14])
@pytest.mark.parametrize(
    "radius", [0.1, 0.25, 0.5, np.sqrt(0.5), 1.0, np.sqrt(2), 1.5, 2.5, 5.0, 6.5, 10.0, 13.0]
)
def test_circles_through_corners_and_along_lines_are_exact_too(place, radius):
    image = np.random.default_rng(2).normal(size=(60, 60)).astype(np.float32)
    xy = np.array([(30 + place, 30 + other) for other in (0.0, 0.5, 0.1)])
    sums, _ = aperture_sums(image, image, xy, [radius])
    assert sums[:, 0] == pytest.approx(
        exact(image, xy, radius), abs=1e-6
    )  # photutils' own precision where a circle touches a line


def test_a_constant_image_gives_the_area_of_the_circle():
    level = np.broadcast_to(np.float32(3.7), (90, 90))
    xy, radii = np.random.default_rng(3).uniform(30, 60, (40, 2)), np.geomspace(0.05, 29, 30)
    sums, variances = aperture_sums(level, level, xy, radii)
    assert sums == pytest.approx(np.tile(float(level[0, 0]) * np.pi * radii**2, (40, 1)), rel=1e-11)
    assert np.array_equal(sums, variances)


def test_a_star_s_sums_do_not_depend_on_the_other_stars_nor_on_the_other_radii():
    rng = np.random.default_rng(4)
    image = rng.normal(100, 10, (200, 200)).astype(np.float32)
    xy, radii = rng.uniform(25, 175, (80, 2)), np.array([9.0, 2.5, 20.0, 4.0])
    sums, _ = aperture_sums(image, image, xy, radii)
    some, _ = aperture_sums(image, image, xy[33:40], radii)
    assert some == pytest.approx(sums[33:40], rel=1e-11)
    other, _ = aperture_sums(image, image, xy, radii[[3, 2]])
    assert other == pytest.approx(sums[:, [3, 2]], rel=1e-11)


def test_an_aperture_that_leaves_the_image_has_no_sum():
    ones = np.ones((50, 60), np.float32)
    xy = [[4.5, 25], [4.4, 25], [54.5, 25], [-30, 25], [np.nan, 3]]
    sums, variances = aperture_sums(ones, ones, xy, [2, 5])
    assert np.isfinite(sums).tolist() == [[True, True], [True, False], [True, True], [False] * 2, [False] * 2]
    assert np.array_equal(np.isfinite(variances), np.isfinite(sums))
    assert sums[0] == pytest.approx(np.pi * np.array([4, 25]))


def test_a_pixel_that_is_not_finite_spoils_the_apertures_that_touch_it():
    image = np.ones((60, 60), np.float32)
    image[30, 34] = np.nan
    variance = np.ones_like(image)
    variance[12, 10] = np.inf
    sums, variances = aperture_sums(image, variance, [[30, 30], [10, 10], [30, 12]], [1, 3, 3.6, 6])
    expected = [[True, True, False, False], [True, False, False, False], [True] * 4]
    assert np.isfinite(sums).tolist() == expected
    assert np.isfinite(variances).tolist() == expected
    assert sums[0, 1] == pytest.approx(9 * np.pi)


def test_no_star_has_no_sum_and_nothing_is_changed():
    image = np.random.default_rng(5).normal(size=(40, 40)).astype(np.float32)
    before = image.copy()
    assert aperture_sums(image, image, np.empty((0, 2)), [2, 3])[0].shape == (0, 2)
    aperture_sums(image, image, [[20, 20]], [2, 3])
    assert np.array_equal(image, before)
