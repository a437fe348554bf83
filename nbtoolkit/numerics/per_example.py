"""The loss of many examples or batches at once, each with parameters or gradients of its own."""

import contextlib
import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import grad, vmap

from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import trainable

BYTES = 2**28  # of gradients of single examples at once


def each_gradient(
    loss_at: LossAt, params: Mapping[str, Tensor], inputs: Tensor, targets: Tensor,
    take: Callable[[int, list[Tensor]], None],
) -> None:  # fmt: skip
    """Gradient of the loss of every single example, g_i = grad l(model(x_i), y_i).

    Dropout gives each example a mask of its own, as in training.

    Args:
        loss_at: the loss, with the model that is called on one example at a time.
        params: by name, differentiated by those that require a gradient.
        inputs: ``(examples, ...)``.
        targets: ``(examples, ...)``.
        take: called with the index of an example and with the gradients of it and of those that follow, one stack
            ``(rows, *shape)`` for each parameter; as many at once as `BYTES` hold.

    Raises:
        RuntimeError: the model cannot be mapped over examples, e.g. since values decide which code runs.
    """
    trained = {name: param.detach() for name, param in trainable(params).items()}
    others = {name: param.detach() for name, param in params.items() if name not in trained}
    unguarded = without_guards(loss_at)

    def loss(at: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return unguarded.on((x[None], y[None]), {**others, **at})

    flat = Flat(trained)
    rows = max(1, min(len(inputs), BYTES // (flat.size * flat.dtype.itemsize)))
    gradients = vmap(grad(loss), in_dims=(None, 0, 0), randomness="different")
    first = 0
    with loss_at.undisturbed():
        while first < len(inputs):
            try:
                found = gradients(trained, inputs[first : first + rows], targets[first : first + rows])
            except torch.OutOfMemoryError:  # of the activations, which BYTES does not count
                if rows == 1:
                    raise
                rows //= 2
                continue
            take(first, list(found.values()))
            first += rows


def without_guards(loss_at: LossAt) -> LossAt:
    """The same loss, to be called within ``loss_at.undisturbed()``; random numbers then run on from call to call."""
    twin = copy.copy(loss_at)
    twin.undisturbed = contextlib.nullcontext  # type: ignore[method-assign]
    return twin
