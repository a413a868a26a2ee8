"""Masters of other nights: what age adds to them, which contradict their neighbours, and the user's library of them."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from fake_report import frame_info
from small_night import run, run_json, small_night

from potpyri_like.frame import Pixels
from potpyri_like.imaging import drift_variance, verdicts
from potpyri_like.primitives.borrowed_masters import Borrower, Shelf
from potpyri_like.store.library import entry_of, library_path, read_entries

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import library as simulated


def master(rng, level, noise=1.0, shape=(64, 64)):
    data = (level + rng.normal(0, noise, shape)).astype(np.float32)
    return Pixels(data, np.full(shape, noise**2, np.float32), np.zeros(shape, np.uint16))


def test_what_masters_change_by_is_found_beyond_their_noise(rng):
    levels = 100 + np.cumsum(rng.normal(0, 3, 12))
    seen = [(float(day), master(rng, level)) for day, level in enumerate(levels)]
    found = drift_variance(seen, 1.0)
    # the mean square of eight steps of variance 9 is known to a half of it
    pairs = np.square(np.diff(levels))
    assert pairs.min() < np.median(found) < pairs.max()
    still = drift_variance([(float(day), master(rng, 100)) for day in range(12)], 1.0)
    assert np.median(still) < 0.1
    assert drift_variance(seen[:1], 1.0) is None


def test_a_change_in_one_place_is_an_error_there_alone(rng):
    spot = np.zeros((64, 64))
    spot[20:40, 20:40] = 8
    seen = [(float(day), master(rng, 100 + spot * day)) for day in range(2)]
    found = drift_variance(seen, 1.0)
    assert found[25:35, 25:35].mean() == pytest.approx(64, rel=0.2)
    assert found[50:, 50:].mean() < 1


def test_one_that_contradicts_both_sides_is_not_used_and_a_jump_is_reported(rng):
    days, errors = np.arange(10.0), np.full(10, 0.1)
    values = 400 + rng.normal(0, 0.5, 10)
    assert all(v.agrees and not v.jumps for v in verdicts(days, values, errors))
    bad = values.copy()
    bad[4] += 20
    assert [v.agrees for v in verdicts(days, bad, errors)] == [i != 4 for i in range(10)]
    last = values.copy()
    last[9] += 20
    assert [v.agrees for v in verdicts(days, last, errors)] == [i != 9 for i in range(10)]
    jump = values + 20 * (days >= 5)
    found = verdicts(days, jump, errors)
    assert all(v.agrees for v in found) and [v.jumps for v in found] == [i == 5 for i in range(10)]
    assert all(np.isnan(v.sigmas) and v.agrees for v in verdicts(days[:3], bad[2:5], errors[:3]))


@pytest.mark.slow
def test_the_error_of_borrowed_masters_covers_the_truth_and_jumps_are_reported():
    """A part of benchmarks/library.py, which leaves out 60 nights."""
    for kind in (simulated.biases, simulated.flats):
        covered, without, _ = simulated.coverage(kind(1, 30))
        assert 0.60 < np.median(covered) < 0.76
        assert np.median(without) < np.median(covered)
    for seed in range(5):
        assert simulated.jumps(seed, 60, jump=30.0) == ([30], [])
        assert simulated.jumps(seed, 60, bad=30.0) == ([], [15])
        assert simulated.jumps(seed, 60) == ([], [])


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reduced_night(tmp_path_factory):
    """A night with darks and flats, reduced."""
    folder = tmp_path_factory.mktemp("with") / "night"
    small_night(folder, start="2025-02-20T06:00:00.000")
    assert run("OPTICAM", folder, "--fit", "none", "--jobs", 1).status in (0, 3)
    return folder


@pytest.fixture
def bare_night(tmp_path):
    """A night two days later without any calibration."""
    small_night(tmp_path / "bare", start="2025-02-22T06:00:00.000", darks=0, flats=0)
    return tmp_path / "bare"


@pytest.fixture
def shelves(tmp_path, monkeypatch):
    """An empty place for the user's library."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return library_path("OPTICAM")


def masters_of(night):
    return {m["kind"]: m for m in run_json(night / "red")["sets"][0]["masters"]}


@pytest.mark.slow
def test_a_night_without_its_own_takes_the_librarys_and_keeps_its_copy(reduced_night, bare_night, shelves):
    assert "library is empty" in run("library", "list").out
    added = run("library", "add", reduced_night)
    assert added.status == 0 and added.out.count("added as master_") == 2
    listed = run("library", "list", "opticam")
    assert "2025-02-19" in listed.out and "electrons/s" in listed.out
    done = run("OPTICAM", bare_night, "--fit", "none", "--jobs", 1)
    assert "in the library is used instead" in done.out and "not flat-fielded" not in done.out
    made = masters_of(bare_night)
    assert made["flat"]["rung"] == "of 2025-02-19 (2 days before)"
    copy = bare_night / "red" / made["flat"]["product"]
    own = reduced_night / "red" / masters_of(reduced_night)["flat"]["product"]
    np.testing.assert_array_equal(fits.getdata(copy), fits.getdata(own))
    before = copy.read_bytes()
    shutil.rmtree(shelves)  # as on another computer
    again = run("OPTICAM", bare_night, "--fit", "none", "--jobs", 1, "--stars", 20)
    assert "in the library is used instead" in again.out
    assert copy.read_bytes() == before
    anew = run("OPTICAM", bare_night, "--fit", "none", "--jobs", 1, "--redo")
    assert "not flat-fielded" in anew.out and "library" not in anew.out


