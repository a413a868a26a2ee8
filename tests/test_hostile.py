"""Nights as they come: nothing is lost, nothing is touched, everything that is missing is named."""

import errno
import gzip
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import corpus
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from corpus import REJECTED, Sample
from small_night import OF_THE_RUN, digests, run, run_json, small_night

from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night import bare_reason, scan
from potpyri_like.run import memory, output
from potpyri_like.store import Output

pytestmark = pytest.mark.slow  # whole nights

BAD = ("truncated", "zeros", "no exposure", "shape")
REASONS = {
    "truncated": "truncated: ",
    "zeros": "every pixel of HDU 0 is 0: no exposure",
    "no exposure": "no EXPOSURE card, which OPTICAM frames need",
    "shape": "256 x 224 pixels, whereas ",
}


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    monkeypatch.setattr(output, "draw", lambda pictures, runner: {})


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
        patch.setattr(output, "draw", lambda pictures, runner: {})
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
    """The target's, or that of the most variable star."""
    return Table.read(
        next(path for path in (out / folder).glob("*.ecsv") if path.stem.startswith(("light", "star_")))
    )


# -- the four frames of the figures --------------------------------------------------------------------------


@pytest.mark.slow
def test_frames_that_cannot_be_used_are_named_everywhere(simulated, tmp_path):
    raw = digests(simulated.folder)
    ran = reduce(simulated.folder, "--out", tmp_path)
    assert ran.status == 0, ran.out
    statuses, report = status_of(tmp_path), run_json(tmp_path)
    assert report["exit_status"] == 0
    for what, file in simulated.bad.items():
        status, reason = statuses[file]
        assert status == "rejected" and REASONS[what] in reason and file not in reason
        assert sum(file in line and REASONS[what] in line for line in ran.out.splitlines()) == 1
        assert [bare_reason(file, f["reason"]) for f in report["frames"] if f["file"] == file] == [reason]
        assert [bare_reason(file, lost["why"]) for lost in report["missing"] if file in lost["what"]] == [
            reason
        ]
    good = {file: status for file, (status, _) in statuses.items() if file not in simulated.bad.values()}
    assert set(good.values()) == {"use", "measured"} and list(good.values()).count("measured") == 18
    assert digests(simulated.folder) == raw


@pytest.mark.slow
def test_frames_that_their_headers_betray_change_no_byte_of_the_products(simulated, night, plain):
    for what in ("truncated", "no exposure", "shape"):
        shutil.copy(simulated.folder / simulated.bad[what], night)
    assert reduce(night).status == 0
    one, two = (products(out) for out in (night / "red", plain))
    assert one == two and len(one) >= 5
    with_them, without = status_of(night / "red"), status_of(plain)
    assert without == {file: with_them[file] for file in without} and len(with_them) == len(without) + 3


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_flats_of_two_exposures_make_one_flat(night, tmp_path):
    flats = sorted(night.glob("*flat*"))
    fits.setval(flats[0], "EXPOSURE", value=6.0)
    ran = reduce(night)
    assert ran.status == 0, ran.out
    (one,) = run_json(night / "red")["sets"]
    (flat,) = [master for master in one["masters"] if master["kind"] == "flat"]
    assert sorted(flat["inputs"]) == [path.name for path in flats]


@pytest.mark.slow
def test_a_night_without_any_calibration_is_reduced_and_says_what_is_missing(night):
    for path in (*night.glob("*flat*"), *night.glob("*dark*")):
        path.unlink()
    ran = reduce(night)
    assert ran.status == 3
    missing = [line for line in ran.out.splitlines() if line.startswith("missing: ")]
    assert len(missing) == 2 and "dark" in missing[0] and "flat" in missing[1]
    assert len(light_curve(night / "red")) == 18
    assert not list((night / "red").glob("cals/*.fits"))


