"""What an observer wrote into night.ecsv outlives every run, and no run harms the products of another."""

import errno
import json
import shutil
from pathlib import Path

import pytest
from small_night import digests, run
from test_resume import first, night, rows  # noqa: F401

from potpyri_like.errors import NightError, NotUnderstood, UnavailableError, UsageError
from potpyri_like.instruments.gmos import Gmos
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night.edits import instrument_in, read_edited
from potpyri_like.options import Options
from potpyri_like.primitives import trim
from potpyri_like.products.rows import masters_of
from potpyri_like.run import memory, output, pipeline
from potpyri_like.run.journal import Journal
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.watch import watch_night

pytestmark = pytest.mark.slow  # whole nights

QUICK = ("--fit", "none", "--jobs", 1)


def leave_out(night, number=3):  # noqa: F811
    """Exclude one frame in night.ecsv; its name."""
    name = night.frames()[number].name

    def change(table):
        table["status"][rows(table, name)] = "leave out"

    night.edit(change)
    return name


def row_of(folder, name):
    table = read_edited(folder / "night.ecsv")
    (found,) = [row for row in table if row["file"] == name]
    return found


# -- another instrument --------------------------------------------------------------------------------------


def test_another_instrument_is_rejected_with_the_command_that_was_meant_and_changes_nothing(night):  # noqa: F811
    leave_out(night)
    before = digests(night.folder, without=("red/.journal/",))
    for words in ((), ("--redo",), ("--target", "WASP")):
        done = run("GMOS", night.folder, *QUICK, *words)
        assert done.status == 2 and not done.out and done.err.count("\n") == 1
        assert f"did you mean: reduce OPTICAM {night.folder} ?" in done.err and "--out DIR" in done.err
    assert digests(night.folder, without=("red/.journal/",)) == before
    night.run()
    assert "already done" in night.said[0]  # the journal was not forgotten, and the frame stays excluded
    assert sum(row["status"] == "measured" for row in read_edited(night.red / "night.ecsv")) == 7


def test_the_same_instrument_in_other_letters_is_no_other_one(night):  # noqa: F811
    path = night.red / "night.ecsv"
    path.write_text(path.read_text().replace("OPTICAM", "Opticam"))
    assert run("opticam", night.folder, "--target-xy", night.options.target_xy, *QUICK).status == 0


def test_run_json_tells_the_instrument_where_night_ecsv_is_gone_or_does_not(night):  # noqa: F811
    path = night.red / "night.ecsv"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    path.write_text("\n".join(lines))
    with pytest.raises(UsageError, match="contains products and edits of OPTICAM"):
        reduce_night(Gmos(), night.folder)
    path.unlink()
    with pytest.raises(UsageError, match="reduce OPTICAM "):
        reduce_night(Gmos(), night.folder)


def test_batch_and_watch_refuse_another_instrument_too(night):  # noqa: F811
    before = digests(night.folder, without=("red/.journal/",))
    done = run("batch", night.folder, "--instrument", "GMOS", *QUICK)
    assert done.status == 2 and "reduce OPTICAM" in done.out
    with pytest.raises(UsageError, match="reduce OPTICAM"):
        watch_night(Gmos(), night.folder, idle=0.1)
    assert digests(night.folder, without=("red/.journal/",)) == before


def test_the_way_out_is_another_folder(night, tmp_path):  # noqa: F811
    done = run("GMOS", night.folder, "--out", tmp_path / "gmos", *QUICK)
    assert done.status == 1 and "GMOS recognises none of" in done.err and not (tmp_path / "gmos").exists()


@pytest.mark.parametrize(
    ("comment", "name"),
    [
        ("# - {instrument: OPTICAM}", ["OPTICAM"]),
        ('"# - {instrument: OPTICAM}",,,', ["OPTICAM"]),
        ("# - {instrument: 'MY CAM'}", ["MY CAM"]),
        ("# - {edit: anything}", []),
        ("# - {instrument: }", []),
    ],
)
def test_the_instrument_is_read_from_the_comment_whatever_a_spreadsheet_made_of_it(comment, name):
    assert instrument_in(comment) == name


# -- a run that understands nothing --------------------------------------------------------------------------


def test_a_run_that_understands_no_frame_writes_nothing(night):  # noqa: F811
    shutil.rmtree(night.red)
    done = run("GMOS", night.folder, *QUICK)
    assert done.status == 1 and "GMOS recognises none of" in done.err and "nothing was written" in done.err
    with pytest.raises(NotUnderstood):
        watch_night(Gmos(), night.folder, idle=0.0)
    assert not night.red.exists()


def test_a_night_of_which_nothing_can_be_read_for_a_moment_leaves_its_products_alone(night):  # noqa: F811
    before = digests(night.red, without=(".journal/",))
    for path in night.folder.glob("*.fits"):
        path.write_bytes(b"")
    done = run("OPTICAM", night.folder, *QUICK)
    assert done.status == 1 and digests(night.red, without=(".journal/",)) == before


