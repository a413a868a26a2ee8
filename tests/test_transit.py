"""The light curve of a transit, and the limb darkening it is made with."""

import numpy as np
import pytest
from scipy.integrate import quad

from potpyri_like.lightcurves.limb_darkening import WIDTH, is_physical, limb_darkening
from potpyri_like.lightcurves.transit import (
    ingress_duration,
    occulted_flux,
    separation,
    transit_depth,
    transit_light_curve,
    transit_of_depth,
)


def by_rings(z, k, u1, u2):
    """The flux, from the star's brightness ring by ring and the arc of each that the disc hides."""

    def hidden(r):
        if z + r <= k:
            half = np.pi
        elif r * z == 0:
            half = 0.0
        else:
            half = np.arccos(np.clip((r * r + z * z - k * k) / (2 * r * z), -1, 1))
        mu = np.sqrt(max(1 - r * r, 0))
        return 2 * r * half * (1 - u1 * (1 - mu) - u2 * (1 - mu) ** 2)

    kinks = sorted({min(abs(z - k), 1.0), min(z + k, 1.0)} - {0.0, 1.0})
    lost = quad(hidden, 0, 1, points=kinks or None, limit=400, epsabs=1e-13, epsrel=1e-12)[0]
    return 1 - lost / (np.pi * (1 - u1 / 3 - u2 / 6))


def physical(rng):
    q1, q2 = rng.uniform(size=2)
    return 2 * np.sqrt(q1) * q2, np.sqrt(q1) * (1 - 2 * q2)


@pytest.mark.slow
def test_the_flux_is_that_of_batman_to_a_millionth():
    batman = pytest.importorskip("batman")
    rng = np.random.default_rng(1)
    time, a, period = np.linspace(-0.3, 0.3, 301), 15.0, 10.0
    for k in np.geomspace(0.001, 0.5, 60):
        b, (u1, u2) = rng.uniform(0, 1 + k), physical(rng)
        theirs = batman.TransitParams()
        theirs.t0, theirs.per, theirs.rp, theirs.a, theirs.ecc, theirs.w = 0.0, period, k, a, 0.0, 90.0
        theirs.inc, theirs.limb_dark, theirs.u = np.degrees(np.arccos(b / a)), "quadratic", [u1, u2]
        expected = batman.TransitModel(theirs, time, max_err=1e-3).light_curve(theirs)
        t14 = period / np.pi * np.arcsin(np.sqrt(((1 + k) ** 2 - b**2) / (a**2 - b**2)))
        flux = transit_light_curve(time, tc=0.0, k=k, t14=t14, b=b, u1=u1, u2=u2, period=period)
        assert np.max(np.abs(flux - expected)) < 1e-6


@pytest.mark.parametrize("k", [0.001, 0.1, 0.5, 0.9, 1.0, 1.3, 3.0])
@pytest.mark.slow
def test_the_flux_is_that_of_rings_at_every_edge(k):
    contacts = {0.0, 0.3, 0.7, k, abs(1 - k), 1 + k}
    shifts = (0.0, 1e-13, -1e-13, 1e-9, -1e-9, 1e-6, -1e-6)
    z = np.array([abs(contact + shift) for contact in contacts for shift in shifts])
    expected = [by_rings(one, k, 0.5, 0.2) for one in z]
    np.testing.assert_allclose(occulted_flux(z, k, 0.5, 0.2), expected, atol=2e-9)


def test_no_planet_hides_nothing_and_a_tiny_one_its_area_times_the_brightness_there():
    assert occulted_flux(0.3, 0.0, 0.4, 0.2) == 1
    z, k, mu = 0.6, 1e-4, 0.8
    brightness = (1 - 0.4 * (1 - mu) - 0.2 * (1 - mu) ** 2) / (1 - 0.4 / 3 - 0.2 / 6)
    assert 1 - occulted_flux(z, k, 0.4, 0.2) == pytest.approx(k**2 * brightness, rel=1e-6)


def test_a_star_without_limb_darkening_loses_the_square_of_the_radius():
    assert transit_depth(k=0.1, b=0.2, u1=0.0, u2=0.0) == pytest.approx(0.01, abs=1e-14)


def test_parameters_broadcast_against_times():
    time, k = np.linspace(-0.1, 0.1, 7), np.array([[0.05], [0.1]])
    both = transit_light_curve(time, tc=0.0, k=k, t14=0.12, b=0.3, u1=0.4, u2=0.2)
    assert both.shape == (2, 7)
    for row, one in zip(both, (0.05, 0.1), strict=True):
        np.testing.assert_array_equal(
            row, transit_light_curve(time, tc=0.0, k=one, t14=0.12, b=0.3, u1=0.4, u2=0.2)
        )


