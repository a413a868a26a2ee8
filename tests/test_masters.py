"""The ladder of darks, and masters made of a night's own frames."""

import numpy as np
import pytest
from toy import Toy

from potpyri_like.imaging import Pixels
from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.pipeline import Runner, Silent, start
from potpyri_like.primitives import MakeMasters
from potpyri_like.primitives.masters import dark_ladder
from potpyri_like.results import Master
from potpyri_like.store import Output
from potpyri_like.testing import NightPlan, simulate_night

SHAPE = (6, 8)


def dark(exposure, *, rate=2.0, level=5.0, error=0.5):
    """A master dark of known rate and residual level."""
    pixels = Pixels(
        np.full(SHAPE, level + rate * exposure, np.float32),
        np.full(SHAPE, error**2, np.float32),
        np.zeros(SHAPE, np.uint8),
    )
    return Master("dark", pixels, exposure, "exact", (f"dark_{exposure:g}.fits",))


def test_a_dark_of_the_same_exposure_is_used_as_it_is():
    exact = {10.0: dark(10.0), 60.0: dark(60.0)}
    assert dark_ladder(exact, 60.04, has_bias=False) is exact[60.0]


def test_between_two_exposures_the_dark_is_interpolated():
    made = dark_ladder({10.0: dark(10.0), 60.0: dark(60.0)}, 30.0, has_bias=False)
    assert np.allclose(made.pixels.data, 5 + 2 * 30)
    assert made.rung == "interpolated from 10 s, 60 s"
    assert made.inputs == ("dark_10.fits", "dark_60.fits")


def test_beyond_the_exposures_taken_the_product_says_extrapolated():
    made = dark_ladder({1.0: dark(1.0), 10.0: dark(10.0)}, 30.0, has_bias=False)
    assert np.allclose(made.pixels.data, 5 + 2 * 30, rtol=1e-5)
    assert made.rung.startswith("extrapolated")


def test_the_line_through_three_exposures_is_that_of_least_squares(rng):
    times = np.array([5.0, 20.0, 60.0])
    noisy = {t: dark(t) for t in times}
    for t, master in noisy.items():
        noisy[t] = Master(
            "dark",
            master.pixels._replace(data=rng.normal(9 + 3 * t, 1, SHAPE).astype(np.float32)),
            t,
            "exact",
            (),
        )
    made = dark_ladder(noisy, 33.0, has_bias=False)
    values = np.array([noisy[t].pixels.data.ravel() for t in times])
    slope, level = np.polyfit(times, values, 1)
    assert np.allclose(made.pixels.data.ravel(), slope * 33 + level, rtol=1e-5)


def test_the_variance_of_an_interpolated_dark_is_that_of_its_line(rng):
    times, trials = np.array([10.0, 30.0, 60.0]), 4000
    draws = rng.normal(0, 0.5, (trials, 3)) + 5 + 2 * times
    slope, level = np.polyfit(times, draws.T, 1)
    made = dark_ladder({t: dark(t, error=0.5) for t in times}, 45.0, has_bias=False)
    assert made.pixels.variance[0, 0] == pytest.approx(
        np.var(slope * 45 + level), rel=4 / np.sqrt(trials / 2)
    )


def test_one_dark_is_scaled_only_when_it_is_without_the_bias():
    one = {60.0: dark(60.0, level=0.0)}
    scaled = dark_ladder(one, 10.0, has_bias=True)
    assert np.allclose(scaled.pixels.data, 2 * 10)
    assert np.allclose(scaled.pixels.variance, 0.25 / 36)
    assert scaled.rung == "scaled from 60 s"
    assert dark_ladder(one, 10.0, has_bias=False) is None


def test_a_pixel_bad_in_one_dark_is_bad_in_the_interpolated_one():
    short, long = dark(10.0), dark(60.0)
    long.pixels.mask[2, 3] = 1
    made = dark_ladder({10.0: short, 60.0: long}, 30.0, has_bias=False)
    assert made.pixels.mask[2, 3] == 1
    assert made.pixels.mask.sum() == 1


def test_no_dark_is_none():
    assert dark_ladder({}, 30.0, has_bias=True) is None


def made_from(folder, **plan):
    """The masters of the first set of a small simulated night."""
    night = NightPlan(frames=2, size=(160, 128), stars=5, comparisons=2, drift=2, flip=None, **plan)
    simulate_night(Toy(), folder, night)
    output = Output(folder / "red")
    output.make()
    found = scan(folder, Toy())
    work = MakeMasters()(start(found, found.sets()[0], Options()), Runner(output, Options(), Silent()))
    return work.result, output


def test_the_masters_of_a_night_say_what_they_are_made_of(tmp_path):
    result, output = made_from(
        tmp_path, exposure=30.0, dark_exposures=(10.0, 60.0), biases=5, darks=5, flats=5
    )
    masters = result.masters
    assert len(masters.bias.inputs) == 5
    assert masters.darks[30.0].rung == "interpolated from 10 s, 60 s"
    assert np.median(masters.flat.pixels.data) == pytest.approx(1, abs=0.1)
    assert {(choice.what, choice.chosen) for choice in result.choices} >= {
        ("bias", "exact"),
        ("dark of 30 s", "interpolated from 10 s, 60 s"),
        ("flat", "exact"),
    }
    for master in (masters.bias, masters.darks[30.0], masters.flat):
        assert (output.root / master.product).is_file()


def test_what_a_night_lacks_is_a_problem_with_its_name(tmp_path):
    result, _ = made_from(tmp_path, biases=0, darks=0, flats=0)
    assert result.masters.bias is None
    assert not result.masters.darks
    assert result.masters.flat is None
    assert [problem.why for problem in result.problems] == [
        f"no {kind} frames that fit; the frames go without" for kind in ("bias", "dark", "flat")
    ]