# -- another night -------------------------------------------------------------------------------------------


def other_night(night, folder):  # noqa: F811
    """A night whose files have the same names and other bytes."""
    shutil.copytree(night.folder, folder, ignore=shutil.ignore_patterns("red"))
    for path in folder.glob("*.fits"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    return folder


def test_out_at_the_products_of_another_night_is_rejected(night, tmp_path):  # noqa: F811
    other = other_night(night, tmp_path / "other")
    before = digests(night.red, without=(".journal/",))
    done = run("OPTICAM", other, "--out", night.red, *QUICK, "--redo")
    assert done.status == 2 and f"contains products of another night, {night_of(night)}" in done.err
    with pytest.raises(UsageError, match="another night"):
        watch_night(Opticam(), other, out=night.red, idle=0.1)
    assert digests(night.red, without=(".journal/",)) == before


def night_of(night):  # noqa: F811
    return json.loads((night.red / "run.json").read_text())["night"]


def test_out_at_another_night_is_rejected_where_only_its_interrupted_run_tells(night, tmp_path):  # noqa: F811
    other = other_night(night, tmp_path / "other")
    (night.red / "run.json").unlink()
    with Journal(night.red) as journal:
        there = journal.note("owner")["night"]
        assert len(list(journal.inputs())) > 8
    done = run("OPTICAM", other, "--out", night.red, *QUICK)
    assert done.status == 2 and f"contains products of another night, {there}" in done.err


def test_a_night_that_was_moved_is_known_by_its_bytes(night, tmp_path):  # noqa: F811
    moved, target = tmp_path / "moved", night.options.target_xy
    night.folder.rename(moved)
    assert run("OPTICAM", moved, "--out", moved / "red", "--target-xy", target, *QUICK).status == 0


# -- the observer's version ----------------------------------------------------------------------------------


def test_an_edited_table_is_kept_before_it_is_rewritten_and_one_that_was_not_edited_is_not(night):  # noqa: F811
    kept = night.red / "night.ecsv~"
    night.run(aperture=2.0)
    assert not kept.exists()
    leave_out(night)
    edited = (night.red / "night.ecsv").read_bytes()
    night.run()
    assert kept.read_bytes() == edited
    night.run(aperture=3.0)
    assert kept.read_bytes() == edited  # neither removed as a product of an earlier run, nor written over
    assert "night.ecsv~" not in (night.red / "run.json").read_text()


def test_a_table_without_a_journal_is_kept_since_nobody_knows_whether_it_was_edited(night):  # noqa: F811
    before = (night.red / "night.ecsv").read_bytes()
    shutil.rmtree(night.red / ".journal")
    night.run()
    assert (night.red / "night.ecsv~").read_bytes() == before


def test_edits_of_files_that_are_not_there_hold_when_they_are_back(night, tmp_path):  # noqa: F811
    name = leave_out(night)
    night.run()
    for path in night.frames()[2:5]:  # a disk that is not mounted
        path.rename(tmp_path / path.name)
    night.run()
    night.run(aperture=2.5)
    row = row_of(night.red, name)
    assert row["status"] == "leave out" and "missing at present" in row["reason"]
    absent = [
        row["file"] for row in read_edited(night.red / "night.ecsv") if "missing at present" in row["reason"]
    ]
    assert absent == [name]  # rows without edits are not kept
    for path in sorted(tmp_path.glob("*.fits")):
        path.rename(night.folder / path.name)
    night.run()
    assert row_of(night.red, name)["reason"] == "excluded by hand in night.ecsv"
    assert sum(row["status"] == "measured" for row in read_edited(night.red / "night.ecsv")) == 7


def test_edits_of_files_that_cannot_be_read_hold_without_a_journal_too(night):  # noqa: F811
    path = night.frames()[3]
    content = path.read_bytes()

    def change(table):
        table["target"][rows(table, path.name)] = "TOI-1"

    night.edit(change)
    path.write_bytes(b"")
    night.run()
    shutil.rmtree(night.red / ".journal")
    path.write_bytes(content)
    night.run()
    assert row_of(night.red, path.name)["target"] == "TOI-1"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("OPTICAM", "OPTICÁM").encode("cp1252"),
        lambda text: text.encode("utf-16"),
        lambda text: b"PK\x03\x04\xff\xfe" + text.encode(),
        lambda text: b"",
        lambda text: text.replace(" file ", " name ").replace("\nfile ", "\nname ").encode(),
    ],
    ids=["cp1252", "utf-16", "a spreadsheet", "empty", "no column of files"],
)
def test_a_table_that_cannot_be_read_is_never_overwritten(night, spoil):  # noqa: F811
    path = night.red / "night.ecsv"
    path.write_bytes(spoil(path.read_text()))
    before = digests(night.red, without=(".journal/", "log/"))
    with pytest.raises(NightError, match=r"night\.ecsv"):
        night.run(aperture=2.0)
    assert digests(night.red, without=(".journal/", "log/")) == before


