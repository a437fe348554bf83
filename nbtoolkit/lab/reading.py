"""Small JSON files that others wrote: read with care, for anything may be in them."""

import json
from pathlib import Path
from typing import Any

LARGEST = 4 << 20  # bytes
LONGEST = 200  # characters of a name


def mapping(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none that can be read."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def text(value: Any) -> str:
    """A short text; empty where it is none."""
    return value[:LONGEST] if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """A whole number; None where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
