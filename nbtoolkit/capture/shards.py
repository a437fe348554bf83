"""Parameters that several processes hold together: which of their numbers this process counts."""

import gc
import itertools
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from nbtoolkit.capture import names


def is_distributed(tensor: Tensor | None) -> bool:
    """Whether several processes hold the tensor together (a DTensor); needs nothing loaded that is not."""
    return tensor is not None and "torch.distributed.tensor" in sys.modules and hasattr(tensor, "_local_tensor")


def local(tensor: Tensor) -> Tensor:
    """The numbers that this process holds, without any communication; a view."""
    held: Any = tensor
    return held._local_tensor.detach() if is_distributed(tensor) else tensor.detach()


def counts(tensor: Tensor, *, first: bool) -> bool:
    """Whether it is this process that counts the numbers it holds, of all that hold the same.

    Args:
        tensor: a parameter.
        first: whether what every process holds as a whole is counted here.
    """
    held: Any = tensor
    if not is_distributed(tensor):
        return first
    place = held.device_mesh.get_coordinate()
    axes = zip(place, held.placements, strict=True) if place is not None else ()
    return place is not None and not any(along and placement.is_replicate() for along, placement in axes)


def is_sum(tensor: Tensor) -> bool:
    """Whether the numbers that processes hold are still to be added up."""
    held: Any = tensor
    return is_distributed(tensor) and any(placement.is_partial() for placement in held.placements)


def whole(tensor: Tensor) -> Tensor:
    """The full tensor; collective where several processes hold it together."""
    spread: Any = tensor.detach()
    return spread.full_tensor() if is_distributed(tensor) else spread


def like(tensor: Tensor, held: Tensor) -> Tensor:
    """The numbers that this process holds of a tensor that is spread over processes as another one is.

    Args:
        tensor: the other one.
        held: the numbers.
    """
    if not is_distributed(tensor):
        return held
    known: Any = tensor.detach()
    return type(known).from_local(
        held, known.device_mesh, known.placements, run_check=False, shape=known.shape, stride=known.stride()
    )


def any_distributed(tensors: Iterable[Tensor]) -> bool:
    """Whether any of the tensors is held by several processes together."""
    return any(is_distributed(tensor) for tensor in tensors)


def sharded(optimizer: Optimizer) -> bool:
    """Whether this process holds a part only of some tensor of the optimizer."""
    held: list[Any] = [tensor for tensor in names.held(optimizer) if is_distributed(tensor)]
    return any(not placement.is_replicate() for tensor in held for placement in tensor.placements)


def apart(optimizer: Optimizer, models: Mapping[str, nn.Module], count: int) -> str:
    """Why the processes of this job do not train these models together, as far as can be seen; empty where they do.

    Args:
        optimizer: of this process.
        models: whose parameters it holds.
        count: of processes.
    """
    tensors: list[Any] = names.held(optimizer)
    meshes = [tensor.device_mesh for tensor in tensors if is_distributed(tensor)]
    if meshes:
        small = [mesh for mesh in meshes if mesh.size() != count]
        return f"the parameters are spread over {small[0].size()} of the {count} processes of the job" if small else ""
    wrapper = _wrapper(tensors, models)
    if wrapper is None:
        return (
            f"{count} processes train here, and nothing shows that they train one model: it is in no "
            "DistributedDataParallel, and fully_shard was not called on it"
        )
    size = wrapper.process_group.size() if wrapper.process_group is not None else count
    return "" if size == count else f"this model is trained by {size} of the {count} processes of the job"


def class_name(model: nn.Module) -> str:
    """The name of a model's class, as the user wrote it: `fully_shard` makes another one of it."""
    kind = type(names.unwrapped(model))
    first, *rest = kind.__bases__
    return rest[0].__name__ if first.__name__ == "FSDPModule" and rest else kind.__name__


def reached_by(tensors: Iterable[Tensor], models: Iterable[nn.Module]) -> set[int]:
    """The ids of what stands in the graph of a loss of these tensors: themselves, or what stands in for them."""
    held = list(tensors)
    ids = {id(tensor) for tensor in held}
    return ids | {id(one.full) for one in (stand_ins(models) if any_distributed(held) else ()) if id(one.shard) in ids}


class StandIn:
    """A full tensor that stands for a shard in the graph of a loss, as `fully_shard` makes it for a while.

    Args:
        full: the tensor that is in the graph.
        shard: the parameter that the optimizer holds.
        graded: whether it holds a gradient that the shard has not been given.
    """

    def __init__(self, full: Tensor, shard: Tensor, *, graded: bool) -> None:
        self.full, self.shard, self.graded = full, shard, graded


def stand_ins(models: Iterable[nn.Module]) -> list[StandIn]:
    """The full tensors that stand for the parameters of these models now."""
    found = []
    for model in models:
        for module in model.modules():
            state = getattr(module, "_get_fsdp_state", lambda: None)()
            for group in getattr(state, "_fsdp_param_groups", ()):
                for one in getattr(group, "fsdp_params", ()):
                    full = getattr(one, "_unsharded_param", None)
                    if full is not None:
                        kept = getattr(one, "unsharded_accumulated_grad", None)
                        found.append(StandIn(full, one.sharded_param, graded=full.grad is not None or kept is not None))
    return found


def _wrapper(tensors: Iterable[Tensor], models: Mapping[str, nn.Module]) -> DistributedDataParallel | None:
    """The data-parallel wrapper around what the optimizer trains: it may be held elsewhere than the model."""
    wanted = {id(tensor) for tensor in tensors if tensor.requires_grad}
    known = [model for model in models.values() if isinstance(model, DistributedDataParallel)]
    # By its bases: that it has an abstract one makes `issubclass` slow, over all objects there are.
    others = (thing for thing in gc.get_objects() if DistributedDataParallel in type(thing).__mro__)
    for wrapper in itertools.chain(known, others):
        if "module" in wrapper.__dict__.get("_modules", ()) and wanted & {id(param) for param in wrapper.parameters()}:
            return wrapper
    return None
