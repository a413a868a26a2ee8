"""The profile of a frame, on simulated stars."""

import numpy as np
import pytest
from photutils.psf import MoffatPSF

from potpyri_like.photometry.psf import Profile, fit_profile

SKY, READ_NOISE = 200.0, 5.0
NOISE = np.sqrt(SKY + READ_NOISE**2)


def field(rng, profile, flux, spacing):
    """Stars on a grid, averaged over their pixels, on a noisy sky: image and positions."""
    side, sub = int(np.ceil(np.sqrt(len(flux)))), 3
    image, places = np.full((side * spacing, side * spacing), SKY), []
    fine = (np.arange(spacing * sub) + 0.5) / sub - 0.5
    for k, f in enumerate(flux):
        row, column = np.array(divmod(k, side)) * spacing
        x, y = rng.uniform(spacing / 2 - 1, spacing / 2 + 1, 2)
        star = profile.light(fine - x, (fine - y)[:, None]).reshape(spacing, sub, spacing, sub)
        image[row : row + spacing, column : column + spacing] += f * star.mean(axis=(1, 3))
        places.append((x + column, y + row))
    return (rng.poisson(image) + rng.normal(0, READ_NOISE, image.shape)).astype(np.float32), np.array(places)


def fitted(image, xy, fwhm, **options):
    sky, noise = np.full(len(xy), SKY), np.full(len(xy), NOISE)
    return fit_profile(image, xy, sky=sky, noise=noise, fwhm=fwhm, binning=max(1, round(fwhm / 4)), **options)


@pytest.mark.parametrize(
    "truth",
    [
        Profile(2.5, 0.2, 45.0, 3.0),
        Profile(4.0, 0.3, -60.0, 2.5),
        Profile(7.0, 0.1, 85.0, 4.0),
        Profile(14.0, 0.2, -10.0, 3.0),
        Profile(6.0, 0.25, 20.0, 30.0),
    ],
    ids=lambda p: f"{p.fwhm:g} px",
)
@pytest.mark.parametrize("flux", [(4.7, 5.7), (3.9, 4.3)], ids=["bright", "faint"])
def test_elongated_tilted_stars_are_seen_as_they_are(truth, flux):
    rng = np.random.default_rng(1)
    image, xy = field(rng, truth, 10 ** rng.uniform(*flux, 12) * (truth.fwhm / 5) ** 1, int(13 * truth.fwhm))
    found = fitted(image, xy + rng.normal(0, 0.05, xy.shape), 1.1 * truth.fwhm)
    assert found.fwhm == pytest.approx(truth.fwhm, rel=0.04)
    assert found.ellipticity == pytest.approx(truth.ellipticity, abs=0.03)
    assert (found.angle - truth.angle + 90) % 180 - 90 == pytest.approx(0, abs=5)
    if truth.beta < 10:
        assert found.beta == pytest.approx(truth.beta, rel=0.3)
    else:
        assert found.beta > 8


def test_round_stars_are_round():
    rng = np.random.default_rng(2)
    image, xy = field(rng, Profile(6.0), np.full(12, 1e5), 80)
    assert fitted(image, xy, 6.0).ellipticity < 0.015


def test_neighbours_and_galaxies_do_not_widen_the_profile():
    rng, truth = np.random.default_rng(3), Profile(5.0, 0.15, 30.0, 3.0)
    image, xy = field(rng, truth, np.full(12, 1e5), 80)
    y, x = np.indices(image.shape)
    for (x0, y0), (dx, dy) in zip(xy[:4], [(6, 3), (-5, 6), (7, -2), (0, -7)], strict=True):
        image += (4e4 * truth.light(x - x0 - dx, y - y0 - dy)).astype(np.float32)
    image += (3e5 * Profile(12.0, 0.5, -60.0).light(x - xy[5, 0], y - xy[5, 1])).astype(np.float32)
    found = fitted(image, xy, 5.5)
    assert found.fwhm == pytest.approx(5.0, rel=0.04)
    assert found.ellipticity == pytest.approx(0.15, abs=0.03)


def test_stars_without_light_or_none_give_no_profile():
    image = np.full((100, 100), SKY, np.float32)
    for xy in (np.empty((0, 2)), np.array([[50.0, 50.0]]), np.array([[500.0, 50.0]])):
        assert not fitted(image - (len(xy) > 0), xy, 5.0).is_known


def test_pixels_that_are_no_numbers_and_stars_at_the_edge_are_left_out():
    rng, truth = np.random.default_rng(4), Profile(5.0, 0.2, 30.0, 3.0)
    image, xy = field(rng, truth, np.full(9, 2e5), 70)
    image = image[:, int(xy[0, 0]) - 2 :].copy()
    xy = xy - [int(xy[0, 0]) - 2, 0]
    image[np.rint(xy[4, 1]).astype(int) + 3] = np.nan
    found = fitted(image, xy, 5.0)
    assert found.fwhm == pytest.approx(5.0, rel=0.03) and found.ellipticity == pytest.approx(0.2, abs=0.02)


def test_nothing_given_is_changed():
    rng = np.random.default_rng(5)
    image, xy = field(rng, Profile(5.0), np.full(4, 1e5), 70)
    given = [image.copy(), xy.copy()]
    fitted(image, xy, 5.0)
    assert np.array_equal(image, given[0]) and np.array_equal(xy, given[1])


@pytest.mark.parametrize("beta", [2.0, 3.0, 6.0])
def test_the_light_is_that_of_a_moffat_profile_of_sum_one(beta):
    profile = Profile(6.0, beta=beta)
    x, y = np.meshgrid(np.arange(-20, 21), np.arange(-15, 16))
    alpha = 6.0 / 2 / np.sqrt(2 ** (1 / beta) - 1)
    other = MoffatPSF(flux=1, x_0=0.3, y_0=-0.7, alpha=alpha, beta=beta)
    assert profile.light(x - 0.3, y + 0.7) == pytest.approx(other(x, y), rel=1e-6)


@pytest.mark.parametrize("angle", [-89.0, -30.0, 0.0, 45.0, 90.0])
def test_the_form_gives_the_profile_back(angle):
    profile = Profile(5.0, 0.4, angle, 2.7)
    again = Profile.from_form(*profile.form, profile.beta)
    assert (again.fwhm, again.ellipticity, again.angle) == pytest.approx((5.0, 0.4, angle))
    along = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    half = profile.widths[0] / 2
    assert profile.light(half * along[0], half * along[1]) == pytest.approx(profile.light(0, 0) / 2)


def test_pixels_widen_a_profile_by_their_variance_and_that_can_be_undone():
    profile = Profile(5.0, 0.2, 30.0)
    wider = profile.through_pixels(3)
    assert wider.widths[1] ** 2 - profile.widths[1] ** 2 == pytest.approx(8 * np.log(2) * 9 / 12)
    assert wider.ellipticity < profile.ellipticity
    back = wider.through_pixels(3, undo=True)
    assert (back.fwhm, back.ellipticity) == pytest.approx((5.0, 0.2))
    assert wider.in_squares(3).fwhm == pytest.approx(wider.fwhm / 3)
