"""The 3x3 median and the sorting networks, against scipy, numpy and the 0-1 principle."""

from itertools import product

import numpy as np
import pytest
from scipy.ndimage import generic_filter, median_filter

from potpyri_like.errors import PixelError, ReductionError
from potpyri_like.imaging import Counts, median3x3, median_network, sorting_network
from potpyri_like.imaging.networks import LARGEST, apply_network, sort_down


def run(network, values):
    values = list(values)
    for a, b in network:
        if values[a] > values[b]:
            values[a], values[b] = values[b], values[a]
    return values


@pytest.mark.parametrize("n", range(1, 11))
def test_a_network_that_sorts_every_vector_of_0_and_1_sorts_everything(n):
    for vector in product((0, 1), repeat=n):
        assert run(sorting_network(n), vector) == sorted(vector)


@pytest.mark.parametrize("n", range(1, 11))
def test_the_pruned_network_brings_the_middle_of_every_0_1_vector_to_its_place(n):
    middle = [(n - 1) // 2, n // 2]
    for vector in product((0, 1), repeat=n):
        done = run(median_network(n), vector)
        assert [done[i] for i in middle] == [sorted(vector)[i] for i in middle]


def test_the_median_of_twenty_needs_fewer_steps_than_sorting_them():
    assert len(median_network(20)) < len(sorting_network(20)) <= 103


def test_networks_are_made_once():
    assert sorting_network(20) is sorting_network(20)


@pytest.mark.parametrize("n", [1, 2, 17, 33, LARGEST, LARGEST + 1])
def test_values_are_sorted_down_the_first_axis(rng, n):
    values = rng.integers(0, 50, (n, 31))
    before = values.copy()
    np.testing.assert_array_equal(sort_down(values), np.sort(values, axis=0))
    np.testing.assert_array_equal(values, before)


def test_a_nan_spoils_the_median_wherever_it_stands():
    for n in range(2, 12):
        values = np.where(np.eye(n, dtype=bool), np.nan, np.arange(n, dtype=float)[:, None])
        rows = apply_network(values, median_network(n))
        assert np.isnan(rows[(n - 1) // 2]).all() and np.isnan(rows[n // 2]).all()


TYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64"]
SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (1, 2), (3, 3), (33, 65), (130, 1027)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", TYPES)
def test_it_is_the_scipy_median_filter_bit_for_bit(rng, kind, shape):
    image = rng.integers(0, 200, shape).astype(kind)
    if image.dtype.kind in "if":
        image = image - image.dtype.type(100)
    result = median3x3(image)
    wanted = median_filter(image, size=3, mode="reflect")
    assert result.dtype == image.dtype and result.tobytes() == wanted.tobytes()


@pytest.mark.slow
def test_the_bands_leave_no_seam(rng):
    image = rng.normal(size=(2500, 700))
    np.testing.assert_array_equal(median3x3(image), median_filter(image, size=3, mode="reflect"))


@pytest.mark.parametrize("kind", [">u2", ">i4", ">f4"])
def test_fits_byte_order_gives_the_same_values_in_native_order(rng, kind):
    image = rng.integers(0, 30000, (40, 50)).astype(kind)
    native = image.astype(image.dtype.newbyteorder("="))
    result = median3x3(image)
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, median_filter(native, size=3, mode="reflect"))


@pytest.mark.parametrize("turn", [np.transpose, np.fliplr, lambda image: image[::2, ::3]])
def test_views_of_any_layout_give_a_contiguous_result(rng, turn):
    image = turn(rng.integers(0, 30000, (61, 47)).astype(np.uint16))
    result = median3x3(image)
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, median_filter(image, size=3, mode="reflect"))


def masked_median(image):
    def good_median(nine):
        return np.nan if np.isnan(nine).all() else np.nanmedian(nine)

    return generic_filter(image, good_median, size=3, mode="nearest")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 1.0])
def test_nan_pixels_do_not_count(rng, share):
    image = rng.normal(100, 10, (40, 30)).astype(np.float32)
    image[rng.random(image.shape) < share] = np.nan
    np.testing.assert_allclose(median3x3(image), masked_median(image), rtol=1e-7)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_masked_pixels_do_not_count(rng, kind):
    image = rng.integers(0, 65000, (40, 30)).astype(kind)
    mask = rng.random(image.shape) < 0.4
    result = median3x3(image, mask=mask)
    assert result.dtype.kind == "f"
    np.testing.assert_array_equal(result, masked_median(np.where(mask, np.nan, image)))


def test_infinite_values_are_values(rng):
    image = np.where(rng.random((30, 30)) < 0.2, np.inf, rng.normal(size=(30, 30)))
    np.testing.assert_array_equal(median3x3(image), median_filter(image, size=3, mode="reflect"))


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 3)])
def test_only_an_image_has_a_3x3_median(shape):
    with pytest.raises(PixelError, match="2-D") as caught:
        median3x3(np.zeros(shape))
    assert isinstance(caught.value, ReductionError)


def test_the_image_and_its_mask_are_left_alone(rng):
    image, mask = rng.normal(size=(20, 20)), rng.random((20, 20)) < 0.2
    image[3, 4] = np.nan
    before = image.copy(), mask.copy()
    median3x3(image)
    median3x3(image, mask=mask)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


COUNTS = [
    Counts(0.0, 1.0),
    Counts(100.3, 1.27),
    Counts(-65535.0, 1 / 3),
    Counts(65535.0, 7e-6),
    Counts(31.5, 9e5),
]


@pytest.mark.parametrize("counts", COUNTS, ids=str)
@pytest.mark.parametrize("shape", [*SHAPES, (700, 300)])
def test_the_median_by_way_of_counts_is_that_of_the_image_bit_for_bit(rng, counts, shape):
    whole = rng.integers(0, 65536, shape).astype(np.float32)
    image = (whole - np.float32(counts.level)) * np.float32(counts.gain)
    wanted = median_filter(image, size=3, mode="reflect")
    assert median3x3(image, counts=counts).tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    "wrong", [Counts(0.5, 1.0), Counts(0.0, 3.0), Counts(0.0, 0.0), Counts(np.nan, 1.0), Counts(500.0, -1.0)]
)
def test_an_image_that_was_not_counted_that_way_is_sorted_as_it_is(rng, wrong):
    image = rng.integers(0, 1000, (60, 70)).astype(np.float32)
    np.testing.assert_array_equal(
        median3x3(image, counts=wrong), median_filter(image, size=3, mode="reflect")
    )


def test_counts_and_a_mask_leave_masked_pixels_out(rng):
    image, mask = rng.integers(0, 1000, (20, 20)).astype(np.float32), rng.random((20, 20)) < 0.2
    np.testing.assert_array_equal(
        median3x3(image, mask=mask, counts=Counts(0.0, 1.0)), median3x3(image, mask=mask)
    )
