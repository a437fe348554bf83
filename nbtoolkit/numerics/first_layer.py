"""The first layer of a network along directions: its outputs are affine in the coordinates, so computed only once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nbtoolkit.numerics.loss_at import Batch, LossAt
from nbtoolkit.numerics.per_example import without_guards

LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
PAYS = {"cpu": 64, "cuda": 256}  # multiply-adds for one output, from which on a sum of three tensors is cheaper
BYTES = 2**28  # of all outputs kept


class FirstLayer:
    """The first linear or convolutional layer of a model, replaced by ``P_0 + sum_i c_i P_i`` of known ``P``.

    Args:
        loss_at: the loss, through a copy of the model that is nobody else's; its first layer is changed.
        params: the origin, by name.
        directions: by name.
        batches: of the probe, in the order in which `select` counts them.
        elsewhere: other parameters, at which the layer must get the same inputs.

    Raises:
        ValueError: there is no such layer that it would pay to replace.
    """

    def __init__(
        self, loss_at: LossAt, params: Mapping[str, Tensor], directions: Sequence[Mapping[str, Tensor]],
        batches: Sequence[Batch], elsewhere: Mapping[str, Tensor],
    ) -> None:  # fmt: skip
        self._coordinates: Sequence[float] | Tensor = ()
        self._batch = 0
        with torch.no_grad(), loss_at.undisturbed():
            unguarded = without_guards(loss_at)
            layer = _first_called(unguarded, batches[0], params)
            if _multiplied(layer) < PAYS.get(next(iter(params.values())).device.type, 256):
                raise ValueError("the first layer is cheap")
            name = next(name for name, module in loss_at.model.named_modules() if module is layer)
            self.names = [loss_at.prefix + ".".join(filter(None, (name, key))) for key in _keys(layer)]
            own = dict(zip(self.names, layer.parameters(), strict=True))
            at = [{key: params.get(key, own[key].detach()) for key in self.names}]
            for direction in directions:
                at.append({key: direction.get(key, torch.zeros_like(own[key])) for key in self.names})
            self._terms = list(_terms(unguarded, layer, params, elsewhere, batches, at))
        self._layer = layer
        layer.forward = self._forward

    def restore(self) -> None:
        """Give the layer back what it does itself."""
        del self._layer.forward

    def select(self, batch: int, coordinates: Sequence[float] | Tensor) -> None:
        """Say which batch comes next and where the parameters are: numbers, or a vector of them that is mapped over."""
        self._batch, self._coordinates = batch, coordinates

    def _forward(self, _: Tensor) -> Tensor:
        origin, along = self._terms[self._batch]
        if isinstance(self._coordinates, Tensor):
            return (origin.view(-1) + self._coordinates.to(origin.dtype) @ along).view(origin.shape)
        at = origin.new_tensor(self._coordinates)
        return torch.addmv(origin.view(-1), along.t(), at).view(origin.shape)  # one pass over memory


class _Reached(Exception):
    """The layer is about to be called."""


def _terms(
    loss_at: LossAt, layer: nn.Module, params: Mapping[str, Tensor], elsewhere: Mapping[str, Tensor],
    batches: Sequence[Batch], at: Sequence[Mapping[str, Tensor]],
) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
    """Of each batch the outputs at the origin, and those ``(directions, outputs)`` along the directions."""
    kept = 0
    for batch in batches:
        inputs = _inputs(loss_at, layer, batch, params)
        if not torch.equal(inputs, _inputs(loss_at, layer, batch, elsewhere)):
            raise ValueError("what comes before the first layer has parameters")
        outputs = [functional_call(layer, dict(zip(_keys(layer), one.values(), strict=True)), (inputs,)) for one in at]
        kept += len(outputs) * outputs[0].numel() * outputs[0].element_size()
        if kept > BYTES:
            raise ValueError("the outputs of the first layer are too large to be kept")
        origin, *along = (output.contiguous() for output in outputs)
        yield origin, torch.stack(along).flatten(1)


def _first_called(loss_at: LossAt, batch: Batch, params: Mapping[str, Tensor]) -> Any:
    """The layer with parameters that the model calls first, and only once, if it is a linear one of its own."""
    called: list[nn.Module] = []
    weighted = [m for m in loss_at.model.modules() if next(m.parameters(recurse=False), None) is not None]
    handles = [m.register_forward_pre_hook(lambda module, _: called.append(module)) for m in weighted]
    try:
        loss_at.on(batch, params)
    finally:
        for handle in handles:
            handle.remove()
    if not called or called.count(called[0]) > 1 or not _replaceable(called[0], weighted):
        raise ValueError("the first layer is none that could be replaced")
    return called[0]


def _replaceable(layer: nn.Module, weighted: Sequence[nn.Module]) -> bool:
    plain = type(layer) in LINEAR and not (layer._forward_hooks or layer._forward_pre_hooks)
    owners = [id(param) for module in weighted for param in module._parameters.values()]
    return plain and all(owners.count(id(param)) == 1 for param in layer.parameters())


def _inputs(loss_at: LossAt, layer: nn.Module, batch: Batch, params: Mapping[str, Tensor]) -> Tensor:
    """What the layer is called with."""
    found: list[Tensor] = []

    def stop(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        found.append(arguments[0])
        raise _Reached

    handle = layer.register_forward_pre_hook(stop)
    try:
        loss_at.on(batch, params)
    except _Reached:
        pass
    finally:
        handle.remove()
    return found[0].detach()


def _keys(layer: nn.Module) -> list[str]:
    return [key for key, _ in layer.named_parameters()]


def _multiplied(layer: Any) -> int:
    """Multiply-adds for one output."""
    return layer.weight[0].numel()
