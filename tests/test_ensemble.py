"""Comparison stars on simulated nights: photon noise, transparency, variables, holes, clouds."""

import csv

import numpy as np
import pytest

from potpyri_like.photometry.ensemble import (
    baseline,
    ensemble_light_curve,
    ensemble_weights,
    light_lost,
    relative_flux,
)
from potpyri_like.photometry.noise import point_to_point, rms


def night(rng, level, n_frames=100, *, extra=0.0, transparency=None):
    """Electrons and their errors, (n_frames, n_stars): Poisson and, on top, a relative scatter `extra`."""
    level = np.asarray(level, float)
    if transparency is None:
        transparency = 1 + 0.1 * np.sin(np.arange(n_frames) / 30) + 0.02 * rng.normal(size=n_frames)
    true = transparency[:, None] * level
    flux = true * (1 + extra * rng.normal(size=true.shape)) + np.sqrt(true) * rng.normal(size=true.shape)
    return flux, np.sqrt(true)


def slow(n_frames, amplitude):
    return 1 + amplitude * np.sin(np.arange(n_frames) / 15)


def transit(n_frames, depth=0.015, start=0.35, end=0.65):
    x = np.arange(n_frames) / n_frames
    return 1 - depth * ((x > start) & (x < end))


# weights


def test_twenty_identical_stars_share_alike():
    for seed in range(20):
        flux, error = night(np.random.default_rng(seed), np.full(20, 1e5))
        weights = ensemble_weights(flux, error).weights
        assert weights.sum() == pytest.approx(1)
        # The noise of the mean of 20 equal stars is sqrt(sum w**2) of one; 1 / sqrt(20) is ideal.
        assert np.sqrt(np.sum(weights**2) * 20) < 1.02


def test_weights_are_inverse_variances(rng):
    level = np.geomspace(1e4, 1e6, 12)
    weights = ensemble_weights(*night(rng, level, 300)).weights
    assert weights == pytest.approx(level / level.sum(), rel=0.1)  # Poisson: 1 / sigma**2 is the flux itself


def test_noise_that_the_errors_do_not_know_counts():
    # Scintillation of 1 %, for bright and faint alike: the weights flatten, and no bright star is a variable.
    level, loss = np.geomspace(1e4, 3e6, 30), []
    for seed in range(20):
        ensemble = ensemble_weights(*night(np.random.default_rng(seed), level, 150, extra=0.01))
        assert not any(ensemble.reasons)
        variance = 1 / level + 0.01**2
        loss.append(np.sqrt(np.sum(ensemble.weights**2 * variance) * np.sum(1 / variance)))
    assert np.mean(loss) < 1.03


def test_errors_too_small_by_a_common_factor_make_no_variables(rng):
    flux, error = night(rng, np.geomspace(1e4, 1e6, 20), 200)
    ensemble = ensemble_weights(flux, error / 4)
    assert not any(ensemble.reasons)
    assert ensemble.weights == pytest.approx(ensemble_weights(flux, error).weights, rel=0.3)


@pytest.mark.parametrize("variable", [0, 10, 19])
def test_one_variable_among_twenty_has_no_weight_and_is_named(variable):
    for seed in range(10):
        flux, error = night(np.random.default_rng(seed), np.geomspace(2e4, 4e5, 20))
        flux[:, variable] *= slow(100, 0.05)
        ensemble = ensemble_weights(flux, error)
        assert ensemble.weights[variable] == 0
        assert ensemble.reasons[variable].startswith("variable: rms is ")
        assert np.count_nonzero(ensemble.weights) == 19


def test_the_reason_says_how_many_times_the_noise(rng):
    flux, error = night(rng, np.full(20, 1e5), 400)
    flux[:, 3] *= 1 + 0.02 * rng.normal(size=400)
    noise = np.hypot(0.02, 1e5**-0.5) / 1e5**-0.5
    ensemble = ensemble_weights(flux, error)
    assert float(ensemble.reasons[3].split()[3]) == pytest.approx(noise, rel=0.1)
    assert ensemble.scatter[3] / ensemble.expected[3] == pytest.approx(noise, rel=0.1)


def test_a_slow_variable_too_small_to_be_thrown_out_loses_weight(rng):
    flux, error = night(rng, np.full(20, 1e5), 200)
    flux[:, 7] *= slow(200, 0.008)  # rms 1.8 times the photon noise
    ensemble = ensemble_weights(flux, error)
    assert not ensemble.reasons[7]
    assert ensemble.weights[7] < 0.5 * np.median(ensemble.weights)


