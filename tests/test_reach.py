"""How far the light of a star reaches above the sky's noise, against profiles summed over pixels."""

import numpy as np
import pytest

from potpyri_like.photometry import light_reach, sky_annulus, sky_noise


def moffat(flux, fwhm, half):
    """Pixels of a Moffat star of beta 3 whose light, summed over all of them, is `flux`; and their distances."""
    y, x = np.indices((2 * half + 1, 2 * half + 1)) - half
    core = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))
    distance = np.hypot(x, y)
    shape = (1 + (distance / core) ** 2) ** -3.0
    return flux * shape / shape.sum(), distance


@pytest.mark.parametrize(("flux", "fwhm"), [(2e4, 4.0), (1e5, 6.0), (3e4, 9.0)])
def test_at_the_reach_a_star_is_as_bright_as_a_third_of_the_noise(flux, fwhm):
    noise = 12.0
    image, distance = moffat(flux, fwhm, 100)
    (reach,) = light_reach(np.array([flux]), fwhm, noise=noise)
    assert 0.5 * fwhm < reach < 3.5 * fwhm
    assert image[distance < reach - 1].min() > noise / 3 > image[distance > reach + 1].max()
    rim = image[np.abs(distance - reach) < 0.3]
    assert rim.mean() == pytest.approx(noise / 3, rel=0.1)


def test_the_reach_is_nothing_for_no_light_and_ends_at_three_and_a_half_widths():
    reach = light_reach(np.array([-5.0, 0.0, 10.0, 1e12]), 5.0, noise=20.0)
    assert reach.tolist() == [0, 0, 0, 17.5]


def test_a_brighter_star_reaches_farther_and_worse_seeing_spreads_it():
    reach = light_reach(np.geomspace(1e3, 1e7, 9), 5.0, noise=12.0)
    assert np.all(np.diff(reach) >= 0) and reach[0] < reach[4] < reach[-1]
    assert light_reach(np.array([1e5]), 8.0, noise=12.0) > light_reach(np.array([1e5]), 5.0, noise=12.0)


def test_the_noise_of_the_sky_is_not_that_of_its_stars(rng):
    image = rng.normal(300, 15, (1000, 1000))
    image[rng.random(image.shape) < 0.02] += 5000
    image += np.where(np.arange(1000) % 100 < 2, 800, 0)
    assert sky_noise(image) == pytest.approx(15, rel=0.08)
    assert sky_noise(np.full((100, 100), 7.0)) == 1e-3


def test_an_annulus_is_wide_enough_for_sharp_stars_too():
    assert sky_annulus(4, 6, fwhm=8.0) == (32, 48)
    assert sky_annulus(4, 6, fwhm=1.2) == (6, 14)
    assert sky_annulus(4, 6, fwhm=3.0) == (12, 20)