@pytest.mark.slow
def test_spoilt_calibration_frames_are_named_and_the_others_used(night):
    flats, darks = sorted(night.glob("*flat*")), sorted(night.glob("*dark*"))
    flats[0].write_bytes(flats[0].read_bytes()[:20_000])
    with fits.open(flats[1], mode="update") as hdus:
        hdus[0].data[:] = 0
    with fits.open(darks[0], mode="update") as hdus:
        hdus[0].data[:] = 7
    ran = reduce(night)
    assert ran.status == 0, ran.out
    statuses = status_of(night / "red")
    for path in (flats[0], flats[1], darks[0]):
        assert statuses[path.name][0] == "rejected", path.name
        assert sum(path.name in line for line in ran.out.splitlines()) == 1
    (one,) = run_json(night / "red")["sets"]
    assert {m["kind"]: m["inputs"] for m in one["masters"]} == {
        "dark": [darks[1].name],
        "flat": [flats[2].name],
    }
    assert len(light_curve(night / "red")) == 18


@pytest.mark.slow
def test_frames_of_one_base_name_in_two_folders_are_kept_apart(night):
    for half, paths in (("A", science(night)[:9]), ("B", science(night)[9:])):
        (night / half).mkdir()
        for number, path in enumerate(paths):
            path.rename(night / half / f"img_{number}.fits")
    spoilt = night / "A/img_3.fits"
    with fits.open(spoilt, mode="update") as hdus:
        hdus[0].data[:] = 0
    ran = reduce(night)
    assert ran.status == 0, ran.out
    statuses = status_of(night / "red")
    assert [file for file, (status, _) in statuses.items() if status == "rejected"] == ["A/img_3.fits"]
    assert sum(status == "measured" for status, _ in statuses.values()) == 17
    curve = light_curve(night / "red")
    assert len(set(curve["frame"])) == 17
    assert any("A/img_3.fits" in line for line in ran.out.splitlines())
    files = run_json(night / "red")["sets"][0]["files"]
    assert len(set(files)) == 18


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("target", ["../../etc/x", "ε Eri ★", "run.json", "x" * 200])
def test_a_target_of_any_name_is_reduced_inside_the_output_folder(night, tmp_path, target):
    table = scan(night, Opticam()).table()
    table["target"] = [target if kind == "science" else "" for kind in table["kind"]]
    Output(night / "red").write_table("night.ecsv", table)
    ran = reduce(night)
    assert ran.status == 0, ran.out + ran.err
    (one,) = run_json(night / "red")["sets"]
    assert one["target"] == target and len(light_curve(night / "red", one["folder"]))
    assert {path.name for path in tmp_path.iterdir()} == {"night"}


# -- night.ecsv, edited by hand ------------------------------------------------------------------------------


@pytest.mark.slow
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
    assert ran.status == 0 and "17 frames" in ran.out
    assert status_of(night / "red")[frames[2]] == ("leave out", "excluded by hand in night.ecsv")
    assert frames[2] not in set(light_curve(night / "red")["frame"])


@pytest.mark.slow
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
    assert ran.status == 0 and "17 frames" in ran.out
    assert status_of(night / "red")[frames[2]][0] == "leave out"


@pytest.mark.slow
def test_a_table_that_cannot_be_read_any_more_is_exit_1_with_one_sentence_and_stays_as_it_is(night):
    (night / "red").mkdir()
    (night / "red/night.ecsv").write_text("no table at all\n")
    ran = reduce(night)
    assert ran.status == 1 and ran.err.count("\n") == 1
    assert "night.ecsv: it cannot be read any more" in ran.err and "delete it to start again" in ran.err
    assert (night / "red/night.ecsv").read_text() == "no table at all\n"


# -- while it runs -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_with_what_to_do(night, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = reduce(night)
    assert ran.status == 1 and "No space left on device" in ran.err and "--out DIR" in ran.err
    assert not digests(night / "red", without=("log/", ".journal/"))


@pytest.mark.slow
def test_a_frame_that_vanishes_while_the_night_is_reduced_is_named(night, monkeypatch):
    gone = science(night)[5]

    def losing(*given, **more):
        found = scan(*given, **more)
        gone.unlink()
        return found

    monkeypatch.setattr(memory, "scan", losing)
    ran = reduce(night)
    assert ran.status == 0 and any(gone.name in line for line in ran.out.splitlines())
    assert len(light_curve(night / "red")) == 17


