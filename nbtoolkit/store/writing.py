"""The rows of a record put into Zarr arrays as they come.

In every group ``step`` is written after the values, and its room is filled with -1 first, so a process killed in the
middle of a write leaves rows that can be told from complete ones. This needs no more of a store than that a reader who
sees a later object sees the earlier ones too, as on a disk and in today's object stores.
"""

import json
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr

from nbtoolkit.store import overviews
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.identity import IDENTITY
from nbtoolkit.store.overviews import Plan
from nbtoolkit.store.quick import put_attributes, quick
from nbtoolkit.store.schema import DIMS, VERSION

MARK = "nbtoolkit_store"
HEARTBEAT, ROWS, GENERATION = "heartbeat", "rows", "generation"  # of the root: when written, rows by group, how often
OWN = (MARK, IDENTITY, HEARTBEAT, ROWS, GENERATION)
CHUNK_VALUES = 1 << 14  # 128 kB; as much of each variable is written anew at most when rows come
OVERVIEW_VALUES = 1 << 13
OVERVIEW_ROWS = 1024  # before anything is added to an overview: fewer objects are put, and the last rows are few
PIECE = 1 << 23  # values in memory at once where they come from another store
UNWRITTEN = -1
UNTOLD = "\0"  # a label that is not yet written; of numbers NaN
REBUILT = 8  # times that an overview is begun anew, for labels that appear; then there is none


