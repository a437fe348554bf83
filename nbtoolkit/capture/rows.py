"""Measured values on their way from the device to the columns, without waiting for the device.

A step's values stay where they were computed, as small tensors, untouched: work done rarely and
in bulk costs a fraction of work done between two steps, when all caches are cold. `Rows.flush`
packs what has gathered into one tensor for each device, which on CUDA goes to pinned memory on a
side stream; `Rows.arrived` hands over what is complete.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

Labels = Mapping[str, Sequence[Any]]


# One measurement of one instrument: step, outputs as the instrument gave them, labels of their dims, and the
# version counters of outputs that are whole tensors, which the loop may own (the loss) and change in place.
Row = tuple[int, Mapping[str, Any], Labels, tuple[int, ...]]

CHANGED = "the loop changed it in place after the step; from now on it is copied"


@dataclass
class Block:
    """Rows of one instrument with one form, on the host: ``values[output]`` is ``(rows, ...)``.

    Without values where they could not be read; ``reason`` then says why.
    """

    group: str
    steps: list[int]
    values: dict[str, np.ndarray]
    labels: Labels
    holes: dict[str, tuple[int, ...]]
    reason: str = ""


# Where a stretch of a packed tensor belongs: its block, output, and shape.
_Place = tuple[Block, str, tuple[int, ...]]


@dataclass
class _Batch:
    """Blocks under way; their device values become valid once the events have passed."""

    blocks: list[Block]
    events: list[Any] = field(default_factory=list)
    transfers: list[tuple[Tensor, "list[_Place]"]] = field(default_factory=list)

    def done(self) -> bool:
        return all(event.query() for event in self.events)

    def unpack(self) -> list[Block]:
        for packed, places in self.transfers:
            flat, start = packed.to(torch.float64).numpy(), 0
            for block, output, shape in places:
                stop = start + int(np.prod(shape))
                block.values[output] = flat[start:stop].reshape(shape)
                start = stop
        return self.blocks


class Rows:
    """The rows not yet in the columns."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Row]] = {}
        self._under_way: deque[_Batch] = deque()
        self._side_streams: dict[torch.device, Any] = {}
        self._copies = False

    def add(self, group: str, step: int, outputs: Mapping[str, Any], labels: Labels) -> None:
        """Take the outputs of one measurement as they are; the work on them waits for the flush."""
        if self._copies:
            outputs = {key: value.clone() if isinstance(value, Tensor) else value for key, value in outputs.items()}
        row = (step, outputs, labels, _versions(outputs))
        try:
            self._waiting[group].append(row)
        except KeyError:
            self._waiting[group] = [row]

    def flush(self) -> None:
        """Send all waiting rows on their way to the host."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        batch = _Batch([])
        parts: dict[torch.device, _Part] = {}
        for group, rows in waiting.items():
            for _, alike in groupby(rows, key=_form):
                same = list(alike)
                _, outputs, labels, _ = same[0]
                block = Block(group, [row[0] for row in same], {}, labels, _holes(outputs))
                batch.blocks.append(block)
                if any(_versions(row[1]) != row[3] for row in same):
                    self._copies, block.reason = True, CHANGED
                    continue
                for output in outputs:
                    try:
                        _pack(block, output, [row[1][output] for row in same], parts)
                    except Exception as error:
                        block.reason = f"{output} is not numbers: {type(error).__name__}: {error}".splitlines()[0]
        with torch.no_grad():
            packed = {device: part.packed() for device, part in parts.items()}
        for device, part in parts.items():
            batch.transfers.append((self._to_host(packed[device], device, batch), part.places))
        self._under_way.append(batch)

    def arrived(self, *, wait: bool = False) -> Iterator[Block]:
        """The blocks whose values have reached the host, oldest first; all of them if ``wait``."""
        while self._under_way:
            batch = self._under_way[0]
            if wait:
                for event in batch.events:
                    event.synchronize()
            elif not batch.done():
                return
            yield from self._under_way.popleft().unpack()

    def _to_host(self, packed: Tensor, device: torch.device, batch: _Batch) -> Tensor:
        if device.type != "cuda":
            return packed.to("cpu")
        # A side stream, so that the copy waits for the values but training does not wait for the copy.
        side = self._side_streams.setdefault(device, torch.cuda.Stream(device))
        target = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            target.copy_(packed, non_blocking=True)
        packed.record_stream(side)
        batch.events.append(side.record_event())
        return target


class _Part:
    """All values of a batch that lie on one device: 0-d tensors apart, since they stack at once."""

    def __init__(self) -> None:
        self.scalars: list[Tensor] = []
        self.scalar_places: list[_Place] = []
        self.wholes: list[Tensor] = []
        self.whole_places: list[_Place] = []

    @property
    def places(self) -> list[_Place]:
        """Where the stretches of the packed tensor belong, in its order."""
        return [*self.scalar_places, *self.whole_places]

    def packed(self) -> Tensor:
        """One flat tensor."""
        stacked = [torch.stack(self.scalars)] if self.scalars else []
        return torch.cat([*stacked, *self.wholes]) if self.wholes else stacked[0]

    def add(self, place: _Place, tensors: list[Tensor], *, scalar: bool) -> None:
        """Take the values that belong to ``place``."""
        (self.scalars if scalar else self.wholes).extend(tensors)
        (self.scalar_places if scalar else self.whole_places).append(place)


def _pack(block: Block, output: str, column: list[Any], parts: dict[torch.device, _Part]) -> None:
    """Lay a column of one output out: tensors to the part of their device, numbers into the block."""
    first = column[0]
    if isinstance(first, Tensor):
        flat = column if first.ndim < 2 else [value.reshape(-1) for value in column]
        place = (block, output, (len(column), *first.shape))
        parts.setdefault(first.device, _Part()).add(place, flat, scalar=first.ndim == 0)
        return
    sample = _first_tensor(first)
    if sample is None:
        block.values[output] = np.array(column, np.float64)  # None becomes NaN
        return
    part, place = parts.setdefault(sample.device, _Part()), (block, output, (len(column), len(first)))
    if output in block.holes:
        part.add(place, [_beside(item, sample) for items in column for item in items], scalar=True)
        return
    joined = [_joined(items) for items in column] if sample.is_cuda and len(first) > 1 else [None]
    if None in joined:
        part.add(place, [item for items in column for item in items], scalar=True)
    else:
        part.add(place, joined, scalar=False)  # type: ignore[arg-type]


def _joined(items: Sequence[Tensor]) -> Tensor | None:
    """The results of one `torch._foreach_norm` as one view: on CUDA it lays them side by side in one storage."""
    first, last, size = items[0], items[-1], items[0].element_size()
    if last.data_ptr() - first.data_ptr() != size * (len(items) - 1) or last.dtype != first.dtype:
        return None
    if last.untyped_storage().data_ptr() != first.untyped_storage().data_ptr():
        return None
    return first.as_strided((len(items),), (1,), first.storage_offset())


def _versions(outputs: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple([value._version for value in outputs.values() if isinstance(value, Tensor)])


def _form(row: Row) -> tuple[Any, ...]:
    """What must agree for two rows to be stacked."""
    _, outputs, labels, _ = row
    return labels, list(outputs), [_shape(value) for value in outputs.values()]


def _shape(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        if type(None) not in {*map(type, value)}:
            return len(value)
        return len(value), [place for place, item in enumerate(value) if item is None]
    return value.shape if isinstance(value, Tensor) else value is None


def _holes(outputs: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """For each output the places where the loop gave nothing."""
    holes = {}
    for key, value in outputs.items():
        items = value if isinstance(value, (list, tuple)) else (value,)
        missing = tuple(place for place, item in enumerate(items) if item is None)
        if missing:
            holes[key] = missing
    return holes


def _first_tensor(value: Any) -> Tensor | None:
    if not isinstance(value, (list, tuple)):
        return None
    return next((item for item in value if isinstance(item, Tensor)), None)


def _beside(item: Any, sample: Tensor) -> Tensor:
    """``item`` as a 0-d tensor on the device of ``sample``, without a copy from the host that would wait."""
    if isinstance(item, Tensor):
        return item.to(sample.device, non_blocking=True)
    return torch.full((), np.nan if item is None else item, dtype=sample.dtype, device=sample.device)