# -- the corpus ----------------------------------------------------------------------------------------------

# The sharpest frames are the first and the last, which are always looked at for a reference.
TINY = {"size": (160, 160), "frames": 12, "seeing": (0.6, 0.5), "stars": 8, "comparisons": 8, "drift": 4.0}
FOLDER = "WASP-0/r"
BLOCKS = 19  # of each file
OF_HEADERS = (
    *corpus.truncated(BLOCKS),
    *corpus.not_fits(),
    *corpus.broken_headers(),
    *corpus.exposures(),
    *corpus.dates(),
    *corpus.misfits(),
    *corpus.packed(),
)
OF_PIXELS = (*corpus.unreadable_pixels(), *corpus.spoilt_pixels())
LIMIT = 120  # s
LINUX = sys.platform == "linux"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny night, its target, a good frame of it, and its products; not to be changed."""
    folder = tmp_path_factory.mktemp("tiny")
    truth = small_night(folder / "night", **TINY)
    ran = reduce_tiny(folder / "night", folder / "out", truth.target_xy["C2"])
    assert ran.status == 0, ran.out
    sample = Sample((folder / "night/250222_C2_r_0006.fits").read_bytes())
    assert sample.blocks == BLOCKS
    return SimpleNamespace(
        night=folder / "night", out=folder / "out", sample=sample, target=truth.target_xy["C2"]
    )


def reduce_tiny(night, out, target, *words):
    """The command on a tiny night, which has to end."""

    def late(*signal_):
        pytest.fail(f"not done after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(output, "draw", lambda pictures, runner: {})
            place = "{:.2f},{:.2f}".format(*target)
            # The field is so small that wider annuli leave few stars that are far enough from its edge.
            return reduce(night, "--target-xy", place, "--annulus", "3,5", "--out", out, *words)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Reduced:
    """A tiny night with bad files in it, reduced."""

    ran: object
    night: Path
    out: Path
    rows: dict
    report: dict


def with_files(tiny, folder, cases, *words):
    """The tiny night with these bad files in it, reduced."""
    fill(tiny, folder, cases)
    return reduced_in(folder, tiny.target, *words)


def fill(tiny, folder, cases):
    shutil.copytree(tiny.night, folder / "night")
    for case in cases:
        case.put(folder / "night", tiny.sample)


def reduced_in(folder, target, *words):
    """The night in a folder, reduced into `out` beside it; nothing else in the folder changes."""
    before = tree(folder)
    ran = reduce_tiny(folder / "night", folder / "out", target, *words)
    assert {name: what for name, what in tree(folder).items() if not name.startswith("out")} == before
    return Reduced(ran, folder / "night", folder / "out", status_of(folder / "out"), run_json(folder / "out"))


def tree(folder):
    """Every name below a folder with its time, size and kind."""
    found = {}
    for here, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(here, name)
            told = path.lstat()
            changes = () if path.is_dir() else (told.st_mtime_ns, told.st_size)
            found[str(path.relative_to(folder))] = (told.st_mode, *changes)
    return found


def products(out):
    """SHA-256 of every product that does not tell of every frame."""
    return digests(out, without=(*OF_THE_RUN, "."))


def said_of(reduced, case):
    """The lines on the screen that name a case, or count it among others of its kind."""
    lines = [line for line in reduced.ran.out.splitlines() if line.startswith(("note: ", "not measured: "))]
    name = case.called.rpartition("/")[2]
    grouped = [line for line in lines if re.search(r"(?:note|C2 r): \d+ frames: ", line)]
    return [line for line in lines if name in line] or [
        line for line in grouped if re.search(case.reason, line)
    ]


def check_named(reduced, case):
    """What became of a bad file, and why, is in night.ecsv, in run.json and on the screen."""
    status, reason = reduced.rows[case.called]
    assert status == case.status, reason
    assert re.search(case.reason, reason)
    (told,) = [item for item in reduced.report["inputs"] if item["file"] == case.called]
    assert told["status"] == case.status
    if case.status in (REJECTED, "flagged"):
        (told,) = [item for item in reduced.report["frames"] if item["file"] == case.called]
        told["reason"] = bare_reason(case.called, told["reason"])
        assert told == {"file": case.called, "status": case.status, "reason": reason}
        assert said_of(reduced, case)


@pytest.fixture(scope="module")
def bad_headers(tiny, tmp_path_factory):
    return with_files(tiny, tmp_path_factory.mktemp("headers"), OF_HEADERS)


@pytest.fixture(scope="module")
def bad_pixels(tiny, tmp_path_factory):
    return with_files(tiny, tmp_path_factory.mktemp("pixels"), OF_PIXELS)


@pytest.mark.parametrize("case", OF_HEADERS, ids=lambda case: case.file)
def test_a_file_that_its_header_betrays_is_named(bad_headers, case):
    check_named(bad_headers, case)


@pytest.mark.parametrize("case", OF_PIXELS, ids=lambda case: case.file)
def test_a_file_that_its_pixels_betray_is_named(bad_pixels, case):
    check_named(bad_pixels, case)


@pytest.mark.parametrize("which", ["bad_headers", "bad_pixels"])
def test_a_night_of_bad_files_is_reduced_and_says_that_something_is_missing(request, which):
    reduced = request.getfixturevalue(which)
    assert reduced.ran.status == reduced.report["exit_status"] == 3
    assert "Warning" not in reduced.ran.err + reduced.ran.out
    (log,) = (reduced.out / "log").iterdir()
    assert "Traceback" not in log.read_text() and "Warning:" not in log.read_text()
    rejected = [file for file, (status, _) in reduced.rows.items() if status == REJECTED]
    lines = [line for line in reduced.ran.out.splitlines() if line.startswith(("note: ", "not measured: "))]
    flagged = sum(status == "flagged" for status, _ in reduced.rows.values())
    counted = [re.search(r"(?:note|C2 r): (\d+) frames: ", line) for line in lines]
    assert sum(int(many[1]) if many else 1 for many in counted) == len(rejected) + flagged


def test_bad_files_that_their_headers_betray_change_no_byte_of_the_products(tiny, bad_headers):
    one, two = (products(out) for out in (bad_headers.out, tiny.out))
    assert one == two and len(one) >= 5
    mine, others = bad_headers.rows, status_of(tiny.out)
    assert {file: mine[file] for file in others} == others


def test_a_majority_of_bad_frames_leaves_every_good_one_measured(tiny, bad_pixels):
    others = status_of(tiny.out)
    assert {file: bad_pixels.rows[file] for file in others} == others
    check_alike(light_curve(bad_pixels.out), light_curve(tiny.out))


@pytest.mark.slow
@pytest.mark.parametrize("case", corpus.spoilt_pixels(), ids=lambda case: case.file)
def test_a_bad_frame_shifts_the_good_ones_less_than_their_errors(tiny, tmp_path, case):
    reduced = with_files(tiny, tmp_path, [case])
    check_named(reduced, case)
    check_alike(light_curve(reduced.out), light_curve(tiny.out))


def check_alike(one, two):
    """Two light curves of the frames of the second: the same times, and fluxes that differ about as little as errors.

    Aperture and comparison stars may be others: bad frames have a say in their choice.
    """
    same = np.isin(one["frame"], two["frame"])
    assert same.sum() == len(two)
    np.testing.assert_array_equal(one["bjd_tdb"][same], two["bjd_tdb"])
    assert np.std(one["flux"][same] - two["flux"]) < 1.2 * np.median(two["flux_err"])


def measured(out):
    """Flux and error of every star in every aperture, by frame."""
    with fits.open(out / FOLDER / "measurements.fits") as hdus:
        frames = [str(frame) for frame in hdus["FRAMES"].data["file"]]
        flux, error = hdus["FLUX"].data, hdus["FLUX_ERR"].data
        return {frame: (flux[:, :, i].copy(), error[:, :, i].copy()) for i, frame in enumerate(frames)}


@pytest.mark.slow
def test_damaged_frames_are_measured_and_shift_the_others_less_than_their_errors(tiny, tmp_path):
    cases = corpus.damaged()
    reduced = with_files(tiny, tmp_path, cases)
    assert reduced.ran.status == 0, reduced.ran.out
    for case in cases:
        check_named(reduced, case)
    check_alike(light_curve(reduced.out), light_curve(tiny.out))


def test_no_bad_file_is_opened_to_be_written(tiny, tmp_path, opens):
    fill(tiny, tmp_path, OF_HEADERS[::6])
    opens[:] = opens[:1]
    reduced = reduced_in(tmp_path, tiny.target)
    for path, mode, flags in opens:
        if isinstance(path, str | bytes | Path) and Path(os.fsdecode(path)).is_relative_to(reduced.night):
            assert mode in ("r", "rb", None) and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)


# -- names and targets ---------------------------------------------------------------------------------------


def test_the_names_of_frames_do_not_matter(tiny, tmp_path):
    shutil.copytree(tiny.night, tmp_path / "night")
    paths = sorted((tmp_path / "night").glob("*.fits"), key=lambda path: ("flat" in path.name, path.name))
    names = [os.fsencode(name) for name in corpus.ODD_NAMES]
    names += [f"{number}.fits".encode() for number in range(len(paths) - len(names))]
    for path, name in zip(paths, names, strict=False):
        os.rename(path, os.path.join(os.fsencode(tmp_path / "night"), name))  # noqa: PTH104, PTH118 - bytes
    ran = reduce_tiny(tmp_path / "night", tmp_path / "out", tiny.target)
    assert ran.status == 0, ran.out
    one, two = (light_curve(out) for out in (tmp_path / "out", tiny.out))
    assert len(set(one["frame"])) == TINY["frames"]
    for column in ("bjd_tdb", "flux", "flux_err"):
        np.testing.assert_array_equal(one[column], two[column])
    assert "<img src=x" not in (tmp_path / "out/report.html").read_text()
    table = (tmp_path / "out/night.ecsv").read_bytes()
    assert reduce_tiny(tmp_path / "night", tmp_path / "out", tiny.target).status == 0
    assert (tmp_path / "out/night.ecsv").read_bytes() == table


def edited_later(sample, index, **cards):
    """A frame of another time, with cards replaced by what is given, as it is."""
    return Sample(sample.at(corpus.APART * index)).edited(**cards)


@pytest.mark.slow
def test_what_observers_write_into_object_stays_inside_the_output_folder(tiny, tmp_path):
    cases = [
        corpus.bad(
            f"t{number:02d}.fits",
            lambda s, n=number, name=name: s.at(corpus.APART * (1 + n), OBJECT=name),
            "",
            status="measured",
        )
        for number, name in enumerate(corpus.ODD_TARGETS)
    ]
    cases += [
        corpus.bad(
            "newline.fits",
            lambda s: edited_later(s, 30, OBJECT=b"OBJECT  = 'two\nlines'"),
            "",
            status="measured",
        ),
        corpus.bad(
            "latin.fits",
            lambda s: edited_later(s, 31, OBJECT=b"OBJECT  = '\xe9toile'"),
            "",
            status="measured",
        ),
        corpus.bad("empty.fits", lambda s: s.at(32 * corpus.APART, OBJECT=""), "", status="measured"),
    ]
    reduced = with_files(tiny, tmp_path, cases)
    assert {path.name for path in tmp_path.iterdir()} == {"night", "out"}
    for case in cases:
        assert case.called in reduced.rows
    folders = [one["folder"] for one in reduced.report["sets"]]
    assert len(folders) == len({folder.casefold() for folder in folders}) == len(cases)
    for folder in folders:
        assert (reduced.out / folder).resolve().is_relative_to(reduced.out.resolve())
        assert not folder.casefold().startswith(("cals/", "log/", "red/", "night.ecsv/", "run.json/", "."))
    told = [line for line in reduced.ran.out.splitlines() if not line.startswith(("missing: ", "note: "))]
    assert sum(line.startswith(f"{len(cases) - 2} other targets with few frames: ") for line in told) == 1
    assert max(map(len, told)) < 400
    assert "<script>alert" not in (reduced.out / "report.html").read_text()
    one, two = (digests(out / FOLDER) for out in (reduced.out, tiny.out))
    assert one == two


@pytest.mark.slow
def test_a_clock_ahead_of_the_leap_seconds_known_is_believed_without_a_word(tiny, tmp_path):
    case = corpus.bad("ahead.fits", lambda s: s.saying(UT="2099-02-23 05:00:00.000"), "", status="measured")
    reduced = with_files(tiny, tmp_path, [case])
    check_named(reduced, case)
    assert reduced.ran.status == 0 and "Warning" not in reduced.ran.err
    folders = sorted(path.name for path in reduced.out.iterdir() if path.name[:2] == "20")
    assert folders == ["20250222", "20990222"]  # another night
    check_alike(light_curve(reduced.out / folders[0]), light_curve(tiny.out))


# -- what is not a regular file -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strange(tiny, tmp_path_factory):
    """The tiny night with links out of it, into nowhere and round in circles, a pipe, and a device."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/frame.fits").write_bytes(tiny.sample.raw)
    return with_files(tiny, folder, corpus.strangers(folder / "elsewhere"))


