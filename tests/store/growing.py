"""A record that grows like that of a run, of numbers that are known."""

import numpy as np

from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.schema import Var

PARAMS = [f"p{i}" for i in range(10)]
SLOW = 50  # steps between two rows of the plane


class Growing:
    """Three groups: a curve with its error, a field, and a plane that is measured seldom."""

    def __init__(self, first: int = 0) -> None:
        self.step = first
        self.record = Record({"name": "grown", "steps": first})
        self.loss = self.record.group(
            "loss", {"loss": Var((), "nats", "loss", error="error"), "error": Var((), "1", "e")}
        )
        self.norm = self.record.group("norm", {"norm": Var(("param",), "1", "norm")})
        self.plane = self.record.group("plane", {"plane": Var(("alpha", "beta"), "nats", "plane")})

    def grow(self, rows: int) -> None:
        """Add rows, the plane's where they are due."""
        steps = np.arange(self.step, self.step + rows)
        self.loss.append(steps, {"loss": loss(steps), "error": steps / 7})
        self.norm.append(steps, {"norm": np.outer(steps, np.arange(1.0, 11.0))}, {"param": PARAMS})
        due = steps[steps % SLOW == 0]
        values = np.arange(12.0).reshape(1, 3, 4) + due[:, None, None]
        self.plane.append(due, {"plane": values}, {"alpha": [-1.0, 0.0, 1.0], "beta": [0, 1, 2, 3]})
        self.step += rows
        self.record.attrs["steps"] = self.step


def loss(steps: np.ndarray) -> np.ndarray:
    """A spike every 1000 steps, and a gap of one step in 997."""
    values = np.sin(steps / 50) + 40.0 * (steps % 1000 == 321)
    return np.where(steps % 997 == 5, np.nan, values)


def assert_grown(record: Record, rows: dict[str, int] | None = None) -> None:
    """The record holds the first rows of each group as they were grown, and nothing else."""
    for name, columns in record.groups.items():
        steps, values = columns.rows()
        every = np.arange(0, 10_000_000, SLOW) if name == "plane" else np.arange(len(steps))
        np.testing.assert_array_equal(steps, every[: len(steps)])
        if rows is not None:
            assert len(steps) == len(columns) == rows[name]
        assert_values(columns, steps, dict(values))


def assert_values(columns: Columns, steps: np.ndarray, values: dict[str, np.ndarray]) -> None:
    """Rows of any steps have the values of these steps."""
    if columns.name == "loss":
        np.testing.assert_array_equal(values["loss"], loss(steps))
        np.testing.assert_array_equal(values["error"], steps / 7)
    elif columns.name == "norm":
        np.testing.assert_array_equal(values["norm"], np.outer(steps, np.arange(1.0, 11.0)))
        assert columns.labels["param"] == PARAMS or not len(steps)
    else:
        np.testing.assert_array_equal(values["plane"], np.arange(12.0).reshape(1, 3, 4) + steps[:, None, None])
