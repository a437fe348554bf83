"""Extreme eigenpairs for instruments: a seeded start, and a warm one from the last measurement."""

from typing import Any

import torch
from torch import Tensor

from nbtoolkit.numerics.lanczos import Eigenpairs, Product, extreme_eigenpairs

FIRST_PRODUCTS = 3  # forward passes for the gradient with its graph, before any product


def extremes(operator: Any, memory: dict[str, Any], *, products: int, seed: int, **wanted: Any) -> Eigenpairs:
    """Extreme eigenpairs of an operator; ``memory`` keeps them for the next time.

    Args:
        operator: has ``size``, ``device``, ``dtype``, and multiplies blocks.
        memory: of the instrument.
        products: at most.
        seed: of the first start vector.
        wanted: what `extreme_eigenpairs` takes: largest, smallest, tolerance.
    """
    start = random_vectors(operator, 1, seed)
    found = extreme_eigenpairs(operator, start, previous=memory.get("eigenpairs"), most=products, **wanted)
    memory["eigenpairs"] = found
    return found


def random_vectors(operator: Any, count: int, seed: int, *, signs: bool = False) -> Tensor:
    """Random vectors ``(count, size)`` of a generator of their own: normal, or signs (Rademacher).

    Drawn on the host, so that the same seed gives the same vectors on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (count, operator.size)
    if signs:
        drawn = torch.randint(0, 2, shape, generator=generator, dtype=torch.int8).to(operator.device, operator.dtype)
        return 2 * drawn - 1
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(operator.device, operator.dtype)


__all__ = ["FIRST_PRODUCTS", "Product", "extremes", "random_vectors"]