@pytest.mark.parametrize("case", corpus.strangers(Path()), ids=lambda case: case.file)
def test_what_is_no_plain_file_is_named_and_not_waited_for(strange, case):
    check_named(strange, case)


def test_links_and_pipes_change_no_byte_of_the_products(tiny, strange):
    one, two = (products(out) for out in (strange.out, tiny.out))
    assert one == two


def test_folders_that_are_linked_in_a_circle_are_walked_once(tiny, tmp_path):
    shutil.copytree(tiny.night, tmp_path / "night")
    (tmp_path / "night/deeper").mkdir()
    (tmp_path / "night/deeper/round").symlink_to(tmp_path / "night")
    (tmp_path / "night/deeper.fits").mkdir()
    ran = reduce_tiny(tmp_path / "night", tmp_path / "out", tiny.target)
    assert ran.status == 0, ran.out
    assert products(tmp_path / "out") == products(tiny.out)


def test_files_and_folders_without_permission_are_named(tiny, tmp_path):
    closed = [tmp_path / "night" / name for name in ("closed.fits", "shut", "listed")]

    def shut(path, sample):
        path.mkdir()
        (path / "frame.fits").write_bytes(sample.raw)
        path.chmod(0o000 if path.name == "shut" else 0o444)

    def unreadable(path, sample):
        path.write_bytes(sample.raw)
        path.chmod(0o000)

    cases = [
        corpus.Case("closed.fits", unreadable, "no permission to read"),
        corpus.Case("shut", shut, "the folder cannot be opened", row="shut/"),
        corpus.Case("listed", shut, "cannot be accessed", row="listed/frame.fits"),
    ]
    try:
        fill(tiny, tmp_path, cases)
        if os.access(closed[0], os.R_OK):
            pytest.skip("root may read everything")
        ran, out = reduce_tiny(tmp_path / "night", tmp_path / "out", tiny.target), tmp_path / "out"
        reduced = Reduced(ran, tmp_path / "night", out, status_of(out), run_json(out))
        for case in cases:
            check_named(reduced, case)
        assert products(reduced.out) == products(tiny.out)
    finally:
        for path in closed:
            path.chmod(0o755)


