"""What a run has recorded of a stream of tasks, as plain arrays: the accuracy matrix and the accuracy curves."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["Curves", "Matrix", "NotKnown", "Stream", "Visit", "streams"]

PAIR = {"task_trained", "task_evaluated"}
FORMS = (
    "give a Run, its DataTree, a Dataset with accuracy over task_trained and task_evaluated, or over step and "
    "task_evaluated, or a dict or list of them"
)
NO_MATRIX = "no accuracy matrix was recorded; attach instruments.accuracy_matrix"
NO_CURVES = "no accuracy within the tasks was recorded; attach instruments.stability_gap"
NO_BOUNDARY = "no boundary between tasks is known"
NO_TASKS = "the run was given no tasks: watch(..., tasks={name: (inputs, targets)})"
NOT_ENDED = "no task was trained to its end"


class NotKnown(Exception):
    """A metric has no value for this record; the message says why."""


@dataclass(frozen=True)
class Matrix:
    """R[i, j]: accuracy on task j after visit i.

    Left out are visits that have not ended, and those after which nothing was evaluated where the task was visited
    again, as after an error.

    Args:
        tasks: names of the tasks evaluated.
        labels: of the visits, e.g. ``"a", "b", "a (2)"``.
        trained: place among the tasks of the one trained in each visit.
        accuracy: ``(visits, tasks)``.
        initial: before the first visit, ``(tasks,)``.
    """

    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    trained: tuple[int, ...]
    accuracy: np.ndarray
    initial: np.ndarray

    @property
    def last(self) -> int:
        """The last visit."""
        return len(self.labels) - 1

    @property
    def learned(self) -> list[int]:
        """The tasks trained, in the order of their first visits."""
        return list(dict.fromkeys(self.trained))

    @property
    def earlier(self) -> list[int]:
        """The tasks trained, but that of the last visit."""
        return [task for task in self.learned if task != self.trained[-1]]

    def first(self, task: int) -> int:
        """The first visit to a task."""
        return self.trained.index(task)

    def at(self, visit: int, task: int) -> float:
        """R[visit, task].

        Raises:
            NotKnown: it was not measured.
        """
        value = float(self.accuracy[visit, task])
        if np.isnan(value):
            raise NotKnown(f"{self.tasks[task]!r} was not evaluated after {self.labels[visit]!r}")
        return value


@dataclass(frozen=True)
class Visit:
    """One stretch of training on a task, from the steps done at its begin to those at its end (infinite until then)."""

    label: str
    task: int
    begin: float
    end: float

    def made(self, steps: np.ndarray) -> np.ndarray:
        """Which of the models after so many steps come from a step of this visit."""
        return (steps > self.begin) & (steps <= self.end)


@dataclass(frozen=True)
class Curves:
    """Accuracy on each task after some numbers of steps, ``(rows, tasks)``, and the visits as far as they are known."""

    tasks: tuple[str, ...]
    steps: np.ndarray
    accuracy: np.ndarray
    visits: tuple[Visit, ...]

    def measured(self, task: int, where: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Steps and accuracies on one task, without rows that were not measured; of the rows marked, or of all."""
        kept = ~np.isnan(self.accuracy[:, task])
        if where is not None:
            kept &= where
        return self.steps[kept], self.accuracy[kept, task]


@dataclass(frozen=True)
class Stream:
    """One run: its `Matrix` and its `Curves`, or why there is none."""

    matrix_or_reason: Matrix | str
    curves_or_reason: Curves | str

    @property
    def matrix(self) -> Matrix:
        """The accuracy matrix.

        Raises:
            NotKnown: there is none.
        """
        if isinstance(self.matrix_or_reason, str):
            raise NotKnown(self.matrix_or_reason)
        return self.matrix_or_reason

    @property
    def curves(self) -> Curves:
        """The accuracy within the tasks.

        Raises:
            NotKnown: there is none.
        """
        if isinstance(self.curves_or_reason, str):
            raise NotKnown(self.curves_or_reason)
        return self.curves_or_reason


def streams(runs: Any) -> tuple[dict[str, list[Any]], dict[tuple[int, ...], Stream]]:
    """The leading dims with their labels, and every stream by its place along them.

    Args:
        runs: a Run, DataTree or Dataset (whose dims beside step and the tasks lead), a list or dict of them (dim
            ``run``), or a dict of lists or dicts (dims ``strategy, run``).

    Raises:
        TypeError: it is none of these.
    """
    import xarray

    if isinstance(runs, xarray.DataTree) or hasattr(runs, "record"):
        return {}, {(): _of_tree(runs if isinstance(runs, xarray.DataTree) else runs.data)}
    if isinstance(runs, xarray.Dataset):
        return _of_dataset(runs)
    if not isinstance(runs, (Mapping, Sequence)) or isinstance(runs, str) or not runs:
        raise TypeError(f"this is a {type(runs).__name__}; {FORMS}")
    parts = _labelled(runs)
    inner = {label: streams(part) for label, part in parts.items()}
    dims = next(iter(inner.values()))[0].keys()
    if any(found[0].keys() != dims for found in inner.values()) or len(dims) > 1 or dims - {"run"}:
        raise TypeError(f"runs are nested unequally or too deep; {FORMS}")
    names = {dim: list(dict.fromkeys(x for found in inner.values() for x in found[0][dim])) for dim in dims}
    placed = {
        (outer, *(names[dim].index(found[0][dim][i]) for dim, i in zip(dims, place, strict=True))): stream
        for outer, found in enumerate(inner.values())
        for place, stream in found[1].items()
    }
    return {"strategy" if dims else "run": list(parts), **names}, placed


