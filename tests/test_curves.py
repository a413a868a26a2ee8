"""What an ephemeris says before the night, and where a transit may be by it."""

import numpy as np
import pytest

from potpyri_like.lightcurves import (
    BandCurve,
    Prior,
    find_transit,
    is_due,
    priors_of_ephemeris,
    transit_light_curve,
)

ZERO, T14, NOISE = 2460000.0, 0.08, 1e-3


def night_with_transit_at(tc, seed=1, n=240):
    """Half a day of one band."""
    rng, time = np.random.default_rng(seed), ZERO + np.linspace(0, 0.5, n)
    flux = transit_light_curve(time, tc=tc, k=0.12, t14=T14, b=0.3, u1=0.4, u2=0.25)
    return BandCurve("r", time, flux + NOISE * rng.normal(size=n), np.full(n, NOISE))


@pytest.mark.parametrize("late", [-3, 3])
@pytest.mark.parametrize("error", [0.01, 0.05])
def test_a_transit_three_sigma_off_its_ephemeris_is_found_and_not_drawn_towards_it(late, error):
    true = ZERO + 0.25
    priors = priors_of_ephemeris(tc=true - late * error, tc_error=error, period=3.0, t14=T14)
    found = find_transit([night_with_transit_at(true)], priors=priors)
    assert found.tc == pytest.approx(true, abs=0.005)
    assert is_due(priors.tc, ZERO + np.linspace(0.24, 0.26, 30), t14=T14)
    # what the prior adds to chi-square is little beside the noise of one point
    assert ((true - priors.tc.mean) / priors.tc.sigma) ** 2 < 0.1


def test_a_prediction_that_is_sure_or_of_unknown_error_leaves_half_an_hour():
    for error in (np.nan, 0.0, 1e-5):
        assert priors_of_ephemeris(tc=ZERO, tc_error=error, period=3.0).tc == Prior(ZERO, 0.02)


def test_the_right_transit_of_a_well_known_ephemeris_is_meant():
    priors = priors_of_ephemeris(tc=ZERO + 0.4, tc_error=1e-3, period=0.25, t14=T14)
    both = night_with_transit_at(ZERO + 0.15)
    second = night_with_transit_at(ZERO + 0.4, seed=2)
    curve = BandCurve("r", both.time, both.flux * second.flux, both.error)
    assert find_transit([curve], priors=priors).tc == pytest.approx(ZERO + 0.4, abs=0.005)


def test_duration_and_impact_are_known_to_a_tenth_and_a_fifth_at_best():
    known = priors_of_ephemeris(tc=ZERO, period=3.0, t14=0.1, t14_error=0.0, b=0.4)
    assert known.t14 == Prior(0.1, pytest.approx(0.01)) and known.b == Prior(0.4, 0.2)
    assert priors_of_ephemeris(tc=ZERO, period=3.0, t14=0.1, t14_error=0.03).t14.sigma == 0.03
    assert known.period == Prior(3.0, 0.0)
    unknown = priors_of_ephemeris(tc=ZERO, period=3.0)
    assert unknown.t14 is None and unknown.b is None


@pytest.mark.parametrize(
    ("tc", "due"), [(-0.1, False), (-0.06, True), (0.25, True), (0.56, True), (0.6, False)]
)
def test_a_transit_is_due_where_half_of_it_and_its_uncertainty_reach_the_night(tc, due):
    times = ZERO + np.linspace(0, 0.5, 50)
    assert is_due(Prior(ZERO + tc, 0.03), times, t14=0.08) is due
    assert is_due(Prior(ZERO + tc, 0.03), times[::-1], t14=0.08) is due


def test_a_transit_of_unknown_length_takes_three_hours():
    times = ZERO + np.linspace(0, 0.5, 50)
    assert is_due(Prior(ZERO - 0.06, 0.0), times) and not is_due(Prior(ZERO - 0.065, 0.0), times)
