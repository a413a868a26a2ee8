"""Periods and folded light curves."""

import numpy as np
import pytest
from astropy.timeseries import LombScargleMultiband

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.periods import fold, multiband_periodogram, periodogram, phase_bins

PERIOD = 0.021


def observed(rng, n=200, amplitude=0.004, sigma=0.003, phase=1.0, span=0.2):
    """An uneven night of a sinusoid with errors that differ."""
    time = 2460729.9 + np.sort(rng.uniform(0, span, n))
    error = sigma * rng.uniform(0.5, 1.5, n)
    return time, 1 + amplitude * np.sin(2 * np.pi * time / PERIOD + phase) + error * rng.normal(size=n), error


@pytest.mark.slow
def test_the_period_and_the_amplitude_come_back_within_their_errors(rng):
    found = [periodogram(*observed(rng)) for _ in range(80)]
    pulls = np.array(
        [
            ((p.period - PERIOD) / p.period_error, (p.amplitude[0] - 0.004) / p.amplitude_error[0])
            for p in found
        ]
    )
    assert np.abs(pulls.mean(axis=0)).max() < 0.4
    assert pulls.std(axis=0) == pytest.approx(1, abs=0.25)
    assert max(p.false_alarm for p in found) < 1e-6


def test_the_errors_follow_the_scatter_when_none_are_given_or_they_are_too_small(rng):
    time, flux, error = observed(rng)
    honest = periodogram(time, flux, error).period_error
    assert periodogram(time, flux).period_error == pytest.approx(honest, rel=0.3)
    assert periodogram(time, flux, error / 3).period_error == pytest.approx(honest, rel=0.15)


@pytest.mark.slow
def test_white_noise_reaches_a_level_as_often_as_its_probability_says(rng):
    found = [periodogram(np.sort(rng.uniform(0, 1, 60)), rng.normal(size=60)) for _ in range(150)]
    above = np.mean([p.best_power > p.levels for p in found], axis=0)
    assert above[0] == pytest.approx(0.1, abs=0.075)  # Baluev's is an upper limit
    assert above[2] <= 0.02
    one = found[0]
    assert (one.false_alarm < 0.1) == (one.best_power > one.levels[0])


def test_the_grid_goes_from_the_span_to_two_cadences(rng):
    time = np.arange(100) * 0.5
    found = periodogram(time, rng.normal(size=100))
    assert 1 / found.frequency[0] == pytest.approx(49.5)
    assert 1 / found.frequency[-1] == pytest.approx(1.0, rel=0.01)
    narrow = periodogram(time, rng.normal(size=100), min_period=4, max_period=10)
    assert 1 / narrow.frequency[[-1, 0]] == pytest.approx([4, 10], rel=0.02)


def test_a_period_that_was_not_seen_twice_is_told(rng):
    time = np.arange(200.0)
    flux = np.sin(2 * np.pi * time / 150) + 0.1 * rng.normal(size=200)
    (told,) = periodogram(time, flux).notes
    assert "longer than half of the span" in told
    assert not periodogram(time, np.sin(2 * np.pi * time / 30)).notes
    assert "end of the range" in periodogram(time, flux, max_period=50).notes[-1]


def test_several_bands_share_one_period_as_in_the_general_solution(rng):
    bands = [observed(rng, 150, amplitude, phase=k) for k, amplitude in enumerate([0.003, 0.002, 0.001])]
    bands = [(time, flux + k, error) for k, (time, flux, error) in enumerate(bands)]
    found = multiband_periodogram(bands, min_period=0.015, max_period=0.03)
    time, flux, error = (np.concatenate(column) for column in zip(*bands, strict=True))
    general = LombScargleMultiband(
        time - time.min(), flux, np.repeat([0, 1, 2], 150), error, nterms_base=0, nterms_band=1, reg_band=None
    )
    assert found.power == pytest.approx(general.power(found.frequency, method="flexible"), abs=0.01)
    assert found.amplitude == pytest.approx([0.003, 0.002, 0.001], abs=0.0015)


@pytest.mark.slow
def test_the_period_of_several_bands_comes_back_within_its_error(rng):
    pulls = []
    for _ in range(60):
        found = multiband_periodogram([observed(rng, 80, 0.003, phase=k) for k in range(3)])
        pulls.append((found.period - PERIOD) / found.period_error)
    assert abs(np.mean(pulls)) < 0.45
    assert np.std(pulls) == pytest.approx(1, abs=0.3)


