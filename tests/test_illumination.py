"""Flats against one another on large scales, by simulated twilights."""

import sys
from pathlib import Path

import numpy as np
import pytest

from potpyri_like.imaging import flatness, illumination, sample_frame

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import flats

SHAPE = (96, 128)
ACROSS = np.linspace(-1, 1, SHAPE[1]) * np.ones((SHAPE[0], 1))


def made(rng, tilts, level=20000):
    """Samples of flats with photon noise and these gradients, from the middle to the edge."""
    images = [rng.poisson(level * (1 + tilt * ACROSS)) / level for tilt in tilts]
    return [sample_frame(image.astype(np.float32), 1 / level) for image in images]


def test_flats_that_agree_are_one_group(rng):
    found = illumination(made(rng, [0.0] * 7))
    assert found.groups == (tuple(range(7)),) and found.has_majority
    # a block of 8 x 6 pixels has a noise of 0.1 %, the paraboloid through 256 of them one of 0.02 % at its corners
    assert found.usual < 0.001


def test_the_minority_is_a_group_of_its_own_with_its_distance(rng):
    found = illumination(made(rng, [0, 0.05, 0, 0, 0.05, 0, 0]))
    assert found.groups == ((0, 2, 3, 5, 6), (1, 4)) and found.has_majority
    assert found.apart[1] == pytest.approx(0.05, rel=0.05)


def test_half_against_half_has_no_majority(rng):
    found = illumination(made(rng, [0, 0.2] * 3))
    assert not found.has_majority and found.groups == ((0, 2, 4), (1, 3, 5))


def test_a_twilight_that_changes_step_by_step_is_one_group(rng):
    found = illumination(made(rng, np.linspace(-0.012, 0.012, 9)))
    assert found.groups == (tuple(range(9)),)


def test_two_flats_that_agree_within_a_percent_are_one_group_and_else_two(rng):
    assert len(illumination(made(rng, [0, 0.005])).groups) == 1
    assert len(illumination(made(rng, [0, 0.03])).groups) == 2
    assert illumination(made(rng, [0.1])).groups == ((0,),)


def test_the_sky_is_even_by_the_right_flats(rng):
    right, wrong = made(rng, [0.1, 0.1]), made(rng, [-0.1, -0.1])
    sky = sample_frame((200 * (1 + 0.1 * ACROSS)).astype(np.float32), 1.0)
    assert flatness(sky, right) < 0.01
    assert flatness(sky, wrong) == pytest.approx(0.2, abs=0.03)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_flats_are_named_where_the_master_would_be_off_by_half_a_percent_and_good_ones_are_not():
    """A tenth of the seeds of benchmarks/flats.py."""
    missed, matter, wrong = 0, 0, 0
    for number, gradient, both, together in flats.kinds():
        for seed in range(5):
            trial = flats.trial(seed, number, gradient, both=both, together=together)
            if trial.off > flats.MATTERS:
                matter += 1
                missed += trial.missed > 0 and trial.left > flats.MATTERS
            wrong += trial.wrong
    good = [flats.trial(1000 + seed, 0, 0.0) for seed in range(20)]
    assert matter > 100
    assert missed == 0 and wrong == 0
    assert not any(t.wrong or t.doubtful for t in good)
