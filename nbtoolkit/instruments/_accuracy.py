"""Accuracy on every task with its standard error."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from nbtoolkit.instruments._averaged import averaged_weights
from nbtoolkit.numerics.tasks_at import TasksAt


def accuracy_of(tasks: TasksAt, params: Mapping[str, Tensor], averaged: Any = None) -> tuple[Tensor, Tensor, str]:
    """Accuracy on each task and its binomial standard error, each ``(tasks,)`` in float64 on the host.

    The third is why some of them are NaN, empty where none is.

    Args:
        tasks: their data.
        params: by name.
        averaged: a module whose weights are evaluated instead.

    Raises:
        ValueError: ``averaged`` is no module of the model's architecture.
    """
    weights = params if averaged is None else averaged_weights(tasks.model, averaged, tasks.prefix)
    correct, count = (found.cpu() for found in tasks.accuracy(weights))
    accuracy = correct / count
    return accuracy, (accuracy * (1 - accuracy) / count).sqrt(), _why(tasks.names, correct)


def _why(names: Sequence[str], correct: Tensor) -> str:
    """What there is to say of accuracies that are NaN."""
    broken = [repr(name) for name, nan in zip(names, correct.isnan().tolist(), strict=True) if nan]
    return f"the model's outputs are NaN on {', '.join(broken)}" if broken else ""
