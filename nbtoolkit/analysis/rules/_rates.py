"""What the learning rate of the first group does: it warms up, or has decayed."""

import numpy as np

from nbtoolkit.analysis.layers import thinned
from nbtoolkit.analysis.recorded import Recorded

RISEN = 1.02
DECAYED = 1e-3  # of its highest
SEEN = 1000  # rows that are read


def rates(data: Recorded) -> tuple[np.ndarray, np.ndarray]:
    """Steps and learning rates, thinned; empty where they were not recorded."""
    group = data.groups.get("lr")
    found = None if group is None else group.rows("lr", "group")
    if group is None or found is None or not found.shape[1]:
        return np.empty(0), np.empty(0)
    rows = thinned(0, len(found), SEEN)
    return group.steps[rows], found[rows, 0]


def warms_up(data: Recorded, step: int) -> bool:
    """Whether the learning rate is higher than it was at a step, and is its highest so far."""
    steps, values = rates(data)
    if not len(values):
        return False
    then = values[min(int(np.searchsorted(steps, step)), len(values) - 1)]
    return bool(values[-1] > RISEN * then and values[-1] >= np.nanmax(values))


def has_decayed(data: Recorded) -> bool:
    """Whether the learning rate is below a thousandth of its highest."""
    _, values = rates(data)
    return bool(len(values) and values[-1] < DECAYED * np.nanmax(values))
