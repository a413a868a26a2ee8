"""Which aperture, and which stars vary."""

import sys
from pathlib import Path

import numpy as np
import pytest

from potpyri_like.errors import ReductionError
from potpyri_like.photometry.choice import airmass_drift, choose_aperture, rank_variables
from potpyri_like.photometry.ensemble import ensemble_weights, relative_flux
from potpyri_like.photometry.noise import rms

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from apertures import excess, simulated

RADII = np.linspace(0.4, 3.0, 14)  # FWHM


def apertures(rng, level, n_frames=200, *, radii=RADII, fwhm=4.0, sky=300.0, dip=None):
    """Gaussian stars in rings of independent noise, so apertures share their noise as on the sky.

    Returns flux, error (n_frames, n_stars, n_apertures) and the relative noise (n_stars, n_apertures) of
    theory.
    """
    inside = 1 - np.exp(-4 * np.log(2) * radii**2)
    area = np.pi * (radii * fwhm) ** 2
    light = np.broadcast_to(np.asarray(level, float)[:, None], (n_frames, len(level), 1)).copy()
    if dip is not None:
        light[:, 0] *= dip[:, None]
    ring = light * np.diff(inside, prepend=0)
    variance = ring + sky * np.diff(area, prepend=0)
    flux = np.cumsum(ring + np.sqrt(variance) * rng.normal(size=variance.shape), axis=2)
    error = np.sqrt(np.cumsum(variance, axis=2))
    return flux, error, (error / np.cumsum(ring, axis=2)).mean(axis=0)


def transit(n, depth=0.015):
    x = np.arange(n) / n
    return 1 - depth * ((x > 0.35) & (x < 0.65))


def test_the_chosen_aperture_is_as_good_as_the_best_of_theory():
    cost = []
    for seed in range(10):
        flux, error, theory = apertures(np.random.default_rng(seed), [2e4] + [1e6] * 10)
        choice = choose_aperture(flux, error, target=0)
        cost.append(theory[0, choice.index] / theory[0].min())
        assert not choice.at_edge
    assert np.mean(cost) < 1.04
    assert max(cost) < 1.15


def test_the_transit_does_not_choose_the_aperture():
    for seed in range(5):
        level = [2e4] + [1e6] * 10
        flat = choose_aperture(*apertures(np.random.default_rng(seed), level)[:2], target=0)
        deep = choose_aperture(
            *apertures(np.random.default_rng(seed), level, dip=transit(200, 0.2))[:2], target=0
        )
        assert abs(deep.index - flat.index) <= 1


@pytest.mark.slow
def test_stars_like_the_target_make_the_choice_surer():
    excess = {1: [], 9: []}
    for seed in range(20):
        for alike in excess:
            flux, error, theory = apertures(
                np.random.default_rng(seed), [1e5] * alike + [5e5] * 12, n_frames=60
            )
            choice = choose_aperture(flux, error, target=0)
            excess[alike].append(theory[0, choice.index] / theory[0].min() - 1)
    assert "8 stars like it" in choice.reason
    assert np.mean(excess[9]) < 0.7 * np.mean(excess[1])


def test_without_a_target_the_comparison_stars_decide(rng):
    flux, error, theory = apertures(rng, [2e4] * 12)
    choice = choose_aperture(flux, error)
    assert theory[0, choice.index] < 1.03 * theory[0].min()
    assert "of the comparison stars" in choice.reason


def test_nan_in_an_aperture_does_not_choose_it(rng):
    flux, error, _ = apertures(rng, [2e4] + [1e6] * 5)
    whole = choose_aperture(flux, error, target=0)
    flux[:, :, 0] = np.nan
    flux[7, :, 1] = np.nan
    flux[:, 0, 12] = np.nan
    choice = choose_aperture(flux, error, target=0)
    assert choice.index == whole.index
    assert np.isnan(choice.metric[[0, 12]]).all()
    assert np.isfinite(choice.metric[1])


def test_a_single_lucky_figure_does_not_win(rng):
    flux, error, _ = apertures(rng, [1e6] + [1e5] * 3, radii=np.linspace(0.5, 1.5, 6))
    figures = iter([5.0, 4.0, 1.0, 4.0, 3.0, 3.1])
    choice = choose_aperture(flux, error, target=0, metric=lambda flux, time: next(figures))
    assert choice.index == 4
    assert np.allclose(choice.metric, [5, 4, 1, 4, 3, 3.1])


