"""Permutations of the units of a model that leave what it computes as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

SHOWN = 3  # names in a message


class Block(NamedTuple):
    """Part of an axis: ``units`` of one group, each ``places`` wide; the group is empty where nothing moves."""

    group: str
    units: int
    places: int = 1


@dataclass(frozen=True)
class Symmetries:
    """Groups of units whose order a model does not depend on.

    Attributes:
        axes: for every entry of the state dict and each of its dims, the blocks of which that consists; none where
            nothing moves.
        sizes: units in each group.
        buffers: the entries that are no parameters. They move with their units, but do not count in distances.
        held: other hidden units, which cannot move: where, and in what.
    """

    axes: Mapping[str, tuple[tuple[Block, ...], ...]]
    sizes: Mapping[str, int]
    buffers: frozenset[str] = frozenset()
    held: tuple[str, ...] = ()

    def random_permutations(self, seed: int = 0) -> dict[str, Tensor]:
        """A permutation of each group, uniform and independent."""
        generator = torch.Generator().manual_seed(seed)
        return {group: torch.randperm(size, generator=generator) for group, size in self.sizes.items()}

    def identity(self) -> dict[str, Tensor]:
        """The permutations that move nothing."""
        return {group: torch.arange(size) for group, size in self.sizes.items()}

    def permuted(self, state: Mapping[str, Tensor], permutations: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict with its units in another order; entry ``i`` of a permutation is the unit that comes to ``i``.

        Groups that have no permutation stay as they are. The tensors are copies where something moves.

        Raises:
            ValueError: the state has an entry that the model lacks or of another shape.
        """
        self.check(state)
        return {
            name: self.moved(name, tensor, permutations, range(tensor.ndim)) for name, tensor in state.items()
        }  # fmt: skip

    def moved(
        self, name: str, tensor: Tensor, permutations: Mapping[str, Tensor], dims: range | tuple[int, ...]
    ) -> Tensor:
        """One entry, permuted along some of its dims only."""
        for dim in dims:
            if any(block.group in permutations for block in self.axes[name][dim]):
                tensor = tensor.index_select(dim, self._order(name, dim, permutations).to(tensor.device))
        return tensor

    def check(self, state: Mapping[str, Tensor]) -> None:
        """Refuse what is no state of this model.

        Raises:
            ValueError: naming the first entries that differ.
        """
        foreign = [name for name in state if name not in self.axes]
        if foreign:
            raise ValueError(
                f"the model has no {', '.join(foreign[:SHOWN])}; give a state dict of the same architecture"
            )
        for name, tensor in state.items():
            for dim, blocks in enumerate(self.axes[name]):
                width = sum(block.units * block.places for block in blocks)
                if tensor.ndim != len(self.axes[name]) or (blocks and tensor.shape[dim] != width):
                    raise ValueError(
                        f"{name} has shape {tuple(tensor.shape)}, which the model does not have there; give a state "
                        "dict of the same architecture"
                    )

    def _order(self, name: str, dim: int, permutations: Mapping[str, Tensor]) -> Tensor:
        parts, offset = [], 0
        for group, units, places in self.axes[name][dim]:
            order = permutations.get(group, torch.arange(units))
            parts.append(offset + (order[:, None] * places + torch.arange(places)).flatten())
            offset += units * places
        return torch.cat(parts)
