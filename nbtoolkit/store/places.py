"""Where a store lies: a local path, or a URL of any kind that fsspec knows."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from nbtoolkit.errors import StoreError

if TYPE_CHECKING:
    import zarr

EXTRA = "pip install 'nbtoolkit-landscape[remote]'"
ZARR = ".zarr"


class Place:
    """A file or folder, on this machine or at a URL such as ``s3://bucket/run.zarr``.

    Options and credentials of a URL are those of fsspec's own configuration and of the environment.

    Args:
        where: a path, or a text with ``://``.
    """

    def __init__(self, where: "str | os.PathLike[str] | Place") -> None:
        text = str(where)
        if text.startswith("file://"):
            text = unquote(urlsplit(text).path)
        self.is_url = "://" in text
        self.target: str | Path = text.rstrip("/") if self.is_url else Path(text).absolute()

    def __str__(self) -> str:
        """The path or URL."""
        return str(self.target)

    def __repr__(self) -> str:
        """As it was made."""
        return f"Place({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        """Whether both are the same path or URL."""
        return isinstance(other, Place) and self.target == other.target

    def __hash__(self) -> int:
        """Of the path or URL."""
        return hash(self.target)

    @property
    def name(self) -> str:
        """The last part: ``run.zarr``."""
        return str(self).replace("\\", "/").rsplit("/", 1)[-1]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return self.name.rsplit(".", 1)[0] if "." in self.name[1:] else self.name

    def beside(self, suffix: str) -> "Place":
        """``X.commands`` for ``X.zarr`` and the suffix ``.commands``."""
        return Place(str(self).removesuffix(ZARR) + suffix)

    def numbered(self, number: int) -> "Place":
        """``X-2.zarr`` for ``X.zarr`` and 2."""
        ending = self.name[len(self.stem) :]
        return Place(f"{str(self).removesuffix(ending) if ending else self}-{number}{ending}")

    def exists(self) -> bool:
        """Whether there is anything.

        Raises:
            StoreError: it is a URL that cannot be asked.
        """
        if isinstance(self.target, Path):
            return self.target.exists()
        try:
            system, path = self._system()
            system.invalidate_cache()
            return bool(system.exists(path))
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"{self} cannot be reached: {self.fault(error)}.") from error

    def open_group(self, mode: Any) -> "zarr.Group":
        """The Zarr group here, in a mode of ``zarr.open_group``.

        Raises:
            Exception: as Zarr and the file system raise it; `fault` says it in one line.
        """
        import zarr

        if isinstance(self.target, Path):
            return zarr.open_group(self.target, mode=mode, zarr_format=3)
        from zarr.storage import FsspecStore

        self._system()[0].invalidate_cache()
        return zarr.open_group(FsspecStore.from_url(self.target, read_only=mode == "r"), mode=mode, zarr_format=3)

    def folders(self) -> list[str]:
        """Names of the folders in it, in order.

        Zarr lists groups too, but warns of those that are being made at this moment.
        """
        if isinstance(self.target, Path):
            return sorted(entry.name for entry in self.target.iterdir() if entry.is_dir())
        system, path = self._system()
        system.invalidate_cache()
        found = [entry["name"] for entry in system.ls(path, detail=True) if entry["type"] == "directory"]
        return sorted(Place(name).name for name in found)

    def size(self) -> int:
        """Bytes of the file here; 0 where there is none."""
        if isinstance(self.target, Path):
            try:
                return self.target.stat().st_size
            except FileNotFoundError:
                return 0
        system, path = self._system()
        system.invalidate_cache()
        try:
            return int(system.size(path) or 0)
        except FileNotFoundError:
            return 0

    def read_text(self, start: int = 0) -> str:
        """The file here from byte ``start`` on, what is no UTF-8 replaced; "" where there is none."""
        try:
            if isinstance(self.target, Path):
                with self.target.open("rb") as file:
                    file.seek(start)
                    data = file.read()
            else:
                system, path = self._system()
                system.invalidate_cache()
                if start and start >= self.size():  # some servers refuse an empty range
                    return ""
                data = bytes(system.cat_file(path, start=start or None))
        except FileNotFoundError:
            return ""
        return data.decode("utf-8", "replace")

    def append_text(self, text: str) -> None:
        """Add to the end of the file here, which is made where there is none.

        Of two who append at the same moment to an object of an object store, one may lose its text: there it is
        written anew as a whole. On a local path nothing is lost.
        """
        data = text.encode()
        if isinstance(self.target, Path):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            with self.target.open("ab", buffering=0) as file:
                file.write(data)
            return
        system, path = self._system()
        try:
            before = bytes(system.cat_file(path))
        except FileNotFoundError:
            before = b""
        system.pipe_file(path, before + data)

    def remove(self) -> None:
        """Remove what is here, folders with all that they hold; nothing happens where there is nothing."""
        if not isinstance(self.target, Path):
            system, path = self._system()
            system.invalidate_cache()
            if system.exists(path):
                system.rm(path, recursive=True)
        elif self.target.is_dir():
            shutil.rmtree(self.target)
        else:
            self.target.unlink(missing_ok=True)

    def fault(self, error: BaseException) -> str:
        """What an error of Zarr or a file system says, in one line."""
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return str(text).strip().splitlines()[0].rstrip(".")

    def _system(self) -> tuple[Any, str]:
        """The file system of a URL, and the path in it.

        Raises:
            StoreError: a package is missing, or nothing is known of such a URL.
        """
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise StoreError(f"{self} is a URL, for which fsspec is needed: {EXTRA}.") from None
        try:
            return url_to_fs(self.target)
        except ImportError as error:
            raise StoreError(f"{self} cannot be opened: {self.fault(error)}.") from None
        except ValueError as error:
            raise StoreError(f"{self} cannot be opened: {self.fault(error)}; a local path has no ://.") from None
