"""The finished cells of a sweep on disk or behind a URL, so that after a crash only what is missing is run."""

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nbtoolkit.bridges import functions
from nbtoolkit.bridges import grid as grids
from nbtoolkit.bridges.cells import Cell, Values
from nbtoolkit.bridges.grid import Grid, Point
from nbtoolkit.errors import StoreError, first_line

MARK = "nbtoolkit_sweep"
VERSION = 1
ABOUT = "sweep.json"
UNUSABLE = "the store {place} cannot be used: {why}."
DIGEST = "sha256"  # of a file's other words and its numbers
SUFFIX = ".cell"
CHANGED = (
    "{name}() has changed since cells were kept in {place}; those are taken as they are. For new ones give another "
    "store."
)


class Kept:
    """A folder of finished cells: one file each, without anything that runs when it is read.

    Args:
        place: a path or an fsspec URL; made if nothing is there.
        grid: of the sweep; that of an earlier one may have had other values on the same axes.
        train: whose cells these are. Of its code only the text of itself is compared, not of what it calls: where it
            has changed, a warning comes as long as there are cells from before.

    Raises:
        StoreError: something else is there, or a sweep of another function, of one with other arguments or attributes
            given beforehand, or over other axes, or it cannot be used.
    """

    def __init__(self, place: str | Path, grid: Grid, train: Callable[..., Any]) -> None:
        self._folder = _folder(place)
        about = {
            MARK: VERSION, "axes": list(grid.axes), "function": grids.name_of(train),
            "sources": [functions.source(train)], "given": functions.given(train),
        }  # fmt: skip
        try:
            held = self._folder.read(ABOUT)
            if held is None and not self._folder.is_free():
                raise StoreError(f"{place} exists and holds no sweep; nothing was changed. Choose another path.")
            if held is not None:
                about["sources"] = self._check(held, about, place)
            self._folder.write(ABOUT, json.dumps(about).encode())
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(UNUSABLE.format(place=place, why=first_line(error).rstrip("."))) from error

    def read(self, points: list[Point]) -> dict[int, Cell]:
        """The cells that are there, by their place among ``points``; what is damaged is not."""
        there = self._folder.names()
        found = {index: name for index, point in enumerate(points) if (name := _file(point)) in there}
        cells = {index: unpacked(self._folder.read(name) or b"", points[index]) for index, name in found.items()}
        return {index: cell for index, cell in cells.items() if cell is not None}

    def keep(self, point: Point, cell: Cell) -> None:
        """Write one cell, all of it or nothing."""
        self._folder.write(_file(point), packed(point, cell))

    def _check(self, held: bytes, about: Mapping[str, Any], place: str | Path) -> list[str]:
        """Refuse what another sweep has kept; returns the sources of which there may be cells."""
        try:
            known = json.loads(held)
            version, axes, function = known[MARK], [str(axis) for axis in known["axes"]], str(known["function"])
            sources = [str(one) for one in known.get("sources", [])]
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{place} exists and holds no sweep; nothing was changed. Choose another path.") from None
        if version != VERSION:
            raise StoreError(f"{place} has format {version}; this nbtoolkit knows {VERSION}. Choose another path.")
        if set(axes) != set(about["axes"]):
            raise StoreError(
                f"{place} holds a sweep over {', '.join(axes)}; this one is over {', '.join(about['axes'])}. "
                "Choose another store."
            )
        if function != about["function"]:
            raise StoreError(
                f"{place} holds a sweep of {function}(); this one is of {about['function']}(). Choose another store."
            )
        if known.get("given", "") != about["given"]:
            raise StoreError(
                f"{place} holds a sweep of {function}() with other arguments or attributes given beforehand. "
                "Choose another store."
            )
        if not any(name.endswith(SUFFIX) for name in self._folder.names()):
            return about["sources"]
        if set(sources) != set(about["sources"]):
            warnings.warn(CHANGED.format(name=function, place=place), stacklevel=4)
        return list(dict.fromkeys([*sources, *about["sources"]]))


def packed(point: Point, cell: Cell) -> bytes:
    """A cell as bytes: a line of JSON, with a digest of all the rest, then the numbers."""
    from nbtoolkit.capture import parcels  # loads torch: not in every process that imports a script again

    arrays = {name: np.asarray(values.array, np.float64) for name, values in cell.variables.items()}
    head = {
        "point": point,
        "values": parcels.told_of(arrays),
        "dims": [values.dims for values in cell.variables.values()],
        "attrs": [dict(values.attrs) for values in cell.variables.values()],
        "labels": cell.labels,
        "seconds": cell.seconds,
    }
    numbers = parcels.numbers(arrays.values())
    return b"\n".join([json.dumps({**head, DIGEST: _digest(head, numbers)}).encode(), numbers])


def unpacked(data: bytes, point: Point) -> Cell | None:
    """The cell in the bytes of a file; None where they hold none, or that of another point."""
    from nbtoolkit.capture import parcels  # loads torch: not in every process that imports a script again

    try:
        line, _, numbers = data.partition(b"\n")
        head = json.loads(line)
        if head.pop(DIGEST) != _digest(head, numbers) or grids.key(head["point"]) != grids.key(point):
            return None
        labels = {str(dim): list(names) for dim, names in head["labels"].items()}
        arrays, rest = parcels.arrays_of(head["values"], numbers)
        variables: dict[str, Values] = {}
        for (name, array), dims, attrs in zip(arrays.items(), head["dims"], head["attrs"], strict=True):
            if array.shape != tuple(len(labels[dim]) for dim in dims):
                return None
            variables[name] = Values(tuple(dims), array.astype(np.float64), dict(attrs))
        return None if len(rest) else Cell(variables, labels, seconds=float(head["seconds"]))
    except Exception:  # damaged bytes find many ways to fail
        return None


def _digest(head: Mapping[str, Any], numbers: bytes) -> str:
    return hashlib.sha256(json.dumps(head).encode() + numbers).hexdigest()


class _Local:
    """Files in a folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_free(self) -> bool:
        if not self.path.exists():
            return True
        return self.path.is_dir() and all(entry.name.startswith(".") for entry in self.path.iterdir())

    def names(self) -> set[str]:
        return {entry.name for entry in self.path.iterdir()}

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.path / f".{name}.{os.getpid()}"
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path / name)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()


class _Remote:
    """Objects below a URL; one is put whole or not at all."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.system, self.root = url_to_fs(url.rstrip("/"))

    def is_free(self) -> bool:
        return not self.names()

    def names(self) -> set[str]:
        self.system.invalidate_cache()
        try:
            return {str(path).rsplit("/", 1)[-1] for path in self.system.ls(self.root, detail=False)}
        except FileNotFoundError:
            return set()

    def read(self, name: str) -> bytes | None:
        try:
            return self.system.cat_file(f"{self.root}/{name}")
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        self.system.pipe_file(f"{self.root}/{name}", data)


def _folder(place: str | Path) -> _Local | _Remote:
    try:
        return _Remote(place) if isinstance(place, str) and "://" in place else _Local(Path(place).absolute())
    except Exception as error:  # no such protocol, or what it needs is not installed
        raise StoreError(UNUSABLE.format(place=place, why=first_line(error).rstrip("."))) from error


def _file(point: Point) -> str:
    return f"{grids.key(point)}{SUFFIX}"
