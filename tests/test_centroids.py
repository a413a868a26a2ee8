"""Centroids in five ways, on simulated stars and against photutils."""

import numpy as np
import pytest
from photutils.centroids import centroid_2dg, centroid_quadratic

from potpyri_like.photometry.centroids import CENTROIDS, gaussian_fit, quadratic_fit
from potpyri_like.photometry.psf import Profile

SKY, READ_NOISE = 200.0, 5.0
FOUND = [name for name in CENTROIDS if name != "frozen"]
both = pytest.mark.parametrize("name", FOUND)


def field(rng, fwhm, *, ellipticity=0.0, flux=2e5, n=9, spacing=90, noisy=True):
    """Stars on a grid, with the sky: image and positions."""
    profile, side = Profile(fwhm, ellipticity, 35.0, 30.0), int(np.sqrt(n))
    xy = (np.array(list(np.ndindex(side, side))) + 0.5) * spacing + rng.uniform(-1, 1, (n, 2))
    fine = (np.arange(side * spacing * 3) + 0.5) / 3 - 0.5
    image = np.full((side * spacing, side * spacing), SKY)
    for x, y in xy:
        star = profile.light(fine - x, (fine - y)[:, None])
        image += flux * star.reshape(len(image), 3, len(image), 3).mean(axis=(1, 3))
    if noisy:
        image = rng.poisson(image) + rng.normal(0, READ_NOISE, image.shape)
    return image.astype(np.float32), xy


@both
@pytest.mark.parametrize("fwhm", [2.0, 4.0, 9.0])
@pytest.mark.slow
def test_the_star_is_found_where_it_is(name, fwhm):
    rng = np.random.default_rng(1)
    image, xy = field(rng, fwhm)
    found, ok = CENTROIDS[name](image, xy + rng.uniform(-0.8, 0.8, xy.shape), fwhm=fwhm, max_shift=3)
    assert ok.all()
    # A parabola is no star: it is off by up to a twentieth of a pixel, or of the width.
    assert (found - xy).std() < (0.02 if name != "quadratic" else 0.05) * max(1.0, fwhm / 2)


@pytest.mark.slow
@both
def test_no_place_within_a_pixel_is_preferred(name):
    rng = np.random.default_rng(2)
    off = []
    for _ in range(4):
        image, xy = field(rng, 4.0, flux=1e6)
        found, ok = CENTROIDS[name](image, xy + rng.uniform(-0.6, 0.6, xy.shape), fwhm=4.0, max_shift=2)
        assert ok.all()
        off.append(found - xy)
    assert np.abs(np.mean(off, axis=(0, 1))).max() < 0.02


@both
def test_the_place_where_one_begins_does_not_matter(name):
    rng = np.random.default_rng(3)
    image, xy = field(rng, 5.0)
    ends = [
        CENTROIDS[name](image, xy + rng.uniform(-1, 1, xy.shape), fwhm=5.0, max_shift=3)[0] for _ in range(4)
    ]
    assert np.std(ends, axis=0).max() < 0.01


@both
def test_a_star_further_off_than_allowed_keeps_its_place(name):
    image, xy = field(np.random.default_rng(4), 4.0)
    start = xy + np.array([5.0, 0.0])
    found, ok = CENTROIDS[name](image, start, fwhm=4.0, max_shift=2.0)
    assert not ok.any() and np.array_equal(found, start)


@both
def test_nothing_is_found_without_light_outside_or_nowhere(name):
    start = np.array([[30.0, 30], [-50, 10], [np.nan, 5], [1e9, 3]])
    found, ok = CENTROIDS[name](np.full((60, 60), 7.0), start, fwhm=4.0, max_shift=2.0)
    assert not ok.any() and np.array_equal(found, start, equal_nan=True)


@pytest.mark.parametrize("name", CENTROIDS)
def test_no_stars_give_no_centroids(name):
    found, ok = CENTROIDS[name](np.zeros((60, 60)), np.empty((0, 2)), fwhm=4.0, max_shift=2.0)
    assert found.shape == (0, 2) and ok.shape == (0,)


@both
def test_a_masked_pixel_does_not_draw_the_centroid(name):
    image, xy = field(np.random.default_rng(5), 6.0, n=1)
    mask, (x, y) = np.zeros(image.shape, np.uint16), np.rint(xy[0]).astype(int)
    image[y + 1, x + 2], mask[y + 1, x + 2] = 6e4, 16
    drawn, _ = CENTROIDS[name](image, xy, fwhm=6.0, max_shift=3.0)
    kept, ok = CENTROIDS[name](image, xy, fwhm=6.0, max_shift=3.0, mask=mask)
    assert ok.all()
    assert np.hypot(*(kept - xy)[0]) < 0.2 < np.hypot(*(drawn - xy)[0])


@both
def test_a_pixel_that_is_no_number_harms_nobody(name):
    image, xy = field(np.random.default_rng(6), 6.0, n=4)
    whole, _ = CENTROIDS[name](image, xy, fwhm=6.0, max_shift=3.0)
    holed = image.copy()
    x, y = np.rint(xy[0]).astype(int)
    holed[y + 4, x + 3] = np.nan
    found, ok = CENTROIDS[name](holed, xy, fwhm=6.0, max_shift=3.0)
    assert ok.all() and np.abs(found - whole).max() < 0.1
    assert found[1:] == pytest.approx(whole[1:], abs=1e-3)


@pytest.mark.parametrize("name", CENTROIDS)
def test_nothing_given_is_changed(name):
    image, xy = field(np.random.default_rng(7), 4.0, n=4)
    given = [image, xy, np.zeros(image.shape, np.uint16)]
    before = [a.copy() for a in given]
    CENTROIDS[name](image, xy, fwhm=4.0, max_shift=2.0, mask=given[2])
    assert all(np.array_equal(a, b) for a, b in zip(given, before, strict=True))


def test_frozen_places_stay():
    given = [[30.25, 30.5], [-50, 10], [np.nan, 5]]
    found, ok = CENTROIDS["frozen"](np.zeros((60, 60)), given, fwhm=4.0, max_shift=0.1)
    assert np.array_equal(found, given, equal_nan=True) and ok.tolist() == [True, True, False]


def test_the_gaussian_is_that_of_photutils():
    image, xy = field(np.random.default_rng(8), 5.0, ellipticity=0.3, flux=5e5)
    found, ok = gaussian_fit(image, np.rint(xy), fwhm=5.0, max_shift=3.0)
    assert ok.all()
    for (x, y), place in zip(np.rint(xy).astype(int), found, strict=True):
        cut = image[y - 8 : y + 9, x - 8 : x + 9] - SKY
        theirs = centroid_2dg(cut, error=np.ones(cut.shape))
        assert place - (x - 8, y - 8) == pytest.approx(theirs, abs=0.01)


def test_the_parabola_is_that_of_photutils():
    image, xy = field(np.random.default_rng(9), 5.5, flux=5e5)
    found, ok = quadratic_fit(image, xy, fwhm=5.5, max_shift=3.0)  # 5 x 5 pixels
    assert ok.all()
    for (x, y), place in zip(np.rint(found).astype(int), found, strict=True):
        theirs = centroid_quadratic(image[y - 2 : y + 3, x - 2 : x + 3].astype(float), fit_boxsize=5)
        assert place - (x - 2, y - 2) == pytest.approx(theirs, abs=1e-3)
