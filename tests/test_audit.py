"""The audit of times: cadence, exposures, the Sun and the horizon, as astropy has them and as an almanac does."""

from dataclasses import dataclass, replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from toy import Toy

from potpyri_like.astrometry import cadence, contradicted, outlasting, sharing
from potpyri_like.frame import FrameFlag, FrameInfo, FrameKind
from potpyri_like.night import ObservationSet
from potpyri_like.primitives.audit_times import AuditTimes
from potpyri_like.primitives.stage import Setup, Work
from potpyri_like.results import Grade, SetResult

GRANADA = EarthLocation.from_geodetic(lon=-3.4 * u.deg, lat=37.1 * u.deg, height=2900 * u.m)
LEONIS = SkyCoord("10h14m00s +16d03m00s")  # crosses the meridian of Granada at 23:20 UT on 2024 March 10
EVENING = Time("2024-03-10T22:00:30", scale="utc")
DOUBTFUL = int(FrameFlag.TIME_DOUBTFUL)


class Granada(Toy):
    """A telescope on the Sierra Nevada."""

    site = GRANADA


@dataclass(frozen=True)
class Frames:
    """What the audit looks at of a series."""

    frames: tuple
    flags: np.ndarray
    reasons: tuple


def info(i, mid_time, **changes):
    about = {
        "path": Path(f"light_{i:03d}.fits"),
        "kind": FrameKind.SCIENCE,
        "camera": "main",
        "band": "r",
        "target": "WASP-0",
        "binning": (1, 1),
        "exposure": 60 * u.s,
        "mid_time": mid_time,
        "shape": (256, 256),
    }
    return FrameInfo(**about | changes)


def work_of(infos, instrument=Granada, coordinates=LEONIS):
    observed = ObservationSet(
        "WASP-0", "main", infos[0].band, (1, 1), f"WASP-0/{infos[0].band}", tuple(infos)
    )
    labels = tuple(one.label for one in infos)
    series = Frames(labels, np.zeros(len(labels), int), ("",) * len(labels))
    return Work(observed, Setup(instrument(), coordinates=coordinates), SetResult(observed, series=series))


def night(start=EVENING, n=14, step=70.0, **changes):
    return [info(i, start + i * step * u.s, **changes) for i in range(n)]


def audited(*sets, **how):
    """What the stage makes of sets of frames: flags, problems."""
    works = AuditTimes()(tuple(work_of(infos, **how) for infos in sets), None)
    return [(work.result.series.flags, work.result.problems, work.result) for work in works]


# -- numerics


def test_frames_that_share_a_time_are_found_in_any_order(rng):
    days = 60379 + np.array([0.1, 0.1, 0.2, 0.3, 0.3, 0.3, 0.4])
    order = rng.permutation(7)
    np.testing.assert_array_equal(sharing(days[order]), np.array([1, 1, 0, 1, 1, 1, 0], bool)[order])
    assert not sharing(60379 + np.arange(20) * 0.005 / 86400).any()  # 5 ms apart: a fast camera
    assert cadence(days[order]) == pytest.approx(0.1 * 86400)


@pytest.mark.parametrize(
    ("exposure", "step", "impossible"),
    [
        (60000, 70, True),
        (60, 70, False),
        (60, 60, False),
        (60, 59.5, False),
        (90, 70, True),
        (0.2, 1.0, False),
        (1, 0.25, False),
    ],
)
def test_an_exposure_cannot_outlast_the_next_start(exposure, step, impossible):
    days = 60379 + np.arange(14) * step / 86400
    assert outlasting(days, np.full(14, float(exposure))) is impossible


def test_a_third_of_overlapping_frames_is_a_change_of_exposure():
    exposure = np.repeat([60.0, 20.0, 90.0], 6)
    assert not outlasting(60379 + np.arange(18) * 70 / 86400 + exposure / 172800, exposure)


def test_a_contradiction_is_that_of_its_half_day():
    days = np.array([0.0, 0.1, 0.2, 1.1, 1.2])
    np.testing.assert_array_equal(contradicted(days, np.array([0, 0, 1, 0, 0], bool)), [1, 1, 1, 0, 0])
    assert not contradicted(days, np.zeros(5, bool)).any()


# -- the stage


def test_an_honest_night_is_believed():
    ((flags, problems, result),) = audited(night())
    assert not flags.any() and not problems
    (choice,) = result.choices
    assert (choice.what, choice.chosen) == ("times", "consistent") and "70 s" in choice.why


