"""Transits put into raw pixels: what goes in, what comes back, and that nothing else changes."""

import hashlib

import numpy as np
import pytest
from small_night import run, small_night

from potpyri_like.imaging import Dimming, dimmed
from potpyri_like.inject import Trial, recovery_of


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
