"""One training of a sweep, on a worker: seeded by its point, and whatever happens an answer."""

import hashlib
import os
import random
import signal
import threading
import time
import traceback
from types import TracebackType
from typing import Any

import cloudpickle
import numpy as np
import torch
from distributed import WorkerPlugin

from nbtoolkit.bridges import cells, grid
from nbtoolkit.bridges.cells import Cell
from nbtoolkit.bridges.grid import Point
from nbtoolkit.bridges.shared_random import leave_to_training
from nbtoolkit.capture.watch import runs_by_optimizer
from nbtoolkit.numerics import random_states

LONGEST = 500  # characters of a reason
OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")

_jobs: dict[str, bytes] = {}
_one_at_a_time = threading.Lock()  # what a training draws from is shared by all threads


class Job(WorkerPlugin):
    """A function on every worker of a cluster, those that come later too.

    Args:
        job: its name.
        packed: the function, pickled.
        own: whether the workers are ours, and so to be deaf to the interrupt that is meant for the notebook.
    """

    def __init__(self, job: str, packed: bytes, own: bool) -> None:
        self.name = self.job = job
        self.packed, self.own, self.home = packed, own, os.getpid()

    def setup(self, worker: Any) -> None:
        """A worker has begun."""
        _jobs[self.job] = self.packed
        if os.getpid() != self.home:
            leave_to_training()
        if self.own and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Any) -> None:
        """The sweep has ended."""
        _jobs.pop(self.job, None)


def packed_of(job: str) -> bytes:
    """The pickled function of a job."""
    return _jobs[job]


def run_cell(job: str, point: Point, title: str, threads: int, home: int) -> Cell:
    """Train at one point; of an exception the reason is kept.

    The function is unpickled for every cell, so that none sees what another has changed, and the shared generators of
    Python, NumPy and torch begin with a seed made of the point.

    Args:
        job: whose function it is.
        point: what it is called with.
        title: of a single number.
        threads: of torch.
        home: process of the user; in it the threads stay as they are.
    """
    begun = time.perf_counter()
    with _one_at_a_time:
        before = torch.get_num_threads()
        away = os.getpid() != home
        device = torch.device("cuda" if torch.cuda.is_initialized() else "cpu")
        known = _watched()
        try:
            if away:
                torch.set_num_threads(threads)
            with random_states.shared_kept(device):
                seed_by(point)
                train = cloudpickle.loads(_jobs[job])
                cell = cells.of(train(**point), axes=point, title=title)
        except BaseException as error:  # also what asks the process to end: the worker lives on for other cells
            reason = f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")[:LONGEST]
            cell = Cell(reason=reason, where=_where(error.__traceback__))
        finally:
            for run in _watched() - known:  # one that nobody ended would see the steps of the next cell
                run.detach("failed")
            if away:
                torch.set_num_threads(before)
    return Cell(cell.variables, cell.labels, cell.reason, cell.where, time.perf_counter() - begun)


def seed_by(point: Point) -> int:
    """Seed Python's, NumPy's and torch's shared generators by a point; the same on every worker and in every order."""
    seed = int(hashlib.sha256(grid.key(point).encode()).hexdigest()[:15], 16)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - what user code draws from
    torch.manual_seed(seed)
    return seed


def _watched() -> set[Any]:
    found = (reference() for reference in list(runs_by_optimizer.values()))
    return {run for run in found if run is not None and run.state == "watching"}


def _where(tb: TracebackType | None) -> str:
    """The last line of the user's own code; "" where it was not in it."""
    frames = [frame for frame in traceback.extract_tb(tb) if not frame.filename.startswith(OURS)]
    if not frames:
        return ""
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return f"{os.path.basename(own[-1].filename)}, line {own[-1].lineno}, in {own[-1].name}"
