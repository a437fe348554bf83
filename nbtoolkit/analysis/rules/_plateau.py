"""A loss that does not fall: on a plateau, or because the learning rate is still warming up."""

from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.rule import Sign, rule
from nbtoolkit.analysis.rules._rates import has_decayed, rates, warms_up
from nbtoolkit.analysis.rules._words import words

FEW, LEAST = 300, 200  # losses of the task, and of the stretch that is flat
SHARE = 0.4  # of the losses of the task
BLOCKS = 10
FLAT = 0.03  # of the level, over the stretch
HIGH = 0.5  # of the level at the start
PER_BLOCK = 100  # losses that are read


@rule(
    "plateau",
    severity="note",
    needs=(("loss",),),
    reference="Goyal et al. (2017), arXiv:1706.02677, section 2.2 (warm-up); Dauphin et al. (2014), arXiv:1406.2572 "
    "(saddles)",
    advice="If it is meant to go on, try a higher learning rate for a few hundred steps, check that gradients reach "
    "the first layers, and that the labels belong to the inputs; noise in the data sets a floor that looks the same, "
    "and so does the equilibrium of a game.",
)
def plateau(data: Recorded) -> Iterator[Sign]:
    """The loss is above half of its start, and has fallen by less than 3 % over the last 40 % of the steps.

    Over 200 steps at least, since the last boundary between tasks. The fall is that between the means of the medians of
    the first and last five of ten equal stretches, plus two standard errors: noise alone makes no plateau. Never more
    than a note: the loss of a GAN's players is level in a healthy training too. It says so where the learning rate has
    risen over the stretch and is at its highest: it warms up. Nothing where it has decayed below a thousandth of its
    highest. What is maximised is read with the other sign, so that nothing is said where it is above 0.
    """
    steps, loss = data.task_loss
    count = len(loss)
    if count < FEW:
        return
    start = float(np.median(loss[:20]))
    length = max(LEAST, int(SHARE * count)) // BLOCKS * BLOCKS
    rows = loss[-length:].reshape(BLOCKS, -1)
    levels = np.median(rows[:, :: max(1, rows.shape[1] // PER_BLOCK)], axis=1)
    early, late = levels[: BLOCKS // 2], levels[BLOCKS // 2 :]
    level = float(late.mean())
    error = float(np.sqrt((early.var(ddof=1) + late.var(ddof=1)) / (BLOCKS // 2)))
    most = float(early.mean()) - level + 2 * error
    if not level > HIGH * start > 0 or most > FLAT * level or has_decayed(data):
        return
    began = steps[-length]
    warming = warms_up(data, began)
    lr = rates(data)[1]
    told = f"; learning rate {lr[0]:.3g} at first, {lr[-1]:.3g} now" if warming else ""
    say = words(data)
    level_now, level_then, at_first = (f"{say.sign * one:.4g}" for one in (level, early.mean(), start))
    meant = f"the {say.name} does not {say.improve}: look at it if this {say.name} is meant to {say.improve}"
    yield Sign(
        began, f"the {say.name} is flat while the learning rate warms up" if warming else meant,
        f"mean level {level_now} over the steps {steps[-length // 2]} to {steps[-1]}, {level_then} over as many "
        f"before, {at_first} at first{told}",
        f"line: a {say.improve} of {FLAT:.0%} ({FLAT * level:.2g}); seen {max(0.0, most):.2g} at the most", "loss",
        advice="Wait for the end of the warm-up." if warming else "",
    )  # fmt: skip