def test_a_band_with_few_points_is_left_out_and_told(rng):
    full, poor = observed(rng), observed(rng, 5)
    found = multiband_periodogram([poor, full])
    assert found.period == pytest.approx(periodogram(*full).period, rel=1e-6)
    assert np.isnan(found.amplitude[0])
    assert "1 of 2 bands" in found.notes[-1]


def test_few_points_or_a_constant_give_nan_and_say_why():
    for result in (
        periodogram([], []),
        periodogram(np.arange(9.0), np.arange(9.0)),
        periodogram(np.arange(50.0), np.ones(50)),
        periodogram(np.ones(50), np.arange(50.0)),
        periodogram(np.arange(50.0), np.full(50, np.nan)),
        multiband_periodogram([]),
        multiband_periodogram([([1.0], [1.0], [1.0])]),
    ):
        assert np.isnan(result.period)
        assert "10 are needed" in result.notes[0]


def test_nan_is_left_out_and_nothing_is_changed(rng):
    time, flux, error = observed(rng)
    holes = [
        np.insert(column, [3, 90], [np.nan, value]) for column, value in ((time, 2460730.0), (flux, 9.0))
    ]
    holes.append(np.insert(error, [3, 90], [1.0, np.nan]))
    before = [column.copy() for column in holes]
    assert periodogram(*holes).period == periodogram(time, flux, error).period
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(holes, before, strict=True))


@pytest.mark.parametrize("limits", [(5, 4), (0, 4), (-1, None), (1e-9, None), (None, np.inf)])
def test_a_range_of_periods_that_is_none_is_told(limits):
    with pytest.raises(UsageError, match="period"):
        periodogram(np.arange(50.0), np.arange(50.0), min_period=limits[0], max_period=limits[1])


def test_the_epoch_is_at_phase_zero_and_half_a_period_later_at_minus_a_half():
    assert fold([10.0, 11.0, 11.5, 12.5, 8.9], 2.0, 10.0) == pytest.approx([0, -0.5, -0.25, 0.25, 0.45])
    phases = fold(2460729.9 + np.linspace(0, 1, 9999), 0.0001, 2460729.0)
    assert phases.min() >= -0.5
    assert phases.max() < 0.5
    assert fold([-1e-17 - 0.5], 1.0, 0.0)[0] == -0.5


@pytest.mark.parametrize(("period", "epoch"), [(0, 0), (-1, 0), (np.nan, 0), (1, np.nan)])
def test_a_period_that_is_none_is_told(period, epoch):
    with pytest.raises(UsageError, match="must be above 0"):
        fold([1.0], period, epoch)


def test_each_bin_of_phase_has_its_own_count_and_error():
    phase = [-0.5, -0.4, -0.3, 0.1, 0.2, 0.49, 0.6, np.nan]
    flux = [1.0, 2.0, 3.0, 4.0, 6.0, np.nan, 2.0, 9.0]
    bins = phase_bins(phase, flux, np.full(8, 0.3), n=4)
    assert bins.phase == pytest.approx([-0.375, -0.125, 0.125, 0.375])
    assert bins.n.tolist() == [4, 0, 2, 0]
    assert bins.value == pytest.approx([2, np.nan, 5, np.nan], nan_ok=True)
    assert bins.error[[0, 2]] == pytest.approx([np.std([1, 2, 3, 2], ddof=1) / 2, 0.3 / np.sqrt(2)])
    assert np.isnan(bins.error[[1, 3]]).all()


def test_a_folded_sinusoid_is_a_sinusoid_and_no_data_are_thrown_away(rng):
    time = rng.uniform(0, 100, 3000)
    bins = phase_bins(fold(time, 0.7, 3.0), np.sin(2 * np.pi * (time - 3) / 0.7), n=25)
    assert bins.n.sum() == 3000
    assert bins.value == pytest.approx(np.sin(2 * np.pi * bins.phase), abs=0.05)


def test_bins_of_phase_there_must_be():
    with pytest.raises(UsageError, match="give 1 or more"):
        phase_bins([0.0], [1.0], n=0)
    assert phase_bins([], [], n=3).n.tolist() == [0, 0, 0]
