"""The runs that are stored in the folders a server shows."""

import os
import threading
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Any

from nbtoolkit.lab import reading

MARK = "nbtoolkit_store"  # as in nbtoolkit.store.files
GROUP = "zarr.json"
FOLDERS = 2000  # looked into
ENTRIES = 10_000  # of a folder
DEPTH = 8
SECONDS = 2.0
REST = 20  # times as long as a walk took, until the next
MOST = 200  # runs told, the newest
SKIPPED = {"node_modules", "__pycache__"}

Found = tuple[list[dict[str, Any]], bool]


class Shelf:
    """The runs stored under a folder, looked for by one walk at a time, and again only after a rest.

    Args:
        root: where to begin.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._found: Found = [], False
        self._next = 0.0
        self._walking = threading.Lock()

    def runs(self) -> Found:
        """What `stored` found last; who comes while it looks does not wait."""
        began = time.monotonic()
        if began >= self._next and self._walking.acquire(blocking=False):
            try:
                self._found = stored(self.root)
                now = time.monotonic()
                self._next = now + REST * (now - began)
            finally:
                self._walking.release()
        return self._found


def stored(root: Path, *, folders: int = FOLDERS, depth: int = DEPTH, seconds: float = SECONDS) -> Found:
    """The runs stored under a folder, newest first, and whether all folders were looked into.

    Near folders are looked into first. Hidden folders, links and the insides of Zarr stores are left out.

    Args:
        root: where to begin.
        folders: how many to look into at most.
        depth: of the folders, counted from ``root``.
        seconds: to spend at most.

    Returns:
        For each run its ``path`` relative to ``root`` with ``/`` between, ``name``, ``state``, ``step``, and the time
        it was last ``modified``, in seconds.
    """
    found = []
    waiting = deque([(root, 0)])
    until = time.monotonic() + seconds
    for _ in range(folders):
        if not waiting or time.monotonic() >= until:
            break
        folder, deep = waiting.popleft()
        try:
            with os.scandir(folder) as entries:
                inside = sorted(islice(entries, ENTRIES), key=lambda entry: entry.name)
        except OSError:
            continue
        if any(entry.name == GROUP and _is_file(entry) for entry in inside):
            found += _run(root, folder)
        elif deep < depth:
            waiting += [(folder / entry.name, deep + 1) for entry in inside if _is_open(entry)]
    found.sort(key=lambda run: -run["modified"])
    return found[:MOST], not waiting


def _run(root: Path, folder: Path) -> list[dict[str, Any]]:
    attributes = reading.mapping(folder / GROUP).get("attributes")
    if not isinstance(attributes, dict) or MARK not in attributes:
        return []
    try:
        modified = (folder / GROUP).lstat().st_mtime
    except OSError:
        return []
    return [
        {
            "path": folder.relative_to(root).as_posix(),
            "name": reading.text(attributes.get("name")),
            "state": reading.text(attributes.get("state")),
            "step": reading.count(attributes.get("steps")),
            "modified": modified,
        }
    ]


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def _is_open(entry: "os.DirEntry[str]") -> bool:
    if entry.name.startswith(".") or entry.name in SKIPPED:
        return False
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