def test_a_comparison_star_in_eclipse_loses_its_weight(rng):
    flux, error = night(rng, np.full(20, 1e5), 200)
    flux[:, 7] *= transit(200, 0.05, 0.4, 0.5)
    assert ensemble_weights(flux, error).weights[7] == 0


def test_single_outliers_cost_a_star_no_weight(rng):
    flux, error = night(rng, np.full(20, 1e5), 200)
    clean = ensemble_weights(flux, error).weights
    flux[50, 4] *= 1.5
    flux[150, 4] *= 0.5
    assert ensemble_weights(flux, error).weights[4] == pytest.approx(clean[4], rel=0.1)


def test_the_transit_of_the_target_does_not_touch_the_weights(rng):
    flux, error = night(rng, np.full(10, 1e5), 200)
    flat = ensemble_weights(flux, error, target=2)
    flux[:, 2] *= transit(200, 0.5)
    deep = ensemble_weights(flux, error, target=2)
    assert np.array_equal(deep.weights, flat.weights)
    assert deep.weights[2] == 0
    assert deep.reasons[2] == "target"


def test_several_targets_are_left_out(rng):
    ensemble = ensemble_weights(*night(rng, np.full(6, 1e5)), target=[0, 3])
    assert np.flatnonzero(ensemble.weights).tolist() == [1, 2, 4, 5]


def test_every_star_left_out_says_why(rng):
    flux, error = night(rng, [1e5, 1e5, 1e5, 1e5, 1e5, 20.0, 1e5, 1e5, 1e5])
    flux[:39, 3] = np.nan
    flux[:, 4] = np.nan
    flux[:, 8] = -5.0
    usable = np.ones(9, bool)
    usable[2] = False
    ensemble = ensemble_weights(flux, error, target=0, usable=usable, excluded={1: "saturated"})
    assert ensemble.reasons == (
        "target",
        "saturated",
        "not usable",
        "measured in only 61 % of the frames",
        "not measured",
        ensemble.reasons[5],
        "",
        "",
        "too faint: median flux not above 0",
    )
    assert ensemble.reasons[5].startswith(
        "too faint: one measurement is uncertain by 2"
    )  # 1 / sqrt(20) = 22 %
    assert np.flatnonzero(ensemble.weights).tolist() == [6, 7]


def test_where_all_stars_are_faint_none_is_too_faint(rng):
    flux, error = night(rng, np.full(10, 25.0), 200)
    assert not any(ensemble_weights(flux, error).reasons)


def test_frames_lost_to_all_stars_are_held_against_none(rng):
    flux, error = night(rng, np.full(5, 1e5))
    flux[::2] = np.nan
    assert ensemble_weights(flux, error).weights == pytest.approx(np.full(5, 0.2), rel=0.05)


def test_one_comparison_star_has_all_the_weight_and_it_is_said(rng):
    ensemble = ensemble_weights(*night(rng, [1e5, 2e5]), target=0)
    assert ensemble.weights.tolist() == [0, 1]
    assert ensemble.note.startswith("only one comparison star")


def test_two_comparison_stars_are_weighted_by_their_noise():
    for seed in range(20):
        ensemble = ensemble_weights(*night(np.random.default_rng(seed), [1e5, 2e5, 4e5]), target=0)
        assert ensemble.weights == pytest.approx([0, 1 / 3, 2 / 3], abs=0.06)
        assert ensemble.note.startswith("only two")
        assert ensemble.converged


def test_of_three_comparison_stars_the_variable_one_is_found(rng):
    flux, error = night(rng, [1e5, 2e5, 1e5, 1e5])
    flux[:, 1] *= slow(100, 0.05)
    ensemble = ensemble_weights(flux, error, target=0)
    assert ensemble.weights == pytest.approx([0, 0, 0.5, 0.5], abs=0.05)


def test_without_a_comparison_star_the_weights_are_zero_and_it_is_said(rng):
    flux, error = night(rng, [1e5])
    ensemble = ensemble_weights(flux, error, target=0)
    assert ensemble.weights.tolist() == [0]
    assert ensemble.note.startswith("no comparison star")
    assert np.isnan(relative_flux(flux, error, ensemble.weights)).all()
    assert np.isnan(ensemble_light_curve(flux, error, ensemble.weights)).all()


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_a_few_frames_are_weighted_by_their_errors(rng, n_frames):
    ensemble = ensemble_weights(*night(rng, np.full(4, 1e5), n_frames))
    assert ensemble.weights == pytest.approx(np.full(4, 0.25), abs=0.12)