# -- what takes the memory or the time -----------------------------------------------------------------------


def test_a_header_that_declares_axes_without_number_is_rejected_at_once(tiny, tmp_path):
    table = corpus.table()
    fields = table.replace(f"TFIELDS = {1:>20}".encode(), f"TFIELDS = {10**10:>20}".encode())
    kind = table.replace(b"XTENSION= 'BINTABLE'", b"XTENSION=         -1")
    cases = [
        corpus.structural("axes", "is invalid", NAXIS=99999999999999999999),
        corpus.structural("many_axes", "is invalid", NAXIS=2**31),
        corpus.bad("fields.fits", lambda s: fields, "is invalid"),
        corpus.bad("kind.fits", lambda s: kind, "corrupt|no image"),
    ]
    reduced = with_files(tiny, tmp_path, cases)
    for case in cases:
        check_named(reduced, case)


def test_a_good_packed_frame_stands_in_for_the_spoilt_one_beside_it(tiny, tmp_path):
    shutil.copytree(tiny.night, tmp_path / "night")
    good = tmp_path / "night/250222_C2_r_0007.fits"
    good.with_name(good.name + ".gz").write_bytes(gzip.compress(good.read_bytes(), mtime=0))
    good.write_bytes(good.read_bytes()[:30000])  # the unpacking was cut off
    ran = reduce_tiny(tmp_path / "night", tmp_path / "out", tiny.target)
    rows = status_of(tmp_path / "out")
    assert ran.status == 0 and rows[good.name][0] == REJECTED
    assert rows[good.name + ".gz"][0] == "measured"
    one, two = (light_curve(out) for out in (tmp_path / "out", tiny.out))
    np.testing.assert_array_equal(one["flux"], two["flux"])


