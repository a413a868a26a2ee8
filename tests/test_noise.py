"""One series at a time: its noise, and the noise that physics promises."""

import numpy as np
import pytest

from potpyri_like.photometry import noise


def transit(n, depth=0.015, start=0.35, end=0.65):
    x = np.arange(n) / n
    return 1 - depth * ((x > start) & (x < end))


@pytest.mark.parametrize("metric", [noise.rms, noise.robust_rms, noise.point_to_point])
def test_every_metric_gives_the_sigma_of_white_noise(rng, metric):
    assert metric(1 + 0.004 * rng.normal(size=20000)) == pytest.approx(0.004, rel=0.04)


def test_rms_is_about_the_mean_with_one_degree_of_freedom_less():
    assert noise.rms([1.0, 2.0, np.nan, 3.0]) == pytest.approx(1.0)


def test_a_transit_fools_the_rms_and_not_the_point_to_point_scatter(rng):
    flux = transit(2000) + 0.002 * rng.normal(size=2000)
    assert noise.rms(flux) > 0.006
    assert noise.point_to_point(flux) == pytest.approx(0.002, rel=0.08)


def test_outliers_do_not_move_the_robust_scatters(rng):
    flux = 1 + 0.002 * rng.normal(size=2000)
    flux[::100] = 5.0
    assert noise.robust_rms(flux) == pytest.approx(0.002, rel=0.1)
    assert noise.point_to_point(flux) == pytest.approx(0.002, rel=0.1)


def test_differences_over_long_gaps_do_not_count(rng):
    # 1000 pairs of frames, the star a little different in each, and an unbroken run that sets the cadence.
    time = np.concatenate(
        [np.repeat(np.arange(1000) * 3.0, 2) + np.tile([0.0, 0.1], 1000), 3000 + np.arange(50) / 10]
    )
    level = np.append(np.repeat(0.002 * rng.normal(size=1000), 2), np.zeros(50))
    flux = 1 + level + 0.001 * rng.normal(size=time.size)
    assert noise.point_to_point(flux, time) == pytest.approx(0.001, rel=0.06)
    assert noise.point_to_point(flux) > 0.0013


def test_the_order_of_the_points_does_not_matter_when_times_are_given(rng):
    time, flux = np.arange(300.0), np.sin(np.arange(300) / 40) + 0.01 * rng.normal(size=300)
    shuffled = rng.permutation(300)
    assert noise.point_to_point(flux[shuffled], time[shuffled]) == noise.point_to_point(flux, time)


@pytest.mark.parametrize(
    "metric", [noise.rms, noise.robust_rms, noise.point_to_point, noise.outlier_fraction]
)
def test_nan_is_left_out_and_nothing_gives_nan_in_silence(rng, metric):
    flux = 1 + 0.01 * rng.normal(size=100)
    holes = np.insert(flux, [0, 30, 30, 100], np.nan)
    assert metric(holes) == metric(flux)
    assert np.isnan(metric(np.full(5, np.nan)))
    assert np.isnan(metric([]))


def test_times_that_are_nan_leave_the_point_out(rng):
    time, flux = np.arange(100.0), rng.normal(size=100)
    time[50] = np.nan
    assert noise.point_to_point(flux, time) == noise.point_to_point(np.delete(flux, 50), np.delete(time, 50))


def test_expected_noise_is_the_root_mean_square_of_the_errors_or_their_median():
    error = [0.003, np.nan, 0.004, 0.012]
    assert noise.expected(error) == pytest.approx(np.sqrt((9 + 16 + 144) / 3) * 1e-3)
    assert noise.expected(error, robust=True) == pytest.approx(0.004)
    assert np.isnan(noise.expected([np.nan]))


def test_outliers_are_counted_on_both_sides_and_a_transit_is_none(rng):
    flux = transit(1000) + 0.002 * rng.normal(size=1000)
    assert noise.outlier_fraction(flux) < 0.004
    flux[[100, 300, 500, 700]] += [0.05, -0.05, 0.05, -0.05]
    assert 0.004 <= noise.outlier_fraction(flux) < 0.008
    assert noise.spikes(flux)[[100, 300, 500, 700]].all()


def test_the_running_median_passes_over_nan():
    flux = np.array([1.0, np.nan, 3.0, 100.0, 5.0])
    assert noise.running_median(flux, 3) == pytest.approx([1, 2, 51.5, 5, 52.5])
    both = noise.running_median(np.column_stack([flux, np.full(5, np.nan)]), 3)
    assert both[:, 0] == pytest.approx(noise.running_median(flux, 3))
    assert np.isnan(both[:, 1]).all()


def test_the_median_without_nan_is_that_of_numpy(rng):
    values = rng.normal(size=(31, 8))
    values[rng.random(values.shape) < 0.3] = np.nan
    assert noise.nan_median(values) == pytest.approx(np.nanmedian(values, axis=0))
    assert np.isnan(noise.nan_median(np.full((3, 2), np.nan))).all()
    assert noise.nan_median(np.empty((0, 2))).shape == (2,)


def test_the_ccd_equation_is_the_scatter_of_simulated_apertures(rng):
    flux, area, sky_pixels, sky, dark, read_noise, n = 900.0, 20, 60, 15.0, 3.0, 5.0, 20000
    pixel = rng.poisson(sky + dark, (n, area + sky_pixels)) + read_noise * rng.normal(
        size=(n, area + sky_pixels)
    )
    star = rng.poisson(flux, n) + pixel[:, :area].sum(axis=1) - area * pixel[:, area:].mean(axis=1)
    error = noise.ccd_error(flux, area=area, sky=sky, read_noise=read_noise, dark=dark, sky_pixels=sky_pixels)
    assert star.std() == pytest.approx(error, rel=0.02)  # the std of 20 000 is good to 0.5 %
    without_sky_error = noise.ccd_error(flux, area=area, sky=sky, read_noise=read_noise, dark=dark)
    assert star.std() > 1.04 * without_sky_error


def test_digitisation_adds_a_twelfth_of_the_gain_squared_per_pixel(rng):
    gain, area = 12.0, 30
    pixel = 200 + 8.0 * rng.normal(size=(20000, area))
    digital = gain * np.round(pixel / gain)
    error = noise.ccd_error(0.0, area=area, sky=0.0, read_noise=8.0, gain=gain)
    assert digital.sum(axis=1).std() == pytest.approx(error, rel=0.02)


def test_a_negative_flux_or_sky_counts_as_none_and_nan_stays():
    options = {"area": 10, "read_noise": 3.0}
    errors = noise.ccd_error(np.array([-50.0, 0.0, np.nan]), sky=-1.0, **options)
    assert errors[0] == errors[1] == pytest.approx(np.sqrt(90))
    assert np.isnan(errors[2])


@pytest.mark.parametrize(
    ("exposure", "airmass", "sigma"), [(5, 1, 1.02e-3), (30, 1, 0.41e-3), (30, 1.5, 0.76e-3)]
)
def test_scintillation_at_san_pedro_martir(exposure, airmass, sigma):
    value = noise.scintillation(exposure, airmass, diameter=2.1, altitude=2790.0, coefficient=1.67)
    assert value == pytest.approx(sigma, abs=0.6e-5)


def test_metrics_leave_their_arguments_alone(rng):
    flux, time = rng.normal(size=50), rng.permutation(50).astype(float)
    before = flux.copy(), time.copy()
    noise.point_to_point(flux, time)
    noise.spikes(flux)
    noise.rms(flux)
    assert np.array_equal(flux, before[0])
    assert np.array_equal(time, before[1])
