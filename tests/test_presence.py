"""Whether there is a star at a place, on skies of which that is known."""

import numpy as np
import pytest

from potpyri_like.photometry import SIGMA_STAR, Profile, combined_significance, forced_flux

SIGMA = 4.5 / 2.3548
SKY_NOISE = 15.0
HERE = np.array([60.3, 57.8])


def gauss(shape, x, y, flux):
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    return flux * np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / SIGMA**2) / (2 * np.pi * SIGMA**2)


def sky(rng, stars=(), shape=(120, 120)):
    """Gaussian stars of FWHM 4.5 on a noisy, sloping sky."""
    image = rng.normal(225, SKY_NOISE, shape) + 0.3 * np.arange(shape[1])
    for x, y, flux in stars:
        image += gauss(shape, x, y, flux)
    return image


def looked(rng, stars, *, known=(), beta=30.0):
    return forced_flux(
        sky(rng, stars),
        HERE,
        np.array([s[:2] for s in known], float).reshape(-1, 2),
        profile=Profile(4.5, beta=beta),
    )


@pytest.mark.slow
def test_the_flux_of_a_faint_star_is_right_within_its_error(rng):
    found = np.array([looked(rng, [(*HERE, 900.0)]) for _ in range(60)])
    flux, error = found.T
    assert abs(flux.mean() - 900) < 3 * error.mean() / np.sqrt(60) + 0.03 * 900
    assert 0.75 < flux.std(ddof=1) / error.mean() < 1.25
    least = SKY_NOISE * np.sqrt(4 * np.pi) * SIGMA  # of an optimal extraction on a known sky
    assert least < error.mean() < 1.5 * least


@pytest.mark.slow
def test_blank_sky_is_no_star(rng):
    pulls = [flux / error for flux, error in (looked(rng, []) for _ in range(100))]
    assert max(pulls) < SIGMA_STAR
    assert abs(np.mean(pulls)) < 0.4
    assert 0.7 < np.std(pulls) < 1.3


@pytest.mark.parametrize("beta", [30.0, 4.0])  # right, and not quite as the stars are
@pytest.mark.parametrize("apart", [1.5, 2.0, 3.0, 5.0])
def test_the_light_of_a_bright_neighbour_is_no_star(rng, apart, beta):
    neighbour = (HERE[0] + apart * 4.5, HERE[1] + 1.0, 4e5)
    pulls = [
        flux / error
        for flux, error in (looked(rng, [neighbour], known=[neighbour], beta=beta) for _ in range(20))
    ]
    assert max(pulls) < SIGMA_STAR


def test_a_star_beside_a_bright_neighbour_is_one(rng):
    neighbour = (HERE[0] + 3 * 4.5, HERE[1], 1e5)
    flux, error = looked(rng, [neighbour, (*HERE, 3000.0)], known=[neighbour])
    assert flux / error > SIGMA_STAR
    assert flux == pytest.approx(3000, abs=4 * error)


@pytest.mark.slow
def test_the_error_is_that_of_a_correlated_sky(rng):
    smooth = np.ones((3, 3)) / 3
    found = []
    for _ in range(40):
        noise = rng.normal(0, SKY_NOISE, (122, 122))
        image = 225 + sum(smooth[i, j] * noise[i : i + 120, j : j + 120] for i in range(3) for j in range(3))
        found.append(forced_flux(image, HERE, np.empty((0, 2)), profile=Profile(4.5, beta=30.0)))
    flux, error = np.array(found).T
    assert flux.std(ddof=1) < 1.4 * error.mean()  # a third of that without looking at blank places


def test_pixels_that_are_not_known_are_left_out_and_too_few_are_nothing(rng):
    image = sky(rng, [(*HERE, 3000.0)])
    image[50, 50:60] = np.nan
    flux, error = forced_flux(image, HERE, np.empty((0, 2)), profile=Profile(4.5, beta=30.0))
    assert flux == pytest.approx(3000, abs=4 * error + 90)
    image[:, :70] = np.nan
    assert np.isnan(forced_flux(image, HERE, np.empty((0, 2)), profile=Profile(4.5))[0])


def test_many_frames_show_what_one_does_not(rng):
    flux = rng.normal(300, 100, 16)
    assert combined_significance(flux[:1], np.full(1, 100.0)) < SIGMA_STAR
    assert combined_significance(flux, np.full(16, 100.0)) == pytest.approx(12, abs=4)


def test_one_frame_with_a_cosmic_ray_makes_no_star(rng):
    flux = rng.normal(0, 100, 16)
    flux[4] = 1e5
    assert combined_significance(flux, np.full(16, 100.0)) < SIGMA_STAR


def test_no_frame_says_nothing():
    assert np.isnan(combined_significance(np.array([np.nan]), np.array([np.nan])))
