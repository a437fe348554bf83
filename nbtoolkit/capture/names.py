"""Names for the tensors an optimizer holds, taken from the models they belong to."""

import gc
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer

from nbtoolkit.errors import WatchError

WRAPPERS = (DataParallel, DistributedDataParallel)
HOOKS = "_optimizer_step_pre_hooks"  # of every optimizer that was made as one


def held(optimizer: Optimizer) -> list[Tensor]:
    """The tensors in the optimizer's groups, in order."""
    return [param for group in optimizer.param_groups for param in group["params"]]


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside `torch.compile`, data-parallel wrappers, and that of Lightning Fabric."""
    while True:
        inner = getattr(model, "_orig_mod", getattr(model, "_original_module", None))
        if inner is None and isinstance(model, WRAPPERS):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def innermost(optimizer: Any) -> Any:
    """The optimizer whose ``step()`` torch knows of, inside the wrappers of Lightning and Accelerate.

    Those are of its class, or of `Optimizer`, and have no step hooks of their own.
    """
    while isinstance(optimizer, Optimizer) and HOOKS not in vars(optimizer):
        inner = vars(optimizer).get("optimizer", vars(optimizer).get("_optimizer"))
        if not isinstance(inner, Optimizer):
            break
        optimizer = inner
    return optimizer


def named(optimizer: Optimizer, models: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Names of the optimizer's tensors.

    One model's own names where it is alone; ``variable.name`` where several models share the
    optimizer; ``group0.3`` for a tensor that belongs to none of them.
    """
    names: dict[int, str] = {}
    for variable, model in models.items():
        prefix = f"{variable}." if len(models) > 1 else ""
        for name, param in unwrapped(model).named_parameters():
            names.setdefault(id(param), prefix + name)
    result: dict[str, Tensor] = {}
    for index, group in enumerate(optimizer.param_groups):
        for place, param in enumerate(group["params"]):
            name = names.get(id(param), f"group{index}.{place}")
            result.setdefault(name if name not in result else f"group{index}.{place}", param)
    return result


def check_shared(model: nn.Module, optimizer: Optimizer) -> None:
    """Refuse what is no model, no optimizer, or a pair with no parameter in common."""
    if not isinstance(model, nn.Module):
        raise WatchError(f"watch() got a {type(model).__name__} as the model; it needs a torch.nn.Module.")
    if not isinstance(optimizer, Optimizer):
        raise WatchError(
            f"watch() got a {type(optimizer).__name__} as the optimizer; it needs a torch.optim.Optimizer "
            "(the order is watch(model, optimizer))."
        )
    own = {id(param) for param in model.parameters()}
    if not any(id(param) in own for param in held(optimizer)):
        raise WatchError(
            f"This {type(optimizer).__name__} holds no parameter of this {type(model).__name__}; "
            "pass the model whose parameters() it was made with."
        )


def models_of(optimizer: Optimizer, namespace: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The models whose parameters the optimizer holds: from the namespace, else from all of memory.

    The smallest model that owns every tensor wins; where none does, as many as are needed to name
    what can be named.
    """
    wanted = {id(param) for param in held(optimizer)}
    in_sight = {name: thing for name, thing in namespace.items() if _is_whole(thing) and not name.startswith("_")}
    chosen = _cover(wanted, in_sight)
    if chosen:
        return chosen
    # A model made inside a function is in no namespace we can see.
    everywhere = [thing for thing in gc.get_objects() if _is_whole(thing)]
    inside = {id(child) for thing in everywhere for child in thing.children() if not _is_wrapper(thing)}
    outermost = {f"model{i}": thing for i, thing in enumerate(everywhere) if id(thing) not in inside}
    return _cover(wanted, outermost)


def _is_whole(thing: Any) -> bool:
    """Whether this is a module whose making did not fail half-way."""
    return issubclass(type(thing), nn.Module) and "_modules" in getattr(thing, "__dict__", {})


def _is_wrapper(model: nn.Module) -> bool:
    return unwrapped(model) is not model


def _cover(wanted: set[int], models: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    owned = {name: {id(param) for param in unwrapped(model).parameters()} for name, model in models.items()}
    whole = [name for name, ids in owned.items() if wanted <= ids]
    if whole:
        best = min(whole, key=lambda name: len(owned[name]))
        return {best: models[best]}
    chosen: dict[str, nn.Module] = {}
    left = set(wanted)
    while left:
        best = max(owned, key=lambda name: (len(owned[name] & left), -len(owned[name])), default=None)
        if best is None or not owned[best] & left:
            break
        chosen[best] = models[best]
        left -= owned[best]
    return chosen


def variable_name(thing: Any, namespace: Mapping[str, Any]) -> str | None:
    """The name under which the namespace holds ``thing``, if it does."""
    return next((name for name, value in namespace.items() if value is thing and not name.startswith("_")), None)


def any_optimizer_besides(known: Iterable[Optimizer]) -> bool:
    """Whether an optimizer exists that is not among ``known``, nor a wrapper around one of them."""
    ids = {id(optimizer) for optimizer in known}
    return any(issubclass(type(thing), Optimizer) and id(innermost(thing)) not in ids for thing in gc.get_objects())


def is_stepping(thread: int) -> bool:
    """Whether another thread is within the ``step()`` of an optimizer."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_globals.get("__name__") == Optimizer.__module__:
            return True
        frame = frame.f_back
    return False


def is_called(optimizer: Optimizer) -> bool:
    """Whether this thread is within ``optimizer.step()``, as torch wraps it to call the hooks."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == Optimizer.__module__ and frame.f_locals.get("self") is optimizer:
            return True
        frame = frame.f_back
    return False
