"""Tasks of a watched training: their boundaries, what is measured at and after them, and what is refused."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit import instruments
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Instrument
from tests import problems
from tests.capture.test_bit_for_bit import differences, everything

ONE = nbtoolkit.Var((), units="1", long_name="one")
MANY = [*instruments.of_tasks(), instruments.loss]


def tasks(shape: tuple[int, ...] = (8,), count: int = 50) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    return {
        name: (torch.randn(count, *shape, generator=generator), torch.randint(0, 3, (count,), generator=generator))
        for name in ("a", "b", "c")
    }


def watched(problem: problems.Problem, **options: Any) -> nbtoolkit.Run:
    options = {"tasks": tasks(), "instruments": MANY, "budget": float("inf")} | options
    return nbtoolkit.watch(problem.model, problem.optimizer, **options)


def right(model: torch.nn.Module) -> list[float]:
    """Accuracy on every task, by hand."""
    model = copy.deepcopy(model).eval()
    return [float((model(x).argmax(1) == y).float().mean()) for x, y in tasks().values()]


def test_boundaries_are_data() -> None:
    problem = problems.mlp()
    with watched(problem) as run:
        problem.train(2)
        with run.task("a"):
            problem.train(3)
        problem.train(1)
        run.begin_task("b")
        problem.train(4)
        run.begin_task("a")
        problem.train(2)
    assert run["task"]["step"].values.tolist() == [2, 5, 6, 10, 10, 12]
    assert run["task"]["task_trained"].values.tolist() == ["a", "b", "a (2)"]
    nan = np.nan
    wanted = [[1, nan, nan], [0, nan, nan], [0, 1, nan], [0, 0, nan], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_array_equal(run["task"]["training"].values, wanted)
    assert run["stability_gap"].attrs["every"] == 5


def test_the_matrix_has_a_row_for_each_task_trained() -> None:
    problem, seen = problems.mlp(), []
    with watched(problem) as run:
        first = right(problem.model)
        for name in tasks():
            run.begin_task(name)
            problem.train(5)
            seen.append(right(problem.model))
    matrix = run["accuracy_matrix"]
    assert matrix["step"].values.tolist() == [0, 5, 10, 15]
    np.testing.assert_allclose(matrix["accuracy"].values[-1], seen, rtol=0, atol=1e-7)
    np.testing.assert_allclose(matrix["initial_accuracy"].values, [first] * 4, rtol=0, atol=1e-7)
    assert np.isnan(matrix["accuracy"].values[1, 1:]).all()
    assert run.notes == []


def test_dense_after_a_boundary_and_sparse_else_and_at_the_end() -> None:
    problem = problems.mlp()
    gap = instruments.stability_gap.using(every=10, dense=6, examples=20)
    with watched(problem, instruments=[gap]) as run:
        problem.train(13)
        run.begin_task("a")
        problem.train(12)
        run.begin_task("b")
        problem.train(11)
    wanted = [0, 10, *range(13, 19), 20, *range(25, 31), 36]
    assert run["stability_gap"]["step"].values.tolist() == wanted
    training = run["stability_gap"]["training"].sel(task_evaluated="a").values
    assert np.isnan(training[:2]).all()
    assert training[2:].tolist() == [1.0] * 7 + [0.0] * 7


def test_a_stream_without_boundaries_is_evaluated_all_along() -> None:
    problem = problems.mlp()
    with watched(problem, instruments=[*instruments.of_tasks()]) as run:
        problem.train(21)
    assert run["stability_gap"]["step"].values.tolist() == [0, 5, 10, 15, 20, 21]
    assert np.isfinite(run["stability_gap"]["accuracy"].values).all()
    assert "task" not in run.data


def test_tasks_need_no_data_to_be_marked() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        run.begin_task("anything")
        problem.train(2)
    assert run["task"]["training"].values.ravel().tolist() == [1.0, 0.0]


def test_what_is_given_is_measured_without_being_named() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, tasks=tasks()) as run:
        problem.train(1)
    assert {"accuracy_matrix", "stability_gap", "loss"} <= set(run.data.children)


def test_the_matrix_can_be_asked_for_after_the_end() -> None:
    problem = problems.mlp()
    with watched(problem) as run:
        for name in tasks():
            run.begin_task(name)
            problem.train(3)
    before = run["accuracy_matrix"]["accuracy"].values[-1]
    np.testing.assert_array_equal(run.measure(instruments.accuracy_matrix)["accuracy"].values[-1], before)


def test_an_instrument_of_boundaries_that_fails_leaves_the_training_alone() -> None:
    @nbtoolkit.instrument(outputs={"one": ONE}, at_boundaries=True, cost=lambda settings: 1)
    def broken(tasks, params, /):
        """Fails."""
        raise RuntimeError("no way")

    problem = problems.mlp()
    with watched(problem, instruments=[broken]) as run:
        run.begin_task("a")
        problem.train(2)
    assert np.isnan(run["broken"]["one"].values).all()
    assert "no way" in run["broken"]["one"].attrs["not_measured"]


@pytest.mark.parametrize("make", [problems.mlp, problems.cnn])
def test_training_is_bit_for_bit_as_without(make: Callable[[], problems.Problem]) -> None:
    plain = make()
    plain.train(24)
    reached = everything(plain)
    problem = make()
    shape = (8,) if make is problems.mlp else (1, 8, 8)
    with watched(problem, tasks=tasks(shape), instruments=[*MANY, *instruments.default()[1:]]) as run:
        for name in ("a", "b", "a"):
            with run.task(name):
                problem.train(8)
    assert differences(reached, everything(problem)) == []
    assert run["stability_gap"].sizes["step"] == 25


# -- what is refused -----------------------------------------------------------------------


def refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(WatchError, match=message):
        call()


def test_bad_tasks_are_refused_where_the_watch_begins() -> None:
    problem = problems.mlp()
    x, y = tasks()["a"]
    refused(lambda: watched(problem, tasks={"a": (x[:0], y[:0])}), "task 'a' has no examples")
    refused(lambda: watched(problem, tasks={1: (x, y), "1": (x, y)}), "two tasks are called '1'")
    refused(lambda: watched(problem, tasks={"a": (x, y), "b": (x, y + 1)}), "task 'b' has the label 3, but the model")
    assert not problem.optimizer._optimizer_step_pre_hooks


def test_boundaries_out_of_order_are_refused_and_change_nothing() -> None:
    problem = problems.mlp()
    run = watched(problem)
    refused(run.end_task, "trains no task that could end")
    refused(lambda: run.begin_task("d"), "no task 'd'; there are: a, b, c")
    run.begin_task("a")
    refused(lambda: run.begin_task("b"), "task 'a' began at step 0 and no step has been made since, so it is taken")
    run.begin_task("a")
    refused(run.end_task, "no step has been made since")
    refused(run.end_task, "trains no task that could end")
    run.begin_task("a")
    problem.train(1)
    run.end_task()
    refused(run.end_task, "trains no task that could end")
    with run.task("b"):
        problem.train(1)
        refused(lambda: run.begin_task("c"), "tasks do not overlap")
    run.detach()
    refused(lambda: run.begin_task("c"), "is finished: tasks begin and end while it is watched")
    assert run["task"]["training"].values[:, 0].tolist() == [1.0, 0.0, 0.0, 0.0]


def _fail_within(run: nbtoolkit.Run, problem: problems.Problem) -> None:
    with run.task("a"):
        problem.train(2)
        raise ZeroDivisionError


def test_visits_have_labels_of_their_own() -> None:
    problem, data = problems.mlp(), tasks()
    with watched(problem, tasks={"a": data["a"], "a (2)": data["b"]}) as run:
        for name in ("a", "a (2)", "a", "a"):
            with run.task(name):
                problem.train(1)
    assert run["task"]["task_trained"].values.tolist() == ["a", "a (2)", "a (3)", "a (4)"]
    assert np.isfinite(run["accuracy_matrix"]["accuracy"].values[-1]).all()


def interrupting(at: int) -> Instrument:
    """Interrupts the loop in its measurement number ``at``."""
    calls = []

    @nbtoolkit.instrument(outputs={"one": ONE}, at_boundaries=True, cost=lambda settings: 1)
    def interrupted(tasks, params, /):
        """1."""
        calls.append(None)
        if len(calls) == at:
            raise KeyboardInterrupt
        return {"one": 1.0}

    return interrupted


def test_an_interrupt_at_a_boundary_can_be_followed_by_the_same_cell_again() -> None:
    problem = problems.mlp()
    run = watched(problem, instruments=[interrupting(1), *instruments.of_tasks()])
    with pytest.raises(KeyboardInterrupt), run.task("a"):
        pass
    with run.task("a"):
        problem.train(2)
    run.detach()
    assert run["task"]["training"].values.ravel().tolist() == [1.0, 0.0]
    assert np.isfinite(run["accuracy_matrix"]["accuracy"].values[-1]).all()


def test_an_interrupt_at_the_end_leaves_no_hooks() -> None:
    problem = problems.mlp()
    run = watched(problem, instruments=[interrupting(2)])
    run.begin_task("a")
    problem.train(1)
    with pytest.raises(KeyboardInterrupt):
        run.detach()
    assert run.state == "finished"
    assert not problem.optimizer._optimizer_step_pre_hooks


def test_a_fork_goes_on_with_the_stream() -> None:
    problem = problems.mlp()
    with watched(problem) as run:
        for name in ("a", "b"):
            run.begin_task(name)
            problem.train(4)

        def step() -> None:
            if run.twin and run.twin.step == 10:
                run.begin_task("a")
            problem.step()

        twin = run.fork(step, steps=6)
        problem.train(6)
    assert twin["task"]["task_trained"].values.tolist() == ["a", "b", "a (2)"]
    assert twin["task"]["step"].values.tolist() == [8, 10, 10, 14]
    found = twin["accuracy_matrix"]["accuracy"].isel(step=-1)
    assert found.task_trained.values.tolist() == ["a", "b", "a (2)"]
    assert np.isfinite(found.values).all()
    np.testing.assert_array_equal(found.sel(task_trained="a"), run["accuracy_matrix"]["accuracy"][-1, 0])
    assert run["task"]["task_trained"].values.tolist() == ["a", "b"]


def test_a_block_that_fails_fails_with_its_own_error_and_leaves_no_row() -> None:
    problem = problems.mlp()
    with watched(problem) as run:
        with pytest.raises(ZeroDivisionError):
            _fail_within(run, problem)
        assert run.task_now is None
        with run.task("b"):
            problem.train(2)
    matrix = run["accuracy_matrix"]["accuracy"].isel(step=-1)
    assert np.isfinite(matrix.sel(task_trained="b").values).all()
    assert np.isnan(matrix.sel(task_trained="a").values).all()


def test_instruments_of_tasks_say_what_they_need() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[instruments.stability_gap]) as run:
        problem.train(1)
    assert "give watch(..., tasks=" in run["stability_gap"]["accuracy"].attrs["not_measured"]
    refused(lambda: run.measure(instruments.accuracy_matrix), "needs the held-out data of the tasks")


def test_the_loss_of_tasks_needs_no_probe() -> None:
    problem = problems.mlp()
    with watched(problem, loss=F.multi_margin_loss) as run:
        problem.train(1)
    assert run.steps is None
    assert run.subject is not None
    assert run.subject.loop().tasks().loss is F.multi_margin_loss
