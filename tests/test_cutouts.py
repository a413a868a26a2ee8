"""Pixels around stars, and squares of pixels."""

import numpy as np
import pytest

from potpyri_like.photometry.cutouts import (
    Ring,
    from_squares,
    in_blocks,
    is_clean,
    leaves,
    pixels_around,
    square_sums,
    squares,
    to_squares,
)


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(31, 47), (700, 900), (4, 25, 35)])
def test_square_sums_are_the_sums_of_squares(factor, shape, rng):
    data = rng.integers(0, 1000, shape).astype(np.float32)
    data.flags.writeable = False
    rows, columns = shape[-2] // factor, shape[-1] // factor
    whole = data[..., : rows * factor, : columns * factor]
    expected = whole.reshape(*shape[:-2], rows, factor, columns, factor).sum(axis=(-3, -1))
    assert np.array_equal(square_sums(data, factor), expected)
    assert np.array_equal(
        square_sums(np.broadcast_to(np.float32(3), shape), factor), expected * 0 + 3 * factor**2
    )


def test_a_square_is_marked_when_one_of_its_pixels_is(rng):
    marked = rng.random((60, 80)) < 0.05
    expected = marked.reshape(15, 4, 20, 4).any(axis=(1, 3))
    assert np.array_equal(square_sums(marked, 4), expected)


def test_positions_among_squares_are_those_of_their_centres():
    assert from_squares(np.array([[0.0, 3.0]]), 2).tolist() == [[0.5, 6.5]]
    xy = np.array([[12.3, -4.0], [0.0, 99.5]])
    assert from_squares(to_squares(xy, 3), 3) == pytest.approx(xy)


def test_squares_are_cut_out_and_filled_outside_the_image():
    image = np.arange(48.0).reshape(6, 8)
    cut = squares(image, np.array([[3, 2], [0, 5], [30, 3], [-9, -9]]), 1, outside=-1)
    assert np.array_equal(cut[0], image[1:4, 2:5])
    assert cut[1].tolist() == [[-1, 32, 33], [-1, 40, 41], [-1, -1, -1]]
    assert (cut[2:] == -1).all()
    assert squares(image, np.empty((0, 2), int), 2).shape == (0, 5, 5)


def test_a_ring_holds_the_pixels_at_its_distances():
    y, x = np.mgrid[:41, :41]
    for inner, outer in ((0, 0), (0, 3.5), (4, 9.2), (7.5, 7.9)):
        ring = Ring.between(inner, outer)
        distance = np.hypot(x - 20, y - 20)
        assert len(ring.dx) == np.count_nonzero((distance >= inner) & (distance <= outer))
        assert np.array_equal(ring.pixels(distance, [[20.3, 19.8]])[0], np.hypot(ring.dx, ring.dy))


def test_pixels_outside_are_nan_or_zero():
    values, dx, _ = pixels_around(np.ones((20, 20)), [[0, 10], [np.nan, 3]], 4)
    assert np.array_equal(np.isnan(values[0]), dx < 0)
    assert np.isnan(values[1]).all()
    marks, dx, _ = pixels_around(np.ones((20, 20), np.uint16), [[0, 10]], 4)
    assert np.array_equal(marks[0] == 0, dx < 0)


def test_a_circle_leaves_the_image_half_a_pixel_outside_the_last_centres():
    xy = np.array([[4.5, 25], [4.4, 25], [54.5, 25], [30, 44.6], [np.nan, 3]])
    assert leaves((50, 60), xy, 5).tolist() == [False, True, False, True, True]


def test_blocks_hold_every_row_once():
    rows = np.arange(50).reshape(25, 2)
    for blocks in (
        in_blocks(rows, 10_000),
        in_blocks(rows, 1e9),
        in_blocks(rows, 1, most=4),
        in_blocks(rows, 1),
    ):
        assert np.array_equal(np.concatenate(blocks), rows)
    assert [len(block) for block in in_blocks(rows[:0], 5)] == [0]


def test_a_mask_is_clean_when_nothing_is_marked():
    mask = np.zeros((9, 9), np.uint16)
    assert is_clean(mask)
    mask[8, 8] = 4
    assert not is_clean(mask)
    assert is_clean(np.broadcast_to(np.uint16(0), (9, 9)))
    assert not is_clean(np.broadcast_to(np.uint16(4), (9, 9)))
