"""A record as a Zarr store on disk: written at once, or appended while training runs.

In every group ``step`` is written after the values, and its room is filled with -1 first, so a
process killed in the middle of a write leaves rows that `load` can tell from complete ones.
"""

import atexit
import json
import shutil
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from nbtoolkit.errors import StoreError
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.schema import DIMS, VERSION, Var

MARK = "nbtoolkit_store"
WRITE_SECONDS = 0.5
CHUNK_VALUES = 1 << 15
UNWRITTEN = -1


def save(record: Record, path: str | Path) -> Path:
    """Write a whole record to a new Zarr store.

    Raises:
        StoreError: the path exists, or cannot be written.
    """
    target = Path(path).absolute()
    try:
        _Writer(create(target)).write(record)
    except OSError as error:
        raise StoreError(
            f"cannot write the run to {target}: {error.strerror or error}; choose another path."
        ) from error
    return target


def create(path: Path) -> zarr.Group:
    """A new, empty store of ours at ``path``.

    Raises:
        StoreError: something is there already, or nothing can be made there.
    """
    if path.exists():
        raise StoreError(f"{path} exists already; nothing was changed. Choose another path, or remove it first.")
    try:
        group = zarr.open_group(path, mode="w-", zarr_format=3)
        group.attrs.update({MARK: VERSION})
    except OSError as error:
        raise StoreError(f"cannot create a store at {path}: {error.strerror or error}; choose another path.") from error
    return group


def load(path: str | Path) -> Record:
    """Read a store into memory; rows that were cut off in mid-write are left out.

    Raises:
        StoreError: there is nothing, something else, or something damaged at ``path``.
    """
    target = Path(path)
    if not target.exists():
        raise StoreError(f"there is nothing at {target}; expected a store written by run.save() or watch(store=...).")
    try:
        root = zarr.open_group(target, mode="r", zarr_format=3)
    except Exception as error:
        raise StoreError(f"{target} is not a Zarr store that can be read ({_first_line(error)}).") from error
    attrs = dict(root.attrs)
    version = attrs.pop(MARK, None)
    if version is None:
        raise StoreError(f"{target} is a Zarr store, but not a run of nbtoolkit; xarray.open_datatree may read it.")
    if not isinstance(version, int) or version > VERSION:
        raise StoreError(f"{target} has format {version}; this nbtoolkit reads up to {VERSION}. Install a newer one.")
    record = Record(attrs)
    for name in sorted(root.group_keys(), key=lambda key: root[key].attrs.get("order", 0)):  # type: ignore[union-attr]
        try:
            _load_group(record, name, root[name])  # type: ignore[arg-type]
        except Exception as error:
            raise StoreError(f"group {name!r} of {target} is damaged ({_first_line(error)}).") from error
    return record


def check_free(path: str | Path) -> None:
    """Refuse a path at which no new store can be made, before any work is done.

    Raises:
        StoreError: something is there already, or the place cannot be written.
    """
    target = Path(path).absolute()
    created = [parent for parent in target.parents if not parent.exists()]
    create(target)
    shutil.rmtree(target)
    for parent in created:
        parent.rmdir()


_open: "weakref.WeakSet[Appender]" = weakref.WeakSet()


def _close_all() -> None:
    for appender in tuple(_open):
        appender.close()


class Appender:
    """Keeps a store on disk in step with a growing record, from a thread of its own.

    Args:
        path: of the new store.
        record: what grows.
        collect: brings measured rows into the record, taking the run's lock.
        note: told once if the disk gives out; the record in memory goes on.

    Raises:
        StoreError: the path exists or cannot be written.
    """

    def __init__(
        self, path: str | Path, record: Record, collect: Callable[[], None], note: Callable[[str], None]
    ) -> None:
        self.path, self._record, self._collect, self._note = Path(path).absolute(), record, collect, note
        self._writer = _Writer(create(self.path))
        self._done = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._work, name="nbtoolkit store", daemon=True)
        self._thread.start()
        if not _open:
            # A script may end without detaching; at a plain atexit the pools that Zarr needs are closed already.
            getattr(threading, "_register_atexit", atexit.register)(_close_all)
        _open.add(self)

    def write(self) -> None:
        """Write what is new in the record, now."""
        try:
            self._writer.write(self._record)
        except Exception as error:
            self._note(
                f"the store {self.path} could not be written ({_first_line(error)}); "
                "the run goes on in memory: keep it with run.save(path)"
            )
            self._failed = True

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._done.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _work(self) -> None:
        while True:
            last = self._done.is_set()
            try:
                self._collect()
            except Exception as error:
                self._note(f"rows could not be read for the store: {_first_line(error)}")
            self.write()
            if last or self._failed:
                return
            self._done.wait(WRITE_SECONDS)


