"""Layers whose gradient vanishes or explodes, beside the others and beside its own past."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nbtoolkit.analysis.layers import listed, norms_of, places_of, thinned
from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.robust import largest, median, since
from nbtoolkit.analysis.rule import Sign, rule

LEAST, SEEN = 20, 64  # rows that the last stretch has at least, and of which it is read at most
MOSTLY = 0.9  # of these rows
SHARE = 1e-5  # of the largest layer's gradient
FALLEN = 1e-3  # of its own share at the start
GROWN = 100.0  # times its own past


@dataclass(frozen=True)
class Norms:
    """Gradient norms of the layers that have one now, ``(rows, layers)``, in the task that is being trained.

    Args:
        names: of the layers.
        first: its first rows.
        last: its last rows.
        steps: of rows from its begin to its end, evenly spaced.
        every: the norms there.
        until: how many of those come before the last rows.
        span: the steps of the last rows in words.
    """

    names: list[str]
    first: np.ndarray
    last: np.ndarray
    steps: np.ndarray
    every: np.ndarray
    until: int
    span: str


@rule(
    "vanishing gradient",
    severity="warn",
    needs=(("grad_norm",),),
    reference="Glorot & Bengio (2010), AISTATS, section 4.2; Pascanu et al. (2013), arXiv:1211.5063, section 2",
    advice="Look for saturated or dead units in front of these layers (instrument unit_activity) and at their "
    "initialisation; residual connections or normalisation carry gradients further.",
)
def vanishing(data: Recorded) -> Iterator[Sign]:
    """The gradient of a layer is below 1e-5 of the largest layer's, or below a thousandth of its own share at first.

    Norms of the parameters of a module taken together, so that a bias before a normalisation, whose gradient is 0 by
    symmetry, counts nothing. In nine tenths of the last rows: a tenth of all, 20 at least. A warning too where no layer
    has a gradient at all.
    """
    norms = _norms(data)
    if norms is None:
        return
    if not (norms.last > 0).any():
        began = since((~(norms.every > 0)).all(axis=1))
        yield Sign(norms.steps[began], "no layer has a gradient", f"all are 0 in {norms.span}", group="grad_norm")
        return
    share = _share(norms.last)
    line = np.maximum(SHARE, FALLEN * np.fmin(median(_share(norms.first)), 1.0))
    gone = np.flatnonzero((share < line).sum(axis=0) >= MOSTLY * np.maximum((~np.isnan(share)).sum(axis=0), 1))
    if len(gone):
        began = since(np.fmin.reduce(_share(norms.every)[:, gone] / line[gone], axis=1) < 1)
        yield Sign(
            norms.steps[min(began, len(norms.steps) - 1)],
            f"the gradient of {listed(norms.names, gone)} is tiny beside that of the others",
            f"median norm of {listed(norms.names, gone, median(norms.last))} in {norms.span}; the largest layer has "
            f"{float(median(largest(norms.last, axis=1))):.3g}",
            f"line {line[gone[0]]:.2g} of the largest", "grad_norm",
        )  # fmt: skip


@rule(
    "exploding gradient",
    severity="alarm",
    needs=(("grad_norm",),),
    reference="Pascanu et al. (2013), arXiv:1211.5063, sections 2 and 3.2",
    advice="Clip the gradient norm and lower the learning rate; go back to a state from before this step if the loss "
    "has gone up too.",
)
def exploding(data: Recorded) -> Iterator[Sign]:
    """The gradient of a layer is above 100 times its own past in each of the last rows.

    Its past is the larger of the medians over the first rows and over all before the last. First and last: a tenth of
    the rows of the task each, 20 at least.
    """
    norms = _norms(data)
    if norms is None:
        return
    past = np.fmax(median(norms.first), median(norms.every[: norms.until]))
    least = np.fmin.reduce(norms.last, axis=0)
    grown = np.flatnonzero((least > GROWN * past) & (past > 0))
    if len(grown):
        worst = grown[np.argmax(least[grown] / past[grown])]
        began = since(norms.every[:, worst] > GROWN * past[worst])
        yield Sign(
            norms.steps[min(began, len(norms.steps) - 1)],
            f"the gradient of {listed(norms.names, grown)} has grown more than a hundredfold",
            f"{norms.names[worst]}: at least {least[worst]:.3g} in {norms.span}, {past[worst]:.3g} before",
            f"line {GROWN * past[worst]:.3g}, {GROWN:g} times its past", "grad_norm",
        )  # fmt: skip


def _norms(data: Recorded) -> Norms | None:
    """None where there are too few rows, or no layer has a gradient in the last."""
    group = data.groups["grad_norm"]
    values = group.rows("grad_norm", "param")
    begun = data.boundaries[data.boundaries <= group.steps[-1]]
    begin, end = int(np.searchsorted(group.steps, begun[-1])) if len(begun) else 0, len(group.steps)
    length = max(LEAST, (end - begin) // 10)
    if values is None or end - begin < 2 * length:
        return None
    layers = {
        name: places for name, places in places_of(group.labels["param"]).items()
        if np.isfinite(values[-1, places]).any()
    }  # fmt: skip
    if not layers:
        return None
    first, every, last = (
        norms_of(values[thinned(*span)], layers.values())
        for span in ((begin, begin + length, SEEN), (begin, end, 4 * SEEN), (end - length, end, SEEN))
    )
    steps = group.steps[thinned(begin, end, 4 * SEEN)]
    until = int(np.searchsorted(steps, group.steps[end - length]))
    span = f"the steps {group.steps[end - length]} to {group.steps[-1]}"
    return Norms(list(layers), first, last, steps, every, until, span)


def _share(norms: np.ndarray) -> np.ndarray:
    """Of the largest layer in each row."""
    top = largest(norms, axis=1)[:, None]
    return norms / np.where(top > 0, top, np.nan)