def test_a_hundred_stars_riddled_with_nan_are_weighted_all_the_same(rng):
    level = 10 ** rng.uniform(4.5, 6, 100)
    flux, error = night(rng, level, 150)
    complete = ensemble_weights(flux, error).weights
    flux[rng.random(flux.shape) < 0.15] = np.nan
    error[rng.random(flux.shape) < 0.05] = np.nan
    error[rng.random(flux.shape) < 0.02] = 0
    flux[rng.random(flux.shape) < 0.01] = np.inf
    ensemble = ensemble_weights(flux, error)
    assert ensemble.converged
    assert ensemble.weights.sum() == pytest.approx(1)
    assert ensemble.weights == pytest.approx(complete, rel=0.5, abs=0.002)


def test_thick_cloud_does_not_change_the_weights(rng):
    transparency = np.ones(200)
    transparency[80:120] = 0.05
    level = np.geomspace(1e4, 1e6, 15)
    flux, error = night(rng, level, 200, transparency=transparency)
    flux[80:120] *= 1 + 0.1 * rng.normal(size=(40, 15))
    assert ensemble_weights(flux, error).weights == pytest.approx(level / level.sum(), rel=0.25)


def test_arguments_are_left_alone(rng):
    flux, error = night(rng, np.full(5, 1e5))
    flux[3, 3], flux[50, 1] = np.nan, 9e5
    weights = np.full(5, 0.2)
    before = flux.copy(), error.copy()
    ensemble_weights(flux, error, target=0)
    relative_flux(flux, error, weights)
    ensemble_light_curve(flux, error, weights)
    cloudy_frames(flux, weights)
    baseline(flux[:, 3], np.arange(100.0))
    assert np.array_equal(flux, before[0], equal_nan=True)
    assert np.array_equal(error, before[1])
    assert weights.tolist() == [0.2] * 5


# light curves


def test_errors_of_constant_stars_are_the_scatter_they_show():
    pulls = []
    for seed in range(20):
        flux, error = night(np.random.default_rng(seed), np.geomspace(3e3, 1e5, 20), 200)
        weights = ensemble_weights(flux, error, target=0).weights
        relative, relative_err = relative_flux(flux, error, weights)
        pulls.append((relative - 1) / relative_err)
    pulls = np.array(pulls)
    assert pulls.mean() == pytest.approx(0, abs=0.01)
    assert pulls.std() == pytest.approx(1, abs=0.02)
    assert pulls[..., 0].std() == pytest.approx(1, abs=0.04)  # the target
    assert pulls[..., -1].std() == pytest.approx(1, abs=0.04)  # a star with a third of all the weight


def test_the_error_of_the_ensemble_is_part_of_it(rng):
    # Target and comparison star alike: sqrt(2) times the noise of one.
    flux, error = night(rng, [1e4, 1e4], 2000, transparency=np.ones(2000))
    relative, relative_err = relative_flux(flux, error, [0, 1])
    assert relative_err[:, 0].mean() == pytest.approx(0.01 * np.sqrt(2), rel=0.01)
    assert relative[:, 0].std() == pytest.approx(0.01 * np.sqrt(2), rel=0.05)


def test_the_only_comparison_star_has_no_light_curve_and_the_target_has(rng):
    relative, relative_err = relative_flux(*night(rng, [1e5, 1e5]), [0, 1])
    assert np.isfinite(relative[:, 0]).all()
    assert np.isfinite(relative_err[:, 0]).all()
    assert np.isnan(relative[:, 1]).all()


def test_transparency_divides_out_and_the_transit_stays(rng):
    transparency = 1 - 0.6 * np.linspace(0, 1, 300) ** 2
    flux, error = night(rng, np.full(30, 1e6), 300, transparency=transparency)
    flux[:, 0] *= transit(300)
    relative, _ = relative_flux(flux, error, ensemble_weights(flux, error, target=0).weights)
    target = relative[:, 0] / baseline(relative[:, 0])
    noise = np.mean(1e6**-0.5 / np.sqrt(transparency)) * np.sqrt(1 + 1 / 29)
    assert rms(target - transit(300)) == pytest.approx(noise, rel=0.15)
    assert 1 - np.mean(target[120:180]) == pytest.approx(0.015, abs=4 * noise / np.sqrt(60))


