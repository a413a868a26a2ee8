"""Hot pixels, what their removal costs, and bad pixels filled, on simulated stars."""

import numpy as np
import pytest
from scipy.ndimage import median_filter

from potpyri_like.errors import PixelError
from potpyri_like.frame import MaskBit
from potpyri_like.imaging import (
    MEDIAN_COVARIANCE,
    MEDIAN_NOISE_FACTOR,
    Counts,
    Pixels,
    fill_bad,
    filter_hot_pixels,
    flux_cost,
)

READ_NOISE, SKY = 1.5, 100.0


def as_pixels(data, variance=READ_NOISE**2):
    return Pixels(
        np.asarray(data, np.float32),
        np.full(np.shape(data), variance, np.float32),
        np.zeros(np.shape(data), np.uint16),
    )


def star(shape, x, y, fwhm, flux):
    rows, cols = np.indices(shape)
    sigma = fwhm / 2.35482
    return flux * np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)


def observed(rng, light):
    return rng.poisson(light) + rng.normal(0, READ_NOISE, light.shape)


def test_the_full_filter_is_the_published_one_bit_for_bit(rng):
    pixels = as_pixels(rng.normal(100, 10, (60, 70)))
    filtered = filter_hot_pixels(pixels)
    np.testing.assert_array_equal(filtered.data, median_filter(pixels.data, size=3, mode="reflect"))
    np.testing.assert_array_equal(filtered.mask, pixels.mask)


def test_bad_pixels_are_filled_from_good_neighbours_and_stay_marked(rng):
    pixels = as_pixels(rng.normal(100, 10, (60, 70)))
    pixels.mask[10:20, 30] = MaskBit.BAD
    pixels.mask[40:50, 40:50] = MaskBit.BAD
    pixels.data[pixels.mask != 0] = 0
    pixels.mask[5, 5] = MaskBit.SATURATED
    filtered = filter_hot_pixels(pixels)
    good = pixels.mask != MaskBit.BAD
    wanted = median_filter(pixels.data, size=3, mode="reflect")
    np.testing.assert_array_equal(filtered.data[good], wanted[good])
    for row in range(10, 20):
        nine = pixels.data[row - 1 : row + 2, 29:32]
        assert filtered.data[row, 30] == np.median(nine[good[row - 1 : row + 2, 29:32]])
    assert np.isfinite(filtered.data).all()
    np.testing.assert_array_equal(filtered.mask, pixels.mask)


def test_the_variance_is_that_of_a_pixel_and_with_the_covariance_that_of_an_aperture(rng):
    """Squares of 18 px have the area of a circle of radius 10 px."""
    side, boxes = 18, 100
    image = filter_hot_pixels(as_pixels(rng.normal(0, 10, (side * boxes, side * boxes)), 100.0))
    sums = image.data.reshape(boxes, side, boxes, side).sum(axis=(1, 3))
    stated = MEDIAN_COVARIANCE * image.variance[:side, :side].sum()
    # 3.5 % of the error is 7 % of the variance; the rest is the error of a variance of 10 000 squares
    assert sums.var() == pytest.approx(stated, rel=0.07 + 4 * np.sqrt(2 / boxes**2))
    assert stated == pytest.approx(MEDIAN_NOISE_FACTOR * 100 * side**2, rel=1e-4)
    assert image.data.var() == pytest.approx(image.variance.mean(), rel=0.02)
    assert image.data.std() == pytest.approx(0.41 * 10, rel=0.01)  # published: the pixel noise drops to 0.41


@pytest.mark.parametrize(
    ("fwhm", "published", "half_a_digit"),
    [(2.5, 0.32, 0.005), (4, 0.11, 0.005), (6, 0.037, 0.0006), (8, 0.017, 0.0005), (14, 0.0034, 0.00005)],
)
def test_the_flux_that_the_filter_costs_is_the_published_one(fwhm, published, half_a_digit):
    assert flux_cost(fwhm) == pytest.approx(published, abs=half_a_digit)


def test_the_flux_cost_is_what_a_filtered_star_loses(rng):
    costs = []
    for _ in range(30):
        x, y = 40 + rng.uniform(-0.5, 0.5, 2)
        light = star((81, 81), x, y, 4.0, 1e6)
        costs.append(1 - filter_hot_pixels(as_pixels(light)).data.sum() / light.sum())
    # published scatter with the sub-pixel position: 0.7 %
    assert np.mean(costs) == pytest.approx(flux_cost(4.0), abs=4 * 0.007 / np.sqrt(30))


@pytest.mark.parametrize("fwhm", [0, -1, np.nan, np.inf])
def test_a_star_has_a_width(fwhm):
    with pytest.raises(PixelError, match="FWHM"):
        flux_cost(fwhm)


