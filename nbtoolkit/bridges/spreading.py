"""Single measurements whose independent parts are evaluated by the workers of a cluster."""

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import torch
from distributed import Client, Future
from torch import Tensor

from nbtoolkit.bridges.trained import Job, packed_of
from nbtoolkit.errors import LandscapeError, first_line

NOT_SENT = (
    "the model, its loss or the probe cannot be sent to workers ({why}); define them where workers can import them"
)

_opened: dict[str, Callable[[Any], Any]] = {}
_one_at_a_time = threading.Lock()  # random states and hooks are of a process


class Spread:
    """Carries parts to workers; each distinct function is sent to each worker once.

    Args:
        client: of the cluster.
        threads: of torch, in each worker.
        own: whether the workers are ours.
    """

    def __init__(self, client: Client, threads: int, *, own: bool) -> None:
        self.client, self.threads, self.own = client, threads, own
        self._sent: list[tuple[Callable[[Any], Any], Job]] = []

    def __call__(self, function: Callable[[Any], Any], parts: Sequence[Any]) -> Iterator[Any]:
        """The values at the parts, in their order, as they come."""
        job = self._job(function)
        begun = uuid.uuid4().hex
        ambient = Ambient(torch.is_grad_enabled(), torch.get_default_dtype(), self.threads)
        futures: list[Future] = [
            self.client.submit(
                evaluate, job.name, _compact(part), ambient, os.getpid(), key=f"{job.name}-{begun}-{i}", retries=0
            )
            for i, part in enumerate(parts)
        ]
        try:
            for place, future in enumerate(futures):
                yield future.result()
                future.release()
                futures[place] = None  # type: ignore[call-overload]
        finally:
            self.client.cancel([future for future in futures if future is not None])

    def close(self) -> None:
        """Let the workers forget all of it."""
        for _, job in self._sent:
            with contextlib.suppress(Exception):  # a cluster that is gone has
                self.client.unregister_worker_plugin(name=job.name)

    def _job(self, function: Callable[[Any], Any]) -> Job:
        for known, job in self._sent:
            if known is function:
                return job
        try:
            packed = cloudpickle.dumps(function)
        except Exception as error:
            why = first_line(error).rstrip(".")
            raise LandscapeError(NOT_SENT.format(why=why)) from error
        job = Job(f"nbtoolkit-{uuid.uuid4().hex}", packed, own=self.own)
        self.client.register_plugin(job, name=job.name)
        self._sent.append((function, job))
        return job


@dataclass(frozen=True)
class Ambient:
    """What arithmetic depends on besides its operands."""

    with_grad: bool
    dtype: torch.dtype
    threads: int

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """As where the parts come from; afterwards as before."""
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        try:
            torch.set_num_threads(self.threads)
            torch.set_default_dtype(self.dtype)
            with torch.set_grad_enabled(self.with_grad):
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)


def evaluate(job: str, part: Any, ambient: Ambient, home: int) -> Any:
    """One part, on a worker.

    Args:
        job: whose function it is.
        part: what it is called with.
        ambient: that of the user's thread.
        home: process of the user; in it all is as it is.
    """
    with _one_at_a_time:
        if job not in _opened:
            _opened.clear()  # a worker holds one model at a time
            _opened[job] = cloudpickle.loads(packed_of(job))
        away = os.getpid() != home
        with ambient.here() if away else torch.set_grad_enabled(ambient.with_grad):
            return _opened[job](part)


def _compact(part: Any) -> Any:
    """Without the memory that a view shares with others, which would be sent along."""
    if isinstance(part, Tensor):
        small = part.untyped_storage().nbytes() <= part.numel() * part.element_size()
        return part if small else part.detach().clone()
    return tuple(_compact(one) for one in part) if isinstance(part, tuple) else part
