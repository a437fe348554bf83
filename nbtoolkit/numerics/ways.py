"""Ways to evaluate a loss along directions: one point after the other, or many mapped at once."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from nbtoolkit.numerics.class_error import wide
from nbtoolkit.numerics.first_layer import FirstLayer
from nbtoolkit.numerics.loss_at import SEED, Batch, LossAt
from nbtoolkit.numerics.passes import innermost
from nbtoolkit.numerics.per_example import without_guards

MOVED = {"cpu": 2**24, "cuda": 2**32}  # bytes of the parameters of all points that are mapped at once
Pieces = Sequence[tuple[float, Batch]]


class OneByOne:
    """Points in turn, the parameters written in place into tensors of our own.

    Args:
        loss_at: whose `on` gives the loss and what is missed, see `beside_loss`.
        params: the origin.
        directions: by name.
        pieces: of the probe, for a loss without random numbers; without them the batches as they are.
        first: replaces the first layer.
        channels_last: whether kernels get the channels as their innermost dim.
        with_grad: for losses that differentiate within themselves.
    """

    def __init__(
        self, loss_at: LossAt, params: Mapping[str, Tensor], directions: Sequence[Mapping[str, Tensor]], *,
        pieces: Pieces | None = None, first: FirstLayer | None = None, channels_last: bool = False,
        with_grad: bool = False,
    ) -> None:  # fmt: skip
        form = innermost if channels_last else lambda tensor: tensor
        self._loss_at, self._unguarded, self._pieces, self._first = loss_at, without_guards(loss_at), pieces, first
        self._origin = [form(param) for param in params.values()]
        self._at = dict(zip(params, [tensor.clone() for tensor in self._origin], strict=True))
        self._directions = [
            ([self._at[name] for name in direction], [form(part) for part in direction.values()])
            for direction in directions
        ]
        self._with_grad = with_grad

    def __call__(self, coordinates: Tensor) -> Tensor:
        """Loss and error rate ``(points, 2)`` at each row, float64 on the host."""
        guard = contextlib.nullcontext() if self._pieces is None else self._loss_at.undisturbed()
        with torch.set_grad_enabled(self._with_grad), guard:
            found = [self._point(row) for row in coordinates.tolist()]
        return torch.stack(found).cpu().double() if found else torch.zeros(0, 2, dtype=torch.float64)

    def _point(self, row: Sequence[float]) -> Tensor:
        with torch.no_grad():
            torch._foreach_copy_(list(self._at.values()), self._origin)
            for coordinate, (moved, parts) in zip(row, self._directions, strict=True):
                if coordinate and moved:
                    torch._foreach_add_(moved, parts, alpha=coordinate)
        at = {
            n: t.detach().requires_grad_(t.is_floating_point()) if self._with_grad else t for n, t in self._at.items()
        }
        if self._pieces is None:
            return summed([(weight, self._loss_at.on(batch, at)) for weight, batch in self._loss_at.weighted()])
        torch.default_generator.manual_seed(SEED)
        if self._origin[0].is_cuda:
            torch.cuda.default_generators[self._origin[0].get_device()].manual_seed(SEED)
        return _over_pieces(self._unguarded, self._pieces, self._first, row, at)


class Mapped:
    """Many points at once, by mapping the loss over the coordinates.

    Args:
        loss_at: whose `on` gives the loss and what is missed, see `beside_loss`.
        params: the origin.
        directions: by name.
        pieces: of the probe.
        first: replaces the first layer.
        together: points at once; halved where memory does not suffice.
    """

    def __init__(
        self, loss_at: LossAt, params: Mapping[str, Tensor], directions: Sequence[Mapping[str, Tensor]], *,
        pieces: Pieces, first: FirstLayer | None = None, together: int,
    ) -> None:  # fmt: skip
        self._loss_at, self._unguarded, self._pieces, self._first = loss_at, without_guards(loss_at), pieces, first
        # What only the replaced layer uses need not be moved.
        skipped = () if first is None else first.names
        self._params = dict(params)
        self._directions = [{n: part for n, part in d.items() if n not in skipped} for d in directions]
        self._like = next(iter(params.values()))
        moved = {name: params[name].nbytes for direction in self._directions for name in direction}
        self.together = max(1, min(together, MOVED.get(self._like.device.type, 2**28) // max(sum(moved.values()), 1)))

    def __call__(self, coordinates: Tensor) -> Tensor:
        """Loss and error rate ``(points, 2)`` at each row, float64 on the host."""
        dtype = torch.float64 if self._like.dtype == torch.float64 else torch.float32
        rows, done, found = coordinates.to(self._like.device, dtype), 0, []
        while done < len(rows):
            try:
                with torch.no_grad(), self._loss_at.undisturbed(), mappable():
                    found.append(vmap(self._point, randomness="same")(rows[done : done + self.together]))
                done += self.together
            except torch.OutOfMemoryError:
                if self.together == 1:
                    raise
                self.together //= 2
                torch.cuda.empty_cache()
        return torch.cat(found).cpu().double() if found else torch.zeros(0, 2, dtype=torch.float64)

    def _point(self, row: Tensor) -> Tensor:
        at = dict(self._params)
        for coordinate, direction in zip(row, self._directions, strict=True):
            at |= {name: at[name] + (coordinate * part).to(part.dtype) for name, part in direction.items()}
        return _over_pieces(self._unguarded, self._pieces, self._first, row, at)


def _over_pieces(
    loss_at: LossAt, pieces: Pieces, first: FirstLayer | None, row: Any, at: Mapping[str, Tensor]
) -> Tensor:
    """Mean loss and error rate ``(2,)`` of all pieces at the parameters ``at``, whose coordinates are ``row``."""
    values = []
    for place, (weight, batch) in enumerate(pieces):
        if first is not None:
            first.select(place, row)
        values.append((weight, loss_at.on(batch, at)))
    return summed(values)


def summed(values: Sequence[tuple[float, Any]]) -> Tensor:
    """Mean loss and error rate, ``(2,)``, of the parts of a probe; the loss added up as `LossAt` does.

    The error rate is that of all targets that count, not the mean of the parts' rates.
    """
    loss: Any = 0.0
    counts: Any = 0.0
    if len(values) == 1:  # fewer kernels
        loss, counts = values[0][1][0].detach(), values[0][1][1]
    else:
        for weight, (value, part) in values:
            loss, counts = loss + weight * value.detach(), counts + part
    return torch.stack([wide(loss), (counts[0] / counts[1]).to(loss.device)])


@contextlib.contextmanager
def mappable() -> Iterator[None]:
    """Attention by operations that can be mapped; no word about others that are mapped slowly."""
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
