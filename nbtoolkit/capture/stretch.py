"""Consecutive rows of one instrument that look alike, kept by column until they are packed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

NUMBERS = {float, int}
Labels = Mapping[str, Sequence[Any]]
CHANGED = "the loop changed it in place after the step; from now on it is copied"


@dataclass
class Block:
    """Rows of one instrument on the host: ``values[output]`` is ``(rows, ...)``.

    ``holes`` are the places in an output where the loop gave nothing, the same in all rows. Without
    values where they could not be read; ``reason`` then says why.
    """

    group: str
    steps: list[int]
    labels: Labels
    values: dict[str, np.ndarray] = field(default_factory=dict)
    holes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    reason: str = ""


# Where a stretch of a packed tensor belongs: its block, output, and shape.
Place = tuple[Block, str, tuple[int, ...]]


class Part:
    """All values of a flush that lie on one device: 0-d tensors apart, since they stack at once."""

    def __init__(self) -> None:
        self._scalars: list[Tensor] = []
        self._scalar_places: list[Place] = []
        self._wholes: list[Tensor] = []
        self._whole_places: list[Place] = []

    @property
    def places(self) -> list[Place]:
        """Where the stretches of the packed tensor belong, in its order."""
        return [*self._scalar_places, *self._whole_places]

    def packed(self) -> Tensor:
        """One flat tensor."""
        stacked = [torch.stack(self._scalars)] if self._scalars else []
        return torch.cat([*stacked, *self._wholes]) if self._wholes else stacked[0]

    def add(self, place: Place, tensors: Sequence[Tensor], *, scalar: bool) -> None:
        """Take the values that belong to ``place``."""
        (self._scalars if scalar else self._wholes).extend(tensors)
        (self._scalar_places if scalar else self._whole_places).append(place)


class Stretch:
    """Rows with the same outputs and labels, to begin with empty.

    Args:
        group: the instrument.
        outputs: of the first row: a tensor, a number, or a list of 0-d tensors or numbers with None for holes.
        labels: of the dims; the same object in all rows.
    """

    def __init__(self, group: str, outputs: Mapping[str, Any], labels: Labels) -> None:
        self.group, self.labels = group, labels
        self.steps: list[int] = []
        self._columns: dict[str, list[Any]] = {key: [] for key in outputs}
        # The loop may own a tensor (the loss) and change it in place; its version counter tells.
        self._versions: dict[str, list[int]] = {key: [] for key in outputs if isinstance(outputs[key], Tensor)}

    def add(self, step: int, outputs: Mapping[str, Any], labels: Labels) -> bool:
        """Take one more row as it is; False, and nothing taken, where it belongs to another stretch."""
        columns = self._columns
        if labels is not self.labels or outputs.keys() != columns.keys():
            return False
        for key, versions in self._versions.items():
            value = outputs[key]
            if not isinstance(value, Tensor):
                return False
            versions.append(value._version)
        for key, value in outputs.items():
            columns[key].append(value)
        self.steps.append(step)
        return True

    def changed(self) -> bool:
        """Whether the loop has changed a value in place since it was taken."""
        return any([t._version for t in self._columns[key]] != seen for key, seen in self._versions.items())

    def blocks(self, parts: dict[torch.device, Part]) -> list[Block]:
        """The rows as blocks: numbers at once, tensors laid into the part of their device."""
        if self.changed():
            return [Block(self.group, self.steps, self.labels, reason=CHANGED)]
        result = []
        for rows in self._alike():
            block = Block(self.group, self.steps[rows], self.labels)
            for key, column in self._columns.items():
                try:
                    _pack(block, key, column[rows], parts)
                except Exception as error:
                    block.reason = f"{key} is not numbers: {type(error).__name__}: {error}".splitlines()[0]
            result.append(block)
        return result

    def _alike(self) -> list[slice]:
        """Slices of rows of one form; nearly always one slice, without holes."""
        if all(map(_numbers, self._columns.values())):
            return [slice(0, len(self.steps))]
        forms = [[_form(value) for value in column] for column in self._columns.values()]
        if all(form.count(form[0]) == len(form) for form in forms):
            return [slice(0, len(self.steps))]
        result, start = [], 0
        for _, run in groupby(zip(*forms, strict=True)):
            stop = start + sum(1 for _ in run)
            result.append(slice(start, stop))
            start = stop
        return result


def _numbers(column: Sequence[Any]) -> bool:
    """Whether these are all numbers, or lists of equally many, which can be seen in bulk."""
    kinds = {*map(type, column)}
    if kinds == {list} and len({*map(len, column)}) == 1:
        kinds = {*map(type, chain.from_iterable(column))}
    return kinds <= NUMBERS


def _form(value: Any) -> Any:
    """What must agree for values to be stacked: shape, and the places of holes."""
    if isinstance(value, Tensor):
        return value.shape
    if not isinstance(value, (list, tuple)):
        return value is None
    return len(value) if type(None) not in {*map(type, value)} else _holes(value)


def _holes(value: Any) -> tuple[int, ...]:
    items = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(place for place, item in enumerate(items) if item is None)


def _pack(block: Block, key: str, column: list[Any], parts: dict[torch.device, Part]) -> None:
    """Lay a column of one output out: tensors to the part of their device, numbers into the block."""
    if _numbers(column):
        block.values[key] = np.array(column, np.float64)
        return
    first, count = column[0], len(column)
    if isinstance(first, Tensor):
        flat = [tensor.detach() if tensor.ndim < 2 else tensor.reshape(-1) for tensor in column]
        parts.setdefault(first.device, Part()).add((block, key, (count, *first.shape)), flat, scalar=not first.ndim)
        return
    holes = _holes(first)
    if holes:
        block.holes[key] = holes
    items = [item for row in column for item in row] if isinstance(first, (list, tuple)) else column
    sample = next((item for item in items if isinstance(item, Tensor)), None)
    if sample is None:
        block.values[key] = np.array(column, np.float64)  # None becomes NaN
        return
    part, place = parts.setdefault(sample.device, Part()), (block, key, (count, len(first)))
    if len({getattr(item, "device", None) for item in items}) > 1:
        part.add(place, [_beside(item, sample) for item in items], scalar=True)
    elif sample.is_cuda and (joined := _joined(column)):
        part.add(place, joined, scalar=False)
    else:
        part.add(place, items, scalar=True)


def _joined(column: Sequence[Sequence[Tensor]]) -> list[Tensor] | None:
    """Results of `torch._foreach_norm`, one a row, as one view a row: on CUDA they lie side by side."""
    views = []
    for row in column:
        first, last, width = row[0], row[-1], len(row)
        if last.data_ptr() - first.data_ptr() != first.element_size() * (width - 1) or last.dtype != first.dtype:
            return None
        if last.untyped_storage().data_ptr() != first.untyped_storage().data_ptr():
            return None
        views.append(first.as_strided((width,), (1,), first.storage_offset()))
    return views


def _beside(item: Any, sample: Tensor) -> Tensor:
    """``item`` as a 0-d tensor on the device of ``sample``, without a copy from the host that would wait."""
    if isinstance(item, Tensor):
        return item.to(sample.device, non_blocking=True)
    return torch.full((), np.nan if item is None else item, dtype=sample.dtype, device=sample.device)
