"""Runs with made-up landscapes, barriers, matrices and paths; no two of their values can be mistaken for each other."""

from typing import Any

import numpy as np

from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var

SLICE = {
    "loss_slice": Var(("alpha", "beta"), "loss", "loss around the parameters", path="path"),
    "error_slice": Var(("alpha", "beta"), "1", "error around the parameters"),
    "path": Var(("snapshot", "pc"), "1", "path in the plane"),
    "path_loss": Var(("snapshot",), "loss", "loss on the path"),
    "plane_loss": Var(("snapshot",), "loss", "loss in the plane below"),
    "snapshot_step": Var(("snapshot",), "1", "optimizer steps done at each copy"),
}
BARRIER = {
    "path_before": Var(("alpha",), "loss", "loss before matching"),
    "path_after": Var(("alpha",), "loss", "after matching"),
    "barrier_before": Var((), "loss", "barrier"),
}
BARRIERS = {
    "barriers": Var(("snapshot", "other"), "loss", "barriers between copies"),
    "snapshot_step": Var(("snapshot",), "1", "optimizer steps done at each copy"),
}
SIMILARITY = {
    "cka": Var(("layer",), "1", "similarity to the first copy"),
    "layer_cka": Var(("layer", "layer_other"), "1", "similarity between layers"),
}
TRAJECTORY = {
    "coordinates": Var(("snapshot", "pc"), "param", "path of training in its principal plane"),
    "explained": Var(("pc",), "1", "share of the squared distance"),
    "random_walk": Var(("pc",), "1", "share that a random walk would show"),
    "snapshot_step": Var(("snapshot",), "1", "optimizer steps done at each copy"),
}
LAYERS = ["features.0", "features.3", "features.6", "classifier.1", "classifier.4"]
COPIES = 8


def loss_at(a: Any, b: Any, sharpness: float = 1.0) -> Any:
    """A valley along a bent line, no two of its quadrants alike, steeper to the right and upwards."""
    valley = sharpness * (2.2 * (b - 0.35 * a**2 + 0.1) ** 2 + 0.35 * (a - 0.2) ** 2)
    return 0.08 + valley * np.exp(0.45 * a + 0.3 * b) + 0.04 * np.sin(3 * a + 1) * np.cos(2 * b)


def grid(points: int = 25, extent: float = 1.0, sharpness: float = 1.0) -> tuple[list[float], np.ndarray]:
    """Labels, and values ``(alpha, beta)``."""
    labels = np.linspace(-extent, extent, points)
    return labels.tolist(), loss_at(labels[:, None], labels[None], sharpness)


def add_slices(record: Record, steps: tuple[int, ...] = (0, 100, 200), points: int = 25) -> None:
    """A landscape at each of some steps, lower and flatter every time, with a path that ends at the centre."""
    columns = record.group("landscape_slice", SLICE, {"definition": "Loss over a plane.", "reference": "Li (2018)"})
    for k, step in enumerate(steps):
        labels, values = grid(points, sharpness=3.0 / (1 + k))
        error = np.clip(values / values.max() - 0.02, 0, 1)
        way = np.linspace(1, 0, COPIES)[:, None] * [0.8, -0.55] + 0.1 * np.sin(np.linspace(0, np.pi, COPIES))[:, None]
        row = {
            "loss_slice": values[None],
            "error_slice": error[None],
            "path": way[None],
            "path_loss": loss_at(way[:, 0], way[:, 1], 3.0 / (1 + k))[None] * 0.9,
            "plane_loss": loss_at(way[:, 0], way[:, 1], 3.0 / (1 + k))[None],
            "snapshot_step": np.linspace(0, step, COPIES)[None],
        }
        own = {"alpha": labels, "beta": labels, "snapshot": range(COPIES), "pc": [1, 2]}
        columns.append([step], row, own)


def add_barriers(record: Record, steps: tuple[int, ...] = (0, 100, 200)) -> None:
    """Paths between two models and a matrix of barriers, lower every time."""
    alpha = np.linspace(0, 1, 21)
    paths, between = record.group("linear_barrier", BARRIER), record.group("barrier_matrix", BARRIERS)
    size = 6
    for k, step in enumerate(steps):
        ends = 0.3 - 0.1 * alpha
        before = ends + (2.0 - 0.4 * k) * alpha * (1 - alpha) ** 2 * 4
        after = ends + 0.15 * alpha * (1 - alpha)
        rows: dict[str, Any] = {
            "path_before": before[None],
            "path_after": after[None],
            "barrier_before": np.array([0.4]),
        }
        paths.append([step], rows, {"alpha": alpha.tolist()})
        i, j = np.indices((size, size))
        rows: dict[str, Any] = {"barriers": (np.abs(i - j) ** 1.3 * (1 + 0.1 * i * j) / (k + 5))[None]}
        rows["snapshot_step"] = (np.arange(size) * 40.0)[None]
        between.append([step], rows, {"snapshot": range(size), "other": range(size)})


def add_features(record: Record, steps: tuple[int, ...] = (0, 100, 200)) -> None:
    """Similarities of layers, and the path of training in its principal plane."""
    similar, moved = record.group("feature_similarity", SIMILARITY), record.group("trajectory_pca", TRAJECTORY)
    i, j = np.indices((len(LAYERS), len(LAYERS)))
    for k, step in enumerate(steps):
        rows: dict[str, Any] = {
            "layer_cka": np.exp(-0.4 * np.abs(i - j) * (1 + 0.2 * i))[None],
            "cka": np.linspace(1, 0.6, 5)[None],
        }
        similar.append([step], rows, {"layer": LAYERS, "layer_other": LAYERS})
        turn = np.linspace(0, 2.5, COPIES + 4)
        way = np.stack([(1 - turn / 2.5) * 8, 2.5 * np.sin(turn) * (1 - turn / 2.5)], axis=1) * (1 + 0.2 * k)
        rows: dict[str, Any] = {
            "coordinates": way[None],
            "explained": np.array([[0.8, 0.1]]),
            "random_walk": np.array([[0.6, 0.15]]),
        }
        rows["snapshot_step"] = np.linspace(0, step, len(way))[None]
        moved.append([step], rows, {"snapshot": range(len(way)), "pc": [1, 2]})


def record() -> Record:
    """A run with everything."""
    made = Record()
    steps = np.arange(201)
    loss = {"loss": 0.1 + 2.2 * np.exp(-steps / 60) + 0.02 * np.sin(steps)}
    made.group("loss", {"loss": Var((), "loss", "training loss")}).append(steps, loss)
    add_slices(made)
    add_barriers(made)
    add_features(made)
    return made
