"""Which axes of a model's tensors must be permuted together: unification of axes made of blocks of groups."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

MOST = 4096  # segments of one axis


class Segment(NamedTuple):
    """The part of an axis on which ``size`` units of one group stand, each ``block`` places wide."""

    group: int
    size: int
    block: int = 1


Axis = tuple[Segment, ...]
FIXED: Axis = ()  # an axis on which nothing moves


class Axes:
    """Groups of units, and what has been found out about them.

    Every axis begins as a group of its own. What a model does with its tensors unites axes, splits an axis into
    blocks of other groups, or pins it: no unit of a pinned group ever moves. To pin is always right.
    """

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._bound: dict[int, Axis] = {}  # groups that have turned out to be blocks of others
        self.pinned: dict[int, str] = {}  # and why, where that is worth telling

    def new(self, size: int) -> Axis:
        """An axis of a fresh group."""
        self._sizes.append(size)
        return (Segment(len(self._sizes) - 1, size),)

    def still(self, size: int) -> Axis:
        """A part of an axis on which nothing moves, where others do."""
        axis = self.new(size)
        self.pin(axis)
        return axis

    def resolved(self, axis: Axis) -> Axis:
        """The axis in terms of groups that are blocks of no other; FIXED where all of them are pinned."""
        found = self._expanded(axis)
        return tuple(found) if any(part.group not in self.pinned for part in found) else FIXED

    def pin(self, axis: Axis, why: str = "") -> None:
        """Let nothing on this axis move."""
        for segment in self.resolved(axis):
            self.pinned.setdefault(segment.group, why)

    def unite(self, one: Axis, other: Axis, why: str) -> None:
        """Let the units of two axes move alike; where their blocks do not fit, not at all."""
        one, other = self.resolved(one), self.resolved(other)
        if one == other:
            return
        if not one or not other:
            return self.pin(one + other)
        for axis, rest in ((one, other), (other, one)):
            if self._alone(axis) and axis[0].group not in {part.group for part in rest}:
                return self._bind(axis, rest)
        if [part[1:] for part in one] != [part[1:] for part in other]:
            return self.pin(one + other, why)
        for left, right in zip(one, other, strict=True):
            self.unite((left._replace(block=1),), (right._replace(block=1),), why)
        return None

    def divided(self, axis: Axis, sizes: Sequence[int], why: str) -> list[Axis]:
        """The axis cut into pieces that follow each other."""
        axis = self.resolved(axis)
        if not axis:
            return [FIXED] * len(sizes)
        if self._alone(axis):
            pieces = [self.new(size) for size in sizes]
            self._bind(axis, tuple(segment for piece in pieces for segment in piece))
            return pieces
        pieces, rest = [], list(axis)
        for size in sizes:
            piece: list[Segment] = []
            while rest and size > 0:
                size -= rest[0].size * rest[0].block
                piece.append(rest.pop(0))
            if size:
                self.pin(axis, why)
                return [FIXED] * len(sizes)
            pieces.append(tuple(piece))
        return pieces

    def reshaped(self, axes: Sequence[Axis], before: Sequence[int], after: Sequence[int], why: str) -> list[Axis]:
        """The axes of a tensor of shape ``before`` seen in row-major order as one of shape ``after``."""
        found = [FIXED] * len(after)
        ins = [place for place, size in enumerate(before) if size != 1]
        outs = [place for place, size in enumerate(after) if size != 1]
        while ins and outs:
            inner, outer = [ins.pop(0)], [outs.pop(0)]
            while (left := prod(before[i] for i in inner)) != (right := prod(after[o] for o in outer)):
                inner, outer = ([*inner, ins.pop(0)], outer) if left < right else (inner, [*outer, outs.pop(0)])
            parts = self._regrouped(
                [axes[i] for i in inner], [before[i] for i in inner], [after[o] for o in outer], why
            )
            for place, part in zip(outer, parts, strict=True):
                found[place] = part
        return found

    def _regrouped(self, axes: list[Axis], before: list[int], after: list[int], why: str) -> list[Axis]:
        """The same for shapes that have no smaller parts in common."""
        axes = [self.resolved(axis) for axis in axes]
        moving = [place for place, axis in enumerate(axes) if axis]
        if len(axes) == len(after) == 1 or not moving:
            return axes if len(axes) == len(after) == 1 else [FIXED] * len(after)
        if len(after) == 1 and len(moving) == 1:
            (place,) = moving
            repeats, block = prod(before[:place]), prod(before[place + 1 :])
            if repeats * len(axes[place]) <= MOST:
                return [tuple(part._replace(block=part.block * block) for part in axes[place]) * repeats]
        if len(axes) == 1:
            first, block = after[0], prod(after[1:])
            if self._alone(axes[0]):
                units = self.new(first)
                self._bind(axes[0], (units[0]._replace(block=block),))
                return [units, *[FIXED] * (len(after) - 1)]
            if len(axes[0]) == 1 and axes[0][0].size == first and axes[0][0].block == block:
                return [(axes[0][0]._replace(block=1),), *[FIXED] * (len(after) - 1)]
        for axis in axes:
            self.pin(axis, why)
        return [FIXED] * len(after)

    def _alone(self, axis: Axis) -> bool:
        """Whether this is all of one group, which may turn out to be anything."""
        return len(axis) == 1 and axis[0].block == 1

    def _bind(self, axis: Axis, to: Axis) -> None:
        self._bound[axis[0].group] = to

    def _expanded(self, axis: Axis) -> list[Segment]:
        parts: list[Segment] = []
        for segment in axis:
            bound = self._bound.get(segment.group)
            inner = [segment] if bound is None else self._expanded(bound)
            scale = 1 if bound is None else segment.block
            parts += [part._replace(block=part.block * scale) for part in inner]
        return parts
