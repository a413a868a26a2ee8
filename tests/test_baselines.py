"""Which columns may enter a baseline, and which do."""

from itertools import pairwise

import numpy as np
import pytest

from potpyri_like.lightcurves._steps import freedom
from potpyri_like.lightcurves.baselines import (
    baseline_columns,
    choose_columns,
    flip_column,
    levelled,
    natural_coefficients,
    with_fitted_scatter,
)

TIME = np.linspace(0.1, 0.3, 200)


def recorded(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "airmass": 1 + 20 * (TIME - 0.25) ** 2,
        "x": 512 + np.cumsum(rng.normal(scale=0.1, size=TIME.size)),
        "fwhm": 5 + rng.normal(scale=0.3, size=TIME.size),
    }


def least_squares(flux, error, baseline):
    def chi2(names):
        columns = baseline.matrix[:, baseline.index(("constant", *names))]
        left = flux - columns @ np.linalg.lstsq(columns, flux, rcond=None)[0]
        return np.sum((left / error) ** 2)

    return chi2


def test_columns_have_median_zero_and_scatter_one_after_a_constant():
    baseline = baseline_columns(TIME, recorded())
    assert baseline.names == ("constant", "time", "time2", "airmass", "x", "fwhm")
    np.testing.assert_array_equal(baseline.matrix[:, 0], 1)
    np.testing.assert_allclose(np.median(baseline.matrix[:, 1:], axis=0), 0, atol=1e-12)
    scatter = 1.4826 * np.median(np.abs(baseline.matrix[:, 1:]), axis=0)
    np.testing.assert_allclose(scatter, 1, rtol=1e-9)


def test_a_column_that_cannot_serve_is_dropped_with_the_reason():
    columns = {"sky": np.full(200, 7.0), "fwhm": np.where(TIME < 0.25, np.nan, TIME)}
    baseline = baseline_columns(TIME, columns, candidates=("sky", "fwhm", "airmass"))
    assert baseline.names == ("constant",)
    assert baseline.dropped["sky"] == "constant"
    assert "of 200 points" in baseline.dropped["fwhm"]
    assert baseline.dropped["airmass"] == "not recorded"


def test_a_missing_value_is_interpolated_in_time():
    straight = 3 + 2 * TIME
    holed = np.where(np.arange(200) == 77, np.nan, straight)
    baseline = baseline_columns(TIME, {"x": holed}, candidates=("x",))
    whole = baseline.matrix[:, 1] * baseline.scale[1] + baseline.centre[1]
    np.testing.assert_allclose(whole, straight, rtol=1e-12)


