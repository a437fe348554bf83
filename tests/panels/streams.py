"""Runs over made-up streams of tasks, and what plasticity is told by; no two of their values can be mistaken."""

from typing import Any

import numpy as np

from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var

TASKS = ["rot0", "rot90", "rot180"]
LENGTH = 300  # steps of an episode
LAYERS = ["0", "2", "4", "6"]
QUANTILES = [0.01, 0.1, 0.5, 0.9, 0.99]
GAP = {
    "accuracy": Var(("task_evaluated",), "1", "accuracy by task", error="accuracy_error", training="training"),
    "accuracy_error": Var(("task_evaluated",), "1", "standard error"),
    "training": Var(("task_evaluated",), "1", "the task being trained"),
}
MATRIX = {
    "accuracy": Var(("task_trained", "task_evaluated"), "1", "accuracy after each task", error="accuracy_error"),
    "accuracy_error": Var(("task_trained", "task_evaluated"), "1", "standard error"),
    "initial_accuracy": Var(("task_evaluated",), "1", "accuracy before the first task"),
}
CONFLICT = {
    "cosine": Var(("task_evaluated", "task_other"), "1", "cosine between gradients"),
    "gradient_norm": Var(("task_evaluated",), "loss/param", "gradient norm by task"),
}
TERMS = {"cosine": Var(("term", "term_other"), "1", "cosine between gradients of terms")}
PROBE = {"probe_accuracy": Var(("layer", "task_evaluated"), "1", "accuracy of a linear probe", error="probe_error"),
         "probe_error": Var(("layer", "task_evaluated"), "1", "standard error")}  # fmt: skip
UNITS = {
    "dormant": Var(("layer",), "1", "share of dormant units"),
    "total_dormant": Var((), "1", "share of dormant units in all layers"),
}
RANK = {"effective_rank": Var(("layer",), "1", "effective rank")}
SPECTRUM = {"singular_values": Var(("layer", "index"), "1", "singular values of the weights", "log")}
TRAINABILITY = {
    "probe_loss": Var(("probe_step",), "loss", "from the present parameters"),
    "fresh_loss": Var(("probe_step",), "loss", "from the first parameters"),
}
LOGITS = {"margin": Var(("quantile",), "logit", "margin")}
FISHER = {"trace": Var(("layer",), "1/param^2", "trace of the Fisher information", "log")}


def accuracy_at(task: int, step: float) -> float:
    """Chance, then a rise while it is trained, then a dip of its own at each later task and a slow loss."""
    since = step - LENGTH * task
    if since <= 0:
        return 0.1 + 0.05 * task
    learned = 0.98 - 0.01 * task - (0.88 - 0.05 * task) * np.exp(-since / 25)
    for later in range(task + 1, len(TASKS)):
        t = step - LENGTH * later
        if t > 0:
            learned -= (0.24 - 0.07 * later + 0.02 * task) * (t / 12) * np.exp(1 - t / 12) + 0.015 * (
                1 - np.exp(-t / 60)
            )
    return float(learned)


def measured_steps(end: int, dense: int = 60) -> list[int]:
    """Every fifth step, and every one from a boundary on."""
    return [step for step in range(end + 1) if step % 5 == 0 or step % LENGTH < dense]


