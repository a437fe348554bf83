"""The mean of several runs along their steps, with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CONFIDENCE = 0.95
INTERVAL = "_interval"


def mean_with_interval(curves: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean over curves at each step, and half the width of its 95 % interval by Student's t.

    With n values of standard deviation s (over n - 1) the half width is t(0.975, n - 1) s / sqrt(n). Where a curve is
    NaN so is the mean: one of the others would be that of survivors. Of a single curve there is no interval (NaN).

    Args:
        curves: each ``(steps,)``.
    """
    from scipy import stats  # slow to load

    values = np.asarray(curves, float)
    count = len(values)
    with np.errstate(invalid="ignore"):  # of what is infinite
        mean = values.mean(0)
        if count == 1:
            return mean, np.full_like(mean, np.nan)
        half = stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * values.std(0, ddof=1) / np.sqrt(count)
    return mean, half


def on_steps(steps: np.ndarray, own: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values at other steps than they were measured at: linear in between, NaN beside a NaN and beyond the ends."""
    if np.array_equal(steps, own[: len(steps)]):
        return values[: len(steps)]
    return np.interp(steps, own, values, left=np.nan, right=np.nan)


class Mean:
    """The mean of the same variables of several runs, from the first step to the last that all of them have.

    Its rows are at the steps of any of them.

    Args:
        parts: of each run, with ``rows()``.
        variables: what each is.
        suffix: added to a name, it is the name of the interval.
    """

    def __init__(self, parts: Sequence[Any], variables: Mapping[str, Any], suffix: str = INTERVAL) -> None:
        self.parts, self.variables, self.suffix = parts, variables, suffix
        self._lengths: list[int] = []
        self._steps = np.empty(0, np.int64)
        self._values: dict[str, np.ndarray] = {}
        self.refresh()

    def __len__(self) -> int:
        """Rows held."""
        return len(self._steps)

    def rows(self, start: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The steps and values from row ``start`` on."""
        return self._steps[start:], {key: values[start:] for key, values in self._values.items()}

    @property
    def lost(self) -> bool:
        """Whether something was measured, but at no step that all runs have reached."""
        return not len(self) and any(len(part) for part in self.parts)

    def refresh(self) -> bool:
        """Take in new rows of the runs; whether there were any."""
        lengths = [len(part) for part in self.parts]
        if lengths == self._lengths:
            return False
        self._lengths = lengths
        held = [_in_order(*part.rows()) for part in self.parts]
        common = min(len(steps) for steps, _ in held)
        if all(np.array_equal(steps[:common], held[0][0][:common]) for steps, _ in held):  # as far as all of them go
            self._steps = held[0][0][:common]
        else:
            first, last = max(steps[0] for steps, _ in held), min(steps[-1] for steps, _ in held)
            every = np.unique(np.concatenate([steps for steps, _ in held]))
            self._steps = every[(every >= first) & (every <= last)]
        for key in self.variables:
            curves = [on_steps(self._steps, steps, rows[key]) for steps, rows in held if key in rows]
            if curves:
                self._values[key], self._values[key + self.suffix] = mean_with_interval(curves)
        return True


def _in_order(steps: np.ndarray, rows: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows by increasing steps; of several rows of one step the last."""
    if np.all(steps[1:] > steps[:-1]):
        return steps, rows
    order = np.argsort(steps, kind="stable")
    kept = order[np.append(steps[order][1:] != steps[order][:-1], True)]
    return steps[kept], {key: values[kept] for key, values in rows.items()}
