import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Executor, wait
from pathlib import Path

import numpy as np
import pytest

import potpyri_like
from potpyri_like.errors import FrameError
from potpyri_like.run.workers import LIBRARY_THREADS, Pool, Shared, Worker, WorkerDied, workers

PATIENCE = 30


@pytest.fixture(scope="module")
def pool():
    pool = Pool(2)
    yield pool
    pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def pool_of(count):
    """A pool whose processes are gone afterwards, whatever came."""
    pool = Pool(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def children(parent=None):
    """Processes of worker pools that a process started."""
    parent = os.getpid() if parent is None else parent
    found = subprocess.run(
        ["ps", "-A", "-ww", "-o", "ppid=,pid=,args="], capture_output=True, text=True, check=False
    )
    lines = [line.split(maxsplit=2) for line in found.stdout.splitlines()]
    return {
        int(pid) for above, pid, *words in lines if int(above) == parent and "spawn_main" in "".join(words)
    }


def is_alive(pid):
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) and not found.stdout.strip().startswith("Z")


def until(condition, seconds=10):
    """Wait until something holds; whether it does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


# -- what runs in the workers --------------------------------------------------------------------------------


def square(x):
    return x * x


def process(x=0):
    return os.getpid()


def nap(seconds, begun=None):
    if begun is not None:
        Path(begun).touch()
    time.sleep(seconds)
    return os.getpid()


def die_once(marker):
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def die(how):
    os.kill(os.getpid(), how)


def leave(status):
    os._exit(status)


def raise_(error):
    raise error


def unpicklable(what):
    return what and (lambda: None)


class Stubborn(Exception):
    """An exception that cannot be made again from its arguments."""

    def __init__(self, name, other):
        super().__init__(f"{name} and {other}")


def raise_stubborn():
    raise Stubborn("this", "that")


def threads():
    return {name: os.environ.get(name) for name in LIBRARY_THREADS}


def handler():
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


# -- results -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pool_gives_what_the_function_gives_here():
    before = children()
    with pool_of(2) as pool:
        assert isinstance(pool, Executor)
        assert list(pool.map(square, range(40))) == [square(x) for x in range(40)]
        assert len(children() - before) == 2


@pytest.mark.slow
def test_tasks_run_in_other_processes_each_one_at_a_time(pool):
    at_work = {pool.submit(nap, 0.05).result() for _ in range(3)} | set(pool.map(nap, [0.05] * 6))
    assert os.getpid() not in at_work and at_work <= children()


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [FrameError("a.fits: spoilt"), ValueError("no"), OSError(28, "No space left"), MemoryError()],
    ids=repr,
)
def test_an_exception_comes_back_as_itself(pool, error):
    before = children()
    raised = pool.submit(raise_, error).exception(PATIENCE)
    assert type(raised) is type(error) and raised.args == error.args
    assert before <= children(), "no worker died of it"


def test_an_exception_that_does_not_survive_the_way_comes_back_as_its_text(pool):
    raised = pool.submit(raise_stubborn).exception(PATIENCE)
    assert str(raised) == "Stubborn: this and that"
    assert pool.submit(square, 3).result(PATIENCE) == 9


def test_a_result_that_cannot_be_sent_is_an_exception_and_the_worker_lives(pool):
    assert pool.submit(square, 3).result(PATIENCE) == 9  # a worker is there
    before = children()
    raised = pool.submit(unpicklable, True).exception(PATIENCE)
    assert "pickle" in str(raised).lower() and not isinstance(raised, WorkerDied)
    assert pool.submit(unpicklable, False).result(PATIENCE) is False
    assert before <= children(), "no worker died of it"


def test_arguments_or_functions_that_cannot_be_sent_are_exceptions(pool):
    for task in [(square, lambda: None), (lambda: None,)]:
        raised = pool.submit(*task).exception(PATIENCE)
        assert "pickle" in str(raised).lower() and not isinstance(raised, WorkerDied)
    assert pool.submit(square, 3).result(PATIENCE) == 9


def test_a_function_that_workers_do_not_have_is_an_exception(pool, monkeypatch):
    module = type(sys)("only_here")
    exec("def function(): pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    assert isinstance(pool.submit(module.function).exception(PATIENCE), ModuleNotFoundError)


def test_arguments_by_name_are_rejected(pool):
    with pytest.raises(RuntimeError, match="arguments by name"):
        pool.submit(square, x=3)


def test_large_arguments_and_results_pass(pool):
    content = os.urandom(5_000_000)
    assert pool.submit(bytes.swapcase, content).result(PATIENCE) == content.swapcase()


def test_libraries_have_one_thread_in_the_workers_and_what_they_had_here(pool, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with pool_of(1) as own:
        assert own.submit(threads).result(PATIENCE) == dict.fromkeys(LIBRARY_THREADS, "1")
        assert dict(os.environ) == before
        assert own.submit(handler).result(PATIENCE)  # Ctrl-C is the first process's to hear


# -- workers that die ----------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_replaced_and_its_task_tried_once_more(pool, tmp_path):
    others = [pool.submit(square, x) for x in range(10)]
    assert pool.submit(die_once, tmp_path / "marker").result(PATIENCE) == "survived"
    assert [other.result(PATIENCE) for other in others] == [x * x for x in range(10)]


def test_a_task_that_kills_twice_ends_in_worker_died_and_the_others_are_unharmed(pool):
    before = [pool.submit(nap, 0.01) for _ in range(4)]
    deadly = pool.submit(die, signal.SIGKILL)
    after = [pool.submit(square, x) for x in range(10)]
    with pytest.raises(WorkerDied, match=r"^killed, most likely out of memory$"):
        deadly.result(PATIENCE)
    assert all(task.exception(PATIENCE) is None for task in before)
    assert [task.result(PATIENCE) for task in after] == [x * x for x in range(10)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "told"),
    [
        ((die, signal.SIGSEGV), "ended by signal SIGSEGV"),
        ((leave, 7), "ended with status 7"),
        ((leave, 0), "ended with status 0"),
    ],
    ids=["signal", "status", "silently"],
)
def test_how_a_worker_ended_is_told(pool, task, told):
    assert str(pool.submit(*task).exception(PATIENCE)) == told


@pytest.mark.slow
def test_a_worker_killed_while_idle_is_replaced(pool):
    at_work = {pool.submit(process).result(PATIENCE) for _ in range(2)}
    for pid in at_work:
        os.kill(pid, signal.SIGKILL)
    assert [pool.submit(square, x).result(PATIENCE) for x in range(4)] == [0, 1, 4, 9]


def test_a_process_that_cannot_be_started_is_told_and_nobody_waits_for_ever(monkeypatch):
    def refuse(self):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(Worker, "__init__", refuse)
    with pool_of(1) as pool:
        raised = pool.submit(square, 3).exception(PATIENCE)
        assert isinstance(raised, WorkerDied) and "Resource temporarily unavailable" in str(raised)


# -- the end -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pool_ends_when_all_its_tasks_are_done():
    pool = Pool(2)
    tasks = [pool.submit(nap, 0.02) for _ in range(6)]
    at_work = {task.result(PATIENCE) for task in tasks[:1]}
    pool.shutdown()
    at_work |= {task.result(0) for task in tasks}
    assert not any(map(is_alive, at_work))
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(square, 3)


@pytest.mark.slow
def test_a_pool_can_be_cancelled_in_the_middle_of_long_tasks(tmp_path):
    before = children()
    pool = Pool(2)
    tasks = [pool.submit(nap, 60, tmp_path / f"{n}") for n in range(6)]
    assert until(lambda: len(list(tmp_path.iterdir())) == 2)
    own = children() - before
    assert len(own) == 2
    begun = time.monotonic()
    pool.shutdown(wait=False, cancel_futures=True)
    assert time.monotonic() - begun < 2
    assert until(lambda: not any(map(is_alive, own)), 2)
    assert not wait(tasks, timeout=2).not_done
    assert sum(task.cancelled() for task in tasks) == 4
    assert all(isinstance(task.exception(), WorkerDied) for task in tasks if not task.cancelled())


def test_a_pool_that_never_worked_ends_at_once():
    pool = Pool(3)
    pool.shutdown()
    assert not any(thread.is_alive() for thread in pool._threads)


@pytest.mark.slow
def test_an_error_while_a_pool_is_open_ends_it_at_once(tmp_path):
    begun = time.monotonic()
    before = children()
    with pytest.raises(KeyboardInterrupt), workers(1 + 1, most=2) as pool:
        pool.submit(nap, 60, tmp_path / "begun")
        assert until((tmp_path / "begun").exists)
        own = children() - before
        raise KeyboardInterrupt
    assert time.monotonic() - begun < 10
    assert own and until(lambda: not any(map(is_alive, own)), 2)


def test_one_process_or_too_few_frames_need_no_pool():
    for jobs, most in [(1, 50), (4, 1), (4, 0), (None, 0)]:
        with workers(jobs, most=most) as executor:
            assert executor is None
    with workers(8, most=3) as executor:
        assert isinstance(executor, Pool) and executor.count == 3


PARENT = """
    import sys, time
    sys.path.insert(0, {folder!r})
    if __name__ == "__main__":
        from potpyri_like.run.workers import Pool
        from test_workers import nap
        pool = Pool(2)
        tasks = [pool.submit(nap, 60, sys.argv[1] + str(n)) for n in range(2)]
        time.sleep(60)
