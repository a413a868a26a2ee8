"""Transits put into raw pixels: what goes in, what comes back, and that nothing else changes."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from fake_report import make_set
from small_night import run, small_night

from potpyri_like.imaging import Dimming, dimmed, dimming_radius
from potpyri_like.run.inject import Trial, dimmings, injected_flux, planned, reach, recovery_of


def test_a_dimmed_star_loses_its_share_of_light_and_keeps_its_sky(rng):
    y, x = np.indices((80, 80))
    star = 5e5 / (2 * np.pi * 9) * np.exp(-((x - 40.3) ** 2 + (y - 38.7) ** 2) / 18)
    image = (1000 + star + rng.normal(0, 3, star.shape)).astype(np.float32)
    before = image.copy()
    done = dimmed(image, Dimming(40.3, 38.7, 0.02), radius=20)
    inside = np.hypot(x - 40.3, y - 38.7) < 14
    assert np.array_equal(image, before)
    lost = (image.astype(float) - done)[inside].sum()
    assert lost == pytest.approx(0.02 * star[inside].sum(), rel=0.01)
    assert np.array_equal(done[:10], image[:10])


@pytest.mark.parametrize("place", [(-30.0, 10.0), (2.0, 3.0), (79.5, 40.0)])
def test_a_star_at_the_rim_or_outside_does_no_harm(place):
    image = np.full((80, 80), 100, np.float32)
    assert dimmed(image, Dimming(*place, 0.5), radius=12) == pytest.approx(100)


@pytest.mark.parametrize(("fwhm", "aperture"), [(4.0, 12.0), (8.0, 5.0), (6.0, 9.0)])
def test_the_flux_in_the_aperture_is_dimmed_by_what_was_asked_for(fwhm, aperture):
    y, x = np.indices((121, 121)) - 60.0
    image = 1000 + 1e6 * np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2)
    done = dimmed(image, Dimming(60.0, 60.0, 0.01), radius=dimming_radius(fwhm, aperture))
    inside = np.hypot(x, y) <= aperture
    assert 1 - (done - 1000)[inside].sum() / (image - 1000)[inside].sum() == pytest.approx(0.01, rel=1e-3)


def work_on(series, transit=None):
    result = SimpleNamespace(transit=transit, aperture=2)
    observed = SimpleNamespace(name="WASP-0, C1 g")
    return SimpleNamespace(result=result, observed=observed, target_star=3, named_by="--target-xy")


def test_a_transit_is_put_into_the_middle_of_the_night_and_fits_into_it():
    series = make_set(n_frames=50).series
    first, last = series.time.min(), series.time.max()
    trials = [planned(work_on(series), series, 3, 0.01, np.random.default_rng(seed)) for seed in range(200)]
    place = (np.array([trial.tc for trial in trials]) - first) / (last - first)
    assert place.min() > 0.4 and place.max() < 0.6 and np.ptp(place) > 0.18
    assert trials[0].t14 == pytest.approx(0.35 * (last - first)) and trials[0].is_target
    for known, expected in ((0.1, 0.1), (3.0, 0.6)):
        transit = SimpleNamespace(t14=SimpleNamespace(value=known * (last - first)))
        trial = planned(work_on(series, transit), series, 1, 0.01, np.random.default_rng(1))
        assert trial.t14 == pytest.approx(expected * (last - first)) and not trial.is_target


def test_the_stars_lose_in_each_frame_what_the_planet_hides_and_nothing_outside():
    series = make_set(n_frames=60).series
    span = np.ptp(series.time)
    middle, t14, depth = float(np.median(series.time)), 0.4 * span, 0.02
    flux = injected_flux(Trial("a", 1, False, middle, t14, depth), series)
    assert 1 - flux.min() == pytest.approx(depth, rel=0.01)
    outside = np.abs(series.time - middle) > (t14 + series.exposure.max() / 86400) / 2
    assert outside.sum() > 20 and np.all(flux[outside] == 1) and np.all(flux[~outside][2:-2] < 1)
    lost = dimmings(series, {1: flux, 2: flux})
    assert list(lost) == list(series.frames)
    for i, frame in enumerate(series.frames):
        known = [star for star in (1, 2) if np.isfinite(series.xy[i, star]).all() and flux[i] < 1]
        assert [(d.x, d.y) for d in lost[frame]] == [tuple(series.xy[i, star]) for star in known]
        assert [d.loss for d in lost[frame]] == pytest.approx([1 - flux[i]] * len(known))
    wide = reach(work_on(series), series)
    assert wide >= max(3 * np.nanmax(series.fwhm), 1.3 * series.radii[2])


def test_what_the_trials_say_together():
    trials = [
        Trial("a", n, False, 0.0, 0.1, 0.01, found, 0.001) for n, found in enumerate((0.009, 0.011, 0.0105))
    ]
    told = recovery_of([*trials, Trial("a", 9, False, 0.0, 0.1, 0.01, why="lost")])
    assert told.bias == pytest.approx(np.mean([0.9, 1.1, 1.05]) - 1)
    assert told.bias_error == pytest.approx(0.1 / np.sqrt(3))
    assert told.pull_mean == pytest.approx(np.mean([-1, 1, 0.5]))
    assert told.shallowest == pytest.approx(0.005)
    assert told.trials == 4


def checksums(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and ".journal" not in path.parts)
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inject") / "night"
    field = {
        "frames": 40,
        "hours": 3.0,
        "size": (320, 320),
        "comparisons": 14,
        "stars": 4,
        "seeing": (0.9, 1.2),
    }
    truth = small_night(folder, **field, depth=0.0, drift=4.0)
    x, y = truth.target_xy["C2"]
    ran = run("OPTICAM", folder, "--target-xy", f"{x:.1f},{y:.1f}", "--animation", "no", "--filter", "none")
    assert ran.status == 0, ran.err
    return folder


@pytest.mark.slow
def test_injected_transits_come_back_and_nothing_in_the_night_changes(night):
    before = checksums(night)
    ran = run("inject", night, "--depths", "0.01,0.02", "--stars", 4)
    assert ran.status == 0, ran.err
    lines = ran.out.splitlines()
    trials = [line for line in lines if "injected" in line]
    assert len(trials) >= 6 and "target" in trials[0]
    for line in trials:
        injected, found, error = (
            float(line.split()[line.split().index(word) + 1]) for word in ("injected", "recovered", "±")
        )
        assert abs(found - injected) < 4 * error
    assert "is recovered at 5 sigma" in lines[-1]
    assert checksums(night) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--depths", "much"), "give numbers"), (("--depths", "0.9"), "between 0 and 0.5")],
)
def test_depths_that_cannot_be_are_a_wrong_command_line(tmp_path, words, told):
    ran = run("inject", tmp_path, *words)
    assert ran.status == 2 and told in ran.err


def test_a_night_that_was_not_reduced_has_nothing_to_inject_into(tmp_path):
    ran = run("inject", tmp_path)
    assert ran.status == 1 and "reduce the night first" in ran.err
