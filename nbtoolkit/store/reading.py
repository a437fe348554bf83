"""A store read while, perhaps, another process writes it."""

import contextlib
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import zarr

from nbtoolkit.errors import StoreError
from nbtoolkit.store import overviews
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.places import Place
from nbtoolkit.store.schema import VERSION, Var
from nbtoolkit.store.stored import StoredColumns
from nbtoolkit.store.writing import GENERATION, HEARTBEAT, MARK, OWN, ROWS, UNWRITTEN, labels_of

LARGE = 64 << 20  # bytes of values; more are left in the store
SILENT = 3.0  # seconds after which rows are looked for that a writer may have written before its last word


class Reader:
    """The record of a store, kept in step with what its writer appends.

    The record is one object for ever. Rows of a store with less than 64 MB of values are in memory, those of a larger
    one stay in the store until they are looked at. Where a writer goes on from an earlier step (another generation of
    the store), all groups are read anew and ``record.generation`` grows, by which a Board knows.

    Args:
        where: path or URL of the store.
        lock: held while rows are put into the record, never while the store is read; may be set later (``run.lock``).
        whole: read all rows into memory, however many.

    Raises:
        StoreError: there is nothing, something else, or something damaged.
    """

    def __init__(
        self, where: "str | os.PathLike[str] | Place", *, lock: "AbstractContextManager | None" = None,
        whole: bool = False,
    ) -> None:  # fmt: skip
        self.place = Place(where)
        self.lock: AbstractContextManager = lock or contextlib.nullcontext()
        self.record = Record()
        self.record.generation = 0  # type: ignore[attr-defined] - as an Overlay has it
        self._whole = whole
        self._beat: float | None = None
        self._heard = time.monotonic()
        self._looked_again = False
        self._generation = 0
        if not self.place.exists():
            raise StoreError(
                f"there is nothing at {self.place}; expected a store written by run.save() or watch(store=...)."
            )
        root, attrs, own = self._root()
        self._load(root, attrs, own)
        beat = self._beat
        self._offset = 0.0 if beat is None else max(0.0, time.time() - beat)

    def poll(self) -> bool:
        """Bring in what was appended since; whether anything changed: attributes, notes, rows, generation.

        Raises:
            StoreError: the store cannot be read now (gone, or a network that fails); nothing held is dropped.
        """
        try:
            root, attrs, own = self._root()
        except StoreError:
            if self.place.exists():
                raise
            raise StoreError(f"there is nothing at {self.place} any more.") from None
        beat = own.get(HEARTBEAT)
        if own.get(GENERATION, 0) != self._generation:
            self._load(root, attrs, own)
            return True
        silent = beat == self._beat and attrs == self._attrs
        if silent and (self._looked_again or self.age() < SILENT):
            return False
        self._looked_again = silent
        if beat != self._beat:
            self._beat, self._heard, self._offset = beat, time.monotonic(), 0.0
        changed = attrs != self._attrs
        rows = own.get(ROWS, {})
        for name in self._listed() if silent else rows:
            columns = self.record.groups.get(name)
            if silent or columns is None or rows[name] != len(columns):
                changed |= self._refresh(root, name, columns)
        with self.lock:
            self._take_attrs(attrs)
        return changed

    def age(self) -> float:
        """Seconds since the writer last wrote; infinite of a store that does not tell."""
        return float("inf") if self._beat is None else self._offset + time.monotonic() - self._heard

    def _root(self) -> tuple[zarr.Group, dict[str, Any], dict[str, Any]]:
        """The root of the store, its attributes, and those of them that are the store's own."""
        try:
            root = self.place.open_group("r")
            attrs = dict(root.attrs)
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(
                f"{self.place} is not a Zarr store that can be read ({self.place.fault(error)})."
            ) from error
        version = attrs.get(MARK)
        if version is None:
            raise StoreError(
                f"{self.place} is a Zarr store, but not a run of nbtoolkit; xarray.open_datatree may read it."
            )
        if not isinstance(version, int) or version > VERSION:
            raise StoreError(
                f"{self.place} has format {version}; this nbtoolkit reads up to {VERSION}. Install a newer one."
            )
        return root, {key: value for key, value in attrs.items() if key not in OWN}, _sensible(attrs)

    def _load(self, root: zarr.Group, attrs: dict[str, Any], own: dict[str, Any]) -> None:
        """Read everything anew."""
        found = {name: made for name in self._listed() if (made := self._read(root, name)) is not None}
        found = dict(sorted(found.items(), key=lambda item: item[1].order))
        in_memory = self._whole or sum(one.nbytes for one in found.values()) <= LARGE
        groups: dict[str, Columns] = {}
        for name, stored in found.items():
            try:
                groups[name] = _in_memory(stored) if in_memory else stored
            except Exception as error:
                raise StoreError(self._damaged(name, error)) from error
        with self.lock:
            self.record.groups = groups
            self._take_attrs(attrs)
            if own.get(GENERATION, 0) != self._generation:
                self.record.generation += 1  # type: ignore[attr-defined]
        self._generation, self._beat = own.get(GENERATION, 0), own.get(HEARTBEAT)
        self._heard, self._offset, self._looked_again = time.monotonic(), 0.0, False

    def _take_attrs(self, attrs: dict[str, Any]) -> None:
        """Put those of the store into the record; what others added there stays."""
        self._attrs = attrs
        self.record.attrs.update(attrs)

    def _listed(self) -> list[str]:
        """What may be a group of an instrument."""
        try:
            return [name for name in self.place.folders() if name != overviews.GROUP]
        except Exception as error:
            raise StoreError(f"{self.place} cannot be listed: {self.place.fault(error)}.") from error

    def _read(self, root: zarr.Group, name: str) -> StoredColumns | None:
        """One group as it is now; None while it is being made."""
        try:
            return read_group(root, name)
        except Exception as error:
            raise StoreError(self._damaged(name, error)) from error

    def _damaged(self, name: str, error: Exception) -> str:
        return f"group {name!r} of {self.place} is damaged ({self.place.fault(error)})."

    def _refresh(self, root: zarr.Group, name: str, held: Columns | None) -> bool:
        """Bring one group up to date; whether it had changed."""
        newer = self._read(root, name)
        if newer is None or (held is not None and len(newer) <= len(held)):
            return False
        in_memory = not isinstance(held, StoredColumns) if held is not None else self._keeps()
        if held is None:
            held = _in_memory(newer) if in_memory else newer
            with self.lock:
                self.record.groups[name] = held
        elif isinstance(held, StoredColumns):
            with self.lock:
                held.take_over(newer)
        else:
            steps, values = newer.piece(len(held), len(newer))
            values = dict(values)
            with self.lock:
                held.append(steps, values, newer.labels)
                held.kept_reasons = newer.kept_reasons
        return True

    def _keeps(self) -> bool:
        return not any(isinstance(one, StoredColumns) for one in self.record.groups.values())


