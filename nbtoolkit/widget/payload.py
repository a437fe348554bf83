"""What a page carries of a run: its numbers with as many digits as a screen shows, compressed.

A payload is base64 text of gzip of: the length of the head (uint32, little endian), the head (JSON), and the numbers
one after the other. The head's ``numbers`` tells of each its form and its count: ``"step"``, int32 differences;
``"single"``, float32; ``"double"``, float64. Bytes of equal weight stand together: those of neighbours are alike.
"""

import base64
import gzip
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DIGITS = 6  # that a reading shows
HEIGHT = 4000  # pixels of the tallest picture of a curve
STRETCH = 64  # rows of a curve that a reader may look at alone
DTYPES = {"step": "<i4", "single": "<f4", "double": "<f8"}


def pack(head: Mapping[str, Any], buffers: Sequence[Any] = ()) -> str:
    """A head and its numbers, each a float64 array or the memory of one, as text.

    Equal arrays are kept once: ``head["numbers"]`` lists all, ``head["places"]`` says where each buffer is among them.
    """
    widths = {one["y"]: one["width"] for one in (*head.get("series", ()), *head.get("drafts", ()))}
    forms: list[tuple[str, int]] = []
    parts: list[bytes] = []
    known: dict[bytes, int] = {}
    places = []
    for place, buffer in enumerate(buffers):
        values = np.frombuffer(buffer, np.float64) if len(buffer) else np.empty(0)
        key = values.tobytes()
        if key not in known:
            known[key] = len(forms)
            form, kept = narrowed(values, widths.get(place, 1))
            forms.append((form, len(values)))
            parts.append(kept.view(np.uint8).reshape(-1, kept.itemsize).T.tobytes())
        places.append(known[key])
    text = json.dumps(plain({**head, "numbers": forms, "places": places}), allow_nan=False).encode()
    return squeeze(b"".join([struct.pack("<I", len(text)), text, *parts]))


def narrowed(values: np.ndarray, width: int = 1) -> tuple[str, np.ndarray]:
    """The shortest form in which a screen shows the same, and the values in it.

    Args:
        values: row by row.
        width: values to a row. A column is a curve, any stretch of which may fill a picture; a row is a field, which
            fills one by itself.
    """
    if np.array_equal(values, np.trunc(values)):  # steps and counts stay exact
        with np.errstate(invalid="ignore"):
            differences = np.diff(values, prepend=0.0)
        near = np.all(np.abs(differences) < 2**31)
        return ("step", differences.astype(DTYPES["step"])) if near else ("double", values)
    rows = values.reshape(-1, width)
    with np.errstate(all="ignore"):
        single = rows.astype(DTYPES["single"])
        error = np.where(np.isfinite(rows), np.abs(single - rows), 0.0)
        legible = np.all(error <= 0.5 * 10.0**-DIGITS * np.abs(rows), where=np.isfinite(rows))
        down = all(_keeps_shape(rows[at : at + STRETCH], error[at : at + STRETCH], 0) for at in _starts(len(rows)))
        across = width == 1 or _keeps_shape(rows, error, 1)
    return ("single", single.ravel()) if legible and down and across else ("double", values)


def _keeps_shape(values: np.ndarray, error: np.ndarray, axis: int) -> bool:
    """Whether along an axis no error shows, however little the values differ there; equal ones stay equal."""
    finite = np.isfinite(values)
    extent = np.max(values, axis, initial=-np.inf, where=finite) - np.min(values, axis, initial=np.inf, where=finite)
    return bool(np.all((error.max(axis, initial=0.0) * HEIGHT <= extent) | (extent <= 0)))


def _starts(rows: int) -> range:
    """Of stretches that overlap by half, so that neighbours stand in one of them together."""
    return range(0, max(rows - STRETCH // 2, 1), STRETCH // 2)


def unpack_snapshot(snapshot: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Head and arrays of a message that `messages.pack` packed."""
    length = struct.unpack_from("<I", snapshot)[0]
    head = json.loads(snapshot[8 : 8 + length])
    arrays, at = [], 8 + length
    for size in head.pop("sizes"):
        arrays.append(np.frombuffer(snapshot[at : at + size]))
        at += size
    return head, arrays


def squeeze(data: bytes) -> str:
    """Bytes as compressed text, the same each time."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def plain(value: Any) -> Any:
    """As JSON allows it: what is not finite is null."""
    return json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)
