"""The sides of the comparison: the bare loop and nbtoolkit, without and with a live Board."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbtoolkit
from tests.benchmarks.interleave import Step
from tests.benchmarks.problems import Problem


@contextmanager
def bare(problem: Problem) -> Iterator[Step]:
    """The loop as it is."""
    yield problem.step


@contextmanager
def watched(problem: Problem) -> Iterator[Step]:
    """The default instruments, no Board."""
    with nbtoolkit.watch(problem.model, problem.optimizer):
        yield problem.step


@contextmanager
def stored(problem: Problem) -> Iterator[Step]:
    """The default instruments, written to a store while training runs, as for one who follows from afar."""
    with tempfile.TemporaryDirectory() as folder:
        with nbtoolkit.watch(problem.model, problem.optimizer, store=Path(folder) / "run.zarr"):
            yield problem.step


@contextmanager
def watched_live(problem: Problem) -> Iterator[Step]:
    """The default instruments and a live Board; messages are packed as for a browser, then dropped."""
    import comm
    from jupyter_client.session import Session

    session = Session(key=b"benchmark")

    class Dropped(comm.base_comm.BaseComm):
        def publish_msg(
            self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
        ) -> None:
            message = session.msg(msg_type, content={"data": data, "comm_id": self.comm_id, **keys}, metadata=metadata)
            session.serialize(message)

    create, comm.create_comm = comm.create_comm, Dropped
    try:
        with nbtoolkit.watch(problem.model, problem.optimizer) as run:
            nbtoolkit.show(run)
            yield problem.step
    finally:
        comm.create_comm = create
