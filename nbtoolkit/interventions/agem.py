"""Averaged gradient episodic memory: a step that does not raise the loss on a memory, to first order."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from nbtoolkit.numerics.class_error import wide


def agem(params: Iterable[Tensor], reference: Tensor | Sequence[Tensor | None]) -> Tensor:
    """Where the gradient g points against that of the memory, take that part out: g <- g - (g'r / r'r) r if g'r < 0.

    Between ``backward()`` and ``step()``, with r the gradient on a batch of old examples::

        F.cross_entropy(model(x), y).backward()
        agem(model.parameters(), F.cross_entropy(model(old_x), old_y))
        optimizer.step()

    Afterwards g'r is 0, up to rounding. Where there is no conflict, or r is 0, g stays as it is, bit for bit. Both
    products are over the parameters that have a gradient: the others do not move. Nothing here waits for the device.

    Args:
        params: whose ``grad`` is changed.
        reference: the loss on the memory, differentiated here, or its gradients in the order of ``params``.

    Returns:
        The cosine between g, as it was, and r, a 0-d tensor; NaN where one of them is 0.

    Raises:
        ValueError: no parameter has a gradient, or the reference is neither a loss nor a gradient of each parameter.

    Source: Chaudhry et al. (2019), Efficient lifelong learning with A-GEM, arXiv:1812.00420, equation 11.
    """
    given = list(params)
    if all(param.grad is None for param in given):
        raise ValueError("agem() found no gradient; call it after backward() and before step().")
    grads, refs = _pairs(given, reference)
    along = _product(grads, refs)
    square, own = _product(refs, refs), _product(grads, grads)
    conflict = (along < 0) & (square > 0)
    factor = along / square
    with torch.no_grad():
        for grad, ref in zip(grads, refs, strict=True):
            changed = grad - (ref.to(factor) * factor.to(ref.device)).to(grad)
            grad.copy_(torch.where(conflict.to(grad.device), changed, grad))
    return along / (own * square).sqrt()


def _pairs(params: list[Tensor], reference: Tensor | Sequence[Tensor | None]) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients that there are, and the reference's beside each."""
    moved = [param for param in params if param.grad is not None]
    if isinstance(reference, Tensor):
        if reference.ndim or not reference.requires_grad:
            raise ValueError(
                f"agem() got a reference of shape {tuple(reference.shape)}"
                f"{'' if reference.requires_grad else ' without a graph'}; give the loss on the memory, a 0-d tensor, "
                "or a list with a gradient for each parameter."
            )
        found = torch.autograd.grad(reference, moved, allow_unused=True)
    else:
        if len(reference) != len(params):
            raise ValueError(f"agem() got {len(reference)} reference gradients for {len(params)} parameters.")
        found = [ref for param, ref in zip(params, reference, strict=True) if param.grad is not None]
    grads = [param.grad for param in moved if param.grad is not None]
    return grads, [torch.zeros_like(g) if ref is None else ref.detach() for g, ref in zip(grads, found, strict=True)]


def _product(ones: list[Tensor], others: list[Tensor]) -> Tensor:
    parts = [(wide(one) * wide(other)).sum() for one, other in zip(ones, others, strict=True)]
    return torch.stack([part.to(parts[0].device) for part in parts]).sum()