def test_line_ends_of_another_system_are_read(night):  # noqa: F811
    name = leave_out(night)
    path = night.red / "night.ecsv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    night.run()
    assert row_of(night.red, name)["reason"] == "excluded by hand in night.ecsv"


def test_edits_made_while_a_run_goes_on_are_left_for_the_next(night, monkeypatch):  # noqa: F811
    names = []
    run_recipes = pipeline.run_recipes

    def and_meanwhile(*arguments):
        names.append(leave_out(night))
        return run_recipes(*arguments)

    monkeypatch.setattr(pipeline, "run_recipes", and_meanwhile)
    night.run(aperture=2.0)
    monkeypatch.undo()
    monkeypatch.setattr(output, "draw", lambda pictures, runner: {})
    assert row_of(night.red, names[0])["status"] == "leave out"
    assert memory.standing(night.instrument, night.folder, out=None, options=night.options) is None
    night.run()
    assert row_of(night.red, names[0])["reason"] == "excluded by hand in night.ecsv"


def test_a_run_that_is_interrupted_between_note_and_table_loses_no_edit(night, monkeypatch):  # noqa: F811
    name = leave_out(night)
    write_text = output.Output.write_text

    def interrupted(self, file, text):
        if file == "night.ecsv":
            raise KeyboardInterrupt
        return write_text(self, file, text)

    monkeypatch.setattr(output.Output, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        night.run()
    monkeypatch.undo()
    monkeypatch.setattr(output, "draw", lambda pictures, runner: {})
    night.run()
    assert row_of(night.red, name)["reason"] == "excluded by hand in night.ecsv"


def test_what_is_read_of_another_s_run_json_is_not_believed(tmp_path):
    red = tmp_path / "red"
    red.mkdir()
    for content in ("[]", '{"instrument": 3, "night": [], "inputs": {"a": 1}}', "{", '{"inputs": [1, {}]}'):
        (red / "run.json").write_text(content)
        with pytest.raises(NightError, match=r"no \.fit"):
            (tmp_path / "night").mkdir(exist_ok=True)
            reduce_night(Opticam(), tmp_path / "night", out=red, options=Options())
    assert sorted(path.name for path in red.iterdir()) == ["run.json"]


# -- circumstances -------------------------------------------------------------------------------------------


def unreadable(monkeypatch, names, times=10**9):
    """Let some files be unreadable, so many times each; root may read everything, whatever its permissions."""
    open_, left = Path.open, dict.fromkeys(names, times)

    def denied(self, *how, **more):
        if left.get(self.name, 0) > 0:
            left[self.name] -= 1
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return open_(self, *how, **more)

    monkeypatch.setattr(Path, "open", denied)


def fresh(night, monkeypatch):  # noqa: F811
    """The night without products and memory."""
    shutil.rmtree(night.red)
    monkeypatch.setattr(output, "draw", lambda pictures, runner: {})
    return night


def measured(report):
    return sum(len(result.series.frames) for result in report.sets)


@pytest.mark.parametrize("times", [1, 3])
def test_a_frame_that_cannot_be_read_now_is_used_by_the_next_run(night, monkeypatch, times):  # noqa: F811
    name = fresh(night, monkeypatch).frames()[5].name
    with monkeypatch.context() as patch:
        unreadable(patch, [name], times)
        report = night.run()
    assert measured(report) == (8 if times == 1 else 7)  # a second try, within the run
    assert row_of(night.red, name)["status"] == ("measured" if times == 1 else "rejected")
    stands = memory.standing(night.instrument, night.folder, out=None, options=night.options)
    assert (stands is not None) == (times == 1)  # else there is something left to do, though no file changed
    assert measured(night.run()) == 8 and row_of(night.red, name)["status"] == "measured"


@pytest.mark.parametrize("kind", ["flat", "dark"])
def test_a_calibration_frame_unreadable_now_goes_into_the_next_master(night, monkeypatch, kind):  # noqa: F811
    fresh(night, monkeypatch)
    path = sorted(night.folder.glob(f"*{kind}*"))[0]
    read_raw = trim.read_raw

    def denied(file, *given, **more):
        if file.name == path.name:
            raise UnavailableError(f"{file.name}: it cannot be read now (Stale file handle)")
        return read_raw(file, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(trim, "read_raw", denied)
        first_report = night.run()
    assert any(path.name in p.what and p.grade == "note" for p in first_report.all_problems)
    assert first_report.exit_status == 0
    report = night.run()
    (master,) = [m for m in masters_of(report.sets[0]) if m.kind == kind and path.name in m.inputs]
    assert not report.all_problems and master.rung == "exact"
