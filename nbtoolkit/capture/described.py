"""What an optimizer says of itself: its rates, and its state by the names of its tensors."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def learning_rates(optimizer: Optimizer) -> list[Any]:
    """Of each group."""
    return [_copied(group.get("lr")) for group in optimizer.param_groups]


def momenta(optimizer: Optimizer) -> list[Any]:
    """Momentum, or the first beta, of each group."""
    return [_copied(group.get("momentum", group.get("betas", (None,))[0])) for group in optimizer.param_groups]


def state(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Kind, hyperparameters by group, and state by parameter name."""
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    place = {id(p): i for i, group in enumerate(optimizer.param_groups) for p in group["params"]}
    return {
        "kind": type(optimizer).__name__,
        "groups": groups,
        "group_of": {name: place[id(tensor)] for name, tensor in tensors.items()},
        "state": {name: optimizer.state.get(tensor, {}) for name, tensor in tensors.items()},
    }


def _copied(value: Any) -> Any:
    """A hyperparameter that is a tensor, copied: a schedule changes it in place."""
    return value.detach().clone() if isinstance(value, Tensor) else value
