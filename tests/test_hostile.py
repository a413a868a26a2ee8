"""Nights as they come: nothing is lost, nothing is touched, everything that is missing is named."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from small_night import OF_THE_RUN, digests, run, run_json, small_night

from potpyri_like import pipeline
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night import scan
from potpyri_like.store import Output

pytestmark = pytest.mark.slow

BAD = ("truncated", "zeros", "no exposure", "shape")
REASONS = {
    "truncated": "truncated: ",
    "zeros": "every pixel of HDU 0 is 0: no exposure",
    "no exposure": "no EXPOSURE card, which OPTICAM frames need",
    "shape": "256 x 224 pixels, where ",
}


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    monkeypatch.setattr(pipeline, "page_images", lambda report: {})


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A night of one camera with the four frames that cannot be used; not to be changed."""
    return small_night(tmp_path_factory.mktemp("hostile") / "night", bad=BAD)


@pytest.fixture
def night(simulated, tmp_path):
    """A copy of it without those frames, to be maltreated."""
    bad = simulated.bad.values()
    return shutil.copytree(
        simulated.folder, tmp_path / "night", ignore=lambda _, names: set(names) & set(bad)
    )


@pytest.fixture(scope="module")
def plain(simulated, tmp_path_factory):
    """The products of the night as it is in `night`."""
    folder = tmp_path_factory.mktemp("plain")
    bad = simulated.bad.values()
    shutil.copytree(simulated.folder, folder / "night", ignore=lambda _, names: set(names) & set(bad))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "page_images", lambda report: {})
        assert reduce(folder / "night").status == 0
    return folder / "night/red"


def reduce(folder, *words):
    ran = run("OPTICAM", folder, "--jobs", 1, *words)
    assert "Traceback" not in ran.err + ran.out
    return ran


def status_of(out):
    return {
        row["file"]: (row["status"], str(row["reason"])) for row in Table.read(out / "night.ecsv").filled("")
    }


def science(folder):
    return sorted(path for path in folder.rglob("*_r_*.fits") if "flat" not in path.name)


def light_curve(out, folder="WASP-0/r"):
    return Table.read(out / folder / "lightcurve.ecsv")


# -- the four frames of the figures --------------------------------------------------------------------------


def test_frames_that_cannot_be_used_are_named_everywhere(simulated, tmp_path):
    raw = digests(simulated.folder)
    ran = reduce(simulated.folder, "--out", tmp_path)
    assert ran.status == 3, ran.out
    statuses, report = status_of(tmp_path), run_json(tmp_path)
    assert report["exit_status"] == 3
    for what, file in simulated.bad.items():
        status, reason = statuses[file]
        assert status == "refused" and REASONS[what] in reason and file in reason
        assert sum(file in line and REASONS[what] in line for line in ran.out.splitlines()) == 1
        assert [frame["reason"] for frame in report["frames"] if frame["file"] == file] == [reason]
        assert [lost["why"] for lost in report["missing"] if file in lost["what"]] == [reason]
    good = {file: status for file, (status, _) in statuses.items() if file not in simulated.bad.values()}
    assert set(good.values()) == {"use", "measured"} and list(good.values()).count("measured") == 18
    assert digests(simulated.folder) == raw


def test_frames_that_their_headers_betray_change_no_byte_of_the_products(simulated, night, plain):
    for what in ("truncated", "no exposure", "shape"):
        shutil.copy(simulated.folder / simulated.bad[what], night)
    assert reduce(night).status == 3
    one, two = (digests(out, without=OF_THE_RUN) for out in (night / "red", plain))
    assert one == two and len(one) >= 5
    with_them, without = status_of(night / "red"), status_of(plain)
    assert without == {file: with_them[file] for file in without} and len(with_them) == len(without) + 3


def test_a_frame_without_light_changes_the_light_curve_less_than_its_errors(simulated, night, tmp_path):
    shutil.copy(simulated.folder / simulated.bad["zeros"], night / "250222_C2_r_0009b.fits")
    x, y = simulated.target_xy["C2"]
    for name in ("with", "without"):
        reduce(night, "--target-xy", f"{x},{y}", "--out", tmp_path / name)
        (night / "250222_C2_r_0009b.fits").unlink(missing_ok=True)
    one, two = light_curve(tmp_path / "with"), light_curve(tmp_path / "without")
    np.testing.assert_array_equal(one["frame"], two["frame"])
    np.testing.assert_array_equal(one["bjd_tdb"], two["bjd_tdb"])
    assert np.sqrt(np.mean(np.square(one["flux"] - two["flux"]))) < np.median(two["flux_err"])


