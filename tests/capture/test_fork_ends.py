"""How a fork ends early, and what is no fork at all."""

import threading
import weakref
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


class Stubborn:
    """A class that lets nobody set its attribute again."""

    __slots__ = ("_value",)

    @property
    def value(self) -> int:
        return self._value

    def __setattr__(self, name: str, value: int) -> None:
        if hasattr(self, name):
            raise TypeError(f"{name} is set once")
        object.__setattr__(self, name, value)


@pytest.mark.parametrize("fails", [False, True])
def test_what_cannot_be_put_back_is_named_when_all_else_is(
    problem: problems.Problem, run: nbtoolkit.Run, fails: bool
) -> None:
    stubborn, later = Stubborn(), [1]
    stubborn._value = 1

    def step() -> None:
        object.__setattr__(stubborn, "_value", 2)
        problem.step()
        later.append(2)
        if fails:
            raise ZeroDivisionError("of the step")

    before = everything(problem)
    with pytest.raises(WatchError, match=r"not put back: stubborn \(TypeError: _value is set once\)") as caught:
        run.fork(step, steps=2)
    assert ("raised ZeroDivisionError: of the step" in str(caught.value)) == fails
    assert isinstance(caught.value.__cause__, ZeroDivisionError) == fails
    assert differences(before, everything(problem)) == []
    assert later == [1]
    assert [note.split(" (")[0] for note in run.notes] == ["after a fork: not put back: stubborn"]
    problem.train(2)
    assert (run.step, run["twin_divergence"]["distance"].values[0].tolist()) == (6, [0.0])


class Trainer:
    """Of an installed package: holds what a step works on."""

    def __init__(self, problem: problems.Problem, batches: Any = None) -> None:
        self.problem, self.batches, self.done = problem, batches, 0

    def step(self) -> None:
        self.problem.step()
        self.done += 1


def test_an_object_of_an_installed_package_is_put_back_or_refused(
    problem: problems.Problem, run: nbtoolkit.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "__module__", "argparse")
    trainer = Trainer(problem)
    run.fork(trainer.step, steps=3)
    assert (trainer.done, run.notes) == (0, [])
    reading = Trainer(problem, iter(DataLoader(TensorDataset(torch.zeros(4, 1)))))
    with pytest.raises(WatchError, match=r"step\.batches is a DataLoader's iterator"):
        run.fork(reading.step, steps=3)


def test_what_is_left_is_noted_on_both(
    problem: problems.Problem, run: nbtoolkit.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "__module__", "queue")
    trainer = Trainer(problem)
    twin = run.fork(lambda: trainer.step(), steps=1)
    assert run.notes == twin.notes == ["left as the fork leaves it, though the step works on it: trainer (Trainer)"]


def test_a_schedule_out_of_sight_and_the_grad_mode_are_put_back() -> None:
    problem = problems.mlp()
    schedule = torch.optim.lr_scheduler.StepLR(problem.optimizer, 2, 0.5)
    held = weakref.ref(schedule)
    problem.optimizer.register_step_post_hook(lambda *_: held().step())  # type: ignore[reportOptionalMemberAccess]

    def step() -> None:
        torch._C._set_grad_enabled(True)
        problem.step()
        torch._C._set_grad_enabled(False)

    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(1)
        before, rate = schedule.last_epoch, problem.optimizer.param_groups[0]["lr"]
        run.fork(step, steps=5)
        assert torch.is_grad_enabled()
    assert (schedule.last_epoch, problem.optimizer.param_groups[0]["lr"]) == (before, rate)


@pytest.mark.parametrize("where", ["in the step", "after backward"])
def test_a_fork_after_an_interrupted_step(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbtoolkit.capture.names.any_optimizer_besides", lambda known: False)
    problem = problems.mlp()
    model, optimizer = problem.model, problem.optimizer

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with nbtoolkit.watch(model, optimizer) as run:
        problem.train(2)
        if where == "in the step":
            handle = optimizer.register_step_pre_hook(interrupted)
            with pytest.raises(KeyboardInterrupt):
                problem.step()
            handle.remove()
        else:
            model(torch.ones(2, 8)).sum().backward()
            with pytest.raises(WatchError, match=r"After an interrupt, call optimizer\.zero_grad\(\) first"):
                run.fork(problem.step, steps=2)
            optimizer.zero_grad()
        assert run.fork(problem.step, steps=2).step == 4
        problem.train(2)
    assert run["loss"]["step"].values.tolist()[-2:] == [2, 3]
