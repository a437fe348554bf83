"""Scoped wraps of the few functions of torch that every training loop calls.

Installed when the first watcher arrives and removed with the last, in whatever order they
come and go. Each wrap tells the watchers and calls the original; nothing else.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.autograd.graph import GradientEdge
from torch.optim import Optimizer


class Watcher(Protocol):
    """What a tap tells."""

    def before_backward(self, losses: Sequence[Tensor]) -> None:
        """Backward is about to run on ``losses``, whose graph is still there."""

    def after_backward(self, losses: Sequence[Tensor]) -> bool:
        """Backward has run on ``losses``; whether they are known to be this watcher's."""
        ...

    def backward_ended(self, losses: Sequence[Tensor], *, claimed: bool) -> None:
        """All have been told of ``losses``; ``claimed`` if any watcher knows them for its own."""

    def gradients_zeroed(self, owner: Optimizer | nn.Module) -> None:
        """``owner.zero_grad()`` was called."""

    def loss_scaled(self, loss: Tensor, scaled: Tensor, scale: Tensor) -> None:
        """A GradScaler made ``scaled`` out of ``loss``."""

    def scaler_updated(self, stepped: Container[int]) -> None:
        """A GradScaler is done with a step of the optimizers with these ids; may raise."""


NO_BACKWARD = -1

_coming_and_going = threading.RLock()
_watchers: list[Watcher] = []
_resting: list[Watcher] = []  # told nothing for a while
_originals: list[tuple[Any, str, Callable[..., Any], Callable[..., Any]]] = []


def add(watcher: Watcher) -> None:
    """Tell ``watcher`` from now on."""
    with _coming_and_going:
        if not _originals:
            _install(torch.autograd, "backward", _backward)
            _install(Optimizer, "zero_grad", _zero_grad)
            _install(nn.Module, "zero_grad", _zero_grad)
            _install(GradScaler, "scale", _scale)
            _install(GradScaler, "update", _update)
        _watchers.append(watcher)


def remove(watcher: Watcher) -> None:
    """Tell ``watcher`` no more; the last to go takes the wraps along."""
    with _coming_and_going:
        for among in (_watchers, _resting):
            if watcher in among:
                among.remove(watcher)
        while _originals and not (_watchers or _resting):
            owner, name, original, wrap = _originals.pop()
            # Somebody may have wrapped our wrap; theirs stays, and ours then tells nobody.
            if getattr(owner, name) is wrap:
                setattr(owner, name, original)


@contextlib.contextmanager
def silence(chosen: Callable[[Watcher], bool]) -> Iterator[None]:
    """Tell the watchers that are ``chosen`` nothing of what happens within the block."""
    with _coming_and_going:
        resting = [watcher for watcher in _watchers if chosen(watcher)]
        _watchers[:] = [watcher for watcher in _watchers if watcher not in resting]
        _resting.extend(resting)
    try:
        yield
    finally:
        with _coming_and_going:
            back = [watcher for watcher in resting if watcher in _resting]
            _resting[:] = [watcher for watcher in _resting if watcher not in back]
            _watchers[:0] = back


def is_silent(watcher: Watcher) -> bool:
    """Whether ``watcher`` is told nothing at the moment."""
    return watcher in _resting


def hide_frames(traceback: TracebackType | None, *, last: bool = False) -> None:
    """Take our own frames out of a user's traceback, in place; the ``last`` too, where it is we who raise or wait."""
    while traceback is not None:
        following = traceback.tb_next
        while following is not None and _is_ours(following) and (last or following.tb_next is not None):
            following = following.tb_next
        traceback.tb_next = following
        traceback = following


def _is_ours(traceback: TracebackType) -> bool:
    module = traceback.tb_frame.f_globals.get("__name__", "")
    return module.startswith(("nbtoolkit.capture.", "nbtoolkit.widget."))


def _install(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = getattr(owner, name)
    wrap = functools.wraps(original)(make(original))
    _originals.append((owner, name, original, wrap))
    setattr(owner, name, wrap)


def _backward(original: Callable[..., Any]) -> Callable[..., Any]:
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        if torch._C._current_graph_task_id() != NO_BACKWARD:  # within another one, as reentrant checkpoints do
            return original(tensors, *args, **kwargs)
        if not isinstance(tensors, Tensor) and isinstance(tensors, Iterator):  # which can be read only once
            tensors = tuple(tensors)
        told = tuple(_watchers)
        losses = _losses(tensors, args[0] if args else kwargs.get("grad_tensors"))
        for watcher in told:
            watcher.before_backward(losses)
        result = original(tensors, *args, **kwargs)
        claimed = any([watcher.after_backward(losses) for watcher in told])
        for watcher in told:
            watcher.backward_ended(losses, claimed=claimed)
        return result

    return backward


def _losses(tensors: Any, grads: Any) -> list[Tensor]:
    """The tensors whose sum's gradient was taken; a scalar gradient that was passed along multiplies them."""
    if grads is None and isinstance(tensors, Tensor):  # loss.backward()
        return [tensors]
    tensors = (tensors,) if isinstance(tensors, (Tensor, GradientEdge)) else tuple(tensors)
    grads = grads if isinstance(grads, (tuple, list)) else (grads,) * len(tensors)
    losses = []
    for tensor, grad in zip(tensors, grads, strict=False):
        if isinstance(tensor, Tensor):  # not a graph edge, which has no value
            weighted = isinstance(grad, Tensor) and grad.numel() == tensor.numel() == 1
            losses.append(tensor * grad.reshape(tensor.shape).detach() if weighted else tensor)
    return losses


def _zero_grad(original: Callable[..., Any]) -> Callable[..., Any]:
    def zero_grad(self: Any, *args: Any, **kwargs: Any) -> Any:
        for watcher in tuple(_watchers):
            watcher.gradients_zeroed(self)
        return original(self, *args, **kwargs)

    return zero_grad


def _scale(original: Callable[..., Any]) -> Callable[..., Any]:
    def scale(self: GradScaler, outputs: Any) -> Any:
        scaled = original(self, outputs)
        if isinstance(outputs, Tensor) and scaled is not outputs and self._scale is not None:
            for watcher in tuple(_watchers):
                watcher.loss_scaled(outputs, scaled, self._scale)
        return scaled

    return scale


def _update(original: Callable[..., Any]) -> Callable[..., Any]:
    def update(self: GradScaler, *args: Any, **kwargs: Any) -> Any:
        stepped = tuple(getattr(self, "_per_optimizer_states", ()))  # one that is switched off has none
        result = original(self, *args, **kwargs)
        for watcher in tuple(_watchers) if stepped else ():
            watcher.scaler_updated(stepped)
        return result

    return update