class _Writer:
    """Writes the rows of a record that a Zarr group does not hold yet."""

    def __init__(self, root: zarr.Group) -> None:
        self.root = root
        self._written: dict[str, int] = {}
        self._attrs: dict[str, Any] = {}

    def write(self, record: Record) -> None:
        for order, (name, columns) in enumerate(list(record.groups.items())):
            group = self.root.require_group(name)
            self._set_attrs(name, group, {**columns.attrs, "order": order, "variables": list(columns.variables)})
            self._append(name, group, columns)
        self._set_attrs("/", self.root, {MARK: VERSION, **record.attrs})

    def _append(self, name: str, group: zarr.Group, columns: Columns) -> None:
        start = self._written.get(name, 0)
        steps, values = columns.rows(start)
        stop = start + len(steps)
        for dim, names in list(columns.labels.items()):
            _write_labels(group, dim, list(names))
        for key, rows in values.items():
            dims = ("step", *columns.variables[key].dims)
            array = _array(group, key, rows.shape[1:], "float64", np.nan, dims)
            array.resize((stop, *rows.shape[1:]))
            if rows.size:
                array[(slice(start, stop), *map(slice, rows.shape[1:]))] = rows
            self._set_attrs(f"{name}/{key}", array, columns.variable_attrs(key))
        array = _array(group, "step", (), "int64", UNWRITTEN, ("step",))
        array.resize((stop,))
        array[start:stop] = steps
        self._written[name] = stop

    def _set_attrs(self, where: str, node: zarr.Group | zarr.Array, attrs: Mapping[str, Any]) -> None:
        plain = json.loads(json.dumps(dict(attrs), default=str), parse_constant=lambda constant: None)
        if self._attrs.get(where) != plain:
            node.attrs.put(plain)
            self._attrs[where] = plain


def _array(
    group: zarr.Group, name: str, sizes: tuple[int, ...], dtype: str, fill: float, dims: tuple[str, ...]
) -> zarr.Array:
    if name in group:
        return group[name]  # type: ignore[return-value]
    width = int(np.prod(sizes))
    chunks = (max(64, CHUNK_VALUES // max(1, width)), *(max(1, size) for size in sizes))
    return group.create_array(
        name, shape=(0, *sizes), chunks=chunks, dtype=dtype, fill_value=fill, dimension_names=dims
    )


def _write_labels(group: zarr.Group, dim: str, names: list[Any]) -> None:
    if dim in group and group[dim].shape == (len(names),):  # type: ignore[union-attr]
        return
    numeric = bool(names) and not isinstance(names[0], str)
    if dim not in group:
        group.create_array(
            dim, shape=(0,), chunks=(1024,), dtype="float64" if numeric else str, dimension_names=(dim,),
            attributes={"long_name": DIMS[dim], "whole": all(isinstance(item, int) for item in names)},
        )  # fmt: skip
    array: Any = group[dim]
    array.resize((len(names),))
    if names:
        array[:] = np.asarray(names, dtype="float64" if numeric else object)


def _load_group(record: Record, name: str, group: zarr.Group) -> None:
    arrays = dict(group.arrays())
    if "step" not in arrays:  # cut off while the group was being made
        return
    steps = np.asarray(arrays.pop("step")[:])
    variables: dict[str, Var] = {}
    labels: dict[str, list[Any]] = {}
    for key, array in arrays.items():
        dims = tuple(str(dim) for dim in array.metadata.dimension_names or ())  # type: ignore[union-attr]
        if dims and dims[0] == "step":
            variables[key] = Var.read(dims[1:], dict(array.attrs))
        else:
            values = np.asarray(array[:]).tolist()
            labels[key] = [int(item) for item in values] if array.attrs.get("whole") and values else values
    attrs = dict(group.attrs)
    attrs.pop("order", None)
    variables = {key: variables[key] for key in _names(attrs.pop("variables", [])) if key in variables}
    rows = min([len(steps), *(arrays[key].shape[0] for key in variables)])
    unwritten = np.flatnonzero(steps[:rows] == UNWRITTEN)
    rows = int(unwritten[0]) if len(unwritten) else rows
    columns = record.group(name, variables, attrs)
    sized = {dim: labels.get(dim, []) for var in variables.values() for dim in var.dims}
    columns.append(steps[:rows], {key: np.asarray(arrays[key][:rows]) for key in variables}, sized)
    for key in variables:
        if "not_measured" in arrays[key].attrs:
            columns.kept_reasons[key] = str(arrays[key].attrs["not_measured"])


def _names(value: Any) -> list[str]:
    return [str(name) for name in value]


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
