"""A file of JSON objects, one a line, to which others append: what two processes tell each other beside a store.

Whatever stands in it is only ever read as JSON. What is no object, or longer than agreed, is counted and left out.
"""

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbtoolkit.store.places import Place

LOCAL_SECONDS, REMOTE_SECONDS = 0.5, 2.0  # between two looks
BLOCK = 1 << 20  # bytes read at a look
OURS = 0o600  # who may append may control the training


class Lines:
    """The objects in a file, those that are new at each look.

    Args:
        place: of the file; it need not be there yet.
        longest: bytes of a line.
    """

    def __init__(self, place: Place, longest: int) -> None:
        self.place, self._longest = place, longest
        self._path = place.target if isinstance(place.target, Path) else None
        self._inode: tuple[int, int] | None = None
        self._at = 0  # bytes of a local file that were read; characters of another
        self._rest = b""  # of a line whose end is not there yet
        self._within_long = False
        self.left_out = 0  # lines, at the last look

    @property
    def rest_seconds(self) -> float:
        """Between two looks."""
        return REMOTE_SECONDS if self._path is None else LOCAL_SECONDS

    def fresh(self) -> list[dict[str, Any]]:
        """The objects that were appended since the last look; all of a file that was begun anew.

        Raises:
            Exception: as the file system raises it.
        """
        self.left_out = 0
        whole = self._local() if self._path is not None else self._remote()
        objects = [_parsed(line) for line in whole if line.strip()]
        self.left_out += objects.count(None)
        return [one for one in objects if one is not None]

    def append(self, objects: Iterable[dict[str, Any]]) -> None:
        """Add objects at the end; the file is made where there is none.

        Raises:
            ValueError: a value is none that JSON knows.
            Exception: as the file system raises it.
        """
        text = "".join(json.dumps(one, allow_nan=False) + "\n" for one in objects)
        if self._path is None:
            self.place.append_text(text)
            return
        # Not waiting: at a pipe that somebody has put there it would be for ever.
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), OURS)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(f"{self._path} is no file")
            if os.fstat(file).st_size and text:
                os.lseek(file, -1, os.SEEK_END)
                if os.read(file, 1) != b"\n":  # of somebody's last line the end is missing
                    text = "\n" + text
            os.write(file, text.encode())
        finally:
            os.close(file)

    def _local(self) -> list[bytes]:
        assert self._path is not None
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return []
        inode = (found.st_dev, found.st_ino)
        if inode != self._inode or found.st_size < self._at:
            self._inode, self._at, self._rest, self._within_long = inode, 0, b"", False
        if not stat.S_ISREG(found.st_mode) or found.st_size == self._at:
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read(BLOCK)
        self._at += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if self._within_long and whole:
            whole, self._within_long = whole[1:], False
        kept = self._kept(whole)
        if len(self._rest) > self._longest:  # counted once, where it begins
            self.left_out += not self._within_long
            self._rest, self._within_long = b"", True
        return kept

    def _remote(self) -> list[bytes]:
        text = self.place.read_text()
        if len(text) < self._at:
            self._at = 0
        end = text.rfind("\n") + 1
        whole, self._at = text[self._at : end].encode().split(b"\n"), max(end, self._at)
        return self._kept(whole)

    def _kept(self, whole: list[bytes]) -> list[bytes]:
        kept = [line for line in whole if len(line) <= self._longest]
        self.left_out += len(whole) - len(kept)
        return kept


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The object in a line; None where there is none."""
    try:
        one = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return one if isinstance(one, dict) else None
