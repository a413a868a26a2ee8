import json
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from small_night import run, run_json, small_night

from potpyri_like.encoding import decode, encode
from potpyri_like.errors import NightError
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.run import verify
from potpyri_like.run.journal import Journal, sealed, unsealed
from potpyri_like.run.record import last_run
from potpyri_like.run.verify import verify_night

pytestmark = pytest.mark.slow  # whole nights

TINY = {"cameras": ("C1",), "frames": 8, "size": (160, 160), "darks": 2, "flats": 2}
ALL_FOUR = ["raw files", "products", "frames recomputed", "products recreated"]


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    """A night and its products, figures and all; not to be changed."""
    truth = small_night(tmp_path_factory.mktemp("verify") / "night", **TINY)
    x, y = truth.target_xy["C1"]
    ran = run("OPTICAM", truth.folder, "--target-xy", f"{x:.1f},{y:.1f}", "--jobs", 1)
    assert ran.status == 0, ran.err
    return truth.folder


@pytest.fixture
def night(reduced, tmp_path):
    """A copy of it, to be spoilt."""
    return shutil.copytree(reduced, tmp_path / "night")


@pytest.fixture
def computes_little(monkeypatch):
    """Only the files are compared: as after an update of the software."""
    monkeypatch.setattr(verify, "code_identity", lambda *, whole=False: {"numpy": "9.9"})


def checks(folder, **options):
    """What is proved, by its name; what is only said, too."""
    found = list(verify_night(Opticam(), folder, **options))
    return {check.what: check for check in found}


def wrong(folder, **options):
    return {what: check.wrong for what, check in checks(folder, **options).items() if check.wrong}


