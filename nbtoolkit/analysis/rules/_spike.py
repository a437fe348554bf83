"""Loss spikes: losses far above all that came shortly before."""

import itertools
from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.robust import since
from nbtoolkit.analysis.rule import Sign, rule

BLOCK = 50  # losses
HEIGHT = 0.1  # of what has been gained since the start
DEVIATIONS = 10.0  # scaled to a standard deviation
OUTLYING = 4.0  # times as far above the median as the largest of the blocks before
FEW = 7  # of a block: every seventh loss
SOON = 10  # losses after which it must have recovered
MAD = 1.4826  # to a standard deviation of normal values
TASKS = 50  # the last of a stream that are looked at


@rule(
    "loss spike",
    severity="warn",
    needs=(("loss",),),
    reference="Chowdhery et al. (2022), PaLM, arXiv:2204.02311, section 5.1; Molybog et al. (2023), arXiv:2304.09871",
    advice="Look at the batch of this step; if it recurs, clip the gradient, lower the learning rate or Adam's beta2.",
)
def spike(data: Recorded) -> Iterator[Sign]:
    """A loss far above those of the 100 steps before; a note where it has come back, a warning where it has not.

    Far above their median: by 10 standard deviations, estimated from their median absolute deviation, by 4 times as
    much as the largest of them, and by a tenth of what the loss had gained since the start of the task. It has come
    back with the first of five losses whose median is not above the largest of those before. Of several spikes the
    highest is given, and their number.
    """
    found: list[tuple[float, Sign]] = []
    steps, loss = data.loss
    edges = [0, *np.searchsorted(steps, data.boundaries).tolist(), len(loss)][-TASKS - 1 :]
    for begin, end in itertools.pairwise(edges):
        if end - begin >= 2 * BLOCK:
            found += _spikes(steps[begin:end], loss[begin:end])
    if found:
        one = max(found, key=lambda pair: pair[0])[1]
        others = f"; {len(found) - 1} more, lower" if len(found) > 1 else ""
        yield Sign(one.step, one.text, one.evidence + others, one.line, "loss", one.severity)


def _spikes(steps: np.ndarray, loss: np.ndarray) -> Iterator[tuple[float, Sign]]:
    """Height and sign of each spike in the losses of one task."""
    starts = np.arange(0, len(loss), BLOCK)
    highest, lowest = np.maximum.reduceat(loss, starts), np.minimum.reduceat(loss, starts)
    start = float(np.median(loss[:5]))
    gained = np.maximum(start - np.minimum.accumulate(lowest), 0.0)
    past = np.maximum(highest[:-1], np.concatenate([highest[:1], highest[:-2]]))  # of two blocks
    # Half of what must be, of a median from few losses: the few blocks that are left are looked at in full.
    about = np.median(loss[: len(loss) // BLOCK * BLOCK].reshape(-1, BLOCK)[: len(past), ::FEW], axis=1)
    above = highest[1:] - past
    for block in np.flatnonzero((above > HEIGHT * gained[:-1]) & (above > (past - about) * (OUTLYING - 1) / 2)) + 1:
        first, at = max(0, starts[block] - 2 * BLOCK), starts[block]
        before = loss[first:at]
        median, largest = float(np.median(before)), float(before.max())
        place = int(at + np.argmax(loss[at : at + BLOCK]))
        height = float(loss[place]) - median
        deviation = MAD * float(np.median(np.abs(before - median)))
        if height > max(DEVIATIONS * deviation, OUTLYING * (largest - median), HEIGHT * gained[block - 1]):
            begun = int(at) + since(loss[at : place + 1] > largest)
            yield height, _sign(steps, loss, begun, place, median, largest)


def _sign(steps: np.ndarray, loss: np.ndarray, begun: int, place: int, median: float, largest: float) -> Sign:
    after = loss[place + 1 : place + 1 + 20 * BLOCK]
    low = np.flatnonzero(after <= largest).tolist()
    back = next((i for i in low if np.median(after[i : i + 5]) <= largest), None)
    if back is not None:
        severity, course = "note", f"it was back after {steps[place + 1 + back] - steps[begun]} steps"
    elif len(after) < SOON:
        severity, course = "note", "whether it comes back is not known yet"
    else:
        severity, course = "warn", f"it was not back {steps[place + len(after)] - steps[begun]} steps later"
    return Sign(
        steps[begun], "the loss is far above those shortly before",
        f"loss {loss[place]:.3g} at step {steps[place]}, median {median:.3g} and largest {largest:.3g} before it; "
        f"{course}", f"line {largest:.3g}, the largest before", severity=severity,
    )  # fmt: skip
