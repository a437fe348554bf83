"""The rows of a range of steps, for a page that looks closer than the rows it has.

The page asks ``{"op": "rows", "keys": ["loss/loss", ...], "from": step, "to": step}``. The answer is of the form of
`messages`, but for a number and a status: it adds nothing, and stands in for what the page has of these steps.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nbtoolkit.store import overviews
from nbtoolkit.store.columns import Record
from nbtoolkit.store.overviews import FEW
from nbtoolkit.store.stored import PIECE, StoredColumns
from nbtoolkit.widget.messages import Message, add, thin

KEYS = 64  # asked for at once: a few panels


def rows(record: Record, sent: Mapping[str, int], asked: Mapping[str, Any]) -> Message | None:
    """What a page has asked for; None where that makes no sense.

    All rows of few, of many those that show their shape, as in a full message. Of a store no more is read than for
    the latter; fields of which more would have to be are left out, as is what cannot be read now.

    Args:
        record: of the run.
        sent: rows by group that the page has been told of; later ones come to it by themselves.
        asked: by the page.
    """
    keys, span = asked.get("keys"), _span(asked)
    if not isinstance(keys, list) or span is None:
        return None
    wanted = {key for key in keys[:KEYS] if isinstance(key, str)}
    series: list[dict[str, Any]] = []
    buffers: list[Any] = []
    for name, columns in list(record.blocks.items()):
        own = [key for key in columns.variables if f"{name}/{key}" in wanted]
        if not own:
            continue
        of = _stored if isinstance(columns, StoredColumns) else _held
        try:
            parts = of(columns, own, span, sent.get(name, 0))
        except Exception:  # a network that fails: the page has its overview
            continue
        for steps, values, leader, count in parts:
            kept = thin(steps, leader)
            add(series, buffers, name, steps[kept], {key: array[kept] for key, array in values.items()}, count)
    return {"op": "rows", "from": span[0], "to": span[1], "series": series}, buffers


Part = tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, int]  # steps, values, those thinned by, rows there are


def _held(columns: Any, own: list[str], span: tuple[float, float], sent: int) -> list[Part]:
    """Of rows in memory."""
    steps, values = columns.rows()
    start, stop = np.searchsorted(steps[:sent], span[0]), np.searchsorted(steps[:sent], span[1], side="right")
    cut = {key: array[start:stop] for key, array in values.items()}
    leading = overviews.leaders(columns.variables, {key: array.shape[1:] for key, array in cut.items()})
    led: dict[str, dict[str, np.ndarray]] = {}
    for key in own:
        led.setdefault(leading[key], {})[key] = cut[key]
    return [(steps[start:stop], members, _flat(cut[leader]), int(stop - start)) for leader, members in led.items()]


def _stored(columns: StoredColumns, own: list[str], span: tuple[float, float], sent: int) -> list[Part]:
    """Of rows that stay in a store."""
    start = min(sent, columns.row_at(span[0]))
    stop = min(sent, columns.row_at(math.nextafter(span[1], math.inf)))
    found = []
    for plan in overviews.plans(columns.variables, columns.sizes):
        bounded = plan.width <= FEW or (stop - start) * plan.columns <= PIECE
        if bounded and not plan.sizes.keys().isdisjoint(own):
            steps, values = columns.outline(plan, start, stop)
            asked = {key: array for key, array in values.items() if key in own}
            found.append((steps, asked, _flat(values[plan.leader]), stop - start))
    return found


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _span(asked: Mapping[str, Any]) -> tuple[float, float] | None:
    """First and last step asked for; None where they are none."""
    steps = [asked.get(word) for word in ("from", "to")]
    numbers = [one for one in steps if isinstance(one, int | float) and not isinstance(one, bool)]
    try:
        first, last = map(float, numbers)
    except (ValueError, OverflowError):  # one is missing, or an integer beyond all floats
        return None
    return (first, last) if math.isfinite(first) and math.isfinite(last) and first <= last else None