@pytest.mark.parametrize(
    ("figures", "index"),
    [
        ([2.0, 1.3, 1.1, 1.0, 1.2], 3),
        ([2.0, 1.3, 1.0, 1.02, 1.2], 2),
        ([1.0, 1.3, 1.4, 1.1, 1.1], 3),  # what stands alone is a lucky figure
    ],
)
def test_of_apertures_the_quietest_is_taken_and_its_neighbours_speak_for_it(rng, figures, index):
    flux, error, _ = apertures(rng, [1e6] + [1e5] * 3, radii=np.linspace(0.5, 1.5, 5))
    numbers = iter(figures)
    assert choose_aperture(flux, error, target=0, metric=lambda flux, time: next(numbers)).index == index


@pytest.mark.parametrize(("radii", "end"), [(np.linspace(0.2, 0.5, 5), 4), (np.linspace(1.5, 4, 5), 0)])
def test_the_best_at_the_edge_of_the_grid_is_told(rng, radii, end):
    flux, error, _ = apertures(rng, [2e4] + [1e6] * 5, radii=radii)
    choice = choose_aperture(flux, error, target=0)
    assert choice.at_edge
    assert choice.index == end
    assert choice.reason.endswith("best at the edge of the grid")


def test_the_reason_is_a_sentence_with_the_neighbours(rng):
    flux, error, _ = apertures(rng, [1e6] + [1e5] * 3, radii=np.array([1.7, 2.1, 2.5, 2.9]))
    figures = iter([2.2e-3, 1.8e-3, 1.9e-3, 2.0e-3])

    def point_to_point(flux, time):
        return next(figures)

    labels = ["1.7 FWHM", "2.1 FWHM", "2.5 FWHM", "2.9 FWHM"]
    choice = choose_aperture(flux, error, target=0, labels=labels, metric=point_to_point)
    # A part in a thousand is 1.0857 mmag.
    wanted = "2.1 FWHM: point to point 1.95 mmag of the target; 1.7 FWHM 2.39, 2.5 FWHM 2.06"
    assert choice.reason == wanted


def test_the_metric_is_the_callers_and_gets_the_times(rng):
    flux, error, _ = apertures(rng, [1e5] * 4, radii=np.linspace(0.5, 1.5, 4))
    time, seen = np.arange(200.0), []

    def loudness(flux, time):
        seen.append(time)
        return rms(flux)

    choice = choose_aperture(flux, error, target=0, time=time, metric=loudness)
    assert all(given is time for given in seen)
    assert "loudness" in choice.reason


def test_one_aperture_is_no_edge(rng):
    flux, error, _ = apertures(rng, [1e5] * 4, radii=np.array([1.0]))
    choice = choose_aperture(flux, error, target=0)
    assert choice.index == 0
    assert not choice.at_edge


def test_the_ensemble_is_that_of_the_chosen_aperture(rng):
    flux, error, _ = apertures(rng, [2e4] + [1e6] * 5)
    choice = choose_aperture(flux, error, target=0, excluded={3: "saturated"})
    again = ensemble_weights(
        flux[..., choice.index], error[..., choice.index], target=0, excluded={3: "saturated"}
    )
    assert np.array_equal(choice.ensemble.weights, again.weights)
    assert choice.ensemble.reasons[3] == "saturated"


def test_no_light_curve_at_all_is_an_error_that_says_why(rng):
    flux, error, _ = apertures(rng, [1e5])
    with pytest.raises(ReductionError, match=r"of the target \(no comparison star"):
        choose_aperture(flux, error, target=0)
    flux, error, _ = apertures(rng, [1e5] * 3)
    flux[:, 1] = np.nan
    with pytest.raises(ReductionError, match="light curve of the target"):
        choose_aperture(flux, error, target=1)


def test_choosing_leaves_the_arguments_alone(rng):
    flux, error, _ = apertures(rng, [1e5] * 3, 50)
    flux[3, 1, 2] = np.nan
    before = flux.copy(), error.copy()
    choose_aperture(flux, error, target=0)
    assert np.array_equal(flux, before[0], equal_nan=True)
    assert np.array_equal(error, before[1])


# variable stars


def field(seed, *, n_frames=150, n_stars=60, depth=0.015, extra=0.002, underestimated=1.0):
    """Stars of 0.1 to 2 %, one of them in transit, cosmic rays, holes: relflux, error, time, that star."""
    rng = np.random.default_rng(seed)
    level = 10 ** rng.uniform(3.6, 6, n_stars)
    star = rng.integers(n_stars)
    level[star] = 10 ** rng.uniform(4, 5.2)
    true = (1 + 0.05 * rng.normal(size=n_frames))[:, None] * level
    true[:, star] *= transit(n_frames, depth)
    true *= 1 + extra * rng.normal(size=true.shape)
    error = np.sqrt(true + 2000)
    flux = true + error * rng.normal(size=true.shape)
    flux[rng.integers(n_frames, size=20), rng.integers(n_stars, size=20)] *= 1.5
    flux[rng.random(flux.shape) < 0.01] = np.nan
    error /= underestimated
    relative, relative_err = relative_flux(flux, error, ensemble_weights(flux, error).weights)
    return relative, relative_err, 2460000.5 + np.arange(n_frames) * 90 / 86400, star


