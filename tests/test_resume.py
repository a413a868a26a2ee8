"""A second run does only what is missing or changed, and leaves behind what an undisturbed one would."""

import contextlib
import importlib.util
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from small_night import digests, run, small_night

import potpyri_like
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.options import Options
from potpyri_like.run import output
from potpyri_like.run.journal import Journal
from potpyri_like.run.memory import standing
from potpyri_like.run.pipeline import reduce_night

pytestmark = pytest.mark.slow  # whole nights

ROOT = Path(__file__).parents[1]
ENV = {**os.environ, "PYTHONPATH": str(Path(potpyri_like.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
TINY = {
    "cameras": ("C1",),
    "size": (160, 160),
    "frames": 8,
    "hours": 1.0,
    "comparisons": 8,
    "drift": 4.0,
    "flats": 2,
}
OF_EACH_RUN = ("log/", "run.json", ".journal/", "night.ecsv~")
SET = "WASP-0, C1 g"


# -- a night that was reduced --------------------------------------------------------------------------------


@dataclass
class Heard:
    """What a run says."""

    said: list = field(default_factory=list)

    def begin(self, what, total): ...
    def step(self): ...
    def end(self): ...

    def say(self, what):
        self.said.append(what)


@dataclass
class Reduced:
    """A night of its own for each test, with the products of an earlier run, if any, in `red`."""

    folder: Path
    options: Options
    instrument: Opticam = field(default_factory=Opticam)
    said: list = field(default_factory=list)
    times: dict = field(default_factory=dict)

    @property
    def red(self):
        return self.folder / "red"

    def frames(self):
        return sorted(self.folder.glob("*_C1_g_*.fits"))

    def run(self, out=None, **changes):
        """A run; what it says and how often each stage ran is kept."""
        heard = Heard()
        self.options = replace(self.options, **changes)
        report = reduce_night(self.instrument, self.folder, out=out, options=self.options, progress=heard)
        self.said, self.times = heard.said, report.timing.times
        return report

    def fresh(self, out, edited=False):
        """What a run into an empty folder leaves behind; with our night.ecsv as it is edited, if it is."""
        out.mkdir()
        if edited:
            shutil.copy(self.red / "night.ecsv", out)
        reduce_night(self.instrument, self.folder, out=out, options=self.options)
        return digests(out, without=OF_EACH_RUN)

    def found(self):
        return digests(self.red, without=OF_EACH_RUN)

    def edit(self, change):
        """Change cells of night.ecsv as an observer does."""
        path = self.red / "night.ecsv"
        table = Table.read(path, format="ascii.ecsv")
        for name in ("status", "target", "reason"):
            table[name] = table[name].astype("U99")
        change(table)
        table.write(path, format="ascii.ecsv", overwrite=True)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A night of eight frames, reduced once without figures; not to be written to."""
    folder = tmp_path_factory.mktemp("resume") / "night"
    truth = small_night(folder, **TINY)
    x, y = truth.target_xy["C1"]
    night = Reduced(folder, Options(target_xy=f"C1:{x:.1f},{y:.1f}", jobs=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "draw", lambda pictures, runner: {})
        report = night.run()
    assert report.exit_status == 0 and night.times["Measure"] == 8
    return night


@pytest.fixture
def night(first, tmp_path, monkeypatch):
    """A copy of that night and its products."""
    monkeypatch.setattr(output, "draw", lambda pictures, runner: {})
    shutil.copytree(first.folder, tmp_path / "night")
    return replace(first, folder=tmp_path / "night", said=[], times={})


def rows(table, name):
    return np.flatnonzero([row.endswith(name) for row in table["file"]])


def differences(found, wanted):
    return sorted(dict(found.items() ^ wanted.items()))


# -- nothing has changed -------------------------------------------------------------------------------------


def test_a_second_run_works_on_no_frame_and_writes_the_same_bytes(night):
    before = night.found()
    night.run()
    assert night.times.get("Measure", 0) == night.times.get("Align", 0) == 0
    assert night.times.get("DetectStars", 0) <= 1  # the image of the reference is not kept
    assert night.said == [
        f"{SET}{which}: 8 of 8 already done, nothing to do" for which in (", reference", "")
    ]
    assert night.found() == before


def test_a_run_whose_products_all_stand_ends_at_once(night):
    words = ["OPTICAM", night.folder, "--target-xy", night.options.target_xy, "--jobs", 1]
    done = run(*words)
    before = {path: path.stat().st_mtime_ns for path in night.red.rglob("*") if ".journal" not in path.parts}
    again = run(*words[:-1], 2)  # the number of workers changes nothing
    assert (again.status, again.out) == (done.status, done.out)
    assert "no change since the last run" in again.err and again.err.count("\n") == 1
    assert before == {
        path: path.stat().st_mtime_ns for path in night.red.rglob("*") if ".journal" not in path.parts
    }


@pytest.mark.slow
@pytest.mark.parametrize("how", ["edited", "deleted", "replaced by a link"])
def test_a_product_that_is_not_as_it_was_written_is_made_again(night, how):
    before = night.found()
    for name in ("cals/master_flat_C1_g_1x1.fits", "WASP-0/g/lightcurve.ecsv"):
        path = night.red / name
        content = path.read_bytes()
        path.unlink()
        if how == "edited":
            path.write_bytes(content[:-1] + b"!")
        elif how == "replaced by a link":
            path.symlink_to(night.frames()[0])
    night.run()
    assert night.found() == before and night.times.get("Measure", 0) == 0
    assert not any(path.is_symlink() for path in night.red.rglob("*"))


@pytest.mark.slow
def test_redo_does_everything_again(night):
    before = night.found()
    reduce_night(
        night.instrument, night.folder, options=night.options, redo=True, progress=(heard := Heard())
    )
    assert not heard.said and night.found() == before


# -- something has changed -----------------------------------------------------------------------------------


def test_a_new_frame_is_measured_and_nothing_else(night, tmp_path):
    late = night.frames()[2]  # neither the sharpest nor the worst: the reference stays
    late.rename(tmp_path / late.name)
    shutil.rmtree(night.red)
    night.run()
    (tmp_path / late.name).rename(late)
    night.run()
    assert night.times["Measure"] == 1
    assert night.said[-1] == f"{SET}: 7 of 8 already done, 1 to do: 1 new"
    assert differences(night.found(), night.fresh(tmp_path / "with")) == []


@pytest.mark.slow
def test_a_frame_that_is_gone_is_not_missed(night, tmp_path):
    night.frames()[2].unlink()
    night.run()
    assert night.times.get("Measure", 0) == 0
    assert night.said[-1] == f"{SET}: 7 of 7 already done, nothing to do"
    assert differences(night.found(), night.fresh(tmp_path / "fresh")) == []


@pytest.mark.slow
def test_a_frame_that_is_left_out_by_hand_and_used_again_is_not_measured_again(night, tmp_path):
    before = night.found()
    name = night.frames()[2].name
    night.edit(lambda table: table["status"].__setitem__(rows(table, name), "leave out"))
    night.run()
    assert night.times.get("Measure", 0) == 0
    assert night.said[-1] == f"{SET}: 7 of 7 already done, nothing to do"
    assert differences(night.found(), night.fresh(tmp_path / "fresh", edited=True)) == []
    night.run()  # what was asked for once is obeyed again
    assert night.said[-1] == f"{SET}: 7 of 7 already done, nothing to do"
    night.edit(lambda table: table["status"].__setitem__(rows(table, name), "use"))
    night.run()
    assert night.times.get("Measure", 0) == 0 and night.found() == before


@pytest.mark.slow
def test_a_target_renamed_by_hand_gets_a_folder_of_its_own_and_the_old_one_goes(night, tmp_path):
    def rename(table):
        table["target"][table["target"] == "WASP-0"] = "TOI-1"

    night.edit(rename)
    night.run()
    assert (night.red / "TOI-1" / "g" / "lightcurve.ecsv").is_file()
    assert differences(night.found(), night.fresh(tmp_path / "fresh", edited=True)) == []


@pytest.mark.slow
def test_what_an_observer_put_into_the_folder_stays(night):
    (night.red / "WASP-0" / "g" / "notes.txt").write_text("clouds at three")
    night.edit(lambda table: table["target"].__setitem__(table["target"] == "WASP-0", "TOI-1"))
    night.run()
    assert (night.red / "WASP-0" / "g" / "notes.txt").read_text() == "clouds at three"


class Renaming(Opticam):
    """A newer plugin, which reads the name of the target otherwise."""

    name = "OPTICAM"

    def describe(self, header, **asked):
        return tuple(
            replace(info, target=info.target.replace("WASP", "TOI"))
            for info in super().describe(header, **asked)
        )


@pytest.mark.slow
def test_an_untouched_night_table_is_no_edit_and_newer_rules_for_headers_are_obeyed(night):
    night.instrument = Renaming()
    report = night.run()
    assert [result.observed.target for result in report.sets] == ["TOI-0"]
    assert night.said == [
        f"TOI-0, C1 g{which}: all {n} to be redone: instrument changed"
        for which, n in ((", reference", 8), ("", 8))
    ]
    night.edit(lambda table: table["target"].__setitem__(table["target"] == "TOI-0", "mine"))
    night.instrument = Opticam()
    assert [result.observed.target for result in night.run().sets] == [
        "mine"
    ]  # an edit is one under any rules


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "measured", "said"),
    [
        ({"filter_": "none"}, 8, "all 8 to be redone: 3x3 filter changed"),
        ({"aperture": 1.7}, 0, "8 of 8 already done, nothing to do"),
        ({"radec": "124.6 25.3"}, 0, "8 of 8 already done, nothing to do"),
        ({"stars": 9}, 8, "all 8 to be redone: settings changed|all 8 to be redone: reference changed"),
    ],
    ids=["filter", "aperture", "radec", "stars"],
)
def test_another_option_does_again_what_depends_on_it(night, tmp_path, option, measured, said):
    before = night.found()
    night.run(**option)
    assert night.times.get("Measure", 0) == measured
    assert re.fullmatch(rf"{SET}: ({said})", night.said[-1])
    found = night.found()
    assert differences(found, night.fresh(tmp_path / "fresh")) == []
    assert found["WASP-0/g/lightcurve.ecsv"] != before["WASP-0/g/lightcurve.ecsv"]
    night.run(**dict.fromkeys(option, None) | {"stars": 150})
    assert night.found() == before


@pytest.mark.slow
def test_a_raw_file_whose_pixels_changed_is_measured_again_and_a_touched_one_is_not(night, tmp_path):
    changed, touched = night.frames()[1], night.frames()[2]  # neither is the reference
    with fits.open(changed, mode="update") as hdus:
        hdus[0].data = hdus[0].data + np.uint16(1)
    os.utime(touched)
    night.run()
    assert night.times["Measure"] == 1
    assert night.said[-1] == f"{SET}: 7 of 8 already done, 1 to do: 1 raw file changed"
    assert differences(night.found(), night.fresh(tmp_path / "fresh")) == []


@pytest.mark.slow
def test_another_calibration_frame_does_again_what_it_calibrates(night, tmp_path):
    dark = next(night.folder.glob("*dark*"))
    dark.unlink()
    night.run()
    assert night.said[-1] == f"{SET}: all 8 to be redone: masters changed"
    assert differences(night.found(), night.fresh(tmp_path / "fresh")) == []


@pytest.mark.slow
def test_a_spoilt_journal_costs_time_and_nothing_else(night):
    before = night.found()
    path = night.red / ".journal" / "journal.sqlite"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    night.run()
    assert night.found() == before
    shutil.rmtree(night.red / ".journal")
    night.run()
    assert night.found() == before and night.times["Measure"] == 8


@pytest.mark.slow
def test_a_frame_that_comes_while_a_run_goes_on_is_not_forgotten(night, tmp_path):
    late = night.frames()[2]
    late.rename(tmp_path / late.name)
    shutil.rmtree(night.red)
    heard = Heard()
    heard.begin = lambda what, total: (tmp_path / late.name).exists() and (tmp_path / late.name).rename(late)
    reduce_night(night.instrument, night.folder, options=night.options, progress=heard)
    assert late.exists()
    assert standing(night.instrument, night.folder, out=None, options=night.options) is None
    night.run()
    assert night.said[-1] == f"{SET}: 7 of 8 already done, 1 to do: 1 new"
    assert standing(night.instrument, night.folder, out=None, options=night.options) is not None


@pytest.mark.slow
def test_raw_files_are_what_they_were(night):
    before = digests(night.folder, without=("red/",))
    night.run(aperture=2.0)
    assert digests(night.folder, without=("red/",)) == before


# -- who else is there, and what there is no room for --------------------------------------------------------


def one_sentence(ran):
    assert ran.status == 1 and not ran.out and ran.err.count("\n") == 1 and "Traceback" not in ran.err
    return ran.err


def test_a_second_run_on_one_night_says_so_and_leaves(night):
    before = night.found()
    with Journal(night.red):
        said = one_sentence(run("OPTICAM", night.folder))
    assert f"another run is using this folder (process {os.getpid()})" in said
    assert night.found() == before


@pytest.mark.parametrize("place", [".journal", ".journal/journal.sqlite", ".journal/lock"])
def test_something_odd_in_the_place_of_the_journal_is_one_sentence(night, place):
    path = night.red / place
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.write_text("") if place == ".journal" else path.mkdir()
    assert "the journal cannot be written" in one_sentence(run("OPTICAM", night.folder))


def command(night, *words, **more):
    """The command in a process of its own."""
    line = [sys.executable, "-m", "potpyri_like", "OPTICAM", night.folder, "--jobs", "1", *words]
    return subprocess.Popen(
        [str(word) for word in line],
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of its own; the test is skipped where none can be mounted."""
    folder.mkdir()
    mount = shutil.which("mount")
    words = [mount or "", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if mount is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def whole_files(red):
    """Files under their final names that can be read to their end."""
    for path in red.rglob("*.fits"):
        with fits.open(path, memmap=False, checksum=True) as hdus:
            assert all(hdu.data is not None or hdu.header["NAXIS"] == 0 for hdu in hdus)
    for path in red.rglob("*.ecsv"):
        assert len(Table.read(path, format="ascii.ecsv"))


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [8, 60, 120, 300, 500, 700, 1000])
def test_a_full_disk_is_one_sentence_and_nothing_is_half_written(night, tmp_path, kilobytes):
    with small_disk(tmp_path / "disk", f"{kilobytes}k") as disk:
        ran = command(night, "--target-xy", night.options.target_xy, "--out", disk / "red")
        out, err = ran.communicate()
        lines = [line for line in err.splitlines() if not line.startswith(SET)]
        if ran.returncode == 0:
            pytest.skip("there was room enough")
        assert ran.returncode == 1 and not out, err
        assert len(lines) == 1 and re.match(r"reduce: .*(No space left|full|disk I/O)", lines[0]), err
        assert not list(disk.rglob(".writing_*"))
        whole_files(disk)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [1, 20, 60, 100, 160])
def test_a_limit_to_the_size_of_files_is_one_sentence_and_nothing_is_half_written(night, tmp_path, kilobytes):
    code = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes * 1000},) * 2);"
        "from potpyri_like.cli import main; main(sys.argv[1:])"
    )
    red = tmp_path / "red"
    words = ["OPTICAM", night.folder, "--jobs", 1, "--target-xy", night.options.target_xy, "--out", red]
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], env=ENV, capture_output=True, text=True, check=False
    )
    lines = [line for line in ran.stderr.splitlines() if not line.startswith(SET)]
    assert ran.returncode == 1 and not ran.stdout, ran.stderr
    assert len(lines) == 1 and lines[0].startswith("reduce: "), ran.stderr
    assert not list(red.rglob(".writing_*"))
    whole_files(red)
    night.fresh(tmp_path / "fresh")
    reduce_night(night.instrument, night.folder, out=red, options=night.options)
    assert (
        differences(digests(red, without=OF_EACH_RUN), digests(tmp_path / "fresh", without=OF_EACH_RUN)) == []
    )