def test_a_bright_star_missing_from_half_of_the_frames_leaves_no_step(rng):
    flux, error = night(rng, [1e6, 3e5, 1e5, 1e5, 1e5], 200)
    weights = np.array([0.6, 0.2, 0.1, 0.1, 0.0])
    holes = flux.copy()
    holes[:100, 0] = np.nan
    holes[150:, 1] = np.nan
    target = relative_flux(holes, error, weights)[0][:, 4] / relative_flux(flux, error, weights)[0][:, 4]
    parts = [target[:100].mean(), target[100:150].mean(), target[150:].mean()]
    # Levels are medians of 100 points of 1 to 2 parts in a thousand: 2e-4. The sum of fluxes jumps by 0.6.
    assert np.ptp(parts) < 8e-4


def test_stars_that_fade_out_in_cloud_leave_no_step(rng):
    # Faint stars are only measured while it is clear: their plain medians would be too bright.
    transparency = np.where(np.arange(200) < 110, 1.0, 0.4)
    flux, error = night(rng, [1e6, 1e6, 2e5, 2e5, 2e5, 5e5], 200, transparency=transparency)
    flux[110:, 2:5] = np.nan
    weights = np.array([0.2, 0.2, 0.2, 0.2, 0.2, 0])
    target = relative_flux(flux, error, weights)[0][:, 5]
    assert target[:110].mean() - target[110:].mean() == pytest.approx(0, abs=1.5e-3)


def test_nan_stays_where_it_is(rng):
    flux, error = night(rng, np.full(8, 1e5), 100)
    flux[10, 3] = np.nan
    flux[20] = np.nan
    flux[30, 1:] = np.nan
    weights = np.append(0, np.full(7, 1 / 7))
    relative, relative_err = relative_flux(flux, error, weights)
    expected = np.zeros((100, 8), bool)
    expected[10, 3] = expected[20] = expected[30] = True
    assert np.array_equal(np.isnan(relative), expected)
    assert np.array_equal(np.isnan(relative_err), expected)
    together, together_err = ensemble_light_curve(flux, error, weights)
    assert np.flatnonzero(np.isnan(together)).tolist() == [20, 30]
    assert np.flatnonzero(np.isnan(together_err)).tolist() == [20, 30]


def test_the_ensemble_follows_the_transparency(rng):
    transparency = 1 + 0.3 * np.sin(np.arange(200) / 20)
    flux, error = night(rng, np.full(20, 1e5), 200, transparency=transparency)
    together, together_err = ensemble_light_curve(flux, error, np.full(20, 0.05))
    assert np.median(together) == pytest.approx(1)
    pulls = (together - transparency / np.median(transparency)) / together_err
    assert pulls.std() == pytest.approx(1, abs=0.2)
    assert together_err.mean() == pytest.approx(1e5**-0.5 / np.sqrt(20), rel=0.1)


def test_a_cosmic_ray_on_a_comparison_star_does_not_dent_the_others(rng):
    flux, error = night(rng, np.full(6, 1e5), 100)
    weights = np.append(0, np.full(5, 0.2))
    clean = relative_flux(flux, error, weights)[0]
    flux[50, 2] *= 2
    hit = relative_flux(flux, error, weights)[0]
    assert hit[50, 0] == pytest.approx(clean[50, 0], abs=0.005)  # not 0.8
    assert hit[50, 2] == pytest.approx(2, rel=0.02)  # the star's own light curve shows it


def test_a_star_whose_median_is_not_above_zero_has_no_light_curve(rng):
    flux, error = night(rng, np.full(5, 1e5))
    flux[:, 1] -= 2e5
    relative, _ = relative_flux(flux, error, [0, 0, 0.4, 0.3, 0.3])
    assert np.isnan(relative[:, 1]).all()
    assert np.isfinite(relative[:, 0]).all()


# a real transit, and another program's light curve of it


