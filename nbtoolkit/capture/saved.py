"""A run read back from a file, in which others may have written."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbtoolkit.capture.run import Run
from nbtoolkit.store.columns import Record

LARGEST = 2**53  # up to here a browser counts


def open_run(path: str | Path, *, follow: bool = False) -> Run:
    """Read a saved run; it can be sliced, shown and exported like a live one.

    The rows of a store with more than 64 MB of values stay there until they are looked at: pictures of it are made
    from the overviews that lie beside the values, ``run["loss"]`` reads what is taken from it, and rules look at the
    last 8 MB of each instrument. What the attributes hold that makes no sense is left out, and a note says so.

    Args:
        path: of the store; also a URL of any kind that fsspec knows, such as ``s3://bucket/run.zarr``.
        follow: whether it is being written, or will be: the run is kept in step with it until its writer ends.

    Raises:
        StoreError: the path holds no run, or one that cannot be read.
    """
    from nbtoolkit.store.places import Place
    from nbtoolkit.store.reading import Reader

    if follow:
        from nbtoolkit.capture.following import follow as followed

        return followed(Place(path))
    reader = Reader(path)
    clean(reader.record)
    return Run(reader.record.attrs.get("name", reader.place.stem), reader.record)


def clean(record: Record) -> None:
    """Leave out the attributes of a record that cannot be what `Run` writes."""
    attrs = record.attrs
    notes, left_out = _kept(attrs.get("notes", []), lambda one: isinstance(one, str))
    notes += _told("notes", left_out)
    for key, makes_sense in PLAIN.items():
        if key in attrs and not makes_sense(attrs[key]):
            del attrs[key]
            notes.append(f"{key} in the file makes no sense and was left out")
            if key == "steps":
                attrs[key] = _last_step(record)
    if "commands" in attrs:
        attrs["commands"], left_out = _kept(attrs["commands"], _is_command)
        notes += _told("commands", left_out)
    if notes or "notes" in attrs:
        attrs["notes"] = notes


def _last_step(record: Record) -> int:
    """That something was measured at."""
    return max((int(columns.rows()[0].max(initial=0)) for columns in record.groups.values()), default=0)


def _kept(items: Any, makes_sense: Callable[[Any], bool]) -> tuple[list[Any], int]:
    """Those of a list that make sense, and how many do not."""
    if not isinstance(items, list):
        return [], 1
    kept = [item for item in items if makes_sense(item)]
    return kept, len(items) - len(kept)


def _told(what: str, left_out: int) -> list[str]:
    return [f"{left_out} of the {what} in the file make no sense and were left out"] if left_out else []


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _is_seconds(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= LARGEST and math.isfinite(value)


def _is_command(value: Any) -> bool:
    if not isinstance(value, dict) or not _is_count(value.get("step")):
        return False
    return isinstance(value.get("what"), str) and isinstance(value.get("text"), str)


PLAIN: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str),
    "steps": _is_count,
    "fork_step": _is_count,
    "first_step": _is_count,
    "elapsed": _is_seconds,
    "measuring": _is_seconds,
}
