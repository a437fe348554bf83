"""Loss spikes: losses far above all that came shortly before."""

import itertools
from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.robust import since
from nbtoolkit.analysis.rule import Sign, rule
from nbtoolkit.analysis.rules._words import Words, words

BLOCK = 50  # losses
HEIGHT = 0.1  # of what has been gained since the start
DEVIATIONS = 10.0  # scaled to a standard deviation
OUTLYING = 4.0  # times as far above the median as the largest of the blocks before
FEW = 7  # of a block: every seventh loss
SOON = 10  # losses after which it must have recovered
MAD = 1.4826  # to a standard deviation of normal values
TASKS = 50  # the last of a stream that are looked at
MOST = 500  # blocks that are looked at in full, the last of each task


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
    highest is given, and their number, of the last 500 blocks that may have one (shared by the tasks). Of what is
    maximised with the other sign.
    """
    say = words(data)
    steps, loss = data.loss
    edges = [0, *np.searchsorted(steps, data.boundaries).tolist(), len(loss)][-TASKS - 1 :]
    parts = [(begin, end) for begin, end in itertools.pairwise(edges) if end - begin >= 2 * BLOCK]
    found = [(*one, begin, end) for begin, end in parts for one in _spikes(loss[begin:end], MOST // len(parts))]
    if found:
        _, at, place, begin, end = max(found, key=lambda one: one[0])
        one = _sign(steps[begin:end], loss[begin:end], at, place, say)
        others = f"; {len(found) - 1} more, lower" if len(found) > 1 else ""
        yield Sign(one.step, one.text, one.evidence + others, one.line, "loss", one.severity)


def _spikes(loss: np.ndarray, most: int) -> list[tuple[float, int, int]]:
    """Height, begin of its block and place of each spike in the losses of one task: of the last so many blocks."""
    starts = np.arange(0, len(loss), BLOCK)
    highest, lowest = np.maximum.reduceat(loss, starts), np.minimum.reduceat(loss, starts)
    start = float(np.median(loss[:5]))
    gained = np.maximum(start - np.minimum.accumulate(lowest), 0.0)
    past = np.maximum(highest[:-1], np.concatenate([highest[:1], highest[:-2]]))  # of two blocks
    # Half of what must be, of a median from few losses: the few blocks that are left are looked at in full.
    about = np.median(loss[: len(loss) // BLOCK * BLOCK].reshape(-1, BLOCK)[: len(past), ::FEW], axis=1)
    above = highest[1:] - past
    found = []
    may = (above > HEIGHT * gained[:-1]) & (above > (past - about) * (OUTLYING - 1) / 2)
    for block in np.flatnonzero(may)[-most:]:
        at = int(starts[block + 1])
        median, largest, deviation = _before(loss, at)
        place = int(at + np.argmax(loss[at : at + BLOCK]))
        height = float(loss[place]) - median
        if height > max(DEVIATIONS * deviation, OUTLYING * (largest - median), HEIGHT * gained[block]):
            found.append((height, at, place))
    return found


def _before(loss: np.ndarray, at: int) -> tuple[float, float, float]:
    """Median and largest of the losses shortly before, and their deviation."""
    before = loss[max(0, at - 2 * BLOCK) : at]
    median = float(np.median(before))
    return median, float(before.max()), MAD * float(np.median(np.abs(before - median)))


def _sign(steps: np.ndarray, loss: np.ndarray, at: int, place: int, say: Words) -> Sign:
    median, largest, _ = _before(loss, at)
    begun = at + since(loss[at : place + 1] > largest)
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
        steps[begun], f"the {say.name} is far {say.worse} those shortly before",
        f"{say.name} {say.sign * loss[place]:.3g} at step {steps[place]}, median {say.sign * median:.3g} and "
        f"{say.worst} {say.sign * largest:.3g} before it; {course}",
        f"line {say.sign * largest:.3g}, the {say.worst} before", severity=severity,
    )  # fmt: skip
