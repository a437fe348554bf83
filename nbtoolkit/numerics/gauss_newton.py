"""Generalised Gauss-Newton and Fisher matrices: products of the form J'MJ."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional as F

from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import Operator, over_batches

LIKELIHOODS = (F.cross_entropy, F.mse_loss, F.binary_cross_entropy_with_logits)
LIKELIHOOD_MODULES = (nn.CrossEntropyLoss, nn.MSELoss, nn.BCEWithLogitsLoss)


class Sandwich:
    """Products with J'MJ, J the Jacobian of outputs by the leaves and M a symmetric matrix between outputs.

    Args:
        outputs: with their graph.
        leaves: what to differentiate by.
        middle: multiplies one tensor of the outputs' shape with M.
        gradient: of the loss, by leaf.
    """

    kept_bytes = 0

    def __init__(
        self, outputs: Tensor, leaves: list[Tensor], middle: Callable[[Tensor], Tensor], gradient: list[Tensor]
    ) -> None:
        self.outputs, self.leaves, self.middle, self.gradient = outputs, leaves, middle, gradient
        # J'u is linear in u, so its gradient by u along v is Jv.
        self._dummy = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(outputs, leaves, self._dummy, create_graph=True, allow_unused=True)
        self._used = [i for i, tensor in enumerate(pulled) if tensor is not None]
        self._pulled = [tensor for tensor in pulled if tensor is not None]

    def __call__(self, block: list[Tensor]) -> list[Tensor]:
        """Products of ``block``, one stack ``(rows, *shape)`` for each parameter."""
        rows = [self._row([stack[i] for stack in block]) for i in range(len(block[0]))]
        return [torch.stack(stack) for stack in zip(*rows, strict=True)]

    def _row(self, vector: list[Tensor]) -> list[Tensor]:
        if not self._used:
            return [torch.zeros_like(part) for part in vector]
        tangents = [vector[i].to(self.leaves[i].dtype) for i in self._used]
        (pushed,) = torch.autograd.grad(self._pulled, self._dummy, tangents, retain_graph=True)
        found = torch.autograd.grad(
            self.outputs, self.leaves, self.middle(pushed), retain_graph=True, allow_unused=True
        )  # fmt: skip
        return [torch.zeros_like(part) if p is None else p for p, part in zip(found, vector, strict=True)]


def gauss_newton(loss_at: LossAt, params: Mapping[str, Tensor]) -> Operator:
    """Generalised Gauss-Newton matrix J'(d2l/dz2)J of a probe: the Hessian without the curvature of the model.

    For any loss of the outputs z; positive semidefinite where the loss is convex in them.

    Raises:
        ValueError: the probe is a function, so the outputs are not known.
    """

    def piece(batch: Any, state: Mapping[str, Tensor], leaves: list[Tensor]) -> Sandwich:
        outputs = loss_at.outputs(batch, state)
        z = outputs.detach().requires_grad_()
        assert loss_at.loss is not None
        (slope,) = torch.autograd.grad(loss_at.loss(z, loss_at.targets(batch, state)), z, create_graph=True)

        def middle(pushed: Tensor) -> Tensor:
            if not slope.requires_grad:
                return torch.zeros_like(pushed)
            return torch.autograd.grad(slope, z, pushed, retain_graph=True)[0]

        return Sandwich(outputs, leaves, middle, _pull(outputs, leaves, slope.detach()))

    return over_batches(loss_at, params, piece)


def fisher(loss_at: LossAt, params: Mapping[str, Tensor]) -> Operator:
    """Fisher information matrix E[grad log p(y|x) grad log p(y|x)'], y drawn from the model, x from the probe.

    For the losses that are log-likelihoods of natural parameters it equals the generalised Gauss-Newton matrix
    (Martens 2020, arXiv:1412.1193, section 9), and so it is computed, without drawing.

    Raises:
        ValueError: the loss is none of cross-entropy, MSE, and binary cross-entropy with logits.
    """
    if loss_at.loss not in LIKELIHOODS and not isinstance(loss_at.loss, LIKELIHOOD_MODULES):
        raise ValueError(
            "the Fisher matrix needs a loss that is a known likelihood (cross_entropy, mse_loss, "
            f"binary_cross_entropy_with_logits); got {loss_at.loss!r}; use the Gauss-Newton or the empirical Fisher "
            "matrix"
        )
    return gauss_newton(loss_at, params)


def empirical_fisher(loss_at: LossAt, params: Mapping[str, Tensor]) -> Operator:
    """Empirical Fisher matrix (1/N) sum_i g_i g_i', g_i the gradient of the loss of example i at its own label.

    Raises:
        ValueError: the probe is a function, so examples are not known.
    """

    def piece(batch: Any, state: Mapping[str, Tensor], leaves: list[Tensor]) -> Sandwich:
        losses = per_example(loss_at, batch, state)
        count = len(losses)
        mean = torch.full_like(losses, 1.0 / count)
        return Sandwich(losses, leaves, lambda pushed: pushed / count, _pull(losses, leaves, mean))

    return over_batches(loss_at, params, piece)


def per_example(loss_at: LossAt, batch: Any, state: Mapping[str, Tensor]) -> Tensor:
    """The loss of each example of a batch, ``(examples,)``, the batch going through the model as one."""
    outputs = loss_at.outputs(batch, state)
    targets = loss_at.targets(batch, state)
    assert loss_at.loss is not None
    return vmap(lambda z, y: loss_at.loss(z[None], y[None]))(outputs, targets)  # type: ignore[misc]


def _pull(outputs: Tensor, leaves: list[Tensor], cotangent: Tensor) -> list[Tensor]:
    return list(
        torch.autograd.grad(outputs, leaves, cotangent, retain_graph=True, allow_unused=True, materialize_grads=True)
    )
