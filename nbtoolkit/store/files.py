"""A record as a Zarr store, on disk or at a URL: written at once, or appended while training runs."""

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zarr

from nbtoolkit.errors import StoreError
from nbtoolkit.store import identity
from nbtoolkit.store.columns import Record
from nbtoolkit.store.places import Place
from nbtoolkit.store.schema import VERSION
from nbtoolkit.store.writing import MARK, Writer

WRITE_SECONDS = 0.8
URL_SECONDS = 2.0  # between writes where each object costs money and a round trip
CLOSE_SECONDS = 60.0  # that the end of a run waits for a store
TRIES = 5  # of a write to a URL, each after twice the time of the last
FIRST_WAIT = 0.5  # seconds, doubled

Where = str | os.PathLike[str] | Place


def save(record: Record, where: Where) -> Any:
    """Write a whole record to a new Zarr store; returns its Path, or its URL as text.

    Raises:
        StoreError: the path exists, or cannot be written.
    """
    place = Place(where)
    root = create(place)
    try:
        Writer(root).write(record)
    except Exception as error:
        if not (place.is_url or isinstance(error, OSError)):
            raise
        raise StoreError(f"cannot write the run to {place}: {place.fault(error)}; choose another path.") from error
    return place.target


def create(where: Where) -> zarr.Group:
    """A new, empty store of ours.

    Raises:
        StoreError: something is there already, or nothing can be made there.
    """
    place = Place(where)
    if place.exists():
        raise StoreError(f"{place} exists already; nothing was changed. Choose another path, or remove it first.")
    try:
        group = place.open_group("w-")
        group.attrs.update({MARK: VERSION, identity.IDENTITY: identity.new()})
    except StoreError:
        raise
    except Exception as error:
        if not (place.is_url or isinstance(error, OSError)):
            raise
        raise StoreError(f"cannot create a store at {place}: {place.fault(error)}; choose another path.") from error
    return group


def load(where: Where) -> Record:
    """Read a store into memory; rows that were cut off in mid-write are left out.

    Raises:
        StoreError: there is nothing, something else, or something damaged.
    """
    from nbtoolkit.store.reading import Reader

    return Reader(where, whole=True).record


def check_free(where: Where) -> None:
    """Refuse a path at which no new store can be made, before any work is done.

    Raises:
        StoreError: something is there already, or the place cannot be written.
    """
    place = Place(where)
    created = [] if place.is_url else [parent for parent in Path(place.target).parents if not parent.exists()]
    create(place)
    place.remove()
    for parent in created:
        parent.rmdir()


_open: "weakref.WeakSet[Appender]" = weakref.WeakSet()


def _close_all() -> None:
    for appender in tuple(_open):
        appender.close()


class Appender:
    """Keeps a store in step with a growing record, from a thread of its own; training never waits for it.

    Args:
        where: path or URL of the new store.
        record: what grows.
        collect: brings measured rows into the record, taking the run's lock.
        note: told once if the store gives out, or is removed under it; the record in memory goes on.
        step: optimizer steps done before. Above 0 a store that is there is gone on with: its rows from that step on,
            of a part of the training that was lost, are removed, and it becomes another ``generation``; see `go_on`.

    Raises:
        StoreError: the path exists (where ``step`` is 0), holds another run, or cannot be written.
    """

    def __init__(
        self, where: Where, record: Record, collect: Callable[[], None], note: Callable[[str], None], step: int = 0
    ) -> None:
        self.place = Place(where)
        self.path = self.place.target
        self._record, self._collect, self._note = record, collect, note
        self._pause = URL_SECONDS if self.place.is_url else WRITE_SECONDS
        self._done, self._writing, self._failures = threading.Event(), threading.Lock(), 0
        ahead = self.place.is_url
        if step > 0 and self.place.exists():
            from nbtoolkit.store.continuing import go_on

            found = go_on(self.place, record, step)
            note(found.note)
            self._identity = identity.identity(found.root.attrs)
            self._writer = Writer(found.root, ahead=ahead, held=found.rows, generation=found.generation, live=True)
            self.write()  # by which a follower knows
        else:
            root = create(self.place)
            self._identity = identity.identity(root.attrs)
            self._writer = Writer(root, ahead=ahead, live=True)
        self._thread = threading.Thread(target=self._work, name="nbtoolkit store", daemon=True)
        self._thread.start()
        if not _open:
            # A script may end without detaching; at a plain atexit the pools that Zarr needs are closed already.
            getattr(threading, "_register_atexit", atexit.register)(_close_all)
        _open.add(self)

    def write(self) -> None:
        """Write what is new in the record, now."""
        with self._writing:
            try:
                identity.check(self.place, self._identity)
                self._writer.write(self._record)
                self._failures = 0
            except Exception as error:
                self._failures += 1
                if self._failed:
                    self._note(
                        f"the store {self.place} could not be written ({self.place.fault(error)}); "
                        "the run goes on in memory: keep it with run.save(path)"
                    )

    def close(self) -> None:
        """Write what is left and end the thread; a store that takes longer than a minute is left behind."""
        self._done.set()
        if self._thread is threading.current_thread():
            return
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._note(
                f"the store {self.place} was not written to its end within {CLOSE_SECONDS:g} s and lacks the last "
                "rows; keep them with run.save(path)"
            )

    @property
    def _failed(self) -> bool:
        return self._failures >= (TRIES if self.place.is_url else 1)

    def _work(self) -> None:
        while True:
            last = self._done.is_set()
            try:
                self._collect()
            except Exception as error:
                self._note(f"rows could not be read for the store: {self.place.fault(error)}")
            self.write()
            if last and not self._failures:
                self._trim()
            if self._failed or (last and not self._failures):
                return
            if last:
                time.sleep(FIRST_WAIT * 2**self._failures)
            else:
                self._done.wait(FIRST_WAIT * 2**self._failures if self._failures else self._pause)

    def _trim(self) -> None:
        """Give back the room made ahead; where that fails, readers tell it from rows."""
        with contextlib.suppress(Exception), self._writing:
            self._writer.trim()
