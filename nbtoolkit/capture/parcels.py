"""Rows on their way to another process, as bytes: a line of JSON that says what follows, then the numbers."""

import bisect
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nbtoolkit.capture.stretch import Block, Labels

STEPS = ""  # under this name the steps of a block travel beside its values
KINDS = {"i": "<i8", "f": "<f8"}


@dataclass
class Parcel:
    """What one process tells the first.

    Args:
        through: rows of all steps below this one have been sent, this parcel included.
        blocks: rows.
        ended: nothing more will come.
    """

    through: int
    blocks: list[Block] = field(default_factory=list)
    ended: bool = False


class Packing:
    """Parcels into bytes. Labels are sent once: they are the same objects from row to row."""

    def __init__(self) -> None:
        self._sent: list[Labels] = []

    def bytes(self, parcel: Parcel) -> bytes:
        """The parcel as a message."""
        tables: dict[int, Any] = {}
        told, arrays = [], []
        for block in parcel.blocks:
            number = next((place for place, labels in enumerate(self._sent) if labels is block.labels), None)
            if number is None:
                number = len(self._sent)
                self._sent.append(block.labels)
                tables[number] = {dim: list(names) for dim, names in block.labels.items()}
            values = {STEPS: np.asarray(block.steps, np.int64), **block.values}
            arrays += values.values()
            told.append(
                {
                    "group": block.group, "labels": number, "reason": block.reason,
                    "holes": {key: list(places) for key, places in block.holes.items()},
                    "values": told_of(values),
                }
            )  # fmt: skip
        head = {"through": parcel.through, "ended": parcel.ended, "tables": tables, "blocks": told}
        return b"\n".join([json.dumps(head).encode(), numbers(arrays)])


class Unpacking:
    """Bytes into parcels, of one sender, in the order in which they were sent."""

    def __init__(self) -> None:
        self._tables: dict[int, Labels] = {}

    def parcel(self, message: bytes) -> Parcel:
        """The parcel that `Packing.bytes` was given."""
        line, _, body = message.partition(b"\n")
        head = json.loads(line)
        self._tables |= {int(number): labels for number, labels in head["tables"].items()}
        parcel = Parcel(head["through"], ended=head["ended"])
        for told in head["blocks"]:
            values, body = arrays_of(told["values"], body)
            steps = values.pop(STEPS).tolist()
            holes = {key: tuple(places) for key, places in told["holes"].items()}
            labels = self._tables[told["labels"]]
            parcel.blocks.append(Block(told["group"], steps, labels, values, holes, told["reason"]))
        return parcel


def told_of(values: Mapping[str, np.ndarray]) -> list[list[Any]]:
    """What a head says of arrays: name, kind and shape of each."""
    return [[key, _kind(array), list(array.shape)] for key, array in values.items()]


def numbers(arrays: Iterable[np.ndarray]) -> bytes:
    """The numbers of arrays one after another, little-endian, 8 bytes each."""
    return b"".join(np.ascontiguousarray(array, KINDS[_kind(array)]).tobytes() for array in arrays)


def arrays_of(told: Sequence[Sequence[Any]], body: bytes | memoryview) -> tuple[dict[str, np.ndarray], memoryview]:
    """The arrays that `told_of` was given, as views of the numbers at the start of ``body``; and what follows them.

    Raises:
        ValueError: a shape that is none, or one of more numbers than there are.
    """
    values: dict[str, np.ndarray] = {}
    rest = memoryview(body)
    for key, kind, shape in told:
        size = 8 * math.prod(shape)
        if any(length < 0 for length in shape) or size > len(rest):
            raise ValueError(f"{key!r} has the shape {shape}, but {len(rest)} bytes follow")
        values[key] = np.frombuffer(rest[:size], KINDS[kind]).reshape(shape)
        rest = rest[size:]
    return values, rest


def chosen(block: Block, words: Mapping[str, str]) -> Block:
    """The rows of a block, of the outputs that have a word only."""
    values = {key: array for key, array in block.values.items() if key in words}
    holes = {key: places for key, places in block.holes.items() if key in words}
    return Block(block.group, block.steps, block.labels, values, holes, block.reason)


def cut(block: Block, rows: slice | Sequence[int]) -> Block:
    """Some of the rows of a block."""
    steps = np.asarray(block.steps, np.int64)[rows].tolist()
    values = {key: array[rows] for key, array in block.values.items()}
    return Block(block.group, steps, block.labels, values, dict(block.holes), block.reason)


def below(block: Block, step: int | None) -> tuple[Block | None, Block | None]:
    """The rows of the steps below ``step``, of all steps where it is None; and the others."""
    if step is None or block.steps[-1] < step:
        return block, None
    if block.steps[0] >= step:
        return None, block
    place = bisect.bisect_left(block.steps, step)
    return cut(block, slice(0, place)), cut(block, slice(place, None))


def _kind(array: np.ndarray) -> str:
    return "i" if array.dtype.kind in "iu" else "f"
