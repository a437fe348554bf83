"""Small JSON files that others wrote: read with care, for anything may be in them, and they may be anything."""

import json
import os
import stat
from pathlib import Path
from typing import Any

LARGEST = 4 << 20  # bytes
LONGEST = 200  # characters of a name
# A pipe that nobody writes to is not waited for, and a link is not followed; not every system has these flags.
CAREFULLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def mapping(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none that can be read, as in a link, a pipe or a device."""
    try:
        found = json.loads(_content(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _content(path: Path) -> bytes:
    opened = os.open(path, CAREFULLY)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise ValueError(f"{path} is no file")
    with os.fdopen(opened, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{path} is larger than {LARGEST} bytes")
    return content


def text(value: Any) -> str:
    """A short text; empty where it is none."""
    return value[:LONGEST] if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """A whole number; None where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
