"""A copy of a model in eval mode around its parameters, which writes into nothing of the model's."""

import copy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nbtoolkit.numerics.loss_at import _has_compiled
from nbtoolkit.numerics.shared_copy import NOT_COPIED, shared_copy


class EvalCopy:
    """A copy of a model in eval mode that follows the model.

    What is followed: modules, parameters, buffers, hooks, attributes; of containers among those how many parts they
    have, but not a part that another takes the place of.

    It shares the parameters, and has buffers and other tensors of its own: a forward pass may write into those in eval
    mode too (a counter, an observer of quantisation). They are filled from the model's by `refreshed`.

    Args:
        model: whose copy.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.own: dict[str, Tensor] = {}  # parameters and buffers of the copy by name
        self.buffers: frozenset[str] = frozenset()
        self.compiled = False  # whether parts of it are
        self._copy: nn.Module | None = None
        self._dicts: list[Any] = []
        self._parts: list[Any] = []
        self._ids: list[int] = []
        self._sizes: list[int] = []
        self._held: list[Any] = []
        self._places: list[tuple[Any, str]] = []
        self._mine: list[Tensor] = []
        self._live: list[Tensor] = []

    def refreshed(self) -> nn.Module:
        """The copy with the model's present buffers, made anew when anything in the model is another thing.

        Raises:
            ValueError: the model holds something that cannot be copied.
        """
        if (
            self._copy is None
            or [*map(id, chain.from_iterable(map(dict.values, self._dicts)))] != self._ids
            or [*map(len, self._held)] != self._sizes
        ):
            self._copy = self._renewed()
        if self._places:
            self._fill()
        return self._copy

    def _renewed(self) -> nn.Module:
        model, twin = self.model, shared_copy(self.model)
        self._dicts = [held for module in model.modules() for held in _dicts(module)]
        # Kept alive, so that their ids are no others'.
        self._parts = [*chain.from_iterable(map(dict.values, self._dicts))]
        self._ids = [*map(id, self._parts)]
        self._held = [part for part in self._parts if isinstance(part, (dict, list, set))]
        self._sizes = [*map(len, self._held)]
        twin = _apart(twin).eval()
        self.buffers = frozenset(name for name, _ in twin.named_buffers())
        self.own = dict(twin.named_parameters(remove_duplicate=False)) | dict(twin.named_buffers())
        self.compiled = _has_compiled(twin)
        self._places, self._mine, self._live = [], [], []
        for module, other in _pairs(model, twin):
            for theirs, mine in ((module._buffers, other._buffers), (vars(module), vars(other))):
                for name, live in theirs.items():
                    own = mine.get(name)
                    if isinstance(live, Tensor) and isinstance(own, Tensor) and own is not live and not is_lazy(live):
                        self._places.append((mine, name))
                        self._mine.append(own)
                        self._live.append(live)
        return twin

    def _fill(self) -> None:
        """Give the copy the values of now; where one has another form by now, a new tensor."""
        for index, (mine, live) in enumerate(zip(self._mine, self._live, strict=True)):
            if mine.shape != live.shape or mine.dtype != live.dtype or mine.device != live.device:
                self._mine[index] = live.detach().clone()
        try:
            with torch.no_grad():
                torch._foreach_copy_(self._mine, self._live)
        except RuntimeError:  # sparse ones
            self._mine = [live.detach().clone() for live in self._live]
        for (held, name), mine in zip(self._places, self._mine, strict=True):
            held[name] = mine  # the last pass may have put another there


def _apart(twin: nn.Module) -> nn.Module:
    """The copy with buffers of its own, wherever it holds them.

    Raises:
        ValueError: it holds something that cannot be copied.
    """
    buffers = list(twin.buffers())
    if not buffers:
        return twin
    kept: dict[int, Any] = {id(param): param for param in twin.parameters()}
    kept |= {id(buffer): buffer.detach().clone() for buffer in buffers}
    try:
        return copy.deepcopy(twin, kept)
    except Exception as error:
        raise ValueError(f"{NOT_COPIED}: {error}".splitlines()[0]) from None


def _pairs(model: nn.Module, twin: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    others = dict(twin.named_modules(remove_duplicate=False))
    return [(module, others[name]) for name, module in model.named_modules() if name in others]


def _dicts(module: nn.Module) -> tuple[Any, ...]:
    """Where all is that a module consists of: attributes, parameters, buffers and children."""
    return module.__dict__, module._parameters, module._buffers, module._modules