def test_the_raw_night_is_only_ever_read(night, tmp_path, opens):
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in night.rglob("*")}
    opens[:] = opens[:1]
    reduce(night, "--out", tmp_path / "out")
    inside = [
        (Path(os.fsdecode(p)), mode, flags) for p, mode, flags in opens if isinstance(p, str | bytes | Path)
    ]
    inside = [(path, mode, flags) for path, mode, flags in inside if path.is_relative_to(night)]
    assert {path for path, *_ in inside} >= {path for path in before if path.suffix == ".fits"}
    assert {mode for _, mode, _ in inside} <= {"r", "rb", None}
    assert not any(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) for *_, flags in inside)
    assert before == {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in night.rglob("*")}


# -- nights of odd composition -------------------------------------------------------------------------------


def test_two_binnings_are_two_sets_and_both_are_reduced(tmp_path):
    small_night(tmp_path / "night/one", frames=8)
    small_night(tmp_path / "night/two", frames=8, binning=(2, 2), size=(128, 128), seed=2)
    ran = reduce(tmp_path / "night")
    assert ran.status in (0, 3), ran.out
    found = {tuple(s["binning"]): s for s in run_json(tmp_path / "night/red")["sets"]}
    assert set(found) == {(1, 1), (2, 2)}
    for binning, one in found.items():
        assert one["frames"]["measured"] == 8 and one["folder"].endswith("_C2_{}x{}".format(*binning))
        assert {m["kind"] for m in one["masters"]} == {"dark", "flat"}
        assert all(m["product"].endswith("_{}x{}.fits".format(*binning)) for m in one["masters"])


def test_flats_of_two_exposures_make_one_flat(night, tmp_path):
    flats = sorted(night.glob("*flat*"))
    fits.setval(flats[0], "EXPOSURE", value=6.0)
    ran = reduce(night)
    assert ran.status == 0, ran.out
    (one,) = run_json(night / "red")["sets"]
    (flat,) = [master for master in one["masters"] if master["kind"] == "flat"]
    assert sorted(flat["inputs"]) == [path.name for path in flats]


def test_a_night_without_any_calibration_is_reduced_and_says_what_is_missing(night):
    for path in (*night.glob("*flat*"), *night.glob("*dark*")):
        path.unlink()
    ran = reduce(night)
    assert ran.status == 3
    missing = [line for line in ran.out.splitlines() if line.startswith("missing: ")]
    assert len(missing) == 2 and "dark" in missing[0] and "flat" in missing[1]
    assert len(light_curve(night / "red")) == 18
    assert not list((night / "red").glob("cals/*.fits"))


def test_spoilt_calibration_frames_are_named_and_the_others_used(night):
    flats, darks = sorted(night.glob("*flat*")), sorted(night.glob("*dark*"))
    flats[0].write_bytes(flats[0].read_bytes()[:20_000])
    with fits.open(flats[1], mode="update") as hdus:
        hdus[0].data[:] = 0
    with fits.open(darks[0], mode="update") as hdus:
        hdus[0].data[:] = 7
    ran = reduce(night)
    assert ran.status == 3, ran.out
    statuses = status_of(night / "red")
    for path in (flats[0], flats[1], darks[0]):
        assert statuses[path.name][0] == "refused", path.name
        assert sum(path.name in line for line in ran.out.splitlines()) == 1
    (one,) = run_json(night / "red")["sets"]
    assert {m["kind"]: m["inputs"] for m in one["masters"]} == {
        "dark": [darks[1].name],
        "flat": [flats[2].name],
    }
    assert len(light_curve(night / "red")) == 18


def test_frames_of_one_base_name_in_two_folders_are_kept_apart(night):
    for half, paths in (("A", science(night)[:9]), ("B", science(night)[9:])):
        (night / half).mkdir()
        for number, path in enumerate(paths):
            path.rename(night / half / f"img_{number}.fits")
    spoilt = night / "A/img_3.fits"
    with fits.open(spoilt, mode="update") as hdus:
        hdus[0].data[:] = 0
    ran = reduce(night)
    assert ran.status == 3, ran.out
    statuses = status_of(night / "red")
    assert [file for file, (status, _) in statuses.items() if status == "refused"] == ["A/img_3.fits"]
    assert sum(status == "measured" for status, _ in statuses.values()) == 17
    curve = light_curve(night / "red")
    assert len(set(curve["frame"])) == 17
    assert any("A/img_3.fits" in line for line in ran.out.splitlines())
    files = run_json(night / "red")["sets"][0]["files"]
    assert len(set(files)) == 18


