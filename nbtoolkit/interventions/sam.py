"""Sharpness-aware minimisation, around the backward pass of any loop."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def sam(model: nn.Module, loss: Callable[[], Tensor], *, rho: float = 0.05) -> Iterator[Tensor]:
    """Sharpness-aware minimisation: take the gradient at theta + rho g/|g|, where g = grad L(theta).

    Within the block the parameters stand at the worst point of the ball of radius ``rho``, to first order; after it
    they are back, bit for bit, and the optimizer steps as ever::

        def loss():
            return F.cross_entropy(model(x), y)

        optimizer.zero_grad()
        with sam(model, loss, rho=0.05):
            loss().backward()
        optimizer.step()

    What a watched run records of such a step, its loss and (without a probe) its curvature, is that of the perturbed
    parameters; a probe is measured at theta.

    A step costs a second gradient. The block draws the random numbers (dropout masks) that the first one drew, and the
    buffers end as that one leaves them (batch statistics at theta, as in the authors' code), so that ``rho=0`` is the
    plain step exactly. Gradients add up, are scaled and clipped as in any loop, since only the block calls
    ``backward``; with several processes each perturbs by the gradient of its own examples.

    Args:
        model: whose parameters are moved, those that require a gradient.
        loss: the loss of this step's batch; called once here, at theta. It may be scaled, as float16 needs: only the
            direction of its gradient counts.
        rho: radius of the perturbation, in units of the parameters.

    Yields:
        The loss at theta, a 0-d tensor without a graph.

    Raises:
        ValueError: ``rho`` is negative or not finite.

    Source: Foret et al. (2021), arXiv:2010.01412, algorithm 1 and equation 2 with p = 2.
    """
    if not (math.isfinite(rho) and rho >= 0):
        raise ValueError(f"sam() got rho={rho}; the radius must be a finite number, 0 or more.")
    params = [param for param in model.parameters() if param.requires_grad]
    buffers = list(model.buffers())
    devices = {tensor.device for tensor in (*params, *buffers) if tensor.is_cuda}
    fresh = _copies(buffers)
    with torch.enable_grad(), torch.random.fork_rng(devices):
        here = loss()
        found = torch.autograd.grad(here, params, allow_unused=True)
    moved = [param for param, grad in zip(params, found, strict=True) if grad is not None]
    theta, seen = _copies(moved), _copies(buffers)
    try:
        _copy(buffers, fresh)
        _climb(moved, [grad for grad in found if grad is not None], rho)
        yield here.detach()
    finally:
        _copy(moved, theta)
        _copy(buffers, seen)


@torch.no_grad()
def _climb(params: Sequence[Tensor], grads: Sequence[Tensor], rho: float) -> None:
    """Move by ``rho`` along the gradient; where that is zero there is no direction, and nothing moves."""
    norms = [torch.linalg.vector_norm(grad, dtype=torch.promote_types(grad.dtype, torch.float32)) for grad in grads]
    if not norms:
        return
    norm = torch.linalg.vector_norm(torch.stack([part.to(norms[0].device) for part in norms]))
    length = torch.where(norm > 0, rho / norm, 0.0)
    for param, grad in zip(params, grads, strict=True):
        param.add_((grad * length.to(grad.device)).to(param.dtype))
    torch.clear_autocast_cache()  # which keeps parameters in half precision as they were


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def _copy(tensors: Sequence[Tensor], values: list[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
    torch.clear_autocast_cache()
