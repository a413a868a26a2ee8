"""The first look at a frame, on simulated skies."""

import numpy as np
import pytest
from scipy.special import erf

from potpyri_like.photometry import brightest, glance, stars_at, typical_width

SKY, NOISE = 500.0, 20.0


def star(size, x, y, fwhm):
    """A Gaussian star of flux 1, integrated over each pixel."""
    root = fwhm / np.sqrt(4 * np.log(2))
    across, along = (np.diff(erf((np.arange(size + 1) - 0.5 - c) / root)) / 2 for c in (y, x))
    return np.outer(across, along)


def field(rng, fwhm, *, size=480, grid=5):
    """Stars on a loose grid upon a sloping sky, the brightest first: image, positions, fluxes."""
    spacing = size // grid
    flux = NOISE * fwhm * np.geomspace(3000, 30, grid**2)
    image, xy = rng.normal(SKY, NOISE, (size, size)) + np.linspace(0, 200, size), np.empty((grid**2, 2))
    for n, cell in enumerate(rng.permutation(grid**2)):
        xy[n] = spacing * np.array(divmod(cell, grid)) + rng.uniform(0.35 * spacing, 0.65 * spacing, 2)
        image += flux[n] * star(size, *xy[n], fwhm)
    return image.astype(np.float32), xy, flux


@pytest.mark.parametrize("fwhm", [1.5, 2.4, 4.0, 8.0, 20.0])
def test_the_brightest_peaks_are_the_brightest_stars(fwhm):
    image, xy, flux = field(np.random.default_rng(1), fwhm, size=240 + 40 * int(fwhm))
    found, light = brightest(glance(image, fwhm=fwhm), fwhm=fwhm, count=12)
    assert np.abs(found - xy[:12]).max() < max(0.1, 0.05 * fwhm)
    # A circle of radius FWHM holds 1 - 2**-4 of a Gaussian, less where its pixels blur it.
    assert light / flux[:12] == pytest.approx(np.full(12, 1 - 2.0**-4), abs=0.08 if fwhm > 2 else 0.15)


@pytest.mark.parametrize("fwhm", [1.5, 3.0, 8.0])
def test_hot_pixels_are_no_peaks(fwhm):
    rng = np.random.default_rng(2)
    image, xy, _ = field(rng, fwhm)
    hot = rng.integers(0, len(image), (2, 400))
    image[hot[0], hot[1]] += 5e4
    for clean in (True, False):
        found, _ = brightest(glance(image, fwhm=fwhm, clean=clean), fwhm=fwhm, count=12)
        nearest = np.hypot(*(found[:, None] - xy).transpose(2, 0, 1)).min(axis=1)
        assert np.count_nonzero(nearest < fwhm) >= (9 if clean else 11)


def test_several_peaks_within_one_width_are_one_star():
    image, _, _ = field(np.random.default_rng(3), 16.0, size=600)
    found, _ = brightest(glance(image, fwhm=4.0), fwhm=16.0, count=25)
    near = np.hypot(*(found[:, None] - found).transpose(2, 0, 1)) < 16
    assert np.count_nonzero(near) == len(found)
    assert len(found) >= 12


@pytest.mark.parametrize("fwhm", [2.0, 5.0, 12.0])
def test_stars_are_found_near_their_places_and_nowhere_else(fwhm):
    rng = np.random.default_rng(4)
    image, xy, _ = field(rng, fwhm)
    look = glance(image, fwhm=fwhm)
    found = stars_at(look, xy[:15] + rng.uniform(-1, 1, (15, 2)), fwhm=fwhm, max_shift=0.5 * fwhm + 1)
    assert np.abs(found - xy[:15]).max() < max(0.15, 0.04 * fwhm)
    places = rng.uniform(20, 460, (400, 2))
    empty = places[np.hypot(*(places[:, None] - xy).transpose(2, 0, 1)).min(axis=1) > 5 * fwhm]
    assert np.isnan(stars_at(look, empty, fwhm=fwhm, max_shift=0.5 * fwhm)).all()
    assert np.isnan(stars_at(look, [[-50.0, 10.0], [np.nan, 3.0]], fwhm=fwhm, max_shift=2)).all()


@pytest.mark.parametrize("fwhm", [3.0, 8.0, 16.0])
def test_the_width_is_known_even_from_half_of_it(fwhm):
    image, xy, _ = field(np.random.default_rng(5), fwhm)
    assert typical_width(glance(image, fwhm=fwhm / 2), xy[:10], fwhm=fwhm / 2) == pytest.approx(
        fwhm, rel=0.12
    )
    assert np.isnan(typical_width(glance(image, fwhm=fwhm), np.empty((0, 2)), fwhm=fwhm))


@pytest.mark.parametrize("shape", [(64, 64), (300, 211), (1000, 90)])
@pytest.mark.parametrize("level", [0.0, 7.0, np.nan])
def test_an_image_without_stars_has_no_peaks(shape, level):
    assert len(brightest(glance(np.full(shape, level), fwhm=4), fwhm=4, count=9)[0]) == 0
    noise = np.random.default_rng(6).normal(level, 5, shape)
    assert len(brightest(glance(noise, fwhm=4), fwhm=4, count=9)[0]) <= 1


def test_pixels_that_are_not_finite_are_left_out():
    image, xy, _ = field(np.random.default_rng(7), 6.0)
    image[:, 200:206] = np.nan
    image[100:160, 300:400] = np.nan
    found, _ = brightest(glance(image, fwhm=6.0), fwhm=6.0, count=8)
    assert len(found) == 8
    assert np.hypot(*(found[:, None] - xy).transpose(2, 0, 1)).min(axis=1).max() < 1.0


def test_the_image_is_not_changed():
    image, _, _ = field(np.random.default_rng(8), 4.0)
    image.flags.writeable = False
    for clean in (True, False):
        brightest(glance(image, fwhm=4.0, clean=clean), fwhm=4.0, count=5)
