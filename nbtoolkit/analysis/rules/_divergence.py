"""Divergence: the loss is above where it began, and stays there."""

from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.robust import since
from nbtoolkit.analysis.rule import Sign, rule

FIRST = 5  # losses whose median is where it began
FEW, MANY = 8, 200  # losses in a row that must be above
LOST = 0.5  # of what had been gained
LONG = 100  # losses before a part of the gain can be lost
LEVELS = 200


@rule(
    "divergence",
    severity="alarm",
    needs=(("loss",),),
    reference="Cohen et al. (2021), arXiv:2103.00065, section 2 (steps beyond 2/lr); Gilmer et al. (2021), "
    "arXiv:2110.04369 (warm-up and clipping against it)",
    advice="Lower the learning rate or warm it up, clip the gradient, and go back to a state from before this step.",
)
def divergence(data: Recorded) -> Iterator[Sign]:
    """The loss is above the line in each of the last steps: twice its level at the start of the task, or more if noisy.

    The level is the median of the first five losses; the line is above it by its size, or by ten times the median fall
    from one step to the next in the first half where that is more. "Each of the last" are 8 steps, or a fiftieth of
    all, at most 200. A warning, where it is not that high: three quarters of the last twentieth of the losses (20 at
    least) are above the middle between the lowest level reached and the start. Counted from the last boundary between
    tasks; data that change without a boundary look the same.
    """
    steps, loss = data.task_loss
    count = len(loss)
    if count < FEW + FIRST:
        return
    start = float(np.median(loss[:FIRST]))
    change = _change(loss[: min(count // 2, 4 * MANY)])
    line = start + max(abs(start), 10 * change)
    last = loss[-min(max(count // 50, FEW), MANY) :]
    if last.min() > line:
        began = since(loss > line)
        yield Sign(
            steps[began], "the loss is far above where it began, and stays there",
            f"loss {loss[-1]:.3g} at step {steps[-1]}, {start:.3g} at first; above {line:.3g} since step "
            f"{steps[began]}", f"line {line:.3g}", "loss",
        )  # fmt: skip
    elif count >= LONG:
        yield from _lost(steps, loss, start, change)


def _change(loss: np.ndarray) -> float:
    """Median fall from one loss to the next, 0 where there are few: a measure of noise that growth leaves alone."""
    falls = -np.diff(loss)
    falls = falls[falls > 0]
    return float(np.median(falls)) if len(falls) > 2 else 0.0


def _lost(steps: np.ndarray, loss: np.ndarray, start: float, change: float) -> Iterator[Sign]:
    """Much of what had been gained is lost again."""
    levels, width = _levels(loss)
    best = int(np.argmin(levels))
    gain = start - levels[best]
    middle = levels[best] + LOST * gain
    last = loss[-max(20, len(loss) // 20) :]
    if gain > 10 * change and np.quantile(last, 0.25) > middle:
        began = steps[min(since(levels > middle) * width, len(steps) - 1)]
        yield Sign(
            began, "the loss has lost more than half of what it had gained, and stays there",
            f"median loss {np.median(last):.3g} over the last {len(last)} steps, lowest {levels[best]:.3g} about step "
            f"{steps[best * width]}, {start:.3g} at first", f"line {middle:.3g}, half of the gain", "loss", "warn",
            "If the data did not change here, lower the learning rate or go back to the state of the lowest loss.",
        )  # fmt: skip


def _levels(loss: np.ndarray) -> tuple[np.ndarray, int]:
    """Medians of equal stretches of the losses, and the length of one; of long stretches some losses."""
    width = max(10, len(loss) // LEVELS)
    rows = loss[: len(loss) // width * width].reshape(-1, width)
    return np.median(rows[:, :: max(1, width // 25)], axis=1), width
