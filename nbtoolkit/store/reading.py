"""A store read while, perhaps, another process writes it."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import zarr

from nbtoolkit.errors import StoreError
from nbtoolkit.store import overviews
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.groups import in_memory, told_group
from nbtoolkit.store.identity import IDENTITY, identity
from nbtoolkit.store.places import Place
from nbtoolkit.store.schema import VERSION
from nbtoolkit.store.stored import StoredColumns
from nbtoolkit.store.writing import GENERATION, HEARTBEAT, MARK, OWN, ROWS

LARGE = 64 << 20  # bytes of values; more are left in the store
SILENT = 3.0  # seconds after which rows are looked for that a writer may have written before its last word


class Reader:
    """The record of a store, kept in step with what its writer appends.

    The record is one object for ever. Rows of a store with less than 64 MB of values are in memory, those of a larger
    one stay in the store until they are looked at. Where a writer goes on from an earlier step (another generation of
    the store), or another training was begun at the same place, all groups are read anew and ``record.generation``
    grows, by which a Board knows. ``identity`` tells the one training from the other, and ``damaged`` holds what cannot
    be read, by group, in words; the others are kept in step nonetheless.

    Args:
        where: path or URL of the store.
        lock: held while rows are put into the record, never while the store is read; may be set later (``run.lock``).
        whole: read all rows into memory, however many.
        lenient: begin also where groups are damaged, without these.

    Raises:
        StoreError: there is nothing, something else, or something damaged.
    """

    def __init__(
        self, where: "str | os.PathLike[str] | Place", *, lock: "AbstractContextManager | None" = None,
        whole: bool = False, lenient: bool = False,
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
        self.identity: str | None = None
        self.damaged: dict[str, str] = {}
        if not self.place.exists():
            raise StoreError(
                f"there is nothing at {self.place}; expected a store written by run.save() or watch(store=...)."
            )
        root, attrs, own = self._root()
        self._load(root, attrs, own, lenient=lenient)
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
            self.damaged.clear()
            if self.place.exists():
                raise
            raise StoreError(f"there is nothing at {self.place} any more.") from None
        beat = own.get(HEARTBEAT)
        silent = beat == self._beat and attrs == self._attrs
        rows: dict[str, int] = own.get(ROWS, {})
        held = list(self.record.groups.items())
        # Rows that a writer has not told of yet may have been found while it was silent, never fewer than it tells.
        fewer = beat != self._beat and any(rows.get(name, len(columns)) < len(columns) for name, columns in held)
        if own.get(GENERATION, 0) != self._generation or self._is_another(attrs, own) or fewer:
            self._load(root, attrs, own, lenient=not self.place.is_url, again=True)  # of a URL the network may be ill
            return True
        quiet = silent and (self._looked_again or self.age() < SILENT)
        if not quiet:
            self._looked_again = silent
        if beat != self._beat:
            self._beat, self._heard, self._offset = beat, time.monotonic(), 0.0
        changed = attrs != self._attrs
        names = self.damaged if quiet else dict.fromkeys([*rows, *(self._listed() if silent else ())])
        for name in list(names):
            columns = self.record.groups.get(name)
            if silent or columns is None or rows[name] != len(columns):
                changed |= self._refresh(root, name, columns, rows)
        with self.lock:
            self._take_attrs(attrs, own)
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

    def _load(
        self, root: zarr.Group, attrs: dict[str, Any], own: dict[str, Any], *, lenient: bool, again: bool = False
    ) -> None:
        """Read everything anew; of what is damaged the ``lenient`` take note."""
        rows, another = own.get(ROWS, {}), self._is_another(attrs, own)
        damaged: dict[str, str] = {}

        def each(names: Iterable[str], make: Callable[[str], Any]) -> dict[str, Any]:
            made = {}
            for name in names:
                try:
                    made[name] = make(name)
                except Exception as error:
                    damaged[name] = self._damaged(name, error)
                    if not lenient:
                        raise StoreError(damaged[name]) from error
            return {name: columns for name, columns in made.items() if columns is not None}

        found = each(dict.fromkeys([*self._listed(), *rows]), lambda name: told_group(root, name, rows))
        found = dict(sorted(found.items(), key=lambda item: item[1].order))
        small = self._whole or sum(one.nbytes for one in found.values()) <= LARGE
        groups = each(found, lambda name: in_memory(found[name]) if small else found[name])
        with self.lock:
            self.record.groups = groups
            if another:
                for key in self.record.attrs.keys() - attrs.keys():
                    del self.record.attrs[key]
            self._take_attrs(attrs, own)
            self.record.generation += again  # type: ignore[attr-defined]
        self._generation, self._beat, self.damaged = own.get(GENERATION, 0), own.get(HEARTBEAT), damaged
        self._heard, self._offset, self._looked_again = time.monotonic(), 0.0, False

    def _is_another(self, attrs: dict[str, Any], own: dict[str, Any]) -> bool:
        """Whether the store is of another training than the one that was read."""
        return self.identity is not None and identity(attrs | own) not in (None, self.identity)

    def _take_attrs(self, attrs: dict[str, Any], own: dict[str, Any]) -> None:
        """Put those of the store into the record; what others added there stays."""
        self._attrs, self.identity = attrs, identity(attrs | own) or self.identity
        self.record.attrs.update(attrs)

    def _listed(self) -> list[str]:
        """What may be a group of an instrument."""
        try:
            return [name for name in self.place.folders() if name != overviews.GROUP]
        except Exception as error:
            raise StoreError(f"{self.place} cannot be listed: {self.place.fault(error)}.") from error

    def _damaged(self, name: str, error: Exception) -> str:
        return f"group {name!r} of {self.place} is damaged ({self.place.fault(error)})."

    def _refresh(self, root: zarr.Group, name: str, held: Columns | None, rows: Mapping[str, int]) -> bool:
        """Bring one group up to date, or keep what is the matter with it; whether it had changed."""
        try:
            newer = told_group(root, name, rows)
            changed = newer is not None and (held is None or len(newer) > len(held))
            if newer is not None and changed:
                self._bring_in(name, held, newer)
        except Exception as error:
            self.damaged[name] = self._damaged(name, error)
            return False
        self.damaged.pop(name, None)
        return changed

    def _bring_in(self, name: str, held: Columns | None, newer: StoredColumns) -> None:
        if held is None:
            made = in_memory(newer) if self._keeps() else newer
            with self.lock:
                self.record.groups[name] = made
        elif isinstance(held, StoredColumns):
            with self.lock:
                held.take_over(newer)
        else:
            steps, values = newer.piece(len(held), len(newer))
            values = dict(values)
            with self.lock:
                held.append(steps, values, newer.labels)
                held.kept_reasons = newer.kept_reasons

    def _keeps(self) -> bool:
        return not any(isinstance(one, StoredColumns) for one in self.record.groups.values())


def _sensible(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """What the store tells of itself, as far as it makes sense."""
    own: dict[str, Any] = {}
    beat, rows, generation = (attrs.get(key) for key in (HEARTBEAT, ROWS, GENERATION))
    if isinstance(beat, int | float) and not isinstance(beat, bool):
        own[HEARTBEAT] = float(beat)
    if isinstance(rows, dict):
        own[ROWS] = {name: count for name, count in rows.items() if isinstance(count, int)}
    if isinstance(attrs.get(IDENTITY), str):
        own[IDENTITY] = attrs[IDENTITY]
    if isinstance(generation, int):
        own[GENERATION] = generation
    return own
