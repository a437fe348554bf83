"""What this process holds of the tensors of an optimizer, and which of these numbers it is that counts them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nbtoolkit.capture import shards


class Holding:
    """The tensors of an optimizer as this process holds them; nothing here communicates.

    Args:
        tensors: by name.
        first: whether this process counts what all of them hold as a whole.

    Attributes:
        spread: whether any tensor is held by several processes together.
    """

    def __init__(self, tensors: Mapping[str, Tensor], *, first: bool = True) -> None:
        self._tensors = tensors
        self.spread = shards.any_distributed(tensors.values())
        self._counted = {name: shards.counts(t, first=first) for name, t in tensors.items()} if self.spread else {}

    def params(self) -> dict[str, Tensor]:
        """The parameters now, detached; of one that is spread the local shard."""
        if self.spread:
            return {name: shards.local(tensor) for name, tensor in self._tensors.items()}
        return {name: tensor.detach() for name, tensor in self._tensors.items()}

    def grads(self) -> dict[str, Tensor | None]:
        """The gradients now; None also where what is here is a summand only."""
        grads = {name: tensor.grad for name, tensor in self._tensors.items()}
        if not self.spread:
            return grads
        return {name: None if g is None or shards.is_sum(g) else shards.local(g) for name, g in grads.items()}

    def counted(self, held: dict[str, Any]) -> dict[str, Any]:
        """Of numbers of these tensors those that this process counts: empty where another one counts the same."""
        if not self.spread:
            return held
        return {
            name: part if part is None or self._counted.get(name, True) else part.new_empty(0)
            for name, part in held.items()
        }

    def spread_out(self, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Numbers of these tensors as tensors that processes hold together, as they hold the parameters."""
        known = self._tensors
        return {name: shards.like(known[name], part) if name in known else part for name, part in held.items()}
