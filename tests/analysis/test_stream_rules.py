"""What the rules say of a stream of tasks: what is lost for good, and what comes back."""

import numpy as np
import pytest

from tests.analysis.records import record, said

TASKS = ["a", "b", "c"]
LABELS = {"task_trained": TASKS, "task_evaluated": TASKS}
REPLAYED = [[0.95, 0.3, 0.3], [0.93, 0.95, 0.3], [0.93, 0.94, 0.96]]
FORGOTTEN = [[0.95, 0.3, 0.3], [0.6, 0.95, 0.3], [0.5, 0.7, 0.96]]


def matrix(rows, error=0.01):
    rows = np.asarray(rows, float)
    every = np.stack([np.where(np.arange(3)[:, None] <= visit, rows, np.nan) for visit in range(3)])
    values = {
        "accuracy": every,
        "accuracy_error": 0 * every + error,
        "initial_accuracy": np.full((3, 3), 0.1),
    }
    return record({"accuracy_matrix": values}, every=100, labels=LABELS)


def test_forgetting_names_the_task_that_lost_most():
    (found,) = said(matrix(FORGOTTEN), "forgetting")
    assert (found.severity, found.step, found.group) == ("warn", 200, "accuracy_matrix")
    assert found.evidence == "0.35 +- 0.01 in the mean of 2 tasks; most on a: 0.50 after c, 0.45 below its best"


def test_what_is_kept_or_uncertain_is_not_forgotten():
    assert not said(matrix(REPLAYED), "forgetting")
    assert not said(matrix(FORGOTTEN, error=0.2), "forgetting")


def curves(fall, after, error=0.01):
    """Accuracy at each step of two tasks, that on the first falling after step 50 and coming back."""
    first = np.r_[np.linspace(0.2, 0.9, 51), np.linspace(0.9 - fall, after, 49)]
    second = np.r_[np.full(50, 0.1), np.linspace(0.1, 0.9, 50)]
    training = np.zeros((100, 2))
    training[:50, 0] = training[50:, 1] = 1
    values = {
        "accuracy": np.c_[first, second],
        "accuracy_error": np.full((100, 2), error),
        "training": training,
    }
    return record({"stability_gap": values}, labels={"task_evaluated": TASKS[:2]})


def test_a_gap_that_closes():
    (found,) = said(curves(0.4, 0.88), "stability gap")
    assert (found.severity, found.step, found.group) == ("note", 50, "stability_gap")
    assert found.text == "accuracy on a fell and came back while b was trained"


@pytest.mark.parametrize(("fall", "after", "error"), [(0.02, 0.88, 0.01), (0.5, 0.42, 0.01), (0.4, 0.88, 0.2)])
def test_no_gap_where_it_does_not_fall_or_does_not_come_back_or_is_uncertain(fall, after, error):
    assert not said(curves(fall, after, error), "stability gap")
