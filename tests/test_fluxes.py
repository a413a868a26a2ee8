"""The rms of a source against its flux."""

import numpy as np
import pytest
from scipy.signal import lfilter

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.fluxes import excess_variance, rms_flux, segment_duration

SIGMA = 0.05


def flicker(rng, n, tau, scatter):
    """Red noise of correlation time tau."""
    rho = np.exp(-1 / tau)
    white = scatter * np.sqrt(1 - rho**2) * rng.normal(size=n)
    return lfilter([1], [1, -rho], white, zi=[rho * scatter * rng.normal()])[0]


def within(n, tau, scatter):
    """The variance of n points of such noise about their own mean, from its covariance."""
    covariance = scatter**2 * np.exp(-np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / tau)
    return (np.trace(covariance) - covariance.sum() / n) / (n - 1)


def night(rng, *, multiplied, n=4000):
    """Fast flickering on slow changes, multiplied by them, as in accreting sources, or added to them."""
    slow, fast = flicker(rng, n, 600, 0.25), flicker(rng, n, 5, 0.15)
    flux = np.exp(slow + fast) if multiplied else 1 + slow + fast
    return np.arange(n), flux + SIGMA * rng.normal(size=n), np.full(n, SIGMA)


def test_flickering_in_proportion_to_the_flux_gives_a_line_through_nothing(rng):
    found = [rms_flux(*night(rng, multiplied=True), duration=40) for _ in range(60)]
    slope, intercept = np.array([(r.slope, r.intercept) for r in found]).T
    expected = np.sqrt(within(40, 600, 0.25) + within(40, 5, 0.15))
    assert slope.mean() == pytest.approx(expected, rel=0.06)
    pulls = intercept / [r.intercept_error for r in found]
    assert abs(pulls.mean()) < 0.5
    assert pulls.std() == pytest.approx(1, abs=0.35)


def test_flickering_added_to_the_flux_gives_no_slope(rng):
    found = [rms_flux(*night(rng, multiplied=False), duration=40) for _ in range(60)]
    pulls = np.array([r.slope / r.slope_error for r in found])
    assert abs(pulls.mean()) < 0.5
    assert pulls.std() == pytest.approx(1, abs=0.35)


def test_noise_that_grows_with_the_flux_is_no_relation(rng):
    time, slow = np.arange(4000), np.exp(flicker(rng, 4000, 600, 0.25))
    error = 0.1 * slow
    flux = slow + 0.05 * flicker(rng, 4000, 5, 1.0) + error * rng.normal(size=4000)
    told, ignored = (rms_flux(time, flux, e, duration=40) for e in (error, np.zeros(4000)))
    assert abs(told.slope) < 4 * told.slope_error
    assert ignored.slope > 6 * ignored.slope_error


def test_every_segment_is_in_one_group_and_the_order_of_the_points_does_not_matter(rng):
    time, flux, error = night(rng, multiplied=True)
    time, before, mixed = time + 2460729.0, flux.copy(), rng.permutation(4000)
    found = rms_flux(time, flux, error, duration=40)
    assert found.n_segments.sum() == 100
    assert (np.diff(found.flux) > 0).all()
    assert rms_flux(time[mixed], flux[mixed], error[mixed], duration=40).slope == pytest.approx(found.slope)
    assert (flux == before).all()


def test_too_few_segments_give_nan(rng):
    time, flux, error = night(rng, multiplied=True, n=400)
    for result in (
        rms_flux(time, flux, error, duration=40),
        rms_flux(time, flux, error, duration=2),
        rms_flux([], [], [], duration=1),
        rms_flux(time, np.full(400, np.nan), error, duration=10),
    ):
        assert np.isnan([result.slope, result.slope_error, result.intercept]).all()
        assert result.flux.size == 0
    assert np.isnan(rms_flux(time, np.ones(400), error, duration=10).slope)


def test_the_variance_beyond_the_noise_comes_back_within_its_error(rng):
    signal = 2 + 0.03 * np.sqrt(2) * np.sin(np.arange(600) * 2 * np.pi / 60)
    found = [excess_variance(signal + 0.04 * rng.normal(size=600), np.full(600, 0.04)) for _ in range(150)]
    pulls = np.array(
        [((v.value - 9e-4) / v.error, (v.fractional - 0.015) / v.fractional_error) for v in found]
    )
    assert np.abs(pulls.mean(axis=0)).max() < 0.35
    assert pulls.std(axis=0) == pytest.approx(1, abs=0.25)


def test_a_constant_source_has_no_excess(rng):
    found = [excess_variance(1 + 0.04 * rng.normal(size=300), np.full(300, 0.04)) for _ in range(100)]
    assert abs(np.mean([v.value / v.error for v in found])) < 0.4
    assert any(np.isnan(v.fractional) for v in found)


def test_nan_is_left_out_and_one_point_has_no_variance():
    assert excess_variance([1.0, np.nan, 3.0, 2.0], [0.1, 0.1, 0.1, np.nan]).n == 2
    assert np.isnan(excess_variance([1.0], [0.1]).value)


@pytest.mark.parametrize("duration", [0, -1, np.nan])
def test_a_duration_that_is_none_is_told(duration):
    with pytest.raises(UsageError, match="must be above 0"):
        rms_flux([1.0], [1.0], [1.0], duration=duration)


@pytest.mark.parametrize(("n", "expected"), [(2000, 50.0), (100, 8.0)])
def test_segments_are_a_fortieth_of_the_night_and_hold_eight_points(rng, n, expected):
    time = rng.permutation(np.arange(n, dtype=float))
    assert segment_duration(time) == pytest.approx(expected, rel=0.01)
    assert segment_duration(time / 86400) == pytest.approx(expected / 86400, rel=0.01)