def add_stream(record: Record, end: int = LENGTH * len(TASKS)) -> None:
    """Accuracy on every task up to a step, and the matrix as far as it is filled by then."""
    steps = measured_steps(end)
    accuracy = np.array([[accuracy_at(task, step) for task in range(len(TASKS))] for step in steps])
    accuracy = np.round(500 * accuracy) / 500
    training = np.array([[float(step // LENGTH == task) for task in range(len(TASKS))] for step in steps])
    error = np.sqrt(accuracy * (1 - accuracy) / 500)
    labels: dict[str, Any] = {"task_evaluated": TASKS}
    columns = record.group("stability_gap", GAP, {"reference": "De Lange et al. (2023)", "definition": "Accuracy."})
    columns.append(steps, {"accuracy": accuracy, "accuracy_error": error, "training": training}, labels)
    matrix = record.group("accuracy_matrix", MATRIX, {"reference": "Lopez-Paz & Ranzato (2017)"})
    matrix.widen({"task_trained": TASKS, "task_evaluated": TASKS})
    square = np.full((len(TASKS), len(TASKS)), np.nan)
    for trained in range(min(len(TASKS), end // LENGTH)):
        square[trained] = [accuracy_at(task, LENGTH * (trained + 1)) for task in range(len(TASKS))]
        rows = {
            "accuracy": square[None].copy(),
            "accuracy_error": np.sqrt(square * (1 - square) / 500)[None],
            "initial_accuracy": np.array([[0.1, 0.15, 0.2]]),
        }
        matrix.append([LENGTH * (trained + 1)], rows)


def add_conflicts(record: Record, steps: tuple[int, ...] = (300, 600, 900)) -> None:
    """Cosines between gradients of tasks and of terms, and what probes read from each layer."""
    tasks, terms = record.group("gradient_conflict", CONFLICT), record.group("term_conflict", TERMS)
    probe = record.group("linear_probe", PROBE)
    cosine = np.array([[1, -0.62, 0.08], [-0.62, 1, 0.35], [0.08, 0.35, 1.0]])
    among = {"task_evaluated": TASKS, "task_other": TASKS}
    for k, step in enumerate(steps):
        turned = cosine * (1 - 0.2 * k) + 0.2 * k * np.eye(3)
        tasks.append([step], {"cosine": turned[None], "gradient_norm": np.array([[1.0, 2, 0.5]]) / (1 + k)}, among)
        pair = np.array([[[1, -0.3 + 0.2 * k], [-0.3 + 0.2 * k, 1]]])
        terms.append([step], {"cosine": pair}, {"term": ["data", "physics"], "term_other": ["data", "physics"]})
        values = 0.95 - 0.04 * np.arange(4)[:, None] * np.array([1, 0.5, 0.1]) - 0.01 * k
        rows = {"probe_accuracy": values[None], "probe_error": np.full((1, 4, 3), 0.02)}
        probe.append([step], rows, {"layer": LAYERS, "task_evaluated": TASKS})


def add_plasticity(record: Record, layers: list[str] = LAYERS, end: int = 900) -> None:
    """Units that fall asleep, ranks that collapse, spectra, a training on the side, margins, Fisher traces."""
    steps = np.arange(0, end + 1, 50)
    time, depth = steps[:, None] / end, np.arange(len(layers))[None] / len(layers)
    among: dict[str, Any] = {"layer": layers}
    asleep = 0.8 * time * (0.4 + 0.6 * depth)
    rows: dict[str, Any] = {"dormant": asleep, "total_dormant": asleep.mean(axis=1)}
    record.group("unit_activity", UNITS).append(steps, rows, among)
    record.group("effective_rank", RANK).append(steps, {"effective_rank": 29 - 27 * time * (0.5 + 0.5 * depth)}, among)
    traces = np.exp(2 * time - 3 * depth)
    record.group("fisher_diag", FISHER).append(steps, {"trace": traces}, among)
    index, probe_step = np.arange(32), np.arange(0, 51, 5)
    values = 3 * (1 + time[:, :, None]) * np.exp(-(0.05 + 0.12 * time[:, :, None] * (1 + depth[:, :, None])) * index)
    values[:, -1, 10:] = np.nan  # the last layer has ten outputs only
    place = {"layer": layers, "index": index.tolist()}
    record.group("layer_spectrum", SPECTRUM).append(steps, {"singular_values": values}, place)
    fresh = 2.3 * np.exp(-probe_step / 20)[None] + 0 * time
    slow = 2.3 * np.exp(-probe_step[None] / (20 + 200 * time))
    sides = {"probe_loss": slow, "fresh_loss": fresh}
    record.group("trainability_probe", TRAINABILITY).append(steps, sides, {"probe_step": probe_step.tolist()})
    margin = 5 * time * np.array([-0.5, 0.1, 0.5, 0.9, 1.5]) + np.array([-1, -0.5, 0, 0.5, 1.0])
    record.group("logit_stats", LOGITS).append(steps, {"margin": margin}, {"quantile": QUANTILES})


def record(end: int = LENGTH * len(TASKS)) -> Record:
    """A run with everything."""
    made = Record()
    steps = np.arange(1, end + 1)
    loss = {"loss": 0.1 + 2.0 * np.exp(-((steps - 1) % LENGTH) / 40)}
    made.group("loss", {"loss": Var((), "loss", "training loss")}).append(steps, loss)
    add_stream(made, end)
    add_conflicts(made)
    add_plasticity(made)
    return made
