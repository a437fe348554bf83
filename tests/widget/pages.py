"""Payloads of pages, read by other means than those of the page."""

import base64
import gzip
import json
import re
import struct
from typing import Any

import numpy as np


def payloads(page: str) -> list[dict[str, Any]]:
    """The heads of all payloads of a page, in order, their numbers under ``arrays``."""
    return [unpack(text) for text in re.findall(r'class="nbtk-payload"[^>]*>(.*?)</script>', page, re.S)]


def unpack(text: str) -> dict[str, Any]:
    """One payload."""
    data = gzip.decompress(base64.b64decode(text))
    (length,) = struct.unpack_from("<I", data)
    head, at, arrays = json.loads(data[4 : 4 + length]), 4 + length, []
    for form, count in head["numbers"]:
        size = {"step": 4, "single": 4, "double": 8}[form]
        # The first bytes of all numbers, then the second ones ...
        numbers = bytes(data[at + k * count + i] for i in range(count) for k in range(size))
        at += count * size
        values = np.frombuffer(numbers, {"step": "<i4", "single": "<f4", "double": "<f8"}[form]).astype(float)
        arrays.append(np.cumsum(values) if form == "step" else values)
    assert at == len(data)
    return {**head, "arrays": [arrays[place] for place in head["places"]]}


def values_of(payload: dict[str, Any], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a variable."""
    (one,) = [series for series in payload["series"] if series["key"] == key]
    return payload["arrays"][one["x"]], payload["arrays"][one["y"]].reshape(-1, one["width"])
