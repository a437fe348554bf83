"""The metrics of continual learning, from what runs have recorded of a stream of tasks."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtoolkit.analysis import expert_metrics, gap_metrics, matrix_metrics
from nbtoolkit.analysis.gap_metrics import gaps
from nbtoolkit.analysis.streams import Curves, NotKnown, Stream, streams

if TYPE_CHECKING:
    import xarray

__all__ = ["stability_gaps", "transfer"]

OF_MATRIX = {
    "average_accuracy": "average accuracy (ACC)",
    "backward_transfer": "backward transfer (BWT)",
    "forward_transfer": "forward transfer (FWT)",
    "forgetting_from_best": "forgetting, best minus last",
    "forgetting_from_first": "forgetting, first minus last",
    "learning_accuracy": "accuracy right after learning",
    "average_incremental_accuracy": "average incremental accuracy",
    "performance_maintenance": "performance maintenance",
}
OF_CURVES = {
    "min_accuracy": "average minimum accuracy (min-ACC)",
    "worst_case_accuracy": "worst-case accuracy (WC-ACC)",
    "gap_recovered": "stability gap: lost and recovered",
}
OF_WINDOWS = {
    "windowed_forgetting": "windowed forgetting (WF), {window} steps",
    "windowed_plasticity": "windowed plasticity (WP), {window} steps",
}
OF_EXPERTS = {
    "relative_performance": "performance relative to experts",
    "sample_efficiency": "sample efficiency against experts",
}
OF_GAPS = {
    "gap_depth": ("depth of the fall", "1"),
    "gap_recovered": ("what came back of it", "1"),
    "gap_area": ("accuracy lost, summed over steps", "step"),
    "lowest_at": ("steps to the lowest accuracy", "step"),
    "recovered_at": ("steps to recovery", "step"),
    "level": ("accuracy before the gap", "1"),
}
Metric = tuple[str, Callable[..., float], Callable[[Stream], float]]  # long name, whose definition, of a stream


def transfer(
    runs: Any, *, window: int = 10, reference: Mapping[str, float] | None = None, experts: Any = None
) -> "xarray.Dataset":
    """Metrics of continual learning: what was learned, kept, lost on the way, and carried over.

    From the accuracy matrix (instrument ``accuracy_matrix``): ``average_accuracy, backward_transfer, forward_transfer,
    forgetting_from_best, forgetting_from_first, learning_accuracy, average_incremental_accuracy,
    performance_maintenance``, and with ``reference`` ``intransigence``. From the accuracy within the tasks
    (``stability_gap``): ``min_accuracy, worst_case_accuracy, gap_recovered, windowed_forgetting,
    windowed_plasticity``, and with ``experts`` ``relative_performance, sample_efficiency``. Each has its definition and
    source in its attributes. A running record gives the metrics of what has ended. The ratios and contrasts between
    neighbouring evaluations that New et al. (2022) call forward and backward transfer are not among them.

    Args:
        runs: a Run, its DataTree or a Dataset with ``accuracy`` over ``(task_trained, task_evaluated)`` or over
            ``(step, task_evaluated)``, other dims leading; a list or dict of them (dim ``run``); or a dict of such
            (dims ``strategy, run``).
        window: steps of the windowed metrics, themselves included.
        reference: for each task the accuracy of a model trained on the data of all tasks up to it.
        experts: for each task a run, as above, of a model trained on it alone.

    Returns:
        A Dataset with one variable for each metric over the leading dims. What cannot be said is NaN, with why in the
        attribute ``unknown``.

    Raises:
        TypeError: the runs have another form.
        ValueError: the window is no whole number of 2 or more.
    """
    if not isinstance(window, (int, np.integer)) or isinstance(window, bool) or window < 2:
        raise ValueError(f"window={window!r}: expected a whole number of steps, 2 or more")
    dims, placed = streams(runs)
    return _measured(_metrics(int(window), reference, experts), dims, placed)


def stability_gaps(runs: Any, *, tolerance: float = 0.02) -> "xarray.Dataset":
    """The gap that every visit to a task tears into the accuracy on each task learned before it.

    Args:
        runs: as `transfer` takes them, with the accuracy within the tasks.
        tolerance: how far below its level an accuracy counts as recovered.

    Returns:
        ``gap_depth, gap_recovered, gap_area, lowest_at, recovered_at, level``, see `gap_metrics.Gap`, over the leading
        dims, ``task_trained`` (the visit) and ``task_evaluated``. NaN for tasks not learned by then, and for a
        recovery that did not come.

    Raises:
        TypeError: the runs have another form.
        ValueError: the accuracy within the tasks, or the boundaries, were not recorded; or the tolerance is negative.
    """
    import xarray

    if not tolerance >= 0:
        raise ValueError(f"tolerance={tolerance!r}: expected a number, 0 or more")
    dims, placed = streams(runs)
    try:
        found = {place: (one.curves, gaps(one.curves, tolerance)) for place, one in placed.items()}
    except NotKnown as reason:
        raise ValueError(str(reason)) from None
    labels = list(dict.fromkeys(visit.label for curves, _ in found.values() for visit in curves.visits))
    names = list(dict.fromkeys(name for curves, _ in found.values() for name in curves.tasks))
    shape = (*map(len, dims.values()), len(labels), len(names))
    values = {key: np.full(shape, np.nan) for key in OF_GAPS}
    for place, (curves, each) in found.items():
        for visit, task, gap in each:
            where = (*place, labels.index(visit.label), names.index(curves.tasks[task]))
            for key in OF_GAPS:
                values[key][where] = getattr(gap, key.removeprefix("gap_"))
    every = (*dims, "task_trained", "task_evaluated")
    return xarray.Dataset(
        {key: (every, values[key], {"long_name": name, "units": units}) for key, (name, units) in OF_GAPS.items()},
        {**dims, "task_trained": labels, "task_evaluated": names},
        {"tolerance": tolerance},
    )


def _metrics(window: int, reference: Mapping[str, float] | None, experts: Any) -> dict[str, Metric]:
    def of_matrix(function: Callable[..., float], *settings: Any) -> Callable[[Stream], float]:
        return lambda stream: function(stream.matrix, *settings)

    def of_curves(function: Callable[..., float], *settings: Any) -> Callable[[Stream], float]:
        return lambda stream: function(stream.curves, *settings)

    found: dict[str, Metric] = {}
    for key, name in OF_MATRIX.items():
        function = getattr(matrix_metrics, key)
        found[key] = name, function, of_matrix(function)
    if reference is not None:
        function = matrix_metrics.intransigence
        found["intransigence"] = "intransigence", function, of_matrix(function, reference)
    for key, name in (OF_CURVES | OF_WINDOWS).items():
        function = getattr(gap_metrics, key)
        settings = (window,) if key in OF_WINDOWS else ()
        found[key] = name.format(window=window), function, of_curves(function, *settings)
    for key, name in OF_EXPERTS.items() if experts is not None else ():
        function = getattr(expert_metrics, key)
        found[key] = name, function, of_curves(function, _experts(experts))
    return found


def _experts(experts: Any) -> dict[str, Curves]:
    if not isinstance(experts, Mapping):
        raise TypeError(f"experts is a {type(experts).__name__}; give a dict from the names of tasks to runs")
    found = {}
    for name, run in experts.items():
        dims, placed = streams(run)
        if dims:
            raise TypeError(f"the expert on {name!r} is several runs; give one for each task")
        stream = placed[()]
        if isinstance(stream.curves_or_reason, Curves):
            found[str(name)] = stream.curves_or_reason
    return found


def _measured(
    metrics: Mapping[str, Metric], dims: Mapping[str, list[Any]], placed: Mapping[tuple[int, ...], Stream]
) -> "xarray.Dataset":
    import xarray

    variables = {}
    for key, (name, function, of) in metrics.items():
        values = np.full(tuple(map(len, dims.values())), np.nan)
        reasons: dict[str, None] = {}
        for place, stream in placed.items():
            try:
                values[place] = of(stream)
            except NotKnown as reason:
                reasons[str(reason)] = None
        definition = inspect.cleandoc(function.__doc__ or "")
        formula, _, source = definition.partition("Source: ")
        attrs = {"long_name": name, "units": "1", "formula": " ".join(formula.split())}
        if source:
            attrs["reference"] = " ".join(source.split())
        variables[key] = (tuple(dims), values, attrs | ({"unknown": "; ".join(reasons)} if reasons else {}))
    return xarray.Dataset(variables, dict(dims))
