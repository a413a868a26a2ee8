"""Noise against the width of bins."""

import numpy as np
import pytest
from scipy.signal import lfilter

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.rednoise import TimeAveraging, beta_at, time_averaging

CADENCE = 30 / 86400


def red_noise(rng, n, tau):
    """An AR(1) series of unit variance, correlation exp(-1 / tau) from one point to the next."""
    rho = np.exp(-1 / tau)
    start = rng.normal()
    return lfilter([np.sqrt(1 - rho**2)], [1, -rho], rng.normal(size=n), zi=[rho * start])[0]


def red_beta(n, tau):
    """Beta of bins of n points of AR(1) noise: the sum of its covariance over the n**2 pairs of a bin."""
    rho = np.exp(-1 / tau)
    pairs = rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return np.sqrt(pairs.sum() / n)


def series_with(beta, width):
    none = np.full_like(beta, np.nan)
    return TimeAveraging(width, none, none, none, none, none, none, beta)


@pytest.mark.slow
def test_white_noise_has_the_variance_that_is_expected_at_every_width(rng):
    time = 2460729.9 + np.arange(400) * CADENCE
    runs = [time_averaging(time, rng.normal(size=400)) for _ in range(64)]
    square = np.array([run.beta**2 for run in runs])
    assert np.abs((square.mean(axis=0) - 1) / (square.std(axis=0) / 8 + 1e-3)).max() < 4


def test_white_noise_falls_within_the_error_of_what_is_expected(rng):
    time = np.arange(400) * CADENCE
    runs = [
        time_averaging(time, rng.normal(size=400), widths=np.array([10, 40]) * CADENCE) for _ in range(150)
    ]
    inside = [
        (run.rms > run.expected - run.expected_error[0]) & (run.rms < run.expected + run.expected_error[1])
        for run in runs
    ]
    assert 0.65 < np.mean(inside) < 0.88  # 0.68, and some caution


def test_the_error_bars_of_the_scatter_hold_the_truth_two_times_in_three(rng):
    time = np.arange(300) * CADENCE
    held = []
    for _ in range(150):
        run = time_averaging(time, rng.normal(size=300), widths=[30 * CADENCE])
        held.append((run.rms - run.rms_error[0] < 30**-0.5) & (run.rms + run.rms_error[1] > 30**-0.5))
    assert np.mean(held) == pytest.approx(0.7, abs=0.1)


def test_correlated_noise_has_the_beta_of_its_covariance(rng):
    points = np.array([1, 5, 20, 60])
    run = time_averaging(np.arange(100_000), red_noise(rng, 100_000, tau=10), widths=points)
    assert run.n == pytest.approx(points, rel=1e-3)
    assert run.beta == pytest.approx([red_beta(n, 10) for n in points], rel=0.05)


def test_the_scatter_of_correlated_noise_lies_within_its_error_of_the_truth(rng):
    time, widths = np.arange(1000) * CADENCE, np.array([5, 20]) * CADENCE
    truth = np.array([red_beta(n, 3) / np.sqrt(n) for n in (5, 20)])
    runs = [time_averaging(time, red_noise(rng, 1000, tau=3), widths=widths) for _ in range(60)]
    pulls = [(run.rms - truth) / run.rms_error.mean(axis=0) for run in runs]
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.5
    assert np.std(pulls, axis=0).max() < 1.5


def test_a_gap_and_nan_leave_white_noise_white(rng):
    time = np.concatenate([np.arange(3000), 10_000 + np.arange(3000), [20_000]]) * CADENCE
    residuals = rng.normal(size=time.size)
    residuals[rng.random(time.size) < 0.3] = np.nan
    run = time_averaging(time, residuals, widths=np.array([3, 10, 30]) * CADENCE)
    assert run.beta == pytest.approx(1, abs=0.12)
    assert run.n == pytest.approx([2.2, 7, 21], rel=0.1)


def test_default_widths_go_from_the_cadence_to_a_quarter_of_the_span(rng):
    run = time_averaging(np.arange(400) * CADENCE, rng.normal(size=400))
    assert run.width[[0, -1]] == pytest.approx([CADENCE, 100 * CADENCE])
    assert run.n[0] == pytest.approx(1)
    assert 3 <= run.n_bins[-1] <= 4


def test_neither_the_level_nor_the_order_of_the_points_matters(rng):
    time, residuals = np.arange(200) * CADENCE, rng.normal(size=200)
    before = time.copy(), residuals.copy()
    mixed = rng.permutation(200)
    run, other = time_averaging(time, residuals), time_averaging(time[mixed], 7 + residuals[mixed])
    assert run.beta == pytest.approx(other.beta)
    assert (time == before[0]).all()
    assert (residuals == before[1]).all()


def test_few_points_give_nothing_or_nan_in_silence():
    assert time_averaging([], []).width.size == 0
    assert time_averaging([1.0, np.nan, 2.0], [1.0, 1.0, np.nan]).width.size == 0
    assert np.isnan(time_averaging([1.0, 2.0], [0.0, 1.0], widths=[5.0]).beta).all()
    assert np.isnan(time_averaging(np.arange(30), np.zeros(30)).beta).all()
    assert beta_at(time_averaging([], []), 0.01) == 1


def test_beta_is_the_median_over_a_range_and_never_below_one():
    run = series_with(np.array([0.7, 1.2, 1.6, 1.4, np.nan]), np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert beta_at(run, 2, 5) == pytest.approx(1.4)
    assert beta_at(run, 0.5, 1.5) == 1
    assert beta_at(run, 3.2) == pytest.approx(1.5)  # 3 and 4 are within a factor of 1.5
    assert beta_at(run, 40, 50) == pytest.approx(1.4)
    assert beta_at(run, 0, 0.5) == 1
    assert beta_at(run, np.nan) == 1


@pytest.mark.parametrize("width", [0.0, -1.0, np.nan, np.inf])
def test_a_width_that_is_none_is_told(width):
    with pytest.raises(UsageError, match="each must be above 0, in days"):
        time_averaging(np.arange(9), np.arange(9), widths=[1.0, width])


def test_white_noise_in_a_handful_of_bins_has_no_bias(rng):
    time, squares = np.arange(120.0), []
    for _ in range(400):
        averaging = time_averaging(time, rng.normal(size=120), widths=[30.0])  # four bins, or three
        squares.append((averaging.rms[0] ** 2, averaging.expected[0] ** 2))
    measured, expected = np.mean(squares, axis=0)
    assert measured == pytest.approx(
        expected, rel=0.12
    )  # without the lost degree of freedom a quarter is missing