@pytest.mark.slow
def test_masters_of_a_folder_come_first_and_only_the_user_names_it(
    reduced_night, bare_night, shelves, tmp_path
):
    folder = reduced_night / "red" / "cals"
    (bare_night / "reduce.toml").write_text(f'masters = "{folder}"\n')
    rejected = run("OPTICAM", bare_night, "--fit", "none", "--jobs", 1)
    assert "masters = " in rejected.err and "a night may not set" in rejected.err
    assert "not flat-fielded" in rejected.out
    done = run("OPTICAM", bare_night, "--fit", "none", "--jobs", 1, "--masters", folder)
    assert "in the cals is used instead" in done.out and "not flat-fielded" not in done.out
    for more in ((), ("--all",)):
        assert run("verify", bare_night, *more).status == 0
    assert run("OPTICAM", bare_night, "--masters", tmp_path / "none").status == 1


@pytest.mark.slow
def test_a_flat_or_dark_can_be_left_away_without_being_missed(reduced_night, shelves, tmp_path):
    night = shutil.copytree(reduced_night, tmp_path / "night", ignore=shutil.ignore_patterns("red"))
    done = run("OPTICAM", night, "--fit", "none", "--jobs", 1, "--no-flat", "--no-dark", "--until", "masters")
    assert not masters_of(night) and "not flat-fielded" not in done.out
    run("OPTICAM", night, "--fit", "none", "--jobs", 1, "--no-dark", "--until", "masters")
    assert set(masters_of(night)) == {"flat"}


@pytest.mark.slow
def test_an_entry_that_contradicts_its_neighbours_is_named_and_not_used(
    reduced_night, bare_night, shelves, rng
):
    run("library", "add", reduced_night)
    index = json.loads((shelves / "index.json").read_text())
    (flat,) = (row for row in index["entries"] if row["kind"] == "flat")
    nights = [f"2025-02-{day:02d}" for day in (10, 12, 14, 16, 18)]
    for night in nights:
        shape = [block + rng.normal(0, 1e-3) for block in flat["blocks"]]
        if night == "2025-02-18":
            shape = [block * (1.3 if i % 8 < 4 else 0.7) for i, block in enumerate(shape)]
        index["entries"].append(
            {**flat, "night": night, "blocks": shape, "file": flat["file"].replace("0219", night)}
        )
        shutil.copy(shelves / flat["file"], shelves / index["entries"][-1]["file"])
    (bad,) = (row for row in index["entries"] if row["night"] == "2025-02-18")
    index["entries"] = [row for row in index["entries"] if row is not flat]
    (shelves / "index.json").write_text(json.dumps(index))
    assert "contradicts its neighbours" in run("library", "list").out
    done = run("OPTICAM", bare_night, "--fit", "none", "--jobs", 1)
    assert f"{bad['file']}" in done.out and "it is not used" in done.out
    assert masters_of(bare_night)["flat"]["rung"].startswith("of 2025-02-16")


def test_what_is_no_master_is_no_entry(tmp_path):
    fits.writeto(tmp_path / "a.fits", np.zeros((4, 4)))
    assert entry_of("a.fits", (tmp_path / "a.fits").read_bytes()) is None
    assert entry_of("b.fits", b"nothing") is None
    assert read_entries(tmp_path / "nowhere") == []


def test_a_night_that_was_not_reduced_cannot_be_added(tmp_path, shelves):
    small_night(tmp_path / "night", frames=1)
    failed = run("library", "add", tmp_path / "night")
    assert failed.status == 1 and failed.err


def test_copies_of_frames_of_other_settings_and_of_a_folder_named_library_are_told_apart():
    calibration = SimpleNamespace(temperature_tolerance=2 * u.K)
    maker = SimpleNamespace(
        setup=SimpleNamespace(filter_mode="none", instrument=SimpleNamespace(calibration=calibration))
    )
    first = frame_info("a.fits")

    def key(kind="bias", *, shelf=None, **changes):
        shelf = shelf or Shelf(Path("/there/library"), (), "library", 2.0, is_of_user=True)
        return Borrower(maker, shelf, (replace(first, **changes),)).key(kind, "2025-02-19", 20.0, None)

    named = Shelf(Path("/there/library"), (), "library", 2.0)
    keys = [key(), key(gain_setting="100"), key(offset="30"), key(shelf=named)]
    assert len({*keys}) == 4
    darks = [key("dark", temperature=t) for t in (-10.0, -10.4, 5.0)]
    assert darks[0] == darks[1] != darks[2]
    assert key(temperature=-10.0) == key()
