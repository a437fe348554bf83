"""Runs tell the Jupyter server of themselves, so that JupyterLab can list those of all kernels.

For each run with a Board there is a small file ``nbtoolkit-runs/<stem>.<run>.json`` beside the kernel's connection file
``<stem>.json`` in Jupyter's runtime folder. It goes with the run or with the kernel. Nothing here may disturb a run:
what cannot be written is left out.
"""

import json
import os
import re
import sys
import time
import weakref
from pathlib import Path
from typing import Any
from uuid import uuid4

# A folder of its own: `jupyter console --existing` looks for connection files by part of a name.
FOLDER = "nbtoolkit-runs"
OURS = re.compile(r"(?P<stem>.+)\.[0-9a-f]{32}\.(json|part)")
INTERVAL = 1.0  # seconds

_announced: "weakref.WeakKeyDictionary[Any, Announcement]" = weakref.WeakKeyDictionary()


def announce(run: Any, board: str) -> None:
    """Tell where a run stands: at once when that changes in kind, else at most once a second.

    Args:
        run: which a Board shows.
        board: the Board's id on the page.
    """
    try:
        if run.state == "saved":
            return
        told = _announced.get(run)
        if told is None:
            told = _announced[run] = Announcement(run, _connection_file())
        told.tell(run, board)
    except Exception:  # a list beside the notebook is not worth a run
        return


class Announcement:
    """The file of one run.

    Args:
        run: what it is about; the file goes when it goes, or when the process ends.
        connection_file: of the kernel; None where there is none, and then nothing is written.
    """

    def __init__(self, run: Any, connection_file: Path | None) -> None:
        self._boards: list[str] = []
        self._state = ""
        self._last = -INTERVAL
        self._born = time.time()
        self._path: Path | None = None
        if connection_file is None:
            return
        folder = connection_file.parent / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / f"{connection_file.stem}.{uuid4().hex}.json"
        weakref.finalize(run, _remove, self._path, os.getpid())
        _sweep(folder)

    def tell(self, run: Any, board: str) -> None:
        """Write where the run stands, if it is time to."""
        now, state = time.monotonic(), run.status().state
        known = board in self._boards and state == self._state
        if self._path is None or (known and now - self._last < INTERVAL):
            return
        self._last, self._state = now, state
        if board not in self._boards:
            self._boards.append(board)
        appender, followed = getattr(run, "appender", None), getattr(run, "place", None)
        store = getattr(appender, "path", None) or getattr(followed, "target", None)
        content = {
            "name": run.name, "state": state, "step": run.step, "boards": self._boards, "pid": os.getpid(),
            "born": self._born, "store": str(store.resolve()) if isinstance(store, Path) else "",
        }  # fmt: skip
        draft = self._path.with_suffix(".part")
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(self._path)


def _connection_file() -> Path | None:
    """Of the kernel that this process is; None where it is not in the folder that Jupyter keeps them in."""
    kernelapp = sys.modules.get("ipykernel.kernelapp")
    if kernelapp is None or not kernelapp.IPKernelApp.initialized():
        return None
    from jupyter_core.paths import jupyter_runtime_dir

    path = Path(kernelapp.IPKernelApp.instance().abs_connection_file)
    home = path.parent.resolve() == Path(jupyter_runtime_dir()).resolve()
    return path if home and path.suffix == ".json" and path.exists() else None


def _remove(path: Path, pid: int) -> None:
    if os.getpid() != pid:  # a forked child's copy of the run
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass


def _sweep(folder: Path) -> None:
    """Remove what kernels left that were killed: their connection files are gone."""
    for path in folder.iterdir():
        ours = OURS.fullmatch(path.name)
        if ours is None or path.is_symlink() or not path.is_file():
            continue
        if not (folder.parent / f"{ours['stem']}.json").exists():
            path.unlink(missing_ok=True)
