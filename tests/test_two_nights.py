"""Several nights in one folder: each is reduced as if it were alone."""

import json
import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from few_stars import CLEAN, GRAIN, TARGET, Small, calibrations, lights

from potpyri_like.options import Options
from potpyri_like.products.explanation import explanation
from potpyri_like.run.inject import inject_transits
from potpyri_like.run.memory import Standing, standing
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.verify import verify_night
from potpyri_like.run.watch import watch_night

OPTIONS = Options(target_xy=f"{TARGET[0]},{TARGET[1]}", radec="10:14:00 +16:03:00", jobs=1, animation="no")
NIGHTS = {"2024-03-10": GRAIN, "2024-03-11": CLEAN}


def night(folder, evening, *, through=CLEAN, seed=1, kinds=("bias", "flat"), n=10):
    """The frames of an evening near Granada."""
    calibrations(folder, f"{evening}T19:00", through=through, seed=seed, kinds=kinds)
    lights(folder, f"{evening}T23:55", through=through, seed=seed + 50, n=n)


def rows(path):
    """A table without the frames' names."""
    table = Table.read(path)
    if "frame" in table.colnames:
        table.remove_column("frame")
    return table


def same(one, other):
    assert one.colnames == other.colnames
    for name in one.colnames:
        np.testing.assert_array_equal(np.array(one[name]), np.array(other[name]), err_msg=name)


