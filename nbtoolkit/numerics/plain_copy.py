"""A copy of a model without what spreads it over processes."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from nbtoolkit.numerics.shared_copy import NOT_COPIED, held

SPREADS = "torch.distributed."  # the package whose hooks and states are left out
STATES = "__composable_api_state_key"  # begins the names of attributes that hold them


def plain_copy(model: nn.Module, tensors: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the modules of a model around other parameters, as they were before `fully_shard`.

    Modules have their original classes, and all their hooks but those that gather and free parameters. The casts of
    a mixed-precision policy are such hooks too: the copy computes in the dtype of the parameters given.

    Args:
        model: which may be sharded; it is not changed.
        tensors: to stand in for its parameters, by name; others are shared.
        buffers: to stand in for its buffers, by name; others are shared.

    Raises:
        ValueError: the model holds something that cannot be copied.
    """
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    for tensor in held(model):
        if tensor.grad_fn is not None:  # copy.deepcopy refuses those
            memo.setdefault(id(tensor), tensor.detach().clone())
    for name, param in model.named_parameters(remove_duplicate=False):
        if name in tensors:
            memo[id(param)] = nn.Parameter(tensors[name].detach(), requires_grad=param.requires_grad)
    for name, buffer in model.named_buffers(remove_duplicate=False):
        if name in buffers:
            memo[id(buffer)] = buffers[name]
    shells = {module: original for module in model.modules() if (original := _original(type(module))) is not None}
    for module, original in shells.items():
        memo[id(module)] = original.__new__(original)
    try:
        for module in shells:
            state = {key: _without_hooks(value) for key, value in vars(module).items() if not key.startswith(STATES)}
            vars(memo[id(module)]).update(copy.deepcopy(state, memo))
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise ValueError(f"{NOT_COPIED}: {error}".splitlines()[0]) from None


def _original(kind: type) -> Any:
    """The class that `fully_shard` has derived this one from; None for one that it has not."""
    place = getattr(kind, "_orig_cls_mro_index", None)
    return None if place is None else kind.__mro__[place]


def _without_hooks(value: Any) -> Any:
    """The hooks of a module without those that spread it; anything else as it is."""
    if not isinstance(value, dict) or not any(map(_spreads, value.values())):
        return value
    return type(value)((key, hook) for key, hook in value.items() if not _spreads(hook))


def _spreads(hook: Any) -> bool:
    while callable(hook):
        if type(getattr(hook, "__self__", None)).__module__.startswith(SPREADS):
            return True
        hook = getattr(hook, "__wrapped__", None)
    return False
