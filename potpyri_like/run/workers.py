"""Process frames in this process, in a pool of processes, or on a Dask cluster.

All of them behind one interface, `concurrent.futures.Executor`. A worker that dies is replaced and its task tried
once more; a task that kills twice ends in a `WorkerDied`.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from multiprocessing.resource_tracker import ensure_running
from queue import SimpleQueue
from typing import Any

from potpyri_like.errors import ReductionError, UsageError

__all__ = [
    "CONNECT",
    "GONE",
    "KEPT",
    "LIBRARY_THREADS",
    "Cluster",
    "Pool",
    "Shared",
    "Worker",
    "WorkerDied",
    "here",
    "usable_cores",
    "workers",
]

log = logging.getLogger(__name__)

LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_TRIES = 2
_LOCAL = "local"
_LOOK, GONE = (
    2.0,
    20.0,
)  # s: between two looks at a local cluster; without any worker, until they are restarted
CONNECT = "10s"
KEPT = 4  # values that tasks share, on a cluster: a night that goes on returns to each of its observations
_MAY_GROW_TO = 16  # workers for whom tasks are held ready on a cluster that has fewer
_Task = tuple[Future, Callable[..., object], tuple[object, ...]]


class WorkerDied(BrokenExecutor):
    """A task killed every worker that tried it."""


@dataclass(frozen=True, eq=False)
class Shared:
    """What many tasks have in common, as one of their arguments: it reaches each worker once.

    Attributes
    ----------
    key : str
        The same key, the same value.
    value : object
        It can be pickled. None on the way to a worker that has it.
    """

    key: str
    value: Any = None


@contextmanager
def workers(jobs: int | None, scheduler: str | None = None, *, most: int) -> Iterator[Executor | None]:
    """What runs a night's frames; None where this process does it alone.

    Parameters
    ----------
    jobs : int or None
        Processes; None: one for each core.
    scheduler : str or None
        Address of a Dask scheduler, or "local" to start one.
    most : int
        More processes than this are not worth starting.

    Raises
    ------
    UsageError
        Dask is not installed.
    ReductionError
        The scheduler does not answer.
    """
    count = min(jobs or usable_cores(), most)
    if scheduler is not None:
        executor: Executor = Cluster(scheduler, jobs)
    elif count > 1:
        executor = Pool(count)
    else:
        yield None
        return
    done = False
    try:
        yield executor
        done = True
    finally:
        executor.shutdown(wait=done, cancel_futures=not done)


def usable_cores() -> int:
    """The number of cores that this process may use; where the system does not report it (macOS), of all cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool(Executor):
    """Single-threaded processes, each with one task at a time.

    Unlike the pool of the standard library it outlives its processes, and knows which task a dead one had. They start
    with the first tasks, and end with this process however that ends.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._closing = threading.Event()
        self._workers: list[Worker] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]
        atexit.register(self._closing.set)  # nobody is hired any more when the interpreter dismisses all
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., object], /, *args: object, **kwargs: object) -> Future:
        """Run a function of a module in one of the processes; arguments by position only."""
        if kwargs or self._closing.is_set():
            raise RuntimeError("a closed pool, or arguments by name" if kwargs else "the pool is closed")
        future: Future = Future()
        self._tasks.put((future, fn, args))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: when all tasks are done, or at once where they are cancelled."""
        if cancel_futures:
            self._closing.set()
        for _ in self._threads:
            self._tasks.put(None)
        if cancel_futures:
            with self._lock:
                for worker in self._workers:
                    worker.kill()
        if wait or cancel_futures:
            for thread in self._threads:
                thread.join(timeout=None if wait else 1.0)
        self._closing.set()
        atexit.unregister(self._closing.set)

    def _serve(self) -> None:
        """One thread: a process and its tasks, one after the other."""
        _deaf()  # the process, too, while it starts
        worker = None
        while (task := self._tasks.get()) is not None:
            future, function, arguments = task
            if self._closing.is_set():
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            for attempt in range(_TRIES):
                try:
                    worker = worker or self._hire()
                    good, value = worker.work(function, arguments)
                except OSError as error:
                    good, value = False, WorkerDied(f"no process can be started ({error})")
                except EOFError:
                    assert worker is not None
                    cause = self._dismiss(worker)
                    worker = None
                    if attempt + 1 == _TRIES or self._closing.is_set():
                        future.set_exception(WorkerDied(cause))
                        break
                    continue
                except Exception as error:  # noqa: BLE001  (it is raised where the result is asked for)
                    good, value = False, error
                future.set_result(value) if good else future.set_exception(value)
                break
        if worker is not None:
            self._dismiss(worker)

    def _hire(self) -> Worker:
        worker = Worker()
        with self._lock:
            self._workers.append(worker)
        if self._closing.is_set():
            worker.kill()
        return worker

    def _dismiss(self, worker: Worker) -> str:
        """How a worker that is not needed, or not there any more, ended."""
        with self._lock:
            self._workers.remove(worker)
        return worker.end()


