"""What a training loop gives to instruments: one method for each need of the contract."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nbtoolkit.capture import names
from nbtoolkit.capture.rows import Labels
from nbtoolkit.instruments import Instrument
from nbtoolkit.numerics import trees


class Loop:
    """One optimizer's loop at its present step.

    Args:
        optimizer: whose steps are watched.
        models: the models that give its tensors their names.
    """

    def __init__(self, optimizer: Optimizer, models: Mapping[str, nn.Module]) -> None:
        self.optimizer = optimizer
        self.models = dict(models)
        self.tensors: dict[str, Tensor] = {}
        self.current_loss: Tensor | None = None
        self.terms: dict[str, Any] = {}
        self.current_clock: dict[str, float] = {}
        self._identity: list[int] = []
        self._initial: dict[str, Tensor] | None = None
        self._before: dict[str, Tensor] | None = None
        self._cache: dict[str, Any] = {}
        self._labels: dict[str, dict[str, tuple[Any, ...]]] = {}

    def held(self) -> list[Tensor]:
        """The tensors that the optimizer holds."""
        return names.held(self.optimizer)

    def begin(self, *, remember_initial: bool, keep_params: bool) -> None:
        """Start a step: see whether the parameters are still the same ones, keep what the step will change."""
        identity = [id(tensor) for tensor in self.held()]
        if identity != self._identity:
            self._identity = identity
            self.tensors = names.named(self.optimizer, self.models)
            self._labels = {}
        if remember_initial:
            self._remember_initial()
        if keep_params:
            self._before = trees.clone(self.tensors)

    def end(self) -> None:
        """End a step: let go of everything that belonged to it, so that its memory is free for the next."""
        self._cache.clear()
        self._before = self.current_loss = None
        if self.terms:
            self.terms = {}

    def give(self, need: str) -> Any:
        """The value of one need, made once a step."""
        try:
            return self._cache[need]
        except KeyError:
            value = self._cache[need] = getattr(self, need)()
            return value

    def labels(self, instrument: Instrument) -> Labels:
        """Labels of the dims that the loop knows; the same object as long as they are the same."""
        known = self._labels.get(instrument.name)
        if known is None or ("term" in known and known["term"] != tuple(self.terms)):
            every = {
                "param": tuple(self.tensors),
                "group": tuple(range(len(self.optimizer.param_groups))),
                "term": tuple(self.terms),
            }
            dims = {dim for var in instrument.outputs.values() for dim in var.dims}
            known = self._labels[instrument.name] = {dim: every[dim] for dim in every if dim in dims}
        return known

    def params(self) -> dict[str, Tensor]:
        """Parameters before the step, detached."""
        if self._before is not None:
            return self._before
        return {name: tensor.detach() for name, tensor in self.tensors.items()}

    def initial_params(self) -> dict[str, Tensor]:
        """Copies of the parameters when each was first seen."""
        return self._initial or {}

    def grads(self) -> dict[str, Tensor | None]:
        """Gradients as the optimizer will use them: unscaled also where a fused optimizer does that itself."""
        grads = {name: tensor.grad for name, tensor in self.tensors.items()}
        scale = getattr(self.optimizer, "grad_scale", None)
        if scale is None:
            return grads
        present = {name: grad for name, grad in grads.items() if grad is not None}
        unscaled = torch._foreach_mul(list(present.values()), 1.0 / scale)
        return {**grads, **dict(zip(present, unscaled, strict=True))}

    def updates(self) -> dict[str, Tensor | None]:
        """Parameters after the step minus before."""
        after = {name: tensor.detach() for name, tensor in self.tensors.items()}
        return trees.difference(after, self._before or {})

    def loss(self) -> Tensor | None:
        """Loss whose gradient the step follows."""
        return self.current_loss

    def loss_terms(self) -> dict[str, Any]:
        """Named additive parts of the loss, as the user gave them for this step."""
        return self.terms

    def lr(self) -> list[Any]:
        """Learning rate of each group."""
        return [group.get("lr") for group in self.optimizer.param_groups]

    def momentum(self) -> list[Any]:
        """Momentum, or the first beta, of each group."""
        return [group.get("momentum", group.get("betas", (None,))[0]) for group in self.optimizer.param_groups]

    def clock(self) -> dict[str, float]:
        """Steps, seconds and measuring seconds since this was last asked."""
        return self.current_clock

    def _remember_initial(self) -> None:
        if self._initial is None:
            self._initial = trees.clone(self.tensors)
        elif len(self._initial) < len(self.tensors):
            fresh = {name: tensor for name, tensor in self.tensors.items() if name not in self._initial}
            self._initial |= trees.clone(fresh)
