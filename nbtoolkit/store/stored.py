"""Rows that stay in a store until they are looked at."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from xarray.core import indexing

from nbtoolkit.store import overviews
from nbtoolkit.store.columns import Columns
from nbtoolkit.store.lazy import Lazy
from nbtoolkit.store.overviews import FEW, Plan
from nbtoolkit.store.schema import Var

if TYPE_CHECKING:
    import xarray

PIECE = 1 << 21  # values read at once where all are looked at
WHOLE = 1 << 18  # rows of a curve up to which its picture is of all rows; overviews of more have 1000 blocks
WHOLE_FIELD = 1 << 15
POINTS = 4096  # blocks of a curve that is looked at without an overview
ROWS = 4096  # of a field
GUESSES = 4  # where a step is, until the rows are halved


class StoredColumns(Columns):
    """Columns whose rows are read from Zarr arrays when they are looked at, and not kept.

    Args:
        name: of the group.
        variables: what was measured.
        attrs: of the group.
        arrays: of the variables, by name, and ``step``.
        length: rows that are complete.
        labels: of each dim.
        kept: arrays of overviews by the name of their `Plan`.
    """

    def __init__(
        self,
        name: str,
        variables: Mapping[str, Var],
        attrs: Mapping[str, Any],
        arrays: Mapping[str, zarr.Array],
        length: int,
        labels: Mapping[str, list[Any]],
        kept: Mapping[str, zarr.Array],
    ) -> None:
        super().__init__(name, variables, attrs)
        self.arrays, self.kept = dict(arrays), dict(kept)
        self.labels |= {dim: list(names) for dim, names in labels.items() if dim in self.labels}
        self._length = length
        self.order = 0  # among the groups of its run
        self._numbers: set[str] = set()  # variables with any

    def take_over(self, newer: "StoredColumns") -> None:
        """Become as long as another reading of the same group."""
        self.arrays, self.kept, self.labels = newer.arrays, newer.kept, newer.labels
        self.kept_reasons = newer.kept_reasons
        self._length = newer._length

    def append(self, steps: Any, values: Any, labels: Any = None) -> None:
        """Refused: rows come from the store."""
        raise TypeError(f"{self.name} is read from a store, which its writer alone appends to")

    @property
    def nbytes(self) -> int:
        """Bytes of the rows in the store, not compressed."""
        return len(self) * 8 * (1 + sum(map(math.prod, self.sizes.values())))

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """Of the dims of each variable besides ``step``."""
        return {key: tuple(len(self.labels[dim]) for dim in var.dims) for key, var in self.variables.items()}

    def rows(self, start: int = 0) -> tuple[np.ndarray, Any]:
        """The steps from row ``start`` on, and the values, each variable being read when it is looked at."""
        return self.piece(start, len(self))

    def piece(self, start: int, stop: int) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """The steps of some rows, and the values, each variable being read when it is looked at."""
        return self._steps_of(start, stop), _Values(self, start, stop)

    def read(self, key: str, start: int, stop: int) -> np.ndarray:
        """The values of one variable in some rows; NaN for labels that came later."""
        array, sizes = self.arrays[key], self.sizes[key]
        places = tuple(slice(0, size) for size in sizes)
        values = np.asarray(array[(slice(start, stop), *places)])
        if values.shape[1:] != sizes:
            whole = np.full((len(values), *sizes), np.nan)
            whole[(slice(None), *map(slice, values.shape[1:]))] = values
            values = whole
        values.flags.writeable = False
        return values

    def row_at(self, step: float) -> int:
        """The first row at or after a step; the number of rows where there is none. Few chunks of steps are read."""
        chunk, low, high = self.arrays["step"].chunks[0], 0, len(self)
        guess, turn = step, 0  # often each step has a row
        while low < high:
            turn += 1
            row = int(min(max(guess, low), high - 1)) if turn < GUESSES else (low + high) // 2
            start = max(low, row // chunk * chunk)
            stop = min(high, start + chunk)
            steps = self._steps_of(start, stop)
            if steps[0] < step <= steps[-1]:
                return start + int(np.searchsorted(steps, step))
            low, high = (low, start) if step <= steps[0] else (stop, high)
            every = (steps[-1] - steps[0]) / max(1, len(steps) - 1)  # as it is here, as it may be there
            guess = start + (step - steps[0]) / every if every > 0 else (low + high) // 2
        return low

    def first_within(self, nbytes: int) -> int:
        """The first of the last rows that take so many bytes."""
        return max(0, len(self) - nbytes * len(self) // max(1, self.nbytes))

    def holds(self, variable: str) -> bool:
        """Whether any value of a variable is a number; the newest rows are looked at first."""
        if variable not in self._numbers:
            for start, stop in reversed(list(self._pieces(variable, 0, len(self)))):
                if not np.isnan(self.read(variable, start, stop)).all():
                    self._numbers.add(variable)
                    break
        return variable in self._numbers

    def outlines(self) -> Iterator[tuple[Plan, np.ndarray, dict[str, np.ndarray]]]:
        """The rows that show the shape of each variable: what is kept at the same rows, its steps and its values."""
        for plan in overviews.plans(self.variables, self.sizes):
            yield (plan, *self.outline(plan))

    def outline(
        self, plan: Plan, first: int = 0, last: int | None = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:  # fmt: skip
        """Steps and values of the rows that show the shape of the variables of a plan: of few rows all.

        Args:
            plan: which variables.
            first: row from which on.
            last: row before which; by default all.
        """
        curve, last = plan.width <= FEW, len(self) if last is None else last
        parts, covered = [], first
        if last - first > (WHOLE if curve else WHOLE_FIELD):
            parts, covered = self._from_overview(plan, first, last)
        stride = 1 if curve else max(1, -(-(last - covered) // ROWS))
        block = max(1, (last - covered) // POINTS) if curve and last - covered > WHOLE else 1
        for start, stop in self._pieces(plan, covered, last, block):
            steps = self._steps_of(start, stop)
            read = {key: self.read(key, start, stop) for key in plan.sizes}
            rows = slice((last - 1 - start) % stride, None, stride)
            if block > 1:
                rows = _flat_rows(read[plan.leader].reshape(len(steps), -1), block)
            parts.append((steps[rows], {key: values[rows] for key, values in read.items()}))
        steps = np.concatenate([np.empty(0, np.int64), *(steps for steps, _ in parts)])
        empty = {key: np.empty((0, *sizes)) for key, sizes in plan.sizes.items()}
        return steps, {key: np.concatenate([empty[key], *(values[key] for _, values in parts)]) for key in plan.sizes}

    def _from_overview(
        self, plan: Plan, first: int, last: int
    ) -> tuple[list[tuple[np.ndarray, dict[str, np.ndarray]]], int]:
        """What an overview keeps, and the row up to which: never all, so that the last is there as it is."""
        array = self.kept.get(plan.name)
        if array is None or array.shape[1:] != (plan.kept, plan.columns):
            return [], first
        at, blocks = -(-first // plan.block), min(array.shape[0], (last - 1) // plan.block)
        stride = 1 if plan.width <= FEW else max(1, (blocks - at) // ROWS)
        before, read = at * plan.block, max(1, PIECE // (plan.kept * plan.columns))
        parts = []
        if before > first:  # a part of a block is read as it is
            parts.append((self._steps_of(first, before), {key: self.read(key, first, before) for key in plan.sizes}))
        while at < blocks:
            kept = np.asarray(array[at : min(blocks, at + read)])
            missing = np.flatnonzero(np.isnan(kept[:, 0, 0]))  # made room for, not yet written
            kept = kept[: missing[0]] if len(missing) else kept
            parts.append(overviews.unpacked(plan, kept[(blocks - 1 - at) % stride :: stride]))
            at += len(kept)
            if len(missing):
                break
        return parts, at * plan.block

    def words(self) -> "xarray.Dataset":
        """The Dataset without its rows: dims, labels and attributes."""
        return self._dataset(np.empty(0, np.int64), {key: np.empty((0, *size)) for key, size in self.sizes.items()})

    def dataset(self) -> "xarray.Dataset":
        """All rows as a Dataset that reads what is looked at; with numeric labels in order."""
        lazy = {key: indexing.LazilyIndexedArray(Lazy(self, key)) for key in self.variables}
        return self._dataset(self._index(), lazy)

    def pictured(self, names: Sequence[str]) -> "xarray.Dataset":
        """The Dataset of some variables for a still picture, of the rows that show their shape.

        Of variables that are kept at different rows all of these rows are read.
        """
        every = overviews.plans(self.variables, self.sizes)
        used = [plan for plan in every if not set(names).isdisjoint(plan.sizes)]
        if not used:
            return self.words()[list(names)]
        if len(used) == 1:
            steps, values = self.outline(used[0])
        else:
            steps, values = self._together(names)
        lost = {key: np.full((len(steps), *self.sizes[key]), np.nan) for key in names if key not in values}
        return self._dataset(steps, {key: values.get(key, lost.get(key)) for key in names})

    def _together(self, names: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The rows that show the shape of several variables, with the values of all there."""
        block, parts = max(1, len(self) // 1024), []
        widest = max(names, key=lambda key: math.prod(self.sizes[key]))
        for start, stop in self._pieces(widest, 0, len(self), block):
            read = {key: self.read(key, start, stop) for key in names}
            flat = [values.reshape(stop - start, -1) for values in read.values()]
            found = [_flat_rows(values, block) for values in flat if 0 < values.shape[1] <= FEW]
            rows = np.unique(np.concatenate([np.array([stop - start - 1]), *found]))
            parts.append((self._steps_of(start, stop)[rows], {key: values[rows] for key, values in read.items()}))
        if not parts:
            return np.empty(0, np.int64), {}
        steps = np.concatenate([steps for steps, _ in parts])
        return steps, {key: np.concatenate([values[key] for _, values in parts]) for key in names}

    def _pieces(self, what: str | Plan, start: int, stop: int, block: int = 1) -> Iterator[tuple[int, int]]:
        """Rows that are read at once: whole chunks, nearly, and whole blocks."""
        sizes = [self.sizes[what]] if isinstance(what, str) else list(what.sizes.values())
        rows = max(1, PIECE // max(1, sum(map(math.prod, sizes))))
        rows = max(block, rows - rows % block)
        for at in range(start, stop, rows):
            yield at, min(stop, at + rows)

    def _steps_of(self, start: int, stop: int) -> np.ndarray:
        steps = np.asarray(self.arrays["step"][start:stop])
        steps.flags.writeable = False
        return steps

    def _index(self) -> Any:
        """All steps; as a range, which takes no memory, where they are one."""
        import pandas

        first, last = (int(self._steps_of(at, at + 1)[0]) if len(self) else 0 for at in (0, max(0, len(self) - 1)))
        steps = self._steps_of(0, len(self))
        if last - first == len(steps) - 1 and bool((np.diff(steps) == 1).all()):
            return pandas.RangeIndex(first, last + 1)
        return steps


class _Values(Mapping[str, np.ndarray]):
    """The values of some rows by variable; each is read once, when it is looked at."""

    def __init__(self, columns: StoredColumns, start: int, stop: int) -> None:
        self._columns, self._range, self._read = columns, (start, stop), dict[str, np.ndarray]()

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._read:
            self._read[key] = self._columns.read(key, *self._range)
        return self._read[key]

    def __contains__(self, key: object) -> bool:
        return key in self._columns.variables

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns.variables)

    def __len__(self) -> int:
        return len(self._columns.variables)


def _flat_rows(values: np.ndarray, block: int) -> np.ndarray:
    """The rows kept of these, the last block being as short as it is."""
    whole = len(values) - len(values) % block
    found = overviews.kept_rows(values[:whole], block, curve=True)
    parts = [(found + block * np.arange(len(found))[:, None])[found >= 0]]
    if whole < len(values):
        found = overviews.kept_rows(values[whole:], len(values) - whole, curve=True)
        parts.append(whole + found[found >= 0])
    return np.concatenate(parts)
