"""Which night a frame belongs to."""

from pathlib import Path

import astropy.units as u
import pytest
from astropy.coordinates import EarthLocation
from astropy.time import Time, TimeDelta

from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.night.evenings import by_nearness, days_between, with_nights

GRANADA, SPM, SIDING_SPRING = -3.4, -115.46, 149.07


def frame(name, time=None, kind="science", *, band="r", camera="main", notes=()):
    """What a header said; times are UTC."""
    when = None if time is None else Time(time, scale="utc")
    return FrameInfo(
        Path("/night") / name,
        FrameKind(kind),
        camera,
        band,
        "WASP-0" if kind == "science" else "",
        (1, 1),
        60 * u.s,
        when,
        (256, 256),
        inside=name,
        notes=notes,
    )


def series(folder, start, n=6, step=70.0, **more):
    """Frames of one run."""
    first = Time(start, scale="utc")
    return [
        frame(f"{folder}/light_{i:03d}.fits", first + TimeDelta(i * step * u.s), **more) for i in range(n)
    ]


def nights(infos, longitude=GRANADA):
    site = EarthLocation.from_geodetic(longitude * u.deg, 37 * u.deg)
    return [info.night for info in with_nights(infos, lambda camera: site)]


@pytest.mark.parametrize(
    ("longitude", "first", "last"),
    [
        (GRANADA, "2024-03-10T19:00", "2024-03-11T05:00"),
        (SPM, "2024-03-11T02:00", "2024-03-11T13:00"),  # all of it after midnight UT
        (SIDING_SPRING, "2024-03-10T08:30", "2024-03-10T20:00"),  # all of it before
        (179.9, "2024-03-10T06:00", "2024-03-10T18:00"),
        (-179.9, "2024-03-11T06:00", "2024-03-11T18:00"),
    ],
)
def test_a_night_through_midnight_ut_is_one_night_named_by_its_evening(longitude, first, last):
    infos = [frame("a.fits", first), frame("b.fits", last)]
    assert nights(infos, longitude) == ["2024-03-10"] * 2


def test_three_nights_are_three():
    infos = [f for d in (10, 11, 14) for f in series(f"n{d}", f"2024-03-{d}T23:59:00")]
    assert nights(infos) == [f"2024-03-{d}" for d in (10, 11, 14) for _ in range(6)]


def test_a_series_through_noon_is_one_night():
    """As of a site or a clock that is hours off."""
    assert len(set(nights(series("n", "2024-03-10T12:10:00", n=12)))) == 1


def test_runs_of_a_polar_night_without_an_end_are_cut_at_noon():
    infos = series("n", "2024-06-10T06:00:00", n=72, step=3000.0)
    assert sorted(set(nights(infos, 0.0))) == ["2024-06-09", "2024-06-10", "2024-06-11", "2024-06-12"]


def test_calibrations_of_another_date_make_no_night_and_keep_their_date():
    infos = [*series("n", "2024-03-10T22:00"), frame("flat.fits", "2024-03-13T18:00", "flat")]
    assert nights(infos) == ["2024-03-10"] * 6 + ["2024-03-13"]


def test_flats_of_the_noon_after_the_one_night_are_its_own():
    infos = [*series("n", "2024-03-10T22:00"), frame("flat.fits", "2024-03-11T13:30", "flat")]
    assert nights(infos)[-1] == "2024-03-10"


def test_flats_of_noon_belong_to_the_night_of_their_folder():
    noon = frame("one/flat.fits", "2024-03-11T13:30", "flat")
    infos = [*series("one", "2024-03-10T22:00"), *series("two", "2024-03-11T22:00"), noon]
    assert nights(infos)[-1] == "2024-03-10"


def test_flats_of_noon_belong_to_the_night_that_has_none_otherwise():
    lights = [*series("all/a", "2024-03-10T22:00"), *series("all/b", "2024-03-11T22:00")]
    noon = frame("flats/noon.fits", "2024-03-11T13:30", "flat")
    evening = frame("flats/evening.fits", "2024-03-11T18:30", "flat")
    other_band = frame("flats/evening_g.fits", "2024-03-11T18:30", "flat", band="g")
    assert nights([*lights, noon, evening])[-2:] == ["2024-03-10", "2024-03-11"]
    assert nights([*lights, noon, other_band])[-2] == "2024-03-11"  # by its date: no other flat of its band


