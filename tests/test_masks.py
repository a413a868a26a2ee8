"""Contours of stars and sums over parts of pixels."""

import numpy as np
import pytest
from photutils.aperture import CircularAperture
from scipy.ndimage import binary_dilation

from potpyri_like.photometry.masks import Template, circles, contours, layered_sums, parts
from potpyri_like.photometry.psf import Profile


def image_of(stars, shape=(160, 160), sky=100.0):
    y, x = np.indices(shape)
    return sky + sum(flux * profile.light(x - x0, y - y0) for profile, x0, y0, flux in stars)


def test_the_contour_is_where_the_star_falls_to_a_part_of_its_peak():
    profile = Profile(8.0, 0.4, 30.0, 3.0)
    image = image_of([(profile, 80.0, 75.0, 1e5)])
    found = contours(Template("ellipse", image, np.array([[80.0, 75.0]]), 8.0), depth=0.25, layers=3)
    low = found.low[0]
    cut = image[low[1] : low[1] + found.layers.shape[1], low[0] : low[0] + found.layers.shape[2]] - 100
    assert np.array_equal(found.layers[0] == 0, cut > 0.25 * cut.max())


def test_a_layer_is_one_growth_by_three_by_three_pixels():
    image = image_of([(Profile(6.0, 0.3, 20.0), 60.0, 60.0, 1e5)])
    grown = contours(Template("layers", image, np.array([[60.0, 60.0]]), 6.0), depth=0.2, layers=4).layers[0]
    for n in range(4):
        assert np.array_equal(grown <= n + 1, binary_dilation(grown <= n, np.ones((3, 3))))


def test_the_contour_of_a_star_does_not_hold_its_neighbour():
    star = Profile(6.0)
    image = image_of([(star, 60.0, 60.0, 1e5), (star, 78.0, 60.0, 1e5)])
    found = contours(Template("neighbours", image, np.array([[60.0, 60.0]]), 6.0), depth=0.2, layers=1)
    alone = contours(
        Template("alone", image_of([(star, 60.0, 60.0, 1e5)]), np.array([[60.0, 60.0]]), 6.0),
        depth=0.2,
        layers=1,
    )
    assert np.count_nonzero(found.layers == 0) == pytest.approx(np.count_nonzero(alone.layers == 0), rel=0.05)


def test_a_star_that_does_not_stand_out_has_a_circle():
    rng = np.random.default_rng(1)
    image = rng.normal(100, 10, (120, 120))
    image[60, 60] = 80
    found = contours(Template("empty", image, np.array([[60.0, 60.0]]), 6.0), depth=0.2, layers=0)
    assert np.count_nonzero(found.layers == 0) == pytest.approx(np.pi * 4.5**2, rel=0.1)


def test_a_template_is_looked_at_once():
    image, xy = image_of([(Profile(6.0), 60.0, 60.0, 1e5)]), np.array([[60.0, 60.0]])
    first = contours(Template("once", image, xy, 6.0), depth=0.2, layers=2)
    assert contours(Template("once", image.copy(), xy.copy(), 6.0), depth=0.2, layers=2) is first
    assert contours(Template("twice", image, xy, 6.0), depth=0.2, layers=2) is not first


@pytest.mark.parametrize("subpixels", [1, 3, 5])
def test_sums_over_parts_of_pixels_are_those_of_photutils(subpixels):
    rng = np.random.default_rng(2)
    image, variance = rng.uniform(0, 9, (2, 60, 70))
    xy, radii = np.array([[30.3, 28.6], [41.0, 33.49]]), np.array([2.53, 6.07, 9.02])
    centre = np.rint(xy).astype(int)
    x, y = (parts(np.arange(-12, 13) + c[:, None], subpixels) for c in (centre - xy).T)
    sums, variances, area = layered_sums(image, variance, centre - 12, circles(x, y, radii), 3)
    for n, radius in enumerate(radii):
        options = {"method": "subpixel", "subpixels": subpixels}
        masks = CircularAperture(xy, radius).to_mask(**options)
        for plane, found in ((image, sums), (variance, variances), (np.ones_like(image), area)):
            expected = [mask.multiply(plane).sum() for mask in masks]
            assert found[:, n] == pytest.approx(expected, rel=1e-9)


def test_a_mask_that_leaves_the_image_is_nan_and_smaller_ones_are_not():
    image = np.ones((40, 40))
    centre, radii = np.array([[5, 20]]), np.array([3.0, 8.0])
    x, y = (parts(np.arange(-9, 10) + np.zeros((1, 1)), 3) for _ in "xy")
    sums, _, area = layered_sums(image, image, centre - 9, circles(x, y, radii), 2)
    assert sums[0, 0] == pytest.approx(area[0, 0]) and np.isnan(sums[0, 1])