def test_the_planes_of_a_cube_are_measured_as_the_frames_they_are(night, plain):
    paths = science(night)[4:10]
    cube = np.array([fits.getdata(path) for path in paths])
    fits.writeto(night / "cube.fits", cube, fits.getheader(paths[0]))
    for path in paths:
        path.unlink()
    ran = reduce(night)
    assert ran.status == 0, ran.out
    statuses = status_of(night / "red")
    assert [statuses[f"cube.fits[{plane}]"] for plane in range(6)] == [("measured", "")] * 6
    curve, before = light_curve(night / "red"), light_curve(plain)
    planes = [i for i, frame in enumerate(curve["frame"]) if "cube" in frame]
    assert len(curve) == 18 and len(set(curve["frame"])) == 18
    step = np.diff(curve["bjd_tdb"][planes]) * 86400
    np.testing.assert_allclose(step, 20.0, atol=0.01)  # one exposure from plane to plane
    was = [i for i, frame in enumerate(before["frame"]) if frame in [path.name for path in paths]]
    np.testing.assert_allclose(curve["fwhm"][planes], before["fwhm"][was], rtol=0.01)


def test_packed_frames_give_what_the_unpacked_ones_give(night, plain):
    for path in night.glob("*.fits"):
        with fits.open(path) as hdus:
            image = fits.CompImageHDU(hdus[0].data, hdus[0].header)
            fits.HDUList([fits.PrimaryHDU(), image]).writeto(path.with_name(path.name + ".fz"))
        path.unlink()
    ran = reduce(night)
    assert ran.status == 0, ran.out
    one, two = light_curve(plain), light_curve(night / "red")
    np.testing.assert_array_equal(one["flux"], two["flux"])
    np.testing.assert_array_equal(one["bjd_tdb"], two["bjd_tdb"])


@pytest.mark.parametrize("target", ["../../etc/x", "ε Eri ★", "run.json", "x" * 200])
def test_a_target_of_any_name_is_reduced_inside_the_output_folder(night, tmp_path, target):
    table = scan(night, Opticam()).table()
    table["target"] = [target if kind == "science" else "" for kind in table["kind"]]
    Output(night / "red").write_table("night.ecsv", table)
    ran = reduce(night)
    assert ran.status == 0, ran.out + ran.err
    (one,) = run_json(night / "red")["sets"]
    assert one["target"] == target and (night / "red" / one["folder"] / "lightcurve.ecsv").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"night"}


# -- night.ecsv, edited by hand ------------------------------------------------------------------------------


def test_an_edited_table_is_obeyed_on_the_next_run(night, plain):
    Output(night / "red").write_table("night.ecsv", Table.read(plain / "night.ecsv"))
    frames = [path.name for path in science(night)]
    lines = (night / "red/night.ecsv").read_text().splitlines()
    (night / "red/night.ecsv").write_text(
        "\n".join(
            line.replace(" measured ", ' "leave out" ') if line.startswith(frames[2]) else line
            for line in lines
        )
    )
    ran = reduce(night)
    assert ran.status == 0 and "17 of 17 frames" in ran.out
    assert status_of(night / "red")[frames[2]] == ("leave out", "left out by hand in night.ecsv")
    assert frames[2] not in set(light_curve(night / "red")["frame"])


def test_a_table_saved_by_a_spreadsheet_is_obeyed_on_the_next_run(night, plain):
    table = Table.read(plain / "night.ecsv").filled("")
    frames = [path.name for path in science(night)]
    rows = [dict(zip(table.colnames, map(str, row), strict=True)) for row in table]
    for row in rows:
        row["status"] = "leave out" if row["file"] == frames[2] else row["status"]
    lines = [
        ";".join(table.colnames),
        *(";".join(f'"{cell}"' for cell in row.values()) for row in reversed(rows)),
    ]
    Output(night / "red").write_text("night.ecsv", "\r\n".join(lines))
    ran = reduce(night)
    assert ran.status == 0 and "17 of 17 frames" in ran.out
    assert status_of(night / "red")[frames[2]][0] == "leave out"


def test_a_table_that_cannot_be_read_any_more_is_exit_1_with_one_sentence_and_stays_as_it_is(night):
    (night / "red").mkdir()
    (night / "red/night.ecsv").write_text("no table at all\n")
    ran = reduce(night)
    assert ran.status == 1 and ran.err.count("\n") == 1
    assert "night.ecsv: it cannot be read any more" in ran.err and "delete it to start afresh" in ran.err
    assert (night / "red/night.ecsv").read_text() == "no table at all\n"


# -- while it runs -------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_sentence_with_what_to_do(night, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = reduce(night)
    assert ran.status == 1 and "No space left on device" in ran.err and "--out DIR" in ran.err
    left = [path.name for path in (night / "red").rglob("*") if path.is_file() and "log" not in path.parts]
    assert [name for name in left if not name.endswith(".log")] == []


def test_a_frame_that_vanishes_while_the_night_is_reduced_is_named(night, monkeypatch):
    gone = science(night)[5]

    def losing(*given, **more):
        found = scan(*given, **more)
        gone.unlink()
        return found

    monkeypatch.setattr(pipeline, "scan", losing)
    ran = reduce(night)
    assert ran.status == 3 and any(gone.name in line for line in ran.out.splitlines())
    assert len(light_curve(night / "red")) == 17