def test_the_transit_begins_and_ends_at_the_contacts():
    contacts = np.array([-0.05, 0.05])
    for period in (None, 3.0):
        z = separation(contacts, tc=0.0, k=0.1, t14=0.1, b=0.4, period=period)
        np.testing.assert_allclose(z, 1.1, rtol=1e-12)
    second = separation(-0.05 + ingress_duration(k=0.1, t14=0.1, b=0.4), tc=0.0, k=0.1, t14=0.1, b=0.4)
    assert second == pytest.approx(0.9, rel=1e-12)


def test_behind_the_star_nothing_is_lost():
    flux = transit_light_curve(
        np.array([0.0, 1.5]), tc=0.0, k=0.1, t14=0.2, b=0.0, u1=0.4, u2=0.2, period=3.0
    )
    assert flux[0] < 0.99
    assert flux[1] == 1


def test_a_long_exposure_is_averaged():
    time, exposure = np.linspace(-0.08, 0.08, 81), 0.012
    shape = {"tc": 0.0, "k": 0.12, "t14": 0.1, "b": 0.3, "u1": 0.4, "u2": 0.25}
    fine = time[:, None] + exposure * ((np.arange(2000) + 0.5) / 2000 - 0.5)
    expected = transit_light_curve(fine, **shape).mean(axis=1)
    assert np.max(np.abs(transit_light_curve(time, exposure=exposure, **shape) - expected)) < 1e-5
    assert np.max(np.abs(transit_light_curve(time, **shape) - expected)) > 1e-4


def test_a_planet_that_passes_beside_the_star_hides_nothing():
    assert transit_light_curve(0.0, tc=0.0, k=0.1, t14=0.1, b=1.2, u1=0.4, u2=0.2) == 1


def test_what_is_not_a_number_stays_so():
    flux = occulted_flux(np.array([0.1, np.nan]), 0.1, 0.4, 0.2)
    assert np.isfinite(flux[0])
    assert np.isnan(flux[1])


def test_the_arguments_are_left_alone():
    time, k = np.linspace(-0.1, 0.1, 5), np.array([[0.1], [-0.1]])
    before = time.copy(), k.copy()
    transit_light_curve(time, tc=0.0, k=k, t14=0.1, b=0.3, u1=0.4, u2=0.2, exposure=0.01)
    np.testing.assert_array_equal(time, before[0])
    np.testing.assert_array_equal(k, before[1])


def test_the_limb_is_darker_in_the_blue():
    darkness = [sum(value for value, _ in limb_darkening(band)) for band in "ugriz"]
    assert darkness == sorted(darkness, reverse=True)
    assert all(is_physical(*(value for value, _ in limb_darkening(band))) for band in "ugrizUBVRI")


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("rp", "r"),
        ("r'", "r"),
        ("SDSS g", "g"),
        ("zs", "z"),
        ("sdss_i", "i"),
        ("Rc", "R"),
        ("Johnson V", "V"),
    ],
)
def test_a_band_is_known_by_its_other_names(name, same):
    assert limb_darkening(name) == limb_darkening(same)


def test_a_capital_letter_is_not_a_small_one():
    assert limb_darkening("R") != limb_darkening("r")


def test_an_unknown_band_is_held_less_tightly():
    assert all(width > WIDTH for _, width in limb_darkening("F814W"))


def test_a_star_bright_at_its_limb_is_not_physical():
    assert not is_physical(-0.1, 0.3)
    assert not is_physical(0.8, 0.3)
    assert not is_physical(0.3, -0.2)
    np.testing.assert_array_equal(is_physical(np.array([0.4, 1.2]), 0.2), [True, False])


@pytest.mark.parametrize("depth", [0.002, 0.01, 0.05])
def test_a_transit_of_a_wanted_depth_is_that_deep_and_lasts_as_long_as_wanted(depth):
    time = np.linspace(-0.1, 0.1, 4001)
    flux = transit_of_depth(time, tc=0.01, t14=0.08, depth=depth)
    assert 1 - flux.min() == pytest.approx(depth, rel=1e-6)
    inside = time[flux < 1]
    assert (inside[0], inside[-1]) == pytest.approx((0.01 - 0.04, 0.01 + 0.04), abs=1e-4)
    smeared = transit_of_depth(time, tc=0.01, t14=0.08, depth=depth, exposure=0.02)
    inside = time[smeared < 1 - 1e-9]
    assert (inside[0], inside[-1]) == pytest.approx((0.01 - 0.05, 0.01 + 0.05), abs=2.5e-3)
