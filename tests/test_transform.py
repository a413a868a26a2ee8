"""Linear transforms between pixels."""

import numpy as np
import pytest

from potpyri_like.astrometry.transform import Transform, fit_affine, fit_similarity
from potpyri_like.errors import RegistrationError


def rotated(degrees, *, scale=1.0, offset=(0.0, 0.0)):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return Transform(scale * np.array([[c, -s], [s, c]]), np.array(offset))


@pytest.fixture
def xy():
    return np.random.default_rng(1).uniform(0, 1000, (40, 2))


def test_a_quarter_turn_brings_x_to_y():
    assert rotated(90)([[1, 0], [0, 1]]) == pytest.approx(np.array([[0, 1], [-1, 0]]))


def test_the_inverse_undoes_the_transform(xy):
    there = Transform(np.array([[1.1, 0.2], [-0.3, 0.9]]), np.array([30.0, -7.0]))
    assert there.inverse()(there(xy)) == pytest.approx(xy)


def test_then_applies_the_first_transform_first():
    shift_then_turn = Transform(np.eye(2), np.array([1.0, 0.0])).then(rotated(90))
    assert shift_then_turn([[0, 0]]) == pytest.approx(np.array([[0, 1]]))


def test_the_identity_leaves_positions_where_they_are(xy):
    assert np.array_equal(Transform.identity()(xy), xy)


@pytest.mark.parametrize("degrees", [-170, -90, -0.2, 0, 33, 180])
@pytest.mark.parametrize("flip", [False, True])
def test_a_similarity_is_recovered_with_its_scale_rotation_and_parity(xy, degrees, flip):
    mirror = Transform(np.diag([1, -1 if flip else 1]), np.zeros(2))
    true = mirror.then(rotated(degrees, scale=1.07, offset=(12, -300)))
    found = fit_similarity(xy, true(xy), flip=flip)
    assert found(xy) == pytest.approx(true(xy))
    assert found.scale == pytest.approx(1.07)
    assert np.cos(np.radians(found.rotation - degrees)) == pytest.approx(1)
    assert found.flipped is flip


def test_an_affine_transform_is_recovered(xy):
    true = Transform(np.array([[1.01, 0.002], [-0.004, 0.99]]), np.array([5.0, 8.0]))
    found = fit_affine(xy, true(xy))
    assert found.matrix == pytest.approx(true.matrix)
    assert found.offset == pytest.approx(true.offset)


@pytest.mark.parametrize("fit", [fit_similarity, fit_affine])
def test_a_star_without_weight_does_not_count(xy, fit):
    true, weights = rotated(10, offset=(1, 2)), np.ones(len(xy))
    target = true(xy)
    target[3] += 500
    weights[3] = 0
    assert fit(xy, target, weights=weights)(xy) == pytest.approx(true(xy))


def test_the_errors_of_the_fitted_shift_are_those_of_the_mean(xy):
    rng = np.random.default_rng(2)
    shifts = [fit_similarity(xy, xy + rng.normal(0, 0.2, xy.shape))(xy).mean(axis=0) for _ in range(400)]
    assert np.std(shifts - xy.mean(axis=0)) == pytest.approx(0.2 / np.sqrt(len(xy)), rel=0.1)


def test_too_few_stars_are_rejected():
    with pytest.raises(RegistrationError, match="1 matched stars, 2 are needed"):
        fit_similarity([[1, 2]], [[3, 4]])
    with pytest.raises(RegistrationError, match="2 matched stars, 3 are needed"):
        fit_affine([[1, 2], [3, 4]], [[3, 4], [5, 6]])


def test_stars_on_one_point_or_one_line_are_rejected():
    with pytest.raises(RegistrationError, match="on one point"):
        fit_similarity([[1, 2], [1, 2]], [[3, 4], [5, 6]])
    line = np.outer(np.arange(5), [1.0, 2.0])
    with pytest.raises(RegistrationError, match="on one line"):
        fit_affine(line, line)


def test_lists_of_different_length_are_rejected(xy):
    with pytest.raises(RegistrationError, match="shapes"):
        fit_similarity(xy, xy[:-1])


def test_positions_are_not_changed(xy):
    before = xy.copy()
    fit_affine(xy, rotated(3)(xy))
    rotated(3)(xy)
    assert np.array_equal(xy, before)


def test_half_a_turn_leads_every_pixel_to_where_it_is_in_the_image_upside_down(rng):
    image = rng.normal(size=(7, 12))
    upside_down = image[::-1, ::-1]
    y, x = np.indices(image.shape)
    places = Transform.half_turn(image.shape)(np.column_stack([x.ravel(), y.ravel()])).astype(int)
    np.testing.assert_array_equal(upside_down[places[:, 1], places[:, 0]], image.ravel())
