"""Points that hold light of something else, and frames whose stars disagree: flagged where they are, nowhere else."""

import numpy as np
import pytest

from potpyri_like.errors import UsageError
from potpyri_like.frame import MaskBit, StarFlag
from potpyri_like.photometry import disagreement, measure_stars, odd_light, plateau, points_where
from potpyri_like.photometry.psf import Profile

FWHM, SKY, N_FRAMES = 4.5, 60.0, 16
RADII = np.geomspace(0.5, 5, 24)
PROFILE = Profile(FWHM, beta=3.0)
XY = np.array([[40.3, 41.1], [110.2, 45.7], [45.9, 112.4], [112.6, 110.3], [78.4, 79.6]])
LIGHT = np.array([3e5, 2e5, 1.5e5, 8e4, 1.2e5])


def image_of(rng, *, light=LIGHT, fwhm=FWHM, extra=None):
    """A frame of five stars, 150 pixels a side, with photon noise."""
    yy, xx = np.mgrid[:150, :150]
    seen = Profile(fwhm, beta=3.0).through_pixels(1)
    sky = np.full((150, 150), SKY)
    for (x, y), flux in zip(XY, light, strict=True):
        sky += flux * seen.light(xx - x, yy - y)
    image = rng.poisson(sky).astype(np.float32)
    return image if extra is None else extra(image)


def measured(image, *, mask=None, fwhm=FWHM):
    mask = np.zeros(image.shape, np.uint16) if mask is None else mask
    return measure_stars(
        image, np.maximum(image, 1), mask, XY, fwhm=fwhm, radii=RADII * FWHM, annulus=(4 * FWHM, 6 * FWHM),
        recentre=1.0, flag_radius=1.5 * FWHM,
    )  # fmt: skip


def struck_by(*values, at=(2, 2)):
    def extra(image):
        x, y = np.rint(XY[0]).astype(int) + at
        image[y, x : x + len(values)] += values
        return image

    return extra


def trail(image, width=1.9, level=2500.0):
    yy, xx = np.mgrid[:150, :150]
    across = (xx - XY[0, 0]) * np.sin(0.5) - (yy - XY[0, 1]) * np.cos(0.5)
    return image + (level * np.exp(-0.5 * (across / width) ** 2)).astype(np.float32)


@pytest.mark.parametrize("values", [(9000, 15000, 6000), (30000,), (8000,)])
@pytest.mark.parametrize("at", [(2, 2), (-3, 1), (0, -4)])
def test_a_particle_in_the_aperture_is_flagged_and_its_light_taken_out(rng, values, at):
    found = measured(image_of(rng, extra=struck_by(*values, at=at)))
    clean = measured(image_of(np.random.default_rng(20260101)))
    assert found.flags[0] & StarFlag.COSMIC_RAY and not (found.flags[1:] & StarFlag.COSMIC_RAY).any()
    assert found.flux[0, 12] == pytest.approx(clean.flux[0, 12], rel=0.01)


@pytest.mark.parametrize("fwhm", [1.5, 2.0, 3.0, 4.5, 9.0])
def test_no_star_is_struck_by_its_own_light(rng, fwhm):
    for _ in range(8):
        assert not (measured(image_of(rng, fwhm=fwhm), fwhm=fwhm).flags & StarFlag.COSMIC_RAY).any()


def test_a_second_star_in_the_aperture_is_no_particle(rng):
    yy, xx = np.mgrid[:150, :150]
    second = 1e5 * PROFILE.light(xx - XY[0, 0] - 5.5, yy - XY[0, 1])
    found = measured(image_of(rng, extra=lambda image: image + second.astype(np.float32)))
    assert not (found.flags & StarFlag.COSMIC_RAY).any()


def test_a_saturated_star_is_not_searched(rng):
    image = np.minimum(image_of(rng, light=LIGHT * 4, extra=struck_by(9000, 15000)), 20000)
    mask = np.where(image >= 20000, np.uint16(MaskBit.SATURATED), np.uint16(0))
    assert not measured(image, mask=mask).flags[0] & StarFlag.COSMIC_RAY


def series(rng, *, light=lambda n: LIGHT, fwhm=lambda n: FWHM, extra=lambda n: None):
    frames = [measured(image_of(rng, light=light(n), fwhm=fwhm(n), extra=extra(n))) for n in range(N_FRAMES)]
    return np.array([frame.flux for frame in frames]), np.array([frame.flux_err for frame in frames])


@pytest.mark.slow
def test_a_trail_is_seen_in_the_shape_of_the_light_of_the_stars_that_it_crosses(rng):
    odd = odd_light(*series(rng, extra=lambda n: trail if n == 5 else None), RADII)
    assert odd[5, 0] and not odd[np.arange(N_FRAMES) != 5].any()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["flare", "seeing", "cloud"])
def test_what_keeps_the_profile_of_the_star_is_no_odd_light(rng, what):
    flare = {"light": lambda n: LIGHT * np.where([n == 5, False, False, False, False], 1.5, 1.0)}
    seeing = {"fwhm": lambda n: FWHM * (1.4 if n == 5 else 1 + 0.1 * np.sin(n))}
    cloud = {"light": lambda n: LIGHT * (0.3 if n == 5 else 1.0)}
    assert not odd_light(
        *series(rng, **{"flare": flare, "seeing": seeing, "cloud": cloud}[what]), RADII
    ).any()


