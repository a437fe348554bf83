"""The messages a Board sends: a small JSON head and float64 buffers.

A head is ``{"op", "seq", "status", "series": [{"key", "x", "y", "width"}], "drafts": [...]}``. ``x`` and ``y`` are
places in the list of buffers: the steps, which the variables of a group share, and the values, row by row, ``width`` to
a row; where rows are left out, ``thin`` is true. ``append`` adds rows; ``reset`` replaces all that the browser has.
Drafts are the rows of measurements under way: each message replaces all of them. ``commands`` and ``findings`` are
there where they have changed, and in every reset.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from nbtoolkit.analysis.curves import minmax
from nbtoolkit.store.columns import Record
from nbtoolkit.store.overviews import FEW, leaders

FULL = 20_000  # rows of a curve sent as they are; longer ones are sent as their extremes
FULL_FIELD = 4_000  # rows of a field sent as they are; of longer ones every second, third ...
CELLS = 100_000  # values of a field sent, but never fewer rows than a screen shows
SCREEN = 500
UPDATE = 20_000  # values of a variable in one update
COMMANDS = 200  # of the log
COMMAND = ("step", "what", "text", "old", "new")

Message = tuple[dict[str, Any], list[Any]]
Drafts = Mapping[str, tuple[np.ndarray, dict[str, np.ndarray]]]  # step and values of one row, by group


def append(
    record: Record, sent: dict[str, int], seq: int, status: dict[str, Any], drafts: Drafts | None = None,
    told: Mapping[str, Any] | None = None,
) -> Message:  # fmt: skip
    """The rows that came since ``sent`` (rows by group), which is moved on to now; of wide fields every n-th."""
    series: list[dict[str, Any]] = []
    buffers: list[Any] = []
    for name, columns in list(record.blocks.items()):
        steps, values = columns.rows(sent.get(name, 0))
        if len(steps):
            sent[name] = sent.get(name, 0) + len(steps)
            width = max((math.prod(array.shape[1:]) for array in values.values()), default=0)
            stride = -(-len(steps) * width // UPDATE)
            kept = slice((len(steps) - 1) % stride, None, stride) if stride > 1 else slice(None)
            add(series, buffers, name, steps[kept], {key: array[kept] for key, array in values.items()}, len(steps))
    return _message("append", seq, status, series, buffers, drafts, told)


def reset(
    record: Record, sent: dict[str, int], seq: int, status: dict[str, Any], drafts: Drafts | None = None,
    told: Mapping[str, Any] | None = None,
) -> Message:  # fmt: skip
    """All rows, thinned to what a screen can show; ``sent`` is moved on to now."""
    series: list[dict[str, Any]] = []
    buffers: list[Any] = []
    for name, columns in list(record.blocks.items()):
        if outlines := getattr(columns, "outlines", None):  # the rows stay in a store
            sent[name] = len(columns)
            for plan, steps, values in outlines():
                kept = thin(steps, values[plan.leader].reshape(len(steps), plan.width))
                rows = {key: array[kept] for key, array in values.items()}
                add(series, buffers, name, steps[kept], rows, len(columns))
            continue
        steps, values = columns.rows()
        sent[name] = len(steps)
        if len(steps) <= SCREEN:
            add(series, buffers, name, steps, values)
            continue
        leading = leaders(columns.variables, {key: array.shape[1:] for key, array in values.items()})
        for key, array in values.items():
            leader = values[leading[key]]
            kept = thin(steps, leader.reshape(len(steps), math.prod(leader.shape[1:])))
            add(series, buffers, name, steps[kept], {key: array[kept]}, len(steps))
    return _message("reset", seq, status, series, buffers, drafts, told)


def thin(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Indices of the rows worth sending: the extremes of curves, evenly spaced rows of fields."""
    rows, width = values.shape
    if width > FEW:
        stride = max(1, -(-rows // min(FULL_FIELD, max(SCREEN, CELLS // width))))
        return np.arange((rows - 1) % stride, rows, stride)
    if rows <= FULL or not width:
        return np.arange(rows)
    buckets = FULL // (2 * width)
    kept = np.zeros(rows, bool)
    for column in values.T:
        kept[minmax(steps.astype(float), column, buckets)] = True
    return np.flatnonzero(kept)


def status_head(status: Any, name: str = "", **more: Any) -> dict[str, Any]:
    """A run's status, and ``more``, as JSON allows it, what is not finite being null, and the run's name."""
    return {key: _finite(value) for key, value in {**asdict(status), **more}.items()} | {"name": name}


def commands_head(commands: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The last commands of a run's log as the page reads them."""
    return [{key: _finite(one.get(key)) for key in COMMAND} for one in commands[-COMMANDS:]]


def pack(message: Message) -> bytes:
    """One message as bytes: length of the head, head, and the buffers, each at a multiple of eight."""
    head, buffers = message
    parts = [np.asarray(buffer).tobytes() for buffer in buffers]
    text = json.dumps({**head, "sizes": [len(part) for part in parts]}).encode()
    text += b" " * (-(len(text) + 8) % 8)
    return b"".join([struct.pack("<II", len(text), 0), text, *parts])


def _message(
    op: str, seq: int, status: dict[str, Any], series: list, buffers: list, drafts: Drafts | None,
    told: Mapping[str, Any] | None,
) -> Message:  # fmt: skip
    under_way: list[dict[str, Any]] = []
    for name, (steps, values) in (drafts or {}).items():
        add(under_way, buffers, name, steps, values)
    head = {"op": op, "seq": seq, "status": status, "series": series, "drafts": under_way}
    return {**(told or {}), **head}, buffers


def add(
    series: list, buffers: list, name: str, steps: np.ndarray, values: Mapping[str, np.ndarray], of: int = 0
) -> None:
    """Put rows of variables that share their steps into a message; ``of`` is the number of rows that there are."""
    x = len(buffers)
    buffers.append(steps.astype(np.float64).data)
    for key, array in values.items():
        width = math.prod(array.shape[1:])
        if width:
            thin = {"thin": True} if len(steps) < of else {}
            series.append({"key": f"{name}/{key}", "x": x, "y": len(buffers), "width": width, **thin})
            buffers.append(np.ascontiguousarray(array, np.float64).data)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value
