import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_night import digests, run, small_night
from test_runner import BOTH, WHAT, Deadly, Recording, Weigh, frames, ran, red, setup, weights  # noqa: F401

import potpyri_like
from potpyri_like.errors import ReductionError, UsageError
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.options import Options
from potpyri_like.run import workers as workers_module
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.runner import Runner
from potpyri_like.run.workers import Cluster, Shared, WorkerDied, workers
from potpyri_like.store import Output

distributed = pytest.importorskip("distributed")
ENV = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(potpyri_like.__file__).parents[1]), str(Path(__file__).parent)]),
}


@pytest.fixture(scope="module")
def local():
    """A cluster of two workers on this machine, used by several runs."""
    cluster = Cluster("local", 2)
    yield cluster
    cluster.shutdown(cancel_futures=True)


def process(x=0):
    return os.getpid()


def nap(seconds):
    time.sleep(seconds)


def total(shared):
    return sum(shared.value)


def leave():
    os._exit(3)


def raise_(error):
    raise error


def threads():
    return os.environ.get("OMP_NUM_THREADS")


# -- what cannot be reached ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_address_where_nobody_answers_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(workers_module, "CONNECT", "0.3s")
    small_night(tmp_path / "night", frames=1, size=(64, 64), stars=0, comparisons=1)
    done = run("OPTICAM", tmp_path / "night", "--scheduler", "tcp://127.0.0.1:1")
    assert done.status == 1 and not done.out and done.err.count("\n") == 1
    assert done.err.startswith("reduce: --scheduler tcp://127.0.0.1:1: no Dask scheduler answers there (")
    assert "as in tcp://10.0.0.1:8786, or local" in done.err


@pytest.mark.parametrize(
    "address", ["nonsense", "", "http://127.0.0.1:1", "tcp://127.0.0.1:99999", "local:3"]
)
def test_what_is_no_address_is_told(address, monkeypatch):
    monkeypatch.setattr(workers_module, "CONNECT", "0.2s")
    with pytest.raises(ReductionError, match=f"--scheduler {address}: no Dask scheduler answers there"):
        Cluster(address, None)


def test_without_dask_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UsageError, match=r"pip install 'potpyri-like\[cluster\]'"),
        workers(2, "local", most=9),
    ):
        pass


# -- tasks ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tasks_run_on_single_threaded_workers_and_errors_come_back_as_themselves(local):
    at_work = {local.submit(process, x).result(30) for x in range(8)}
    assert os.getpid() not in at_work and len(at_work) <= 2
    assert local.submit(threads).result(30) == "1"
    raised = local.submit(raise_, ReductionError("no")).exception(30)
    assert type(raised) is ReductionError and str(raised) == "no"
    assert len({local.submit(process).result(30) for _ in range(2)}) >= 1  # equal tasks are not taken for one


@pytest.mark.slow
def test_a_task_that_kills_its_workers_ends_in_worker_died_and_the_others_are_unharmed(local):
    others = [local.submit(abs, -x) for x in range(10)]
    with pytest.raises(WorkerDied, match="lost from the cluster, most likely out of memory"):
        local.submit(leave).result(60)
    assert [other.result(30) for other in others] == list(range(10))


@pytest.mark.slow
def test_a_frame_that_kills_its_workers_is_rejected_and_the_others_are_unharmed(red, frames, local):  # noqa: F811
    outcomes, runner, _ = ran(red, frames(*"abcdef"), (Deadly(victim="c.fits"),), executor=local)
    assert outcomes[2].rejected and outcomes[2].died and "most likely out of memory" in outcomes[2].reason
    assert [w for w in weights(outcomes) if w] == [(n, n + 1) for n in (0, 1, 3, 4, 5)] and not runner.settled


@pytest.mark.slow
def test_workers_that_have_all_gone_are_started_anew(local, monkeypatch):
    monkeypatch.setattr(workers_module, "GONE", 2.0)
    local._own.scale(0)
    assert local.submit(process).result(60) != os.getpid()


@pytest.mark.slow
def test_outcomes_are_those_of_this_process(red, frames, local):  # noqa: F811
    infos = frames("a", "rejected", "lost", "b", "bug", *"cdefgh")
    here, *_ = ran(red, infos)
    there, *_ = ran(red.parent, infos, executor=local)
    assert weights(here) == weights(there) and [o.reason for o in here] == [o.reason for o in there]


@pytest.mark.slow
def test_workers_that_outlive_a_run_take_nothing_from_it_to_the_next(red, frames, local):  # noqa: F811
    infos = frames(*"abcdef")
    for factor in (1.0, 2.0, 3.0):
        with Runner(Output(red), Options(), Recording(), local) as runner:
            outcomes = runner.run_frames(infos, (Weigh(factor=factor),), setup(), what=WHAT)
        assert weights(outcomes) == [(factor * n, factor * (n + 1)) for n in range(6)]


@pytest.mark.slow
def test_what_tasks_share_survives_the_worker_that_had_it(local):
    shared = Shared("numbers", list(range(5)))
    assert local.submit(total, shared).result(240) == 10
    with pytest.raises(WorkerDied):
        local.submit(leave).result(240)
    assert [local.submit(total, shared).result(240) for _ in range(4)] == [10] * 4


