"""Warm starts: what a measurement of eigenpairs leaves to the next, and what may be expected from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nbtoolkit.numerics.subspace import Space, host

NEW = 1e-4  # squared length beyond a space below which a remembered direction has nothing new
# Of a warm start, set on two trainings with known eigenvalues (tests/benchmarks/curvature.py shows what they give):
UNKNOWN = 0.1  # share of what lies outside all that is known, taken to be as near as the nearest neighbour
SAFETY = 1.2  # by which the estimated error must be below the tolerance
LOOSE = 15.0  # times the tolerance that the residual may be
FAINT, NOISE = 0.3, 0.1  # weights in the scout of remembered vectors other than the runner-up, and of noise
APART = 0.3  # of the largest distance to the bulk that a value must have to be followed


@dataclass(frozen=True)
class Memory:
    """What a measurement leaves to the next: ``sum_i values[i] v_i v_i' + bulk (1 - sum_i v_i v_i')`` is the matrix.

    The last vector is the scout: where the matrix pointed outside all that was known.
    """

    vectors: Tensor  # (k, size)
    values: Tensor  # (k,) float64, ascending but for the last
    bulk: float  # mean of all other eigenvalues


class Beside:
    """A remembered matrix beside a measured space: exact where it was measured, remembered elsewhere.

    Of the blocks of the matrix in the span of both, only the one between remembered vectors is old; that between
    them and the basis follows from the image of the basis.
    """

    def __init__(self, space: Space, memory: Memory | None) -> None:
        self.space = space
        self.basis = space.basis[:0]
        self.cross = torch.zeros(0, len(space), dtype=torch.float64)
        inner = torch.zeros(0, 0, dtype=torch.float64)
        if memory is not None:
            along = memory.vectors @ space.basis.T
            beyond = host(memory.vectors @ memory.vectors.T) - host(along) @ host(along).T
            lengths, turn = torch.linalg.eigh(beyond)
            turn = turn[:, lengths > NEW] / lengths[lengths > NEW].sqrt()
            self.basis = turn.T.to(along) @ memory.vectors - (turn.T.to(along) @ along) @ space.basis
            self.cross = host(self.basis @ space.image.T)
            old = turn.T @ beyond
            inner = (old * (memory.values - memory.bulk)) @ old.T + memory.bulk * torch.eye(len(old)).double()
        top, bottom = torch.cat([space.inner, self.cross.T], 1), torch.cat([self.cross, inner], 1)
        self.values, self.y = torch.linalg.eigh(torch.cat([top, bottom]))

    def outside(self, y: Tensor) -> Tensor:
        """What the matrix makes of the measured part of vectors, by column of ``y``, outside the span of both."""
        measured = y[: len(self.space)]
        image = measured.T.to(self.basis) @ self.space.image - self.space.vectors(self.space.inner @ measured)
        return image - (self.cross @ measured).T.to(self.basis) @ self.basis

    def unmeasured(self, y: Tensor) -> Tensor:
        """The remembered part of vectors, by column of ``y``."""
        return y[len(self.space) :].T.to(self.basis) @ self.basis

    def memory(self, places: Sequence[int], scout: Tensor, bulk: float) -> Memory:
        """The eigenvectors at the given places, in ascending order, and a scout."""
        y = self.y[:, list(places)]
        length = torch.linalg.vector_norm(scout)
        scout = torch.where(length > 0, scout / length, 0.0)
        vectors = torch.cat([self.space.vectors(y[: len(self.space)]) + self.unmeasured(y), scout[None]])
        return Memory(vectors, torch.cat([self.values[list(places)], torch.tensor([bulk]).double()]), bulk)


def places(count: int, upper: int, lower: int) -> tuple[list[int], Tensor]:
    """Where the wanted pairs are among ``count`` in ascending order, the largest first; and the sign of their end."""
    high = [*range(count - 1, max(count - 1 - upper, -1), -1)]
    low = [i for i in range(min(lower, count) - 1, -1, -1) if i not in high]
    return high + low, torch.tensor([1.0] * len(high) + [-1.0] * len(low), dtype=torch.float64)


def usable(memory: Memory | None, size: int, upper: int, lower: int) -> Memory | None:
    """What is remembered, if it is of this size, enough for a start, and of values that stand apart from the bulk.

    The end of a dense bulk has no vector of its own that could be followed: starting afresh takes no more products.
    """
    if memory is None or memory.vectors.shape[1] != size or len(memory.values) < upper + lower + 2:
        return None
    distances = memory.values[:-1] - memory.bulk
    wanted, ends = places(len(distances), upper, lower)
    return memory if bool((ends * distances[wanted] >= APART * distances.abs().max()).all()) else None


def known(memory: Memory, upper: int, lower: int) -> Tensor:
    """The wanted eigenvectors as remembered."""
    return memory.vectors[places(len(memory.values) - 1, upper, lower)[0]]


def scout(memory: Memory, start: Tensor, upper: int, lower: int) -> Tensor:
    """One vector for all that could overtake the wanted ones."""
    count = len(memory.values) - 1
    weights = torch.full((1, count + 1), FAINT).to(memory.vectors)
    weights[0, places(count, upper, lower)[0]] = 0.0
    weights[0, [*[count - 1 - upper] * (upper > 0), *[lower] * (lower > 0), count]] = 1.0
    return weights @ memory.vectors + NOISE * start[:1] / torch.linalg.vector_norm(start[0])


def holds(memory: Memory, space: Space, upper: int, lower: int) -> bool:
    """Whether the remembered eigenvectors still have at least half of their values, seen from the bulk."""
    wanted, ends = places(len(memory.values) - 1, upper, lower)
    now = ends * (space.inner.diagonal()[: len(wanted)] - memory.bulk)
    return len(now) == len(wanted) and bool((now >= 0.5 * ends * (memory.values[wanted] - memory.bulk)).all())


def promised(
    values: Tensor, wanted: list[int], theta: Tensor, ends: Tensor, beyond: Tensor, bulk: float, scale: float,
    history: Sequence[Tensor],
) -> Tensor:  # fmt: skip
    """By how much each wanted value would still move outwards: second-order perturbation theory, and the trend."""
    least = 1e-3 * scale
    distances = (values[wanted, None] - values[None]).abs()
    distances[range(len(wanted)), wanted] = math.inf
    gap = distances.min(1).values.clamp(min=least)
    reach = (ends * (values[wanted] - bulk)).clamp(min=least)
    known = ends * (values[wanted] - theta)
    promised = known + torch.minimum(beyond, beyond**2 * ((1 - UNKNOWN) / reach + UNKNOWN / gap))
    if len(history) > 2:
        last, before = (ends * (history[-i] - history[-i - 1]) for i in (1, 2))
        ratio = (last / before.clamp(min=1e-12 * scale)).clamp(0, 0.9)
        promised = torch.maximum(promised, last.clamp(min=0) * ratio / (1 - ratio))
    return promised
