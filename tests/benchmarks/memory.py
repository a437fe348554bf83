"""Memory that a long run takes: growth of this process over a million steps of twenty scalars."""

import re
from pathlib import Path

import numpy as np
import psutil

from nbtoolkit.store.columns import Columns
from nbtoolkit.store.schema import Var

STEPS = 1_000_000
SCALARS = 20
ROWS = 100  # as many as arrive at once from a fast loop


def growth() -> dict[str, float]:
    """Megabytes: held at the end, and at the highest point."""
    values = {f"value_{i}": np.random.default_rng(i).normal(size=ROWS) for i in range(SCALARS)}
    columns = Columns("memory", {name: Var((), "1", name) for name in values})
    before = psutil.Process().memory_info().rss
    for start in range(0, STEPS, ROWS):
        columns.append(np.arange(start, start + ROWS), values)
    held = psutil.Process().memory_info().rss - before
    peak = _highest() - before
    assert len(columns) == STEPS
    return {"held_mb": held / 1e6, "peak_mb": peak / 1e6}


def _highest() -> int:
    """Bytes; not getrusage, in which a child process inherits the peak of its parent."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    import json

    print(json.dumps(growth()))