class Writer:
    """Writes the rows of a record that a Zarr group does not hold yet.

    Args:
        root: the store.
        ahead: make room for whole chunks, until `trim`: where each write of an object is dear, half of them.
        held: rows by group that the store has of an earlier part of the run, which come before those of the record.
        generation: of the store: how often it was continued.
        live: tell when it was written last.
    """

    def __init__(
        self,
        root: zarr.Group,
        *,
        ahead: bool = False,
        held: Mapping[str, int] | None = None,
        generation: int = 0,
        live: bool = False,
    ) -> None:
        self.root, self._ahead, self._live, self._generation = root, ahead, live, generation
        self._identity = {key: value for key, value in root.attrs.items() if key == IDENTITY}
        self._base = dict(held or {})
        self._written = dict(self._base)
        self._attrs: dict[str, Any] = {}
        self._groups: dict[str, _Arrays] = {}

    def write(self, record: Record) -> None:
        """Write what is new."""
        told = dict(record.attrs)  # before the rows, so that an end that is told comes after all of them
        for order, (name, columns) in enumerate(list(record.groups.items())):
            arrays = self._groups.get(name)
            if arrays is None:
                arrays = self._groups[name] = _Arrays(self.root, name)
            attrs = {**columns.attrs, "order": order, "variables": list(columns.variables)}
            self._set_attrs(name, arrays.group, attrs)
            stop = len(columns) + self._base.get(name, 0)
            start = self._written.get(name, -1)
            while start < stop:
                width = sum(math.prod(arrays.sizes(columns)[key]) for key in columns.variables)
                until = min(stop, max(start, 0) + max(1, PIECE // max(1, width)))
                self._append(name, arrays, columns, max(start, 0), until)
                start = self._written[name] = until
            for key, array in arrays.values.items():
                if key in columns.variables:
                    self._set_attrs(f"{name}/{key}", array, columns.variable_attrs(key))
        own: dict[str, Any] = {MARK: VERSION, ROWS: self._written, GENERATION: self._generation}
        own |= self._identity | ({HEARTBEAT: time.time()} if self._live else {})
        self._set_attrs("/", self.root, {**told, **own})

    def trim(self) -> None:
        """Give back the room that was made ahead, and make no more."""
        self._ahead = False
        for name, arrays in self._groups.items():
            arrays.trim(self._written.get(name, 0))

    def _append(self, name: str, arrays: "_Arrays", columns: Columns, start: int, stop: int) -> None:
        base = self._base.get(name, 0)
        reach = {key: arrays.whole_chunk(key, start, base) for key in columns.variables}
        lead = min([start, *reach.values()])
        steps, values = columns.piece(lead - base, stop - base)
        arrays.put_labels(columns)  # after the rows were taken: they have no label that is not there
        sizes = arrays.sizes(columns)
        for key, var in columns.variables.items():
            array = arrays.made(key, ("step", *var.dims), sizes[key], columns.variable_attrs(key))
            rows = arrays.in_place(values[key][reach[key] - lead :], columns, var.dims)
            _put(array, reach[key], stop, rows, np.nan, ahead=self._ahead)
        array = arrays.made("step", ("step",), ())
        begin = max(lead, arrays.whole_chunk("step", start, base))
        _put(array, begin, stop, steps[begin - lead :], UNWRITTEN, ahead=self._ahead)
        for plan in overviews.plans(columns.variables, sizes):
            self._add_to_overview(name, arrays, columns, plan, stop)

    def _add_to_overview(self, name: str, arrays: "_Arrays", columns: Columns, plan: Plan, stop: int) -> None:
        """Put what is kept of the blocks that are complete by now beside the values."""
        if stop < OVERVIEW_ROWS:
            return
        array = arrays.overview(plan)
        if array is None or stop - array.shape[0] * plan.block < OVERVIEW_ROWS:
            return
        most = max(1, PIECE // (plan.block * plan.columns))
        while (done := array.shape[0]) < stop // plan.block:
            until = min(stop // plan.block, done + most)
            steps, values = self._rows(name, arrays, columns, plan, done * plan.block, until * plan.block)
            kept = overviews.entries(plan, steps, values)
            array.resize((until, *array.shape[1:]))
            array[done:until] = kept

    def _rows(
        self, name: str, arrays: "_Arrays", columns: Columns, plan: Plan, start: int, stop: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Steps and values of some rows, of which the store may hold what the record does not."""
        base = self._base.get(name, 0)
        steps, values = columns.piece(max(start, base) - base, max(stop, base) - base)
        found = {key: arrays.in_place(values[key], columns, columns.variables[key].dims) for key in plan.sizes}
        if start >= base:
            return steps, found
        old = {key: np.asarray(arrays.values[key][start : min(stop, base)]) for key in plan.sizes}
        steps = np.concatenate([np.asarray(arrays.values["step"][start : min(stop, base)]), steps])
        return steps, {key: np.concatenate([old[key], found[key]]) for key in plan.sizes}

    def _set_attrs(self, where: str, node: Any, attrs: Mapping[str, Any]) -> None:
        told = plain(attrs)
        if self._attrs.get(where) != told:
            if dict(node.attrs) != told:
                put_attributes(node, told)
            self._attrs[where] = told


class _Arrays:
    """The arrays of one group, those that the store holds already among them."""

    def __init__(self, root: zarr.Group, name: str) -> None:
        self.root, self.name = root, name
        self.group = root.require_group(name)
        self.values: dict[str, Any] = {}
        self._labels: dict[str, zarr.Array] = {}
        self._told: dict[str, list[Any]] = {}  # labels by dim as they stand in the store
        self._overviews: dict[str, zarr.Array] = {}
        self._begun: dict[str, int] = {}  # times by leader

    def sizes(self, columns: Columns) -> dict[str, tuple[int, ...]]:
        """Of the dims of each variable besides ``step`` in the store."""
        told = {dim: self._told.get(dim, columns.labels[dim]) for dim in columns.labels}
        return {key: tuple(len(told[dim]) for dim in var.dims) for key, var in columns.variables.items()}

    def made(
        self, key: str, dims: tuple[str, ...], sizes: tuple[int, ...], attrs: Mapping[str, Any] | None = None
    ) -> Any:
        """An array, as wide as it has to be; what it is of is told as it is made."""
        array = self.values.get(key)
        if array is None:
            array = _found(self.group, key)
        if array is not None and array.shape[1:] != sizes and not array.shape[0]:
            del self.group[key]  # made before its labels were known: in its chunks each label would be a file
            array = None
        if array is None:
            chunks = (chunk_rows(sizes), *(max(1, size) for size in sizes))
            array = self.group.create_array(
                key, shape=(0, *sizes), chunks=chunks, dtype="int64" if key == "step" else "float64",
                fill_value=UNWRITTEN if key == "step" else np.nan, dimension_names=dims, attributes=plain(attrs or {}),
            )  # fmt: skip
        if array.shape[1:] != sizes:
            array.resize((array.shape[0], *sizes))
        if self.values.get(key) is not array:
            self.values[key] = array = quick(array)
        return array

    def whole_chunk(self, key: str, start: int, base: int) -> int:
        """The row from which on to write, so that no chunk has to be read first where its rows are known."""
        array = self.values.get(key)
        return start if array is None else max(start - start % array.chunks[0], base)

    def put_labels(self, columns: Columns) -> None:
        """Write labels that are new; those in the store keep their places."""
        for dim, names in list(columns.labels.items()):
            if dim not in self._labels and (array := _found(self.group, dim)) is not None:
                self._labels[dim], self._told[dim] = array, labels_of(array)
            told = self._told.setdefault(dim, [])
            known = set(told)
            fresh = [name for name in list(names) if name not in known]
            if fresh:  # of none it is not known what they will be
                self._put_labels(dim, [*told, *fresh])

    def _put_labels(self, dim: str, names: list[Any]) -> None:
        numeric = bool(names) and not isinstance(names[0], str)
        array: Any = self._labels.get(dim)
        if array is None:
            array = self.group.create_array(
                dim, shape=(0,), chunks=(1024,), dtype="float64" if numeric else str, dimension_names=(dim,),
                fill_value=np.nan if numeric else UNTOLD,
                attributes={"long_name": DIMS[dim], "whole": all(isinstance(item, int) for item in names)},
            )  # fmt: skip
        array.resize((len(names),))
        if names:
            array[:] = np.asarray(names, dtype="float64" if numeric else object)
        self._labels[dim], self._told[dim] = array, names

    def in_place(self, rows: np.ndarray, columns: Columns, dims: tuple[str, ...]) -> np.ndarray:
        """Values where their labels stand in the store; NaN for those that the record does not have."""
        sizes = tuple(len(self._told[dim]) for dim in dims)
        if rows.shape[1:] == sizes and all(columns.labels[dim] == self._told[dim] for dim in dims):
            return rows
        out = np.full((len(rows), *sizes), np.nan)
        held = [columns.labels[dim][:size] for dim, size in zip(dims, rows.shape[1:], strict=True)]
        places = [[self._told[dim].index(name) for name in names] for dim, names in zip(dims, held, strict=True)]
        out[np.ix_(range(len(rows)), *places)] = rows
        return out

    def overview(self, plan: Plan) -> zarr.Array | None:
        """The array of an overview; None where its labels change too often."""
        array = self._overviews.get(plan.leader)
        if array is not None and array.basename == plan.name:
            return array
        self._begun[plan.leader] = self._begun.get(plan.leader, 0) + 1
        group = self.root.require_group(overviews.GROUP).require_group(self.name)  # the outer one first
        if array is not None:
            del group[array.basename]
        if self._begun[plan.leader] > REBUILT:
            self._overviews.pop(plan.leader, None)
            return None
        array = _found(group, plan.name)
        if array is None:
            shape = (0, plan.kept, plan.columns)
            chunks = (max(1, OVERVIEW_VALUES // (plan.kept * plan.columns)), plan.kept, plan.columns)
            array = group.create_array(
                plan.name, shape=shape, chunks=chunks, dtype="float64", fill_value=np.nan,
                dimension_names=[f"{word} of {plan.name}" for word in ("block", "kept", "column")],
                attributes={"variables": list(plan.sizes)},
            )  # fmt: skip
        self._overviews[plan.leader] = array
        return array

    def trim(self, rows: int) -> None:
        """End all arrays after so many rows."""
        for array in self.values.values():
            if array.shape[0] != rows:
                array.resize((rows, *array.shape[1:]))


def plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as JSON allows them: what is not finite is null."""
    return json.loads(json.dumps(dict(attrs), default=str), parse_constant=lambda constant: None)


def chunk_rows(sizes: tuple[int, ...]) -> int:
    """Rows in a chunk: few where a row is wide, so that one row can be read alone."""
    return max(1, CHUNK_VALUES // max(1, math.prod(sizes)))


def labels_of(array: Any) -> list[Any]:
    """The labels of an axis as they are told to `Columns`, up to the first that is not yet written."""
    values = np.asarray(array[:]).tolist()
    untold = [place for place, value in enumerate(values) if value == UNTOLD or value != value]
    values = values[: untold[0]] if untold else values
    whole = array.attrs.get("whole") and not any(isinstance(value, str) for value in values)
    return [int(item) for item in values] if whole else values


def _put(array: Any, start: int, stop: int, rows: np.ndarray, fill: float, *, ahead: bool) -> None:
    """Write rows, of which those before the new ones fill their chunk; ``ahead`` also those that are to come.

    Chunk after chunk: in ``step`` a chunk tells that those before it are there.
    """
    chunk = array.chunks[0]
    room = -(-stop // chunk) * chunk if ahead else stop
    if array.shape[0] != room:
        array.resize((room, *rows.shape[1:]))
    if room > stop:
        rows = np.concatenate([rows, np.full((room - stop, *rows.shape[1:]), fill, rows.dtype)])
    at = start
    while at < room and rows.size:
        until = min(room, at - at % chunk + chunk)
        array[(slice(at, until), *map(slice, rows.shape[1:]))] = rows[at - start : until - start]
        at = until


def _found(group: zarr.Group, key: str) -> Any:
    """An array of a group; None where it has none."""
    try:
        return group[key]
    except KeyError:
        return None
