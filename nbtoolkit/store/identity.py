"""Which training a store is of: another one may be begun at the same place."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbtoolkit.errors import StoreError
from nbtoolkit.store.places import Place
from nbtoolkit.store.quick import METADATA

IDENTITY = "identity"  # of the root: drawn when a store is made, and kept where a run goes on with it


def new() -> str:
    """One that no other store has."""
    return uuid.uuid4().hex


def identity(attrs: Mapping[str, Any]) -> str | None:
    """What tells a store from others, by the attributes of its root; of an older format when its run was created."""
    found = attrs.get(IDENTITY) or attrs.get("created")
    return found if isinstance(found, str) else None


def check(place: Place, expected: str | None) -> None:
    """Refuse to write to a local store that was removed, or in whose place there is another; URLs are not asked.

    The inode of the folder would not do: file systems give that of a folder that was removed to the next one.

    Raises:
        StoreError: it is not the same store any more.
    """
    if not isinstance(place.target, Path):
        return
    try:
        told = json.loads((place.target / METADATA).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError("it was removed or moved away") from None
    if identity(told.get("attributes", {})) != expected:
        raise StoreError("another store was made in its place")