"""


@pytest.fixture
def busy_parent(tmp_path):
    """A process of its own group whose two workers are in the middle of long tasks, and their ids."""
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT.format(folder=str(Path(__file__).parent))))
    env = {**os.environ, "PYTHONPATH": str(Path(potpyri_like.__file__).parents[1])}
    words = [sys.executable, script, tmp_path / "begun"]
    parent = subprocess.Popen(words, env=env, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        assert until(lambda: (tmp_path / "begun0").exists() and (tmp_path / "begun1").exists(), PATIENCE)
        yield parent, children(parent.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()


@pytest.mark.slow
def test_workers_vanish_with_a_parent_that_is_killed(busy_parent):
    parent, own = busy_parent
    assert len(own) == 2 and all(map(is_alive, own))
    parent.kill()
    parent.wait()
    assert until(lambda: not any(map(is_alive, own)), 3)


@pytest.mark.slow
def test_an_interrupt_leaves_workers_alone_and_silent(busy_parent):
    parent, own = busy_parent
    for pid in own:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert all(map(is_alive, own)) and parent.poll() is None
    os.kill(parent.pid, signal.SIGINT)
    assert parent.wait(PATIENCE) != 0
    assert until(lambda: not any(map(is_alive, own)), 3)
    assert parent.stderr.read().count("Traceback") == 1  # that of the parent, which does not catch it


@pytest.mark.slow
def test_an_interrupt_while_workers_start_makes_no_noise(capfd):
    with pool_of(2) as pool:
        before = children()
        tasks = [pool.submit(square, x) for x in range(4)]
        assert until(lambda: children() - before)
        for pid in children() - before:
            os.kill(pid, signal.SIGINT)
        assert [task.result(PATIENCE) for task in tasks] == [0, 1, 4, 9]
    assert capfd.readouterr().err == ""


def test_no_thread_is_left_over():
    names = [thread for thread in threading.enumerate() if thread.daemon and "_serve" in thread.name]
    assert len(names) <= 2  # those of the pool that the tests of this module share


# -- what many tasks have in common ---------------------------------------------------------------------------


def total(shared):
    array, factor = shared.value
    array += 0  # it can be written to, as one that was pickled within its task
    return factor * float(array.sum())


def total_or_die(shared, path):
    if not Path(path).exists():
        Path(path).touch()
        os._exit(1)
    return total(shared)


class Unreadable:
    """Cannot be unpickled."""

    def __reduce__(self):
        return int, ("no number",)


def test_what_tasks_share_arrives_whole_whatever_the_order_of_the_tasks(pool):
    shared = [Shared(str(n), (np.arange(1000.0), n)) for n in range(3)]
    shared.append(Shared("empty", (np.empty(0), 1)))
    order = np.random.default_rng(3).integers(0, len(shared), 60)
    tasks = [pool.submit(total, shared[n]) for n in order]
    sums = [0.0, 499500.0, 999000.0, 0.0]
    assert [task.result(PATIENCE) for task in tasks] == [sums[n] for n in order]


def test_the_successor_of_a_worker_that_died_is_given_what_tasks_share(pool, tmp_path):
    shared = Shared("again", (np.ones(10), 2))
    task = pool.submit(total_or_die, shared, tmp_path / "died")
    assert task.result(PATIENCE) == 20


def test_what_cannot_be_unpickled_in_a_worker_is_raised_by_each_task_and_the_workers_go_on(pool):
    bad = Shared("bad", (Unreadable(), 1))
    for _ in range(5):
        with pytest.raises(ValueError, match="no number"):
            pool.submit(total, bad).result(PATIENCE)
        assert pool.submit(square, 3).result(PATIENCE) == 9
    assert pool.submit(total, Shared("good", (np.ones(3), 1))).result(PATIENCE) == 3


def test_what_cannot_be_pickled_is_raised_by_its_task(pool):
    with pytest.raises(Exception, match=r"pickle|local object"):
        pool.submit(total, Shared("local", lambda: 0)).result(PATIENCE)
    assert pool.submit(square, 3).result(PATIENCE) == 9