def command(night, out, target, *, limit=None):
    """The command in a process of its own: its status, words, seconds of processor time, largest memory in bytes."""
    words = ["OPTICAM", night, "--jobs", "1", "--out", out, "--target-xy", "{:.2f},{:.2f}".format(*target)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (out.parent / f"{out.name}.txt").open("wb") as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "potpyri_like", *map(str, words)],
            stdout=screen,
            stderr=subprocess.STDOUT,
            env=environment,
            preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
            if limit and LINUX
            else None,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    said = (out.parent / f"{out.name}.txt").read_text()
    return SimpleNamespace(
        status=process.returncode,
        out=said,
        err="",
        seconds=used.ru_utime + used.ru_stime,
        memory=used.ru_maxrss * (1024 if LINUX else 1),  # macOS counts bytes, and limits no address space
    )


@pytest.mark.slow
def test_claims_and_bombs_take_neither_memory_nor_time(tiny, tmp_path):
    big = {"NAXIS1": 20000, "NAXIS2": 20000}
    head = Sample(Sample(tiny.sample.raw).edited(**big)).raw[:2880]
    cases = [
        corpus.structural("huge", "too large|truncated|not a readable", NAXIS1=2 * 10**9, NAXIS2=2 * 10**9),
        corpus.structural("allowed", "truncated", NAXIS1=23170, NAXIS2=23170),
        corpus.structural("endless", "is invalid", NAXIS=10**10),
        corpus.bad("zeros.fits.gz", lambda s: corpus.bomb(2), "it unpacks to"),
        corpus.bad("frame_and_zeros.fits.gz", lambda s: corpus.bomb(2, s.raw), "it unpacks to"),
        corpus.bad("announced.fits.gz", lambda s: corpus.bomb(1, head), "it unpacks to"),
        corpus.bad("nothing.fits.bz2", lambda s: corpus.bz2_bomb(1), "it unpacks to"),
        corpus.bad(
            "tiles.fits.fz", lambda s: corpus.tiled_claim(s, 20000), "too large|can hold|truncated|cannot be"
        ),
    ]
    shutil.copytree(tiny.night, tmp_path / "night")
    plain = command(tmp_path / "night", tmp_path / "plain", tiny.target)
    for case in cases:
        case.put(tmp_path / "night", tiny.sample)
    ran = command(tmp_path / "night", tmp_path / "out", tiny.target, limit=4 * 2**30)
    assert plain.status == 0 and ran.status == 3, ran.out
    assert "Traceback" not in ran.out and "Warning" not in ran.out
    reduced = Reduced(
        ran, tmp_path / "night", tmp_path / "out", status_of(tmp_path / "out"), run_json(tmp_path / "out")
    )
    for case in cases:
        check_named(reduced, case)
    assert digests(reduced.out / FOLDER, without=("lightcurve.png",)).keys() == digests(
        tmp_path / "plain" / FOLDER
    ).keys() - {"lightcurve.png"}
    assert ran.memory < plain.memory + 300e6
    assert ran.seconds < plain.seconds + 20


