"""Accuracy on every task after each one: which row is filled when, and of which weights."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import nbtoolkit
from nbtoolkit.instruments import Tasks, TasksAt, Unknown, accuracy_matrix
from nbtoolkit.numerics.tasks import Episode
from tests.instruments.streams import identity, parameters, sign_tasks, tasks_at

NAN = np.nan


def test_rows_are_filled_as_visits_end_and_stay() -> None:
    model, memory = identity(), {}
    tasks = tasks_at(model)

    def measured() -> dict[str, Any]:
        found = accuracy_matrix.measure(tasks, parameters(model), memory)
        return {key: value if isinstance(value, Unknown) else value.numpy() for key, value in found.items()}

    tasks.episodes.append(Episode("larger", "larger", 0, None))
    begun = measured()
    np.testing.assert_array_equal(begun["initial_accuracy"], [1, 0, 1])
    np.testing.assert_array_equal(begun["accuracy"], [[NAN] * 3])
    with torch.no_grad():
        model.weight.copy_(identity(flipped=True).weight)
    tasks.episodes[0].end = 30
    tasks.episodes.append(Episode("smaller", "smaller", 30, None))
    np.testing.assert_array_equal(measured()["accuracy"], [[0, 1, 0], [NAN] * 3])
    with torch.no_grad():
        model.weight.copy_(identity().weight)
    np.testing.assert_array_equal(measured()["accuracy"], [[0, 1, 0], [NAN] * 3])  # the first row is known already
    tasks.episodes[1].end = 60
    ended = measured()
    np.testing.assert_array_equal(ended["accuracy"], [[0, 1, 0], [1, 0, 1]])
    tasks.episodes.append(Episode("larger (2)", "larger", 70, None))  # ten steps of no task
    again = measured()
    np.testing.assert_array_equal(again["accuracy"], [[0, 1, 0], [1, 0, 1], [NAN] * 3])
    np.testing.assert_array_equal(again["initial_accuracy"], [1, 0, 1])
    np.testing.assert_array_equal(ended["accuracy"], [[0, 1, 0], [1, 0, 1]])


def test_what_ended_before_it_was_attached_is_not_made_up() -> None:
    model = identity()
    late = tasks_at(model, ("larger", 0, 30), ("smaller", 40, None))
    found = accuracy_matrix.measure(late, parameters(model), {})
    assert np.isnan(found["accuracy"].numpy()).all()
    assert found["initial_accuracy"] == Unknown("training on a task had begun when this was first measured")
    in_time = tasks_at(model, ("larger", 0, 30), ("smaller", 30, 60), ("few", 60, None))
    np.testing.assert_array_equal(
        accuracy_matrix(in_time, parameters(model), {})["accuracy"], [[NAN] * 3, [1, 0, 1], [NAN] * 3]
    )


def test_in_the_midst_of_a_task_nothing_is_taken_for_its_end_or_its_begin() -> None:
    model = identity()
    for visits in ([("larger", 0, None)], [("larger", 0, 30), ("smaller", 30, None)]):
        tasks = tasks_at(model, *visits)  # type: ignore[arg-type]
        tasks.step = 40
        found = accuracy_matrix(tasks, parameters(model), {})
        assert np.isnan(found["accuracy"]).all()
        assert np.isnan(found["initial_accuracy"]).all()
        tasks.step = visits[-1][1]
        found = accuracy_matrix(tasks, parameters(model), {})
        assert not np.isnan(found["accuracy" if len(visits) > 1 else "initial_accuracy"]).all()


def test_without_a_task_it_is_the_accuracy_at_the_start() -> None:
    model = identity()
    found = accuracy_matrix.measure(tasks_at(model), parameters(model), {})
    np.testing.assert_array_equal(found["initial_accuracy"], [1, 0, 1])
    assert found["accuracy"] == Unknown("no task was trained yet")


def test_the_error_is_that_of_a_share() -> None:
    torch.manual_seed(1)
    model = nn.Linear(2, 2).double()
    found = accuracy_matrix(tasks_at(model, ("larger", 0, 9)), parameters(model), {})
    for place, (x, y) in enumerate(sign_tasks().values()):
        share = float((model(x).argmax(1) == y).double().mean())
        assert 0 < share < 1
        assert found["accuracy"][0, place] == share
        assert found["accuracy_error"][0, place] == pytest.approx((share * (1 - share) / len(x)) ** 0.5, rel=1e-12)


def test_an_average_is_evaluated_with_its_own_weights_and_statistics() -> None:
    model = identity()
    tasks = tasks_at(model, ("larger", 0, 30))
    flipped = identity(flipped=True)
    for averaged in (flipped, AveragedModel(flipped)):
        found = accuracy_matrix(tasks, parameters(model), {}, averaged=averaged)
        np.testing.assert_array_equal(found["accuracy"], [[0, 1, 0]])
    np.testing.assert_array_equal(accuracy_matrix(tasks, parameters(model), {})["accuracy"], [[1, 0, 1]])

    normed = nn.Sequential(identity(), nn.BatchNorm1d(2).double())
    other = nn.Sequential(identity(), nn.BatchNorm1d(2).double())
    other[1].running_mean.copy_(torch.tensor([1e3, -1e3]))  # type: ignore[union-attr]
    stream = TasksAt(normed, Tasks(sign_tasks()))
    stream.episodes.append(Episode("larger", "larger", 0, 30))
    found = accuracy_matrix(stream, parameters(normed), {}, averaged=other)
    zeros = float((sign_tasks()["larger"][1] == 1).double().mean())  # its statistics make the second output the larger
    assert found["accuracy"][0, 0] == zeros < accuracy_matrix(stream, parameters(normed), {})["accuracy"][0, 0]


@pytest.mark.parametrize(
    ("averaged", "message"),
    [
        ({}, "averaged={}: expected a module of the model's architecture"),
        (nn.Linear(3, 2), "not of one architecture"),
        (nn.Linear(2, 2), "only the second has bias"),
    ],
)
def test_another_architecture_is_refused(averaged: Any, message: str) -> None:
    model = identity()
    with pytest.raises(ValueError, match=message):
        accuracy_matrix(tasks_at(model, ("larger", 0, 9)), parameters(model), {}, averaged=averaged)


def test_outputs_that_are_nan_are_told() -> None:
    model: Any = identity()
    tasks = sign_tasks()
    tasks["few"] = (torch.full((10, 2), NAN).double(), tasks["few"][1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)

    def step() -> None:
        model(torch.ones(1, 2).double()).sum().backward()
        optimizer.step()

    with nbtoolkit.watch(model, optimizer, tasks=tasks, instruments=[accuracy_matrix]) as run:
        with run.task("larger"):
            step()
        with torch.no_grad():
            model.weight.fill_(NAN)
        with run.task("smaller"):
            step()
    matrix = run["accuracy_matrix"]
    np.testing.assert_array_equal(matrix["accuracy"][-1], [[1, 0, NAN], [NAN] * 3])
    told = matrix["accuracy"].attrs["not_measured"]
    assert "after 'larger' the model's outputs are NaN on 'few' (1 times" in told
    assert "after 'smaller' the model's outputs are NaN on 'larger', 'smaller', 'few' (1 times" in told
    assert "the model's outputs are NaN on 'few'" in matrix["initial_accuracy"].attrs["not_measured"]


def test_of_numbers_nothing_is_said_and_of_nan_the_rest_is_known() -> None:
    model = identity()
    whole = accuracy_matrix.measure(tasks_at(model, ("larger", 0, 30)), parameters(model), {})
    assert not isinstance(whole["accuracy"], Unknown)
    tasks = sign_tasks()
    tasks["few"] = (torch.full((10, 2), NAN).double(), tasks["few"][1])
    stream = TasksAt(model, Tasks(tasks))
    stream.episodes.append(Episode("larger", "larger", 0, 30))
    np.testing.assert_array_equal(accuracy_matrix(stream, parameters(model), {})["accuracy"], [[1, 0, NAN]])
