"""A run's rows as plain arrays, in whichever form the run comes: as cheap to read as an array is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtoolkit.analysis.overlay import Overlay
from nbtoolkit.store.columns import Columns, Record

if TYPE_CHECKING:
    import xarray

__all__ = ["Group", "Recorded", "recorded"]

NOTHING = np.empty(0)
BOUNDARIES = "task"
AT_ONCE = 8 << 20  # bytes of a group; of one that stays in a store only the last rows are looked at


@dataclass(frozen=True)
class Group:
    """The rows of one instrument.

    Args:
        attrs: of the group.
        steps: of its rows.
        values: by variable, the rows first.
        dims: of each variable besides ``step``.
        labels: of each dim.
        holes: variables of which some values were not measured, for a reason that is known.
        dataset: all of it as xarray has it.
    """

    attrs: Mapping[str, Any]
    steps: np.ndarray
    values: Mapping[str, np.ndarray]
    dims: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, Sequence[Any]]
    holes: frozenset[str]
    dataset: "Callable[[], xarray.Dataset]"

    def rows(self, variable: str, *dims: str) -> np.ndarray | None:
        """The values of a variable with these dims besides ``step``; None where there is no such one."""
        return self.values[variable] if variable in self.values and self.dims[variable] == dims else None

    def curve(self, variable: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of a variable without dims, where it is finite; views where all of it is."""
        values = self.rows(variable)
        if values is None:
            return NOTHING, NOTHING
        finite = np.isfinite(values)
        return (self.steps, values) if finite.all() else (self.steps[finite], values[finite])


@dataclass(frozen=True)
class Recorded:
    """Attributes of a run and its groups that have rows."""

    attrs: Mapping[str, Any]
    groups: Mapping[str, Group]

    def has(self, group: str) -> bool:
        """Whether there are rows of it."""
        return group in self.groups

    def curve(self, group: str, variable: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of a variable without dims, where it is finite; empty where it was not recorded."""
        return self.groups[group].curve(variable) if group in self.groups else (NOTHING, NOTHING)

    @property
    def maximises(self) -> bool:
        """Whether the optimizer makes the recorded loss as large as it can."""
        return self.attrs.get("maximize") == "True"

    @property
    def seeks_a_saddle(self) -> bool:
        """Whether the optimizer lowers the loss in some parameters and raises it in others."""
        return self.attrs.get("maximize") == "False and True"

    @cached_property
    def loss(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and training losses where they are finite, with the other sign where they are maximised."""
        steps, loss = self.curve("loss", "loss")
        return steps, -loss if self.maximises else loss

    @cached_property
    def boundaries(self) -> np.ndarray:
        """Steps before which another task began or ended."""
        return np.unique(self.groups[BOUNDARIES].steps) if self.has(BOUNDARIES) else NOTHING

    @cached_property
    def task_loss(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of `loss` since the last boundary between tasks before the newest row."""
        steps, loss = self.loss
        begun = self.boundaries[self.boundaries <= steps[-1]] if len(steps) else NOTHING
        first = int(np.searchsorted(steps, begun[-1])) if len(begun) else 0
        return steps[first:], loss[first:]


def recorded(run: Any) -> Recorded:
    """The rows of a run.

    Args:
        run: a Run, its DataTree, or a `Record` (whose rows that are still under way do not count).

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(run, Overlay):  # the rules are of one run each
        return Recorded(run.attrs, {})
    if isinstance(run, Record):
        held = {name: _of_columns(columns) for name, columns in list(run.groups.items()) if len(columns)}
        return Recorded(run.attrs, held)
    import xarray

    tree = run if isinstance(run, xarray.DataTree) else getattr(run, "data", None)
    if not isinstance(tree, xarray.DataTree):
        raise TypeError(f"this is a {type(run).__name__}; give a Run or its DataTree (run.data)")
    nodes = {name: node.to_dataset() for name, node in tree.children.items()}
    return Recorded(
        {str(key): told for key, told in tree.attrs.items()},
        {name: _of_dataset(ds) for name, ds in nodes.items() if ds.sizes.get("step")},
    )


def _of_columns(columns: Columns) -> Group:
    steps, values = columns.rows(columns.first_within(AT_ONCE))
    dims = {name: var.dims for name, var in columns.variables.items()}
    holes = frozenset((*columns.reasons, *columns.kept_reasons))
    return Group(columns.attrs, steps, values, dims, columns.labels, holes, columns.dataset)


def _of_dataset(ds: "xarray.Dataset") -> Group:
    by_step = {str(name): var.transpose("step", ...) for name, var in ds.data_vars.items() if "step" in var.dims}
    return Group(
        ds.attrs,
        ds["step"].values,
        {name: var.values for name, var in by_step.items()},
        {name: tuple(str(dim) for dim in var.dims[1:]) for name, var in by_step.items()},
        {str(dim): ds[dim].values.tolist() for dim in ds.dims if dim in ds.coords},
        frozenset(name for name, var in by_step.items() if "not_measured" in var.attrs),
        lambda: ds,
    )
