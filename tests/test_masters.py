"""The ladder of darks, and masters made of a night's own frames."""

import shutil
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from toy import Toy

from potpyri_like.imaging import Pixels, calibrate
from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.primitives import MakeMasters
from potpyri_like.primitives.dark_ladder import dark_ladder
from potpyri_like.results import Grade, Master, Masters
from potpyri_like.run.observations import start
from potpyri_like.run.progress import Silent
from potpyri_like.run.report import statuses
from potpyri_like.run.runner import Runner
from potpyri_like.store import Output
from potpyri_like.testing import NightPlan, simulate_night

SHAPE = (6, 8)


def dark(exposure, *, rate=2.0, level=5.0, error=0.5):
    """A master dark of known rate and residual level."""
    pixels = Pixels(
        np.full(SHAPE, level + rate * exposure, np.float32),
        np.full(SHAPE, error**2, np.float32),
        np.zeros(SHAPE, np.uint16),
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 6])
@pytest.mark.parametrize("mode", ["none", "median"])
def test_two_masters_of_other_frames_differ_by_the_variance_of_their_pixels(tmp_path, mode, number):
    """From one frame or six, of filtered pixels or raw ones; and so do the planes that are written."""
    taken = dict.fromkeys(("biases", "darks", "flats"), 2 * number)
    plan = NightPlan(
        frames=2, size=(160, 128), stars=5, comparisons=2, flip=None, response=0.0, exposure=30.0, **taken
    )
    simulate_night(Toy(), tmp_path, plan)
    found = scan(tmp_path, Toy())
    made = []
    for half in (slice(number), slice(number, None)):
        output = Output(tmp_path / f"red_{half.start}")
        output.make()
        work = start(found, found.sets()[0], Options())
        some = {name: getattr(work.observed, name)[half] for name in ("biases", "darks", "flats")}
        work = work.with_(shared=work.shared.with_(filter_mode=mode), observed=replace(work.observed, **some))
        masters = MakeMasters()(work, Runner(output, Options(), Silent())).result.masters
        made.append((masters.bias, masters.flat))
        for master in made[-1]:
            with fits.open(output.root / master.product) as hdus:
                assert hdus["MASK"].data.dtype.newbyteorder("=") == np.uint16
                np.testing.assert_array_equal(hdus["MASK"].data, master.pixels.mask)
                np.testing.assert_allclose(hdus["ERR"].data ** 2, master.pixels.variance, rtol=1e-6)
    for one, other in zip(*made, strict=True):
        stated = (one.pixels.variance + other.pixels.variance).mean()
        # up to 8 % are lost where one value of six is clipped
        assert (one.pixels.data - other.pixels.data).var() == pytest.approx(stated, rel=0.1)


def test_what_a_night_lacks_is_a_problem_with_its_name(tmp_path):
    result, _ = made_from(tmp_path, biases=0, darks=0, flats=0)
    assert result.masters.bias is None
    assert not result.masters.darks
    assert result.masters.flat is None
    assert [problem.why for problem in result.problems] == [
        "no matching bias frames: not bias-subtracted",
        "no matching dark frames: not dark-subtracted",
        "no matching flat frames: not flat-fielded",
    ]


# -- frames that do not belong ---------------------------------------------------------------------------------


SIZE = 256  # pixels of each side of the image; the overscan lies to the right


@pytest.fixture(scope="module")
def clean_night(tmp_path_factory):
    """The raw frames of a night with five of each calibration."""
    folder = tmp_path_factory.mktemp("clean")
    plan = {
        "frames": 2,
        "stars": 5,
        "comparisons": 2,
        "drift": 2,
        "flip": None,
        "exposure": 30.0,
    }
    simulate_night(Toy(), folder, NightPlan(**plan, biases=5, darks=5, flats=5))
    return folder


