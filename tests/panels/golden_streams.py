"""What Python finds in streams of tasks, written down so that the browser is held to the same numbers.

Written anew by ``python -m tests.panels.golden_streams``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from nbtoolkit.panels.episodes import episodes, gaps
from tests.panels.golden import plain
from tests.panels.streams import LENGTH, TASKS, accuracy_at, measured_steps

FILE = Path(__file__).parent / "golden_streams.json"


def walk(visits: list[int], tasks: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, accuracies that wander with holes in them, and who is trained: visits of ten steps each."""
    rng = np.random.default_rng(seed)
    steps = np.sort(rng.choice(np.arange(10 * len(visits)), 8 * len(visits), replace=False)).astype(float)
    values = np.clip(0.7 + np.cumsum(rng.normal(scale=0.08, size=(len(steps), tasks)), axis=0), 0, 1).round(3)
    values[rng.random(values.shape) < 0.1] = np.nan
    now = np.array([visits[int(step // 10)] for step in steps])
    training = np.where(now[:, None] < 0, np.nan, now[:, None] == np.arange(tasks)).astype(float)
    return steps, values, training


def streams() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Streams of every kind: in order, with visits again and stretches unknown, known only in part, alone."""
    steps = np.array(measured_steps(LENGTH * len(TASKS)), float)
    values = np.array([[accuracy_at(task, step) for task in range(len(TASKS))] for step in steps])
    now = (steps // LENGTH)[:, None]
    return {
        "rotations": (steps, values.round(6), (now == np.arange(len(TASKS))).astype(float)),
        "again": walk([0, 1, 0, 2, 1, 0], 3, 1),
        "unknown": walk([0, -1, 1, 1, -1, 0], 2, 2),
        "untold": walk([-1, -1], 2, 3),
        "alone": walk([0, 0], 1, 4),
    }


def golden() -> list[dict[str, Any]]:
    """The content of the file."""
    told = []
    for name, (steps, values, training) in streams().items():
        found = episodes(steps, training)
        drawn = {"episodes": [vars(one) for one in found], "gaps": [vars(one) for one in gaps(steps, values, found)]}
        rows = {"steps": steps, "values": list(values), "training": list(training)}
        told.append({"name": name, **rows, **drawn})
    return plain(told)


if __name__ == "__main__":
    FILE.write_text(json.dumps(golden()) + "\n")
