"""Which of two series comes first."""

import numpy as np
import pytest
from scipy.signal import lfilter

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.lags import correlation, lag


def source(rng, length, tau=8.0, step=0.05):
    """A flickering source on a fine grid that begins 30 before the observations and ends 30 after."""
    rho = np.exp(-step / tau)
    n = int((length + 60) / step)
    white = np.sqrt(1 - rho**2) * rng.normal(size=n)
    return step * np.arange(n) - 30, lfilter([1], [1, -rho], white, zi=[rho * rng.normal()])[0]


def seen(rng, source, time, delay, sigma):
    flux = np.interp(time - delay, *source) + sigma * rng.normal(size=time.size)
    return 2460000.0 + time, flux, np.full(time.size, sigma)


def pair(rng, delay, *, n=150, even=False, gap=False, sigma=0.3):
    """Two bands of which the second follows by `delay`."""
    times = [np.arange(n) * 1.0 if even else np.sort(rng.uniform(0, n, n)) for _ in range(2)]
    if gap:
        times = [t[(t < start) | (t > start + 30)] for t, start in zip(times, (40, 90), strict=True)]
    real = source(rng, n)
    return seen(rng, real, times[0], 0.0, sigma), seen(rng, real, times[1], delay, sigma)


def pulls(rng, delay, runs, **options):
    found = [lag(*pair(rng, delay, **options), max_lag=20, realisations=60, seed=i) for i in range(runs)]
    return np.array([(one.lag - delay) / one.lag_error for one in found])


@pytest.mark.slow
@pytest.mark.parametrize(("even", "delay"), [(True, 0.0), (False, 3.3)])
def test_the_lag_comes_back_within_its_error(rng, even, delay):
    off = pulls(rng, delay, 12, even=even)
    assert abs(off.mean()) < 0.7
    assert np.abs(off).max() < 3.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("delay", "even", "gap"), [(0.0, True, False), (3.3, False, False), (-6.0, False, True)]
)
def test_a_hundred_nights_scatter_as_their_errors_say(rng, delay, even, gap):
    off = pulls(rng, delay, 100, even=even, gap=gap)
    assert abs(off.mean()) < 0.3
    assert 0.6 < off.std() < 1.15  # the errors of this method are known to be cautious


def test_a_positive_lag_is_that_of_a_second_series_that_follows():
    time = np.linspace(0, 100, 301)
    first, second = np.exp(-0.5 * ((time - 50) / 4) ** 2), np.exp(-0.5 * ((time - 57) / 4) ** 2)
    found = lag((time, first, 0 * time), (time, second, 0 * time), realisations=0)
    assert found.lag == pytest.approx(7, abs=0.1)
    assert found.peak_lag == pytest.approx(7, abs=0.2)
    assert found.peak == pytest.approx(1, abs=1e-3)
    assert lag((time, second, 0 * time), (time, first, 0 * time), realisations=0).lag == pytest.approx(
        -found.lag
    )


def test_at_simultaneous_times_the_correlation_at_no_lag_is_pearson_s(rng):
    time, first = np.arange(80) * 0.5, rng.normal(size=80)
    second = first + rng.normal(size=80)
    (value,) = correlation((time, first), (time, second), [0.0])
    assert value == pytest.approx(np.corrcoef(first, second)[0, 1])
    shifted = correlation((time, first), (time, second), [2.0])  # four points
    assert shifted == pytest.approx(np.corrcoef(first[:-4], second[4:])[0, 1])


def test_nothing_is_interpolated_over_a_gap(rng):
    early, late = np.arange(50.0), np.arange(100.0, 150)
    first = np.concatenate([early, late]), rng.normal(size=100)
    second = np.arange(60.0, 90), rng.normal(size=30)
    assert np.isnan(correlation(first, second, [0.0])).all()  # all of the second is in the gap of the first
    assert np.isfinite(correlation(first, second, [30.0])).all()


def test_the_same_seed_gives_the_same_lag_and_another_the_same_within_its_error(rng):
    both = pair(rng, 3.0)
    one, same, other = (lag(*both, max_lag=20, realisations=40, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.realisations, same.realisations)
    assert not np.array_equal(one.realisations, other.realisations)
    assert other.lag_error == pytest.approx(one.lag_error, rel=0.6)


def test_noise_widens_the_error(rng):
    quiet, loud = (
        np.mean([lag(*pair(rng, 2.0, sigma=s), max_lag=20, realisations=30).lag_error for _ in range(4)])
        for s in (0.1, 0.6)
    )
    assert loud > 1.5 * quiet


def test_lags_go_by_half_a_cadence_to_a_quarter_of_the_overlap(rng):
    (time, flux, error), second = pair(rng, 0.0, even=True, n=81)
    found = lag((time, flux, error), second, realisations=0)
    assert found.lags == pytest.approx(np.arange(-40, 41) / 2)
    fine = lag((time, flux, error), second, step=1e-3, max_lag=0.01, realisations=0)
    assert fine.lags == pytest.approx(np.arange(-10, 11) / 1000)


def test_the_default_grid_of_a_long_series_has_four_hundred_lags(rng):
    time = np.arange(3000.0)
    found = lag((time, rng.normal(size=3000), time), (time, rng.normal(size=3000), time), realisations=0)
    assert found.lags.size == 401


def test_two_trends_have_no_peak_and_it_is_told():
    time = np.arange(100.0)
    found = lag((time, time, 0 * time + 1e-3), (time, time, 0 * time + 1e-3), realisations=5)
    assert np.isnan(found.lag)
    assert "no peak" in found.notes[0]
    assert "only 0 of 5" in found.notes[1]


def test_too_little_is_nan_and_says_why(rng):
    time, flux, error = np.arange(50.0), rng.normal(size=50), np.ones(50)
    few = lag((time[:5], flux[:5], error[:5]), (time, flux, error))
    apart = lag((time, flux, error), (time + 1000, flux, error))
    constant = lag((time, np.ones(50), error * 0), (time, np.ones(50), error * 0), realisations=2)
    for found, why in ((few, "needs 10"), (apart, "do not overlap"), (constant, "no peak")):
        assert np.isnan([found.lag, found.lag_error, found.peak, found.peak_lag]).all()
        assert why in found.notes[0]
    assert np.isnan(correlation(([], []), (time, flux), [0.0, 1.0])).all()
    assert np.isnan(lag((error, flux, error), (error, flux, error)).lag)


def test_nan_is_left_out_and_nothing_is_changed(rng):
    (time, flux, error), second = pair(rng, 2.0)
    holes = (np.insert(time, 70, time[70]), np.insert(flux, 70, np.nan), np.insert(error, 70, 0.1))
    before = [column.copy() for column in holes]
    options = {"max_lag": 20, "realisations": 5}
    assert lag(holes, second, **options).lag == lag((time, flux, error), second, **options).lag
    mixed = rng.permutation(time.size)
    assert lag((time[mixed], flux[mixed], error[mixed]), second, **options).lag == pytest.approx(
        lag((time, flux, error), second, **options).lag
    )
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(holes, before, strict=True))


@pytest.mark.parametrize(
    "options", [{"max_lag": -1}, {"step": 0}, {"step": 5, "max_lag": 2}, {"max_lag": np.inf}]
)
def test_a_range_of_lags_that_is_none_is_told(rng, options):
    with pytest.raises(UsageError, match="the step must be above 0"):
        lag(*pair(rng, 0.0, n=30), realisations=0, **options)
