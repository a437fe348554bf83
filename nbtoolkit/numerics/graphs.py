"""What the autograd graph behind a loss tells before it is differentiated twice."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ONCE = "trying to differentiate twice a function that was marked with @once_differentiable"  # as PyTorch says it


class Kept(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes that a graph keeps for its backward pass while it is made."""

    def __init__(self) -> None:
        self.bytes = 0
        super().__init__(self._count, lambda tensor: tensor)

    def _count(self, tensor: Tensor) -> Tensor:
        self.bytes += tensor.nbytes
        return tensor

    def __enter__(self) -> Self:
        """Begin to count."""
        super().__enter__()
        return self


def has_convolution(loss: Tensor) -> bool:
    """Whether the graph of a loss goes through a convolution, whose second derivative is slow in reverse mode."""
    return any("onvolution" in node.name() for node in nodes([loss]))


def refuse_once(loss: Tensor, gradient: Sequence[Tensor]) -> None:
    """Raise where a function has no second derivative and autograd would silently count none.

    What a once-differentiable backward returns is cut off from the parameters, and the error in its place is never
    reached on the way to them; of a constant cotangent there is not even that.
    """
    cut_off = any(node.name().endswith("Error") for node in nodes(gradient))
    if cut_off or any(_is_once(getattr(node, "_forward_cls", None)) for node in nodes([loss])):
        raise RuntimeError(ONCE)


def _is_once(function: Any) -> bool:
    code = getattr(getattr(function, "backward", None), "__code__", None)
    return code is not None and code is _ONCE_CODE


_ONCE_CODE = once_differentiable(lambda ctx: None).__code__


def nodes(tensors: Sequence[Tensor]) -> Iterator[Any]:
    """The nodes of the graph behind tensors."""
    waiting, visited = [tensor.grad_fn for tensor in tensors], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in visited:
            visited.add(node)
            yield node
            waiting.extend(following for following, _ in node.next_functions)
