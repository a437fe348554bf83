"""Copies of the parameters along a training, of bounded memory, and the plane in which they move most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nbtoolkit.numerics.flat import Flat

MOST = 64  # copies
BYTES = 2**28  # of all copies
CHUNK = 2**22  # coordinates hashed at once
ROUNDING = 1e-13  # of the largest entry of a projection
MIX = (-4658895280553007687, -7723592293110705685)  # multipliers of splitmix64, as signed integers
SKETCHED = (
    "{size} parameters are too many for {most} copies of them in {mega} MB, so that only a random projection of each "
    "was kept, which cannot be turned back into parameters"
)


class Trajectory:
    """The parameters at some steps: at most ``most`` copies, the first and the newest always among them.

    Of more, every second is dropped and those that follow are kept half as often. Copies are exact where ``most`` of
    them fit into ``memory``; else displacements from the first in half precision (to 5e-4 of the largest entry); else a
    random projection of them (count sketch), whose inner products are unbiased and off by about
    ``|a| |b| / sqrt(buckets)``.

    Args:
        most: copies kept.
        memory: bytes that they may take.
    """

    def __init__(self, most: int = MOST, memory: int = BYTES) -> None:
        if most < 3:
            raise ValueError(f"most={most}: a trajectory keeps at least 3 copies")
        self.most, self.memory = most, memory
        self._steps: list[int] = []
        self._spacing = 0
        self._restart: tuple = ()

    def __len__(self) -> int:
        """Copies held."""
        return len(self.steps)

    @property
    def steps(self) -> list[int]:
        """The steps of the copies, in order."""
        return self._steps

    @property
    def sketched(self) -> bool:
        """Whether only projections are held."""
        return bool(self.steps) and self._form == "sketch"

    def add(self, step: int, params: Mapping[str, Tensor]) -> None:
        """Take the parameters as they are now; a trajectory of other parameters ends, and this one begins."""
        shapes = tuple((name, tuple(tensor.shape), tensor.dtype, tensor.device) for name, tensor in params.items())
        if shapes != self._restart or (self.steps and step < self.steps[-1]):
            self._begin(shapes, params)
        if self.steps and (step == self.steps[-1] or (len(self) > 1 and step - self.steps[-2] < self._spacing)):
            self._drop(len(self) - 1)
        elif len(self) == self.most:
            self._thin()
        vector = self._flat.join([tensor.detach() for tensor in params.values()])
        self._keep(step, vector)

    def params(self, place: int) -> dict[str, Tensor]:
        """The parameters of one copy, by name.

        Raises:
            ValueError: only projections were kept.
        """
        weights = torch.zeros(len(self), dtype=torch.float64)
        weights[place] = 1.0
        return self.combined(weights, affine=True)

    def combined(self, weights: Tensor, *, affine: bool = False) -> dict[str, Tensor]:
        """``sum_i w_i (theta_i - theta_0)`` by name, or with ``affine`` that plus ``theta_0``.

        Args:
            weights: one for each copy.
            affine: whether the first copy is added.

        Raises:
            ValueError: only projections were kept.
        """
        if self.sketched:
            mega = self.memory // 2**20
            raise ValueError(SKETCHED.format(size=self._flat.size, most=self.most, mega=mega))
        if affine and self._form == "exact" and bool((weights != 0).sum() == 1) and bool((weights == 1).any()):
            total = self._rows[int(weights.argmax())].clone()  # the copy itself, to the last bit
        else:
            total = self._first.clone() if affine else torch.zeros_like(self._first)
            for place, weight in enumerate(weights.tolist()):
                if weight and place:
                    total.add_(self._displacement(place), alpha=weight)
        split = zip(self._restart, self._flat.split(total), strict=True)
        return {name: part.to(device, dtype) for (name, _, dtype, device), part in split}

    def inner(self) -> Tensor:
        """Inner products ``(theta_i - theta_0).(theta_j - theta_0)``, float64 on the host, ``(copies, copies)``."""
        return self._inner[: len(self), : len(self)].clone()

    def _begin(self, shapes: tuple, params: Mapping[str, Tensor]) -> None:
        self._restart, self._steps, self._rows, self._scales, self._spacing = shapes, [], [], [], 0
        self._flat = Flat(params)
        self._inner = torch.zeros(self.most + 1, self.most + 1, dtype=torch.float64)
        room = self.memory // (self.most * self._flat.size)  # bytes for a coordinate
        self._form = "exact" if room >= self._flat.dtype.itemsize else "half" if room >= 2 else "sketch"
        self.buckets = 2 ** ((self.memory // (4 * self.most)).bit_length() - 1)

    def _keep(self, step: int, vector: Tensor) -> None:
        scale = 1.0
        if self._form == "sketch":
            # Linear, so that the projection of the first is enough; in double, since displacements are much smaller.
            vector = count_sketch(vector, self.buckets)
        if not self.steps:
            self._first = vector
        row = vector if self._form == "exact" else vector - self._first
        if self._form == "sketch":
            noise = ROUNDING * float(self._first.abs().max())  # on a GPU sums are taken in any order
            row = torch.where(row.abs() > noise, row, 0.0).float()
        elif self._form == "half":
            scale = float(row.abs().max()) or 1.0
            row = (row / scale).half()
        self.steps.append(step)
        self._rows.append(row)
        self._scales.append(scale)
        new, last = self._displacement(len(self) - 1), len(self) - 1
        for place in range(len(self)):
            product = torch.dot(self._displacement(place).double(), new.double()) if place else 0.0
            self._inner[place, last] = self._inner[last, place] = float(product)

    def _displacement(self, place: int) -> Tensor:
        if self._form == "exact":
            return self._rows[place] - self._first
        return self._rows[place].to(self._flat.dtype) * self._scales[place]

    def _thin(self) -> None:
        self._spacing = 2 * max(self._spacing, (self.steps[-1] - self.steps[0]) // (self.most - 1), 1)
        for place in reversed(range(1, len(self) - 1, 2)):
            self._drop(place)

    def _drop(self, place: int) -> None:
        kept = [i for i in range(self.most + 1) if i != place] + [place]
        self._inner = self._inner[kept][:, kept]
        for held in (self.steps, self._rows, self._scales):
            del held[place]


class Passing(Trajectory):
    """A trajectory that takes the present parameters when it is first looked at: who does not look pays nothing.

    Args:
        kept: the copies so far.
        step: now.
        params: gives the parameters of now.
    """

    def __init__(self, kept: Trajectory, step: int, params: Callable[[], Mapping[str, Tensor]]) -> None:
        self.most, self.memory = kept.most, kept.memory
        self._kept, self._now = kept, (step, params)
        self._looked = False

    @property
    def steps(self) -> list[int]:
        """The steps of the copies, in order; the last is now."""
        return self._whole().steps

    @property
    def sketched(self) -> bool:
        """Whether only projections are held."""
        return self._whole().sketched

    def add(self, step: int, params: Mapping[str, Tensor]) -> None:
        """Take the parameters as they are now."""
        self._whole().add(step, params)

    def combined(self, weights: Tensor, *, affine: bool = False) -> dict[str, Tensor]:
        """See `Trajectory.combined`."""
        return self._whole().combined(weights, affine=affine)

    def inner(self) -> Tensor:
        """See `Trajectory.inner`."""
        return self._whole().inner()

    def _whole(self) -> Trajectory:
        if not self._looked:
            step, params = self._now
            self._kept.add(step, params())
            self._looked = True
        return self._kept


@dataclass(frozen=True)
class Plane:
    """Principal components of a trajectory about its newest point.

    ``coordinates`` ``(copies, components)`` in parameter norm, ``ratios`` of the total squared distance, and the
    ``weights`` ``(components, copies)`` of unit vectors as sums of displacements from the first copy.
    """

    coordinates: Tensor
    ratios: Tensor
    weights: Tensor


def principal(inner: Tensor, components: int) -> Plane:
    """Uncentred singular value decomposition of ``theta_t - theta_T`` from inner products of displacements.

    Args:
        inner: as `Trajectory.inner` gives them; the newest copy last.
        components: how many; fewer where the copies span less.
    """
    last = inner[-1]
    about = inner - last[None] - last[:, None] + last[-1]
    values, vectors = torch.linalg.eigh(about)
    values, vectors = values.flip(0).clamp(min=0.0), vectors.flip(1)
    total = values.sum()
    kept = [i for i in range(min(components, len(values))) if values[i] > 1e-12 * values[0]]
    roots, vectors = values[kept].sqrt(), vectors[:, kept]
    signs = torch.where(vectors[0] < 0, -1.0, 1.0)  # the first copy lies on the positive side
    weights = (vectors * signs / roots).T
    weights[:, -1] -= weights.sum(1)  # displacements are from the newest copy
    return Plane(vectors * signs * roots, values[kept] / total, weights)


def random_walk_ratios(steps: Sequence[int], components: int) -> Tensor:
    """What the same decomposition gives for a random walk in many dimensions, seen at the same steps."""
    remaining = torch.tensor([float(steps[-1] - step) for step in steps], dtype=torch.float64)
    values = torch.linalg.eigvalsh(torch.minimum(remaining[:, None], remaining[None])).flip(0)
    return (values / values.sum())[:components]


def count_sketch(vector: Tensor, buckets: int) -> Tensor:
    """Random projection of a vector to ``buckets`` (a power of two) signed sums of its entries, always the same.

    Float64.
    """
    bits = buckets.bit_length() - 1
    sketch = torch.zeros(buckets, dtype=torch.float64, device=vector.device)
    for start in range(0, len(vector), CHUNK):
        part = vector[start : start + CHUNK].double()
        mixed = torch.arange(start + 1, start + 1 + len(part), device=vector.device)
        for shift, factor in zip((30, 27), MIX, strict=True):
            mixed = (mixed ^ (mixed >> shift)) * factor
        mixed = mixed ^ (mixed >> 31)
        place = (mixed >> (63 - bits)) & (buckets - 1)
        sketch.index_add_(0, place, torch.where(mixed & 1 == 0, part, -part))
    return sketch
