"""Rows of one instrument that only ever grow, readable as an xarray Dataset without a copy."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtoolkit.store.schema import Var

if TYPE_CHECKING:
    import xarray

FIRST_CAPACITY = 256
MOST_REASONS = 10  # kept for a variable


class Columns:
    """Append-only rows along ``step``, one float64 array for each variable.

    Arrays double when full, so the views handed out by `rows` and `dataset` stay valid and
    memory stays within twice the data. Rows are visible to other threads once complete.

    Args:
        name: the group's name in the run's DataTree; an instrument's name.
        variables: what is measured.
        attrs: attributes of the group.
    """

    def __init__(self, name: str, variables: Mapping[str, Var], attrs: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.variables = dict(variables)
        self.attrs = dict(attrs or {})
        self.labels: dict[str, list[Any]] = {dim: [] for var in variables.values() for dim in var.dims}
        self.reasons: dict[str, dict[str, tuple[int, int]]] = {}
        self.kept_reasons: dict[str, str] = {}  # in words, as read from a file
        self._length = 0
        self._steps = np.empty(FIRST_CAPACITY, np.int64)
        self._values = {key: np.empty(self._shape(key, FIRST_CAPACITY)) for key in variables}

    def __len__(self) -> int:
        """Rows held."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes of the rows held (not of the room kept for more)."""
        width = sum(int(np.prod(array.shape[1:])) for array in self._values.values())
        return self._length * 8 * (1 + width)

    def append(
        self,
        steps: Sequence[int] | np.ndarray,
        values: Mapping[str, np.ndarray],
        labels: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Add rows.

        Args:
            steps: optimizer steps done, shape ``(rows,)``.
            values: for each variable an array ``(rows, *sizes of its dims)``; one left out is NaN.
            labels: for each dim the labels of these values; new ones widen the arrays with NaN.
        """
        end = self._length + len(steps)
        self.widen(labels or {})
        self._grow(end)
        rows = slice(self._length, end)
        self._steps[rows] = steps
        for key, array in self._values.items():
            self._place(array[rows], key, values, labels)
        self._length = end

    def placed(
        self, values: Mapping[str, np.ndarray], labels: Mapping[str, Sequence[Any]] | None = None
    ) -> dict[str, np.ndarray]:
        """The rows that `append` would add, as arrays of their own; nothing is added."""
        count = max(map(len, values.values()), default=0)
        rows = {key: np.empty(self._shape(key, count)) for key in self.variables}
        for key, array in rows.items():
            self._place(array, key, values, labels)
        return rows

    def _place(
        self, rows: np.ndarray, key: str, values: Mapping[str, np.ndarray], labels: Mapping[str, Sequence[Any]] | None
    ) -> None:
        """Write the values of one variable where their labels stand; NaN elsewhere."""
        places = [self._places(dim, labels) for dim in self.variables[key].dims]
        if key in values and all(place is None for place in places):
            rows[:] = values[key]
            return
        rows[:] = np.nan
        if key in values:
            whole = [range(rows.shape[axis + 1]) if p is None else p for axis, p in enumerate(places)]
            rows[np.ix_(range(len(rows)), *whole)] = values[key]

    def missing(self, variable: str, step: int, reason: str, times: int = 1) -> None:
        """Remember why ``variable`` is NaN at ``step`` (and at ``times - 1`` later rows)."""
        counts = self.reasons.setdefault(variable, {})
        if len(counts) >= MOST_REASONS and reason not in counts:
            reason = "other reasons"
        count, first = counts.get(reason, (0, step))
        counts[reason] = (count + times, first)

    def rows(self, start: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The steps and values from row ``start`` on, as read-only views."""
        length = self._length
        views = {key: _locked(array[start:length]) for key, array in self._values.items()}
        return _locked(self._steps[start:length]), views

    def piece(self, start: int, stop: int) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """The steps and values of the rows from ``start`` to before ``stop``."""
        steps, values = self.rows(start)
        return steps[: stop - start], {key: array[: stop - start] for key, array in values.items()}

    def first_within(self, nbytes: int) -> int:
        """The row from which on all may be read at once: 0 for what is in memory."""
        return 0

    def holds(self, variable: str) -> bool:
        """Whether any value of a variable is a number."""
        values = self.rows()[1][variable]
        return bool(len(values)) and not (np.isnan(values[-1]).all() and np.isnan(values).all())

    def variable_attrs(self, variable: str) -> dict[str, Any]:
        """Attributes of one variable, with the reasons for its NaNs."""
        attrs = self.variables[variable].attrs()
        reasons = [
            f"{reason} ({count} times, first at step {first})"
            for reason, (count, first) in list(self.reasons.get(variable, {}).items())
        ]
        if variable in self.kept_reasons:
            reasons.insert(0, self.kept_reasons[variable])
        if reasons:
            attrs["not_measured"] = "; ".join(reasons)
        return attrs

    def dataset(self) -> "xarray.Dataset":
        """All rows as a Dataset whose arrays are views of these columns; with numeric labels in order."""
        return self._dataset(*self.rows())

    def words(self) -> "xarray.Dataset":
        """The Dataset without its rows: dims, labels and attributes."""
        return self._dataset(*self.piece(0, 0))

    def pictured(self, names: Sequence[str]) -> "xarray.Dataset":
        """The Dataset of some variables for a still picture: all rows, or of many those that show their shape."""
        return self.dataset()[list(names)]

    def _dataset(self, steps: Any, values: Mapping[str, Any]) -> "xarray.Dataset":
        """A Dataset of these rows."""
        import xarray

        variables = {
            key: (("step", *self.variables[key].dims), value, self.variable_attrs(key)) for key, value in values.items()
        }
        coords: dict[str, Any] = {"step": ("step", steps, {"long_name": "optimizer steps done", "units": "1"})}
        coords |= {dim: (dim, _label_array(names)) for dim, names in self.labels.items()}
        whole = xarray.Dataset(variables, coords, self.attrs)
        mixed = [dim for dim, names in self.labels.items() if _is_unsorted(names)]  # grids of several settings
        return whole.sortby(mixed) if mixed else whole

    def _shape(self, key: str, rows: int) -> tuple[int, ...]:
        return (rows, *(len(self.labels[dim]) for dim in self.variables[key].dims))

    def widen(self, labels: Mapping[str, Sequence[Any]]) -> None:
        """Make room for labels; in the rows held, new ones are NaN."""
        grown = False
        for dim, names in labels.items():
            known = set(self.labels[dim])
            fresh = [name for name in names if name not in known]
            self.labels[dim].extend(fresh)
            grown = grown or bool(fresh)
        if grown:
            self._replace(len(self._steps))

    def _grow(self, end: int) -> None:
        if end > len(self._steps):
            self._replace(max(end, 2 * len(self._steps)))

    def _replace(self, capacity: int) -> None:
        """Move to arrays of another size; views of the old ones stay valid for those who hold them."""
        steps = np.empty(capacity, np.int64)
        steps[: self._length] = self._steps[: self._length]
        for key, old in self._values.items():
            new = np.empty(self._shape(key, capacity))
            if new.shape[1:] != old.shape[1:]:
                new[: self._length] = np.nan
            new[(slice(0, self._length), *map(slice, old.shape[1:]))] = old[: self._length]
            self._values[key] = new
        self._steps = steps

    def _places(self, dim: str, labels: Mapping[str, Sequence[Any]] | None) -> list[int] | None:
        """Where the given labels stand among all of ``dim``; None when they are all, in order."""
        known = self.labels[dim]
        given = list((labels or {}).get(dim, known))
        return None if given == known else [known.index(name) for name in given]


class Record:
    """All that one run measured: its own attributes and one `Columns` for each instrument.

    Args:
        attrs: attributes of the whole run (name, model, versions).
    """

    def __init__(self, attrs: Mapping[str, Any] | None = None) -> None:
        self.attrs = dict(attrs or {})
        self.groups: dict[str, Columns] = {}

    def group(self, name: str, variables: Mapping[str, Var], attrs: Mapping[str, Any] | None = None) -> Columns:
        """The columns called ``name``, made on first asking."""
        if name not in self.groups:
            self.groups[name] = Columns(name, variables, attrs)
        return self.groups[name]

    @property
    def blocks(self) -> dict[str, Any]:
        """What has steps of its own, by name: the groups."""
        return self.groups

    def tree(self) -> "xarray.DataTree":
        """The run as a DataTree, one group for each instrument; arrays are views, not copies."""
        import xarray

        groups = {f"/{name}": columns.dataset() for name, columns in list(self.groups.items())}
        return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=self.attrs), **groups})


def _locked(view: np.ndarray) -> np.ndarray:
    view.flags.writeable = False
    return view


def _is_unsorted(names: Sequence[Any]) -> bool:
    """Whether labels are numbers out of order, so that neither slicing nor interpolating would work."""
    numeric = all(isinstance(name, (int, float)) for name in names)
    return numeric and any(a > b for a, b in itertools.pairwise(names))


def _label_array(names: Sequence[Any]) -> np.ndarray:
    return np.asarray(names) if names else np.empty(0, "<U1")