@pytest.fixture
def wasp135(real_data):
    """Fluxes and errors of the target and 13 comparison stars; AstroImageJ's curve by their plain sum."""
    with (real_data / "aij" / "WASP-135b_ip_20200423.xls").open(newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    stars = ["T1", *(f"C{i}" for i in range(2, 15))]
    flux, error = (
        np.array([[float(row[prefix + star]) for star in stars] for row in rows])
        for prefix in ("Source-Sky_", "Source_Error_")
    )
    theirs = np.array([[float(row[name]) for name in ("rel_flux_T1", "rel_flux_err_T1")] for row in rows])
    return flux, error, *(theirs / np.median(theirs[:, 0])).T


def test_weights_in_proportion_to_flux_give_astroimagejs_light_curve(wasp135):
    flux, error, theirs, theirs_err = wasp135
    weights = np.append(0, np.median(flux[:, 1:], axis=0))  # a sum of fluxes is a mean weighted by flux
    relative, relative_err = relative_flux(flux, error, weights, clip=np.inf)
    assert np.max(np.abs(relative[:, 0] / theirs - 1)) < 3e-4
    # The table has six decimals, three digits of the error.
    assert np.max(np.abs(relative_err[:, 0] / theirs_err - 1)) < 5e-3


def test_our_weights_make_the_real_transit_no_noisier(wasp135):
    flux, error, theirs, _ = wasp135
    ensemble = ensemble_weights(flux, error, target=0)
    ours = relative_flux(flux, error, ensemble.weights)[0][:, 0]
    assert ensemble.converged
    assert point_to_point(ours) < 1.01 * point_to_point(theirs)


# the level out of transit


@pytest.mark.parametrize("noise", [0.001, 0.003, 0.01])
@pytest.mark.parametrize("duration", [0.1, 0.3, 0.45])
def test_baseline_is_the_level_out_of_transit(noise, duration):
    off = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        start = rng.uniform(0, 1 - duration)
        flux = 1.7 * (transit(300, 0.015, start, start + duration) + noise * rng.normal(size=300))
        off.append(baseline(flux, np.arange(300.0)) / 1.7 - 1)
    error = 1.2533 * noise / np.sqrt(300 * (1 - duration))  # of the median of the points out of transit
    assert np.sqrt(np.mean(np.square(off))) < 1.6 * error
    assert abs(np.mean(off)) < 0.5 * error


@pytest.mark.parametrize("n", [30, 100, 1000])
def test_baseline_of_a_flat_series_is_its_median(n):
    off = []
    for seed in range(40):
        flux = 1 + 0.01 * np.random.default_rng(seed).normal(size=n)
        off.append(baseline(flux) - np.median(flux))
    assert np.sqrt(np.mean(np.square(off))) < 0.6 * 0.01 / np.sqrt(n)


def test_baseline_is_not_carried_to_the_top_of_a_trend(rng):
    flux = 1 + 0.02 * np.linspace(-0.5, 0.5, 200) + 0.001 * rng.normal(size=200)
    assert baseline(flux) == pytest.approx(1, abs=0.002)


def test_baseline_takes_nan_and_disorder(rng):
    time, flux = np.arange(300.0), transit(300, 0.015, 0.3, 0.7) + 0.003 * rng.normal(size=300)
    without = baseline(np.delete(flux, [5, 7]))
    flux[5], time[7] = np.nan, np.nan
    order = rng.permutation(300)
    assert baseline(flux[order], time[order]) == without
    assert baseline([1.0, np.nan, 3.0]) == 2.0
    assert np.isnan(baseline([np.nan]))


# clouds


def cloudy_frames(flux, weights, airmass=None):
    return light_lost(flux, weights, airmass) > 0.3


def test_clouds_are_found_and_extinction_is_not_a_cloud(rng):
    airmass = np.linspace(1.0, 2.6, 200)
    clear = 10 ** (-0.4 * 0.3 * airmass)
    cloud = np.ones(200)
    cloud[60:70], cloud[150] = 0.4, 0.6
    flux, _ = night(rng, np.full(8, 1e5), 200, transparency=clear * cloud)
    weights = np.full(8, 1 / 8)
    for given in (airmass, None):
        assert np.flatnonzero(cloudy_frames(flux, weights, given)).tolist() == [*range(60, 70), 150]


def test_a_third_of_the_night_in_cloud_does_not_pass_for_the_trend(rng):
    cloud = np.ones(150)
    cloud[90:140] = 0.3
    flux, _ = night(rng, np.full(5, 1e5), 150, transparency=cloud * (1 + 0.01 * rng.normal(size=150)))
    assert np.array_equal(cloudy_frames(flux, np.full(5, 0.2)), cloud < 1)


def test_a_clear_night_has_no_cloudy_frame(rng):
    flux, _ = night(rng, np.full(5, 1e4), 200)
    assert not cloudy_frames(flux, np.full(5, 0.2)).any()


def test_missing_stars_and_missing_airmass_are_no_clouds(rng):
    flux, _ = night(rng, [1e6, 1e4, 1e4], 100)
    flux[30:60, 0] = np.nan
    flux[70] = np.nan
    airmass = np.linspace(1, 2, 100)
    airmass[5] = np.nan
    assert not cloudy_frames(flux, [0.4, 0.3, 0.3], airmass).any()
    assert not cloudy_frames(np.full((10, 2), np.nan), [0.5, 0.5]).any()
    assert not cloudy_frames(flux, [0.4, 0.3, 0.3], np.full(100, np.nan)).any()
