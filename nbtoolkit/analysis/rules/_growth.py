"""What tells a divergence from a loss that rises as it should: how fast it rises, and what grows with it.

The loss of a GAN's players, one with a term whose weight is raised, or that of values that are bootstrapped may rise
for good in a healthy training. It does so slowly, to a level of the same size, and weights and gradients do not grow
with it. Beyond a stable learning rate all of them grow by a factor in each step.
"""

from typing import NamedTuple

import numpy as np

from nbtoolkit.analysis.layers import thinned
from nbtoolkit.analysis.recorded import Group, Recorded
from nbtoolkit.analysis.robust import since

__all__ = ["Rise", "grown_with_it"]

FIRST, SEEN = 5, 64  # rows of the gradient's norm at first, and of those since, that are read
GROWN = 10.0  # squared errors need to grow a hundredfold for that; weights grow less in a training that learns
NEAR = 0.25  # of the way to the line, from where a rise is timed
SUDDEN = 50  # losses: beyond a stable learning rate they double in a few, a term that is annealed takes hundreds
DOUBLINGS = 3  # of the height beyond the line: nine times the start
ORDERS = 1000.0  # heights of the line
SLOWING = 1.5  # of the time of the last doubling over that before: 1 if exponential, 2 if linear


class Rise(NamedTuple):
    """A loss that has risen.

    Attributes:
        loss: of the task.
        start: its level at first.
        line: above which each of the last ones is.
        length: how many those are.
    """

    loss: np.ndarray
    start: float
    line: float
    length: int

    @property
    def height(self) -> float:
        """Of the last losses above the start."""
        return float(self.loss[-self.length :].min()) - self.start

    def reached(self, part: float) -> int:
        """Since when the losses are at this part of the height."""
        return since(self.loss >= self.start + part * self.height)

    def is_sudden(self) -> bool:
        """Whether half of the height was reached within 50 losses of the last one near the start."""
        half = self.reached(0.5)
        low = np.flatnonzero(self.loss[:half] <= self.start + NEAR * (self.line - self.start))
        return half - (int(low[-1]) if len(low) else 0) <= SUDDEN

    def is_steep(self) -> bool:
        """Whether they are far beyond the line, and still double or went there suddenly, or are out of sight."""
        line = self.line - self.start
        if self.height < 2**DOUBLINGS * line:
            return False
        if self.height > ORDERS * line or self.is_sudden():
            return True
        quarter, half, now = (self.reached(part) for part in (0.25, 0.5, 1.0))
        still_grows = len(self.loss) - now <= 2 * max(now - half, self.length)
        return still_grows and now - half <= SLOWING * (half - quarter)


def grown_with_it(data: Recorded, begin: int, best: int, began: int) -> str | None:
    """What has grown with the loss, in words; "" where nothing has, None where nothing of it was recorded.

    The gradient's norm is compared with that at the begin of the task, the weights' with that at the lowest loss, both
    over all parameters.

    Args:
        data: what was recorded.
        begin: first step of the task.
        best: step of the lowest loss.
        began: step at which the rise did.
    """
    gradient, weights = data.groups.get("grad_norm"), data.groups.get("weight_norm")
    found = [
        _grown(gradient, "grad_norm", begin, began, FIRST, "the gradient"),
        _grown(weights, "weight_norm", best, began, 1, "the norm of the weights"),
    ]
    told = [one for one in found if one is not None]
    return " and ".join(filter(None, told)) if told else None


def _grown(group: Group | None, name: str, base: int, began: int, rows: int, words: str) -> str | None:
    values = None if group is None else group.rows(name, "param")
    if group is None or values is None:
        return None
    first, since_then = (int(np.searchsorted(group.steps, step)) for step in (base, began))
    first = max(0, min(first, len(values) - 1))
    before, after = _total(values[first : first + rows]), _total(values[thinned(since_then, len(values), SEEN)])
    if not len(before) or not len(after):
        return None
    if np.isinf(after).any():
        return f"{words} overflows"
    ratio = float(np.median(after) / np.median(before)) if np.median(before) > 0 else 0.0
    return f"{words} is {ratio:.3g} times as large as before" if ratio > GROWN else ""


def _total(norms: np.ndarray) -> np.ndarray:
    """Norm over all parameters of each row that has one."""
    norms = norms[~np.isnan(norms).all(axis=1)]
    return np.sqrt(np.nansum(norms**2, axis=1))
