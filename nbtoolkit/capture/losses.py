"""The loss of a step: which backward passes made the gradient that the optimizer is about to use."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.capture.shards import StandIn
from nbtoolkit.errors import WatchError

UNSEEN = "no backward() on a loss was seen before this step"
NOT_SCALAR = (
    "backward() was called on a tensor of shape {shape}, not on a scalar; "
    "reduce the loss first, or record it with run.log(name=value)"
)
COMPILED = "CompiledFunctionBackward"  # with CUDA graphs its outputs live in memory that the next call reuses
SEARCH_DEPTH = 8  # nodes between a scaled loss and what backward is called on, e.g. a division by the micro-batches


class Losses:
    """Collects the losses of one optimizer's step; its gradients add, so its losses add.

    Whose a loss is: the backward pass changed the gradient of the witness, a parameter that an
    earlier loss of ours reached. Where it did not, the graph of the loss is searched for the parameters.

    Args:
        params: gives the tensors that the optimizer holds.
        stand_ins: gives those that stand for them in the graph of a loss.
    """

    def __init__(
        self, params: Callable[[], Sequence[Tensor]], stand_ins: Callable[[], Sequence[StandIn]] = tuple
    ) -> None:
        self._params, self._stand_ins = params, stand_ins
        self._seen: list[tuple[Tensor, int]] = []
        self._scaled: tuple[Any, Tensor, Tensor] | None = None
        self._compiled: bool | None = None
        self._witness: weakref.ref[Tensor] | None = None
        self._before: list[tuple[Tensor, tuple[int, int]]] = []

    @property
    def pending(self) -> int:
        """Backward passes seen since the last step."""
        return len(self._seen)

    def before(self) -> None:
        """Note the gradients before a backward pass."""
        if self._seen and all(param.grad is None for param in self._params()):
            if not any(one.graded for one in self._stand_ins()):
                self.forget()
        witness = None if self._witness is None else self._witness()
        if witness is not None:
            self._before = [(witness, _version(witness))]
        else:  # while there is none, every parameter is one
            self._before = [(param, _version(param)) for param in self._params()]

    def after(self, losses: Sequence[Tensor], *, look: bool = True) -> bool:
        """Take the losses of a backward pass if it reached this optimizer's parameters; whether it did.

        Args:
            losses: on which backward was called.
            look: whether gradients may be read: not on a thread beside the one that may be writing them.
        """
        if not losses:
            return False
        for param, version in self._before if look else ():
            if _version(param) != version:
                if len(self._before) > 1:
                    self._witness = weakref.ref(param)
                break
        else:
            if not self._reached(losses):
                return False
        for loss in losses:
            if self._scaled is not None:
                loss = self._unscaled(loss)
            self._seen.append((loss, loss._version))
        return True

    def live(self, losses: Sequence[Tensor]) -> Tensor | None:
        """The loss that backward is about to be called on, unscaled and with its graph; None if it is not ours.

        Raises:
            WatchError: it is not a scalar.
        """
        if not losses or not self._reached(losses):
            return None
        wrong = next((loss for loss in losses if loss.numel() != 1), None)
        if wrong is not None:
            raise WatchError(NOT_SCALAR.format(shape=tuple(wrong.shape)))
        with torch.enable_grad():
            total = sum(loss.reshape(()) for loss in losses)
            assert isinstance(total, Tensor)
            if self._scaled is not None and self._is_scaled(losses[0]):
                total = total / self._scaled[2].to(total.device)
        return total

    def _reached(self, losses: Sequence[Tensor]) -> bool:
        """Whether the graph of a loss ends in one of the parameters."""
        params = {id(param) for param in self._params()}
        params |= {id(one.full) for one in self._stand_ins() if id(one.shard) in params}
        return any(params & leaves(loss) for loss in losses)

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
        (node, original, scale), is_scaled, self._scaled = self._scaled, self._is_scaled(loss), None
        if loss.grad_fn is node:
            return original
        return loss.detach() / scale.to(loss.device) if is_scaled else loss

    def _is_scaled(self, loss: Tensor) -> bool:
        """Whether ``loss`` is what the GradScaler made, or comes from it in a few operations."""
        assert self._scaled is not None
        node, upstream = self._scaled[0], loss.grad_fn
        for _ in range(SEARCH_DEPTH + 1):
            if upstream is node:
                return True
            if upstream is None or not upstream.next_functions:
                return False
            upstream = upstream.next_functions[0][0]
        return False


def _version(param: Tensor) -> tuple[int, int]:
    """Identity and version of a parameter's gradient."""
    grad = param.grad
    return (0, 0) if grad is None else (id(grad), grad._version)


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