@pytest.fixture
def night(clean_night, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(clean_night, tmp_path / "night")


def calibrations(night, kind):
    return sorted(night.glob(f"*_{kind}_*.fits"))


def change(path, counts=None, **cards):
    """Write a raw frame again with other counts in its image, or other cards."""
    with fits.open(path) as hdus:
        data, header = hdus[0].data.astype(float), hdus[0].header.copy()
    if counts is not None:
        data[:, :SIZE] = counts(data[:, :SIZE])
    header.update(cards)
    fits.writeto(path, np.clip(np.round(data), 0, 65535).astype(np.uint16), header, overwrite=True)


def keep(paths, number):
    for path in paths[number:]:
        path.unlink()
    return paths[:number]


def across():
    return np.linspace(0, 1, SIZE) * np.ones((SIZE, 1))


def reduced(night):
    """What was made of the masters, and what night.ecsv says of the frames."""
    output = Output(night / "red")
    output.make()
    found = scan(night, Toy(), skip=output.root)
    work = MakeMasters()(start(found, found.sets()[0], Options()), Runner(output, Options(), Silent()))
    return work.result, statuses(found, [work])


def median_of(master):
    return float(np.median(master.pixels.data))


@pytest.mark.slow
def test_a_clean_night_loses_no_frame(night):
    result, status = reduced(night)
    assert not result.problems and not status
    assert [
        len(m.inputs) for m in (result.masters.bias, *result.masters.darks.values(), result.masters.flat)
    ] == [5] * 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 4, 5])
def test_one_bad_frame_of_few_is_rejected_by_name_and_the_others_serve(clean_night, night, number):
    wanted, _ = reduced(shutil.copytree(clean_night, night.parent / "twin"))
    bad = {kind: keep(calibrations(night, kind), number)[1] for kind in ("bias", "dark", "flat")}
    change(bad["bias"], lambda counts: counts + 300)
    change(bad["dark"], lambda counts: counts + 500 * across())
    change(bad["flat"], lambda counts: counts * (0.8 + 0.4 * across()))
    result, status = reduced(night)
    masters, twin = result.masters, wanted.masters
    assert median_of(masters.bias) == pytest.approx(median_of(twin.bias), abs=1)
    assert median_of(masters.dark_of(30)) == pytest.approx(median_of(twin.dark_of(30)), abs=2)
    ratio = masters.flat.pixels.data / twin.flat.pixels.data
    assert np.median(ratio[:, :40]) == pytest.approx(np.median(ratio[:, -40:]), abs=0.005)
    assert {problem.what: problem.grade for problem in result.problems} == {
        path.name: Grade.REMARK for path in bad.values()
    }
    reasons = {problem.what: problem.why for problem in result.problems}
    assert (
        "level is 390 electrons above" in reasons[bad["bias"].name]
        or "level is 389" in reasons[bad["bias"].name]
    )
    assert "electron" in reasons[bad["dark"].name] and "illumination differs" in reasons[bad["flat"].name]
    assert {file for file, (word, _) in status.items() if word == "rejected"} == {
        path.relative_to(night).as_posix() for path in bad.values()
    }
    lost = {candidate.name: candidate.lost for choice in result.choices for candidate in choice.candidates}
    assert all(lost[path.name] for path in bad.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (lambda counts, level, noise: level + noise, "the cap on"),
        (lambda counts, level, noise: np.ones_like(counts), "calibrated already"),
        (lambda counts, level, noise: level + 0.04 * (counts - level), "whereas flats of"),
    ],
    ids=["the cap on", "normalised", "faint"],
)
def test_one_flat_that_is_none_does_not_cost_the_night(night, counts, why):
    bad = calibrations(night, "flat")[2]
    level = np.median(fits.getdata(calibrations(night, "bias")[0]))
    noise = np.random.default_rng(1).normal(-3, 3, (SIZE, SIZE))
    change(bad, lambda c: counts(c, level, noise))
    result, status = reduced(night)
    assert len(result.masters.flat.inputs) == 4
    (problem,) = result.problems
    assert (problem.what, problem.grade) == (bad.name, Grade.REMARK) and why in problem.why
    assert [word for word, _ in status.values()] == ["rejected"]


@pytest.mark.slow
def test_a_dark_without_its_bias_is_rejected_even_among_two(night):
    darks = keep(calibrations(night, "dark"), 2)
    change(darks[0], lambda counts: counts - 200)
    result, _ = reduced(night)
    assert len(result.masters.dark_of(30).inputs) == 1
    assert [problem.what for problem in result.problems] == [darks[0].name]
    assert "electrons below the bias" in result.problems[0].why


