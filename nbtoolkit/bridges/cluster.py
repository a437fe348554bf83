"""Dask under a sweep: the workers, the trainings handed out to them, and what comes back."""

import collections
import contextlib
import logging
import multiprocessing
import os
import queue
import uuid
from collections.abc import Iterator
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, LocalCluster
from distributed.scheduler import KilledWorker

from nbtoolkit.bridges.cells import Cell
from nbtoolkit.bridges.sweep import Sweep
from nbtoolkit.bridges.trained import Job, run_cell
from nbtoolkit.errors import LandscapeError

LOOK_SECONDS = 0.25  # between two looks at whether the user wants it to end
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
TIMES = {1: "once", 2: "twice"}
SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,  # no cell waits at a worker, where it would share its fate
    "distributed.scheduler.worker-ttl": None,  # a training may hold a worker for as long as it takes
    "distributed.admin.tick.limit": "1h",  # nor is it worth a word
}
HERE: dict[str, Any] = {
    "threads_per_worker": 1,
    "processes": True,
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",  # None would still take a port, and a fixed one
    "worker_dashboard_address": None,
    "memory_limit": 0,
    "silence_logs": logging.CRITICAL,
    "scheduler_kwargs": {"allowed_failures": 1, "dashboard": False},
}
IMPORTED = "this script starts processes that import it again; put what starts them under `if __name__ == '__main__':`"


NOT_STARTED = "the workers did not start ({}). If it is a script that calls this: {}"


def check_not_imported() -> None:
    """Refuse to start processes from a script that is being imported by such a process.

    Raises:
        LandscapeError: that is so.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise LandscapeError(IMPORTED)


@contextlib.contextmanager
def local(workers: int | None, threads: int, most: int | None = None) -> Iterator[Client]:
    """Processes on this machine, there for the block.

    Args:
        workers: how many; by default as many as there are cores.
        threads: of torch, of each.
        most: that are of use.

    Raises:
        LandscapeError: they do not start.
    """
    count = max(1, workers or CPU_COUNT // threads)
    count = count if most is None else min(count, most)
    env = dict.fromkeys(THREADS, str(threads))
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environ_kept())
        # In place of Dask's own, whose MALLOC_TRIM_THRESHOLD_ gives the memory of every step back to the system, which
        # doubles the time of a small step.
        with dask.config.set({**SETTINGS, "distributed.nanny.pre-spawn-environ": env}):
            try:
                cluster = LocalCluster(n_workers=count, env=env, **HERE)
            except RuntimeError as error:  # of Nannies, which cannot say why
                raise LandscapeError(NOT_STARTED.format(f"{error}".splitlines()[0].rstrip("."), IMPORTED)) from error
        stack.enter_context(cluster)
        yield stack.enter_context(Client(cluster, set_as_default=False))


@contextlib.contextmanager
def _environ_kept() -> Iterator[None]:
    """What the block adds to the environment of this process, as Dask does for its workers, is taken out at its end."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for key in ("PYTHONHASHSEED", *THREADS):
            if key in before:
                os.environ[key] = before[key]
            else:
                os.environ.pop(key, None)


def carry_out(sweep: Sweep, packed: bytes, given: Client | None, workers: int | None, threads: int) -> None:
    """Train all cells of a sweep that are missing; returns when all have ended, and never raises."""
    try:
        if sweep.missing:
            own = local(workers, threads, len(sweep.missing))
            with own if given is None else contextlib.nullcontext(given) as client:
                _hand_out(sweep, client, Job(f"nbtoolkit-{uuid.uuid4().hex}", packed, own=given is None), threads)
    except LandscapeError as error:
        sweep.end("failed", str(error))
    except BaseException as error:
        sweep.end("failed", f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".: "))
    else:
        sweep.end("cancelled" if sweep.is_unwanted and sweep.missing else "finished")


def _hand_out(sweep: Sweep, client: Client, job: Job, threads: int) -> None:
    came: queue.SimpleQueue[Future] = queue.SimpleQueue()
    waiting = collections.deque(sweep.missing)
    # Only when a result is here does another cell begin on a worker of ours, which may take with it what it holds. A
    # cluster of the user's is told of all cells, for it may grow with them.
    most = len(client.scheduler_info(n_workers=-1)["workers"]) if job.own else len(waiting)
    client.register_plugin(job, name=job.name)
    futures: dict[Any, tuple[int, Future]] = {}
    try:
        while (waiting or futures) and not sweep.is_unwanted:
            while waiting and len(futures) < most:
                index = waiting.popleft()
                given = (job.name, sweep.points[index], sweep.name, threads, os.getpid())
                future = client.submit(run_cell, *given, key=f"{job.name}-{index}", retries=0)
                futures[future.key] = index, future
                future.add_done_callback(came.put)
            with contextlib.suppress(queue.Empty):
                future = came.get(timeout=LOOK_SECONDS)
                while True:  # all that are there: the next cell may go to a worker whose result still waits
                    index, _ = futures.pop(future.key)
                    sweep.take(index, _cell(future))
                    future.release()
                    future = came.get_nowait()
            sweep.tell()
    finally:
        with contextlib.suppress(Exception):  # a cluster that is gone has forgotten all of it
            client.cancel([future for _, future in futures.values()], force=True)
            client.unregister_worker_plugin(name=job.name)


def _cell(future: Future) -> Cell:
    """What came of a task, whatever that is."""
    if future.status == "finished":
        return future.result()
    error: Any = future.exception() if future.status == "error" else None
    if isinstance(error, KilledWorker):
        times = error.allowed_failures + 1
        return Cell(reason=f"killed its worker {TIMES.get(times, f'{times} times')}")
    if error is not None:
        return Cell(reason=f"{type(error).__name__}: {error}".splitlines()[0])
    raise LandscapeError("the connection to the workers was lost")
