"""Accuracy on some examples of every task while one is trained."""

import numpy as np
import pytest
import torch
from torch import nn

from nbtoolkit.instruments import Unknown, stability_gap
from tests.instruments.streams import identity, parameters, sign_tasks, tasks_at


def test_it_is_the_accuracy_on_the_same_examples_each_time() -> None:
    torch.manual_seed(1)
    model = nn.Linear(2, 2).double()
    tasks = tasks_at(model)
    whole = stability_gap(tasks, parameters(model))
    for place, (x, y) in enumerate(sign_tasks().values()):
        assert whole["accuracy"][place] == float((model(x).argmax(1) == y).double().mean())
    some = stability_gap(tasks, parameters(model), examples=20)
    share = some["accuracy"][0]
    assert share * 20 == round(share * 20)
    np.testing.assert_array_equal(some["accuracy"], stability_gap(tasks, parameters(model), examples=20)["accuracy"])
    np.testing.assert_allclose(
        some["accuracy_error"], (some["accuracy"] * (1 - some["accuracy"]) / [20, 20, 10]) ** 0.5
    )
    assert some["accuracy"][2] == whole["accuracy"][2]  # of ten examples all ten


def test_tasks_to_come_are_left_out() -> None:
    model = identity()
    found = stability_gap(tasks_at(model, ("larger", 0, 9), ("smaller", 9, None)), parameters(model))
    np.testing.assert_array_equal(np.isnan(found["accuracy"]), [False, False, True])
    np.testing.assert_array_equal(np.isnan(found["accuracy_error"]), [False, False, True])
    np.testing.assert_array_equal(found["training"], [0, 1, 0])


def test_it_tells_which_task_is_trained() -> None:
    model = identity()
    during = stability_gap(
        tasks_at(model, ("larger", 0, 9), ("smaller", 9, 20), ("larger (2)", 20, None)), parameters(model)
    )
    np.testing.assert_array_equal(during["training"], [1, 0, 0])
    between = stability_gap(tasks_at(model, ("larger", 0, 9)), parameters(model))
    np.testing.assert_array_equal(between["training"], [0, 0, 0])
    never = stability_gap.measure(tasks_at(model), parameters(model))
    assert never["training"] == Unknown("no boundary between tasks was given")
    np.testing.assert_array_equal(never["accuracy"], [1, 0, 1])


def test_an_average_is_evaluated_in_its_place() -> None:
    model = identity()
    found = stability_gap(tasks_at(model), parameters(model), averaged=identity(flipped=True))
    np.testing.assert_array_equal(found["accuracy"], [0, 1, 0])


@pytest.mark.parametrize("examples", [0, -1, 2.5, True, "all"])
def test_a_number_of_examples_that_is_none_is_refused(examples: object) -> None:
    model = identity()
    with pytest.raises(ValueError, match=r"examples=.*: expected a whole number of 1 or more"):
        stability_gap(tasks_at(model), parameters(model), examples=examples)


def test_it_is_dense_after_a_boundary() -> None:
    assert stability_gap.every == 5
    assert stability_gap.dense is not None
    assert stability_gap.dense(stability_gap.using(dense=7).settings) == 7
