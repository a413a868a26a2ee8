"""Whose star it is: a target that was named is found or missing, and never another star."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from fake_report import frame_info, make_report, make_set, set_exports, set_images, set_tables

from potpyri_like.astrometry import Transform
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night import ObservationSet
from potpyri_like.options import Options
from potpyri_like.photometry.psf import Profile
from potpyri_like.primitives.choose_target import ChooseTarget
from potpyri_like.primitives.extract_light_curve import ExtractLightCurve
from potpyri_like.primitives.locate_target import LocateTarget
from potpyri_like.primitives.place_by_probe import PlaceByProbe
from potpyri_like.primitives.place_by_sky import PlaceBySky
from potpyri_like.primitives.places import located, pixel_set
from potpyri_like.primitives.register import Register, sample_of
from potpyri_like.primitives.stage import FrameOutcome, Setup, Work
from potpyri_like.products import closing_lines
from potpyri_like.registration import Place, Probe, Registration
from potpyri_like.results import Grade, Reference, SetResult
from potpyri_like.run.fields import fields_in_time
from potpyri_like.run.observations import with_their_radec
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.testing import NightPlan, simulate_night

SHAPE = (200, 240)
SCALE = 0.6  # arcsec/pixel
RADEC = SkyCoord(153.5, 16.05, unit="deg")
BLANK = np.array([120.0, 100.0])


def star_xy(seed=1, n=20):
    """Stars everywhere but near BLANK."""
    rng, xy = np.random.default_rng(seed), []
    while len(xy) < n:
        place = rng.uniform(10, 190, 2) * [1.2, 1.0]
        if all(np.hypot(*(place - other)) > 14 for other in [*xy, BLANK]):
            xy.append(place)
    return np.array(xy)


def reference_of(info, xy):
    rng = np.random.default_rng(7)
    return Reference(
        info=info,
        image=rng.normal(100, 10, SHAPE),
        xy=xy,
        flux=np.geomspace(1e6, 1e4, len(xy)),
        fwhm=4.0,
        widest=4.5,
        why="",
    )


def make_work(camera="C1", band="g", *, xy=None, given=False, frames=8, target="WASP-0", best=3, **changes):
    """The work on one set whose reference is known; frames are drifts of half a pixel each."""
    infos = tuple(
        frame_info(
            f"{target}_{band}_{i}.fits", band=band, camera=camera, target=target, time=2460729.8 + i / 1440
        )
        for i in range(frames)
    )
    observed = ObservationSet(target, camera, band, (2, 2), f"{target}/{band}", infos)
    setup = Setup(
        Opticam(),
        reference=reference_of(infos[best], star_xy() if xy is None else xy),
        coordinates=RADEC,
        coordinates_given=given,
    )
    work = Work(observed, setup, SetResult(observed, reference=setup.reference, pixel_scale=SCALE))
    return work.with_(**{"pixel_read_here": True, **changes})


class FakeTools:
    """Frames of a field that drifts, of which some have a WCS; `light` is the flux over its error at a blank place."""

    def __init__(self, options=None, *, solved=None, doubts=None, light=0.0, lost=()):
        self.options = options or Options()
        self.solved, self.doubts, self.light, self.lost = solved or {}, doubts or {}, light, set(lost)

    def drift(self, info, setup):
        """The transform from the reference to a frame."""
        names = [f"{info.target}_{info.band}_{i}.fits" for i in range(99)]
        steps = names.index(info.path.name) - names.index(setup.reference.info.path.name)
        return Transform(np.eye(2), 0.5 * steps * np.ones(2))

    def run_frames(self, infos, stages, setup, *, what):
        return [self.outcome(info, stages, setup) for info in infos]

    def outcome(self, info, stages, setup):
        name = info.path.name
        if isinstance(stages[-1], PlaceBySky):
            return FrameOutcome(info, {"place": Place(self.solved.get(name), self.doubts.get(name, ""))})
        if name in self.lost:
            return FrameOutcome(info, {}, "Register", f"{name}: too few stars")
        found = {"registration": Registration(self.drift(info, setup), 9, 0.1, 4.0, Profile(4.0))}
        if isinstance(stages[-1], PlaceByProbe):
            return FrameOutcome(info, {**found, "probe": Probe(self.light * 100, 100.0)})
        assert isinstance(stages[-1], Register)
        return FrameOutcome(info, found)


def locate(works, tools):
    return LocateTarget(())(tuple(works), tools)


def in_frame(work, xy, number):
    """A pixel of the reference as one of a frame."""
    best = int(work.setup.reference.info.path.stem.rpartition("_")[2])
    return tuple(np.asarray(xy) + 0.5 * (number - best))


def named(xy, **more):
    return Options(target_xy=f"{xy[0]:.3f},{xy[1]:.3f}", **more)


def problems(works):
    return [problem for work in works for problem in work.result.problems]


# -- by a pixel ----------------------------------------------------------------------------------------------


def test_a_pixel_on_a_star_is_that_star():
    work = make_work()
    (found,) = locate([work], FakeTools(named(in_frame(work, star_xy()[5], 0))))
    assert found.target_star == 5
    assert not found.is_limit
    assert not problems([found])


@pytest.mark.parametrize("at", [(5000, 20), (-3, 20), (20, 200.0), (240.0, 20)])
def test_a_pixel_outside_is_a_sentence_with_the_frames_size(at):
    (found,) = locate([make_work()], FakeTools(named(at)))
    (problem,) = problems([found])
    assert found.target_star is None
    assert "240 x 200 pixels" in problem.why
    assert problem.grade is Grade.MISSING


def test_blank_sky_is_no_target_and_the_nearest_star_is_named():
    work = make_work()
    (found,) = locate([work], FakeTools(named(in_frame(work, BLANK, 0)), light=1.0))
    (problem,) = problems([found])
    nearest = np.hypot(*(star_xy() - BLANK).T)
    assert found.target_star is None
    assert f"star {np.argmin(nearest)}, {SCALE * nearest.min():.0f} arcsec" in problem.why
    assert "--forced" in problem.why
    assert not len(found.setup.forced)


def test_a_star_too_faint_to_be_detected_is_measured_where_frames_together_show_it():
    work = make_work()
    (found,) = locate([work], FakeTools(named(in_frame(work, BLANK, 0)), light=3.0))  # times sqrt(8)
    assert found.target_star == len(star_xy())
    np.testing.assert_allclose(found.setup.forced, [BLANK])
    assert not found.is_limit
    assert not problems([found])


def test_forced_measures_blank_sky_and_calls_it_a_limit():
    work = make_work()
    options = named(in_frame(work, BLANK, 0), forced=True)
    (found,) = locate([work], FakeTools(options, light=0.0))
    assert found.target_star == len(star_xy())
    assert found.is_limit
    assert "limit" in found.target_why
    assert not problems([found])
    (seen,) = locate([work], FakeTools(options, light=20.0))
    assert not seen.is_limit


def test_a_camera_to_which_the_target_cannot_be_carried_gets_no_star():
    first, second = make_work(), make_work("C2", "r", xy=star_xy(seed=9), pixel_read_here=False)
    tools = FakeTools(named(in_frame(first, star_xy()[5], 0)))
    one, two = locate([first, second], tools)
    assert one.target_star == 5
    assert two.target_star is None
    assert two.named_by
    (problem,) = problems([one, two])
    assert "could not be carried over" in problem.why


def test_the_other_cameras_find_the_same_star():
    turned = star_xy()[::-1] * [-1, 1] + [240, 0]
    first, second = make_work(), make_work("C2", "r", xy=turned, pixel_read_here=False)
    fainter = replace(second.setup.reference, flux=second.setup.reference.flux[::-1])
    second = second.found(reference=fainter)
    one, two = locate([first, second], FakeTools(named(in_frame(first, star_xy()[5], 0))))
    assert (one.target_star, two.target_star) == (5, 14)


@pytest.mark.parametrize(("stars", "off", "found"), [(6, 1.19, True), (20, 0.84, True), (20, 1.5, False)])
def test_a_declared_scale_may_be_wrong_by_a_fifth(stars, off, found):
    xy = star_xy(n=stars)
    first, second = make_work(xy=xy), make_work("C2", "r", xy=xy, pixel_read_here=False)
    second = second.with_(result=replace(second.result, pixel_scale=SCALE * off))
    _, two = locate([first, second], FakeTools(named(in_frame(first, xy[2], 0))))
    assert (two.target_star == 2) is found


@pytest.mark.parametrize("seed", range(20))
def test_a_few_stars_of_another_field_are_not_matched_at_any_scale(seed):
    first, second = (
        make_work(xy=star_xy(seed=1, n=6)),
        make_work("C2", "r", xy=star_xy(seed=100 + seed, n=6), pixel_read_here=False),
    )
    _, two = locate([first, second], FakeTools(named(in_frame(first, star_xy(n=6)[2], 0))))
    assert two.target_star is None


def test_where_the_frame_of_the_pixel_failed_no_other_camera_takes_it_for_its_own():
    work = make_work("C2", "r", pixel_read_here=False)
    (found,) = locate([work], FakeTools(named(star_xy()[5])))
    assert found.target_star is None
    assert len(problems([found])) == 1


# -- one pointing of several ---------------------------------------------------------------------------------


def test_a_pixel_of_another_field_names_nothing_here_even_on_a_star():
    first = make_work()
    other = make_work(target="TOI-1", xy=star_xy(seed=9), pixel_read_here=False)
    options = named(star_xy(seed=9)[4])
    (done,) = locate([first], FakeTools(options, light=9.0))
    (found,) = locate([other.with_(elsewhere=located([done]))], FakeTools(options, light=9.0))
    assert found.target_star is None
    (problem,) = problems([found])
    assert problem.grade is Grade.MISSING
    assert "WASP-0" in problem.why and "--target" in problem.why


def test_the_same_field_under_another_name_has_the_same_star():
    first, other = make_work(), make_work(target="WASP 0", pixel_read_here=False)
    options = named(in_frame(first, star_xy()[5], 0))
    (done,) = locate([first], FakeTools(options))
    (found,) = locate([other.with_(elsewhere=located([done]))], FakeTools(options))
    assert found.target_star == 5
    assert not problems([found])


def observed(target, frames, begin, camera="C1"):
    infos = tuple(
        replace(frame_info(f"{target}_{i}.fits", target=target), mid_time=Time(begin + i / 1440, format="jd"))
        for i in range(frames)
    )
    return ObservationSet(target, camera, "g", (2, 2), f"{target}/{camera}", infos)


def test_a_pixel_is_of_the_first_pointing_that_is_no_test():
    first, second, focus = observed("A", 20, 2.1), observed("B", 20, 2.5), observed("focus", 3, 2.0)
    assert pixel_set([[first], [focus], [second]], "5,6", None) is first
    assert pixel_set([[second], [first]], "5,6", None) is first
    assert pixel_set([[first], [focus], [second]], "5,6", "focus_1.fits") is focus
    assert pixel_set([[first]], "C3:5,6", None) is None
    other = observed("A", 20, 2.0, camera="C2")
    assert pixel_set([[first, other]], "C2:5,6", None) is other
    assert pixel_set([[first, other]], "5,6", None) is first


def test_the_frames_drawn_are_the_same_in_a_subfolder():
    frames = [frame_info(f"a_{i:02d}.fits") for i in range(40)]
    there = [replace(info, inside=f"sub/folder/{info.path.name}") for info in frames]
    drawn, again = sample_of(tuple(frames), 12), sample_of(tuple(there), 12)
    assert [info.path.name for info in drawn] == [info.path.name for info in again]


# -- by coordinates ------------------------------------------------------------------------------------------


def solved(work, xy, numbers):
    """Frames whose WCS puts the target at a pixel of the reference."""
    frames = work.observed.frames
    return {frames[i].path.name: in_frame(work, xy, i) for i in numbers}


def radec(**more):
    return Options(radec="153.5 16.05", **more)


@pytest.mark.parametrize("best", [0, 3, 6])
@pytest.mark.parametrize("numbers", [(0, 1, 2, 3, 4, 5, 6, 7), (5,), (1, 6, 7)])
def test_the_wcs_of_any_frame_names_the_star_whichever_is_the_reference(best, numbers):
    work = make_work(given=True, best=best)
    (found,) = locate([work], FakeTools(radec(), solved=solved(work, star_xy()[7] + 0.5, numbers)))
    assert found.target_star == 7
    assert not problems([found])


def test_a_wcs_whose_frame_cannot_be_matched_gives_way_to_another():
    work = make_work(given=True, frames=20)
    lost = {f"WASP-0_g_{i}.fits" for i in range(20)} - {"WASP-0_g_11.fits"}
    solutions = solved(work, star_xy()[7], [i for i in range(20) if i != 3])
    (found,) = locate([work], FakeTools(radec(), solved=solutions, lost=lost))
    assert found.target_star == 7


def test_one_stale_wcs_among_good_ones_does_not_count():
    work = make_work(given=True)
    places = solved(work, star_xy()[7], (0, 1, 4, 6)) | solved(work, star_xy()[2], (3,))
    (found,) = locate([work], FakeTools(radec(), solved=places))
    assert found.target_star == 7


def test_wcs_that_contradict_one_another_name_no_star():
    work = make_work(given=True)
    places = solved(work, star_xy()[7], (3,)) | solved(work, star_xy()[2], (5,))
    (found,) = locate([work], FakeTools(radec(), solved=places))
    assert found.target_star is None
    assert "differ by up to" in problems([found])[0].why


@pytest.mark.parametrize(
    ("scale", "pixels", "near"), [(31.7, 0.35, True), (31.7, 2.0, False), (0.3, 9, True)]
)
def test_how_near_a_star_must_be_counts_in_arcsec_or_in_pixels(scale, pixels, near):
    work = make_work(given=True)
    work = work.with_(result=replace(work.result, pixel_scale=scale))
    (found,) = locate([work], FakeTools(radec(), solved=solved(work, star_xy()[7] + [pixels, 0], (3,))))
    assert (found.target_star == 7) is near


def test_a_stale_wcs_is_a_sentence_with_the_distance_and_no_other_star():
    work = make_work(given=True)
    (found,) = locate([work], FakeTools(radec(), solved=solved(work, [120.0, -900.0], range(8))))
    away = SCALE * np.hypot(*(star_xy() - [120.0, -900.0]).T).min()
    (problem,) = problems([found])
    assert found.target_star is None and found.named_by
    assert f"{away:.0f} arcsec" in problem.why
    assert problem.grade is Grade.MISSING


def test_coordinates_of_an_undetected_star_are_measured_and_those_of_blank_sky_are_not():
    work = make_work(given=True)
    solutions = solved(work, BLANK, range(8))
    (faint,) = locate([work], FakeTools(radec(), solved=solutions, light=4.0))
    assert faint.target_star == len(star_xy()) and not faint.is_limit
    (blank,) = locate([work], FakeTools(radec(), solved=solutions, light=0.5))
    assert blank.target_star is None and len(problems([blank])) == 1
    (forced,) = locate([work], FakeTools(radec(forced=True), solved=solutions, light=0.5))
    assert forced.is_limit


def test_a_wcs_that_cannot_be_used_is_a_sentence():
    work = make_work(given=True)
    (found,) = locate([work], FakeTools(radec(), doubts={"WASP-0_g_2.fits": "PV cards of another kind"}))
    assert found.named_by and found.target_star is None
    assert "PV cards of another kind" in problems([found])[0].why


def test_coordinates_without_any_wcs_give_times_only_and_say_so():
    (found,) = locate([make_work(given=True)], FakeTools(radec()))
    assert not found.named_by
    assert not problems([found])
    (choice,) = found.result.choices
    assert "times" in choice.why and "--target-xy" in choice.why


def test_a_camera_without_a_wcs_gets_the_star_of_the_one_that_has_it():
    first, second = make_work(given=True), make_work("C2", "r", given=True)
    one, two = locate([first, second], FakeTools(radec(), solved=solved(second, star_xy()[7], (4,))))
    assert (one.target_star, two.target_star) == (7, 7)
    assert not problems([one, two])


def test_a_stale_wcs_in_one_camera_gives_way_to_the_stars_of_another():
    first, second = make_work(given=True), make_work("C2", "r", given=True)
    places = solved(first, [120.0, -900.0], range(8)) | solved(second, star_xy()[7], (4,))
    one, two = locate([first, second], FakeTools(radec(), solved=places))
    assert (one.target_star, two.target_star) == (7, 7)


def test_the_headers_coordinates_name_the_star_that_they_hit_and_nothing_else():
    work = make_work()
    (hit,) = locate([work], FakeTools(solved=solved(work, star_xy()[7], range(8))))
    assert hit.target_star == 7 and hit.named_by
    (missed,) = locate([work], FakeTools(solved=solved(work, BLANK, range(8)), light=20.0))
    assert missed.target_star is None and not missed.named_by
    assert not problems([missed])


def test_radec_is_that_of_the_nearest_target_of_a_night():
    def looking(target, ra):
        there = observed(target, 8, 2.0)
        pointing = None if ra is None else SkyCoord(ra, 16.0, unit="deg")
        return [replace(there, frames=tuple(replace(info, pointing=pointing) for info in there.frames))]

    def given(*ras):
        groups = [looking(f"T{i}", ra) for i, ra in enumerate(ras)]
        return [options.radec is not None for options in with_their_radec(groups, radec())]

    assert given(153.6, 180.0, None) == [True, False, True]
    assert given(180.0) == [True]  # the headers may be wrong
    assert given(153.6, 153.4) == [True, True]
    assert given(None, None) == [True, True]


# -- nobody named it -----------------------------------------------------------------------------------------


@pytest.fixture
def measured():
    """The work on a set that was measured, without a target yet."""
    result = make_set(n_frames=40)
    result = replace(result, light_curve=None, transit=None, periods=None, lags={}, choices=(), problems=())
    setup = Setup(Opticam(), reference=result.reference, coordinates=RADEC)
    return Work(result.observed, setup, result)


TOOLS = SimpleNamespace(options=Options())


def drawn(work):
    return ExtractLightCurve()(ChooseTarget()((work,), TOOLS)[0], TOOLS)


def test_the_most_variable_star_is_not_identified_as_the_object(measured):
    curve = drawn(measured).result.light_curve
    assert not curve.is_identified
    assert curve.target == f"star {curve.star}, not identified as {measured.observed.target}"


def test_a_target_that_was_named_and_not_placed_is_nobody_elses_curve(measured):
    done = drawn(measured.with_(named_by="--radec 1 2"))
    assert done.result.light_curve is None


def test_the_target_that_was_named_is_identified(measured):
    star = int(np.nanargmax(measured.result.stars.flux))
    curve = drawn(measured.with_(named_by="--target-xy 1,2", target_star=star)).result.light_curve
    assert curve.is_identified and curve.star == star
    assert curve.target == measured.observed.target


def variable(result, star=3):
    curve = replace(result.light_curve, is_identified=False, star=star, target=f"star {star}, not identified")
    return replace(result, light_curve=curve)


def test_files_of_the_most_variable_star_do_not_bear_the_objects_name():
    result = make_set()
    other = variable(result)
    names = {name.rpartition("/")[2] for name in (*set_tables(other), *set_images(other))}
    assert {"star_003.ecsv", "star_003.png", "measurements.fits", "stars.ecsv", "field.png"} <= names
    assert not [name for name in names if name.startswith(("lightcurve", "transit"))]
    assert not set_exports(other, {})
    usual = {name.rpartition("/")[2] for name in (*set_tables(result), *set_images(result))}
    assert {"lightcurve.ecsv", "lightcurve.png"} <= usual
    assert any(name.endswith("aavso_extended.txt") for name in set_exports(result, {}))


def test_a_limit_is_not_reported_as_a_magnitude_and_says_what_it_is():
    result = make_set()
    limit = replace(result, light_curve=replace(result.light_curve, is_limit=True))
    assert not [name for name in set_exports(limit, {}) if "aavso" in name]
    assert set_tables(limit, only=("lightcurve.ecsv",)).popitem()[1].meta["limit"] is True
    report = make_report()
    lines = closing_lines(replace(report, sets=(limit,)))
    assert "limit" in lines[0]
    assert not any("limit" in line for line in closing_lines(report)[:2])


def test_the_last_lines_say_which_star_it_is_and_how_to_name_the_target():
    report = make_report()
    usual = closing_lines(report)
    assert not any("not identified" in line or "to identify the target" in line for line in usual)
    lines = closing_lines(replace(report, sets=tuple(variable(result) for result in report.sets)))
    (line,) = [line for line in lines if "the most variable" in line]
    assert "star 3" in line and "not identified as WASP-0" in line
    (how,) = [line for line in lines if line.startswith("to identify the target WASP-0: --target-xy")]
    assert "C1:" in how


# -- one name, two fields ------------------------------------------------------------------------------------


def test_the_field_that_was_observed_first_keeps_the_name_whichever_has_the_reference():
    work = make_work(frames=10)
    names = [info.label for info in work.observed.frames]
    for there in (frozenset(names[:4]), frozenset(names[4:])):
        (early,), (late,) = fields_in_time((work,), [there], Options())
        assert [info.label for info in early.observed.frames] == names[:4]
        assert [info.label for info in late.observed.frames] == names[4:]
        assert (early.observed.target, late.observed.target) == ("WASP-0", "WASP-0_p2")
        assert (early.observed.folder, late.observed.folder) == ("WASP-0/g", "WASP-0_p2/g")
        assert early.pixel_read_here and not late.pixel_read_here
    (early,), (late,) = fields_in_time((work,), [there], Options(target_frame=names[7]))
    assert late.pixel_read_here and not early.pixel_read_here


def test_a_second_field_takes_no_name_that_another_target_has():
    work = make_work(frames=10)
    there = frozenset(info.label for info in work.observed.frames[4:])
    _, (late,) = fields_in_time((work,), [there], Options(), {"wasp-0_p2"})
    assert late.observed.target == "WASP-0_p3"


@pytest.mark.slow
@pytest.mark.parametrize("strangers", [0, 7])
def test_frames_whose_stars_are_those_of_another_field_are_a_second_field(tmp_path, strangers):
    plan = NightPlan(
        seed=2,
        frames=16,
        cameras=("C1",),
        binning=(2, 2),
        size=(256, 256),
        stars=25,
        darks=2,
        flats=3,
        flip=None,
    )
    truth = simulate_night(Opticam(), tmp_path / "night", plan)
    simulate_night(Opticam(), tmp_path / "other", replace(plan, seed=77))
    for name in sorted(truth.frames["file"])[16 - strangers :]:
        (tmp_path / "night" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    x, y = truth.target_xy["C1"]
    report = reduce_night(
        Opticam(),
        tmp_path / "night",
        options=Options(jobs=1, animation="no", target_xy=f"C1:{x:.1f},{y:.1f}"),
    )
    found = {result.observed.target: result for result in report.sets}
    assert list(found) == (["WASP-0", "WASP-0_p2"] if strangers else ["WASP-0"])
    curve = found["WASP-0"].light_curve
    assert len(curve.time) == 16 - strangers and np.isfinite(curve.flux).all()
    if strangers:
        assert found["WASP-0_p2"].light_curve is None
        assert np.isfinite(found["WASP-0_p2"].series.flux).any(axis=(1, 2)).all()
