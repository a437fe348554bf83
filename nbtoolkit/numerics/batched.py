"""The Hessians of many batches of one size, all multiplied at once."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import vmap

from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.per_example import without_guards
from nbtoolkit.numerics.products import KeptGraph, hessian, trainable


class BatchHessians:
    """The Hessian of the loss of each of several batches, as one block-diagonal matrix.

    Each batch has a copy of the parameters of its own, so that the sum of the losses has the Hessians on its diagonal
    and one product of its kept graph multiplies all of them. Where a model cannot be mapped over batches, one follows
    the other.

    Args:
        loss_at: the loss; the model is called on one batch at a time.
        params: by name, differentiated by those that require a gradient.
        inputs: ``(batches, size, ...)``.
        targets: ``(batches, size, ...)``.
    """

    def __init__(self, loss_at: LossAt, params: Mapping[str, Tensor], inputs: Tensor, targets: Tensor) -> None:
        self.flat, self.rows = Flat(trainable(params)), len(inputs)
        self._apart = None
        try:
            self._together = self._stacked(loss_at, params, inputs, targets)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # whatever vmap cannot map; if the loss itself is at fault, what follows says so
            probes = [loss_at.with_probe([batch]) for batch in zip(inputs, targets, strict=True)]
            self._apart = [hessian(probe, params) for probe in probes]

    def __call__(self, vectors: Tensor) -> Tensor:
        """Row by row, the Hessian of a batch times a vector: ``(batches, parameters)``."""
        if len(vectors) != self.rows:
            raise ValueError(f"{len(vectors)} vectors for the Hessians of {self.rows} batches")
        if self._apart is not None:
            return torch.stack([operator(row) for operator, row in zip(self._apart, vectors, strict=True)])
        block = [stack[None] for stack in self.flat.split(vectors)]
        return self.flat.join([product[0] for product in self._together(block)], rows=self.rows).detach()

    def _stacked(
        self, loss_at: LossAt, params: Mapping[str, Tensor], inputs: Tensor, targets: Tensor
    ) -> KeptGraph:  # fmt: skip
        copies = {
            name: params[name].detach().expand(self.rows, *params[name].shape).clone().requires_grad_()
            for name in self.flat.names
        }
        others = {name: param.detach() for name, param in params.items() if name not in copies}
        unguarded = without_guards(loss_at.without_statistics())

        def loss(at: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return unguarded.on((x, y), {**others, **at})

        with torch.enable_grad(), loss_at.undisturbed():
            losses = vmap(loss, randomness="same")(copies, inputs, targets)
            return KeptGraph(losses.sum(), list(copies.values()))