def test_frames_into_the_dawn_are_no_doubt():
    """On 2024 March 11 the Sun rose at Granada at 6:37 UT; at 6:10 it was 6 degrees below the horizon."""
    ((flags, problems, _),) = audited(night(Time("2024-03-11T03:00:00"), n=20, step=600.0), coordinates=None)
    assert not flags.any() and not problems


@pytest.mark.parametrize("hours", [-10, -8, 12])
def test_daylight_is_a_doubt_of_all_frames_with_the_height_of_the_sun(hours):
    """At noon (12:24 UT) the Sun stood 90 - 37.1 - 4.0 = 49 degrees high."""
    ((flags, problems, _),) = audited(night(EVENING + hours * u.h))
    assert (flags == DOUBTFUL).all()
    (problem,) = problems
    assert problem.grade is Grade.DOUBTFUL and "the Sun was" in problem.why
    if hours == -10:
        assert "the Sun was 49 degrees" in problem.why


def test_a_target_below_the_horizon_is_a_doubt_of_all_frames():
    """Half a year later it is up by day."""
    ((flags, problems, _),) = audited(night(Time("2024-09-10T01:00:00")))
    assert (flags == DOUBTFUL).all() and len(problems) == 1 and "below the horizon" in problems[0].why


def test_a_longitude_of_the_wrong_sign_flags_the_whole_night_even_where_the_target_has_risen():
    """The target rises at 110 degrees west at 00:05 UT: the night begins below the horizon and ends above."""
    west = EarthLocation.from_geodetic(lon=-110 * u.deg, lat=37.1 * u.deg)
    wrong = type("Wrong", (Toy,), {"site": west})
    infos = night(Time("2024-03-11T15:00:00"), n=30, step=600.0)  # from the night of 110 degrees east
    east = type("Right", (Toy,), {"site": EarthLocation.from_geodetic(lon=110 * u.deg, lat=37.1 * u.deg)})
    assert not audited(infos, instrument=east)[0][0].any()
    ((flags, problems, _),) = audited(infos, instrument=wrong)
    assert (flags == DOUBTFUL).all() and len(problems) == 1


def test_one_frame_of_another_day_is_alone_in_doubt_and_changes_no_status():
    infos = night(n=20)
    infos[4] = replace(infos[4], mid_time=Time("2024-03-12T12:00:00"))
    ((flags, problems, _),) = audited(infos)
    np.testing.assert_array_equal(np.flatnonzero(flags), [4])
    assert problems[0].grade is Grade.REMARK and "light_004.fits" in problems[0].why


def test_frames_that_share_a_time_are_flagged_also_across_bands():
    infos = [
        replace(one, band="rg"[i % 2], path=Path(f"{i}.fits"))
        for i, one in enumerate(night(step=0.0, n=2) + night(EVENING + 1 * u.min, n=12))
    ]
    (red, *_), (green, *_) = audited(
        [one for one in infos if one.band == "r"], [one for one in infos if one.band == "g"]
    )
    assert red.tolist() == [DOUBTFUL] + [0] * 6 and green.tolist() == [DOUBTFUL] + [0] * 6


def test_milliseconds_taken_for_seconds_are_a_doubt_that_names_the_card():
    ((flags, problems, _),) = audited(night(exposure=60000 * u.s))
    assert (flags == DOUBTFUL).all() and "EXPTIME" in problems[0].why and "starts, 70 s" in problems[0].why


def test_what_the_headers_contradict_is_said_once():
    infos = [
        replace(
            one,
            notes=(f"time: DATE-OBS = '{one.mid_time.isot}' and JD = {one.mid_time.jd} are 3 hours apart",),
        )
        for one in night()
    ]
    ((flags, problems, _),) = audited(infos)
    assert (
        (flags == DOUBTFUL).all()
        and len(problems) == 1
        and "DATE-OBS = '2024-03-10T22:00:30.000'" in problems[0].why
    )


def test_what_was_converted_is_noted_once_and_no_doubt():
    infos = [replace(one, notes=("clock: TIMESYS = 'TAI': -37.000 s to UTC",)) for one in night()]
    ((flags, problems, result),) = audited(infos)
    assert not flags.any() and not problems
    assert result.notes == ("clock: TIMESYS = 'TAI': -37.000 s to UTC (in 14 of 14 frames)",)


def test_a_simulators_clock_knows_no_sun():
    ((flags, problems, _),) = audited(night(EVENING - 10 * u.h, clock="simulated"))
    assert not flags.any() and not problems
