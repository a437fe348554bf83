"""Processes that sum what they have, as threads of this one."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Sums:
    """Adds up what ``count`` threads bring.

    Args:
        count: of threads.
    """

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count, timeout=10)
        self._brought: list[list[Tensor]] = [[] for _ in range(count)]

    def total(self, rank: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        self._brought[rank] = list(tensors)
        self._barrier.wait()
        found = [torch.stack(parts).sum(0) for parts in zip(*self._brought, strict=True)]
        self._barrier.wait()
        return found


def each(count: int, work: Callable[[int, Callable[[Sequence[Tensor]], list[Tensor]]], Any]) -> list[Any]:
    """What ``work(rank, total)`` gives in every thread; an exception where one raised."""
    sums, found = Sums(count), [None] * count

    def run(rank: int) -> None:
        try:
            found[rank] = work(rank, lambda tensors: sums.total(rank, tensors))
        except BaseException as error:
            found[rank] = error  # type: ignore[call-overload]
            if isinstance(error, threading.BrokenBarrierError):
                raise

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found
