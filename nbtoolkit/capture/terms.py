"""Gradients of the named terms of a loss, taken when the user names them, before backward() uses the graph up."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.errors import WatchError
from nbtoolkit.numerics import random_states

NO_GRAPH = (
    "needs the graph of each term, and {name!r} has none{why}; call run.log_terms(...) with the terms themselves, "
    "before backward()"
)


def gradients(terms: Mapping[str, Any], params: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor | None]]:
    """The gradient of every term, by its name and by that of the parameter.

    Hooks on tensors and modules of the graph run for it too, as in any backward pass; random numbers that they draw
    are put back.

    Raises:
        WatchError: a term has no graph any more.
    """
    trained = {name: param for name, param in params.items() if param.requires_grad}
    found: dict[str, dict[str, Tensor | None]] = {}
    for name, term in terms.items():
        if not (isinstance(term, Tensor) and term.requires_grad):
            raise WatchError(NO_GRAPH.format(name=name, why=""))
        try:
            with torch.enable_grad(), random_states.shared_kept(term.device):
                whole = term.sum()
                grads = torch.autograd.grad(whole, list(trained.values()), retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            raise WatchError(NO_GRAPH.format(name=name, why=f" ({str(error).splitlines()[0]})")) from None
        found[name] = dict(zip(trained, grads, strict=True))
    return found


def added(
    one: Mapping[str, Mapping[str, Tensor | None]], other: Mapping[str, Mapping[str, Tensor | None]]
) -> dict[str, dict[str, Tensor | None]]:
    """Gradients of terms named more than once in a step, as when gradients are accumulated: their sums."""
    result = {term: dict(grads) for term, grads in one.items()}
    for term, grads in other.items():
        mine = result.setdefault(term, {})
        for name, grad in grads.items():
            before = mine.get(name)
            mine[name] = grad if before is None else before if grad is None else before + grad
    return result