def _labelled(runs: Any) -> dict[Any, Any]:
    return dict(runs) if isinstance(runs, Mapping) else dict(enumerate(runs))


def _of_tree(tree: "xarray.DataTree") -> Stream:
    """The groups of the instruments, and of the record of the boundaries."""
    datasets = {name: node.to_dataset() for name, node in tree.children.items()}
    known = {name: datasets.pop(name) for name in ("accuracy_matrix", "stability_gap") if name in datasets}
    datasets = {**known, **datasets}  # before others that look like them
    matrices = [ds for ds in datasets.values() if PAIR <= set(_dims(ds))]
    curves = [ds for ds in datasets.values() if set(_dims(ds)) == {"step", "task_evaluated"}]
    boundaries = next((ds for ds in datasets.values() if set(_dims(ds, "training")) == {"step", "task_trained"}), None)
    return Stream(
        _matrix(matrices[0]) if matrices else NO_MATRIX,
        _curves(curves[0], boundaries) if curves else NO_CURVES,
    )


def _of_dataset(ds: "xarray.Dataset") -> tuple[dict[str, list[Any]], dict[tuple[int, ...], Stream]]:
    own = set(_dims(ds))
    if "task_evaluated" not in own or not own & {"step", "task_trained"}:
        raise TypeError(f"this Dataset has accuracy over {', '.join(sorted(own)) or 'nothing'}; {FORMS}")
    leading = [dim for dim in _dims(ds) if dim not in {"step", *PAIR}]
    found: dict[tuple[int, ...], Stream] = {}
    for place in np.ndindex(*(ds.sizes[dim] for dim in leading)):
        one = ds.isel(dict(zip(leading, place, strict=True)))
        found[place] = Stream(_matrix(one), NO_CURVES) if PAIR <= own else Stream(NO_MATRIX, _curves(one, None))
    return {dim: ds[dim].values.tolist() for dim in leading}, found


def _dims(ds: "xarray.Dataset", name: str = "accuracy") -> tuple[str, ...]:
    return tuple(str(dim) for dim in ds[name].dims) if name in ds else ()


def _names(ds: "xarray.Dataset", dim: str) -> tuple[str, ...]:
    return tuple(str(name) for name in ds[dim].values.tolist())


def task_of(label: str, tasks: Sequence[str]) -> int:
    """The place of the task of a visit, whose label is its name or, of a later visit, "name (2)"; -1 of none."""
    for name in (label, re.sub(r" \(\d+\)$", "", label)):
        if name in tasks:
            return tasks.index(name)
    return -1


def _matrix(ds: "xarray.Dataset") -> Matrix | str:
    """The matrix as known at the last step."""
    if not ds.sizes["task_evaluated"]:
        return NO_TASKS
    if "step" in ds.dims:
        if not ds.sizes["step"]:
            return NOT_ENDED
        ds = ds.isel(step=-1)
    values = ds["accuracy"].transpose("task_trained", "task_evaluated").values.astype(float)
    tasks, labels = _names(ds, "task_evaluated"), _names(ds, "task_trained")
    rows: list[int] = []
    for row in reversed(range(len(labels))):
        task = task_of(labels[row], tasks)
        again = any(task_of(labels[later], tasks) == task for later in rows)
        # Not evaluated at all: it is being trained, or its training failed and was begun again.
        if task >= 0 and not (np.isnan(values[row]).all() and (not rows or again)):
            rows.insert(0, row)
    if not rows:
        return NOT_ENDED
    initial = ds["initial_accuracy"].values.astype(float) if "initial_accuracy" in ds else np.full(len(tasks), np.nan)
    kept = tuple(labels[i] for i in rows)
    return Matrix(tasks, kept, tuple(task_of(label, tasks) for label in kept), values[rows], initial)


def _curves(ds: "xarray.Dataset", boundaries: "xarray.Dataset | None") -> Curves | str:
    if not ds.sizes["step"]:
        return NO_CURVES
    if not ds.sizes["task_evaluated"]:
        return NO_TASKS
    ds = ds.sortby("step")
    tasks, steps = _names(ds, "task_evaluated"), ds["step"].values.astype(float)
    values = ds["accuracy"].transpose("step", "task_evaluated").values.astype(float)
    visits: tuple[Visit, ...] = ()
    if boundaries is not None:
        labels = _names(boundaries, "task_trained")
        training = boundaries["training"].transpose("step", "task_trained").values
        visits = tuple(_visits(boundaries["step"].values, training, labels, tasks))
    elif "training" in ds:
        visits = tuple(_visits(steps, ds["training"].transpose("step", "task_evaluated").values, tasks, tasks))
    return Curves(tasks, steps, values, visits)


def _visits(steps: np.ndarray, training: np.ndarray, labels: Sequence[str], tasks: Sequence[str]) -> Iterator[Visit]:
    """The stretches of rows in which the same column is 1."""
    now = [int(np.argmax(row == 1)) if (row == 1).any() else -1 for row in training]
    begins = [i for i, column in enumerate(now) if i == 0 or column != now[i - 1]]
    for begin, end in zip(begins, [*begins[1:], None], strict=True):
        if now[begin] >= 0 and (task := task_of(labels[now[begin]], tasks)) >= 0:
            until = np.inf if end is None else float(steps[end])
            yield Visit(labels[now[begin]], task, float(steps[begin]), until)
