"""An object store in memory that counts what is asked of it, and can be cut off."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Objects(MemoryFileSystem):
    """``objects://``: puts and gets are counted; after ``left`` puts all further ones fail."""

    protocol = "objects"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    count: ClassVar[Counter] = Counter()
    got: ClassVar[Counter] = Counter()  # bytes by path
    left: ClassVar[float] = float("inf")
    wait: ClassVar[Any] = None  # called before each put

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).replace("objects://", "memory://"))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if Objects.wait is not None:
            Objects.wait()
        if Objects.left <= 0:
            raise OSError("the network is down")
        Objects.left -= 1
        Objects.count["puts"] += 1
        Objects.count["bytes"] += len(value)
        super().pipe_file(path, value, mode, **kwargs)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> bytes:
        value = super().cat_file(path, start, end, **kwargs)
        Objects.count["gets"] += 1
        Objects.got[self._strip_protocol(path)] += len(value)
        return value


@contextlib.contextmanager
def objects() -> Iterator[type[Objects]]:
    """An empty one for the time of a test."""
    fsspec.register_implementation("objects", Objects, clobber=True)
    Objects.store.clear()
    Objects.pseudo_dirs[:] = [""]
    Objects.count.clear()
    Objects.got.clear()
    Objects.left, Objects.wait = float("inf"), None
    try:
        yield Objects
    finally:
        Objects.store.clear()
        Objects.left, Objects.wait = float("inf"), None
