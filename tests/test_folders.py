import os
import shutil
from pathlib import Path

import pytest

from potpyri_like.errors import ProductError
from potpyri_like.store import Output, folders
from potpyri_like.store.folders import Odd, parts_of, read_inside

ELSEWHERE = ["../outside/a.txt", "/etc/hostname", "", "a//b", "a/../../b", "./a", "a/.", "..", "a\0b", "a/"]


@pytest.fixture
def outside(tmp_path):
    """A folder of somebody's things beside the output folder, which nobody may touch."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/a.txt", ".writing_1"):
        (folder / name).write_text("mine")
    return folder


@pytest.fixture
def red(tmp_path):
    (tmp_path / "red" / "sub").mkdir(parents=True)
    (tmp_path / "red" / "sub" / "a.txt").write_text("a product")
    return tmp_path / "red"


def state(folder):
    """All that can be seen of a folder from inside."""
    return {
        path.relative_to(folder).as_posix(): (path.read_text(), path.stat().st_mtime_ns)
        if path.is_file()
        else ""
        for path in sorted(folder.rglob("*"))
    }


def everything(output):
    """One of each thing that is done in an output folder; errors of ours are fine."""
    folder = output.folder
    deeds = [
        lambda: output.write_text("sub/a.txt", "new"),
        lambda: output.read_bytes("sub/a.txt"),
        lambda: output.sha256("sub/a.txt"),
        lambda: output.signature("sub/a.txt"),
        lambda: os.close(folder.own("sub/a.txt", os.O_RDWR | os.O_TRUNC)),
        lambda: output.appending("sub/a.txt").close(),
        lambda: folder.below("sub").scratch("x").close(),
        lambda: folder.below("sub").rename("a.txt", "b.txt"),
        lambda: folder.remove_odd("sub/a.txt"),
        lambda: output.remove(["sub/a.txt"]),
        lambda: output.tidy(),
        lambda: folder.below("sub").names(),
        lambda: folder.remove_tree("sub"),
    ]
    for deed in deeds:
        try:
            deed()
        except (OSError, ProductError):
            continue


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_that_leads_elsewhere_is_none_of_a_product(red, outside, name):
    before = state(outside)
    with pytest.raises(Odd):
        parts_of(name)
    output = Output(red)
    with pytest.raises(ProductError):
        output.write_text(name, "x")
    for ask in (output.read_bytes, output.sha256, output.signature):
        with pytest.raises(OSError, match="not the name"):
            ask(name)
    assert state(outside) == before


def test_usual_names_are_taken_apart_and_nothing_is_said(red, caplog):
    assert parts_of("WASP-0/g/light curve.ecsv") == ("WASP-0", "g", "light curve.ecsv")
    output = Output(red)
    output.write_text("WASP-0/g/a.txt", "x")
    output.write_text("WASP-0/g/a.txt", "y")
    assert output.read_bytes("WASP-0/g/a.txt") == b"y" and not caplog.records
    output.remove(["WASP-0/g/a.txt"])
    assert not (red / "WASP-0").exists() and (red / "sub").exists()


@pytest.mark.parametrize("place", ["sub", "sub/a.txt"])
@pytest.mark.parametrize("how", ["relative", "absolute"])
def test_a_link_below_the_output_folder_is_followed_by_nothing(red, outside, place, how):
    path, target = red / place, outside / place
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target if how == "absolute" else os.path.relpath(target, path.parent))
    before = state(outside)
    everything(Output(red))
    assert state(outside) == before


def test_a_product_takes_the_place_of_a_link_and_of_a_pipe(red, outside, caplog):
    before = state(outside)
    (red / "sub" / "a.txt").unlink()
    (red / "sub" / "a.txt").symlink_to(outside / "a.txt")
    os.mkfifo(red / "pipe")
    output = Output(red)
    output.write_text("sub/a.txt", "new")
    output.write_text("pipe", "new")
    assert state(outside) == before
    assert not (red / "sub" / "a.txt").is_symlink() and (red / "pipe").read_text() == "new"


@pytest.mark.parametrize(
    "make", [lambda p, o: p.symlink_to(o), lambda p, _: os.mkfifo(p)], ids=["link", "pipe"]
)
def test_a_folder_of_products_is_made_in_the_place_of_a_link_with_one_sentence(red, outside, make, caplog):
    before = state(outside)
    make(red / "WASP-0", outside)
    Output(red).write_text("WASP-0/g/a.txt", "new")
    assert (red / "WASP-0/g/a.txt").read_text() == "new" and not (red / "WASP-0").is_symlink()
    assert len(caplog.records) == 1 and "a folder was made in its place" in caplog.text
    assert state(outside) == before


def test_a_plain_file_in_the_place_of_a_folder_stays_and_is_named(red):
    (red / "WASP-0").write_text("notes")
    with pytest.raises(ProductError, match="WASP-0 is a file, whereas a folder is expected"):
        Output(red).write_text("WASP-0/a.txt", "new")
    assert (red / "WASP-0").read_text() == "notes"


def test_a_hard_link_is_replaced_and_never_written_into(red, outside, caplog):
    before = state(outside)["a.txt"]
    for name in ("log.txt", "whole.txt"):
        os.link(outside / "a.txt", red / name)
    output = Output(red)
    with output.appending("log.txt") as file:
        file.write(b"a line")
    output.write_text("whole.txt", "new")
    assert state(outside)["a.txt"] == before
    assert (red / "log.txt").read_text() == "a line" and (red / "whole.txt").read_text() == "new"
    assert "a hard link" in caplog.text


def test_a_pipe_keeps_no_reader_waiting(red):
    os.mkfifo(red / "a.txt")
    with pytest.raises(OSError, match=r"not a regular file|a pipe"):
        Output(red).read_bytes("a.txt")


def test_the_folder_that_the_user_named_may_be_a_link(red, tmp_path):
    (tmp_path / "mine").symlink_to(red)
    Output(tmp_path / "mine").write_text("a.txt", "x")
    assert (red / "a.txt").read_text() == "x"


def test_the_folder_of_the_night_may_not_be_a_link_and_the_sentence_names_out(tmp_path, outside):
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "red").symlink_to(outside)
    before = state(outside)
    output = Output.of_night(tmp_path / "night", None)
    for deed in (
        output.make,
        lambda: output.write_text("a.txt", "x"),
        lambda: output.read_bytes("a.txt"),
        output.tidy,
    ):
        with pytest.raises(ProductError, match=r"red: it is a link.*--out DIR"):
            deed()
    assert state(outside) == before
    Output.of_night(tmp_path / "night", tmp_path / "night" / "red").write_text("b.txt", "named, so allowed")
    assert (outside / "b.txt").exists()


@pytest.mark.parametrize("nth", range(60))
@pytest.mark.slow
def test_a_folder_that_is_swapped_for_a_link_at_any_moment_leads_nowhere(red, outside, monkeypatch, nth):
    before, calls = state(outside), []

    def swapping(call):
        def wrapped(*args, **kwargs):
            calls.append(call)
            if len(calls) == nth + 1 and (red / "sub").is_dir():
                (red / "sub").rename(red / "was")
                (red / "sub").symlink_to(outside / "sub")
            return call(*args, **kwargs)

        return wrapped

    for name in ("open", "stat", "unlink", "rename", "mkdir", "rmdir"):
        monkeypatch.setattr(folders.os, name, swapping(getattr(os, name)))
    everything(Output(red))
    monkeypatch.undo()
    assert state(outside) == before


def test_a_half_written_product_is_gone_where_it_cannot_be_finished(red):
    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ProductError, match="No space left"):
        Output(red).write("sub/a.txt", fail)
    assert [path.name for path in (red / "sub").iterdir()] == ["a.txt"]
    assert (red / "sub/a.txt").read_text() == "a product"


# -- small files of the night --------------------------------------------------------------------------------


def test_a_file_of_the_night_may_be_a_link_to_another_of_the_night_and_not_out_of_it(tmp_path, outside):
    night = tmp_path / "night"
    (night / "deep").mkdir(parents=True)
    (night / "deep" / "times.csv").write_text("1,2")
    (night / "times.csv").symlink_to("deep/times.csv")
    assert read_inside(night, night / "times.csv") == b"1,2"
    (night / "out.csv").symlink_to(outside / "a.txt")
    with pytest.raises(Odd, match="out of the night"):
        read_inside(night, night / "out.csv")
    (night / "folder").symlink_to(outside)
    with pytest.raises(Odd, match="out of the night"):
        read_inside(night, night / "folder" / "a.txt")


def test_a_file_of_the_night_is_found_under_a_name_that_is_a_link_itself(tmp_path):
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "a.csv").write_text("1")
    (tmp_path / "tonight").symlink_to("night")
    assert read_inside(tmp_path / "tonight", tmp_path / "tonight" / "a.csv") == b"1"


def test_a_file_without_end_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MOST_TEXT", 100)
    (tmp_path / "a.csv").write_bytes(bytes(101))
    with pytest.raises(Odd, match="larger than 100 bytes"):
        read_inside(tmp_path, tmp_path / "a.csv")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Odd, match="not a regular file"):
        read_inside(tmp_path, Path(tmp_path / "pipe"))
