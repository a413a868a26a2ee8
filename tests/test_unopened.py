import io
import os
import zipfile
from pathlib import Path

import pytest
from plain import Plain, cards, noise, write

from potpyri_like.errors import NightError
from potpyri_like.night import scan
from potpyri_like.results import Grade
from potpyri_like.run.report import unopened_files
from potpyri_like.store import unopened_among

OTHERS = [
    "notes.txt",
    "field.png",
    "movie.avi",
    "log.csv",
    "a.fits~",
    ".hidden.cr2",
    "focus.jpg",
    "README",
    "a.raw",
]


def night(folder, lights=8, others=()):
    for i in range(lights):
        write(folder / f"light_{i}.fits", noise(seed=i), cards(seconds=70 * i))
    for name in others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"something")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("light_9.fits.zst", "1 packed FITS file cannot be opened (light_9.fits.zst)", "unpack"),
        ("light_9.FIT.Z", "1 packed FITS file", "unpack"),
        ("light_9.CR2", "1 camera raw file cannot be opened (light_9.CR2)", "convert them to FITS"),
        ("sub/light_9.nef", "1 camera raw file cannot be opened (sub/light_9.nef)", "convert them to FITS"),
        ("capture.ser", "1 SER video", "convert them to FITS"),
        ("light_9.xisf", "1 XISF file", "convert them to FITS"),
        ("stack.tiff", "1 TIFF image", "if they are raw frames"),
        ("lights.7z", "1 archive", "unpack them"),
    ],
)
def test_what_looks_like_a_frame_and_is_not_opened_is_named_with_what_to_do(tmp_path, name, what, remedy):
    scanned = scan(night(tmp_path, others=[name]), Plain())
    (found,) = scanned.unopened
    assert str(found).startswith(what) and remedy in str(found)
    assert len(scanned.frames) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_look_like_a_frame_is_not_named(tmp_path, name):
    assert scan(night(tmp_path, others=[name]), Plain()).unopened == ()


@pytest.mark.parametrize("name", ["light_3.CR2", "light_3.fits.zst", "LIGHT_3.nef", "light_3.xisf"])
def test_a_copy_of_a_frame_that_is_there_is_not_named(tmp_path, name):
    assert scan(night(tmp_path, others=[name]), Plain()).unopened == ()


def test_many_are_counted_in_one_sentence(tmp_path):
    names = [f"img_{i:02d}.arw" for i in range(12)]
    (found,) = scan(night(tmp_path, others=names), Plain()).unopened
    assert str(found).startswith(
        "12 camera raw files cannot be opened (img_00.arw, img_01.arw, img_02.arw and 9 more): "
    )


def test_a_tenth_of_the_night_is_missing_and_less_is_a_remark(tmp_path):
    for number, grade in ((1, Grade.REMARK), (3, Grade.MISSING)):
        folder = night(tmp_path / str(number), 14, [f"x_{i}.fits.zst" for i in range(number)])
        (problem,) = unopened_files(scan(folder, Plain()))
        assert problem.grade is grade and problem.why.startswith(problem.what)


def test_pictures_and_archives_that_may_be_products_are_a_remark_however_many(tmp_path):
    folder = night(tmp_path, 2, [f"stack_{i}.tif" for i in range(20)])
    assert {problem.grade for problem in unopened_files(scan(folder, Plain()))} == {Grade.REMARK}


def test_a_night_of_nothing_else_says_what_is_there(tmp_path):
    with pytest.raises(
        NightError, match=r"no \.fit, \.fits or \.fts file .*2 camera raw files .*convert them"
    ):
        scan(night(tmp_path, 0, ["a.cr3", "b.cr3"]), Plain())


# -- zip archives --------------------------------------------------------------------------------------------


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as made:
        for name, content in members.items():
            made.writestr(f"{name}.fits", content)
    return path


def frame_bytes(folder, seconds):
    path = write(folder / "one.fits", noise(seed=90), cards(seconds=seconds))
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.mark.parametrize("name", ["light_9.zip", "light_9.fits.zip", "backup.zip"])
def test_a_zip_archive_of_one_frame_is_that_frame(tmp_path, name):
    content = frame_bytes(tmp_path / "elsewhere", 700)
    archive(night(tmp_path / "night") / name, light_9=content)
    scanned = scan(tmp_path / "night", Plain())
    assert len(scanned.frames) == 9 and scanned.unopened == ()


def test_a_zip_archive_of_several_frames_is_named(tmp_path):
    archive(night(tmp_path) / "more.zip", x=b"", y=b"")
    (found,) = scan(tmp_path, Plain()).unopened
    assert str(found) == "1 zip archive cannot be opened (more.zip): several frames are in each; unpack them"


@pytest.mark.parametrize("members", [{}, {"light_0": b"", "light_1": b""}])
def test_a_zip_archive_without_frames_or_of_those_that_are_there_is_not_named(tmp_path, members):
    archive(night(tmp_path) / "backup.zip", **members)
    assert scan(tmp_path, Plain()).unopened == ()


def test_what_calls_itself_a_zip_archive_and_is_none_is_passed_over(tmp_path):
    (tmp_path / "odd.zip").write_bytes(b"PK\x03\x04 and no more")
    assert list(unopened_among([tmp_path / "odd.zip"], [], Path(tmp_path))) == []


@pytest.mark.slow
def test_an_archive_that_unfolds_without_end_is_rejected(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.fits.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.fits", io.BytesIO(bytes(2**27)).getvalue())
    write(tmp_path / "light_0.fits")
    (row,) = scan(tmp_path, Plain()).rejected
    assert "it unpacks to more than 67108864 bytes" in row.reason


def test_pipes_and_links_that_call_themselves_zip_archives_are_not_opened(tmp_path):
    folder = night(tmp_path / "night")
    os.mkfifo(folder / "pipe.zip")
    archive(tmp_path / "outside.zip", x=b"", y=b"")
    (folder / "link.zip").symlink_to(tmp_path / "outside.zip")
    scanned = scan(folder, Plain())
    assert len(scanned.frames) == 8 and scanned.unopened == ()