def test_calibrations_without_a_time_belong_to_the_one_night_or_to_that_of_their_folder():
    one, two = series("one", "2024-03-10T22:00"), series("two", "2024-03-11T22:00")
    undated = frame("one/cal/bias.fits", None, "bias")
    elsewhere = frame("cal/bias.fits", None, "bias")
    assert nights([*one, elsewhere])[-1] == "2024-03-10"
    assert nights([*one, *two, undated, elsewhere])[-2:] == ["2024-03-10", ""]
    beside = frame("cal/flat.fits", "2024-03-11T18:30", "flat")
    assert nights([*one, *two, beside, elsewhere])[-1] == "2024-03-11"


@pytest.mark.parametrize("clock", ["1970-01-01T00:00:05", "1980-01-06T00:00:00", "2000-01-01T00:10:00"])
def test_a_clock_that_was_never_set_makes_no_night_and_flags_the_frame(clock):
    infos = series("n", "2024-03-10T22:00")
    infos[0] = frame("n/light_000.fits", clock)
    (first, *rest) = with_nights(infos, lambda camera: EarthLocation.from_geodetic(0, 0))
    assert first.night == "2024-03-10"
    assert first.notes[-1].startswith(f"time: its clock says {clock}")
    assert not any(info.notes for info in rest)


def test_a_frame_of_another_date_amid_a_night_is_of_that_night():
    infos = series("n", "2024-03-10T22:00", n=9)
    infos[4] = frame("n/light_004.fits", "2019-07-01T03:00")
    found = with_nights(infos, lambda camera: EarthLocation.from_geodetic(0, 0))
    assert {info.night for info in found} == {"2024-03-10"}
    assert [bool(info.notes) for info in found] == [i == 4 for i in range(9)]


def test_all_clocks_unset_are_a_night_by_its_date():
    assert set(nights(series("n", "1970-01-01T00:00:05"))) == {"1969-12-31"}


def test_two_nights_with_files_in_turn_are_two_nights():
    infos = [f for k in range(5) for f in (frame(f"{k}_a.fits", f"2024-03-10T22:0{k}"),
                                           frame(f"{k}_b.fits", f"2024-03-11T22:0{k}"))]  # fmt: skip
    found = with_nights(infos, lambda camera: EarthLocation.from_geodetic(0, 0))
    assert [info.night for info in found] == ["2024-03-10", "2024-03-11"] * 5
    assert not any(info.notes for info in found)


def test_an_unset_clock_among_several_nights_is_of_its_neighbours_night_or_of_none():
    one = [frame(f"light_{k:02d}.fits", f"2024-03-10T22:{k:02d}") for k in range(1, 10)]
    two = [frame(f"light_{k:02d}.fits", f"2024-03-11T22:{k:02d}") for k in range(11, 20)]
    odd = [frame(f"light_{k:02d}.fits", "1970-01-01T00:00:00") for k in (5, 10)]
    found = nights([*(f for f in one if "05" not in f.label), *two, *odd])
    assert found[-2:] == ["2024-03-10", ""]


def test_the_nearest_night_comes_first_and_undated_frames_last():
    dates = {"a": "2024-03-10T18:00", "b": "2024-03-12T18:00", "c": "2024-03-14T18:00", "d": None}
    lights = [*series("x/n1", "2024-03-11T22:00"), *series("x/n2", "2024-03-13T22:00")]
    flats = [frame(f"{name}/flat.fits", time, "flat") for name, time in dates.items()]
    site = EarthLocation.from_geodetic(0, 0)
    found = with_nights([*lights, *flats], lambda camera: site)[-4:]
    order = [name for name, _ in by_nearness(found, "2024-03-13")]
    assert order == ["2024-03-12", "2024-03-14", "2024-03-10", ""]
    assert days_between("2024-02-28", "2024-03-01") == 2