def test_half_against_half_is_doubtful_and_says_by_how_much(night):
    biases = keep(calibrations(night, "bias"), 4)
    for path in biases[:2]:
        change(path, lambda counts: counts + 100)
    result, status = reduced(night)
    (problem,) = (p for p in result.problems if "bias" in p.what)
    assert problem.grade is Grade.DOUBTFUL
    assert "4 bias frames differ by up to 130 electrons in level" in problem.why
    assert len(result.masters.bias.inputs) == 4
    assert not any(word == "rejected" and "bias" in file for file, (word, _) in status.items())


def test_where_no_flat_serves_the_night_goes_without_and_says_so(night):
    for path in calibrations(night, "flat"):
        change(path, lambda counts: np.ones_like(counts))
    result, _ = reduced(night)
    assert result.masters.flat is None
    missing = [problem for problem in result.problems if problem.grade is Grade.MISSING]
    assert [problem.why for problem in missing] == ["none of the 5 flat frames is usable: not flat-fielded"]


def test_the_next_run_says_the_same_of_the_frames_that_were_rejected(night):
    change(calibrations(night, "bias")[1], lambda counts: counts + 300)
    output = Output(night / "red")
    output.make()
    found = scan(night, Toy(), skip=output.root)
    stage, runner = MakeMasters(), Runner(output, Options(), Silent())
    first, second = (stage(start(found, found.sets()[0], Options()), runner).result for _ in range(2))
    assert first.problems == second.problems and first.problems
    assert first.choices == second.choices


def test_darks_of_nearly_one_exposure_are_one_master(night):
    for path, exposure in zip(
        calibrations(night, "dark"), (29.999, 30.001, 30.002, 29.9995, 30.0), strict=True
    ):
        change(path, EXPTIME=exposure)
    result, _ = reduced(night)
    assert not result.problems
    (dark,) = result.masters.darks.values()
    assert len(dark.inputs) == 5 and dark.rung == "exact"
    (choice,) = (choice for choice in result.choices if choice.what.startswith("dark"))
    assert choice.why == "5 frames of 29.999 to 30.002 s"


def test_an_exposure_without_a_dark_is_said(night):
    for path in calibrations(night, "bias"):
        path.unlink()
    for path in calibrations(night, "dark"):
        change(path, EXPTIME=60.0)
    result, _ = reduced(night)
    whys = [problem.why for problem in result.problems]
    assert "no dark of 30 s can be made from those of 60 s: not dark-subtracted" in whys


def test_a_dark_is_found_by_an_exposure_within_the_accuracy_of_a_shutter():
    masters = Masters(darks={60.0: dark(60.0), 10.0: dark(10.0)})
    assert masters.dark_of(59.998).exposure == 60.0
    assert masters.dark_of(10.001).exposure == 10.0
    assert masters.dark_of(59.0) is None


# -- masters that cannot be --------------------------------------------------------------------------------------------


def doubts_of(result):
    return [f"{p.what}: {p.why}" for p in result.problems if p.grade is Grade.DOUBTFUL]


@pytest.mark.slow
def test_flats_that_fall_into_two_groups_are_not_mixed_and_are_named(clean_night, night):
    wanted, _ = reduced(shutil.copytree(clean_night, night.parent / "twin"))
    paths = keep(calibrations(night, "flat"), 4)
    for path in paths[:2]:
        change(path, lambda counts: counts * (0.8 + 0.4 * across()))
    result, status = reduced(night)
    (doubt,) = doubts_of(result)
    assert "4 flat frames fall into 2 groups" in doubt and "across the image" in doubt
    assert all(path.name in doubt for path in paths)
    assert set(result.masters.flat.inputs) in (
        {path.name for path in paths[:2]},
        {path.name for path in paths[2:]},
    )
    # the sky of the science frames tells which are right
    assert set(result.masters.flat.inputs) == {path.name for path in paths[2:]}
    ratio = result.masters.flat.pixels.data / wanted.masters.flat.pixels.data
    assert np.median(ratio[:, :40]) == pytest.approx(np.median(ratio[:, -40:]), abs=0.005)
    assert {word for word, _ in status.values()} == {"rejected"}


