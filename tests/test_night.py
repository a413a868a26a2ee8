import bz2
import gzip
import os
import time
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from toy import Toy

from potpyri_like.errors import NightError, UsageError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night import FrameRow, Night, edits_by_file, scan, scanning, slug, with_folder
from potpyri_like.night.edits import Edit, read_edited
from potpyri_like.store import Output
from potpyri_like.testing.cards import raw_header
from potpyri_like.testing.simulate import a_frame

TOY = Toy()
SHAPE = (6, 8)
CARDS = {
    "IMAGETYP": "light",
    "EXPTIME": 60.0,
    "FILTER": "R",
    "OBJECT": "WASP-0",
    "DATE-OBS": "2025-01-01T03:00:00",
}


def write(path, *, shape=SHAPE, without=(), pack=None, **cards):
    """A raw frame of the toy; `pack` is what its bytes go through."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = fits.Header({**CARDS, **{name.replace("_", "-"): value for name, value in cards.items()}})
    for name in without:
        header.remove(name)
    image = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    if pack == "fz":
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, header)]).writeto(path)
    else:
        plain = path.with_name("plain.tmp")
        fits.PrimaryHDU(image, header).writeto(plain)
        path.write_bytes((pack or bytes)(plain.read_bytes()))
        plain.unlink()
    return path


def files(night):
    return [row.file for row in night.rows]


def by_file(night):
    return {row.file: row for row in night.rows}


def listed(night, folder):
    """The table of a night, written and read again as after an editor."""
    Output(folder).write_table("night.ecsv", night.table())
    return read_edited(folder / "night.ecsv")


def edited(table, file, **cells):
    """The table with cells of one row changed."""
    changed = Table({name: table[name].astype("U200") for name in table.colnames}, meta=table.meta)
    for name, value in cells.items():
        changed[name][list(changed["file"]).index(file)] = value
    return changed


def info(target="WASP-0", band="R", **more):
    given = {
        "path": Path("a.fits"),
        "kind": FrameKind.SCIENCE,
        "camera": "main",
        "binning": (1, 1),
        "exposure": 60 * u.s,
        "mid_time": Time("2025-01-01T03:00:30"),
        "shape": SHAPE,
    }
    return FrameInfo(target=target, band=band, **{**given, **more})


def folders_of(*infos):
    night = Night(Path(), TOY, tuple(FrameRow(str(n), "use", info=item) for n, item in enumerate(infos)))
    return [item.folder for item in night.sets()]


# -- which files ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_frames_are_found_at_any_depth_in_any_letter_case_and_packing(tmp_path):
    write(tmp_path / "a.fits")
    write(tmp_path / "C1/b.FIT")
    write(tmp_path / "C1/deep/er/c.Fts")
    write(tmp_path / "C2/d.fits.gz", pack=gzip.compress)
    write(tmp_path / "C2/e.FITS.BZ2", pack=bz2.compress)
    write(tmp_path / "C2/f.fits.fz", pack="fz")
    (tmp_path / "notes.txt").write_text("clear sky")
    (tmp_path / "g.fits").mkdir()
    night = scan(tmp_path, TOY)
    wanted = ["C1/b.FIT", "C1/deep/er/c.Fts", "C2/d.fits.gz", "C2/e.FITS.BZ2", "C2/f.fits.fz", "a.fits"]
    assert files(night) == wanted
    assert {row.status for row in night.rows} == {"use"}
    assert {row.info.target for row in night.rows} == {"WASP-0"}


def test_hidden_files_and_products_are_passed_over(tmp_path):
    for name in (
        "a.fits",
        ".a.fits",
        "._b.fits",
        ".trash/c.fits",
        "red/cals/d.fits",
        "C1/red/e.fits",
        "out/f.fits",
    ):
        write(tmp_path / name)
    (tmp_path / "out/night.ecsv").write_text("")
    (tmp_path / "out/log").mkdir()
    assert files(scan(tmp_path, TOY, skip=tmp_path / "out")) == ["a.fits"]


def test_the_output_folder_is_passed_over_however_it_is_written(tmp_path, monkeypatch):
    write(tmp_path / "night/a.fits")
    write(tmp_path / "night/out/night.fits")
    (tmp_path / "night/out/night.ecsv").write_text("")
    (tmp_path / "night/out/log").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "night/out")
    monkeypatch.chdir(tmp_path / "night")
    for skip in (Path("out"), tmp_path / "night/out", Path("../night/./out"), tmp_path / "link"):
        assert files(scan(tmp_path / "night", TOY, skip=skip)) == ["a.fits"]


def test_products_of_another_run_within_the_night_are_passed_over(tmp_path):
    write(tmp_path / "a.fits")
    write(tmp_path / "first/WASP-0/R/stack.fits")
    (tmp_path / "first/night.ecsv").write_text("")
    (tmp_path / "first/run.json").write_text("{}")
    assert files(scan(tmp_path, TOY, skip=tmp_path / "second")) == ["a.fits"]


def test_products_are_not_written_among_raw_files(tmp_path):
    write(tmp_path / "C1/a.fits")
    with pytest.raises(UsageError, match=r"--out .*: that is the night itself"):
        scan(tmp_path, TOY, skip=tmp_path / "C1/..")
    with pytest.raises(UsageError, match=r"--out .*C1: raw files of the night lie there"):
        scan(tmp_path, TOY, skip=tmp_path / "C1")


def test_products_are_not_reduced_as_a_night(tmp_path):
    write(tmp_path / "stack.fits")
    (tmp_path / "night.ecsv").write_text("")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(
        NightError,
        match="that folder contains the products of an earlier run; give the folder of the raw frames",
    ):
        scan(tmp_path, TOY)


def test_a_night_that_lies_beside_an_edited_table_is_a_night(tmp_path):
    write(tmp_path / "a.fits")
    (tmp_path / "night.ecsv").write_text("")
    assert files(scan(tmp_path, TOY)) == ["a.fits"]


def test_links_that_leave_the_night_are_named_and_those_within_count_once(tmp_path):
    write(tmp_path / "elsewhere/a.fits")
    write(tmp_path / "night/b.fits")
    (tmp_path / "night/a.fits").symlink_to(tmp_path / "elsewhere/a.fits")
    (tmp_path / "night/folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "night/round").symlink_to(tmp_path / "night")
    (tmp_path / "night/c.fits").symlink_to("b.fits")
    (tmp_path / "night/broken.fits").symlink_to("nowhere.fits")
    night = scan(tmp_path / "night", TOY)
    assert files(night) == ["a.fits", "broken.fits", "folder", "b.fits", "c.fits"]
    assert all("link" in by_file(night)[name].reason for name in ("a.fits", "folder"))
    assert "cannot be accessed (No such file or directory)" in by_file(night)["broken.fits"].reason
    assert {by_file(night)[name].status for name in ("a.fits", "folder", "broken.fits")} == {"rejected"}
    assert by_file(night)["c.fits"].status == "leave out"
    assert by_file(night)["c.fits"].reason == "the same frame as b.fits"


def test_a_night_of_links_alone_is_told_to_be_one(tmp_path):
    write(tmp_path / "elsewhere/a.fits")
    (tmp_path / "night").mkdir()
    (tmp_path / "night/a.fits").symlink_to(tmp_path / "elsewhere/a.fits")
    with pytest.raises(NightError, match="1 links that point outside it are ignored"):
        scan(tmp_path / "night", TOY)


def test_a_night_reached_through_a_link_is_read(tmp_path):
    write(tmp_path / "disk/a.fits")
    (tmp_path / "night").symlink_to(tmp_path / "disk")
    assert files(scan(tmp_path / "night", TOY)) == ["a.fits"]


def test_the_night_may_be_the_working_folder(tmp_path, monkeypatch):
    write(tmp_path / "C1/a.fits")
    write(tmp_path / "red/stack.fits")
    monkeypatch.chdir(tmp_path)
    assert files(scan(Path(), TOY, skip=Path("red"))) == files(scan(Path(), TOY)) == ["C1/a.fits"]


def test_a_frame_packed_beside_itself_is_used_once(tmp_path):
    write(tmp_path / "a.fits")
    write(tmp_path / "a.fits.gz", pack=gzip.compress)
    write(tmp_path / "C1/a.fits.gz", pack=gzip.compress)
    night = scan(tmp_path, TOY)
    assert [row.status for row in night.rows] == ["use", "use", "leave out"]
    assert night.rows[-1].reason == "the same frame as a.fits"


def test_one_base_name_in_two_folders_is_two_frames(tmp_path):
    write(tmp_path / "C1/a.fits", OBJECT="one")
    write(tmp_path / "C2/a.fits", OBJECT="two")
    night = scan(tmp_path, TOY)
    assert {row.file: row.info.target for row in night.rows} == {"C1/a.fits": "one", "C2/a.fits": "two"}
    assert list(night.table()["file"]) == ["C1/a.fits", "C2/a.fits"]


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path, monkeypatch):
    write(tmp_path / "a.fits")
    write(tmp_path / "closed/b.fits")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    row, _ = scan(tmp_path, TOY).rows
    assert (row.file, row.status) == ("closed/", "rejected")
    assert row.reason == "closed/: the folder cannot be opened (Permission denied)"


def test_a_folder_without_frames_is_one_sentence(tmp_path):
    with pytest.raises(NightError, match=r"^\S+: no \.fit, \.fits or \.fts file in it or its subfolders$"):
        scan(tmp_path, TOY)
    with pytest.raises(NightError, match=r"^\S+gone: there is no such folder$"):
        scan(tmp_path / "gone", TOY)
    with pytest.raises(NightError, match=r"^\S+a\.fits: it is a file, whereas a folder is expected$"):
        scan(write(tmp_path / "a.fits"), TOY)


@pytest.mark.parametrize(
    "name", ["#a.fits", "a b.fits", "a,b;c.fits", '"a".fits', "ä🔭.fits", "a\nb.fits", "-a.fits"]
)
@pytest.mark.slow
def test_a_file_of_any_name_is_listed_and_its_edits_obeyed(tmp_path, name):
    write(tmp_path / "night" / name)
    write(tmp_path / "night/z.fits")
    table = listed(scan(tmp_path / "night", TOY), tmp_path)
    (file,) = set(table["file"]) - {"z.fits"}
    again = scan(tmp_path / "night", TOY, edited=edited(table, file, status="leave out"))
    assert [row.status for row in again.rows if row.file == file] == ["leave out"]
    assert len(again.frames) == 1


def test_a_file_whose_name_is_no_unicode_is_listed(tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.fits"))
    write(odd)
    night = scan(tmp_path, TOY)
    assert files(night) == [r"a\udcff.fits"] and night.frames[0].path == odd
    assert list(listed(night, tmp_path / "out")["file"]) == [r"a\udcff.fits"]


# -- what they are -------------------------------------------------------------------------------------------


def test_rejected_frames_have_their_reason_and_the_others_go_on(tmp_path):
    write(tmp_path / "a.fits")
    write(tmp_path / "b.fits", without=["EXPTIME"])
    (tmp_path / "c.fits").write_bytes((tmp_path / "a.fits").read_bytes()[:2900])
    (tmp_path / "d.fits").write_bytes(b"")
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "e.fits")
    write(tmp_path / "f.fits", without=["DATE-OBS"])
    write(tmp_path / "g.fits", shape=(0, 8))
    night = scan(tmp_path, TOY)
    reasons = {row.file: row.reason for row in night.rejected}
    assert files(night) == [f"{letter}.fits" for letter in "abcdefg"]
    assert sorted(reasons) == [f"{letter}.fits" for letter in "bcdefg"]
    for file, words in {
        "b.fits": "no EXPTIME card",
        "c.fits": "truncated",
        "d.fits": "not a readable FITS file",
        "e.fits": "no image in it",
        "f.fits": "no valid time",
        "g.fits": "without pixels",
    }.items():
        assert reasons[file].startswith(f"{file}: ") and words in reasons[file]


def test_a_reason_tells_the_folder_of_its_frame(tmp_path):
    write(tmp_path / "C1/a.fits", without=["EXPTIME"])
    write(tmp_path / "C2/b.fits", shape=(2, *SHAPE), without=["DATE-OBS"])
    one, *two = scan(tmp_path, TOY).rejected
    assert one.reason.startswith("C1/a.fits: no EXPTIME card")
    assert [row.reason.partition(": ")[0] for row in two] == ["C2/b.fits[0]", "C2/b.fits[1]"]


@pytest.mark.parametrize(
    ("file", "reason", "told"),
    [
        ("C1/a.fits", "a.fits: spoilt", "C1/a.fits: spoilt"),
        ("C1/a.fits[3]", "a.fits: spoilt", "C1/a.fits[3]: spoilt"),
        ("C1/a.fits[3]", "a.fits[3]: spoilt", "C1/a.fits[3]: spoilt"),
        ("C1/a.fits", "C1/a.fits: spoilt", "C1/a.fits: spoilt"),
        ("C1/a.fits", "a.fitsy: spoilt", "a.fitsy: spoilt"),
        ("a.fits", "the disk is full", "the disk is full"),
    ],
)
def test_a_reason_is_told_of_a_path_once(file, reason, told):
    assert with_folder(file, reason) == told


def test_a_frame_of_another_shape_is_rejected_with_both_shapes(tmp_path):
    for letter in "abc":
        write(tmp_path / f"{letter}.fits")
    write(tmp_path / "d.fits", shape=(6, 10))
    night = scan(tmp_path, TOY)
    (row,) = night.rejected
    assert row.reason == (
        "d.fits: 10 x 6 pixels, whereas 3 others of WASP-0 in R have 8 x 6; the frame is rejected"
    )
    assert len(night.sets()) == 1 and len(night.sets()[0].frames) == 3


def test_a_cube_is_taken_apart_and_each_plane_has_its_own_time(tmp_path):
    write(tmp_path / "a.fits", shape=(4, *SHAPE))
    write(tmp_path / "b.fits", shape=(1, *SHAPE), DATE_OBS="2025-01-01T04:00:00")
    night = scan(tmp_path, TOY)
    assert files(night) == ["a.fits[0]", "a.fits[1]", "a.fits[2]", "a.fits[3]", "b.fits[0]"]
    start = Time("2025-01-01T03:00:00", scale="utc")
    for plane, row in enumerate(night.rows[:4]):
        assert row.info.plane == plane and row.info.shape == SHAPE
        assert abs((row.info.mid_time - start).to_value(u.s) - (30 + 60 * plane)) < 1e-6
    assert list(night.table()["mid_time"])[:2] == ["2025-01-01T03:00:30.000", "2025-01-01T03:01:30.000"]


def test_a_cube_without_planes_is_rejected(tmp_path):
    write(tmp_path / "a.fits", shape=(0, *SHAPE))
    (row,) = scan(tmp_path, TOY).rows
    assert row.status == "rejected" and "without pixels" in row.reason


def test_a_calibration_frame_that_fits_nothing_is_remarked(tmp_path):
    write(tmp_path / "a.fits")
    write(tmp_path / "b.fits", IMAGETYP="bias")
    write(tmp_path / "c.fits", IMAGETYP="bias", shape=(3, 4))
    write(tmp_path / "d.fits", IMAGETYP="flat", FILTER="B")
    rows = by_file(scan(tmp_path, TOY))
    assert {row.status for row in rows.values()} == {"use"}
    assert not rows["b.fits"].reason
    assert rows["c.fits"].reason == "fits no science frame: none of main has its size and readout"
    assert rows["d.fits"].reason == "fits no science frame: none of main is in B"


def test_frames_of_two_sizes_and_targets_are_sets_with_their_own_calibrations(tmp_path):
    write(tmp_path / "a.fits", OBJECT="one")
    write(tmp_path / "b.fits", OBJECT="two", shape=(3, 4))
    write(tmp_path / "c.fits", OBJECT="ONE", DATE_OBS="2025-01-01T02:00:00")
    write(tmp_path / "d.fits", IMAGETYP="dark")
    write(tmp_path / "e.fits", IMAGETYP="dark", shape=(3, 4))
    write(tmp_path / "f.fits", IMAGETYP="flat", FILTER="R")
    write(tmp_path / "g.fits", IMAGETYP="flat", FILTER="V")
    one, two = scan(tmp_path, TOY).sets()
    assert [frame.path.name for frame in one.frames] == ["c.fits", "a.fits"]  # in order of time
    assert [frame.path.name for frame in one.darks] == ["d.fits"]
    assert [frame.path.name for frame in one.flats] == ["f.fits"]
    assert [frame.path.name for frame in two.darks] == ["e.fits"] and not two.flats


def test_each_header_is_read_once_and_nothing_else(tmp_path, monkeypatch):
    for number in range(5):
        write(tmp_path / f"{number}.fits", shape=(2, *SHAPE), DATE_OBS=f"2025-01-01T03:{10 * number:02d}:00")
    read, count = scanning.read_header, []
    monkeypatch.setattr(
        scanning, "read_header", lambda path, **more: count.append(path) or read(path, **more)
    )
    opened, open_ = [], Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: opened.append(self) or open_(self, *a, **k))
    night = scan(tmp_path, TOY)
    night.table(), night.sets()
    assert sorted(count) == sorted(opened) == sorted(tmp_path.iterdir())


@pytest.mark.slow
def test_two_thousand_frames_are_listed_in_seconds(tmp_path):
    cameras = Opticam().cameras
    for number, camera in enumerate(cameras):
        frame = a_frame(FrameKind.SCIENCE, camera, band=camera.bands[-1], target="WASP-0", exposure=10.0)
        header = raw_header(Opticam(), frame, size=(64, 64)).hdus[0]
        fits.PrimaryHDU(np.eye(64, dtype=np.uint16), header).writeto(tmp_path / f"{number}.fits")
    for number in range(2000):
        raw = bytearray((tmp_path / f"{number % 3}.fits").read_bytes())
        at = raw.index(b"UT      =")
        time_of_day = f"{3 + number // 600:02d}:{number // 10 % 60:02d}:{6 * (number % 10):02d}"
        raw[at : at + 80] = f"UT      = '2025-02-23 {time_of_day}.000'".ljust(80).encode()
        (tmp_path / f"{number if number > 2 else 2000 + number}.fits").write_bytes(raw)
    for number in range(3):
        (tmp_path / f"{number}.fits").unlink()
    begun = time.process_time()
    night = scan(tmp_path, Opticam())
    night.table(), night.sets()
    assert len(night.frames) == 2000
    assert time.process_time() - begun < 12


# -- night.ecsv, edited --------------------------------------------------------------------------------------


@pytest.fixture
def first(tmp_path):
    """The table of a night of four frames."""
    for letter in "abc":
        write(tmp_path / f"night/{letter}.fits", FILTER="V")
    write(tmp_path / "night/d.fits", IMAGETYP="flat")
    return listed(scan(tmp_path / "night", TOY), tmp_path)


def test_the_table_has_what_the_design_promises(first):
    promised = ["file", "kind", "camera", "band", "target", "exposure", "mid_time", "status", "reason"]
    assert set(promised) <= set(first.colnames)
    assert list(first["file"]) == ["a.fits", "b.fits", "c.fits", "d.fits"]
    assert list(first["kind"]) == ["science"] * 3 + ["flat"]
    assert first["mid_time"][0] == "2025-01-01T03:00:30.000" and float(first["exposure"][0]) == 60


def test_an_unchanged_table_changes_nothing(tmp_path, first):
    fresh, again = scan(tmp_path / "night", TOY), scan(tmp_path / "night", TOY, edited=first)
    assert [(row.file, row.status, row.reason) for row in again.rows] == [
        (row.file, row.status, row.reason) for row in fresh.rows
    ]
    assert [row.info.kind for row in again.rows] == [row.info.kind for row in fresh.rows]
    assert [row.info.decided_by for row in again.rows] == [row.info.decided_by for row in fresh.rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cells", "attribute", "value"),
    [
        ({"kind": "dark"}, "kind", FrameKind.DARK),
        ({"kind": "Flat "}, "kind", FrameKind.FLAT),
        ({"target": "α Cen b"}, "target", "α Cen b"),
        ({"band": "I"}, "band", "I"),
        ({"camera": "MAIN"}, "camera", "main"),
    ],
)
def test_an_edited_row_is_obeyed_and_stays_so(tmp_path, first, cells, attribute, value):
    table = edited(first, "b.fits", **cells)
    for _ in range(2):
        night = scan(tmp_path / "night", TOY, edited=table)
        assert getattr(by_file(night)["b.fits"].info, attribute) == value
        assert by_file(night)["a.fits"].info.target == "WASP-0"
        table = listed(night, tmp_path)
    if attribute == "kind":
        assert by_file(night)["b.fits"].info.decided_by == "edited by hand"


def test_a_frame_that_the_header_does_not_explain_can_be_explained_by_hand(tmp_path):
    write(tmp_path / "night/a.fits", IMAGETYP="?")
    night = scan(tmp_path / "night", TOY)
    assert night.rows[0].status == "rejected" and "kind column of night.ecsv" in night.rows[0].reason
    again = scan(tmp_path / "night", TOY, edited=edited(listed(night, tmp_path), "a.fits", kind="science"))
    assert again.rows[0].status == "use" and again.rows[0].info.target == "WASP-0"


@pytest.mark.parametrize("words", ["leave out", "Leave Out", "leave_out", " LEAVE  OUT "])
@pytest.mark.slow
def test_a_frame_set_to_leave_out_is_left_out_until_it_is_set_to_use(tmp_path, first, words):
    night = scan(tmp_path / "night", TOY, edited=edited(first, "b.fits", status=words))
    row = by_file(night)["b.fits"]
    assert (row.status, row.reason) == ("leave out", "excluded by hand in night.ecsv")
    assert len(night.sets()[0].frames) == 2
    again = scan(tmp_path / "night", TOY, edited=listed(night, tmp_path))
    assert by_file(again)["b.fits"].status == "leave out"
    back = scan(tmp_path / "night", TOY, edited=edited(listed(again, tmp_path), "b.fits", status="use"))
    assert by_file(back)["b.fits"].status == "use"


def test_a_rejected_frame_set_to_leave_out_is_no_longer_missing(tmp_path, first):
    write(tmp_path / "night/e.fits", without=["EXPTIME"])
    table = listed(scan(tmp_path / "night", TOY), tmp_path)
    night = scan(tmp_path / "night", TOY, edited=edited(table, "e.fits", status="leave out"))
    assert not night.rejected and by_file(night)["e.fits"].status == "leave out"


def test_a_frame_left_out_for_its_kind_is_used_when_its_kind_is_changed(tmp_path):
    opticam = Opticam()
    for name, kind in (("a.fits", "object"), ("b.fits", "focus")):
        frame = a_frame(FrameKind.SCIENCE, opticam.cameras[1], band="r", target="WASP-0", exposure=10.0)
        header = raw_header(opticam, frame, size=(64, 64)).hdus[0]
        header["IMGTYPE"] = kind
        (tmp_path / "night").mkdir(exist_ok=True)
        fits.PrimaryHDU(np.eye(64, dtype=np.uint16), header).writeto(tmp_path / "night" / name)
    night = scan(tmp_path / "night", opticam)
    row = by_file(night)["b.fits"]
    assert row.status == "leave out" and row.reason.startswith("neither science nor calibration (")
    table = listed(night, tmp_path)
    assert by_file(scan(tmp_path / "night", opticam, edited=table))["b.fits"].reason == row.reason
    again = scan(tmp_path / "night", opticam, edited=edited(table, "b.fits", kind="science"))
    assert by_file(again)["b.fits"].status == "use"


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"kind": "scince"}, "night.ecsv has kind 'scince'; write science, bias, dark, flat or other"),
        (
            {"status": "skip"},
            "night.ecsv has status 'skip'; write use or leave out",
        ),
        ({"camera": "C9"}, "C9"),
    ],
)
def test_an_edit_that_cannot_be_obeyed_is_told_with_its_file(tmp_path, first, cells, words):
    night = scan(tmp_path / "night", TOY, edited=edited(first, "b.fits", **cells))
    (row,) = night.rejected
    assert row.file == "b.fits" and words in row.reason
    assert len(night.frames) == 3


def test_one_plane_of_a_cube_can_be_edited_alone(tmp_path):
    write(tmp_path / "night/a.fits", shape=(4, *SHAPE))
    table = listed(scan(tmp_path / "night", TOY), tmp_path)
    table = edited(edited(table, "a.fits[1]", status="leave out"), "a.fits[2]", target="other")
    night = scan(tmp_path / "night", TOY, edited=edited(table, "a.fits[3]", kind="x"))
    assert [row.status for row in night.rows] == ["use", "leave out", "use", "rejected"]
    assert [row.info.target for row in night.rows[:3]] == ["WASP-0", "WASP-0", "other"]
    assert night.rows[2].info.mid_time.isot == "2025-01-01T03:02:30.000"


def test_the_statuses_of_a_run_do_not_bind_the_next(tmp_path, first):
    after = {"a.fits": ("measured", ""), "b.fits": ("flagged", "cloud"), "c.fits": ("rejected", "zeros")}
    Output(tmp_path).write_table("night.ecsv", scan(tmp_path / "night", TOY).table(after))
    table = read_edited(tmp_path / "night.ecsv")
    assert list(table["status"])[:3] == ["measured", "flagged", "rejected"] and table["reason"][1] == "cloud"
    assert {row.status for row in scan(tmp_path / "night", TOY, edited=table).rows} == {"use"}


def test_a_table_of_another_instrument_is_not_obeyed(tmp_path, first, caplog):
    first.meta["instrument"] = "OPTICAM"
    night = scan(tmp_path / "night", TOY, edited=edited(first, "b.fits", status="leave out"))
    assert len(night.frames) == 4 and "night.ecsv comes from a run with OPTICAM" in caplog.text


def test_a_row_of_a_file_that_is_gone_is_told_and_a_new_file_is_used(tmp_path, first, caplog):
    (tmp_path / "night/b.fits").rename(tmp_path / "night/new.fits")
    night = scan(tmp_path / "night", TOY, edited=first)
    assert len(night.frames) == 4
    assert "rows of files that are not there: b.fits" in caplog.text


# -- night.ecsv, after an editor or a spreadsheet ------------------------------------------------------------


def as_cells(path):
    """The rows of a table as a spreadsheet shows them, comments first."""
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    table = Table.read(path, format="ascii.ecsv").filled("")
    return comments, [table.colnames, *([str(cell) for cell in row] for row in table)]


def quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("comments", ["kept", "spoilt", "gone"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.slow
def test_a_table_saved_by_a_spreadsheet_is_obeyed(tmp_path, first, delimiter, comments, newline):
    kept, rows = as_cells(tmp_path / "night.ecsv")
    rows[2][rows[0].index("status")] = "leave out"
    rows = [[*row, "", ""] for row in [rows[0], *reversed(rows[1:])]]  # sorted anew, with blank columns
    lines = [delimiter.join(map(quoted, row)) for row in rows] + [delimiter * 14, ""]
    if comments != "gone":
        lines = [quoted(line) + delimiter * 5 if comments == "spoilt" else line for line in kept] + lines
    (tmp_path / "night.ecsv").write_text("\ufeff" + newline.join(lines), encoding="utf-8", newline="")
    night = scan(tmp_path / "night", TOY, edited=read_edited(tmp_path / "night.ecsv"))
    assert [row.status for row in night.rows] == ["use", "leave out", "use", "use"]


def test_columns_and_rows_may_be_missing(tmp_path, first):
    _, rows = as_cells(tmp_path / "night.ecsv")
    kept = [[row[0], row[rows[0].index("kind")]] for row in rows if row[0] != "a.fits"]
    kept[1][1] = "dark"
    (tmp_path / "night.ecsv").write_text("\n".join(",".join(row) for row in kept))
    night = scan(tmp_path / "night", TOY, edited=read_edited(tmp_path / "night.ecsv"))
    assert [row.info.kind for row in night.rows] == ["science", "dark", "science", "flat"]
    assert {row.status for row in night.rows} == {"use"}


def test_a_table_edited_as_text_is_obeyed_though_it_is_no_ecsv_any_more(tmp_path, first):
    path = tmp_path / "night.ecsv"
    lines = [line for line in path.read_text().splitlines() if "datatype: float64" not in line]
    lines = [
        line.replace(" use ", " 'leave out' ", 1) if line.startswith("c.fits") else line for line in lines
    ]
    path.write_text("\n".join(line.replace("'leave out'", '"leave out"') for line in lines))
    with pytest.raises(ValueError):
        Table.read(path, format="ascii.ecsv")
    night = scan(tmp_path / "night", TOY, edited=read_edited(path))
    assert by_file(night)["c.fits"].status == "leave out"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no line names the columns"),
        (b"# %ECSV 1.0\n# ---\n", "no line names the columns"),
        (b"name,kind\na.fits,dark\n", "no line names the columns"),
        (
            b"file kind status\na.fits dark leave out\n",
            "line 2 has 4 cells for 3 columns; text with blanks needs quotes",
        ),
        (b"file kind status\na.fits dark use\nb.fits dark\n", "line 3 has 2 cells for 3 columns"),
        (b"file,kind\na.fits,dark,use\n", "line 2 has 3 cells for 2 columns"),
        (b'file,kind\n"a.fits,dark\n', "unexpected end of data"),
        (b"file,kind\n\xff\xfe.fits,dark\n", "utf-8"),
        (b"PK\x03\x04 a spreadsheet's own format \x00\x01", "no line names the columns"),
    ],
)
def test_a_table_that_cannot_be_read_any_more_is_named_with_what_to_do(tmp_path, content, words):
    path = tmp_path / "night.ecsv"
    path.write_bytes(content)
    with pytest.raises(NightError) as caught:
        read_edited(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: it cannot be read any more (") and words in message
    assert message.endswith("repair it, or delete it to start again") and "\n" not in message


def test_a_table_without_files_is_told(tmp_path, first):
    first.remove_column("file")
    with pytest.raises(NightError, match="no column 'file'"):
        scan(tmp_path / "night", TOY, edited=first)


# -- folders of the products ---------------------------------------------------------------------------------

NAMES = [
    "WASP-0 b",
    "../../etc/passwd",
    "..",
    ".hidden",
    "/absolute",
    "a\nb\tc",
    'it\'s "quoted" `x` $(y)',
    "-rf",
    "ε Eri ★",
    "e\u0301toile",
    "",
    "   ",
    "???",
    "cals",
    "LOG",
    "Red",
    "night.ecsv",
    "run.json",
    "report.html",
    "x" * 300,
    "ö" * 300,
    "a" * 79 + "..b",
    "\udcff",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_makes_a_safe_folder(tmp_path, name):
    folder = slug(name)
    assert folder and folder == slug(folder)
    assert not set(folder) & set("/\\\"'`$*?<>|:;&\n\t ")
    assert folder[0] not in ".-" and folder[-1] != "."
    assert len(folder.encode()) <= 81
    assert folder.casefold() not in ("cals", "log", "red", "night.ecsv", "run.json", "report.html")
    (tmp_path / folder).mkdir()
    assert (tmp_path / folder).resolve().parent == tmp_path.resolve()


def test_ordinary_names_stay_as_they_are():
    for name in ("WASP-0", "TOI-1234.01", "M31", "SN2024abc", "BD+20_307", "ε_Eri"):
        assert slug(name) == name


def test_one_spelling_of_an_accent_is_as_good_as_another():
    assert slug("e\u0301toile") == slug("\u00e9toile") == "\u00e9toile"


def test_targets_that_differ_in_letter_case_only_are_one():
    assert folders_of(info("WASP-0"), info("wasp-0")) == ["WASP-0/R"]


@pytest.mark.parametrize(
    "names",
    [
        ("A/B", "A:B", "A_B", "A/B_2"),
        ("", "unnamed", "?"),
        ("cals", "cals?"),
        ("x" * 200, "x" * 201),
        ("A.", "a:"),
    ],
    ids=ascii,
)
def test_targets_whose_names_look_alike_get_folders_of_their_own(names):
    folders = folders_of(*(info(name) for name in names))
    assert len({folder.casefold() for folder in folders}) == len(names)


def test_sets_of_one_target_and_band_get_folders_of_their_own():
    sets = [
        info(),
        info(binning=(2, 2)),
        info(camera="other"),
        info(readout="fast"),
        info(readout="fast?"),
        info(band="r"),
        info(band="R'"),
        info(band=""),
        info(band="clear"),
    ]
    folders = folders_of(*sets)
    assert len({folder.casefold() for folder in folders}) == len(sets)
    assert all(folder.startswith("WASP-0/") and folder.count("/") == 1 for folder in folders)
    assert {"WASP-0/R_capital_main_2x2", "WASP-0/R_capital_main_1x1_fast"} < set(folders)
    assert {"WASP-0/r_small", "WASP-0/R_prime", "WASP-0/clear", "WASP-0/clear_unnamed"} < set(folders)


def test_folders_do_not_depend_on_the_order_of_the_files():
    infos = [info(name, band) for name in ("A/B", "A_B", "A B") for band in ("R", "V")]
    sets = [FrameRow(str(n), "use", info=item) for n, item in enumerate(infos)]
    forward, backward = Night(Path(), TOY, tuple(sets)), Night(Path(), TOY, tuple(sets[::-1]))
    assert [(s.target, s.folder) for s in forward.sets()] == [(s.target, s.folder) for s in backward.sets()]


def test_a_night_is_not_changed_by_grouping_or_listing_it(tmp_path):
    write(tmp_path / "a.fits")
    night = scan(tmp_path, TOY)
    before = replace(night)
    night.sets(), night.table({"a.fits": ("measured", "")})
    assert night == before and night.rows[0].status == "use"


def test_what_was_asked_of_a_frame_is_known_by_its_file_whatever_brackets_its_name_has():
    asked = {name: Edit(status="leave out") for name in ("a[1].fits", "a[1].fits[3]", "b.fits", "c.fits[0]")}
    found = edits_by_file(asked)
    assert set(found["a[1].fits"]) == {"a[1].fits", "a[1].fits[3]"}
    assert set(found["b.fits"]) == {"b.fits"} and set(found["c.fits"]) == {"c.fits[0]"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [("exclude", "leave out"), ("Excluded", "leave out"), ("left_out", "leave out"), ("refused", "rejected")],
)
def test_a_status_may_be_in_other_words_and_in_those_of_earlier_versions(written, meant):
    assert Edit(status=written).checked("a.fits").status == meant
