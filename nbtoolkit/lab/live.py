"""The runs that the kernels of this server hold, as their Boards announce them.

A Board writes ``nbtoolkit-runs/<stem>.<run>.json`` beside its kernel's connection file ``<stem>.json``; see
`nbtoolkit.widget.announce`. Only kernels that the server knows are asked about, so a file that a dead kernel left
is never seen.
"""

import os
import re
from pathlib import Path
from typing import Any

from nbtoolkit.lab import reading

FOLDER = "nbtoolkit-runs"
MOST = 100  # runs of one kernel


def announced(connection_file: str | Path) -> list[dict[str, Any]]:
    """The runs of one kernel, in the order in which they began.

    Args:
        connection_file: of the kernel.

    Returns:
        For each run ``name``, ``state``, ``step``, the ids of its ``boards``, and the ``store`` it is written to
        (an absolute path, or empty).
    """
    place = Path(connection_file)
    ours = re.compile(re.escape(place.stem) + r"\.[0-9a-f]{32}\.json")
    found = []
    try:
        names = os.listdir(place.parent / FOLDER)
    except OSError:
        return []
    for name in names:
        if ours.fullmatch(name):
            told = reading.mapping(place.parent / FOLDER / name)
            if told and _alive(told.get("pid")):
                found.append(told)
    found.sort(key=lambda told: told["born"] if isinstance(told.get("born"), int | float) else 0.0)
    return [_entry(told) for told in found[-MOST:]]


def _entry(told: dict[str, Any]) -> dict[str, Any]:
    boards = told.get("boards")
    return {
        "name": reading.text(told.get("name")),
        "state": reading.text(told.get("state")),
        "step": reading.count(told.get("step")),
        "boards": [board for board in boards if isinstance(board, str)] if isinstance(boards, list) else [],
        "store": told["store"] if isinstance(told.get("store"), str) else "",
    }


def _alive(pid: Any) -> bool:
    """Whether the process may still be there; a restarted kernel is another one under the same name."""
    if reading.count(pid) is None or pid <= 0 or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
