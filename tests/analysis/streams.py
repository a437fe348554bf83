"""Records of task streams with chosen numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray

NAN = np.nan


def matrix(
    accuracy: Any, initial: Sequence[float] | None = None, *, labels: str = "abc", tasks: str = ""
) -> xarray.Dataset:
    """Labels and tasks are single letters; a capital is the second visit to its task."""
    named = [label if label.islower() else f"{label.lower()} (2)" for label in labels[: len(accuracy)]]
    tasks = tasks or "abc"[: len(accuracy[0])]
    ds = xarray.Dataset(
        {"accuracy": (("task_trained", "task_evaluated"), np.array(accuracy, float))},
        {"task_trained": named, "task_evaluated": list(tasks)},
    )
    return ds if initial is None else ds.assign(initial_accuracy=("task_evaluated", np.array(initial, float)))


def curves(steps: Sequence[int], training: str = "", **accuracy: Sequence[float]) -> xarray.Dataset:
    """``training`` has a letter for each row: the task being trained, or a dot."""
    ds = xarray.Dataset(
        {"accuracy": (("step", "task_evaluated"), np.array(list(accuracy.values()), float).T)},
        {"step": list(steps), "task_evaluated": list(accuracy)},
    )
    rows = [[float(name == now) for name in accuracy] if now != "?" else [NAN] * len(accuracy) for now in training]
    return ds.assign(training=(("step", "task_evaluated"), rows)) if training else ds


def run(matrix_of: xarray.Dataset | None, curves_of: xarray.Dataset | None, **more: xarray.Dataset) -> xarray.DataTree:
    """As a run has them: the matrix as known at two steps."""
    groups = {f"/{name}": ds for name, ds in more.items()}
    if matrix_of is not None:
        early = matrix_of.copy(deep=True)
        early["accuracy"][1:] = NAN
        groups["/accuracy_matrix"] = xarray.concat([early, matrix_of], xarray.Variable("step", [0, 100]))
    if curves_of is not None:
        groups["/stability_gap"] = curves_of
    return xarray.DataTree.from_dict({"/": xarray.Dataset(), **groups})