class Worker:
    """One process, at the other end of a pipe."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.here, there = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(there,), daemon=True)
        with _single_threaded():
            self.process.start()
        there.close()
        self._shown = ""

    def work(self, function: Callable[..., object], arguments: tuple[object, ...]) -> tuple[bool, Any]:
        """Whether the function came to an end, and its value or its exception.

        Raises
        ------
        EOFError
            The process is gone.
        """
        try:
            for shared in (each for each in arguments if isinstance(each, Shared)):
                self._show(shared)
            self.here.send((function, [_named(each) for each in arguments]))
            return self.here.recv()
        except OSError as error:
            raise EOFError from error

    def _show(self, shared: Shared) -> None:
        """Send what tasks have in common, arrays as they lie in memory, unless it was the last that was sent."""
        if shared.key == self._shown:
            return
        buffers: list[pickle.PickleBuffer] = []
        content = pickle.dumps(shared, protocol=5, buffer_callback=buffers.append)
        arrays = [buffer.raw() for buffer in buffers]
        self.here.send([array.nbytes for array in arrays])
        self.here.send_bytes(content)
        for array in arrays:
            self.here.send_bytes(array)
        self._shown = shared.key

    def kill(self) -> None:
        self.process.kill()

    def end(self) -> str:
        """Let it go; how it ended."""
        self.here.close()
        self.process.join()
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL:
            return "killed, most likely out of memory"
        return f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _serve(there: Connection) -> None:
    """The life of a worker: until nobody is at the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first of them decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    said: bytes | memoryview
    has = _Shown()
    with suppress(EOFError, OSError):
        while True:
            content = there.recv_bytes()
            try:
                task = pickle.loads(content)
                if isinstance(task, list):
                    has.receive(there, task)
                    continue
                function, arguments = task
                said = ForkingPickler.dumps((True, function(*map(has.whole, arguments))))
            except Exception as error:  # noqa: BLE001  (it is raised in the process that asked)
                said = _pickled(error)
            there.send_bytes(said)


def _named(argument: object) -> object:
    """An argument of a task for a worker that has what tasks have in common."""
    return Shared(argument.key) if isinstance(argument, Shared) else argument


class _Shown:
    """The last value that a worker was given for many tasks; decoded with the first of them."""

    def __init__(self) -> None:
        self._parts: tuple[bytes, list[bytearray]] | None = None
        self._value: Shared | None = None

    def receive(self, there: Connection, sizes: Sequence[int]) -> None:
        """Take a value, with arrays of so many bytes in it; the one before is let go first."""
        self._parts = self._value = None
        arrays = [bytearray(size) for size in sizes]
        content = there.recv_bytes()
        for array in arrays:
            there.recv_bytes_into(array)
        self._parts = content, arrays

    def whole(self, argument: object) -> object:
        """An argument of a task as it was given."""
        if not isinstance(argument, Shared):
            return argument
        if self._value is None and self._parts is not None:
            content, arrays = self._parts
            self._value = pickle.loads(content, buffers=arrays)
        return self._value


def _pickled(error: Exception) -> bytes:
    """That a task came to an error, for the process that asked; of one that does not survive the way, its text."""
    try:
        content = pickle.dumps((False, error))
        pickle.loads(content)
    except Exception:  # noqa: BLE001  (whatever an exception's own code raises)
        content = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return content


def _end_with_parent() -> None:
    """End this process with the one that started it, in the middle of a task, too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_starting = threading.Lock()


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Keep the numerical libraries of processes started meanwhile to one thread each."""
    with _starting:
        before = {name: os.environ.get(name) for name in LIBRARY_THREADS}
        os.environ.update(dict.fromkeys(LIBRARY_THREADS, "1"))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


