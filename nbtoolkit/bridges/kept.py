"""The finished cells of a sweep on disk or behind a URL, so that after a crash only what is missing is run."""

import contextlib
import hashlib
import inspect
import io
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nbtoolkit.bridges import grid as grids
from nbtoolkit.bridges.cells import Cell, Values
from nbtoolkit.bridges.grid import Grid, Point
from nbtoolkit.errors import StoreError

MARK = "nbtoolkit_sweep"
VERSION = 1
ABOUT = "sweep.json"
HEAD = "head"  # the array that holds the names of the others
CHANGED = (
    "{name}() has changed since cells were kept in {place}; those are taken as they are. For new ones give another "
    "store."
)


class Kept:
    """A folder of finished cells: one file each, without anything that runs when it is read.

    Args:
        place: a path or an fsspec URL; made if nothing is there.
        grid: of the sweep; that of an earlier one may have had other values on the same axes.
        train: whose cells these are.

    Raises:
        StoreError: something else is there, or a sweep of another function or over other axes, or it cannot be used.
    """

    def __init__(self, place: str | Path, grid: Grid, train: Callable[..., Any]) -> None:
        self._folder = _folder(place)
        about = {MARK: VERSION, "axes": list(grid.axes), "function": grids.name_of(train), "source": source(train)}
        try:
            held = self._folder.read(ABOUT)
            if held is None and not self._folder.is_free():
                raise StoreError(f"{place} exists and holds no sweep; nothing was changed. Choose another path.")
            if held is not None:
                self._check(held, about, place)
            self._folder.write(ABOUT, json.dumps(about).encode())
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"the store {place} cannot be used: {_first_line(error)}.") from error

    def read(self, points: list[Point]) -> dict[int, Cell]:
        """The cells that are there, by their place among ``points``; what is damaged is not."""
        there = self._folder.names()
        found = {index: name for index, point in enumerate(points) if (name := _file(point)) in there}
        cells = {index: unpacked(self._folder.read(name) or b"", points[index]) for index, name in found.items()}
        return {index: cell for index, cell in cells.items() if cell is not None}

    def keep(self, point: Point, cell: Cell) -> None:
        """Write one cell, all of it or nothing."""
        self._folder.write(_file(point), packed(point, cell))

    def _check(self, held: bytes, about: Mapping[str, Any], place: str | Path) -> None:
        try:
            known = json.loads(held)
            version, axes, function = known[MARK], [str(axis) for axis in known["axes"]], str(known["function"])
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
        if known.get("source") != about["source"]:
            warnings.warn(CHANGED.format(name=function, place=place), stacklevel=4)


def source(train: Callable[..., Any]) -> str:
    """A digest of the text of a function, or of its code where there is no text."""
    function: Any = inspect.unwrap(getattr(train, "func", train))
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = repr((code.co_code, code.co_names, code.co_varnames)) if code else type(function).__qualname__
    return hashlib.sha256(text.encode()).hexdigest()


def packed(point: Point, cell: Cell) -> bytes:
    """A cell as the bytes of an npz file."""
    arrays = {f"v{place}": values.array for place, values in enumerate(cell.variables.values())}
    head = {
        "point": point,
        "variables": [[name, values.dims, dict(values.attrs)] for name, values in cell.variables.items()],
        "labels": cell.labels,
        "seconds": cell.seconds,
    }
    out = io.BytesIO()
    text = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez_compressed(out, allow_pickle=False, **{HEAD: text, **arrays})
    return out.getvalue()


def unpacked(data: bytes, point: Point) -> Cell | None:
    """The cell in the bytes of a file; None where they hold none, or that of another point."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            head = json.loads(held[HEAD].tobytes())
            if grids.key(head["point"]) != grids.key(point):
                return None
            variables = {
                str(name): Values(tuple(map(str, dims)), np.asarray(held[f"v{place}"], np.float64), dict(attrs))
                for place, (name, dims, attrs) in enumerate(head["variables"])
            }
            return Cell(variables, dict(head["labels"]), seconds=float(head["seconds"]))
    except Exception:  # damaged bytes find many ways to fail
        return None


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
        raise StoreError(f"the store {place} cannot be used: {_first_line(error)}.") from error


def _file(point: Point) -> str:
    return f"{grids.key(point)}.npz"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
