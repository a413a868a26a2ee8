"""Copies of one exposure among the frames of a night."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from few_stars import BIAS, CLEAN, GAIN, TARGET, Small, calibrations, expose, lights, save, sky

from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.run.memory import Standing
from potpyri_like.run.pipeline import reduce_night

OPTIONS = Options(target_xy=f"{TARGET[0]},{TARGET[1]}", radec="10:14:00 +16:03:00", jobs=1, animation="no")
START = "2024-03-10T22:00"
FLAT = 1 + 0.02 * np.random.default_rng(8).standard_normal(CLEAN.shape)


def copied(folder, make, *, into="cal", every=1, **cards):
    """Frames made of the raw lights of a folder, each with the raw one's cards and some more."""
    for path in sorted(folder.glob("light*"))[::every]:
        raw, header = fits.getdata(path), fits.getheader(path)
        known = {k: header[k] for k in ("IMAGETYP", "EXPTIME", "DATE-OBS", "OBJECT", "FILTER")}
        save(folder / into / path.name.replace("light", "c"), make(raw.astype(float)), **known | cards)


def electrons(raw):
    return ((raw - BIAS) * GAIN).astype(np.float32)


WAYS = {
    "in electrons": (electrons, {}),
    "flat-fielded": (lambda raw: ((raw - BIAS) / FLAT).astype(np.float32), {}),
    "without sky": (lambda raw: (raw - np.median(raw)).astype(np.float32), {"BUNIT": "adu"}),
    "in doubles": (lambda raw: raw / 65535, {}),
    "whole numbers": (lambda raw: np.clip(raw - BIAS + 100, 0, 65535).astype(np.uint16), {"CALSTAT": "B"}),
    "at mid-exposure": (electrons, {"DATE-OBS": None}),
}


def used(folder, **more):
    return {row.file: (row.status, row.reason) for row in scan(folder, Small(), **more).rows}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.slow
def test_calibrated_copies_beside_the_raw_frames_are_excluded(tmp_path, way, every):
    make, cards = WAYS[way]
    lights(tmp_path, START, n=6)
    copied(tmp_path, make, every=every, **{k: v for k, v in cards.items() if v is not None})
    if way == "at mid-exposure":
        for path in (tmp_path / "cal").glob("*"):
            fits.setval(
                path,
                "DATE-OBS",
                value=str(np.datetime64(fits.getval(path, "DATE-OBS")) + np.timedelta64(30, "s")),
            )
    rows = used(tmp_path)
    assert [rows[f"light_{i:03d}.fits"][0] for i in range(6)] == ["use"] * 6
    copies = {name: row for name, row in rows.items() if name.startswith("cal/")}
    assert copies == {
        f"cal/c_{i:03d}.fits": ("leave out", f"the same exposure as light_{i:03d}.fits")
        for i in range(0, 6, every)
    }


@pytest.mark.slow
def test_a_backup_of_everything_counts_once(tmp_path):
    lights(tmp_path / "raw", START, n=4)
    calibrations(tmp_path / "raw", START)
    calibrations(tmp_path / "raw/undated", None, seed=5)
    shutil.copytree(tmp_path / "raw", tmp_path / "raw2/backup")
    night = scan(tmp_path, Small())
    assert len(night.frames) == 16
    assert all(row.file.startswith("raw2/") for row in night.copies)


def test_different_exposures_with_one_time_are_all_used(tmp_path):
    """Flats that share their pattern, biases, and lights of a clock that stands."""
    rng = np.random.default_rng(3)
    pattern = 1 + 0.03 * rng.standard_normal(CLEAN.shape)
    for i in range(3):
        cards = {"start": START, "FILTER": "r", "OBJECT": "WASP-0"}
        save(tmp_path / f"flat_{i}.fits", expose(40000 * pattern, rng), kind="flat", exposure=5.0, **cards)
        save(tmp_path / f"bias_{i}.fits", expose(40 * pattern, rng), kind="bias", exposure=0.0, **cards)
        save(tmp_path / f"light_{i}.fits", expose(sky() * pattern, rng), kind="light", exposure=60.0, **cards)
        converted = electrons(expose(sky() * pattern, rng).astype(float))
        save(tmp_path / f"other_{i}.fits", converted, kind="light", exposure=60.0, **cards)
    assert not scan(tmp_path, Small()).copies


def test_pixels_are_read_only_where_times_leave_no_room_for_two_exposures(tmp_path, monkeypatch):
    lights(tmp_path, START, n=5)
    monkeypatch.setattr(
        "potpyri_like.night.copies.read_raw", lambda *_, **__: pytest.fail("pixels were read")
    )
    assert len(scan(tmp_path, Small()).frames) == 5


def test_the_observer_decides_which_copy_stands_and_what_she_left_out_stays_out(tmp_path):
    lights(tmp_path, START, n=3)
    copied(tmp_path, electrons)
    files = ["light_000.fits", "cal/c_000.fits", "light_001.fits"]
    edited = Table({"file": files, "status": ["leave out", "use", "leave out"]})
    rows = used(tmp_path, edited=edited)
    assert {name: rows[name][0] for name in rows} == {
        "light_000.fits": "leave out",
        "cal/c_000.fits": "use",
        "light_001.fits": "leave out",
        "cal/c_001.fits": "leave out",
        "light_002.fits": "use",
        "cal/c_002.fits": "leave out",
    }


@pytest.mark.slow
def test_a_night_with_copies_is_the_night_without_them_and_says_so_once(tmp_path, monkeypatch):
    for name in ("plain", "mixed"):
        lights(tmp_path / name, START)
        calibrations(tmp_path / name, "2024-03-10T20:00")
    copied(tmp_path / "mixed", electrons)
    plain, mixed = (reduce_night(Small(), tmp_path / name, options=OPTIONS) for name in ("plain", "mixed"))
    curves = [Table.read(tmp_path / name / "red/WASP-0/r/lightcurve.ecsv") for name in ("plain", "mixed")]
    np.testing.assert_array_equal(curves[0]["flux"], curves[1]["flux"])
    assert plain.exit_status == mixed.exit_status == 0
    said = ["\n".join(Standing.of(report, tmp_path).lines) for report in (plain, mixed)]
    assert "the same exposure" not in said[0]
    assert said[1].count("the same exposure") == 1
    assert "10 copies: cal/c_000.fits is the same exposure as light_000.fits (and 9 more" in said[1]
    monkeypatch.setattr(
        "potpyri_like.night.copies.read_raw", lambda *_, **__: pytest.fail("pixels were read again")
    )
    again = reduce_night(Small(), tmp_path / "mixed", options=Options(**{**vars(OPTIONS), "observer": "ABC"}))
    assert len(again.night.copies) == 10


def test_a_copy_of_which_half_is_lost_does_not_stand_for_the_exposure(tmp_path):
    lights(tmp_path, START, n=2)
    copied(tmp_path, lambda raw: np.where(np.arange(raw.shape[0])[:, None] > 64, 0, raw).astype(np.uint16))
    assert not scan(tmp_path, Small()).copies


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_without_a_value_are_passed_over(tmp_path, value):
    lights(tmp_path, START, n=1)
    for name in ("a", "b"):
        copied(tmp_path, lambda raw: np.where(np.hypot(*np.indices(raw.shape)) < 30, value, raw), into=name)
    assert [row.file for row in scan(tmp_path, Small()).copies] == ["a/c_000.fits", "b/c_000.fits"]
