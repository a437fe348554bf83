"""The hidden units of a model: what enters each of its layers."""

import contextlib
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.statistics import with_statistics

TRANSFORMS: Any = torch._C._functorch  # type: ignore[attr-defined]


def entering(loss_at: LossAt, params: Mapping[str, Tensor], layers: Sequence[str]) -> dict[str, Tensor | None]:
    """What enters layers on the probe at given parameters, in eval mode: the units before each, after all between.

    Args:
        loss_at: whose model and probe.
        params: by name, see `LossAt`.
        layers: names of modules, with the prefix that the parameters have.

    Returns:
        For each layer a tensor ``(examples, units, ...)``, or None, see `Entering`.

    Raises:
        ValueError: the model cannot be copied.
    """
    frozen = with_statistics(loss_at, "frozen")
    collected = Entering(frozen.model, {name: name.removeprefix(loss_at.prefix) for name in layers})
    parts: list[dict[str, Tensor | None]] = []
    with torch.no_grad(), collected.listening():
        for _, batch in frozen.weighted():
            frozen.on(batch, params)
            parts.append(collected.take())
    return {name: _joined([part[name] for part in parts]) for name in layers}


class Entering:
    """Collects what enters layers in a forward pass.

    Units are what a layer with a matrix takes in: that holds for activation functions that are no modules too. They are
    dim 1: the channels of a convolution, else what was the last dim. A layer has None where no floating point numbers
    enter it, where the model's own input does (the first layer), where it has no matrix (normalisation), or where it
    is not called; of several calls the last counts. Calls within compiled code and within transforms of functions are
    not seen.

    Args:
        model: whose layers.
        layers: from their labels to the names of their modules.
    """

    def __init__(self, model: nn.Module, layers: Mapping[str, str]) -> None:
        self.model, self.layers = model, dict(layers)
        self._seen: dict[str, Tensor] = {}
        self._own: set[int] = set()  # storages of the model's inputs
        self._first = True

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """With hooks on the layers."""
        modules = dict(self.model.named_modules(remove_duplicate=False))
        begin = _Hook(self, self.model, None)
        handles = [self.model.register_forward_pre_hook(begin, with_kwargs=True, prepend=True)]
        for label, name in self.layers.items():
            module = modules.get(name)
            if module is not None and module is not self.model and has_matrix(module):
                handles.append(module.register_forward_pre_hook(_Hook(self, module, label)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def take(self) -> dict[str, Tensor | None]:
        """What has been seen, by layer; it is then forgotten."""
        seen, self._seen = self._seen, {}
        return {label: seen.get(label) for label in self.layers}

    def begin(self, args: Any) -> None:
        """The model is called with these arguments."""
        self._own = {tensor.untyped_storage().data_ptr() for tensor in _tensors(args)}
        self._first = True

    def keep(self, label: str, module: nn.Module, args: Any) -> None:
        """A layer is called with these arguments."""
        entering = next((part for part in args if isinstance(part, Tensor)), None)
        first, self._first = self._first, False
        if entering is None or not entering.is_floating_point() or entering.ndim < 2:
            return
        if first or entering.untyped_storage().data_ptr() in self._own:
            return
        channels = 1 if isinstance(module, nn.modules.conv._ConvNd) else -1
        self._seen[label] = entering.detach().movedim(channels, 1).clone()  # the model may go on in place


class _Hook:
    """Tells what enters one module, and no copy of it: a copied or pickled hook does nothing and holds nothing.

    Args:
        told: by `Entering.keep`, or by `Entering.begin` where there is no label.
        module: whose calls.
        label: of the layer.
    """

    def __init__(self, told: Entering, module: nn.Module, label: str | None) -> None:
        self.told, self.module, self.label = weakref.ref(told), weakref.ref(module), label

    def __call__(self, module: nn.Module, *given: Any) -> None:
        if torch.compiler.is_compiling() or TRANSFORMS.peek_interpreter_stack() is not None:
            return
        told = self.told()
        if told is None or self.module() is not module:
            return
        if self.label is None:
            told.begin(given)
        else:
            told.keep(self.label, module, given[0])

    def __reduce__(self) -> Any:
        """As something that can be read where this package is not installed."""
        return getattr, (contextlib.nullcontext(), "__exit__")


def has_matrix(module: nn.Module) -> bool:
    """Whether a module mixes its units: one of its own parameters has two dims or more."""
    return any(param.ndim >= 2 for param in module.parameters(recurse=False))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known and len(known) == len(parts) else None
