"""Which darks are of one exposure, and how others follow from them."""

import numpy as np
import pytest

from potpyri_like.imaging import (
    Pixels,
    curvature_variance,
    dark_shares,
    group_exposures,
    same_exposure,
    weighted_sum,
)


def test_what_a_shutter_makes_of_a_minute_is_one_exposure():
    assert group_exposures([60.001, 59.999, 60.002, 10, 60.0]) == [[10], [59.999, 60.0, 60.001, 60.002]]
    assert group_exposures([0.1, 0.1015, 0.2]) == [[0.1, 0.1015], [0.2]]


def test_exposures_that_creep_upwards_are_not_all_one():
    groups = group_exposures(60 * 1.0005 ** np.arange(12))
    assert len(groups) > 3
    assert all(same_exposure(group[0], group[-1]) for group in groups)


def test_exposures_a_percent_apart_differ():
    assert not same_exposure(60.0, 60.6)
    assert not same_exposure(1.0, 1.01)


def test_between_two_exposures_the_dark_lies_on_their_line():
    method, shares = dark_shares([10, 60], 30, has_bias=False)
    assert method == "interpolated"
    assert sum(shares.values()) == pytest.approx(1)
    assert sum(t * share for t, share in shares.items()) == pytest.approx(30)


@pytest.mark.parametrize("exposure", [5.0, 600.0])
def test_with_a_bias_the_nearest_dark_is_scaled_and_no_line_is_continued(exposure):
    method, shares = dark_shares([60, 61, 120], exposure, has_bias=True)
    nearest = 60 if exposure < 60 else 120
    assert (method, shares) == ("scaled", {nearest: exposure / nearest})


def test_without_a_bias_a_line_needs_a_lever():
    assert dark_shares([59.9, 60.7], 5, has_bias=False) is None
    assert dark_shares([10, 60], 120, has_bias=False).method == "extrapolated"


def test_a_dark_without_exposure_is_not_scaled():
    assert dark_shares([0.0], 5, has_bias=True) is None
    assert dark_shares([], 5, has_bias=True) is None
    assert dark_shares([60.0], -1, has_bias=True) is None


def test_the_nearest_of_several_darks_is_the_exact_one():
    assert dark_shares([59.9, 60.1, 60.05], 60.04, has_bias=False) == ("exact", {60.05: 1.0})


def test_the_variance_of_a_sum_is_that_of_its_parts(rng):
    level, error = {10.0: 25.0, 60.0: 125.0}, {10.0: 0.5, 60.0: 2.0}
    shares = {10.0: 0.6, 60.0: 0.4}
    parts = {
        t: Pixels(
            rng.normal(level[t], error[t], (200, 200)).astype(np.float32),
            np.full((200, 200), error[t] ** 2, np.float32),
            np.zeros((200, 200), np.uint16),
        )
        for t in level
    }
    parts[10.0].mask[3, 4] = 1
    total = weighted_sum(parts, shares)
    assert total.data.mean() == pytest.approx(0.6 * 25 + 0.4 * 125, abs=0.05)
    assert total.variance.mean() == pytest.approx(total.data.var(), rel=5 * np.sqrt(2 / 40_000))
    assert total.mask.sum() == total.mask[3, 4] == 1


# -- dark current that does not grow in a straight line ---------------------------------------------------------------


def darks_of(rng, rate, bend, times, *, noise=2.0):
    """Darks of these exposures whose current falls with time by the part `bend` per second."""
    return {
        float(t): Pixels(
            (rate * t * (1 - bend * t) + rng.normal(0, noise, rate.shape)).astype(np.float32),
            np.full(rate.shape, noise**2, np.float32),
            np.zeros(rate.shape, np.uint16),
        )
        for t in times
    }


def warm(rng):
    return 0.5 + 5 * (rng.random((200, 200)) < 0.05) * rng.exponential(size=(200, 200))


@pytest.mark.parametrize(
    ("times", "exposure", "has_bias"),
    [((10, 30, 60), 45.0, False), ((10, 60), 30.0, True), ((20, 60), 5.0, True)],
)
def test_an_interpolated_dark_carries_the_error_of_its_straight_line(rng, times, exposure, has_bias):
    rate, bend = warm(rng), 1e-3
    parts = darks_of(rng, rate, bend, times)
    shares = dark_shares(list(parts), exposure, has_bias=has_bias).shares
    made = weighted_sum(parts, shares)
    zero = np.zeros(rate.shape) if has_bias else None
    more = curvature_variance(parts, shares, exposure, at_zero=zero)
    off = made.data - rate * exposure * (1 - bend * exposure)
    hot = rate > 3
    # the mean of 1700 squares is known to 3.4 %; their distribution within a bin of levels is not that of the noise
    assert np.mean(off[hot] ** 2 / (made.variance + more)[hot]) == pytest.approx(1, abs=0.3)
    assert np.mean(off[hot] ** 2 / made.variance[hot]) > 2


def test_a_straight_dark_current_adds_nothing_and_two_points_show_nothing(rng):
    rate = warm(rng)
    for times, zero in (((10, 30, 60), None), ((10, 60), np.zeros(rate.shape))):
        parts = darks_of(rng, rate, 0.0, times)
        shares = dark_shares(list(parts), 45.0, has_bias=zero is not None).shares
        assert curvature_variance(parts, shares, 45.0, at_zero=zero) is None
    parts = darks_of(rng, rate, 1e-3, (10, 60))
    shares = dark_shares(list(parts), 45.0, has_bias=False).shares
    assert curvature_variance(parts, shares, 45.0) is None
