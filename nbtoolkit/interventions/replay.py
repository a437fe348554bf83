"""A memory of examples seen so far, to mix into later batches."""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as tree

from nbtoolkit.numerics.given import is_seed, is_whole, shown


class Reservoir:
    """A uniform sample of all examples seen so far, in bounded memory (reservoir sampling).

    After t examples each of them is kept with probability ``min(1, capacity / t)``, whatever their order; what is
    kept does not depend on how the stream was cut into batches::

        memory = Reservoir(200)
        for x, y in stream:
            loss = F.cross_entropy(model(x), y)
            if len(memory):
                old_x, old_y = memory.sample(len(x))
                loss = (loss + F.cross_entropy(model(old_x), old_y)) / 2
            ...
            memory.add(x, y)

    Examples are copied, on the device that the first batch is on. Random numbers come from a generator of its own.

    Args:
        capacity: examples kept at most.
        seed: of which examples are kept and of the samples.

    Raises:
        ValueError: the capacity is no whole number from 1 on, or the seed is none.

    Source: Vitter (1985), Random sampling with a reservoir, ACM TOMS 11, algorithm R; as replay memory: Chaudhry et
    al. (2019), On tiny episodic memories in continual learning, arXiv:1902.10486, algorithm 2.
    """

    def __init__(self, capacity: int, *, seed: int = 0) -> None:
        if not is_whole(capacity, 1):
            raise ValueError(f"Reservoir got capacity={shown(capacity)}; give a whole number of examples, 1 or more.")
        if not is_seed(seed):
            raise ValueError(f"Reservoir got seed={shown(seed)}; give a whole number from 0 to 2**64 - 1.")
        self.capacity, self.seen = int(capacity), 0
        self._generator = torch.Generator().manual_seed(int(seed))
        self._kept: list[Tensor] = []
        self._form: Any = None

    def __len__(self) -> int:
        """How many examples are kept."""
        return min(self.seen, self.capacity)

    def add(self, *batch: Any) -> None:
        """Offer the examples of one batch, each of which may take the place of one that is kept.

        Args:
            batch: inputs, targets and whatever else belongs to an example: tensors, or dicts, tuples and lists of
                them, all with the examples as their first dim.

        Raises:
            ValueError: there is no tensor, their lengths differ, or they are of another form or dtype than before.
        """
        leaves, form = tree.tree_flatten(batch)
        self._check(leaves, form)
        if not self._kept:
            self._form = form
            self._kept = [leaf.new_empty((self.capacity, *leaf.shape[1:])) for leaf in leaves]
        slots = self._slots(len(leaves[0]))
        if slots:
            to, source = (torch.tensor(list(part)) for part in (slots.keys(), slots.values()))
            for kept, leaf in zip(self._kept, leaves, strict=True):
                kept[to.to(kept.device)] = leaf.detach()[source.to(leaf.device)].to(kept)

    def sample(self, count: int) -> Any:
        """Some of the examples, drawn without replacement: a tuple of what `add` was given; all where there are fewer.

        Raises:
            ValueError: nothing was added yet, or the count is no whole number from 1 on.
        """
        if not is_whole(count, 1):
            raise ValueError(f"sample() got count={shown(count)}; give a whole number of examples, 1 or more.")
        if not len(self):
            raise ValueError("the memory is empty; add() examples first, or ask for len(memory).")
        chosen = torch.randperm(len(self), generator=self._generator)[: int(count)]
        return tree.tree_unflatten([kept[chosen.to(kept.device)] for kept in self._kept], self._form)

    def state_dict(self) -> dict[str, Any]:
        """What goes on from here: the examples, how many were seen, and the state of the generator."""
        kept = [kept[: len(self)].clone() for kept in self._kept]
        examples = tree.tree_unflatten(kept, self._form) if kept else ()
        return {"seen": self.seen, "examples": examples, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of a memory with the same capacity.

        Raises:
            ValueError: it holds another number of examples than this one would.
        """
        leaves, form = tree.tree_flatten(state["examples"])
        held, fits = len(leaves[0]) if leaves else 0, min(state["seen"], self.capacity)
        if held != fits:
            raise ValueError(
                f"this state holds {held} of {state['seen']} examples, where a memory with capacity={self.capacity} "
                f"has {fits}; make a Reservoir of the capacity that was saved."
            )
        self.seen, self._kept = state["seen"], []
        if leaves:
            self._form = form
            self._kept = [leaf.new_empty((self.capacity, *leaf.shape[1:])) for leaf in leaves]
            for kept, leaf in zip(self._kept, leaves, strict=True):
                kept[:held] = leaf
        self._generator.set_state(state["generator"])

    def _slots(self, count: int) -> dict[int, int]:
        """Slot -> index of the example in this batch that ends in it, for those that are written."""
        times = torch.arange(self.seen + 1, self.seen + count + 1, dtype=torch.float64)
        drawn = (torch.rand(count, generator=self._generator, dtype=torch.float64) * times).long()
        slots = torch.where(times > self.capacity, drawn, times.long() - 1).tolist()
        self.seen += count
        return {slot: index for index, slot in enumerate(slots) if slot < self.capacity}

    def _check(self, leaves: list[Any], form: Any) -> None:
        if not leaves or not all(isinstance(leaf, Tensor) and leaf.ndim for leaf in leaves):
            got = ", ".join(sorted({type(leaf).__name__ for leaf in leaves})) or "nothing"
            raise ValueError(f"add() got {got}; give tensors with the examples as their first dim: add(x, y).")
        if len({len(leaf) for leaf in leaves}) > 1:
            raise ValueError(f"add() got tensors of {', '.join(str(len(leaf)) for leaf in leaves)} examples.")
        if self._kept and (form != self._form or any(
            leaf.shape[1:] != kept.shape[1:] for leaf, kept in zip(leaves, self._kept, strict=True)
        )):  # fmt: skip
            raise ValueError("add() got examples of another form or shape than those that are kept.")
        for kept, leaf in zip(self._kept, leaves, strict=False):
            if leaf.dtype != kept.dtype:
                raise ValueError(f"add() got {leaf.dtype} where {kept.dtype} is kept; convert it to one dtype first.")
