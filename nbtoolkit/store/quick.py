"""Arrays of a store on a disk that grow row by row: the same files as Zarr writes, without its machinery.

Zarr takes a few milliseconds of Python for each array and write, in which a training that wants the interpreter has
to wait; a file alone takes a tenth of that. What is not the plain case is left to Zarr.
"""

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Zstd

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
KEYS = {"name": "default", "configuration": {"separator": "/"}}
METADATA = "zarr.json"


class Quick:
    """An array whose chunks hold all axes but the first whole.

    Args:
        array: as Zarr has made it.
        folder: where it lies.
        told: its metadata.
    """

    def __init__(self, array: zarr.Array, folder: Path, told: dict[str, Any]) -> None:
        self._store, self._path, self._folder, self._told = array.store_path.store, array.path, folder, told
        self._zstd = Zstd(level=int(told["codecs"][1]["configuration"]["level"]))
        self._dtype, self._fill = array.dtype.newbyteorder("<"), array.fill_value
        self.basename, self.chunks = array.basename, array.chunks

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all that is there."""
        return tuple(self._told["shape"])

    @property
    def attrs(self) -> "_Attributes":
        """What is told of it."""
        return _Attributes(self)

    def resize(self, shape: tuple[int, ...]) -> None:
        """Another size; what is no more part of it is removed."""
        if shape[0] < self.shape[0] or shape[1:] != self.shape[1:]:
            self.as_zarr().resize(shape)
        self.tell(shape=list(shape))

    def __getitem__(self, key: Any) -> Any:
        """Values."""
        return self.as_zarr()[key]

    def __setitem__(self, key: tuple[slice, ...], rows: np.ndarray) -> None:
        """Write rows: at once where they are a whole chunk, or all of it that there is; else as Zarr does."""
        start, stop, chunk = key[0].start, key[0].stop, self.chunks[0]
        whole = start % chunk == 0 and (stop == start + chunk or start + chunk > stop == self.shape[0])
        if not whole or self.chunks[1:] != self.shape[1:]:
            self.as_zarr()[key] = rows
            return
        padded = np.full(self.chunks, self._fill, self._dtype)
        padded[: len(rows)] = rows
        place = self._folder.joinpath("c", str(start // chunk), *["0"] * (len(self.chunks) - 1))
        _put(place, self._zstd.encode(padded.tobytes()), self._folder / METADATA)

    def as_zarr(self) -> zarr.Array:
        """The same array as Zarr finds it now."""
        return zarr.open_array(self._store, path=self._path, mode="r+", zarr_format=3)

    @property
    def told(self) -> dict[str, Any]:
        """The metadata."""
        return self._told

    def tell(self, **changed: Any) -> None:
        """Change the metadata."""
        self._told.update(changed)
        _put(self._folder / METADATA, json.dumps(self._told).encode())


class _Attributes:
    """The attributes of an array, as far as a writer needs them."""

    def __init__(self, array: Quick) -> None:
        self._array = array

    def keys(self) -> Iterable[str]:
        return self._array.told["attributes"].keys()

    def __getitem__(self, key: str) -> Any:
        return self._array.told["attributes"][key]

    def put(self, attrs: dict[str, Any]) -> None:
        self._array.tell(attributes=attrs)


def quick(array: zarr.Array) -> Any:
    """The array as it is written fastest: itself, where it is not on a disk or not of the plain kind."""
    root = getattr(array.store_path.store, "root", None)
    several = array.chunks[1:] != array.shape[1:] and math.prod(array.shape[1:]) > 0
    if not isinstance(root, Path) or several:
        return array
    folder = root / array.path
    told = {"attributes": {}, **json.loads((folder / METADATA).read_text())}
    codecs = told.get("codecs", [])
    plain = len(codecs) == 2 and codecs[0] == BYTES and told.get("chunk_key_encoding") == KEYS
    if not plain or codecs[1]["name"] != "zstd" or codecs[1]["configuration"].get("checksum"):
        return array
    return Quick(array, folder, told)


def put_attributes(node: Any, attrs: dict[str, Any]) -> None:
    """Replace all attributes of an array or a group, which knows nothing of it."""
    root = getattr(node.store_path.store, "root", None) if isinstance(node, zarr.Group) else None
    if not isinstance(root, Path):
        node.attrs.put(attrs)
        return
    place = root / node.path / METADATA
    _put(place, json.dumps({**json.loads(place.read_text()), "attributes": attrs}).encode())


def _put(place: Path, data: bytes, described: Path | None = None) -> None:
    """A whole file or none, also where the process is killed; its folder is made while its array is ``described``."""
    part = place.with_name(f".{place.name}.part")
    try:
        part.write_bytes(data)
    except FileNotFoundError:
        if described is None or not described.exists():
            raise  # somebody has removed the store: what is written now nobody could read
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
    os.replace(part, place)
