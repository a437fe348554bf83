"""Sweeps over grids, and single measurements, spread over the workers of a Dask cluster."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nbtoolkit.bridges import grid as grids
from nbtoolkit.bridges._extras import installed
from nbtoolkit.bridges.kept import Kept
from nbtoolkit.bridges.sweep import Sweep, SweepStatus
from nbtoolkit.errors import LandscapeError, first_line
from nbtoolkit.numerics import elsewhere
from nbtoolkit.numerics.given import is_whole, shown

installed("dask", "distributed")
import cloudpickle  # noqa: E402
from distributed import Client  # noqa: E402 - what is missing is said in words first

__all__ = ["Sweep", "SweepStatus", "map_runs", "spread"]


def map_runs(
    train: Callable[..., Any],
    grid: Mapping[str, Iterable[Any]],
    *,
    client: Client | None = None,
    store: str | Path | None = None,
    workers: int | None = None,
    threads: int = 1,
    name: str | None = None,
) -> Sweep:
    """Train once at every point of a grid, on the workers of a cluster; returns at once with what fills in meanwhile.

        def train(lr, width):
            ...
            with nbtoolkit.watch(model, optimizer) as run:
                ...
            return run

        sweep = map_runs(train, {"width": [64, 256], "lr": [0.1, 0.01, 0.001]}, store="sweep")
        nbtoolkit.show(sweep)
        sweep.wait().data  # a Dataset over width, lr and step

    A cell that fails is NaN with the reason, the others go on; one that raises is not tried again, one whose worker
    dies is tried once more (on a cluster of yours as often as its ``allowed-failures``). Each cell begins with the
    random generators of Python, NumPy and torch seeded by its point, so that the result does not depend on where and
    in which order cells are run; a seed that ``train`` sets itself, for instance of an axis ``seed``, is what it is.
    One cell at a time is trained in each worker process, from an own copy of ``train``.

    Args:
        train: called as ``train(**point)``. It returns a number, a dict of numbers, a Run (of which the scalars are
            taken; it is detached if it was not), a DataTree or a Dataset. Of functions that are defined in a notebook
            the worker gets a copy, with all that they refer to.
        grid: values of each axis by name, numbers or strings.
        client: of a cluster, which is left open; by default workers are started on this machine and end with the
            sweep. They import a script anew: in one, call this under ``if __name__ == "__main__":``. Workers that Dask
            itself starts give memory back at once, which takes a training of 1 ms steps twice as long; those of
            ``with dask.config.set({"distributed.nanny.pre-spawn-environ": {}}): LocalCluster()`` do not.
        store: a path or an fsspec URL where each finished cell is kept at once; cells that are there are not run
            again. The grid may have grown; the function and the axes are the same, and so is what the function was
            given beforehand, by `functools.partial` or as attributes. Of its code only the text of ``train`` itself
            is compared, not of what it calls; where that has changed you are warned, and the cells are taken.
        workers: processes on this machine; by default as many as there are cores.
        threads: of torch, in each worker.
        name: of the sweep; by default that of the function.

    Raises:
        LandscapeError: the grid, the function or a setting is not what it should be.
        StoreError: the store holds something else, or cannot be used.
    """
    from nbtoolkit.bridges import cluster

    cluster.check_not_imported()
    checked = grids.checked(grid)
    grids.check_call(train, checked)
    _check_count("workers", 1 if workers is None else workers)
    _check_count("threads", threads)
    if client is not None:
        _check_client(client, workers)
    packed = _packed(train)
    sweep = Sweep(name or grids.name_of(train), checked, None if store is None else Kept(store, checked, train))
    work = (sweep, packed, client, workers, threads)
    threading.Thread(target=cluster.carry_out, args=work, name="nbtoolkit sweep", daemon=True).start()
    return sweep


@contextlib.contextmanager
def spread(client: Client | None = None, *, workers: int | None = None, threads: int = 1) -> Iterator[Client]:
    """Evaluate the parts of what is measured within the block on the workers of a cluster.

        with spread():
            run.measure(landscape_slice.using(points=51))

    These are the points of `landscape_slice` and the groups of batches of `batch_hessian_extremes`, whether measured
    by `Run.measure` or called as functions; all else is measured as ever, and so is what the block leaves to another
    thread. On workers of the same kind, with as many threads as here, the values are the same to the last bit.

    Args:
        client: of a cluster, which is left open; by default workers are started on this machine and end with the
            block.
        workers: processes on this machine; by default as many as there are cores.
        threads: of torch, in each worker.

    Yields:
        The client.

    Raises:
        LandscapeError: a setting is not what it should be; within the block, the model cannot be sent to workers.
    """
    from nbtoolkit.bridges import cluster, spreading

    cluster.check_not_imported()
    _check_count("workers", 1 if workers is None else workers)
    _check_count("threads", threads)
    if client is not None:
        _check_client(client, workers)
    own = client is None
    with cluster.local(workers, threads) if client is None else contextlib.nullcontext(client) as there:
        carry = spreading.Spread(there, threads, own=own)
        try:
            with elsewhere.offered(carry):
                yield there
        finally:
            carry.close()


def _check_count(name: str, value: Any) -> None:
    if not is_whole(value, 1):
        raise LandscapeError(f"{name}={shown(value)}: expected a whole number, 1 or more.")


def _check_client(client: Any, workers: int | None) -> None:
    if not isinstance(client, Client):
        raise LandscapeError(f"client is a {type(client).__name__}; expected a distributed.Client.")
    if client.asynchronous:
        raise LandscapeError("the client is asynchronous; give one made without asynchronous=True.")
    if client.status != "running":
        raise LandscapeError(f"the client is {client.status}; give one that is connected.")
    if workers is not None:
        raise LandscapeError("workers= is for a cluster of our own; that of client= has its workers.")


def _packed(train: Callable[..., Any]) -> bytes:
    try:
        return cloudpickle.dumps(train)
    except Exception as error:
        reason = first_line(error).rstrip(".")
        raise LandscapeError(
            f"{grids.name_of(train)}() cannot be sent to workers, nor what it refers to ({reason}); make such things "
            "within it."
        ) from error