def test_the_columns_given_are_left_alone():
    columns = recorded()
    columns["x"][3] = np.nan
    before = {name: values.copy() for name, values in columns.items()}
    baseline_columns(TIME, columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(values, before[name])


def test_a_meridian_flip_is_a_step_and_a_second_one_goes_back():
    np.testing.assert_array_equal(flip_column([0.0, 1.0, 2.0], 0.5), [0, 1, 1])
    np.testing.assert_array_equal(flip_column([0.0, 1.0, 2.0], (0.5, 1.5)), [0, 1, 0])
    baseline = baseline_columns(TIME, {"flip": flip_column(TIME, 0.15)}, candidates=("flip",))
    assert baseline.names == ("constant", "flip")


def test_the_columns_that_were_put_in_are_chosen_and_no_others():
    rng = np.random.default_rng(5)
    columns = recorded()
    flux = (
        1 + 0.02 * (columns["airmass"] - 1) - 0.002 * (columns["x"] - 512) + rng.normal(scale=1e-3, size=200)
    )
    baseline = baseline_columns(TIME, columns)
    choice = choose_columns(baseline.names[1:], least_squares(flux, 1e-3, baseline), n_points=200)
    assert choice.names == ("airmass", "x")
    assert choice.table["airmass"] < -10
    assert choice.table["x"] < -10
    assert choice.table["fwhm"] > 0
    assert min(bic for _, bic in choice.tried) == choice.bic


def test_pure_noise_asks_for_a_column_as_seldom_as_its_price_says():
    # A useless column gains a chi-square of one degree of freedom and costs ln 200: 2 in 100, for each of five.
    rng = np.random.default_rng(6)
    baseline = baseline_columns(TIME, recorded())
    needless = [
        len(choose_columns(baseline.names[1:], least_squares(flux, 1e-3, baseline), n_points=200).names)
        for flux in 1 + rng.normal(scale=1e-3, size=(40, 200))
    ]
    assert np.mean(needless) < 0.3


def test_a_column_that_another_makes_needless_is_taken_out_again():
    values = {(): 100.0, ("a",): 50.0, ("b",): 60.0, ("c",): 70.0}
    values |= {("a", "b"): 40.0, ("a", "c"): 42.0, ("b", "c"): 10.0, ("a", "b", "c"): 9.0}
    choice = choose_columns(("a", "b", "c"), values.__getitem__, n_points=100)
    assert choice.names == ("b", "c")
    assert choice.table["a"] == pytest.approx(np.log(100) - 1)


def test_the_table_tells_how_surely_each_column_is_rejected():
    gains = {(): 20.0, ("a",): 17.0, ("b",): 19.9, ("a", "b"): 16.9}
    choice = choose_columns(("a", "b"), gains.__getitem__, n_points=100)
    assert choice.names == ()
    assert choice.table == pytest.approx({"a": np.log(100) - 3, "b": np.log(100) - 0.1})


def test_a_rejected_coefficient_keeps_the_less_of_its_variance_the_surer_it_is_rejected():
    kept = [freedom(change, 100) for change in (0.01, 1.0, 2.0, 4.0, 4.6)]
    assert all(more > less for more, less in pairwise(kept[1:]))
    assert kept[0] == 0.9 and kept[-1] == pytest.approx(1 / (1 + np.exp(2.3)), abs=0.02)
    assert freedom(1e6, 100) < 1e-6


def test_coefficients_come_back_as_they_were_put_in():
    columns = recorded()
    flux = 0.9 + 0.02 * columns["airmass"] - 0.002 * columns["x"]
    baseline = baseline_columns(TIME, columns)
    names = ("constant", "airmass", "x")
    fitted = np.linalg.lstsq(baseline.matrix[:, baseline.index(names)], flux, rcond=None)[0]
    natural = natural_coefficients(baseline, names, fitted)
    assert natural == pytest.approx({"constant": 0.9, "airmass": 0.02, "x": -0.002}, rel=1e-9)


def test_a_constant_star_is_levelled_by_what_it_follows_and_outliers_have_no_say():
    rng = np.random.default_rng(3)
    columns = recorded()
    noise = 1e-3 * rng.normal(size=TIME.size)
    flux = 0.9 * (1 + 0.02 * (columns["airmass"] - 1)) * (1 + noise)
    flux[[5, 90]] = 1.5, np.nan
    before = flux.copy()
    found, names = levelled(TIME, flux, np.full(TIME.size, 9e-4), columns)
    assert names == ("airmass",)
    good = np.isfinite(found)
    assert not good[5] and not good[90] and good.sum() > TIME.size - 8
    assert np.std(found[good] - 1 - noise[good]) < 3e-4
    assert np.array_equal(flux, before, equal_nan=True)


def test_white_noise_keeps_its_scatter_and_too_few_points_are_left_alone():
    rng = np.random.default_rng(4)
    flux = 1 + 1e-3 * rng.normal(size=TIME.size)
    found, names = levelled(TIME, flux, np.full(TIME.size, 1e-3), recorded())
    assert names == () and np.nanstd(found) == pytest.approx(np.std(flux), rel=0.02)
    few, none = levelled(TIME[:8], flux[:8], np.full(8, 1e-3), {})
    assert np.array_equal(few, flux[:8]) and none == ()


@pytest.mark.parametrize("fitted", [0, 2, 6])
def test_the_scatter_that_a_fit_took_is_given_back(rng, fitted):
    n, squares = 20, []
    for _ in range(600):
        columns = rng.normal(size=(n, fitted + 1))
        columns[:, 0] = 1
        noise = 0.003 * rng.normal(size=n)
        left = noise - columns @ np.linalg.lstsq(columns, noise, rcond=None)[0]
        squares.append(np.var(with_fitted_scatter(1 + left, fitted), ddof=1))
    assert np.sqrt(np.mean(squares)) == pytest.approx(0.003, rel=0.03)


def test_points_that_were_not_measured_do_not_count_as_freedom():
    flux = np.array([1.1, np.nan, 0.9, 1.1, 0.9, np.nan])
    assert with_fitted_scatter(flux, 3)[0] == pytest.approx(1 + 0.1 * np.sqrt(4))
    assert np.isnan(with_fitted_scatter(flux, 3)[[1, 5]]).all()
    assert with_fitted_scatter(flux, 50)[0] == pytest.approx(1.2)
