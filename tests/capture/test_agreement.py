"""An order at the same step in all processes of a training, whose steps wait for each other."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist

from nbtoolkit.capture import agreement
from nbtoolkit.capture.agreement import Agreement
from nbtoolkit.capture.control import Control
from nbtoolkit.capture.mailbox import Mailbox
from nbtoolkit.capture.orders import Hold, Order
from nbtoolkit.errors import WatchError
from nbtoolkit.store.columns import Record
from tests.capture.afar import until

COUNT = 4


class Process:
    """A thread in place of a process: its steps wait for those of the others, as an all-reduce does.

    Args:
        rank: of it.
        store: that all see.
        together: where they wait.
        agrees: whether it answers.
    """

    def __init__(self, rank: int, store: Any, together: threading.Barrier, *, agrees: bool = True) -> None:
        self.run: Any = SimpleNamespace(step=0, state="watching", steps=None, record=Record(), name="it", notes=[])
        self.run.note = self.run.notes.append
        self.run.control = Control(self.run)
        self.held: list[int] = []
        self.ended = False
        self.goes = threading.Event()
        self.goes.set()
        self._rank, self._together = rank, together
        self._generator = random.Random(rank)
        ranks: Any = SimpleNamespace(rank=rank, count=COUNT, mailbox=Mailbox(store, rank))
        self.agreement = Agreement(self.run, ranks) if agrees else None
        self.thread = threading.Thread(target=self._train)
        self.thread.start()

    def _train(self) -> None:
        control = self.run.control
        while not self.ended:
            time.sleep(self._generator.uniform(0, 0.002))
            self.goes.wait(10)
            try:
                self._together.wait(10)
            except threading.BrokenBarrierError:
                return
            self.run.step += 1
            if control.orders:
                control.carry_out()
            if control.holding:
                self.held.append(self.run.step)
                control.holding = False

    def close(self) -> None:
        self.run.state = "finished"
        if self.agreement is not None:
            self.agreement.close()


class Job:
    """All of them; a context manager."""

    def __init__(self, silent: Sequence[int] = ()) -> None:
        store, self._together = dist.HashStore(), threading.Barrier(COUNT)
        self.processes = [Process(rank, store, self._together, agrees=rank not in silent) for rank in range(COUNT)]
        self.answers: list[tuple[bool, str]] = []

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *error: object) -> None:
        for one in self.processes:
            one.ended = True
        for one in self.processes:
            one.close()
        self._together.abort()
        for one in self.processes:
            one.thread.join(15)
            assert not one.thread.is_alive()

    def ask(self, order: Order | None = None) -> tuple[bool, str]:
        """Ask the first process; its answer."""
        before = len(self.answers)
        leader = self.processes[0].agreement
        assert leader is not None
        leader.ask(order or Hold(), lambda *told: self.answers.append(told), lambda: None)
        until(lambda: len(self.answers) > before)
        return self.answers[-1]

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Nobody makes a step."""
        for one in self.processes:
            one.goes.clear()
        yield
        for one in self.processes:
            one.goes.set()

    def steps(self) -> list[int]:
        return [one.run.step for one in self.processes]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "REST_SECONDS", 0.01)
    monkeypatch.setattr(agreement, "LOOK_SECONDS", 0.001)


def test_each_is_carried_out_after_the_same_step_and_in_order() -> None:
    generator = random.Random(0)
    with Job() as job:
        for count in range(1, 21):
            done, text = job.ask()
            time.sleep(generator.uniform(0, 0.01))
            until(lambda count=count: all(len(one.held) == count for one in job.processes))
            assert done
            assert text == f"paused after step {job.processes[0].held[-1]}"
        assert [one.held for one in job.processes] == [job.processes[0].held] * COUNT
        assert [one.run.notes for one in job.processes] == [[]] * COUNT
        before = min(job.steps())
        until(lambda: min(job.steps()) > before + 5)  # nobody waits for anything any more


def test_without_an_answer_of_one_nothing_is_done_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "PROMISE_SECONDS", 0.3)
    with Job(silent=[2]) as job:
        assert job.ask() == (False, "pause: process 2 did not answer within 0.3 s; nothing was done in any process")
        before = min(job.steps())
        until(lambda: min(job.steps()) > before + 5)
        assert [one.held for one in job.processes] == [[]] * COUNT
        assert ["nothing was done" in " ".join(one.run.notes) for one in job.processes] == [False, True, False, True]


def test_what_one_may_not_have_been_told_of_is_said(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(agreement, "PROMISE_SECONDS", 0.3)
    take = Mailbox.take
    deaf = lambda self, box, rank: [] if (box, rank) == (agreement.DECIDED, 2) else take(self, box, rank)  # noqa: E731
    with Job() as job:
        monkeypatch.setattr(Mailbox, "take", deaf)
        done, _ = job.ask()
        (note,) = until(lambda: job.processes[0].run.notes)
        assert done
        assert note.startswith("pause: process 2 did not answer within 0.3 s, so that not all may have been told; ")
        assert note.endswith(f"the processes may differ from step {job.processes[0].held[0]} on")
        until(lambda: len(recwarn) == 1)
        assert job.ask()[0]  # the next one is not kept waiting


def test_an_order_that_no_step_carries_out_lets_other_runs_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "STEP_SECONDS", 0.2)
    with Job() as idle, Job() as job:
        with idle.resting():
            leader = idle.processes[0].agreement
            assert leader is not None
            leader.ask(Hold(), lambda *told: idle.answers.append(told), lambda: None)
            assert job.ask()[0]
            assert idle.answers == []
        until(lambda: idle.answers)
        until(lambda: all(len(one.held) == 1 for one in (*idle.processes, *job.processes)))


def test_one_that_has_ended_says_so() -> None:
    with Job() as job:
        job.processes[3].close()
        assert job.ask() == (False, "pause: process 3 has ended; nothing was done in any process")


def test_one_that_cannot_refuses_for_all() -> None:
    class Strange(Hold):
        def given(self) -> dict[str, Any]:
            return {"what": "measure", "name": "nothing of the kind"}

    with Job() as job:
        for one in job.processes:
            one.run.instruments = {}
        done, text = job.ask(Strange())
        assert not done
        assert "process 1: 'nothing of the kind' is no instrument" in text
        assert [one.held for one in job.processes] == [[]] * COUNT


def test_only_the_first_is_asked() -> None:
    with Job() as job:
        other = job.processes[1].agreement
        assert other is not None
        with pytest.raises(WatchError, match="of which this is process 1"):
            other.ask(Hold(), lambda *_: None, lambda: None)


def test_what_nobody_was_told_of_is_answered_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with Job(silent=[2]) as job:
        leader = job.processes[0].agreement
        assert leader is not None
        for _ in range(2):
            leader.ask(Hold(), lambda *told: job.answers.append(told), lambda: None)
        time.sleep(0.1)
        job.processes[0].close()
        until(lambda: len(job.answers) == 2)
        assert [done for done, _ in job.answers] == [False, False]
        before = min(job.steps())
        until(lambda: min(job.steps()) > before + 5)
