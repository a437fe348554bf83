"""Weight matching: the order of one model's units in which its weights come closest to those of another."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from nbtoolkit.numerics.symmetries import Symmetries

SWEEPS = 100
Permutations = dict[str, Tensor]


def match(
    reference: Mapping[str, Tensor], state: Mapping[str, Tensor], symmetries: Symmetries, *, seed: int = 0,
    restarts: int = 3,
) -> Permutations:  # fmt: skip
    """Permutations P that make ``sum_entries |reference - P state|^2`` small, by coordinate descent.

    One group of units at a time is matched by a linear assignment, all others held fixed, in random order until no
    group improves; a group that meets itself (a residual stream within one matrix) only where the distance falls. A
    local minimum: the best of ``restarts`` starts is kept. The first start goes through the model from the ends that
    cannot move, matching each group by what is matched already, and so finds a permuted copy; the others are random.

    Args:
        reference: parameters by name; what else is in it is not looked at.
        state: of the same architecture; is to be permuted.
        symmetries: of the model.
        seed: of the order and of random starts.
        restarts: starts, 1 or more.

    Raises:
        ValueError: entries are missing or of another shape, their values are not finite, or there is no start.

    Source: Ainsworth et al. (2023), Git Re-Basin, arXiv:2209.04836, section 3.2 and algorithm 1.
    """
    if restarts < 1:
        raise ValueError(f"restarts={restarts}: weight matching needs at least 1 start")
    matching = _Matching(reference, state, symmetries)
    generator = torch.Generator().manual_seed(seed)
    best: Permutations = {}
    best_value = -float("inf")
    for start in range(restarts):
        drawn = int(torch.randint(2**31, (1,), generator=generator))
        first = matching.spread() if start == 0 else symmetries.random_permutations(drawn)
        found = matching.improved(first, generator)
        value = matching.similarity(found)
        if value > best_value:
            best, best_value = found, value
        if matching.is_exact(best):
            break
    return best


def distance(reference: Mapping[str, Tensor], state: Mapping[str, Tensor], names: Iterable[str]) -> float:
    """``|reference - state|`` over these entries, in their units."""
    squares = [(reference[name].double() - state[name].to(reference[name]).double()).square().sum() for name in names]
    return float(torch.stack([square.cpu() for square in squares]).sum().sqrt())


class _Matching:
    """Inner products of a reference with a permuted state, in float64 on the host."""

    def __init__(self, reference: Mapping[str, Tensor], state: Mapping[str, Tensor], symmetries: Symmetries) -> None:
        names = [name for name in symmetries.axes if name not in symmetries.buffers and name in state]
        missing = [name for name in names if name not in reference]
        if missing or not names:
            raise ValueError(f"the reference has no {', '.join(missing[:3]) or 'parameter'} to be matched with")
        self.symmetries = symmetries
        self.one, self.other = (
            {name: given[name].detach().cpu().double() for name in names} for given in (reference, state)
        )
        for given in (self.one, self.other):
            symmetries.check(given)
            if not all(bool(tensor.isfinite().all()) for tensor in given.values()):
                raise ValueError("parameters that are not finite cannot be matched")
        self.places: dict[str, list[tuple[str, int, int, int]]] = {group: [] for group in symmetries.sizes}
        for name in names:
            for dim, blocks in enumerate(symmetries.axes[name]):
                offset = 0
                for group, units, places in blocks:
                    if group:
                        self.places[group].append((name, dim, offset, places))
                    offset += units * places

    def spread(self) -> Permutations:
        """Each group matched by the entries all of whose other groups have been."""
        found: Permutations = {}
        waiting = list(self.places)
        while waiting:
            group = max(waiting, key=lambda group: self._share(self._seen(group, found), group))
            seen = self._seen(group, found)
            found[group] = _assigned(self._products(group, found, seen)) if seen else self.symmetries.identity()[group]
            waiting.remove(group)
        return found

    def improved(self, permutations: Permutations, generator: torch.Generator) -> Permutations:
        """A fixed point of the matching of single groups, from here."""
        found, groups = dict(permutations), list(permutations)
        for _ in range(SWEEPS):
            changed = False
            for place in torch.randperm(len(groups), generator=generator).tolist():
                group = groups[place]
                names = {name for name, *_ in self.places[group]}
                order = _assigned(self._products(group, found, self.places[group]))
                if torch.equal(order, found[group]):
                    continue
                moved = {**found, group: order}
                before, after = self.similarity(found, names), self.similarity(moved, names)
                if after > before + 1e-12 * abs(before):
                    found, changed = moved, True
            if not changed:
                break
        return found

    def similarity(self, permutations: Permutations, names: Iterable[str] | None = None) -> float:
        """``sum_entries <reference, P state>``: the larger, the closer."""
        return sum(
            float((self.one[name] * self._moved(name, permutations)).sum()) for name in (names or self.one)
        )  # fmt: skip

    def is_exact(self, permutations: Permutations) -> bool:
        """Whether the permuted state is the reference."""
        return all(torch.equal(self.one[name], self._moved(name, permutations)) for name in self.one)

    def _moved(self, name: str, permutations: Permutations, without: int | None = None) -> Tensor:
        dims = tuple(dim for dim in range(self.other[name].ndim) if dim != without)
        return self.symmetries.moved(name, self.other[name], permutations, dims)

    def _seen(self, group: str, found: Permutations) -> list[tuple[str, int, int, int]]:
        """Where a group stands with nothing but groups that are matched."""
        return [
            (name, dim, *rest)
            for name, dim, *rest in self.places[group]
            if all(
                block.group in found or not block.group
                for other, blocks in enumerate(self.symmetries.axes[name]) if other != dim for block in blocks
            )
        ]  # type: ignore[misc]  # fmt: skip

    def _share(self, seen: list[tuple[str, int, int, int]], group: str) -> float:
        """How much of what a group reads and writes is seen."""
        every, some = (sum(self.one[name].numel() for name, *_ in places) for places in (self.places[group], seen))
        return some / every

    def _products(self, group: str, permutations: Permutations, places: list[tuple[str, int, int, int]]) -> Tensor:
        """Inner products ``(units, units)`` of the weights of each unit in the two models."""
        units = self.symmetries.sizes[group]
        total = torch.zeros(units, units, dtype=torch.float64)
        for name, dim, offset, wide in places:
            one, other = (
                tensor.narrow(dim, offset, units * wide).movedim(dim, 0).reshape(units, -1)
                for tensor in (self.one[name], self._moved(name, permutations, dim))
            )
            total += one @ other.T
        return total


def _assigned(products: Tensor) -> Tensor:
    """The permutation with the largest sum."""
    from scipy.optimize import linear_sum_assignment

    _, columns = linear_sum_assignment(products.numpy(), maximize=True)
    return torch.as_tensor(columns)
