"""What functions with weights do to the axes of their tensors, where units may be permuted."""

from collections.abc import Sequence
from typing import Any

from nbtoolkit.numerics.axes import FIXED, Axis
from nbtoolkit.numerics.axis_rules import Call, Labelled, Rule


def linear(call: Call, x: Labelled, weight: Labelled, bias: Labelled | None = None) -> list[Axis]:
    """``x W' + b``."""
    call.unite(weight.axes[1], x.axes[-1])
    if bias is not None:
        call.unite(bias.axes[0], weight.axes[0])
    return [*x.axes[:-1], weight.axes[0]]


def convolution(spatial: int) -> Rule:
    """Convolutions over so many last axes."""

    def rule(
        call: Call, x: Labelled, weight: Labelled, bias: Labelled | None = None, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1,
    ) -> list[Axis]:  # fmt: skip
        place = -spatial - 1
        channels, out = x.shape[place], weight.axes[0]
        if groups == 1:
            call.unite(weight.axes[1], x.axes[place])
        elif groups == channels:  # depthwise: every channel makes its own
            each = weight.shape[0] // channels
            whole = call.groups.resolved(x.axes[place])
            call.unite(out, tuple(part._replace(block=part.block * each) for part in whole))
        else:
            call.pin(x.axes[place], *weight.axes[:2])
        return _convolved(call, x, weight, bias, out)

    return rule


def transposed_convolution(spatial: int) -> Rule:
    """The same backwards."""

    def rule(
        call: Call, x: Labelled, weight: Labelled, bias: Labelled | None = None, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
    ) -> list[Axis]:  # fmt: skip
        call.unite(weight.axes[0], x.axes[-spatial - 1])
        if groups > 1:
            call.pin(*weight.axes[:2])
            if bias is not None:
                call.pin(bias.axes[0])
            return _convolved(call, x, weight, None, FIXED)
        return _convolved(call, x, weight, bias, weight.axes[1])

    return rule


def _convolved(call: Call, x: Labelled, weight: Labelled, bias: Labelled | None, out: Axis) -> list[Axis]:
    spatial = weight.value.ndim - 2
    call.still(*weight.axes[2:])
    call.pin(*x.axes[-spatial:])
    if bias is not None:
        call.unite(bias.axes[0], out)
    return [*x.axes[: -spatial - 1], out, *[FIXED] * spatial]


def channelwise(call: Call, x: Labelled, channel: int, *entries: Labelled | None) -> tuple[Axis, ...]:
    """Normalisation or scaling of each channel by itself: the entries of ``entries`` go with the channels."""
    for entry in entries:
        if entry is not None:
            call.unite(entry.axes[0], x.axes[channel])
    return x.axes


def batch_norm(
    call: Call, x: Labelled, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    *_: Any, **__: Any,
) -> tuple[Axis, ...]:  # fmt: skip
    """Statistics of every channel over the batch."""
    return channelwise(call, x, 1, running_mean, running_var, weight, bias)


def layer_norm(
    call: Call, x: Labelled, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> tuple[Axis, ...]:
    """Statistics over the last axes, which do not depend on an order."""
    count = len(normalized_shape)
    for entry in (weight, bias):
        if entry is not None:
            for own, axis in zip(entry.axes, x.axes[-count:], strict=True):
                call.unite(own, axis)
    return x.axes


def group_norm(
    call: Call, x: Labelled, num_groups: int, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> tuple[Axis, ...]:
    """Statistics over all channels or over each; over groups of channels they do depend on the order."""
    if num_groups not in (1, x.shape[1]):
        call.pin(x.axes[1])
    return channelwise(call, x, 1, weight, bias)


def prelu(call: Call, x: Labelled, weight: Labelled) -> tuple[Axis, ...]:
    """One slope for all, or one for each channel."""
    return x.axes if weight.shape == (1,) else channelwise(call, x, 1 if x.value.ndim > 1 else 0, weight)


def embedding(call: Call, indices: Labelled, weight: Labelled, *_: Any, **__: Any) -> list[Axis]:
    """Rows of a table."""
    call.still(weight.axes[0])
    call.pin(*indices.axes)
    return [*[FIXED] * indices.value.ndim, weight.axes[1]]
