"""One group of a store, as far as its rows are complete."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr

from nbtoolkit.errors import StoreError
from nbtoolkit.store import overviews
from nbtoolkit.store.columns import Columns
from nbtoolkit.store.schema import Var
from nbtoolkit.store.stored import StoredColumns
from nbtoolkit.store.writing import ROWS, UNWRITTEN, labels_of


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


def told_group(root: zarr.Group, name: str, rows: Mapping[str, int]) -> StoredColumns | None:
    """One group as it is now; None while it is being made.

    Args:
        root: of the store.
        name: of the group.
        rows: by group, as the root tells of them.

    Raises:
        StoreError: the root tells of rows, and there are none.
        Exception: something in it cannot be read.
    """
    made = read_group(root, name)
    if made is None and rows.get(name, 0) > 0:
        raise StoreError(f"it has {rows[name]} rows by the root of the store, and its description is gone")
    return made


def in_memory(stored: StoredColumns) -> Columns:
    """The same rows, read."""
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