def lines(report, folder):
    return "\n".join(Standing.of(report, folder).lines)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Two nights in a folder, reduced: a grain of dust lies on the target in the first."""
    folder = tmp_path_factory.mktemp("nights") / "both"
    for number, (evening, through) in enumerate(NIGHTS.items(), 1):
        night(folder / f"n{number}", evening, through=through, seed=number)
    return folder, reduce_night(Small(), folder, options=OPTIONS)


@pytest.mark.slow
def test_each_of_two_nights_is_reduced_as_if_it_were_alone(both, tmp_path):
    folder, report = both
    assert report.exit_status == 0
    assert "none was taken on the night" not in lines(report, folder)
    for number, evening in enumerate(NIGHTS, 1):
        alone = tmp_path / f"n{number}"
        shutil.copytree(folder / f"n{number}", alone)
        assert reduce_night(Small(), alone, options=OPTIONS).exit_status == 0
        dated = folder / "red" / evening.replace("-", "")
        tables = sorted((alone / "red/WASP-0/r").glob("*.ecsv"))
        assert "lightcurve.ecsv" in [table.name for table in tables]
        for table in tables:
            same(rows(dated / "WASP-0/r" / table.name), rows(table))
        for master in (alone / "red/cals").glob("*.fits"):
            np.testing.assert_array_equal(
                fits.getdata(dated / "cals" / master.name), fits.getdata(master), err_msg=master.name
            )


@pytest.mark.slow
def test_each_light_is_divided_by_the_flat_of_its_night(both):
    _, report = both
    for result, through in zip(report.sets, NIGHTS.values(), strict=True):
        centre = result.masters.flat.pixels.data[60:72, 54:66]
        assert np.median(centre) == pytest.approx(through.min(), abs=0.01)
    flux = [np.nanmedian(r.series.flux[:, 0, 5] / r.series.flux[:, 1, 5]) for r in report.sets]
    assert flux[0] == pytest.approx(flux[1], rel=0.01)


@pytest.mark.slow
def test_what_belongs_to_the_run_stands_once_at_the_top(both):
    red = both[0] / "red"
    top = {path.name for path in red.iterdir() if not path.name.startswith(".")}
    assert top - {"log"} == {"20240310", "20240311", "night.ecsv", "report.html", "run.json"}
    assert {str(row["night"]) for row in Table.read(red / "night.ecsv")} == set(NIGHTS)
    page = (red / "report.html").read_text()
    assert all(f"WASP-0, {evening}" in page for evening in NIGHTS)


@pytest.mark.slow
def test_several_nights_are_verified_explained_and_injected(both):
    folder, _ = both
    assert [check.wrong for check in verify_night(Small(), folder) if check.wrong] == []
    run = json.loads((folder / "red/run.json").read_text())
    told = explanation(run)
    assert all(f"WASP-0, main r, {evening}" in told for evening in NIGHTS)
    assert "WASP-0, main r, 2024-03-10" not in explanation(run, what="2024-03-11")
    names = {trial.set_name for trial in inject_transits(Small(), folder, depths=(0.03,), stars=1)}
    assert names == {f"WASP-0, main r, {evening}" for evening in NIGHTS}


@pytest.mark.slow
def test_a_second_night_that_comes_later_moves_the_products_below_their_dates(both, tmp_path):
    folder = tmp_path / "night"
    shutil.copytree(both[0] / "n1", folder / "n1")
    reduce_night(Small(), folder, options=OPTIONS)
    assert (folder / "red/WASP-0/r/lightcurve.ecsv").is_file()
    shutil.copytree(both[0] / "n2", folder / "n2")
    watch_night(Small(), folder, options=OPTIONS, idle=0.1)
    red = folder / "red"
    assert not list(red.glob("WASP-0/r/*.*"))
    assert not list(red.glob("cals/*.fits"))
    for evening in ("20240310", "20240311"):
        curve = f"{evening}/WASP-0/r/lightcurve.ecsv"
        same(rows(red / curve), rows(both[0] / "red" / curve))
    assert standing(Small(), folder, out=None, options=OPTIONS) is not None


@pytest.mark.slow
def test_a_night_without_flats_takes_the_nearest_and_says_how_far_it_is(tmp_path):
    for number, evening in enumerate(("2024-03-08", "2024-03-10", "2024-03-15")):
        kinds = ("bias",) if number == 1 else ("bias", "flat")
        night(tmp_path / f"n{number}", evening, seed=number + 1, kinds=kinds, n=6)
    report = reduce_night(Small(), tmp_path, options=OPTIONS)
    told = lines(report, tmp_path)
    assert (
        "flat: none was taken on the night of 2024-03-10; the one from 2024-03-08 (2 days before) is used instead"
        in told
    )
    assert told.count("none was taken on the night") == 1
    flats = [result.masters.flat.product for result in report.sets]
    assert [name[:8] for name in flats] == ["20240308", "20240308", "20240315"]
    assert report.exit_status == 0


@pytest.mark.slow
def test_each_borrowed_master_is_named_with_its_own_days(tmp_path):
    for number, evening in enumerate(("2024-03-08", "2024-03-10", "2024-03-15")):
        night(
            tmp_path / f"n{number}",
            evening,
            seed=number + 1,
            kinds=("bias", "flat") if number == 1 else (),
            n=6,
        )
    said = lines(reduce_night(Small(), tmp_path, options=OPTIONS), tmp_path)
    assert (
        "none was taken on the night of 2024-03-08; the one from 2024-03-10 (2 days after) is used instead"
        in said
    )
    assert (
        "none was taken on the night of 2024-03-15; the one from 2024-03-10 (5 days before) is used instead"
        in said
    )


@pytest.mark.slow
def test_one_night_with_flats_of_another_date_keeps_plain_folders_and_names_the_days(tmp_path):
    night(tmp_path, "2024-03-10", kinds=("bias",), n=6)
    calibrations(tmp_path, "2024-03-11T18:30", kinds=("flat",))
    calibrations(tmp_path / "old", "2024-02-10T18:30", kinds=("flat",))
    report = reduce_night(Small(), tmp_path, options=OPTIONS)
    assert "the one from 2024-03-11 (1 day after) is used instead" in lines(report, tmp_path)
    assert [result.observed.folder for result in report.sets] == ["WASP-0/r"]
    flat = report.sets[0].masters.flat
    assert (flat.product, len(flat.inputs)) == ("cals/master_flat_main_r_1x1.fits", 3)


@pytest.mark.slow
def test_flats_of_the_morning_after_are_those_of_the_night(tmp_path):
    night(tmp_path, "2024-03-10", kinds=("bias",), n=6)
    calibrations(tmp_path, "2024-03-11T06:30", kinds=("flat",))
    assert "none was taken on the night" not in lines(
        reduce_night(Small(), tmp_path, options=OPTIONS), tmp_path
    )


@pytest.mark.slow
def test_flats_that_are_all_rejected_make_room_for_those_of_the_nearest_night(tmp_path):
    night(tmp_path / "n1", "2024-03-10", n=6, through=CLEAN * 0.001)  # too faint to be of use
    shutil.rmtree(tmp_path / "n1")
    night(tmp_path / "n1", "2024-03-10", n=6, kinds=("bias",))
    calibrations(tmp_path / "n1", "2024-03-10T19:30", kinds=("flat",), through=CLEAN * 0.001)
    night(tmp_path / "n2", "2024-03-11", n=6)
    report = reduce_night(Small(), tmp_path, options=OPTIONS)
    assert report.sets[0].masters.flat.product.startswith("20240311/")
    assert "the one from 2024-03-11 (1 day after) is used instead" in lines(report, tmp_path)


@pytest.mark.slow
def test_an_image_of_all_nights_takes_each_frame_by_the_masters_of_its_night(both, tmp_path):
    folder, _ = both
    out = tmp_path / "deep"
    report = reduce_night(Small(), folder, out=out, options=Options(recipe="imaging", jobs=1))
    assert [result.observed.folder for result in report.sets] == ["WASP-0/r"]
    assert len(report.sets[0].observed.frames) == 20
    assert (out / "WASP-0/r/stack.fits").is_file()
    assert sorted(path.parent.parent.name for path in out.glob("*/cals/master_flat*.fits")) == [
        "20240310",
        "20240311",
    ]
    series = report.sets[0].series
    ratio = series.flux[:, 0, 5] / np.median(series.flux[:, 1:5, 5], axis=1)
    assert np.median(ratio[:2]) == pytest.approx(np.median(ratio[10:12]), rel=0.01)
    listed = {
        master["product"] for master in json.loads((out / "run.json").read_text())["sets"][0]["masters"]
    }
    assert {name[:8] for name in listed} == {"20240310", "20240311"}
