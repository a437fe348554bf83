"""The loss of a step: which backward passes made the gradient that the optimizer is about to use."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

UNSEEN = "no backward() on a loss was seen before this step"
NOT_SCALAR = (
    "backward() was called on a tensor of shape {shape}, not on a scalar; "
    "reduce the loss first, or record it with run.log(name=value)"
)
COMPILED = "CompiledFunctionBackward"  # with CUDA graphs its outputs live in memory that the next call reuses
SEARCH_DEPTH = 8  # nodes between a scaled loss and what backward is called on, e.g. a division by the micro-batches


class Losses:
    """Collects the losses of one optimizer's step; its gradients add, so its losses add.

    Args:
        params: gives the tensors that the optimizer holds.
    """

    def __init__(self, params: Callable[[], Sequence[Tensor]]) -> None:
        self._params = params
        self._seen: list[tuple[Tensor, int]] = []
        self._scaled: tuple[Any, Tensor, Tensor] | None = None
        self._compiled: bool | None = None
        self._before: list[tuple[int, int]] | None = None

    @property
    def pending(self) -> bool:
        """Whether a backward pass has been seen since the last step."""
        return bool(self._seen)

    def before(self, *, alone: bool) -> None:
        """Look at the gradients before a backward pass; ``alone`` when no other run could own it."""
        if self._seen and all(param.grad is None for param in self._params()):
            self.forget()
        self._before = None if alone else self._gradient_versions()

    def after(self, losses: Sequence[Tensor]) -> None:
        """Take the losses of a backward pass, if it reached this optimizer's parameters."""
        if self._before is not None and self._before == self._gradient_versions():
            return
        for loss in losses:
            if self._scaled is not None:
                loss = self._unscaled(loss)
            self._seen.append((loss, loss._version))

    def scaled(self, loss: Tensor, scaled: Tensor, scale: Tensor) -> None:
        """A GradScaler has made ``scaled`` out of ``loss``."""
        self._scaled = (scaled.grad_fn, loss.detach(), scale)

    def forget(self) -> None:
        """The gradients were thrown away: start again."""
        if self._seen:
            self._seen = []

    def total(self) -> tuple[Tensor | None, str]:
        """This step's loss without its graph, or None and the reason; starts the next step."""
        seen, self._seen = self._seen, []
        if not seen:
            return None, UNSEEN
        total: Tensor | None = None
        for loss, version in seen:
            if loss.ndim and loss.numel() != 1:
                return None, NOT_SCALAR.format(shape=tuple(loss.shape))
            if loss._version != version:
                return None, "the loss was changed in place between backward() and the step"
            part = loss.detach().reshape(()) if loss.ndim else loss.detach()
            if self._compiled is None:
                self._compiled = type(loss.grad_fn).__name__ == COMPILED
            if self._compiled:
                part = part.clone()
            total = part if total is None else total + part.to(total.device)
        return total, ""

    def _unscaled(self, loss: Tensor) -> Tensor:
        assert self._scaled is not None
        (node, original, scale), self._scaled = self._scaled, None
        if loss.grad_fn is node:
            return original
        upstream = loss.grad_fn
        for _ in range(SEARCH_DEPTH):
            if upstream is None or not upstream.next_functions:
                return loss
            upstream = upstream.next_functions[0][0]
            if upstream is node:
                return loss.detach() / scale.to(loss.device)
        return loss

    def _gradient_versions(self) -> list[tuple[int, int]]:
        grads = (param.grad for param in self._params())
        return [(0, 0) if grad is None else (id(grad), grad._version) for grad in grads]


def leaves(loss: Tensor) -> set[int]:
    """The ids of the leaf tensors that ``loss`` was computed from."""
    found, nodes, visited = set(), [loss.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            found.add(id(leaf))
        nodes.extend(following for following, _ in node.next_functions)
    return found
