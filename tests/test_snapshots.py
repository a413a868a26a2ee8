"""A part of a frame, small enough to be kept: its pixels, and where its stars are in it."""

import numpy as np
import pytest

from potpyri_like.encoding import decode, encode
from potpyri_like.imaging.snapshots import snapshot

SHAPE = (90, 120)


def star_image(x, y, *, sigma=3.0):
    rows, columns = np.indices(SHAPE)
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def centroid(image):
    rows, columns = np.indices(image.shape)
    weight = np.nan_to_num(image)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


def test_the_square_is_that_of_the_frame():
    image = np.random.default_rng(1).normal(size=SHAPE)
    cut = snapshot(image, np.zeros((0, 2)), centre=(50.3, 40.4), half=10)
    assert cut.origin == (40, 30)
    np.testing.assert_array_equal(cut.image, image[30:51, 40:61].astype(np.float32))
    assert cut.image.dtype == np.float32


@pytest.mark.parametrize("binning", [1, 2, 3, 4])
@pytest.mark.parametrize("centre", [(60, 45), (3, 2), (118, 88)])
def test_a_star_is_where_its_place_says(binning, centre):
    x, y = 61.37, 43.81
    xy = np.array([[x, y], [np.nan, 5.0]])
    cut = snapshot(star_image(x, y), xy, centre=centre, half=90, binning=binning)
    np.testing.assert_allclose(cut.places[0], centroid(cut.image), atol=1e-3)
    assert np.isnan(cut.places[1, 0])


def test_binning_takes_means_without_the_pixels_that_are_nan():
    image = np.arange(36.0).reshape(6, 6)
    image[2, 2] = np.nan
    image[0:2, 0:2] = np.nan
    cut = snapshot(image, [], centre=(3, 3), half=2, binning=2)
    assert cut.origin == (0, 0)
    assert cut.image.shape == (3, 3)
    assert cut.image[1, 1] == np.float32(56 / 3)  # of 15, 20 and 21
    assert np.isnan(cut.image[0, 0])
    assert cut.image[2, 2] == 31.5  # of 28, 29, 34 and 35


@pytest.mark.parametrize(("half", "binning"), [(10, 1), (10, 4), (7, 3), (0, 1), (0, 5)])
def test_the_square_reaches_as_far_as_asked_on_each_side(half, binning):
    cut = snapshot(np.zeros(SHAPE), [], centre=(60, 45), half=half, binning=binning)
    low = np.array(cut.origin)
    high = low + np.array(cut.image.shape[::-1]) * binning - 1
    assert (low <= np.array([60, 45]) - half).all()
    assert (high >= np.array([60, 45]) + half).all()
    assert np.isfinite(cut.image).all()


def test_outside_the_frame_is_nan():
    cut = snapshot(np.ones(SHAPE), [], centre=(0, 89), half=5)
    assert np.isnan(cut.image[:, :5]).all()
    assert np.isnan(cut.image[6:]).all()
    assert (cut.image[:6, 5:] == 1).all()


@pytest.mark.parametrize("centre", [(np.nan, 3.0), (np.inf, -np.inf), (-500, 20), (1e30, 0)])
def test_a_place_outside_the_frame_or_not_known_gives_an_empty_picture_of_the_same_size(centre):
    cut = snapshot(np.ones(SHAPE), [[1, 2]], centre=centre, half=8, binning=2)
    assert cut.image.shape == snapshot(np.ones(SHAPE), [], centre=(50, 50), half=8, binning=2).image.shape
    assert np.isnan(cut.image).all()


def test_the_frame_is_left_alone():
    image, xy = star_image(30, 30), np.array([[30.0, 30.0]])
    before = image.copy()
    cut = snapshot(image, xy, centre=(30, 30), half=5)
    cut.image[:] = 7
    cut.xy[:] = 7
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(xy, [[30, 30]])


def test_its_fields_can_be_kept():
    cut = snapshot(
        star_image(3, 3), [[3, 3]], centre=(3, 3), half=9, binning=2, time=2460729.9, label="☆.fit"
    )
    back = decode(encode(vars(cut)))
    np.testing.assert_array_equal(back.pop("image"), cut.image)
    np.testing.assert_array_equal(back.pop("xy"), cut.xy)
    assert back == {"origin": cut.origin, "binning": 2, "time": 2460729.9, "label": "☆.fit"}
