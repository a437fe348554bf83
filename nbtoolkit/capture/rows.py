"""Measured values on their way from the device to the columns, without waiting for the device.

Scalars on the host are read at once: kept as small tensors they break up the heap, and the next
step's large ones must be given fresh pages. Values on a device stay there, untouched: work done
rarely and in bulk costs a fraction of work done between two steps, when all caches are cold.
`Rows.flush` packs what has gathered into one tensor for each device, which on CUDA goes to pinned
memory on a side stream; `Rows.arrived` hands over what is complete.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nbtoolkit.capture.stretch import Block, Labels, Part, Place, Stretch


@dataclass
class _Batch:
    """Blocks under way; their device values become valid once the events have passed."""

    blocks: list[Block] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    transfers: list[tuple[Tensor, list[Place]]] = field(default_factory=list)
    through: int = 0

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
    """The rows not yet in the columns.

    Attributes:
        through: the rows of all steps below this one have arrived.
    """

    def __init__(self) -> None:
        self._waiting: list[Stretch] = []
        self._open: dict[str, Stretch] = {}  # the stretch of each group that still grows
        self._under_way: deque[_Batch] = deque()
        self._side_streams: dict[torch.device, Any] = {}
        self._copies = False
        self.through = 0
        self.stream: Any = None  # the CUDA stream on which the loop computes; other threads may flush

    def add(self, group: str, step: int, outputs: Mapping[str, Any], labels: Labels) -> None:
        """Take the outputs of one measurement; what would have to be waited for stays as it is until the flush."""
        outputs = {key: _taken(value, self._copies) for key, value in outputs.items()}
        stretch = self._open.get(group)
        if stretch is None or not stretch.add(step, outputs, labels):
            self._open[group] = stretch = Stretch(group, outputs, labels)
            stretch.add(step, outputs, labels)
            self._waiting.append(stretch)

    def flush(self, through: int = 0) -> None:
        """Send all waiting rows on their way to the host: those of all steps below ``through``."""
        if not self._waiting:
            if not self._under_way:
                self.through = through
            return
        batch = _Batch(through=through)
        parts: dict[torch.device, Part] = {}
        with torch.no_grad(), torch.cuda.stream(self.stream):
            for stretch in self._waiting:
                self._copies = self._copies or stretch.changed()
                batch.blocks += stretch.blocks(parts)
            for device, part in parts.items():
                try:
                    batch.transfers.append((self._to_host(part.packed(), device, batch), part.places))
                except Exception as error:
                    for block, _, _ in part.places:
                        block.reason = f"cannot be read from {device}: {error}".splitlines()[0]
        # Only now, so that an interrupt on the way here loses nothing.
        self._under_way.append(batch)
        self._waiting, self._open = [], {}

    def arrived(self, *, wait: bool = False) -> Iterator[Block]:
        """The blocks whose values have reached the host, oldest first; all of them if ``wait``."""
        while self._under_way:
            batch = self._under_way[0]
            if wait:
                for event in batch.events:
                    event.synchronize()
            elif not batch.done():
                return
            blocks = batch.unpack()
            while blocks:
                yield blocks[0]
                blocks.pop(0)
            self._under_way.popleft()
            self.through = batch.through

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


def _taken(value: Any, copy: bool) -> Any:
    """An output as it can wait for the flush: scalars on the host as numbers, views of the loop's tensors copied."""
    if isinstance(value, Tensor):
        if value.is_cpu and not value.ndim:
            return value.item()
        return value.clone() if copy else value
    if type(value) is not list or (value and _can_wait(value[0])):
        return value
    return [_taken(item, item._is_view()) if isinstance(item, Tensor) else item for item in value]


def _can_wait(first: Any) -> bool:
    """Whether a list that begins so is that of a fused call on a device; the rest need not be looked at."""
    return isinstance(first, Tensor) and not first.is_cpu and not first._is_view()