@pytest.mark.slow
def test_a_field_of_ten_thousand_stars_is_reduced(tmp_path):
    truth = small_night(tmp_path / "night", size=(1024, 1024), frames=6, drift=0.0, hours=0.2)
    for path in science(tmp_path / "night"):
        sample = Sample(path.read_bytes())
        path.write_bytes(sample.showing(corpus.crowded(sample.image, 10_000)))
    ran = command(tmp_path / "night", tmp_path / "out", truth.target_xy["C2"])
    assert ran.status in (0, 3), ran.out
    assert sum(status == "measured" for status, _ in status_of(tmp_path / "out").values()) == 6
    assert ran.seconds < 60


@pytest.mark.slow
def test_a_night_of_five_thousand_frames_is_finished(tiny, tmp_path):
    (tmp_path / "night").mkdir()
    for path in tiny.night.glob("*.fits"):
        if "_r_00" not in path.name or "flat" in path.name:
            (tmp_path / "night" / path.name).write_bytes(Sample(path.read_bytes()).saying(EXPOSURE=3.0))
    bases = [Sample(path.read_bytes()) for path in science(tiny.night)]
    for number in range(5000):
        base = bases[number % len(bases)]
        time = (np.datetime64("2025-02-23T03:00:00.000") + np.timedelta64(4 * number, "s")).item()
        card = f"UT      = '{time:%Y-%m-%d %H:%M:%S.000}'"
        (tmp_path / "night" / f"frame_{number:05d}.fits").write_bytes(base.edited(UT=card, EXPOSURE=3))
    ran = command(tmp_path / "night", tmp_path / "out", tiny.target)
    assert ran.status == 0, ran.out[-3000:]
    assert len(light_curve(tmp_path / "out")) == 5000
    assert ran.seconds / 5000 < 0.1 and ran.memory < 1.5e9