class Cluster(Executor):
    """A Dask cluster; its workers see the night and the output folder under the same names.

    Parameters
    ----------
    scheduler : str
        Its address, or "local": one is started, and ends with the run.
    jobs : int or None
        Processes of a local one.
    """

    def __init__(self, scheduler: str, jobs: int | None) -> None:
        try:
            import dask
            import distributed
            from distributed.gc import disable_gc_diagnosis
        except ImportError as error:
            raise UsageError(
                "--scheduler needs Dask's distributed: pip install 'potpyri-like[cluster]'"
            ) from error
        self._died = distributed.KilledWorker
        self._suspects = ThreadPoolExecutor(1)
        self._shared: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._own = None
        try:
            if scheduler == _LOCAL:
                with (
                    _uninterrupted(),
                    dask.config.set({"distributed.scheduler.allowed-failures": _TRIES - 1}),
                ):
                    self._own = distributed.LocalCluster(
                        n_workers=jobs,
                        threads_per_worker=1,
                        dashboard_address="127.0.0.1:0",  # any free port; None is 8787, which may be taken
                        silence_logs=logging.CRITICAL + 1,
                    )
            else:
                _knock(scheduler)
            self._client = distributed.Client(self._own or scheduler, timeout=CONNECT, set_as_default=False)
            disable_gc_diagnosis(force=True)  # a Ctrl-C that comes within its callback is lost
            self.count = max(_MAY_GROW_TO, sum(self._client.nthreads().values()))
            self._ended = threading.Event()
            if self._own is not None:
                threading.Thread(target=self._keep_alive, args=(self._own,), daemon=True).start()
        except (OSError, ValueError, TypeError) as error:
            raise ReductionError(
                f"--scheduler {scheduler}: no Dask scheduler answers there ({error}); give the address that"
                " `dask scheduler` printed, as in tcp://10.0.0.1:8786, or local"
            ) from error

    def submit(self, fn: Callable[..., object], /, *args: object, **kwargs: object) -> Future:
        """Run a function of a module on one of the cluster's workers."""
        result: Future = Future()
        result.set_running_or_notify_cancel()

        def again() -> Any:
            sent = [self._sent(each) if isinstance(each, Shared) else each for each in args]
            return self._client.submit(fn, *sent, pure=False, **kwargs)

        again().add_done_callback(lambda done: self._hand_over(done, result, again))
        return result

    def submit_but(
        self, avoided: Collection[str], fn: Callable[..., object], /, *args: object
    ) -> Future | None:
        """Run a function on another worker than some, named by their addresses; None where there is no other."""
        others = [address for address in self._client.nthreads() if address not in avoided]
        return self.submit(fn, *args, workers=others, allow_other_workers=True) if others else None

    def _sent(self, shared: Shared) -> object:
        """What tasks have in common, as something that the cluster computes where it is needed, and again if lost."""
        with self._lock:
            known = self._shared.pop(shared.key, None)
            if known is None or known.status in ("error", "cancelled", "lost"):
                content = pickle.dumps(shared, protocol=5)
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="(?s)Sending large graph")
                    known = self._client.submit(pickle.loads, content, pure=False)
            self._shared[shared.key] = known
            for key in list(self._shared)[:-KEPT]:
                del self._shared[key]
            return known

    def _keep_alive(self, own: Any) -> None:
        """Start the workers of a local cluster anew where all are gone and none comes: tasks would wait for ever."""
        empty, wanted = 0.0, len(own.worker_spec)
        while not self._ended.wait(_LOOK):
            with suppress(OSError, ValueError, RuntimeError, TimeoutError):
                empty = 0.0 if self._client.nthreads() else empty + _LOOK
                if empty >= GONE and not self._ended.is_set():
                    log.warning("all %d workers of the local cluster were lost; restarting them", wanted)
                    own.scale(0)
                    own.scale(wanted)
                    empty = 0.0

    def _hand_over(self, done: Any, result: Future, again: Callable[[], object] | None) -> None:
        """What became of a task of Dask's, in the words of the standard library.

        Dask blames a worker's death on all tasks that it had: those are tried once more, one at a time.
        """
        try:
            result.set_result(done.result())
        except self._died as error:
            log.warning("%s", error)
            if again is None:
                result.set_exception(WorkerDied("lost from the cluster, most likely out of memory"))
            else:
                self._suspects.submit(self._try_alone, result, again)
        except CancelledError:
            gone = "the Dask scheduler was lost or cancelled the tasks; the next run continues from here"
            result.set_exception(ReductionError(gone))
        except Exception as error:  # noqa: BLE001  (it is raised in the thread that asked)
            result.set_exception(error)

    def _try_alone(self, result: Future, again: Callable[[], object]) -> None:
        """Try a task once more while no other one is suspected."""
        self._hand_over(again(), result, None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; end it where it is our own."""
        patience = 0.25 if cancel_futures else 30
        self._ended.set()
        self._suspects.shutdown(wait=not cancel_futures, cancel_futures=cancel_futures)
        for each in (self._client, self._own):
            with suppress(TimeoutError):
                if each is not None:
                    each.close(timeout=patience)
        if self._own is not None:
            self._own.shutdown_on_close = False  # what is still at work is killed when this process ends


def here() -> str:
    """The address of the cluster's worker that runs this; "" in any other process."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return ""
    with suppress(ValueError):
        return str(distributed.get_worker().address)
    return ""


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C from what is started meanwhile: threads, and their processes."""
    before = _deaf()
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _deaf() -> set[signal.Signals | int]:
    """Keep Ctrl-C from this thread, and from the processes that it starts; what was kept from it before."""
    ensure_running()  # its start would undo this
    return signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _knock(scheduler: str) -> None:
    """Raise an OSError or a ValueError where no Dask scheduler answers: a client would go on trying."""
    from distributed import Security
    from distributed.core import connect

    async def reach() -> None:
        secured = Security().get_connection_args("client")
        (await connect(scheduler, timeout=CONNECT, **secured)).abort()

    with ThreadPoolExecutor(1) as apart:  # a notebook has an event loop of its own in this thread
        apart.submit(asyncio.run, reach()).result()
