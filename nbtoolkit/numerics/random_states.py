"""States of generators of random numbers, and those of a data loader left as they were."""

import contextlib
import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DEPTH = 5  # loader, batch sampler, sampler, data set, its transforms
WIDTH = 64  # of lists that are looked into: parts of a data set, not its examples
OPAQUE = (Tensor, nn.Module, np.ndarray, type, str, bytes)


@contextlib.contextmanager
def kept(holder: Any) -> Iterator[None]:
    """Generators in the attributes of a loader, its samplers and its data set have afterwards the states from before.

    Args:
        holder: with generators of torch, numpy or `random` in its attributes, in theirs, and so on.
    """
    restores: list[Callable[[], None]] = [restore for one in _reached(holder) if (restore := of_generator(one))]
    try:
        yield
    finally:
        for restore in restores:
            restore()


def shared(device: torch.device) -> list[torch.Generator]:
    """The generators of torch that code on a device draws from."""
    own = [torch.cuda.default_generators[device.index or 0]] if device.type == "cuda" else []
    return [torch.default_generator, *own]


@contextlib.contextmanager
def shared_kept(device: torch.device) -> Iterator[None]:
    """The shared generators of Python, NumPy, torch and this device have afterwards their states from before."""
    generators = shared(device)
    states = [generator.get_state() for generator in generators]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - what user code draws from
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _reached(holder: Any) -> list[Any]:
    """The objects that its attributes lead to, breadth first, each once."""
    found, level = {id(holder): holder}, [holder]
    for _ in range(DEPTH):
        parts = [part for one in level for part in _parts(one)]
        level = list({id(part): part for part in parts if id(part) not in found}.values())
        found |= {id(part): part for part in level}
    return list(found.values())


def _parts(one: Any) -> list[Any]:
    if isinstance(one, OPAQUE):
        return []
    if isinstance(one, (list, tuple)):
        return list(one) if len(one) <= WIDTH else []
    if isinstance(one, dict):
        return list(one.values()) if len(one) <= WIDTH else []
    return list(getattr(one, "__dict__", {}).values())


def of_generator(one: Any) -> Callable[[], None] | None:
    """What puts a generator back into the state in which it is now, any number of times; None for anything else."""
    if isinstance(one, torch.Generator):
        state = one.get_state()
        return lambda: (one.set_state(state), None)[1]
    if isinstance(one, random.Random):
        if isinstance(one, random.SystemRandom):  # has no state
            return lambda: None
        drawn = one.getstate()
        return lambda: one.setstate(drawn)
    if isinstance(one, np.random.RandomState):
        words = one.get_state()
        return lambda: one.set_state(words)
    bits: Any = one.bit_generator if isinstance(one, np.random.Generator) else one
    if isinstance(bits, np.random.BitGenerator):
        kept = copy.deepcopy(bits.state)
        return lambda: setattr(bits, "state", kept)
    return None