# -- while it runs, again ------------------------------------------------------------------------------------


def grown(path):
    path.write_bytes(path.read_bytes() + bytes(1000))


def cut_in_two(path):
    path.write_bytes(path.read_bytes()[:30000])


def overwritten(path):
    path.write_bytes(b"x" * path.stat().st_size)


def now_a_folder(path):
    path.unlink()
    path.mkdir()


def now_smaller(path):
    sample = Sample(path.read_bytes())
    path.write_bytes(sample.showing(sample.image[:100, :100]))


@pytest.mark.slow
@pytest.mark.parametrize("change", [cut_in_two, overwritten, now_a_folder, now_smaller, grown])
def test_a_frame_that_changes_after_its_header_was_read_is_named(tiny, tmp_path, monkeypatch, change):
    shutil.copytree(tiny.night, tmp_path / "night")
    frame = tmp_path / "night/250222_C2_r_0006.fits"

    def changing(*given, **more):
        found = scan(*given, **more)
        change(frame)
        return found

    monkeypatch.setattr(memory, "scan", changing)
    ran = reduce_tiny(tmp_path / "night", tmp_path / "out", tiny.target)
    rows, log = status_of(tmp_path / "out"), next((tmp_path / "out/log").iterdir()).read_text()
    assert "Traceback" not in log
    if change is grown:
        assert ran.status == 0 and rows[frame.name][0] == "measured"
        return
    assert ran.status == 0 and rows[frame.name][0] in (REJECTED, "flagged")
    assert any(frame.name in line for line in ran.out.splitlines())
    one, two = measured(tmp_path / "out"), measured(tiny.out)
    for name in two.keys() - {frame.name}:
        np.testing.assert_array_equal(one[name][0], two[name][0])