def test_few_frames_stars_or_apertures_tell_nothing_of_odd_light():
    for shape in ((4, 5, 24), (16, 2, 24), (16, 5, 1)):
        assert not odd_light(np.ones(shape), np.ones(shape), RADII[: shape[2]]).any()


def curves(rng, *, n_frames=60, n_stars=10, noise=0.003):
    """Fluxes of constant stars under passing cloud, and their errors."""
    common = 1 - 0.4 * np.exp(-0.5 * ((np.arange(n_frames) - 30) / 6) ** 2)
    flux = 1e5 * rng.uniform(0.3, 3, n_stars) * common[:, None]
    return flux * (1 + rng.normal(0, noise, flux.shape)), noise * flux


def test_cloud_that_dims_all_stars_alike_is_no_disagreement(rng):
    for _ in range(50):
        assert not disagreement(*curves(rng)).any()


def test_the_edge_of_a_dome_is_a_disagreement_as_large_as_it_dims(rng):
    flux, error = curves(rng)
    flux[20, :3] *= 0.8
    found = disagreement(flux, error)
    assert np.flatnonzero(found).tolist() == [20]
    assert found[20] == pytest.approx(0.2 * np.sqrt(0.3), rel=0.15)


@pytest.mark.parametrize(("stars", "factor"), [(1, 0.5), (1, 3.0), (2, 1.5)])
def test_one_star_or_a_trail_over_two_says_nothing_of_the_others(rng, stars, factor):
    flux, error = curves(rng)
    flux[20, :stars] *= factor
    assert not disagreement(flux, error).any()


def test_stars_of_another_colour_that_drift_with_airmass_do_not_disagree(rng):
    flux, error = curves(rng)
    flux *= 1 + np.linspace(-1, 1, 60)[:, None] ** 2 * rng.normal(0, 0.01, 10)
    assert not disagreement(flux, error).any()


def test_three_stars_cannot_tell_which_is_right(rng):
    flux, error = curves(rng, n_stars=3)
    flux[20, :2] *= 0.8
    assert not disagreement(flux, error).any()


def peaks(rng, *, seeing, full=np.inf, n_stars=12):
    """Peaks above the sky, fluxes and errors of stars as the seeing changes, cut off at a level."""
    flux = np.geomspace(2.5e6, 5e4, n_stars) * np.ones((len(seeing), 1))
    peak = 0.88 * flux / seeing[:, None] ** 2 * rng.normal(1, 0.01, flux.shape)
    return np.minimum(peak, full * rng.normal(1, 0.004, flux.shape)), flux, np.sqrt(flux)


def test_peaks_that_end_at_one_level_are_cut_off(rng):
    seeing = rng.uniform(3.6, 6.0, 20)
    values = peaks(rng, seeing=seeing, full=90000.0)
    level = plateau(*values)
    assert 0.95 * 90000 < level < 90000
    assert (values[0] > level)[:, 0].sum() == pytest.approx((0.88 * 2.5e6 / seeing**2 > 90000).sum(), abs=2)


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.3])
def test_the_brightest_star_of_a_steady_night_is_not_cut_off(rng, spread):
    for _ in range(20):
        assert plateau(*peaks(rng, seeing=4.5 * (1 + spread * rng.uniform(-1, 1, 30)))) == np.inf


def test_few_stars_or_points_tell_of_no_level(rng):
    assert plateau(*peaks(rng, seeing=np.full(3, 4.0), full=115000.0)) == np.inf
    assert plateau(*peaks(rng, seeing=np.full(20, 4.0), full=90000.0, n_stars=3)) == np.inf


COLUMNS = {"sky": np.array([100.0, 200, 300, np.nan]), "fwhm": np.array([3.0, 7, 3, 7])}


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("sky > 150", [False, True, True, False]),
        ("sky>150 and fwhm<6", [False, False, True, False]),
        ("sky > 250 or fwhm > 6", [False, True, True, True]),
        ("not (fwhm > 6)", [True, False, True, False]),
        ("100 <= sky < 250", [True, True, False, False]),
        ("fwhm == 3 and sky != 300", [True, False, False, False]),
        ("-sky < -250", [False, False, True, False]),
        ("1 > 2", [False] * 4),
    ],
)
def test_a_condition_holds_where_it_says(condition, wanted):
    assert points_where(condition, COLUMNS).tolist() == wanted


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("skye > 3", "no column skye; there are fwhm, sky"),
        ("sky >", "not understood"),
        ("sky", "no comparison"),
        ("sky + 1 > 3", "neither a column nor a number"),
        ("__import__('os').system('true') > 0", "neither a column nor a number"),
        ("sky in (1, 2)", "neither a column nor a number"),
        ("sky > 'a'", "neither a column nor a number"),
        ("(" * 500 + "sky > 1" + ")" * 500, "not understood|longer"),
        ("sky > " + "1" * 2000, "longer than 1000"),
    ],
)
def test_anything_else_is_no_condition_and_runs_nothing(condition, said):
    with pytest.raises(UsageError, match=said):
        points_where(condition, COLUMNS)
