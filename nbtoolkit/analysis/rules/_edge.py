"""Sharpness at the edge of stability of the optimizer, and past it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.robust import since
from nbtoolkit.analysis.rule import Sign, rule

# Of each instrument the largest eigenvalue, its error, and its name.
SHARPNESS = {
    "sharpness": ("sharpness", "sharpness_error", "sharpness"),
    "preconditioned_sharpness": ("preconditioned_sharpness", "error", "preconditioned sharpness"),
}
LINES = {
    "sharpness": "2/lr of gradient descent, (2 + 2b)/lr with momentum b",
    "preconditioned_sharpness": "(2 + 2 b1)/((1 - b1) lr) of Adam, 2/lr of RMSprop",
}
NEAR, PAST = 0.85, 1.3  # ratios to the line; companion 02 settles between 0.9 and 1.15
LEAST = 3  # readings in a row
GROWTH = 2.0  # of the loss since the sharpness went past the line


@dataclass(frozen=True)
class Readings:
    """Of one instrument: steps, ratio to the line and its error, the median of three neighbouring ratios."""

    group: str
    steps: np.ndarray
    value: np.ndarray
    line: np.ndarray
    error: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Sharpness over its line."""
        return self.value / self.line

    @property
    def steady(self) -> np.ndarray:
        """The median of each ratio and those beside it: one that stands out alone does not count."""
        ratio = np.concatenate([self.ratio[:1], self.ratio, self.ratio[-1:]])
        return np.median(np.lib.stride_tricks.sliding_window_view(ratio, 3), axis=1)

    def told(self) -> str:
        """The last reading in numbers."""
        name = SHARPNESS[self.group][2]
        error = f" (+- {self.error[-1] * self.line[-1]:.2g})" if self.error[-1] > 0.01 else ""
        return f"{name} {self.value[-1]:.3g}{error} at step {self.steps[-1]}, {self.ratio[-1]:.2f} of its line"


@rule(
    "edge of stability",
    severity="note",
    needs=(tuple(SHARPNESS),),
    reference="Cohen et al. (2021), arXiv:2103.00065, section 3 (gradient descent); Cohen et al. (2022), "
    "arXiv:2207.14484, section 3 (Adam)",
    advice="Nothing need be done: training goes on here; a lower learning rate lets the sharpness grow to a higher "
    "line, a higher one forces it down.",
)
def at_the_edge(data: Recorded) -> Iterator[Sign]:
    """Sharpness within 0.85 to 1.3 of the optimizer's line, in the last three readings and more.

    The line is the one recorded beside it. Each reading counts as the median of it and its neighbours, and as near as
    its error bar reaches.
    """
    for one in _readings(data):
        begin = since((one.steady + one.error >= NEAR) & (one.steady - one.error <= PAST))
        if len(one.steps) - begin >= LEAST:
            yield Sign(
                one.steps[begin], "the sharpness is at the edge of stability",
                f"{one.told()}, in {len(one.steps) - begin} readings in a row",
                f"line {one.line[-1]:.4g}: {LINES[one.group]}", one.group,
            )  # fmt: skip


@rule(
    "past the edge of stability",
    severity="warn",
    needs=(tuple(SHARPNESS),),
    reference="Lewkowycz et al. (2020), arXiv:2003.02218, section 2 (catapult, up to twice the line); Cohen et al. "
    "(2021), arXiv:2103.00065, section 2",
    advice="Lower the learning rate or warm it up; sharpness of a small batch is above that of all data, so give a "
    "probe if the loss does not rise.",
)
def past_the_edge(data: Recorded) -> Iterator[Sign]:
    """Sharpness above 1.3 of the optimizer's line in the last three readings and more, its error bar too.

    An alarm where the loss has doubled since: the median of its last ten values over that of the ten up to the first of
    these readings. Else it may come back by itself: gradient descent that is thrown across a valley lands where it is
    flatter, up to about twice its line, and the preconditioner of an adaptive optimizer moves.
    """
    for one in _readings(data):
        begin = since(one.steady - one.error > PAST)
        if len(one.steps) - begin < LEAST:
            continue
        grown = _growth(data, one.steps[begin])
        rises = grown > GROWTH
        loss = f"; the loss is {grown:.3g} times what it was" if np.isfinite(grown) else ""
        yield Sign(
            one.steps[begin], "the sharpness is well past the line" + (" and the loss rises" if rises else ""),
            f"{one.told()}, in {len(one.steps) - begin} readings in a row{loss}",
            f"line {one.line[-1]:.4g}: {LINES[one.group]}", one.group, "alarm" if rises else "",
        )  # fmt: skip


def _readings(data: Recorded) -> Iterator[Readings]:
    for name, (value, error, _) in SHARPNESS.items():
        if not data.has(name):
            continue
        group = data.groups[name]
        top, line, residual = group.rows(value), group.rows("edge"), group.rows(error)
        if top is None or line is None or residual is None:
            continue
        known = np.flatnonzero(np.isfinite(top) & (line > 0) & np.isfinite(line))
        if len(known) >= LEAST:
            off = residual[known] / line[known]
            yield Readings(name, group.steps[known], top[known], line[known], np.nan_to_num(off))


def _growth(data: Recorded, step: int) -> float:
    """The median of the last ten losses over that of the ten up to a step; NaN where there are none."""
    steps, loss = data.loss
    place = int(np.searchsorted(steps, step, side="right"))
    before, after = loss[max(0, place - 10) : place], loss[place:][-10:]
    if not len(before) or not len(after) or not np.median(before) > 0:
        return float("nan")
    return float(np.median(after) / np.median(before))
