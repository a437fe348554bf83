"""How a fork ends early, and what is no fork at all."""

import threading
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import nbtoolkit
from nbtoolkit.errors import WatchError
from tests import problems
from tests.capture.test_bit_for_bit import differences, everything


def test_a_failing_twin_is_undone_and_keeps_what_it_has(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    for error, state in ((ZeroDivisionError, "failed"), (KeyboardInterrupt, "interrupted")):
        made: list[int] = []

        def step(error: type[BaseException] = error, made: list[int] = made) -> None:
            problem.step()
            made.append(1)
            if len(made) == 3:
                raise error

        before = everything(problem)
        with pytest.raises(error):
            run.fork(step, steps=9, every=2)
        assert differences(before, everything(problem)) == []
        assert made == []
        child = run.forks[-1]
        assert (child.state, child.step, child["loss"]["step"].values.tolist()) == (state, 7, [4, 5, 6])
        assert (run.state, run.step) == ("watching", 4)
    problem.train(3)
    assert run["loss"]["step"].values.tolist() == [*range(7)]
    assert run["twin_divergence"]["step"].values.tolist() == [4, 6]


def test_steps_are_counted_by_the_optimizer(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    calls: list[int] = []

    def three() -> None:
        calls.append(1)
        problem.train(3)

    assert run.fork(three, steps=7, also=[]).step == 4 + 7
    micro = [0]

    def every_other() -> None:
        micro[0] += 1
        if micro[0] % 2:
            problem.step()

    assert run.fork(every_other, steps=3).step == 4 + 3
    before = everything(problem)
    with pytest.raises(WatchError, match=r"called 100 times and made no step of this run's optimizer \(AdamW\)"):
        run.fork(lambda: None, steps=2)
    assert differences(before, everything(problem)) == []
    assert calls == []


def test_what_cannot_be_forked_is_said_in_one_line(
    problem: problems.Problem, run: nbtoolkit.Run, tmp_path: Any
) -> None:
    def refused(said: str, *args: Any, **options: Any) -> None:
        with pytest.raises(WatchError, match=said) as caught:
            run.fork(*(args or (problem.step,)), **options)
        assert "\n" not in str(caught.value)
        assert not run.forks

    refused("got a int as the step; it needs a function without arguments", 3)
    refused("steps=0: expected a whole number of steps", steps=0)
    refused("seed=-1: expected a whole number", seed=-1)
    refused("perturb='much': expected the size", perturb="much")
    refused("every=0: expected a whole number of steps between copies", every=0)
    refused(r"lr=\[0.1, 0.2\] is for 2 groups; this optimizer has 1", lr=[0.1, 0.2])
    refused("lr names group 3; this optimizer has the groups 0 to 0", lr={3: 0.1})
    refused("lr=-1: expected a learning rate", lr=-1)
    batches = iter(DataLoader(TensorDataset(torch.zeros(4, 1))))
    refused("batches is a DataLoader's iterator", lambda: (next(batches), problem.step()))
    told: list[str] = []

    def elsewhere() -> None:
        try:
            run.fork(problem.step)
        except WatchError as error:
            told.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "on another thread than the one that makes the steps" in told[0]
    run.save(tmp_path / "run.zarr")
    with pytest.raises(WatchError, match="there is no model to go on with, only what was recorded"):
        nbtoolkit.open_run(tmp_path / "run.zarr").fork(problem.step)


def test_within_a_step_and_within_a_fork(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    def nested() -> None:
        problem.step()
        run.fork(problem.step)

    with pytest.raises(WatchError, match="is being forked at this moment"):
        run.fork(nested)

    def midway(*_: Any) -> None:
        run.fork(problem.step)

    handle = problem.optimizer.register_step_pre_hook(midway)
    with pytest.raises(WatchError, match="was called within a step; call it between two"):
        problem.step()
    handle.remove()


def test_more_copies_than_there_is_room_for_are_refused(
    problem: problems.Problem, run: nbtoolkit.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(p.numel() * 4 for p in problem.model.parameters())
    monkeypatch.setattr("nbtoolkit.capture.copies.BYTES", 4 * size)
    with pytest.raises(WatchError, match="every=1 would keep 11 copies"):
        run.fork(problem.step, steps=10, every=1)
    few = run.fork(problem.step, steps=10)
    assert few.copies is not None
    assert few.copies.steps == [4, 5, 10, 14]
    monkeypatch.setattr("nbtoolkit.capture.copies.BYTES", size)
    none = run.fork(problem.step, steps=2)
    assert none.copies is not None
    assert none.copies.steps == []
    with pytest.raises(WatchError, match="there is no copy at step 5"):
        none.copies.params(5)