def test_none_is_the_image_itself():
    pixels = as_pixels(np.ones((4, 4)))
    assert filter_hot_pixels(pixels, mode="none") is pixels


def test_an_unknown_filter_is_rejected():
    with pytest.raises(PixelError, match="'median', 'selective' or 'none'"):
        filter_hot_pixels(as_pixels(np.ones((4, 4))), mode="full")


def field(rng, fwhm, *, hot_share=1e-3):
    """A sky gradient, 25 bright stars far apart, hot pixels of 100 to 5000 electrons."""
    shape = (500, 500)
    light = SKY * np.linspace(0.8, 1.2, 500)[:, None] * np.ones(shape)
    for x in range(50, 500, 100):
        for y in range(50, 500, 100):
            light += star(shape, *(np.array([x, y]) + rng.uniform(-0.5, 0.5, 2)), fwhm, 5e5)
    hot = rng.random(shape) < hot_share
    clean = observed(rng, light)
    return clean, hot, clean + np.where(hot, rng.uniform(100, 5000, shape), 0)


@pytest.mark.parametrize("fwhm", [2.5, 4, 8])
def test_the_selective_filter_finds_hot_pixels_and_spares_stars(rng, fwhm):
    clean, hot, image = field(rng, fwhm)
    done = filter_hot_pixels(as_pixels(image), mode="selective")
    found = (done.mask & MaskBit.HOT) != 0
    rows, cols = np.indices(image.shape)
    near_star = np.hypot((rows % 100) - 50, (cols % 100) - 50) < 2 * fwhm + 2
    assert found[hot & ~near_star].mean() > 0.97
    # 5 sigma of Poisson noise above a median that is itself noisy: of the order of 1e-5 of the sky
    assert (found & ~hot & ~near_star).sum() < 1e-4 * image.size
    # no star loses what its photons would let us see (0.14 % of the flux)
    lost = np.where(hot, 0, image - done.data) * near_star
    assert np.abs(lost.reshape(5, 100, 5, 100).sum(axis=(1, 3))).max() < 1e-3 * 5e5
    np.testing.assert_array_equal(done.data[~found], np.float32(image)[~found])
    # what stands in for a hot pixel is as good as the sky beside it
    replaced = found & ~near_star
    assert np.abs(done.data[replaced] - clean[replaced]).std() < 3 * np.sqrt(SKY)
    np.testing.assert_array_equal(done.variance, np.float32(READ_NOISE**2))


def test_without_the_contrast_rule_sharp_stars_would_be_eaten(rng):
    clean, _, image = field(rng, 2.5, hot_share=0)
    eaten = filter_hot_pixels(as_pixels(image), mode="selective", contrast=0.0)
    spared = filter_hot_pixels(as_pixels(image), mode="selective")
    stars = [np.s_[y - 5 : y + 6, x - 5 : x + 6] for x in range(50, 500, 100) for y in range(50, 500, 100)]
    true, left, kept = (sum(data[each].sum() for each in stars) for data in (clean, eaten.data, spared.data))
    assert left < 0.8 * true  # published: 32 % of the flux
    assert kept == pytest.approx(true, rel=1e-4)


def test_warm_pixels_of_a_dark_are_found_about_a_level_of_zero(rng):
    warm = rng.random((300, 300)) < 0.002
    data = rng.normal(0, READ_NOISE, (300, 300)) + rng.poisson(np.where(warm, 300, 0.5))
    done = filter_hot_pixels(as_pixels(data), mode="selective")
    assert ((done.mask & MaskBit.HOT) != 0)[warm].mean() > 0.97


def test_a_bad_pixel_is_not_called_hot():
    pixels = as_pixels(np.full((20, 20), 10.0))
    pixels.data[5, 5] = pixels.data[9, 9] = 1e4
    pixels.mask[5, 5] = MaskBit.BAD
    done = filter_hot_pixels(pixels, mode="selective")
    assert done.mask[5, 5] == MaskBit.BAD and done.mask[9, 9] == MaskBit.HOT
    assert done.data[9, 9] == 10


