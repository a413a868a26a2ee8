"""Images moved onto another grid, against scipy and the geometry of simulated stars."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform, center_of_mass

from potpyri_like.errors import PixelError
from potpyri_like.frame import MaskBit
from potpyri_like.imaging import Pixels, warp

IDENTITY = np.eye(2)


def turned(degrees, scale=1.0):
    angle = np.radians(degrees)
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def as_pixels(data, variance=1.0):
    data = np.asarray(data, np.float32)
    return Pixels(data, np.full(data.shape, variance, np.float32), np.zeros(data.shape, np.uint16))


def star(shape, x, y, fwhm=6.0):
    rows, cols = np.indices(shape)
    return 1e5 * np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * (fwhm / 2.35482) ** 2))


def test_the_identity_changes_nothing(rng):
    pixels = as_pixels(rng.normal(size=(40, 50)))
    for plane, was in zip(warp(pixels, IDENTITY, (0, 0))[0], pixels, strict=True):
        np.testing.assert_array_equal(plane, was)


def test_a_shift_by_whole_pixels_moves_values_exactly_and_leaves_bad_edges(rng):
    pixels = as_pixels(rng.normal(size=(40, 50)))
    image, _ = warp(pixels, IDENTITY, (3, -2))  # right by 3, down by 2
    np.testing.assert_array_equal(image.data[:-2, 3:], pixels.data[2:, :-3])
    inside = np.zeros((40, 50), dtype=bool)
    inside[:-2, 3:] = True
    np.testing.assert_array_equal(image.mask, np.where(inside, 0, MaskBit.BAD))
    assert not image.data[~inside].any()


@pytest.mark.parametrize("matrix", [turned(0.3), turned(30), turned(180), turned(5, 1.4), np.diag([1, -1])])
def test_a_star_lands_where_the_map_leads_it(matrix):
    place = np.array([70.3, 52.8])
    offset = np.array([64.2, 61.7]) - matrix @ place + (1.5, -0.8)
    image, _ = warp(as_pixels(star((120, 130), *place)), matrix, offset)
    y, x = center_of_mass(image.data)
    np.testing.assert_allclose([x, y], matrix @ place + offset, atol=2e-3)


@pytest.mark.parametrize("order", [0, 1])
def test_values_are_those_of_scipy(rng, order):
    pixels = as_pixels(rng.normal(100, 10, (80, 90)))
    matrix, offset = turned(20, 1.1), np.array([20.3, -11.2])
    image, _ = warp(pixels, matrix, offset, shape=(100, 70), order=order)
    inverse = np.linalg.inv(matrix)
    swapped = inverse[::-1, ::-1]  # scipy counts rows first
    wanted = affine_transform(
        pixels.data.astype(float),
        swapped,
        -swapped @ offset[::-1],
        (100, 70),
        order=order,
        mode="constant",
        cval=np.nan,
    )
    # the nearest pixel reaches half a pixel beyond its centre; scipy stops at the centres
    inside = (image.mask == 0) & np.isfinite(wanted)
    assert inside.sum() > 2000 and inside.sum() == np.isfinite(wanted).sum()
    np.testing.assert_allclose(image.data[inside] * 1.1**2, wanted[inside], rtol=1e-4)


def test_flux_is_conserved_when_the_scale_changes():
    data = star((200, 200), 100.2, 99.1, fwhm=8)
    for scale in (0.6, 1.0, 1.7):
        matrix = turned(12, scale)
        offset = np.array([170, 170]) - matrix @ [100, 100]
        image, _ = warp(as_pixels(data), matrix, offset, shape=(340, 340))
        assert image.data.sum() == pytest.approx(data.sum(), rel=2e-3)


@pytest.mark.parametrize(
    ("turn", "offset"), [(turned(3), (60, -5)), (turned(3, 1.3), (60, -5)), (IDENTITY, (0.3, 0.5))]
)
def test_the_variance_is_that_of_a_pixel_and_with_the_covariance_that_of_an_aperture(rng, turn, offset):
    """White noise through the warp: sums over squares of 20 px, margins of the squares included."""
    side, boxes = 20, 60
    image, covariance = warp(
        as_pixels(rng.normal(0, 3, (1300, 1300)), 9.0), turn, offset, shape=(side * boxes, side * boxes)
    )
    inside = (image.mask == 0).reshape(boxes, side, boxes, side).all(axis=(1, 3))
    sums, stated = (
        plane.reshape(boxes, side, boxes, side).sum(axis=(1, 3))[inside]
        for plane in (image.data, image.variance)
    )
    pulls = (image.data / np.sqrt(np.where(image.mask == 0, image.variance, np.inf)))[image.mask == 0]
    assert pulls.std() == pytest.approx(1, abs=0.01)
    # interpolation smears the rim of the square: up to half a pixel of its 80, of which a part is lost
    assert sums.var() == pytest.approx(covariance * stated.mean(), rel=0.04 + 4 * np.sqrt(2 / inside.sum()))


def test_between_all_places_two_neighbours_share_what_two_ninths_say(rng):
    """Of bilinear weights the mean square is 4/9, and the nearest pixel has no neighbour."""
    image = as_pixels(rng.normal(size=(400, 400)))
    assert warp(image, turned(20), (120, -40))[1] == pytest.approx(9 / 4, rel=0.01)
    assert warp(image, turned(20), (120, -40), order=0)[1] == pytest.approx(1)


def test_every_bit_that_contributes_is_carried(rng):
    pixels = as_pixels(rng.normal(size=(30, 30)))
    pixels.mask[10, 10], pixels.mask[10, 11] = MaskBit.SATURATED, MaskBit.HOT
    image, _ = warp(pixels, IDENTITY, (0.25, 0))
    both = MaskBit.SATURATED | MaskBit.HOT
    np.testing.assert_array_equal(image.mask[10, 9:14], [0, MaskBit.SATURATED, both, MaskBit.HOT, 0])
    assert not image.mask[[9, 11], 1:].any()


def test_a_neighbour_of_weight_zero_gives_no_bit(rng):
    pixels = as_pixels(rng.normal(size=(30, 30)))
    pixels.mask[10, 10] = MaskBit.BAD
    image, _ = warp(pixels, IDENTITY, (1 + 1e-9, 2 - 1e-9))
    assert image.mask[12, 11] == MaskBit.BAD
    assert np.count_nonzero(image.mask[2:, 1:]) == 1


def test_the_result_has_the_shape_that_is_asked_for(rng):
    image, _ = warp(as_pixels(rng.normal(size=(30, 40))), IDENTITY, (5, 6), shape=(50, 60))
    assert image.data.shape == (50, 60)
    assert (image.mask[6:36, 5:45] == 0).all() and np.count_nonzero(image.mask == 0) == 30 * 40
    assert [plane.dtype for plane in image] == [np.float32, np.float32, np.uint16]


def test_images_of_one_row_or_column_can_be_warped():
    image, _ = warp(as_pixels(np.arange(5.0)[None, :]), IDENTITY, (0.5, 0))
    np.testing.assert_allclose(image.data[0, 1:], [0.5, 1.5, 2.5, 3.5])


@pytest.mark.parametrize(
    ("matrix", "order"), [(np.zeros((2, 2)), 1), (np.full((2, 2), np.nan), 1), (IDENTITY, 3)]
)
def test_what_cannot_be_inverted_is_rejected(matrix, order):
    with pytest.raises(PixelError, match="cannot warp"):
        warp(as_pixels(np.ones((4, 4))), matrix, (0, 0), order=order)


def test_the_image_and_the_map_are_left_alone(rng):
    pixels, matrix, offset = as_pixels(rng.normal(size=(30, 30))), turned(4), np.array([1.0, 2.0])
    before = [each.copy() for each in (*pixels, matrix, offset)]
    warp(pixels, matrix, offset)
    for each, was in zip((*pixels, matrix, offset), before, strict=True):
        np.testing.assert_array_equal(each, was)
