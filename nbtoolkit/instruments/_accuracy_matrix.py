"""Accuracy on every task after each task."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._accuracy import accuracy_of
from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.numerics.tasks import Episode
from nbtoolkit.numerics.tasks_at import TasksAt

BEGUN = Unknown("training on a task had begun when this was first measured")
NO_TASK_YET = Unknown("no task was trained yet")


@instrument(
    outputs={
        "accuracy": Var(("task_trained", "task_evaluated"), "1", "accuracy after each task", error="accuracy_error"),
        "accuracy_error": Var(("task_trained", "task_evaluated"), "1", "standard error of the accuracy"),
        "initial_accuracy": Var(("task_evaluated",), "1", "accuracy before the first task"),
    },
    cost=lambda settings: 1.0,
    at_boundaries=True,
    reference="Lopez-Paz & Ranzato (2017), arXiv:1706.08840, section 2.2",
)
def accuracy_matrix(
    tasks: TasksAt, params: Mapping[str, Tensor], memory: dict[str, Any], /, *, averaged: Any = None
) -> dict[str, Any]:
    """R[i, j]: accuracy on all held-out data of task j right after training on task i, all i that are known by now.

    A visit to a task is a row of its own, a second one called "name (2)". It is filled when the visit ends; NaN while
    it goes on, and for what ended before this was attached. ``initial_accuracy`` is the accuracy before the first
    task, the baseline of forward transfer. In eval mode with the running statistics as they are, among the outputs
    that the scenario lets compete. ``accuracy_error`` is sqrt(R (1 - R) / n) of n examples, the error of a sample of
    that size. ``averaged``, a module or an `AveragedModel`, is evaluated in place of the model.

    What follows from the matrix (ACC, backward and forward transfer, forgetting) `analysis.transfer` computes.
    """
    rows: dict[str, tuple[Tensor, Tensor]] = memory.setdefault("rows", {})
    ended = _just_ended(tasks, rows)
    why = ""
    if ended is not None:
        accuracy, error, why = accuracy_of(tasks, params, averaged)
        rows[ended.label] = accuracy, error
    elif _before_all(tasks) and "initial" not in memory:
        memory["initial"], _, memory["why"] = accuracy_of(tasks, params, averaged)
    unknown = torch.full((len(tasks.names),), torch.nan, dtype=torch.float64)
    known = [rows.get(episode.label, (unknown, unknown)) for episode in tasks.episodes]
    after = f"after {ended.label!r} {why}" if ended is not None and why else ""
    return {
        "accuracy": _told(torch.stack([row for row, _ in known]), after) if known else NO_TASK_YET,
        "accuracy_error": torch.stack([error for _, error in known]) if known else NO_TASK_YET,
        "initial_accuracy": _told(memory["initial"].clone(), memory["why"]) if "initial" in memory else BEGUN,
    }


def _told(values: Tensor, why: str) -> Tensor | Unknown:
    """The values, and why some that were measured are NaN."""
    return Unknown(why, values) if why else values


def _before_all(tasks: TasksAt) -> bool:
    """Whether no step was made on any task."""
    if len(tasks.episodes) == 1 and tasks.now is not None:
        return tasks.step in (None, tasks.now.begin)
    return not tasks.episodes


def _just_ended(tasks: TasksAt, rows: Mapping[str, Any]) -> Episode | None:
    """The episode that has ended at this moment, whose row is not there yet."""
    ended = [episode for episode in tasks.episodes if episode.end is not None]
    if not ended or not ended[-1].complete or ended[-1].label in rows or tasks.step not in (None, ended[-1].end):
        return None
    return ended[-1] if tasks.now is None or tasks.now.begin == ended[-1].end else None