def test_several_flats_that_disagree_with_the_others_make_the_master_doubtful(night):
    for path in calibrations(night, "flat")[:2]:
        change(path, lambda counts: counts * (0.9 + 0.2 * across()))
    result, _ = reduced(night)
    (doubt,) = doubts_of(result)
    assert "2 of 5 flat frames" in doubt and len(result.masters.flat.inputs) == 3


def test_a_flat_half_of_which_is_dark_is_doubtful(night):
    for path in calibrations(night, "flat"):
        change(path, lambda counts: np.where(across() < 0.46, 1000 + 0.2 * (counts - 1000), counts))
    (doubt,) = doubts_of(reduced(night)[0])
    assert "46% of its pixels have less than one half of its mean light" in doubt


def test_a_round_field_of_view_is_no_fault_of_the_flat(night):
    y, x = np.indices((SIZE, SIZE)) - SIZE / 2
    for path in calibrations(night, "flat"):
        change(path, lambda counts: np.where(np.hypot(x, y) > SIZE / 2, 1000, counts))
    assert not doubts_of(reduced(night)[0])


def lights_of(night):
    return sorted(
        set(night.glob("*.fits")) - {p for k in ("bias", "dark", "flat") for p in calibrations(night, k)}
    )


@pytest.mark.slow
def test_a_dark_brighter_than_its_science_frames_is_doubtful(night):
    for path in calibrations(night, "dark"):
        change(path, lambda counts: counts + 3000)
    (doubt,) = doubts_of(reduced(night)[0])
    assert "master dark of 30 s" in doubt and "brighter than the science frames of 30 s" in doubt


@pytest.mark.slow
def test_darks_below_the_bias_are_doubtful_from_twice_the_read_noise_on(night):
    for path in calibrations(night, "dark"):
        change(path, lambda counts: counts - 4)
    assert not doubts_of(reduced(night)[0])
    for path in calibrations(night, "dark"):
        change(path, lambda counts: counts - 20)
    (doubt,) = doubts_of(reduced(night)[0])
    assert "electrons below the bias" in doubt


def test_a_bias_above_the_science_frames_is_doubtful(night):
    for path in (*calibrations(night, "dark"), *calibrations(night, "flat")):
        path.unlink()
    for path in lights_of(night):
        change(path, lambda counts: counts - 1500)
    (doubt,) = doubts_of(reduced(night)[0])
    assert "master bias" in doubt and "above that of the science frames" in doubt


@pytest.mark.slow
def test_a_read_noise_declared_three_times_too_small_shows_in_the_biases(night, rng):
    for path in calibrations(night, "bias"):
        change(
            path, lambda counts: counts + rng.normal(0, 13, counts.shape)
        )  # 17 electron, with 6 of its own 18
    (doubt,) = doubts_of(reduced(night)[0])
    assert "scatter by 18 electrons, whereas a read noise of 6 electrons is declared" in doubt


@pytest.mark.slow
def test_two_flats_of_other_darks_differ_by_the_variance_that_their_darks_give_them(tmp_path):
    plan = NightPlan(
        frames=2,
        size=(160, 128),
        stars=5,
        comparisons=2,
        flip=None,
        response=0.0,
        flat_exposure=30.0,
        exposure=30.0,
        biases=10,
        darks=2,
        flats=10,
    )
    simulate_night(Toy(), tmp_path, plan)
    for path in calibrations(tmp_path, "flat"):  # so faint that the darks are what is worst known of them
        with fits.open(path) as hdus:
            level = np.median(hdus[0].data[:, 160:])
        change_all(path, lambda counts, level=level: level + 0.02 * (counts - level))
    found = scan(tmp_path, Toy())
    made = []
    for half in (0, 1):
        output = Output(tmp_path / f"red_{half}")
        output.make()
        work = start(found, found.sets()[0], Options())
        some = {name: getattr(work.observed, name)[half::2] for name in ("biases", "darks", "flats")}
        work = work.with_(observed=replace(work.observed, **some))
        made.append(MakeMasters()(work, Runner(output, Options(), Silent())).result.masters.flat)
    one, other = made
    stated = (one.pixels.variance + other.pixels.variance).mean()
    # 20,000 pixels tell a variance to 1 %; up to 5 % are lost in the scatter of five values
    assert (one.pixels.data - other.pixels.data).var() == pytest.approx(stated, rel=0.1)


