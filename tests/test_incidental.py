"""Which observations of a night it was not taken for."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time
from fake_report import make_report
from small_night import run, small_night
from toy import Toy

from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.night.edits import Edit
from potpyri_like.night.incidental import incidental, last, with_asides
from potpyri_like.night.night import FrameRow, Night, ObservationSet
from potpyri_like.products.closing import closing_lines
from potpyri_like.results import Grade, Problem
from potpyri_like.run.report import report_of

START = Time("2025-02-23T03:00:00", scale="utc")


def frame(number=0, target="WASP-0", *, inside="", shape=(512, 512), exposure=30.0, band="r", **more):
    return FrameInfo(
        path=Path(inside or f"{target}_{number}.fits"),
        inside=inside or f"{target}_{number}.fits",
        kind=FrameKind.SCIENCE,
        camera="main",
        band=band,
        target=target,
        binning=(1, 1),
        exposure=exposure * u.s,
        mid_time=START + number * 60 * u.s,
        shape=shape,
        night="2025-02-22",
        **more,
    )


def observation(target, count, **more):
    frames = tuple(frame(n, target, **more) for n in range(count))
    band = frames[0].band
    return ObservationSet(target, "main", band, (1, 1), f"{target}/{band}", frames, night="2025-02-22")


def aside(*sets):
    """The names of incidental targets, and why."""
    return {name: why for (_, name), why in incidental(sets).items()}


MAIN = observation("WASP-0", 40)


@pytest.mark.parametrize(
    "name", ["focus", "Focus run", "FOCUS_001", "foco C1", "WASP-0 focus", "focusing star"]
)
def test_focus_frames_are_known_by_their_name_however_many_they_are(name):
    assert aside(MAIN, observation(name, 12)) == {name.casefold(): "focus frames, by their name"}
    assert list(aside(observation("NGC 1", 3), observation(name, 12))) == [name.casefold()]


@pytest.mark.parametrize(
    "name", ["test", "Test 2", "test_exp", "TEST-C1", "prueba", "test r 2x2", "Pointing", "acq 3"]
)
def test_test_and_pointing_frames_are_known_by_their_name_beside_a_longer_series(name):
    assert list(aside(MAIN, observation(name, 12))) == [name.casefold()]


@pytest.mark.parametrize(
    "name", ["Test Star", "TestStar", "HD 1234 test", "Latest", "Contest", "Focusrite", "Protest-7b"]
)
def test_a_target_with_such_a_word_in_its_name_is_none(name):
    assert not aside(MAIN, observation(name, 12))


def test_a_series_that_was_left_under_the_name_test_is_what_the_night_was_taken_for():
    assert not aside(observation("HD 1234", 1), observation("test", 200))
    assert not aside(observation("test", 60))
    assert not aside(observation("pointing 1", 10), observation("pointing 2", 10), observation("NGC 1", 5))


def test_a_night_of_such_frames_alone_has_none():
    assert not aside(observation("focus", 12), observation("test", 3), observation("pointing", 1))


def test_few_frames_beside_a_long_series_are_none_of_it():
    assert aside(MAIN, observation("HD 1234", 5)) == {"hd 1234": "few frames beside a long series"}
    assert not aside(MAIN, observation("HD 1234", 6))
    assert not aside(observation("NGC 1", 10), observation("NGC 2", 5))  # fields of a night of images


def test_few_frames_elsewhere_under_one_name_are_pointing_frames():
    assert list(aside(MAIN, observation("WASP-0_p2", 9))) == ["wasp-0_p2"]
    assert not aside(MAIN, observation("WASP-0_p2", 15))  # a second field
    assert not aside(MAIN, observation("NGC_p2", 9))  # of another name


def test_few_frames_of_another_size_come_last_and_a_window_series_does_not():
    assert aside(observation("NGC 1", 10), observation("HD 1", 4, shape=(64, 64))) == {
        "hd 1": "few frames of another size"
    }
    assert not aside(observation("NGC 1", 10), observation("HD 1", 4))
    assert not aside(observation("NGC 1", 10), observation("HD 1", 8, shape=(64, 64)))


@pytest.mark.parametrize("other", [{"exposure": 1.0}, {"band": "z"}, {"shape": (64, 64)}])
def test_one_frame_of_another_kind_comes_last_and_one_of_the_same_kind_does_not(other):
    assert list(aside(observation("NGC 1", 3), observation("HD 1", 1, **other))) == ["hd 1"]
    assert not aside(observation("NGC 1", 3), observation("NGC 2", 1))
    assert not aside(observation("NGC 1", 2), observation("NGC 2", 1, **other))  # a night of single images


def test_they_come_last_and_the_others_stay_in_their_order():
    sets = (
        observation("a focus", 9),
        observation("NGC 2", 9),
        observation("NGC 1", 9),
        observation("a test", 1),
    )
    assert [s.target for s in last(sets)] == ["NGC 2", "NGC 1", "a focus", "a test"]


# -- by their files ----------------------------------------------------------------------------------------------


def names_after(infos, by_hand=()):
    return [info.target for info in with_asides(infos, by_hand)]


SERIES = [frame(n) for n in range(40)]


@pytest.mark.parametrize(
    ("inside", "target"),
    [
        ("focus_001.fits", "WASP-0_focus"),
        ("Foco/a.fits", "WASP-0_focus"),
        ("wasp0-test-1.fits", "WASP-0_test"),
        ("acq1.fits", "WASP-0_pointing"),
        ("latest_1.fits", "WASP-0"),
    ],
)
def test_few_frames_whose_file_says_so_are_no_part_of_the_series(inside, target):
    assert names_after([*SERIES, frame(41, inside=inside)])[-1] == target


def test_a_series_whose_files_are_all_called_so_stays_one():
    infos = [frame(n, inside=f"test_{n}.fits") for n in range(20)]
    assert set(names_after(infos)) == {"WASP-0"}
    assert set(names_after([*SERIES, *infos])) == {"WASP-0"}  # half of a series


def test_a_target_that_was_written_by_hand_counts():
    info = frame(41, inside="focus_001.fits")
    assert names_after([*SERIES, info], {info.label})[-1] == "WASP-0"


def test_a_night_sorts_its_observations():
    infos = [*(frame(n, "test 1") for n in range(6)), *SERIES, frame(50, inside="focus.fits")]
    rows = tuple(FrameRow(info.inside, "use", "", info) for info in infos)
    assert [s.target for s in Night(Path(), Toy(), rows).sets()] == ["WASP-0", "test 1", "WASP-0_focus"]
    edits = {"focus.fits": Edit(target="WASP-0")}
    assert [len(s.frames) for s in Night(Path(), Toy(), rows, edits).sets()] == [41, 6]


def test_frames_elsewhere_under_one_name_come_last():
    here, there = SkyCoord(153.5 * u.deg, 16 * u.deg), SkyCoord(160 * u.deg, 20 * u.deg)
    infos = [frame(n, pointing=there if n < 4 else here) for n in range(40)]
    rows = tuple(FrameRow(info.inside, "use", "", info) for info in infos)
    assert [(s.target, len(s.frames)) for s in Night(Path(), Toy(), rows).sets()] == [
        ("WASP-0_p2", 36),
        ("WASP-0", 4),
    ]


# -- what is shown -----------------------------------------------------------------------------------------------


def reported(name, count):
    """A run over a long series, and another observation without its darks."""
    report = make_report(bands=("g",))
    other = make_report(bands=("g",), target=name, n_frames=count).sets[0]
    other = replace(other, problems=(Problem("dark", "masters", "no dark frames that fit", Grade.MISSING),))
    works = [
        SimpleNamespace(result=result, outcomes=())
        for result in (other, replace(report.sets[0], problems=()))
    ]
    report = replace(report, problems=(), sets=tuple(work.result for work in works))
    shown = report_of(
        replace(report.night, instrument=Toy()), works, SimpleNamespace(target=None, recipe=None)
    )
    return replace(report, sets=shown.sets)


def test_focus_frames_cost_no_status_and_no_line_of_their_own(monkeypatch):
    monkeypatch.setattr("potpyri_like.run.report.recipe_of", lambda *_: SimpleNamespace(name="timeseries"))
    report = reported("focus", 30)
    assert report.exit_status == 0
    lines = closing_lines(report)
    assert not [line for line in lines if "no dark frames" in line]
    assert lines[0].startswith("WASP-0 ")
    assert (
        "1 other target with few frames, or with only focus and test frames: focus (30 frames) (see the page)"
        in lines
    )


def test_the_same_of_a_star_is_a_warning(monkeypatch):
    monkeypatch.setattr("potpyri_like.run.report.recipe_of", lambda *_: SimpleNamespace(name="timeseries"))
    report = reported("Test Star", 30)
    assert report.exit_status == 3
    assert [line for line in closing_lines(report) if line.startswith("missing") and "no dark frames" in line]


# -- a whole run -------------------------------------------------------------------------------------------------


def with_others(folder, name):
    """A small night, and six short frames of something else, for which it has no darks."""
    truth = small_night(folder)
    lights = [
        path for path in sorted(folder.rglob("*.fits")) if fits.getheader(path).get("OBJECT") == "WASP-0"
    ]
    for number, path in enumerate(lights[:6]):
        with fits.open(path) as hdus:
            hdus[0].header.update(OBJECT=name, EXPOSURE=7.0, UT=f"2025-02-23 0{number}:59:30.000 ")
            hdus[0].data = np.roll(hdus[0].data, number + 3, axis=0)
            hdus.writeto(folder / f"aaa_{number}.fits")
    return f"C2:{truth.target_xy['C2'][0]:.1f},{truth.target_xy['C2'][1]:.1f}"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("a focus", 0), ("A Star", 3)])
def test_a_run_lists_focus_frames_last_and_ends_well(tmp_path, name, status):
    with_others(tmp_path, name)
    done = run("OPTICAM", tmp_path, "--radec", "153.5 16.05", "--fit", "none", "--jobs", 1)
    sets = json.loads((tmp_path / "red" / "run.json").read_text())["sets"]
    assert done.status == status, done.out + done.err
    assert [one["target"] for one in sets] == (["WASP-0", name] if status == 0 else [name, "WASP-0"])
    page = (tmp_path / "red" / "report.html").read_text()
    assert re.findall(r'<h2 id="target-\d">([^<]*)', page) == [one["target"] for one in sets]
    assert ("other target" in done.out) == (status == 0)
