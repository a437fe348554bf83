"""What functions that only move entries do to the axes of their tensors, where units may be permuted."""

from collections.abc import Sequence
from typing import Any

from nbtoolkit.numerics.axes import FIXED, Axis
from nbtoolkit.numerics.axis_rules import Call, Labelled, Rule, tensors


def local(spatial: int | None = None) -> Rule:
    """What mixes or moves places along the last axes and leaves those before them; all after the second by default."""

    def rule(call: Call, x: Labelled, *_: Any, **__: Any) -> list[Axis]:
        count = x.value.ndim - 2 if spatial is None else spatial
        kept = x.axes[: x.value.ndim - count]
        call.pin(*x.axes[len(kept) :])
        return [*kept, *[FIXED] * count]

    return rule


def padded(call: Call, x: Labelled, pad: Sequence[int], mode: str = "constant", *_: Any, **__: Any) -> list[Axis]:
    """Constants before and after the places of the last axes."""
    axes = list(x.axes)
    for distance in range(len(pad) // 2):
        place, (before, after) = -1 - distance, pad[2 * distance : 2 * distance + 2]
        axis = call.groups.resolved(axes[place])
        if (before or after) and axis and (mode != "constant" or before < 0 or after < 0):
            call.pin(axis)
        elif (before or after) and axis:
            ends = [call.groups.still(size) if size else FIXED for size in (before, after)]
            axes[place] = ends[0] + axis + ends[1]
    return [axes[place] if call.groups.resolved(axes[place]) else FIXED for place in range(len(axes))]


def reshaped(call: Call, x: Labelled, *_: Any, **__: Any) -> list[Axis]:
    """The same entries in row-major order under another shape."""
    return call.groups.reshaped(x.axes, x.shape, tuple(call.out.shape), call.place)


def permuted(call: Call, x: Labelled, *dims: Any, **kwargs: Any) -> list[Axis]:
    """Axes in another order."""
    order = kwargs.get("dims", dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims)
    return [x.axes[dim] for dim in order]


def transposed(call: Call, x: Labelled, *dims: int, **kwargs: int) -> list[Axis]:
    """Two axes exchanged, the last two by default."""
    one, other = (*dims, *kwargs.values()) if dims or kwargs else (-2, -1)
    axes = list(x.axes)
    if len(axes) > 1:
        axes[one], axes[other] = axes[other], axes[one]
    return axes


def expanded(call: Call, x: Labelled, *_: Any, **__: Any) -> list[Axis]:
    """Axes of size 1 made longer, and new ones before the first."""
    shape = call.out.shape
    new = len(shape) - len(x.axes)
    return [FIXED if place < new or x.shape[place - new] == 1 else x.axes[place - new] for place in range(len(shape))]


def repeated(call: Call, x: Labelled, *sizes: Any) -> list[Axis]:
    """Copies beside each other."""
    sizes = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    axes = [*[FIXED] * (len(sizes) - len(x.axes)), *x.axes]
    return [axis if size == 1 else call.groups.resolved(axis) * size for axis, size in zip(axes, sizes, strict=True)]


def joined(call: Call, parts: Sequence[Labelled], dim: int = 0, **kwargs: int) -> list[Axis]:
    """Tensors one after another along one axis."""
    dim = kwargs.get("axis", dim) % parts[0].value.ndim
    axes = list(parts[0].axes)
    for part in parts[1:]:
        for place, axis in enumerate(part.axes):
            if place != dim:
                call.unite(axes[place], axis)
    pieces = [(call.groups.resolved(part.axes[dim]), part.shape[dim]) for part in parts]
    if any(axis for axis, _ in pieces):
        whole = [axis or call.groups.still(size) for axis, size in pieces]
        axes[dim] = tuple(segment for axis in whole for segment in axis)
    else:
        axes[dim] = FIXED
    return axes


def stacked(call: Call, parts: Sequence[Labelled], dim: int = 0) -> list[Axis]:
    """Tensors beside each other along a new axis."""
    for part in parts[1:]:
        for one, other in zip(parts[0].axes, part.axes, strict=True):
            call.unite(one, other)
    axes = list(parts[0].axes)
    axes.insert(dim % (len(axes) + 1), FIXED)
    return axes


def divided(call: Call, x: Labelled, _: Any, dim: int = 0, **__: Any) -> list[list[Axis]]:
    """One axis cut into pieces."""
    pieces = call.groups.divided(x.axes[dim], [part.shape[dim] for part in call.out], call.place)
    return [[piece if place == dim % len(x.axes) else axis for place, axis in enumerate(x.axes)] for piece in pieces]


def unbound(call: Call, x: Labelled, dim: int = 0) -> list[list[Axis]]:
    """The parts along one axis, each by itself."""
    call.pin(x.axes[dim])
    kept = [axis for place, axis in enumerate(x.axes) if place != dim % len(x.axes)]
    return [kept] * len(call.out)


def item(call: Call, x: Labelled, index: Any) -> list[Axis]:
    """``x[index]``; only whole axes keep their units movable."""
    index = index if isinstance(index, tuple) else (index,)
    if tensors(index) or any(isinstance(part, (list, bool)) for part in index):
        call.pin(*x.axes)
        return [FIXED] * call.out.ndim
    taken = sum(part is not None and part is not Ellipsis for part in index)
    axes, place = [], 0
    for part in index if Ellipsis in index else (*index, Ellipsis):
        if part is None:
            axes.append(FIXED)
            continue
        count = x.value.ndim - taken if part is Ellipsis else 1
        own = list(x.axes[place : place + count])
        place += count
        if part is Ellipsis or part == slice(None):
            axes += own
            continue
        call.pin(*own)
        axes += [FIXED] if isinstance(part, slice) else []
    return axes