def brute_fill(pixels, bad):
    """The definition, pixel by pixel."""
    filled = pixels.data.astype(float)
    for y, x in np.argwhere(bad):
        half = 1
        while True:
            square = np.s_[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
            if not bad[square].all():
                filled[y, x] = pixels.data[square][~bad[square]].astype(float).mean()
                break
            half *= 2
    return filled


@pytest.mark.parametrize("blocks", ["scattered", "hole", "half"])
def test_bad_pixels_become_the_mean_of_the_nearest_good_ones(rng, blocks):
    pixels = as_pixels(rng.normal(1000, 30, (60, 60)))
    pixels.mask[:] = MaskBit.SATURATED
    bad = rng.random((60, 60)) < 0.05
    bad[0, 0] = bad[59, 59] = True
    bad[20:29, 30:39] |= blocks == "hole"
    bad[:, 15:50] |= blocks == "half"
    pixels.mask[bad] |= np.uint16(MaskBit.BAD)
    np.testing.assert_allclose(fill_bad(pixels, MaskBit.BAD), brute_fill(pixels, bad), rtol=1e-6)


def test_several_bits_may_count_as_bad(rng):
    pixels = as_pixels(np.full((9, 9), 5.0))
    for x, bit in ((2, MaskBit.BAD), (5, MaskBit.COSMIC_RAY), (7, MaskBit.HOT)):
        pixels.data[4, x], pixels.mask[4, x] = 100, bit
    filled = fill_bad(pixels, MaskBit.BAD | MaskBit.COSMIC_RAY)
    np.testing.assert_array_equal(filled[4, [2, 5, 7]], [5, pytest.approx(5), 100])


def test_nothing_bad_means_nothing_copied():
    pixels = as_pixels(np.ones((4, 4)))
    assert fill_bad(pixels, MaskBit.BAD) is pixels.data


def test_bad_pixels_can_be_filled_where_they_are(rng):
    pixels = as_pixels(rng.normal(1000, 30, (60, 60)))
    pixels.mask[rng.random((60, 60)) < 0.3] = MaskBit.BAD
    wanted = fill_bad(pixels, MaskBit.BAD)
    assert fill_bad(pixels, MaskBit.BAD, out=pixels.data) is pixels.data
    np.testing.assert_array_equal(pixels.data, wanted)


def test_an_image_without_a_good_pixel_cannot_be_filled():
    pixels = as_pixels(np.ones((4, 4)))
    pixels.mask[:] = MaskBit.BAD
    with pytest.raises(PixelError, match="every pixel is bad"):
        fill_bad(pixels, MaskBit.BAD)


@pytest.mark.parametrize("mode", ["median", "selective", "none"])
def test_counts_and_a_variance_of_one_number_change_no_bit_of_the_result(rng, mode):
    counts = Counts(100.0, 1.3)
    whole = np.rint(field(rng, 4)[2] / counts.gain + counts.level).astype(np.float32)
    full = as_pixels((whole - np.float32(counts.level)) * np.float32(counts.gain))
    full.mask[3, 4:9] = MaskBit.BAD
    few = full._replace(variance=np.broadcast_to(np.float32(READ_NOISE**2), full.data.shape))
    for plane, wanted in zip(
        filter_hot_pixels(few, mode=mode, counts=counts), filter_hot_pixels(full, mode=mode), strict=True
    ):
        assert plane.dtype == wanted.dtype and plane.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("mode", ["median", "selective"])
def test_the_image_is_left_alone(rng, mode):
    pixels = as_pixels(field(rng, 4)[2])
    pixels.mask[3, 4:9] = MaskBit.BAD
    before = [plane.copy() for plane in pixels]
    filter_hot_pixels(pixels, mode=mode)
    fill_bad(pixels, MaskBit.BAD)
    for plane, was in zip(pixels, before, strict=True):
        np.testing.assert_array_equal(plane, was)


def test_what_the_dark_explains_is_not_hot_and_what_it_does_not_is_replaced(rng):
    dark = np.zeros((60, 60), np.float32)
    dark[10, 10] = dark[30, 30] = 800
    image = rng.poisson(100 + dark).astype(np.float32)
    image[45, 45] += 900
    before = image.copy()
    done = filter_hot_pixels(as_pixels(image), mode="selective", dark=dark)
    assert done.data[10, 10] == image[10, 10] and done.data[30, 30] == image[30, 30]
    assert not done.mask[10, 10] & MaskBit.HOT and done.mask[45, 45] & MaskBit.HOT
    assert done.data[45, 45] < 200
    assert np.array_equal(image, before)
    without = filter_hot_pixels(as_pixels(image), mode="selective")
    assert without.mask[10, 10] & MaskBit.HOT


def test_a_pixel_replaced_on_a_dark_keeps_the_dark_to_be_subtracted(rng):
    dark = np.full((40, 40), 50, np.float32)
    image = rng.poisson(100 + dark).astype(np.float32)
    image[20, 20] += 2000
    done = filter_hot_pixels(as_pixels(image), mode="selective", dark=dark)
    assert done.data[20, 20] - dark[20, 20] == pytest.approx(100, abs=4 * np.sqrt(150 / 9 * 1.6))
