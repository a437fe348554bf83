"""Accuracy on every task while one is being learned."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from nbtoolkit.instruments._averaged import averaged_weights
from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.numerics.given import is_whole, shown
from nbtoolkit.numerics.tasks_at import TasksAt

NO_BOUNDARY = Unknown("no boundary between tasks was given")


def _with_error(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    share = rows["accuracy"]
    return {"accuracy_error": np.sqrt(share * (1 - share) / np.ma.masked_equal(rows["examples"], 0))}


@instrument(
    outputs={
        "accuracy": Var(("task_evaluated",), "1", "accuracy by task", error="accuracy_error", training="training"),
        "accuracy_error": Var(("task_evaluated",), "1", "standard error of the accuracy"),
        "training": Var(("task_evaluated",), "1", "task being trained"),
    },
    cost=lambda settings: 1.0,
    every=5,
    dense=lambda settings: settings["dense"],
    reference="De Lange, van de Ven & Tuytelaars (2023), arXiv:2205.13452",
    derive=_with_error,
)
def stability_gap(
    tasks: TasksAt, params: Mapping[str, Tensor], /, *, examples: int = 100, dense: int = 100, averaged: Any = None
) -> dict[str, Any]:
    """Accuracy on some held-out examples of every task begun, so often that a passing drop after a boundary is seen.

    In the first ``dense`` steps of each task it is measured at every step: accuracy on earlier tasks may fall within a
    few steps and be back long before the task ends, which measurements between tasks never show. Tasks that are still
    to come are left out, which spares their cost; where no boundary is known there are none such. The same
    ``examples`` of each task each time (all of them where there are fewer), so that differences between steps are the
    model's; ``accuracy_error`` is sqrt(A (1 - A) / n), the error of a sample of its size. In eval mode with the running
    statistics as they are. ``training`` is 1 for the task being trained, 0 for the others. ``averaged``, a module or an
    `AveragedModel`, is evaluated in place of the model: the gap of an average of the weights.

    What follows from the curves (min-ACC, WC-ACC, windowed forgetting, depth of the gap) `analysis.transfer` computes.
    """
    if not is_whole(examples, 1):
        raise ValueError(f"examples={shown(examples)}: expected a whole number of 1 or more")
    weights = params if averaged is None else averaged_weights(tasks.model, averaged, tasks.prefix)
    begun = tasks.trained or tasks.names
    right, count = tasks.accuracy(weights, int(examples), [name for name in tasks.names if name in begun])
    told = list(zip(tasks.names, right.tolist(), count.tolist(), strict=True))
    now = None if tasks.now is None else tasks.now.task
    return {
        "accuracy": [good / of if name in begun and of else None for name, good, of in told],
        "training": [float(name == now) for name in tasks.names] if tasks.episodes else NO_BOUNDARY,
        "examples": [of for _, _, of in told],
    }
