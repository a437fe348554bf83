"""How processes measure together: who is missing, who fails, and what they agree on."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nbtoolkit.capture import lockstep
from nbtoolkit.capture.lockstep import Lockstep, Outcome
from nbtoolkit.errors import WatchError
from tests.numerics.processes import Sums

COUNT = 3


class Threads:
    """Stands in for `Ranks`: the processes are threads."""

    sharded = False

    def __init__(self, rank: int, sums: Sums, absent: Sequence[int] = ()) -> None:
        self.rank, self.count, self.sums, self.absent = rank, COUNT, sums, absent
        self.met: list[str] = []
        self.dead = ""

    def meet(self, why: str, limit: float | None = None) -> None:
        self.met.append(why)
        if self.absent:
            raise WatchError(f"{why}: ranks {', '.join(map(str, self.absent))} did not come")

    def total(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        if self.dead:
            raise RuntimeError(self.dead)
        return self.sums.total(self.rank, tensors)


def in_each(work: Callable[[int, Lockstep], Any], **how: Any) -> list[Any]:
    """What ``work(rank, together)`` gives in every thread."""
    sums, found = Sums(COUNT), [None] * COUNT

    def run(rank: int) -> None:
        try:
            found[rank] = work(rank, Lockstep(Threads(rank, sums, **how)))  # type: ignore[arg-type]
        except BaseException as error:
            found[rank] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


def test_sums_and_seconds_are_those_of_all() -> None:
    def work(rank: int, together: Lockstep) -> Outcome:
        def measurement() -> float:
            time.sleep(0.02 * rank)
            return float(together.total([torch.full((2,), float(rank))])[0][0])

        return together.measure("it", measurement, step_seconds=1.0 + rank)

    found = in_each(work)
    assert [one.outputs for one in found] == [3.0] * COUNT
    assert [one.step_seconds for one in found] == [1.0] * COUNT
    assert len({one.seconds for one in found}) == 1
    assert found[0].seconds >= 0.04


@pytest.mark.parametrize("early", [True, False])
def test_failure_ends_it_for_all_and_the_next_is_made(early: bool) -> None:
    def work(rank: int, together: Lockstep) -> tuple[Outcome, Outcome]:
        def measurement() -> float:
            if rank == 1 and early:
                raise ValueError("too much\nat once")
            found = together.total([torch.ones(1)])[0]
            if rank == 1:
                raise ValueError("too much\nat once")
            return float(together.total([found])[0])

        return together.measure("one", measurement), together.measure("two", lambda: rank)

    found = in_each(work)
    for rank, (first, second) in enumerate(found):
        expected = "too much" if rank == 1 else "rank 1 could not measure: ValueError: too much"
        assert str(first.outputs).splitlines()[0] == expected
        assert first.seconds == found[0][0].seconds is not None
        assert second.outputs == rank


def test_different_ways_end_without_a_sum() -> None:
    def work(rank: int, together: Lockstep) -> list[Outcome]:
        def longer() -> int:
            return len(together.total([torch.ones(2)])) if rank == 2 else 0

        def wider() -> int:
            return len(together.total([torch.ones(1 + rank)]))

        return [together.measure("longer", longer), together.measure("wider", wider)]

    for outcomes in in_each(work):
        assert [str(one.outputs) for one in outcomes] == [lockstep.APART] * 2


def test_error_that_is_swallowed_is_no_outcome() -> None:
    def work(rank: int, together: Lockstep) -> Outcome:
        def measurement() -> str:
            try:
                if rank == 0:
                    raise MemoryError("none left")
                together.total([torch.ones(1)])
            except WatchError:
                pass
            return "something"

        return together.measure("it", measurement)

    found = in_each(work)
    assert isinstance(found[0].outputs, MemoryError)
    assert [str(one.outputs) for one in found[1:]] == ["rank 0 could not measure: MemoryError: none left"] * 2


def test_interrupt_goes_on_after_the_others_know() -> None:
    def work(rank: int, together: Lockstep) -> Outcome:
        def measurement() -> None:
            if rank == 0:
                raise KeyboardInterrupt
            together.total([torch.ones(1)])

        return together.measure("it", measurement)

    found = in_each(work)
    assert isinstance(found[0], KeyboardInterrupt)
    assert "rank 0 could not measure: KeyboardInterrupt" in str(found[1].outputs)


def test_nobody_waits_for_one_that_never_comes() -> None:
    together = Lockstep(Threads(0, Sums(1), absent=[2]))  # type: ignore[arg-type]
    outcomes = [together.measure(f"step {step}", pytest.fail) for step in range(4)]
    assert all(isinstance(one.outputs, WatchError) and one.seconds is None for one in outcomes)
    assert "step 0: ranks 2 did not come" in str(outcomes[0].outputs)
    assert together.ranks.met == ["step 0", "step 1"]  # type: ignore[attr-defined]
    assert "nothing is measured by all processes together any more" in str(outcomes[3].outputs)


def test_dead_network_ends_it() -> None:
    ranks = Threads(0, Sums(1))
    together = Lockstep(ranks)  # type: ignore[arg-type]
    ranks.dead = "connection reset\nby peer"
    outcome = together.measure("it", lambda: together.total([torch.ones(1)]))
    assert "cannot sum: connection reset; nothing is measured" in str(outcome.outputs)
    assert "connection reset" in str(together.measure("next", pytest.fail).outputs)


def test_no_sum_outside_a_measurement() -> None:
    def work(rank: int, together: Lockstep) -> str:
        together.measure("it", lambda: None)
        with pytest.raises(WatchError) as error:
            together.total([torch.ones(1)])
        return str(error.value)

    assert in_each(work) == [lockstep.CLOSED] * COUNT


def test_wrappers_are_as_before() -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            setattr(self, lockstep.ENQUEUED, False)

    class Sink(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, refers: Any, x: Tensor) -> Tensor:
            ctx.ddp_weakref = refers
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            return None, grads[0]

    seen = None
    wrapper, x = Wrapper(), torch.ones(2, requires_grad=True)
    loss = Sink.apply(lambda: wrapper, x).sum()  # type: ignore[union-attr]
    with contextlib.suppress(KeyError), lockstep.reducers_at_rest(loss):
        seen = getattr(wrapper, lockstep.ENQUEUED)
        raise KeyError
    assert seen is True
    assert getattr(wrapper, lockstep.ENQUEUED) is False
