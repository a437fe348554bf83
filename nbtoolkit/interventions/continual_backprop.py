"""Continual backpropagation: give the least useful units a new start, a few at a time."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nbtoolkit.interventions._fresh import Draw, fresh
from nbtoolkit.numerics.given import is_finite, is_seed, is_whole, shown

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LAYERS = (nn.Linear, *CONVOLUTIONS)
TRANSFORMS: Any = torch._C._functorch  # type: ignore[attr-defined]
GIVE_PAIRS = "give the pairs of layers by name: ContinualBackprop(..., pairs=[('first', 'second'), ...])"


class ContinualBackprop:
    """Reset the units that contribute least, at a rate of ``rate`` of the mature units a step.

    The utility of unit i in a hidden layer is a running mean of what it contributes to the next layer,
    ``u <- decay u + (1 - decay) mean|h_i| sum_k|w_ki|``, with the mean over the batch and w the weights that read it;
    units of different age are compared by ``u / (1 - decay^age)``. Of units older than ``maturity`` steps the one with
    the smallest utility starts again: its incoming weights and bias are drawn as at the start, its outgoing weights are
    0, the optimizer's memory of them is 0, and its age is 0. After each step::

        renew = ContinualBackprop(model, optimizer, rate=1e-3)
        ...
        optimizer.step()
        renew.step()

    A reset takes from the next layer what the unit contributed, and nothing else; with normalisation across units in
    between the others move too. Adam counts its steps for whole tensors, so that the first steps of a new unit are up
    to three times as long as the first of a training.

    Hooks on the layers see the activations, those of the last forward pass in train mode with gradients; `close`, or
    leaving the ``with`` block, takes them off. New weights come from a generator of its own.

    Args:
        model: linear and convolutional layers.
        optimizer: whose state for the reset entries is set to 0.
        rate: rho, share of the mature units of a layer that are reset in a step; fractions add up.
        maturity: steps for which a new unit is left alone.
        decay: eta, of the running mean.
        pairs: names of the layers that make hidden units, each with the layer that reads them. In an
            `torch.nn.Sequential` they are found.
        draw: initialises a layer in place; its ``reset_parameters()`` where none is given.
        seed: of the new weights.

    Raises:
        ValueError: the layers cannot be paired, or a number is out of its range.

    Source: Dohare et al. (2024), Loss of plasticity in deep continual learning, Nature 632, equation 1 and algorithm
    1; the correction for age is that of the authors' code.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, *, rate: float = 1e-4, maturity: int = 100, decay: float = 0.99,
        pairs: Sequence[tuple[str, str]] | None = None, draw: Draw | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        if not (is_finite(rate) and 0 <= rate <= 1):
            raise ValueError(f"ContinualBackprop got rate={shown(rate)}; give a share from 0 to 1.")
        if not is_whole(maturity, 0):
            raise ValueError(f"ContinualBackprop got maturity={shown(maturity)}; give a whole number of steps.")
        if not (is_finite(decay) and 0 <= decay < 1):
            raise ValueError(f"ContinualBackprop got decay={shown(decay)}; give a number from 0 to below 1.")
        if not is_seed(seed):
            raise ValueError(f"ContinualBackprop got seed={shown(seed)}; give a whole number from 0 to 2**64 - 1.")
        named = _pairs(model) if pairs is None else [(model.get_submodule(a), model.get_submodule(b)) for a, b in pairs]
        self._layers = [_Hidden(first, second, float(decay)) for first, second in named]
        self._optimizer, self._draw = optimizer, draw
        self._rate, self._maturity = float(rate), int(maturity)
        self._generator = torch.Generator().manual_seed(int(seed))

    def step(self) -> int:
        """Count the step that was made, and reset the units whose turn it is; how many were reset.

        Raises:
            ValueError: the model was not called since the last step.
        """
        found = [layer.due(self._rate, self._maturity) for layer in self._layers]
        for layer, units in zip(self._layers, found, strict=True):
            if len(units):
                seed = int(torch.randint(2**62, (), generator=self._generator))
                layer.renew(units, fresh(layer.first, seed, self._draw), self._optimizer)
        for layer, units in zip(self._layers, found, strict=True):  # last, since a reader may be new itself
            layer.silence(units, self._optimizer)
        return sum(map(len, found))

    def utilities(self) -> list[Tensor]:
        """Of the units of each layer, corrected for age; NaN for those without a step."""
        return [layer.utility() for layer in self._layers]

    def close(self) -> None:
        """Take the hooks off the model."""
        for layer in self._layers:
            layer.hook.remove()

    def __enter__(self) -> "ContinualBackprop":
        """The same."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the hooks off."""
        self.close()


