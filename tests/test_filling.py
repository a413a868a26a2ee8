"""Bad pixels under a star: its light is put back from its profile, and what cannot be known is flagged."""

import numpy as np
import pytest

from potpyri_like.frame import MaskBit, StarFlag
from potpyri_like.photometry.measure import measure_stars
from potpyri_like.photometry.photometers import Context
from potpyri_like.photometry.psf import Profile

FWHM, SKY, NOISE, FLUX = 4.5, 300.0, 17.0, 3e5
PLACE = np.array([[40.3, 39.6]])
SIGMA = FWHM / 2.3548


def star():
    """A Gaussian star on a noisy sky, and how its light is spread over the pixels."""
    y, x = np.mgrid[:80, :80]
    share = np.exp(-((x - PLACE[0, 0]) ** 2 + (y - PLACE[0, 1]) ** 2) / (2 * SIGMA**2)) / (
        2 * np.pi * SIGMA**2
    )
    return np.random.default_rng(1).normal(SKY + FLUX * share, NOISE).astype(np.float32), share


def measured(image, mask, **options):
    profile = Profile(np.sqrt(FWHM**2 - 8 * np.log(2) / 12), beta=50.0)
    settings = {
        "fwhm": FWHM,
        "radii": [1.5 * FWHM, 2 * FWHM],
        "annulus": (18.0, 27.0),
        "recentre": 2.0,
        "sky_binning": options.get("binning", 1),
    }
    settings |= {"flag_radius": 1.5 * FWHM, "context": Context(profile), **options}
    return measure_stars(image, np.full(image.shape, NOISE**2, np.float32), mask, PLACE, **settings)


def masked(where, value=SKY):
    """The star with some pixels lost, which the sky or another value has taken the place of."""
    image, share = star()
    mask = np.zeros(image.shape, np.uint16)
    mask[where], image[where] = MaskBit.BAD, value
    return image, mask, share[where].sum()


@pytest.mark.parametrize("binning", [1, 2])
@pytest.mark.parametrize("place", [(40, 40), (41, 41), (38, 42), (40, 44)])
def test_the_light_on_one_bad_pixel_is_put_back(place, binning):
    image, mask, _ = masked(place)
    found, whole = measured(image, mask, binning=binning), measured(*star()[:1], mask * 0, binning=binning)
    assert found.flags[0] == StarFlag.BAD_PIXEL
    np.testing.assert_allclose(found.flux, whole.flux, rtol=0.004)
    np.testing.assert_allclose(found.xy, whole.xy, atol=0.03)
    assert (found.flux_err > whole.flux_err).all()


def test_dead_columns_beside_the_core_are_filled_to_a_percent_and_flagged():
    image, mask, share = masked((slice(None), slice(42, 44)))
    assert 0.1 < share < 0.3
    found = measured(image, mask)
    assert found.flags[0] == StarFlag.BAD_PIXEL | StarFlag.FILLED
    np.testing.assert_allclose(found.flux, FLUX, rtol=0.01)


def test_a_star_that_lost_most_of_its_light_is_not_measured():
    image, mask, share = masked((slice(36, 44), slice(37, 45)))
    assert share > 0.5
    found = measured(image, mask)
    assert np.isnan(found.flux).all() and np.isnan(found.flux_err).all()
    assert found.flags[0] & StarFlag.FILLED


@pytest.mark.parametrize("value", [0.0, -400.0])
def test_a_block_darker_than_any_sky_counts_as_bad_pixels_without_a_mask(value):
    image, _ = star()
    image[34:47, 34:47] = value
    found = measured(image, np.zeros(image.shape, np.uint16))
    assert np.isnan(found.flux).all()
    assert found.flags[0] & StarFlag.FILLED and found.flags[0] & StarFlag.BAD_PIXEL


def test_a_few_dark_pixels_are_filled_without_a_mask():
    image, _ = star()
    image[41, 41] = 0
    found = measured(image, np.zeros(image.shape, np.uint16))
    assert found.flags[0] == StarFlag.BAD_PIXEL
    np.testing.assert_allclose(found.flux, FLUX, rtol=0.01)


@pytest.mark.parametrize("sky", [300.0, 2.0, -3.0])
def test_a_clean_star_and_its_sky_raise_no_flag(sky):
    image, _ = star()
    found = measured(image + np.float32(sky - SKY), np.zeros(image.shape, np.uint16))
    assert found.flags[0] == 0
    np.testing.assert_allclose(found.flux, FLUX, rtol=0.01)


def test_a_bad_pixel_outside_the_aperture_changes_nothing():
    image, mask, _ = masked((40, 60), value=1e6)
    found, whole = measured(image, mask), measured(star()[0], mask)
    np.testing.assert_array_equal(found.flux, whole.flux)
    assert found.flags[0] == 0


def test_a_cosmic_ray_keeps_its_own_flag():
    image, mask, _ = masked((42, 42))
    mask[42, 42] = MaskBit.COSMIC_RAY
    assert measured(image, mask).flags[0] == StarFlag.COSMIC_RAY


def test_the_image_and_the_mask_are_not_changed():
    image, mask, _ = masked((41, 41))
    before = image.copy(), mask.copy()
    measured(image, mask)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])
