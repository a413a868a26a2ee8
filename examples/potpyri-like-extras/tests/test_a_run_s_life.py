"""The extras' recipe through a run's life: killed and taken up again, on a cluster, watched, verified, explained."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import potpyri_like_extras as extras
import pytest

import potpyri_like
from potpyri_like.cli import main
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.run import arrivals
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.recipe import options_type
from potpyri_like.testing import NightPlan, simulate_night

pytestmark = pytest.mark.slow

FRAMES = 6  # of each of two cameras
OPTIONS = {"recipe": "skycheck", "box": 16, "jobs": 1, "fit": "none", "animation": "no"}
PLACES = [str(Path(extras.__file__).parent), str(Path(potpyri_like.__file__).parents[1])]
KILLED = """
import os, signal, sys
import potpyri_like_extras as extras
from potpyri_like import cli
from potpyri_like.run import journal
journal.COMMIT_SECONDS = 0  # what is done is kept at once
measure, left = extras.MeasureUnevenness.__call__, 5
def killed(self, frame, setup):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(self, frame, setup)
extras.MeasureUnevenness.__call__ = killed
cli.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("life") / "night"
    plan = NightPlan(frames=FRAMES, size=(256, 256), binning=(2, 2), hours=1.0, bands=("g", "r"))
    truth = simulate_night(Opticam(), folder, plan)
    camera, (x, y) = next(iter(truth.target_xy.items()))
    return folder, f"{camera}:{x:.1f},{y:.1f}"


@pytest.fixture
def night(raw, tmp_path):
    shutil.copytree(raw[0], tmp_path / "night")
    return tmp_path / "night"


@pytest.fixture(scope="module")
def words(raw):
    """The options on the command line."""
    return [f"--{name}={value}" for name, value in OPTIONS.items()] + [f"--target-xy={raw[1]}"]


@pytest.fixture(scope="module")
def wanted(raw, words, tmp_path_factory):
    """The products of a run that nothing befell."""
    folder = tmp_path_factory.mktemp("whole") / "night"
    shutil.copytree(raw[0], folder)
    assert command("OPTICAM", folder, *words) == 0
    found = products(folder)
    assert {"WASP-0/balance.ecsv", "WASP-0/g/unevenness.ecsv", "WASP-0/r/unevenness.png"} <= set(found)
    return found


def command(*words):
    """The exit status of `reduce`, run in this process."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return stop.value.code


def products(folder):
    """SHA-256 of what is made; without what tells the time or how it was asked for."""
    red = folder / "red"
    files = {path.relative_to(red).as_posix(): path for path in red.rglob("*") if path.is_file()}
    apart = (".journal/", "log/", "run.json", "report.html")
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(files.items())
        if not name.startswith(apart)
    }


def test_a_run_that_was_killed_goes_on_to_the_same_products(raw, night, words, wanted):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "OPTICAM", str(night), *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PLACES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (night / "red" / "run.json").exists()
    options = options_type()().merged({**OPTIONS, "target_xy": raw[1]}, where="test")
    done = reduce_night(Opticam(), night, options=options).timing.times
    assert done["MeasureUnevenness"] == 2 * FRAMES - 4, "four frames were done before the kill"
    assert products(night) == wanted


def test_it_runs_on_a_cluster(night, words, wanted):
    distributed = pytest.importorskip("distributed")
    more = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 60}
    with distributed.LocalCluster(n_workers=1, **more) as cluster:
        assert command("OPTICAM", night, *words, f"--scheduler={cluster.scheduler_address}") == 0
    assert products(night) == wanted


def test_it_is_watched(night, words, wanted, monkeypatch):
    monkeypatch.setattr(arrivals, "QUIET", 0.2)
    assert command("watch", "OPTICAM", night, *words, "--idle", 0.01) == 0
    assert products(night) == wanted


def test_it_is_verified_and_explained(night, words, capsys):
    assert command("OPTICAM", night, *words) == 0
    capsys.readouterr()
    assert command("verify", night, "--all", "--jobs", 1) == 0
    told = capsys.readouterr().out
    assert f"frames recomputed: {2 * FRAMES}, all unchanged" in told and "products recreated" in told
    assert command("explain", night, "aperture") == 0 and "aperture" in capsys.readouterr().out

    table = night / "red" / "WASP-0" / "g" / "unevenness.ecsv"
    table.write_text(table.read_text() + "x 1\n")
    assert command("verify", night, "--seed", 1, "--jobs", 1) == 3
    assert "WASP-0/g/unevenness.ecsv: changed" in capsys.readouterr().out