class _Hidden:
    """The units between two layers: how useful and how old they are.

    Args:
        first: makes them, one in each row of its weight.
        second: reads them.
        decay: of the running mean.
    """

    def __init__(self, first: nn.Module, second: nn.Module, decay: float) -> None:
        _check(first, second)
        self.first: Any = first
        self.second: Any = second
        self.decay = decay
        units = len(self.first.weight)
        self.utilities = torch.zeros(units, device=self.first.weight.device)
        self.ages = torch.zeros(units, dtype=torch.long)
        self.owed = 0.0
        self.seen: list[Tensor] = []
        self.hook = second.register_forward_pre_hook(_watch(second, self.seen))

    def due(self, rate: float, maturity: int) -> Tensor:
        """Take the step in, and tell which units are to be reset."""
        if not self.seen:
            raise ValueError("ContinualBackprop.step() needs a forward pass in train mode before each step.")
        columns = self.seen.pop() * self.second.weight.detach().abs().transpose(0, 1).flatten(1).sum(1)
        self.utilities.lerp_(columns.view(len(self.ages), -1).sum(1).to(self.utilities), 1 - self.decay)
        self.ages += 1
        mature = (self.ages > maturity).nonzero()[:, 0]
        self.owed += rate * len(mature)
        count = min(math.floor(self.owed), len(mature))
        if not count:
            return mature[:0]
        self.owed -= count
        return mature[self.utility().cpu()[mature].argsort(stable=True)[:count]]

    def utility(self) -> Tensor:
        return self.utilities / (1 - self.decay ** self.ages.to(self.utilities))

    @torch.no_grad()
    def renew(self, units: Tensor, new: Any, optimizer: Optimizer) -> None:
        """Draw what makes these units anew."""
        self.utilities[units.to(self.utilities.device)] = 0.0
        self.ages[units] = 0
        for name, param in self.first.named_parameters(recurse=False):
            rows = units.to(param.device)
            param[rows] = new.get_parameter(name)[units].to(param)
            for part in _state(optimizer, param):
                part[rows] = 0.0

    @torch.no_grad()
    def silence(self, units: Tensor, optimizer: Optimizer) -> None:
        """Let nobody read these units."""
        weight = self.second.weight
        block = weight.shape[1] // len(self.ages)
        columns = (units[:, None] * block + torch.arange(block)).flatten().to(weight.device)
        for part in (weight, *_state(optimizer, weight)):
            part[:, columns] = 0.0


def _watch(layer: nn.Module, seen: list[Tensor]) -> Any:
    """A hook that keeps the mean size of what enters a layer; a plain function, which a copy of the model shares."""
    weight = layer.weight
    spatial = isinstance(layer, CONVOLUTIONS)

    def look(module: nn.Module, args: tuple[Any, ...]) -> None:
        # Passes that measure: of a copy, with other parameters, without gradients, within a transform.
        if module is not layer or module.weight is not weight or TRANSFORMS.peek_interpreter_stack() is not None:
            return
        if not (module.training and torch.is_grad_enabled()):
            return
        sizes = args[0].detach().abs()
        axis = sizes.ndim - len(layer.kernel_size) - 1 if spatial else -1  # type: ignore[arg-type]
        seen[:] = [sizes.movedim(axis, 0).flatten(1).mean(1)]

    return look


def _state(optimizer: Optimizer, param: Tensor) -> list[Tensor]:
    """What the optimizer holds for each entry of a parameter."""
    held = optimizer.state.get(param, {}).values()
    return [value for value in held if isinstance(value, Tensor) and value.shape == param.shape]


def _pairs(model: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Consecutive layers of a chain.

    Raises:
        ValueError: it is none.
    """
    chain: list[nn.Module] = []

    def walk(module: nn.Module) -> None:
        if isinstance(module, nn.Sequential):
            for part in module:
                walk(part)
        elif isinstance(module, LAYERS):
            chain.append(module)
        elif any(len(param.shape) > 1 for param in module.parameters()):
            raise ValueError(f"the order of the layers in a {type(module).__name__} is not known; {GIVE_PAIRS}.")

    walk(model)
    if len(chain) < 2:
        raise ValueError(
            f"the model has {len(chain)} linear and convolutional layers, and so no hidden units to reset."
        )
    return list(pairwise(chain))


def _check(first: nn.Module, second: nn.Module) -> None:
    for layer in (first, second):
        if not isinstance(layer, LAYERS) or not isinstance(layer._parameters.get("weight"), nn.Parameter):
            raise ValueError(
                f"ContinualBackprop got a {type(layer).__name__}; it knows linear and convolutional layers."
            )
    if getattr(second, "groups", 1) != 1:
        raise ValueError("ContinualBackprop cannot reset what a convolution in groups reads.")
    rows, columns = first.weight.shape[0], second.weight.shape[1]  # type: ignore[union-attr, index]
    if columns % rows or (columns != rows and not isinstance(second, nn.Linear)):
        raise ValueError(f"a layer makes {rows} units and the next reads {columns}; {GIVE_PAIRS}.")
