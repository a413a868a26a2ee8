"""Noise on the time scale of a transit. The figures are those that archi itself gives on like series."""

import numpy as np
import pytest

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.cdpp import cdpp, cdpp_in_time

PPM = 1e-6


def mean_of(metric, rng, signal, runs=30):
    time = np.arange(signal.size)
    return np.mean([metric(signal + 100 * PPM * rng.normal(size=signal.size), time) for _ in range(runs)])


def test_white_noise_of_100_ppm_gives_17_4(rng):
    assert mean_of(cdpp, rng, np.ones(1000)) == pytest.approx(17.4 * PPM, rel=0.02)


def test_a_dip_of_one_per_cent_is_hardly_seen(rng):
    n = np.arange(500)
    assert mean_of(cdpp, rng, 1 - 0.01 * ((n > 200) & (n < 300))) == pytest.approx(18.5 * PPM, rel=0.03)


def test_a_slow_sinusoid_is_not_seen(rng):
    slow = 1 + 0.005 * np.sin(2 * np.pi * np.arange(1000) / 100)
    assert mean_of(cdpp, rng, slow) == pytest.approx(17.9 * PPM, rel=0.02)


def test_the_unit_of_the_flux_does_not_matter_while_the_frames_are_even(rng):
    time, flux = np.arange(400), 1 + 0.001 * rng.normal(size=400)
    assert cdpp(5e4 * flux, time) == pytest.approx(cdpp(flux, time))


def test_outliers_are_left_out(rng):
    time, flux = np.arange(600), 1 + 100 * PPM * rng.normal(size=600)
    clean = cdpp(flux, time)
    flux[::60] += 0.002
    assert cdpp(flux, time) == pytest.approx(clean, rel=0.2)  # kept, they would make it 70 ppm


def test_over_gaps_the_trend_of_bright_stars_is_one_in_time(rng):
    # Runs of 25 frames with gaps as long: a parabola in time is none in frames.
    time = np.arange(1000)[np.arange(1000) // 25 % 2 == 0]
    signal = 1e8 * (1 + 1e-6 * (time - 500.0) ** 2)
    noise = 1e4 * rng.normal(size=time.size)
    assert cdpp(signal + noise, time) == pytest.approx(17.4 * PPM, rel=0.15)
    assert cdpp((signal + noise) / 1e8, time) > 100 * PPM


@pytest.mark.parametrize("metric", [cdpp, lambda flux, time: cdpp_in_time(flux, time, duration=30)])
def test_nan_is_left_out_and_nothing_is_changed(rng, metric):
    time, flux = np.arange(300.0), 1 + 1e-3 * rng.normal(size=300)
    holes, times = np.insert(flux, [5, 90, 200], np.nan), np.insert(time, [5, 90, 200], [4.5, 89.5, 7.0])
    before = holes.copy()
    assert metric(holes, times) == metric(flux, time)
    assert np.array_equal(holes, before, equal_nan=True)
    mixed = rng.permutation(300)
    assert metric(flux[mixed], time[mixed]) == metric(flux, time)


def test_fewer_than_sixty_points_give_nan(rng):
    flux = 1 + 1e-3 * rng.normal(size=61)
    flux[0] = np.nan
    assert np.isfinite(cdpp(flux, np.arange(61)))
    assert np.isnan(cdpp(flux[:-1], np.arange(60)))
    assert np.isnan(cdpp(-np.abs(flux), np.arange(61)))


@pytest.mark.parametrize("duration", [20, 30, 100])
def test_in_time_white_noise_is_that_of_the_mean(rng, duration):
    figure = mean_of(lambda f, t: cdpp_in_time(f, t, duration=duration), rng, np.ones(2000), runs=10)
    assert figure == pytest.approx(100 * PPM / np.sqrt(duration), rel=0.05)


def test_in_time_lost_frames_cost_precision_and_gaps_do_not(rng):
    time = np.concatenate([np.arange(1000), 5000 + np.arange(1000)])
    slow = 1 + 0.001 * np.sin(2 * np.pi * time / 500)
    noise = 100 * PPM * rng.normal(size=2000)
    assert cdpp_in_time(slow + noise, time, duration=40) == pytest.approx(100 * PPM / np.sqrt(40), rel=0.07)
    lost = rng.random(2000) < 0.5
    figure = cdpp_in_time((slow + noise)[~lost], time[~lost], duration=40)
    assert figure == pytest.approx(100 * PPM / np.sqrt(20), rel=0.09)


def test_in_time_too_few_points_give_nan_in_silence():
    for n in range(6):
        assert np.isnan(cdpp_in_time(np.arange(1.0, n + 1), np.arange(n), duration=2))
    assert np.isnan(cdpp_in_time(np.full(50, np.nan), np.arange(50), duration=2))


@pytest.mark.parametrize("duration", [0, -1.0, np.nan, np.inf])
def test_a_duration_that_is_none_is_told(duration):
    with pytest.raises(UsageError, match="must be above 0"):
        cdpp_in_time(np.ones(99), np.arange(99), duration=duration)


@pytest.mark.parametrize("period", [2.0, 3.0])
def test_the_trend_is_a_quadratic_over_a_window_of_41_thirtieths_of_the_duration(period):
    duration, step = 1.0, 1 / 120
    time = step * np.arange(12 * 120)
    flux = 1 + 1e-3 * np.sin(2 * np.pi * time / period + 0.3)
    half = 41 / 30 * duration / 2
    left = []
    for at in time:
        near = np.abs(time - at) <= half
        left.append(np.interp(at, time, flux) - np.polyval(np.polyfit(time[near] - at, flux[near], 2), 0))
    scatters = [np.std(part, ddof=1) for part in np.reshape(left, (12, -1))]  # intervals of the duration
    typical = np.median(scatters) / np.sqrt(duration / step)
    assert cdpp_in_time(flux, time, duration=duration) == pytest.approx(typical, rel=0.1)
