"""Bins of time."""

import numpy as np
import pytest

from potpyri_like.errors import UsageError
from potpyri_like.photometry.bins import bin_series


def test_bins_begin_at_the_first_time_and_empty_ones_are_left_out():
    bins = bin_series([10.0, 10.4, 11.2, 15.0], [1.0, 3.0, 5.0, 7.0], width=1.0)
    assert bins.time == pytest.approx([10.2, 11.2, 15.0])
    assert bins.value == pytest.approx([2, 5, 7])
    assert bins.n.tolist() == [2, 1, 1]


def test_the_error_is_that_of_the_mean_from_three_points_on():
    bins = bin_series(
        [0, 1, 2, 3, 10, 11], [1.0, 2.0, 3.0, 6.0, 4.0, 5.0], [0.3, 0.3, 0.3, 0.3, 0.3, 0.4], width=5
    )
    assert bins.error[0] == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2)
    assert bins.error[1] == pytest.approx(0.25)  # hypot(0.3, 0.4) / 2


def test_without_errors_two_points_have_no_error_rather_than_zero():
    bins = bin_series([0, 1, 10], [1.0, 1.0, 2.0], width=5)
    assert np.isnan(bins.error).all()


def test_a_bin_of_white_noise_is_as_good_as_its_error_says(rng):
    bins = bin_series(np.arange(40000), 1 + 0.01 * rng.normal(size=40000), width=40)
    assert bins.n.tolist() == [40] * 1000
    assert bins.error.mean() == pytest.approx(0.01 / np.sqrt(40), rel=0.02)
    assert np.std((bins.value - 1) / bins.error) == pytest.approx(1, abs=0.08)


def test_weights_make_the_noisy_points_count_less(rng):
    error = np.where(rng.random(8000) < 0.5, 0.001, 0.01)
    value = 1 + error * rng.normal(size=8000)
    plain = bin_series(np.arange(8000), value, error, width=20)
    weighted = bin_series(np.arange(8000), value, error, width=20, weighted=True)
    ideal = 1 / np.sqrt(10 / 0.001**2 + 10 / 0.01**2)
    assert weighted.value.std() == pytest.approx(ideal, rel=0.15)
    assert weighted.value.std() < 0.3 * plain.value.std()


def test_two_weighted_points_have_the_propagated_error():
    bins = bin_series([0, 1], [1.0, 2.0], [0.1, 0.2], width=5, weighted=True)
    assert bins.value == pytest.approx([(1 / 0.01 + 2 / 0.04) / (1 / 0.01 + 1 / 0.04)])
    assert bins.error == pytest.approx([1 / np.sqrt(1 / 0.01 + 1 / 0.04)])


def test_a_regular_cadence_in_julian_days_fills_every_bin_alike():
    time = 2460618.7497 + np.arange(300) * 30 / 86400
    assert bin_series(time, np.ones(300), width=300 / 86400).n.tolist() == [10] * 30


def test_nan_in_any_column_leaves_that_point_out():
    nan = np.nan
    bins = bin_series([0, nan, 1, 2, 3], [1.0, 9.0, nan, 2.0, 3.0], [0.1, 0.1, 0.1, nan, 0.1], width=10)
    assert bins.value == pytest.approx([2.0])
    assert bins.n.tolist() == [2]


def test_nothing_gives_no_bins():
    bins = bin_series([np.nan, 1], [1.0, np.nan], width=1)
    assert bins.time.size == bins.value.size == bins.error.size == bins.n.size == 0


def test_the_order_of_the_points_does_not_matter(rng):
    time, value = rng.uniform(0, 10, 200), rng.normal(size=200)
    order = np.argsort(time)
    before = time.copy()
    shuffled, sorted_ = bin_series(time, value, width=1), bin_series(time[order], value[order], width=1)
    assert shuffled.value == pytest.approx(sorted_.value)
    assert np.array_equal(time, before)


@pytest.mark.parametrize("width", [0, -1, np.nan])
def test_a_width_that_is_none_is_rejected(width):
    with pytest.raises(UsageError, match="width must be above 0"):
        bin_series([0, 1], [1, 1], width=width)


def test_weights_without_errors_are_rejected():
    with pytest.raises(UsageError, match="need errors"):
        bin_series([0, 1], [1, 1], width=1, weighted=True)
