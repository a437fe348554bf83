"""What functions do to the axes of their tensors, where units may be permuted.

A rule gets what its function got, with a `Labelled` for every tensor, and what the function returned; it unites or
pins axes and returns those of the result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nbtoolkit.numerics.axes import FIXED, Axes, Axis


@dataclass(frozen=True)
class Labelled:
    """A tensor and its axes."""

    value: Tensor
    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return tuple(self.value.shape)


@dataclass
class Call:
    """One operation of a model: the groups known so far, its place for messages, and what it returned."""

    groups: Axes
    place: str
    out: Any

    def unite(self, one: Axis, other: Axis) -> None:
        """These move alike."""
        self.groups.unite(one, other, self.place)

    def pin(self, *axes: Axis) -> None:
        """Nothing on these moves, because of this operation."""
        for axis in axes:
            self.groups.pin(axis, self.place)

    def still(self, *axes: Axis) -> None:
        """Nothing on these moves: they are no hidden units."""
        for axis in axes:
            self.groups.pin(axis)


Rule = Callable[..., Sequence[Any]]


def tensors(value: Any) -> list[Labelled]:
    """All tensors in arguments."""
    if isinstance(value, Labelled):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, slice):
        value = (value.start, value.stop, value.step)
    return [found for part in value for found in tensors(part)] if isinstance(value, (tuple, list)) else []


def elementwise(call: Call, *args: Any, **kwargs: Any) -> list[Axis]:
    """Entry by entry, with broadcasting; also what treats all entries of an axis alike, as softmax does."""
    shape = call.out.shape
    axes = [FIXED] * len(shape)
    given = tensors((args, kwargs))
    for place in range(-len(shape), 0):
        met = [one.axes[place] for one in given if len(one.shape) >= -place and one.shape[place] == shape[place] != 1]
        for other in met[1:]:
            call.unite(met[0], other)
        axes[place] = met[0] if met else FIXED
    return axes


def same(call: Call, x: Labelled, *_: Any, **__: Any) -> tuple[Axis, ...]:
    """The axes of the first argument."""
    return x.axes


def constant(call: Call, *_: Any, **__: Any) -> list[Axis]:
    """A tensor that holds nothing of its arguments."""
    return [FIXED] * call.out.ndim


def reduced(call: Call, x: Labelled, dim: Any = None, keepdim: bool = False, *_: Any, **kwargs: Any) -> list[Axis]:
    """A number for all places of some axes, which does not depend on their order."""
    dim = kwargs.get("axis", dim)
    gone = range(x.value.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    places = {place % max(x.value.ndim, 1) for place in gone}
    kept = call.out.ndim == x.value.ndim
    axes = [FIXED if place in places else axis for place, axis in enumerate(x.axes)]
    return axes if kept else [axis for place, axis in enumerate(axes) if place not in places]


def normed(call: Call, x: Labelled, _: Any = 2, dim: Any = None, *args: Any, **kwargs: Any) -> list[Axis]:
    """Norms along axes."""
    return reduced(call, x, dim, *args, **kwargs)


def selected(call: Call, x: Labelled, *args: Any, **kwargs: Any) -> Any:
    """Places of the largest or smallest along an axis, beside their values where those are returned too."""
    if isinstance(call.out, Tensor) and not (args or kwargs) and call.out.dtype == x.value.dtype:
        return []  # the largest of all
    dim = kwargs.get("dim", args[0] if args and isinstance(args[0], int) else None)
    call.pin(*(x.axes if dim is None else x.axes[dim : dim + 1 or None]))
    if isinstance(call.out, Tensor):
        return reduced(call, x, dim)
    return [reduced(Call(call.groups, call.place, part), x, dim) for part in call.out]


def product(call: Call, x: Labelled, y: Labelled) -> list[Axis]:
    """Matrix products, batched or not."""
    if min(x.value.ndim, y.value.ndim) < 2:
        call.pin(*x.axes, *y.axes)
        return [FIXED] * call.out.ndim
    call.unite(x.axes[-1], y.axes[-2])
    return [*_batched(call, x, y), x.axes[-2], y.axes[-1]]


def _batched(call: Call, *given: Labelled) -> list[Axis]:
    """The axes before the last two, broadcast."""
    leading = [Labelled(one.value[..., 0, 0], one.axes[:-2]) for one in given]
    shape = call.out[..., 0, 0]
    return elementwise(Call(call.groups, call.place, shape), *leading)


def einsum(call: Call, equation: str, *operands: Any) -> list[Axis]:
    """Sums of products over letters."""
    given = tensors(operands)
    into, _, out = equation.replace(" ", "").partition("->")
    terms = into.split(",")
    if "." in equation or "->" not in equation:
        call.pin(*(axis for one in given for axis in one.axes))
        return [FIXED] * call.out.ndim
    axes: dict[str, Axis] = {}
    for letters, one in zip(terms, given, strict=True):
        for letter, axis in zip(letters, one.axes, strict=True):
            call.unite(axes.setdefault(letter, axis), axis)
    return [axes[letter] for letter in out]


def attention(
    call: Call, query: Labelled, key: Labelled, value: Labelled, attn_mask: Labelled | None = None, *_: Any, **__: Any
) -> list[Axis]:
    """``softmax(q k') v``: heads move whole, units of queries with those of keys, units of values by themselves."""
    call.unite(query.axes[-1], key.axes[-1])
    call.pin(query.axes[-2], key.axes[-2], value.axes[-2])
    if attn_mask is not None or key.shape[:-2] != query.shape[:-2]:
        call.pin(*query.axes[:-2], *key.axes[:-2], *value.axes[:-2])
        return [*[FIXED] * (call.out.ndim - 1), value.axes[-1]]
    leading = _batched(call, query, key, value)
    return [*leading, FIXED, value.axes[-1]]