def change_all(path, counts):
    """Write a raw frame again with other counts in all of it."""
    with fits.open(path) as hdus:
        data, header = hdus[0].data.astype(float), hdus[0].header.copy()
    fits.writeto(path, np.clip(np.round(counts(data)), 0, 65535).astype(np.uint16), header, overwrite=True)


# -- a level that nobody declared -----------------------------------------------------------------------------------


class Bare(Toy):
    """The toy without its overscan."""

    name = "BARE"
    cameras = (replace(Toy.cameras[0], overscan_section=None),)


def bare_result(night, **options):
    output = Output(night / "red")
    output.make()
    found = scan(night, Bare(), skip=output.root)
    chosen = Options(**options)
    return MakeMasters()(start(found, found.sets()[0], chosen), Runner(output, chosen, Silent())).result


@pytest.fixture
def bare(tmp_path):
    """A night of six science frames and five flats without bias and darks, at a level of 1000 ADU."""
    plan = {"frames": 6, "stars": 20, "comparisons": 2, "drift": 2, "flip": None, "exposure": 30.0}
    simulate_night(
        Bare(), tmp_path / "night", NightPlan(**plan, biases=0, darks=0, flats=5, bias_level=1000.0)
    )
    return tmp_path / "night"


@pytest.mark.slow
def test_a_level_without_light_that_nobody_declared_is_estimated_and_said(bare):
    result = bare_result(bare)
    (problem,) = (p for p in result.problems if "pedestal" in p.what)
    assert problem.grade is Grade.REMARK and "--pedestal auto" in problem.why
    # 60 e/s/arcsec^2 in 30 s on 0.62 arcsec: 690 electron of sky, which the gain is taken to know to 5 %
    assert result.masters.pedestal == pytest.approx(1300, abs=2 * 0.05 * 690)
    assert not any("pedestal" in p.what for p in bare_result(bare, pedestal="none").problems)


@pytest.mark.slow
def test_only_by_wish_is_it_subtracted_from_the_flats(bare):
    left_in = bare_result(bare).masters.flat.pixels.data
    auto = bare_result(bare, pedestal="auto").masters.flat.pixels.data
    assert auto.std() > 1.01 * left_in.std()  # a level without light makes vignetting look less


@pytest.mark.slow
def test_nothing_is_estimated_where_a_bias_or_an_overscan_tells(night):
    assert reduced(night)[0].masters.pedestal == 0
    for kind in ("bias", "dark"):
        for path in calibrations(night, kind):
            path.unlink()
    assert reduced(night)[0].masters.pedestal == 0


def test_a_pedestal_has_no_photon_noise_and_is_not_left_in_the_sky(rng):
    sky = Pixels(
        *(np.full((8, 8), value, np.float32) for value in (690 + 1300, 36)), np.zeros((8, 8), np.uint16)
    )
    done = calibrate(sky, pedestal=1300)
    np.testing.assert_allclose(done.data, 690)
    np.testing.assert_allclose(done.variance, 690 + 36)
    dark = Pixels(*(np.full((8, 8), value, np.float32) for value in (1300, 4)), np.zeros((8, 8), np.uint16))
    done = calibrate(sky, dark=dark, pedestal=1300)
    np.testing.assert_allclose(done.data, 690)
    np.testing.assert_allclose(done.variance, 690 + 36 + 4)


# -- a gain that the flats contradict ---------------------------------------------------------------------------------


class Doubled(Toy):
    """The toy, declared with twice its gain."""

    name = "DOUBLED"
    cameras = (replace(Toy.cameras[0], gain=2.6 * u.electron / u.adu),)


@pytest.mark.slow
def test_a_gain_that_is_wrong_by_two_is_on_the_screen_and_a_right_one_is_not(night):
    output = Output(night / "red")
    output.make()
    found = scan(night, Doubled(), skip=output.root)
    result = MakeMasters()(
        start(found, found.sets()[0], Options()), Runner(output, Options(), Silent())
    ).result
    (problem,) = (p for p in result.problems if p.what.endswith("gain"))
    assert problem.grade is Grade.DOUBTFUL and "0.5 times the declared gain" in problem.why
    assert not any(p.what.endswith("gain") for p in reduced(night)[0].problems)
