"""A training that is acted on does what was asked, at the step that the log says, and nothing else."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nbtoolkit
from nbtoolkit.capture.orders import Measure
from nbtoolkit.errors import WatchError
from tests import problems
from tests.capture.outside import elsewhere, while_paused
from tests.capture.test_bit_for_bit import differences, everything

HOW = ("mlp", "cnn", "tied", "gan", "lbfgs", "accumulation")


def trained(name: str, act: Callable[[list[nbtoolkit.Run], int], Any] | None = None, steps: int = 9) -> dict[str, Any]:
    """All state of a training; watched, with ``act`` done before each step, if it is given."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    problem = problems.ALL[name]()
    runs = []
    if act is not None:
        for model, optimizer in zip(problem.models.values(), problem.optimizers.values(), strict=True):
            runs.append(nbtoolkit.watch(model, optimizer))
    for step in range(steps):
        if act is not None:
            act(runs, step)
        problem.step()
    for run in runs:
        run.detach()
    return everything(problem)


@pytest.mark.parametrize("name", HOW)
def test_a_training_that_was_paused_is_the_one_that_was_not(name: str) -> None:
    stops: list[list[int]] = []

    def act(runs: list[nbtoolkit.Run], step: int) -> None:
        run = runs[-1]
        if step == 2:
            stops.append(while_paused(run, lambda: run.advance(2), lambda: None, run.resume))
            elsewhere(run.pause)
        if step == 7:
            stops.append(while_paused(run, run.resume))
            run.pause()  # as the loop itself may

    assert differences(trained(name), trained(name, act)) == []
    first, second = stops
    assert len(first[:3]) == 3
    assert first[1] == first[2] == first[0] + 2  # it stood still, and made two steps
    assert second


def test_commands_that_are_refused_change_nothing() -> None:
    def act(runs: list[nbtoolkit.Run], step: int) -> None:
        run = runs[0]
        wrongs: tuple[Any, ...] = (-1, float("nan"), "0.1", None, True, float("inf"), 10**400)
        for wrong in wrongs:
            with pytest.raises(WatchError, match="expected a learning rate"):
                elsewhere(lambda wrong=wrong: run.set_lr(wrong))
        for group in (1, -1, 0.0, "0", True):
            with pytest.raises(WatchError, match="has the groups 0 to 0"):
                run.set_lr(0.1, group)  # type: ignore[arg-type]
        for steps in (0, -3, 1.5, "2", True, 10**12):
            with pytest.raises(WatchError, match="expected a whole number of steps"):
                run.advance(steps)  # type: ignore[arg-type]
            with pytest.raises(WatchError, match="expected a whole number of steps"):
                run.every("loss", steps)  # type: ignore[arg-type]
        with pytest.raises(WatchError, match="did you mean 'sharpness'"):
            run.every("sharpnes", 3)
        with pytest.raises(WatchError, match="is no instrument"):
            run.every("x" * 10**6, 3)
        with pytest.raises(WatchError, match=r"accuracy_matrix needs the held-out data.*tasks"):
            run.every("accuracy_matrix", 3)
        assert (run.commands, run.notes) == ([], [])

    assert differences(trained("cnn"), trained("cnn", act)) == []


def test_measuring_on_request_changes_nothing_and_gives_what_an_attached_instrument_gives() -> None:
    wanted = ["sharpness", "unit_activity", "update_ratio", "layer_spectrum", "step_alignment"]
    held: list[nbtoolkit.Run] = []

    def act(runs: list[nbtoolkit.Run], step: int) -> None:
        held[:] = runs
        if step in (3, 6):
            for name in wanted:
                elsewhere(lambda name=name: runs[0].control.give(Measure(name), note))

    told: list[tuple[bool, str]] = []

    def note(done: bool, text: str) -> None:
        told.append((done, text))

    assert differences(trained("cnn"), trained("cnn", act)) == []
    (run,) = held
    # What exists between steps is measured there, the rest in the step that follows; what is measured always is.
    assert sorted(told) == sorted(
        (True, f"{name} measured at step {step}") for name in wanted for step in (4, 7)
    )  # fmt: skip
    problem = problems.cnn()
    shelf = nbtoolkit.instruments.known()
    every_step = [shelf[name].using(every=1) for name in wanted]
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=every_step, budget=float("inf")) as other:
        problem.train(9)
    for name, value in (("sharpness", "sharpness"), ("layer_spectrum", "singular_values"), ("unit_activity", None)):
        one, two = run[name], other[name]
        assert one["step"].values.tolist() == [4, 7]
        for key in one.data_vars if value is None else [value]:
            np.testing.assert_array_equal(one[key].values, two[key].sel(step=[4, 7]).values, err_msg=str(key))


def test_what_is_due_anyway_is_not_measured_twice() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(9)
        for _ in range(2):
            elsewhere(lambda: run.control.give(Measure("weight_norm"), lambda *_: None))
        problem.train(3)
    assert run["weight_norm"]["step"].values.tolist() == [0, 10]


def test_a_measurement_on_request_that_is_interrupted_is_answered() -> None:
    @nbtoolkit.instrument(outputs={"long": nbtoolkit.Var((), "1", "what takes too long")})
    def long(params: Any, /) -> dict[str, Any]:
        raise KeyboardInterrupt

    answers: list[tuple[bool, str]] = []
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(1)
        elsewhere(lambda: run.control.give(Measure(long), lambda *told: answers.append(told)))
        with pytest.raises(KeyboardInterrupt):
            problem.train(1)
        assert answers == [(False, "interrupted")]
        problem.train(2)
    assert run["loss"]["step"].values.tolist() == list(range(4))