@pytest.mark.parametrize("underestimated", [1.0, 2.0])
@pytest.mark.slow
def test_the_star_with_a_transit_ranks_first(underestimated):
    first = 0
    for seed in range(40):
        relative, error, time, star = field(seed, underestimated=underestimated)
        first += rank_variables(relative, error, time)[1][0] == star
    assert first >= 38


@pytest.mark.slow
def test_scores_of_constant_stars_are_those_of_chance():
    scores = np.concatenate([rank_variables(*field(seed, depth=0)[:3])[0] for seed in range(10)])
    # The largest of six standard normal deviates that hang together: between one and six independent ones.
    assert 0.3 < np.mean(scores) < 1.27
    assert np.mean(scores > 3.5) < 0.01


def test_neither_a_cosmic_ray_nor_a_faint_star_outranks_a_slow_variable(rng):
    n = 200
    sigma = np.array([0.002, 0.002, 0.05, 0.002])
    flux = 1 + sigma * rng.normal(size=(n, 4))
    flux[:, 0] += 0.004 * np.sin(np.arange(n) / 20)
    flux[100, 1] += 0.5
    score, order = rank_variables(flux, np.tile(sigma, (n, 1)), np.arange(n) * 60.0)
    assert order[0] == 0
    assert score[0] > 8
    assert np.all(score[1:] < 4)


def test_stars_without_enough_points_come_last_and_are_nan(rng):
    flux = 1 + 0.01 * rng.normal(size=(100, 3))
    flux[:90, 0] = np.nan
    flux[:, 1] = np.nan
    before = flux.copy()
    score, order = rank_variables(flux, np.full((100, 3), 0.01), np.arange(100.0))
    assert np.isnan(score).tolist() == [True, True, False]
    assert order.tolist() == [2, 0, 1]
    assert np.array_equal(flux, before, equal_nan=True)


def test_the_order_of_the_frames_does_not_matter_to_the_rank():
    relative, error, time, _ = field(3)
    shuffled = np.random.default_rng(0).permutation(time.size)
    score, _ = rank_variables(relative, error, time)
    assert rank_variables(relative[shuffled], error[shuffled], time[shuffled])[0] == pytest.approx(score)


def test_an_aperture_that_loses_frames_is_not_chosen_however_quiet_the_rest(rng):
    level = np.array([1e5, *rng.uniform(5e4, 2e5, 12)])
    error = np.sqrt(level)[:, None] * np.array([3.0, 2.0, 1.0])
    flux = level[:, None] + error * rng.normal(size=(60, 13, 3))
    lost = flux.copy()
    lost[:5, 0, 2] = np.nan
    errors = np.broadcast_to(error, flux.shape)
    assert choose_aperture(flux, errors, target=0).index == 2
    assert choose_aperture(lost, errors, target=0).index == 1


def test_a_star_of_another_colour_is_known_by_its_drift_with_airmass(rng):
    airmass = np.linspace(1, 2, 80)
    flux = 1 + 0.003 * rng.normal(size=(80, 6))
    flux[:, 2] *= 1 - 0.01 * (airmass - 1)
    flux[:4, 4] = np.nan
    drift, significance = airmass_drift(flux, np.full((80, 6), 0.003), airmass)
    assert drift[2] == pytest.approx(-0.01, abs=0.0045)
    assert significance[2] > 6
    assert (np.delete(significance, 2) < 4).all()
    assert np.isnan(airmass_drift(flux[:5], flux[:5], airmass[:5])[0]).all()


@pytest.mark.slow
def test_the_chosen_aperture_is_nearly_as_quiet_as_the_best_when_the_seeing_changes_by_two():
    """A tenth of the seeds of benchmarks/apertures.py."""
    assert max(excess(simulated(seed)) for seed in (3, 5)) < 1.06


def test_the_choice_does_not_look_at_the_transit(rng):
    """A deeper dip moves no choice: the figure of the target is from point to point."""
    flux, error, _ = apertures(rng, [1e6] + [1e5] * 5, radii=np.linspace(0.5, 2.5, 12))
    deep = flux.copy()
    deep[len(flux) // 3 : 2 * len(flux) // 3, 0] *= 0.9
    assert choose_aperture(deep, error, target=0).index == choose_aperture(flux, error, target=0).index