def state(folder):
    """Everything in the night and its products: bytes and times."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in folder.rglob("*")
        if not {".journal", "log"}.intersection(path.parts)
    }


def raw(folder, number=0):
    return sorted(folder.glob("*_C1_g_*.fits"))[number]


def before_names(before):
    """The raw files among what there is."""
    return [Path(name) for name in before if not name.startswith("red/")]


# -- all is as it was ----------------------------------------------------------------------------------------


def test_a_run_is_proved_and_nothing_changes(night):
    before = state(night)
    ran = run("verify", night)
    assert ran.status == 0, ran.out
    assert ran.out.splitlines() == [
        "raw files: 12, all unchanged",
        f"products: {len(run_json(night / 'red')['products'])}, all unchanged",
        "frames recomputed: 8, all unchanged",
        f"products recreated: {len(run_json(night / 'red')['products'])}, all unchanged",
    ]
    assert state(night) == before
    assert not list((night / "red/.journal").glob("verify_*")) and not list(night.glob("red/log/*verify*"))


@pytest.mark.slow
def test_everything_is_computed_again_with_all(night, monkeypatch):
    before = state(night)
    made = []
    monkeypatch.setattr(verify.Verifier, "recall", lambda *_: made.append(1))
    ran = run("verify", night, "--all")
    assert ran.status == 0, ran.out
    assert "frames recomputed: 8, all unchanged" in ran.out and made
    assert state(night) == before


@pytest.mark.slow
def test_a_sample_of_each_set_is_another_each_time_unless_the_seed_is_given(reduced, monkeypatch):
    monkeypatch.setattr(verify, "SAMPLE", 3)
    monkeypatch.setattr(verify, "write_products", lambda *_: None)

    def sample(seed):
        computed = []
        with pytest.MonkeyPatch.context() as patch:
            kept = verify.Verifier.kept_outcome
            patch.setattr(
                verify.Verifier,
                "kept_outcome",
                lambda self, outcome, job: (
                    computed.append((outcome.info.label, job.chain)) or kept(self, outcome, job)
                ),
            )
            list(verify_night(Opticam(), reduced, seed=seed))
        return computed

    samples = [sample(seed) for seed in (1, 1, 2, None, None)]
    for chain in ("DetectStars", "Measure"):  # of the frames looked at for a reference, and of those measured
        assert all(sum(name.endswith(chain) for _, name in found) == 3 for found in samples)
    assert samples[0] == samples[1] and len(set(map(tuple, samples))) > 2


@pytest.mark.slow
def test_a_run_with_something_missing_cubes_folders_and_odd_names_is_proved(tmp_path):
    truth = small_night(tmp_path / "night", folders=True, bad=("truncated", "zeros"), **TINY)
    frames = sorted(truth.folder.rglob("*_C1_g_*.fits"))
    frames[0].rename(frames[0].with_name("a [1] & (b).fits"))
    planes, header = np.array([fits.getdata(path) for path in frames[1:3]]), fits.getheader(frames[1])
    fits.writeto(truth.folder / "cube.fits", planes, header)
    for path in frames[1:3]:
        path.unlink()
    assert run("OPTICAM", truth.folder, "--jobs", 1).status == 3
    before = state(truth.folder)
    ran = run("verify", truth.folder)
    assert ran.status == 0, ran.out
    files = sum(path.suffix == ".fits" for path in before_names(before))
    assert f"raw files: {files}, all unchanged" in ran.out
    assert state(truth.folder) == before


@pytest.mark.slow
def test_files_that_came_after_the_run_are_left_out(night):
    shutil.copy(raw(night), night / "later.fits")
    ran = run("verify", night, "--seed", 1)
    assert ran.status == 0, ran.out
    assert ran.out.splitlines()[0] == "1 raw file added after the run; not verified"


@pytest.mark.slow
def test_without_its_journal_a_run_is_still_proved(night):
    shutil.rmtree(night / "red/.journal")
    ran = run("verify", night)
    assert ran.status == 0, ran.out
    assert "frames recomputed: 0; 8 without an earlier result to compare with" in ran.out


@pytest.mark.slow
def test_what_a_verify_that_was_killed_left_behind_is_removed(night):
    (night / "red/.journal/verify_killed/WASP-0").mkdir(parents=True)
    assert run("verify", night, "--seed", 1).status == 0
    assert not (night / "red/.journal/verify_killed").exists()


# -- files that are not what they were -----------------------------------------------------------------------


def test_a_changed_a_missing_and_a_swapped_raw_file_are_named(night, computes_little):
    one, two, three, four = (raw(night, n) for n in range(4))
    content = bytearray(one.read_bytes())
    content[-3000] ^= 1  # a bit of a pixel; size and time stay
    before = one.stat()
    one.write_bytes(content)
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    two.unlink()
    three.rename(night / "x")
    four.rename(three)
    (night / "x").rename(four)
    assert wrong(night) == {
        "raw files": (
            f"{one.name}: changed",
            f"{two.name}: missing",
            f"{three.name}: changed",
            f"{four.name}: changed",
        )
    }


def test_a_changed_and_a_missing_product_are_named(night, computes_little):
    curve = night / "red/WASP-0/g/lightcurve.ecsv"
    curve.write_text(curve.read_text().replace("1.", "2.", 1))
    (night / "red/report.html").unlink()
    assert set(wrong(night)["products"]) == {
        "WASP-0/g/lightcurve.ecsv: changed",
        "report.html: missing",
    }


def test_what_is_not_as_it_was_is_exit_3_and_named_line_by_line(night, computes_little):
    gone = raw(night)
    gone.unlink()
    ran = run("verify", night)
    assert ran.status == 3
    assert ran.out.splitlines()[:2] == ["raw files: 12, 1 CHANGED", f"  {gone.name}: missing"]


@pytest.mark.slow
def test_a_frame_with_other_pixels_gives_other_products(night):
    path = raw(night, 2)
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[60:100, 60:100] += 500
    found = wrong(night, seed=1)
    assert found["raw files"] == (f"{path.name}: changed",)
    assert "WASP-0/g/measurements.fits" in found["products recreated"]
    assert "products" not in found


def test_a_night_whose_raw_files_are_gone_is_exit_1_after_they_are_named(night):
    for path in night.glob("*.fits"):
        path.unlink()
    ran = run("verify", night)
    assert ran.status == 1 and "raw files: 12, 12 CHANGED" in ran.out
    assert ran.err.splitlines()[-1] == f"reduce: {night}: no .fit, .fits or .fts file in it or its subfolders"


def test_the_output_folder_stands_for_its_night_and_one_elsewhere_asks_for_it(night, tmp_path):
    by_night, by_red = run("verify", night), run("verify", night / "red")
    assert by_red == by_night and by_red.status == 0
    assert run("explain", night / "red").out == run("explain", night).out
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(night / "red", elsewhere)
    assert run("explain", elsewhere).out == run("explain", night).out
    ran = run("verify", elsewhere)
    assert ran.status == 2 and f"reduce verify NIGHT --out {elsewhere}" in ran.err
    assert "NIGHT --out" not in by_red.err


def test_frames_are_counted_by_what_was_compared():
    again = verify.Verifier(None, None, None, None, None)
    again.computed |= {"a", "b", "c", "d"}
    again.compared |= {"a", "b", "d"}
    again.rejected |= {"d"}
    check = again.frames_compared()
    assert (check.count, check.wrong) == (2, ())
    assert verify.check_lines(check) == [
        "frames recomputed: 2, all unchanged; 1 rejected again; 1 without an earlier result to compare with"
    ]
    again.differing |= {"d"}
    assert again.frames_compared().wrong == ("d",) and again.frames_compared().count == 3


def test_a_stack_that_was_made_before_a_second_field_was_found_is_proved(tmp_path):
    plan = {**TINY, "seed": 2, "frames": 16, "binning": (2, 2), "size": (256, 256), "stars": 25, "flip": None}
    truth = small_night(tmp_path / "night", **plan)
    small_night(tmp_path / "other", **{**plan, "seed": 77})
    for name in sorted(truth.frames["file"])[9:]:
        (truth.folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    x, y = truth.target_xy["C1"]
    run(
        "OPTICAM",
        truth.folder,
        "--target-xy",
        f"{x:.1f},{y:.1f}",
        "--jobs",
        1,
        "--fit",
        "none",
        "--animation",
        "no",
    )
    assert [path.name for path in (truth.folder / "red").glob("WASP-0*")].count("WASP-0_p2") == 1
    assert wrong(truth.folder) == {}


# -- a journal that lies -------------------------------------------------------------------------------------


def tampered(folder, number):
    """Change a measured flux in the journal so that the journal itself does not notice; the frame."""
    with sqlite3.connect(folder / "red/.journal/journal.sqlite") as database:
        rows = database.execute(
            "SELECT frame, chain, outcome FROM outcomes WHERE chain LIKE '%Measure%' ORDER BY frame"
        ).fetchall()
        frame, chain, content = rows[number]
        outcome = decode(unsealed(content))
        outcome["results"]["measurement"].flux[0] *= 1.01
        database.execute(
            "UPDATE outcomes SET outcome = ? WHERE frame = ? AND chain = ?",
            (sealed(encode(outcome)), frame, chain),
        )
    database.close()
    return frame


def test_a_journal_that_was_tampered_with_is_found_by_all(night):
    frame = tampered(night, 5)
    assert wrong(night, every=True) == {"frames recomputed": (frame,)}


@pytest.mark.slow
def test_a_journal_that_was_tampered_with_is_found_where_the_frame_is_drawn(night, monkeypatch):
    monkeypatch.setattr(verify, "SAMPLE", 4)
    frame = tampered(night, 5)
    found = {seed: wrong(night, seed=seed) for seed in range(4)}
    drawn = {seed for seed, names in found.items() if names.get("frames recomputed") == (frame,)}
    assert drawn and drawn != set(found)
    for seed in set(found) - drawn:  # it was believed, and its products are not what they were
        assert "WASP-0/g/measurements.fits" in found[seed]["products recreated"]


@pytest.mark.slow
def test_a_frame_that_cannot_be_computed_again_is_named(night, monkeypatch):
    lost = raw(night, 4).name
    real = verify.Verifier.remembered

    def remembered(self, outcome, job):
        if outcome.info.label == lost:
            self.settled = False
            return outcome  # as where its worker died
        return real(self, outcome, job)

    monkeypatch.setattr(verify.Verifier, "remembered", remembered)
    assert wrong(night, seed=1)["frames recomputed"] == (lost,)


# -- other versions ------------------------------------------------------------------------------------------


def test_another_version_of_the_software_is_told_and_nothing_is_computed(night, monkeypatch):
    now = verify.code_identity(whole=True)
    monkeypatch.setattr(
        verify, "code_identity", lambda *, whole=False: {**now, "numpy": "9.9", "source": "other"}
    )
    monkeypatch.setattr(verify, "run_recipes", lambda *_: pytest.fail("it computes"))
    ran = run("verify", night)
    assert ran.status == 0
    assert ran.out.splitlines()[-1] == (
        "nothing recomputed: numpy, potpyri_like's source changed; --all recomputes anyway"
    )


@pytest.mark.slow
def test_with_all_another_version_is_proved_by_what_it_makes(night, monkeypatch):
    now = verify.code_identity(whole=True)
    monkeypatch.setattr(verify, "code_identity", lambda *, whole=False: {**now, "numpy": "9.9"})
    assert list(checks(night, every=True)) == ALL_FOUR


# -- no run --------------------------------------------------------------------------------------------------


def test_a_night_without_a_run_is_exit_1_and_says_what_to_do(tmp_path):
    ran = run("verify", tmp_path)
    assert ran.status == 1 and not ran.out
    assert ran.err == (
        f"reduce: {tmp_path}/red/run.json: no completed run;"
        " reduce the night first, or give its output folder with --out DIR\n"
    )
    for folder, told in {
        "gone": "there is no such folder",
        "file": "it is a file, whereas a folder is expected",
    }.items():
        (tmp_path / "file").write_text("")
        ran = run("verify", tmp_path / folder)
        assert (ran.status, ran.err) == (1, f"reduce: {tmp_path / folder}: {told}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"red"', '{"instrument": 5}', "\xff", "options"])
def test_a_spoilt_run_json_is_exit_1_with_one_sentence(reduced, tmp_path, content):
    if content == "options":
        told = run_json(reduced / "red")
        told["options"]["no_such_option"] = {"value": 1, "from": "command line"}
        content = json.dumps(told)
    (tmp_path / "red").mkdir()
    (tmp_path / "red/run.json").write_bytes(content.encode("latin-1"))
    ran = run("verify", tmp_path)
    assert ran.status == 1 and not ran.out
    sentence = "corrupt, or not written by this software; reduce the night again"
    assert ran.err == f"reduce: {tmp_path}/red/run.json: {sentence}\n"


def test_the_last_run_tells_its_options_and_where_they_came_from(reduced):
    told = last_run(reduced)
    assert told.instrument == "OPTICAM" and told.options.jobs == 1
    assert told.given["target_xy"][1] == "command line" and told.given["stars"] == (150, "default")
    assert told.command.startswith("reduce OPTICAM ") and Path(told.night) == reduced
    with pytest.raises(NightError):
        last_run(reduced, out=reduced / "elsewhere")


def test_while_a_run_is_at_work_nothing_is_verified(night):
    with Journal(night / "red"):
        ran = run("verify", night)
    assert ran.status == 1 and not ran.out and ran.err.count("\n") == 1


@pytest.mark.slow
def test_products_elsewhere_are_verified_with_out(night, tmp_path):
    (night / "red").rename(tmp_path / "products")
    ran = run("verify", night, "--out", tmp_path / "products", "--seed", 3)
    assert ran.status == 0, ran.out
    assert not (night / "red").exists()


def test_ctrl_c_ends_it_with_one_sentence_and_nothing_left(night, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "run_recipes", interrupted)
    ran = run("verify", night)
    assert ran.status == 130 and ran.err.splitlines()[-1] == "stopped; nothing was changed"
    assert not list((night / "red/.journal").glob("verify_*"))
