"""Divergence: the loss is above where it began, and stays there."""

from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.robust import since
from nbtoolkit.analysis.rule import Sign, rule
from nbtoolkit.analysis.rules._growth import NEAR, SUDDEN, Rise, grown_with_it
from nbtoolkit.analysis.rules._words import Words, words

FIRST = 5  # losses whose median is where it began
FEW, MANY = 8, 200  # losses in a row that must be above
LOST = 0.5  # of what had been gained
LONG = 100  # losses before a part of the gain can be lost
LEVELS = 200
MEANT = (
    "Nothing need be done where it is not meant to {improve}, as in a game of two networks, with a term whose weight "
    "is raised, or with bootstrapped targets; else lower the learning rate."
)


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
    all, at most 200. An alarm where the norm of the gradient is then ten times that at first, or that of the weights
    ten times that at the lowest loss; or where the loss is eight times as far up as the line and still doubles, got
    half of its way within 50 losses, or is a thousand times as far up; where no norms were recorded, also where it only
    got there so suddenly. Else a note: not every loss is meant to fall.

    A warning, where it is not that high but three quarters of the last twentieth of the losses (20 at least) are above
    the middle between the lowest level reached and the start, and norms have grown so, or are not known and the loss
    rose suddenly; else a note. Counted from the last boundary between tasks; data that change without a boundary look
    the same. Of what the optimizer maximises (``maximize=True``) all is read with the other sign; a note at most where
    it does so in some of its groups only.
    """
    steps, loss = data.task_loss
    count = len(loss)
    if count < FEW + FIRST:
        return
    start = float(np.median(loss[:FIRST]))
    change = _change(loss[: min(count // 2, 4 * MANY)])
    line = start + max(abs(start), 10 * change)
    length = min(max(count // 50, FEW), MANY)
    say = words(data)
    if loss[-length:].min() > line:
        began = since(loss > line)
        joined = grown_with_it(data, steps[0], steps[int(np.argmin(loss))], steps[began])
        rise = Rise(loss, start, line, length)
        lost = joined or rise.is_steep() or (joined is None and rise.is_sudden())
        yield _sign(
            data, steps[began], f"the {say.name} is far {say.worse} where it began, and stays there",
            f"{say.name} {say.sign * loss[-1]:.3g} at step {steps[-1]}, {say.sign * start:.3g} at first; {say.worse} "
            f"{say.sign * line:.3g} since step {steps[began]}",
            f"line {say.sign * line:.3g}", joined, "alarm" if lost else "note",
        )  # fmt: skip
    elif count >= LONG:
        yield from _lost(data, start, change, say)


def _change(loss: np.ndarray) -> float:
    """Median fall from one loss to the next, 0 where there are few: a measure of noise that growth leaves alone."""
    falls = -np.diff(loss)
    falls = falls[falls > 0]
    return float(np.median(falls)) if len(falls) > 2 else 0.0


def _lost(data: Recorded, start: float, change: float, say: Words) -> Iterator[Sign]:
    """Much of what had been gained is lost again."""
    steps, loss = data.task_loss
    levels, width = _levels(loss)
    best = int(np.argmin(levels))
    gain = start - levels[best]
    middle = levels[best] + LOST * gain
    last = loss[-max(20, len(loss) // 20) :]
    if gain > 10 * change and np.quantile(last, 0.25) > middle:
        place = since(levels > middle)
        low = np.flatnonzero(levels[:place] <= levels[best] + NEAR * gain)
        sudden = (place - (int(low[-1]) if len(low) else 0)) * width <= max(SUDDEN, width)
        began = steps[min(place * width, len(steps) - 1)]
        joined = grown_with_it(data, steps[0], steps[best * width], began)
        yield _sign(
            data, began, f"the {say.name} has lost more than half of what it had gained, and stays there",
            f"median {say.name} {say.sign * np.median(last):.3g} over the last {len(last)} steps, {say.best} "
            f"{say.sign * levels[best]:.3g} about step {steps[best * width]}, {say.sign * start:.3g} at first",
            f"line {say.sign * middle:.3g}, half of the gain", joined,
            "warn" if joined or (joined is None and sudden) else "note",
            "If the data did not change here, lower the learning rate or go back to the state of the "
            f"{say.best} {say.name}.",
        )  # fmt: skip


def _sign(
    data: Recorded, step: int, text: str, evidence: str, line: str, joined: str | None, severity: str, advice: str = ""
) -> Sign:
    """With what has grown too; as a note where nothing tells that the loss was meant to fall."""
    say = words(data)
    evidence += f"; {joined}" if joined else ""
    if severity != "note" and not data.seeks_a_saddle:
        return Sign(step, text, evidence, line, "loss", severity, advice)
    text += f": look at it if this {say.name} is meant to {say.improve}"
    return Sign(step, text, evidence, line, "loss", "note", MEANT.format(improve=say.improve))


def _levels(loss: np.ndarray) -> tuple[np.ndarray, int]:
    """Medians of equal stretches of the losses, and the length of one; of long stretches some losses."""
    width = max(10, len(loss) // LEVELS)
    rows = loss[: len(loss) // width * width].reshape(-1, width)
    return np.median(rows[:, :: max(1, width // 25)], axis=1), width