def read_group(root: zarr.Group, name: str) -> StoredColumns | None:
    """The rows of one group that are complete; None where it was cut off while being made.

    Raises:
        Exception: something in it cannot be read.
    """
    group: Any = _item(root, name)
    steps: Any = _item(group, "step") if isinstance(group, zarr.Group) else None
    if steps is None:
        return None
    attrs: dict[str, Any] = {key: value for key, value in group.attrs.items() if key != "order"}
    # Sizes before labels: the writer writes labels first.
    arrays: dict[str, Any] = {key: _item(group, key) for key in map(str, attrs.pop("variables", []))}
    arrays = {key: array for key, array in arrays.items() if array is not None}
    dims = {key: tuple(map(str, array.metadata.dimension_names or ()))[1:] for key, array in arrays.items()}
    variables = {key: Var.read(dims[key], dict(array.attrs)) for key, array in arrays.items()}
    every = dict.fromkeys(dim for var in variables.values() for dim in var.dims)
    labels = {dim: [] if (array := _item(group, dim)) is None else labels_of(array) for dim in every}
    rows = min([steps.shape[0], *(array.shape[0] for array in arrays.values())])
    length = complete(steps, rows, in_order=ROWS in root.attrs)
    made = StoredColumns(name, variables, attrs, {**arrays, "step": steps}, length, labels, {})
    order = group.attrs.get("order", 0)
    made.order = order if isinstance(order, int) else 0
    kept = _item(root, f"{overviews.GROUP}/{name}") if length > overviews.FIELD_BLOCK else None
    if kept is not None:
        every_plan = overviews.plans(variables, made.sizes)
        made.kept = {plan.name: array for plan in every_plan if (array := _item(kept, plan.name)) is not None}
    for key, array in arrays.items():
        if "not_measured" in array.attrs:
            made.kept_reasons[key] = str(array.attrs["not_measured"])
    return made


def complete(steps: zarr.Array, rows: int, *, in_order: bool) -> int:
    """How many of the rows are complete: those before the first -1.

    Args:
        steps: of all rows.
        rows: that there is room for.
        in_order: chunks were written one after the other, so that only the last has to be read.
    """
    chunk = steps.chunks[0] if in_order else max(1, rows)
    for start in reversed(range(0, rows, chunk)):
        unwritten = np.flatnonzero(np.asarray(steps[start : min(rows, start + chunk)]) == UNWRITTEN)
        if not len(unwritten):
            return min(rows, start + chunk)
        if unwritten[0] > 0 or start == 0:
            return start + int(unwritten[0])
    return 0


def _in_memory(stored: StoredColumns) -> Columns:
    columns = Columns(stored.name, stored.variables, stored.attrs)
    steps, values = stored.rows()
    columns.append(steps, dict(values), stored.labels)
    columns.kept_reasons = dict(stored.kept_reasons)
    return columns


def _item(group: Any, key: str) -> Any:
    try:
        return group[key]
    except KeyError:
        return None


def _sensible(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """What the store tells of itself, as far as it makes sense."""
    own: dict[str, Any] = {}
    beat, rows, generation = (attrs.get(key) for key in (HEARTBEAT, ROWS, GENERATION))
    if isinstance(beat, int | float) and not isinstance(beat, bool):
        own[HEARTBEAT] = float(beat)
    if isinstance(rows, dict):
        own[ROWS] = rows
    if isinstance(generation, int):
        own[GENERATION] = generation
    return own
