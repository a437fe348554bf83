"""How the content of one object is put back in place, so that it stays the object it is.

Each function notes what an object holds now and returns a function that makes it so again; that may be called twice.
"""

import copy
import functools
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nbtoolkit.capture.references import ABSENT
from nbtoolkit.numerics.random_states import of_generator

_Plain = type("_Plain", (), {})
Undo = Callable[[], None]


def of_storage(storage: torch.UntypedStorage) -> Undo:
    """The bytes of a tensor's memory. What is unchanged is not written: it may be mapped from a file to be read."""
    kept = storage.clone()

    def undo() -> None:
        if storage.nbytes() != kept.nbytes():
            storage.resize_(kept.nbytes())
        if storage.device.type != "cpu" or not torch.equal(_bytes(storage), _bytes(kept)):
            storage.copy_(kept)

    return undo


def of_tensor(tensor: Tensor) -> Undo:
    """What a tensor is besides its bytes: the memory that it shows, its gradient, its flags, its version."""
    flag, grad = tensor.requires_grad, tensor.grad if tensor.is_leaf else None
    version = None if tensor.is_inference() else torch.autograd._unsafe_preserve_version_counter(tensor)
    with torch.no_grad():
        shown = tensor.detach()
        kept = None if has_storage(tensor) else shown.clone()

    def undo() -> None:
        with torch.no_grad():
            if _layout(tensor) != _layout(shown):
                tensor.data = shown
            if kept is not None and kept.layout is torch.strided:
                tensor.data.copy_(kept)
            elif kept is not None:
                tensor.data = kept.clone()
        if tensor.is_leaf:
            if tensor.requires_grad != flag:
                tensor.requires_grad_(flag)
            if tensor.grad is not grad:
                tensor.grad = grad
        if version is not None:  # a graph kept from before still counts
            version.__exit__()

    return undo


def of_array(array: np.ndarray) -> Undo:
    """The values of a NumPy array; of objects, which ones they are."""
    kept = array.copy()

    def undo() -> None:
        if array.shape != kept.shape:
            array.resize(kept.shape, refcheck=False)
        if not array.flags.writeable:  # it was, else nothing would be kept
            array.flags.writeable = True
        array[...] = kept

    return undo


def of_list(items: Any) -> Undo:
    """The items of a list, a deque or a bytearray."""
    kept = list(items)

    def undo() -> None:
        if len(items) == len(kept) and all(a is b for a, b in zip(items, kept, strict=True)):
            return
        if isinstance(items, deque):
            items.clear()
            items.extend(kept)
        else:
            items[:] = kept

    return undo


def of_dict(mapping: dict[Any, Any]) -> Undo:
    """The keys of a dict, their order, and their values."""
    kept = list(mapping.items())
    base: Any = OrderedDict if isinstance(mapping, OrderedDict) else dict

    def undo() -> None:
        now = mapping.items()
        if len(now) == len(kept) and all(k is j and v is u for (k, v), (j, u) in zip(now, kept, strict=True)):
            return
        base.clear(mapping)
        for key, value in kept:
            base.__setitem__(mapping, key, value)

    return undo


def of_set(elements: set[Any]) -> Undo:
    """The elements of a set."""
    kept = elements.copy()

    def undo() -> None:
        if elements != kept:
            elements.clear()
            elements.update(kept)

    return undo


def of_attributes(thing: Any, names: list[str]) -> Undo:
    """Attributes that are in no dict: slots, and those of a class."""
    kept = [(name, getattr(thing, name, ABSENT)) for name in names]

    def undo() -> None:
        for name, value in kept:
            now = getattr(thing, name, ABSENT)
            if value is ABSENT and now is not ABSENT:
                delattr(thing, name)
            elif now is not value:
                setattr(thing, name, value)

    return undo


def attributes(thing: Any) -> dict[str, Any] | None:
    """The dict that holds the attributes of an object, if it has one."""
    try:
        held = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None
    return held if isinstance(held, dict) else None


def slots(thing: Any) -> list[str]:
    """The names of the attributes of an object that are in no dict."""
    return [name for kind in type(thing).__mro__ for name in _slots(kind) if name not in ("__dict__", "__weakref__")]


def is_partly_hidden(thing: Any) -> bool:
    """Whether an object holds something besides its attributes, as those written in C do."""
    plain = _Plain.__basicsize__ + len(slots(thing)) * tuple.__itemsize__
    return type(thing).__basicsize__ > plain and not isinstance(thing, str | bytes | int | float | complex)


def of_its_own(kind: type) -> list[tuple[str, Any]]:
    """What a class holds, besides what belongs to how it is made."""
    made = FunctionType | staticmethod | classmethod | property
    return [
        (name, value) for name, value in vars(kind).items()
        if not (isinstance(value, made) or name.startswith("__") or hasattr(type(value), "__get__"))
    ]  # fmt: skip


def of_state_dict(thing: Any) -> Undo:
    """What an object says itself that its state is."""
    kept = copy.deepcopy(thing.state_dict())
    return lambda: thing.load_state_dict(copy.deepcopy(kept))


def of_grad_mode() -> Undo:
    """Whether operations on this thread are recorded for gradients."""
    return functools.partial(torch._C._set_grad_enabled, torch.is_grad_enabled())


def of_random_numbers() -> Undo:
    """The states of the random numbers that all share: of Python, NumPy and torch, on all devices in use."""
    undoes = [of_generator(random._inst), of_generator(np.random.mtrand._rand), of_generator(torch.default_generator)]  # type: ignore[attr-defined]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        undoes += [of_generator(generator) for generator in torch.cuda.default_generators]
    return lambda: [undo() for undo in undoes if undo is not None].clear()


def reseed(generators: list[Any], seed: int) -> None:
    """Begin all random numbers anew: those that all share, and these generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - what user code draws from
    torch.manual_seed(seed)
    for place, generator in enumerate(generators, 1):
        own = (seed + 0x9E3779B97F4A7C15 * place) % 2**63  # none of them draws what another draws
        if isinstance(generator, torch.Generator):
            generator.manual_seed(own)
        elif isinstance(generator, random.Random):
            generator.seed(own)
        elif isinstance(generator, np.random.RandomState):
            generator.seed(own % 2**32)
        else:
            bits: Any = getattr(generator, "bit_generator", generator)
            bits.state = type(bits)(own).state


def has_storage(tensor: Tensor) -> bool:
    """Whether the values lie in memory of the tensor's own: not those of a sparse tensor, or of a wrapper."""
    try:
        return tensor.layout is torch.strided and tensor.untyped_storage() is not None and not tensor.is_meta
    except (NotImplementedError, RuntimeError):
        return False


def _layout(tensor: Tensor) -> Any:
    if not has_storage(tensor):
        return (tensor.shape, tensor.dtype)
    storage = tensor.untyped_storage()._cdata
    return (storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)


def _bytes(storage: torch.UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _slots(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    names = {slots} if isinstance(slots, str) else set(slots) - {"__dict__", "__weakref__"}
    return [f"_{kind.__name__.lstrip('_')}{n}" if n.startswith("__") and not n.endswith("__") else n for n in names]
