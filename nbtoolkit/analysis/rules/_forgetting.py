"""What a stream of tasks loses: for good, or for a while."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from nbtoolkit.analysis.gap_metrics import gaps
from nbtoolkit.analysis.matrix_metrics import forgetting_from_best
from nbtoolkit.analysis.recorded import BOUNDARIES, Group, Recorded
from nbtoolkit.analysis.rule import Sign, rule
from nbtoolkit.analysis.streams import NotKnown, Stream, streams

if TYPE_CHECKING:
    import xarray

LOST, FALLEN = 0.1, 0.1  # of accuracy
ERRORS = 2.0
MOST = 4000  # rows of accuracies, the last


@rule(
    "forgetting",
    severity="warn",
    needs=(("accuracy_matrix",),),
    reference="Chaudhry et al. (2018), arXiv:1801.10112, equation 3",
    advice="Replay some examples of the earlier tasks, or hold their weights (nbtoolkit.interventions.Reservoir, EWC, "
    "LwF).",
)
def forgetting(data: Recorded) -> Iterator[Sign]:
    """The accuracy on earlier tasks is 0.1 or more below its best, in the mean, by more than two standard errors."""
    group = data.groups["accuracy_matrix"]
    try:
        matrix = _stream(data, "accuracy_matrix").matrix
        lost = forgetting_from_best(matrix)
    except NotKnown:
        return
    falls = {task: float(np.nanmax(matrix.accuracy[:, task])) - matrix.at(matrix.last, task) for task in matrix.earlier}
    worst = max(falls, key=lambda task: falls[task])
    errors = group.values.get("accuracy_error")
    one = float(np.nanmax(errors[-1])) if errors is not None and np.isfinite(errors[-1]).any() else 0.0
    error = one * np.sqrt(2 / len(falls))  # of a mean of differences, each of two accuracies
    if lost >= LOST and lost > ERRORS * error:
        yield Sign(
            group.steps[-1], "accuracy on earlier tasks is lost",
            f"{lost:.2f} +- {error:.2g} in the mean of {len(falls)} tasks; most on {matrix.tasks[worst]}: "
            f"{matrix.at(matrix.last, worst):.2f} after {matrix.labels[-1]}, {falls[worst]:.2f} below its best",
            f"line {LOST:g}", "accuracy_matrix",
        )  # fmt: skip


@rule(
    "stability gap",
    severity="note",
    needs=(("stability_gap",),),
    reference="De Lange et al. (2023), arXiv:2205.13452 (the stability gap)",
    advice="Lower or warm up the learning rate after a boundary, or evaluate an average of the weights: the fall "
    "passes by itself, but whoever uses the model meanwhile meets it.",
)
def stability_gap(data: Recorded) -> Iterator[Sign]:
    """Within a visit the accuracy on an earlier task fell by 0.1 or more and came back by as much; the deepest.

    Fall and return must each be more than two standard errors of a difference.
    """
    group = data.groups["stability_gap"]
    try:
        curves = _stream(data, "stability_gap", BOUNDARIES).curves
        found = gaps(curves)
    except NotKnown:
        return
    errors = group.values.get("accuracy_error", np.empty((0, 0)))[-MOST:]
    error = np.sqrt(2) * float(np.nanmax(errors)) if errors.size and np.isfinite(errors).any() else 0.0
    deep = [one for one in found if one[2].recovered >= max(FALLEN, ERRORS * error)]
    if deep:
        visit, task, gap = max(deep, key=lambda one: one[2].recovered)
        more = f"; {len(deep) - 1} more such falls" if len(deep) > 1 else ""
        yield Sign(
            int(visit.begin), f"accuracy on {curves.tasks[task]} fell and came back while {visit.label} was trained",
            f"from {gap.level:.2f} down by {gap.depth:.2f} within {gap.lowest_at:g} steps, {gap.recovered:.2f} of it "
            f"came back{more}", f"line {FALLEN:g}", "stability_gap",
        )  # fmt: skip


def _stream(data: Recorded, *names: str) -> Stream:
    """The stream in these groups alone."""
    import xarray

    tree = xarray.DataTree(children={n: xarray.DataTree(_last(data.groups[n])) for n in names if data.has(n)})
    return streams(tree)[1][()]


def _last(group: Group) -> "xarray.Dataset":
    ds = group.dataset()
    return ds if len(group.steps) <= MOST else ds.isel(step=slice(-MOST, None))