@pytest.mark.slow
def test_what_tasks_share_is_let_go_when_others_came(local):
    for number in range(10):
        assert local.submit(total, Shared(f"number {number}", [number])).result(60) == number
    assert len(local._shared) <= workers_module.KEPT


def close_eyes(folder):
    """Let a worker see a folder no more, as one on which the disk is not mounted."""
    open_ = Path.open

    def unseen(self, *how, **more):
        if folder in str(self) and "fits" in self.name:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return open_(self, *how, **more)

    Path.open = unseen


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_night_costs_no_frame(tmp_path):
    small_night(tmp_path / "night", frames=16, size=(160, 160))
    cluster = Cluster("local", 2)
    try:
        address = next(iter(cluster._client.nthreads()))
        cluster._client.run(close_eyes, str(tmp_path / "night"), workers=[address])
        heard = Recording()
        report = reduce_night(
            Opticam(), tmp_path / "night", options=Options(fit="none"), executor=cluster, progress=heard
        )
        (result,) = report.sets
        assert len(result.series.frames) == 16 and np.isfinite(result.series.flux).any(axis=(1, 2)).all()
        assert not report.all_problems or not any("cannot be read" in p.why for p in report.all_problems)
        told = [said for said in heard.said if "it is given no more frames" in said]
        assert len(told) in (1, 2) and all(said.startswith(f"worker {address} cannot read") for said in told)
        cluster._client.run(close_eyes, str(tmp_path / "night"))  # now neither sees it
        again = reduce_night(
            Opticam(), tmp_path / "night", options=Options(fit="none"), executor=cluster, redo=True
        )
        assert np.array_equal(again.sets[0].series.flux, result.series.flux, equal_nan=True)
    finally:
        cluster.shutdown(cancel_futures=True)


# -- a cluster of others -------------------------------------------------------------------------------------


@pytest.fixture
def theirs(tmp_path):
    """A scheduler and a worker in processes of their own: the processes, and the address."""
    address = tmp_path / "scheduler.json"
    quiet = {"env": ENV, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    common = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen(
        [*common, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(address)],
        **quiet,
    )
    worker = subprocess.Popen(
        [
            *(sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(address)),
            *("--no-dashboard", "--nthreads", "1", "--no-nanny"),
        ],
        **quiet,
    )
    try:
        end = time.monotonic() + 30
        while not address.exists() and time.monotonic() < end:
            time.sleep(0.05)
        yield scheduler, worker, json.loads(address.read_text())["address"]
    finally:
        for each in (worker, scheduler):
            each.kill()
            each.wait()


@pytest.mark.slow
def test_a_night_is_reduced_on_a_cluster_that_somebody_else_started_and_goes_on(theirs, tmp_path):
    _, worker, address = theirs
    small_night(tmp_path / "night", frames=6, size=(160, 160))
    for option, count in (({}, 6), ({"aperture": 2.0}, 6), ({"filter_": "none"}, 6)):
        report = reduce_night(
            Opticam(), tmp_path / "night", options=replace(Options(scheduler=address), **option), redo=True
        )
        own = reduce_night(
            Opticam(), tmp_path / "night", out=tmp_path / "own", options=Options(jobs=1, **option), redo=True
        )
        assert report.timing.times["Measure"] == count and report.exit_status == own.exit_status
        names = [name for name in digests(tmp_path / "own") if name.endswith((".fits", "curve.ecsv"))]
        assert names
        for name in names:
            assert (tmp_path / "own" / name).read_bytes() == (
                tmp_path / "night" / "red" / name
            ).read_bytes(), name
    assert worker.poll() is None


@pytest.mark.slow
def test_a_scheduler_that_goes_in_the_middle_of_a_run_is_told_and_nobody_waits_for_ever(theirs):
    scheduler, _, address = theirs
    cluster = Cluster(address, None)
    try:
        tasks = [cluster.submit(nap, 60) for _ in range(3)]
        scheduler.send_signal(signal.SIGKILL)
        for task in tasks:
            with pytest.raises(ReductionError, match="the Dask scheduler was lost"):
                task.result(60)
    finally:
        cluster.shutdown(cancel_futures=True)


# -- the same bytes ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_products_are_those_of_one_process_byte_for_byte(tmp_path):
    truth = small_night(tmp_path / "night", frames=14, size=(160, 160), comparisons=8, drift=4.0)
    x, y = truth.target_xy["C2"]
    found = []
    for how in ({"jobs": 1}, {"jobs": 2, "scheduler": "local"}):
        options = Options(target_xy=f"C2:{x:.1f},{y:.1f}", **how)
        report = reduce_night(
            Opticam(), tmp_path / "night", out=tmp_path / f"red{len(found)}", options=options
        )
        assert report.exit_status == 0
        found.append(digests(tmp_path / f"red{len(found)}", without=("log/", "run.json", ".journal/")))
    assert sorted(dict(found[0].items() ^ found[1].items())) == [] and len(found[0]) > 10