@pytest.mark.slow
def test_a_read_only_folder_is_one_sentence(night, tmp_path):
    with small_disk(tmp_path / "disk", "20m") as disk:
        shutil.copytree(night.red, disk / "red")
        for red in (disk / "red", disk / "new"):
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            ran = command(night, "--out", red)
            out, err = ran.communicate()
            assert (
                ran.returncode == 1 and not out and "Read-only file system" in err and err.count("\n") == 1
            ), err
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


# -- cut off -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kills():
    """The benchmark that cuts runs off, as a module."""
    spec = importlib.util.spec_from_file_location("kills", ROOT / "benchmarks" / "kills.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["kills"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["kills"]


@pytest.mark.slow
def test_runs_cut_off_at_any_instant_lead_to_the_same_bytes(kills, tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "ENV", ENV)
    night = kills.simulated(tmp_path / "night", frames=24, jobs=2)
    trial = kills.Trial.of(night, tmp_path / "aside")
    assert len(trial.whole) >= 10 and set(trial.whole) == set(trial.earlier)
    assert trial.whole["WASP-0/g/lightcurve.ecsv"] != trial.earlier["WASP-0/g/lightcurve.ecsv"]
    chance = random.Random(7)
    cuts = 0
    for kind in (*kills.KINDS, *kills.KINDS):
        cut, same = trial.run(kind, chance)
        assert same, kind
        cuts += cut
    assert cuts >= 6


@pytest.mark.slow
@pytest.mark.parametrize("edit", ["leave out", "renamed"])
def test_a_run_cut_off_after_the_night_table_was_edited_forgets_no_edit(night, tmp_path, edit):
    def change(table):
        if edit == "leave out":
            table["status"][rows(table, night.frames()[2].name)] = "leave out"
        else:
            table["target"][table["target"] == "WASP-0"] = "TOI-1"

    night.edit(change)
    edited = tmp_path / "edited"
    shutil.copytree(night.folder, edited)
    night.run()
    wanted = night.found()
    for number in range(1, 8):  # killed in the middle of the writing of that product
        shutil.rmtree(night.folder)
        shutil.copytree(edited, night.folder)
        cut_after(night, number)
        night.run()
        assert differences(night.found(), wanted) == [], number


def cut_after(night, writes):
    """A run that is killed in the middle of the writing of one of its products."""
    code = f"""
import os, signal, sys
from potpyri_like import cli
from potpyri_like.run import output
output.draw = lambda pictures, runner: {{}}
left = {writes}
rename = os.rename
def counted(*names, **folders):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(*names, **folders)
os.rename = counted
cli.main(sys.argv[1:])
"""
    words = ["OPTICAM", night.folder, "--jobs", 1, "--target-xy", night.options.target_xy]
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], env=ENV, capture_output=True, text=True, check=False
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert list(night.red.rglob(".writing_*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [["--jobs", "1"], ["--jobs", "2"], ["--jobs", "2", "--scheduler", "local"]], ids=" ".join
)
def test_an_interrupt_ends_within_two_seconds_with_a_usable_state(first, tmp_path, how):
    shutil.copytree(first.folder, tmp_path / "night", ignore=shutil.ignore_patterns("red"))
    if "--scheduler" in how:
        pytest.importorskip("distributed")
    folder = tmp_path / "night"
    for n in range(8):
        for path in first.frames():
            another_exposure(path, folder / f"more{n}_{path.name}", minutes=0.7 * (n + 1), shift=n + 1)
    words = [
        sys.executable,
        "-m",
        "potpyri_like",
        "OPTICAM",
        folder,
        *how,
        "--target-xy",
        first.options.target_xy,
    ]
    for signal_ in (signal.SIGINT, signal.SIGTERM):
        ran = subprocess.Popen(
            [str(word) for word in words],
            env=ENV,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in ran.stderr:
            if "72 frames" in line or "already done" in line:
                break
        time.sleep(0.3)
        begun = time.monotonic()
        os.killpg(ran.pid, signal_)
        out, err = ran.communicate(timeout=20)
        assert time.monotonic() - begun < 2
        assert ran.returncode == 130 and not out
        assert err.splitlines()[-1:] == [
            "stopped; what is done is kept: the same command continues from there"
        ]
        assert "Traceback" not in err
        while left := [line for line in processes() if line.split()[1] == str(ran.pid)]:
            assert time.monotonic() - begun < 3, left
        assert not list(folder.rglob(".writing_*"))
    done = reduce_night(Opticam(), folder, options=first.options, progress=(heard := Heard()))
    assert any("already done" in line for line in heard.said) and done.exit_status in (0, 3)
    wanted = tmp_path / "fresh"
    reduce_night(Opticam(), folder, out=wanted, options=first.options)
    assert (
        differences(digests(folder / "red", without=OF_EACH_RUN), digests(wanted, without=OF_EACH_RUN)) == []
    )


def another_exposure(path, copy, *, minutes, shift):
    """The same stars, some pixels further and some minutes later: no copy of the frame."""
    with fits.open(path) as hdus:
        hdus[0].data = np.roll(hdus[0].data, shift, axis=1)
        header = hdus[0].header
        for card in ("UT", "GPSTIME"):
            if card in header:
                header[card] = (Time(header[card].strip()) + minutes * u.min).isot
        hdus.writeto(copy)


def processes():
    """Pid, process group and command of all processes that run; not of those that ended and wait to be counted off."""
    words = ["ps", "-ww", "-e", "-o", "pid=,pgid=,stat=,args="]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    split = [line.split(maxsplit=3) for line in found.splitlines()]
    return [f"{pid} {group} {''.join(command)}" for pid, group, state, *command in split if state[0] != "Z"]


# -- the same bytes, however it is computed ------------------------------------------------------------------


@pytest.mark.slow
def test_products_do_not_depend_on_the_number_of_workers(tmp_path):
    truth = small_night(tmp_path / "night", **{**TINY, "frames": 26})
    x, y = truth.target_xy["C1"]
    found = {}
    for jobs in (1, 2):
        options = Options(target_xy=f"C1:{x:.1f},{y:.1f}", jobs=jobs)
        report = reduce_night(Opticam(), tmp_path / "night", out=tmp_path / f"red{jobs}", options=options)
        assert report.exit_status == 0
        found[jobs] = digests(tmp_path / f"red{jobs}", without=OF_EACH_RUN)
    assert differences(found[1], found[2]) == [] and len(found[1]) > 10
