"""Loss and error rate at many points of a plane through the parameters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nbtoolkit.numerics import elsewhere
from nbtoolkit.numerics.class_error import beside_loss
from nbtoolkit.numerics.first_layer import FirstLayer
from nbtoolkit.numerics.loss_at import LossAt, examples
from nbtoolkit.numerics.passes import CACHE, Seen, pieces
from nbtoolkit.numerics.statistics import with_statistics
from nbtoolkit.numerics.ways import Mapped, OneByOne

# Operations of one pass below which what comes with a pass takes longer than the pass itself, measured.
SMALL = {"cpu": 4e7, "cuda": 5e9}
MAPPED_CONVOLUTION = 4  # times slower than a plain one
AT_ONCE = {"cpu": 2**21, "cuda": 2**32}  # bytes of the largest activation of all points that are mapped at once
NEAR = (5e-2, 2.5e-3, 1e-4)  # of the first point: where a way must give the true value too, the first that is finite
ERRORS = 1e-3  # of the error rate that rounding may change, by which two scores are largest in turn
BLOCK = {"cpu": 2e9, "cuda": 2e13}  # operations after which to come up for air
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


class Values(NamedTuple):
    """What is known at some points, ``(points,)`` each, float64 on the host."""

    loss: Tensor
    error: Tensor


class Points:
    """The loss ``L(theta + sum_i c_i d_i)`` and the error rate there, at any coordinates ``c``.

    Nothing of the user's is touched: see `LossAt`. At the origin the loss is that of `LossAt` to the last bit.
    Elsewhere the examples may be cut into pieces, images be laid out with their channels innermost, the first layer be
    replaced by sums of its outputs, or points be mapped at once: what does not give the same values at the first point
    that is asked for, near the origin and at it is not used. The choice follows what those passes showed and not the
    clock, so that the same question always gets the same answer.

    Args:
        loss_at: the loss, over its whole probe.
        params: the origin, by name.
        directions: by name; what a direction lacks stays where it is.
        statistics: of normalisation layers, see `with_statistics`.

    Attributes:
        no_error: why there is no error rate, known after the first call; empty where there is one.
        together: points that are evaluated at once, known after the first call.
    """

    def __init__(
        self, loss_at: LossAt, params: Mapping[str, Tensor], directions: Sequence[Mapping[str, Tensor]], *,
        statistics: str = "frozen",
    ) -> None:  # fmt: skip
        self.no_error = ""
        self.params = {name: param.detach() for name, param in params.items()}
        self.directions = [{name: part.detach() for name, part in direction.items()} for direction in directions]
        self._given, self._statistics = loss_at, statistics
        self.there: Settled | None = None
        self._loss_at = beside_loss(with_statistics(loss_at, statistics), self._told)
        self._device = next(iter(self.params.values())).device
        self._plain = self._with(OneByOne)
        self._centre: Tensor | None = None
        self._way: Any = None
        self.together = 1

    def __call__(self, coordinates: Tensor) -> Values:
        """Loss and error rate at each row of ``coordinates`` ``(points, directions)``; NaN and infinity stay."""
        found = list(self.blocks(coordinates))
        nothing = torch.zeros(0, dtype=torch.float64)
        return Values(*(torch.cat([nothing, *(values[i] for values in found)]) for i in (0, 1)))

    def blocks(self, coordinates: Tensor) -> Iterator[Values]:
        """The same, in order, some points at a time: as many as are best evaluated together."""
        left = coordinates.double().cpu()
        while len(left):
            centre = left.ne(0).any(1).logical_not()
            if bool(centre[0]):
                yield Values(*self._at_centre()[None].unbind(1))
                left = left[1:]
                continue
            rows = left[: int(centre.float().argmax())] if bool(centre.any()) else left
            if self.there is None:
                self.there = Settled(self._given, self.params, self.directions, self._statistics, rows)
            if self._way is None:
                found = self._settled(rows)
                yield Values(*found.unbind(1))
                left = left[len(found) :]
                continue
            for found in elsewhere.each(self._way, rows.split(self.together), there=self.there):
                yield Values(*found.unbind(1))
            left = left[len(rows) :]

    def settle(self, rows: Tensor) -> Any:
        """The way in which points are evaluated, chosen by ``rows``: from those to their loss and error rate."""
        self._settled(rows)
        return self._way

    def _at_centre(self) -> Tensor:
        if self._centre is None:
            self._centre = self._evaluated(torch.zeros(1, len(self.directions)))[0]
        return self._centre

    def _evaluated(self, rows: Tensor) -> Tensor:
        """By the plain way; a loss that differentiates within itself fails there, and gets the gradients it needs."""
        try:
            return self._plain(rows)
        except RuntimeError as error:
            if "does not require grad" not in str(error):
                raise
            self._way = self._plain = self._with(OneByOne, with_grad=True)
            return self._plain(rows)

    def _settled(self, rows: Tensor) -> Tensor:
        """Values at some of the first rows, in the fastest way that gives the true values where that is checked."""
        seen = Seen()
        with seen:
            wanted = self._evaluated(rows[:1])
        self.together = max(1, min(256, int(BLOCK.get(self._device.type, 1e12) / max(seen.flops, 1e7))))
        if self._way is not None or self._loss_at.function is not None:
            self._way = self._way or self._plain
            return wanted
        near, there = self._near(rows[:1])
        wanted, known = torch.cat([wanted, there, self._at_centre()[None]]), self.no_error
        for way, first in self._ways(seen, rows[0]):
            together = getattr(way, "together", 1)
            try:
                found = way(torch.cat([rows[:together], near, torch.zeros_like(near)]))
            except Exception:  # whatever the model does not bear
                found = None
            if found is not None and self._agree(found[[0, -2, -1]], wanted):
                self._way, self.together = way, getattr(way, "together", self.together)
                return found[:-2]
            self.no_error = known
            if first is not None:
                first.restore()
        self._way = self._plain
        return wanted[:1]

    def _near(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """A point near the centre and the values there; finite ones if possible, since infinite losses always agree."""
        for factor in NEAR:
            near = factor * row
            found = self._evaluated(near)
            if bool(found[0, 0].isfinite()):
                break
        return near, found

    def _agree(self, found: Tensor, wanted: Tensor) -> bool:
        narrowest = max(torch.finfo(p.dtype).eps for p in self.params.values() if p.is_floating_point())
        close = min(100 * narrowest, 1e-2)
        return torch.allclose(found[:, 0], wanted[:, 0], rtol=close, atol=0.0, equal_nan=True) and torch.allclose(
            found[:, 1], wanted[:, 1], rtol=0.0, atol=max(close, ERRORS), equal_nan=True
        )

    def _ways(self, seen: Seen, row: Tensor) -> Iterator[tuple[Any, FirstLayer | None]]:
        """The ways worth a try, the fastest first."""
        kind = self._device.type
        model = self._loss_at.model
        largest = max(examples(batch) for _, batch in self._loss_at.weighted())
        images = any(isinstance(module, CONVOLUTIONS) for module in model.modules())
        if seen.flops * (MAPPED_CONVOLUTION if images else 1) < SMALL.get(kind, 0):
            together = max(1, min(1024, AT_ONCE[kind] // seen.bytes))
            yield from self._both(Mapped, row, largest, together=together)
        if self._statistics == "frozen" or not any(module.training for module in model.modules()):
            cut = self._statistics != "reestimated"
            most = max(1, CACHE.get(kind, 2**30) * largest // seen.bytes) if cut else largest
            if images and kind == "cpu":
                yield from self._both(OneByOne, row, most, channels_last=True)
            yield from self._both(OneByOne, row, most)

    def _both(self, way: Any, row: Tensor, most: int, **options: Any) -> Iterator[tuple[Any, FirstLayer | None]]:
        """With the first layer replaced, and without."""
        try:
            parts = pieces(self._loss_at, most, self._device, options.get("channels_last", False))
        except ValueError:
            return
        if self._statistics != "as trained":
            elsewhere = dict(self.params)
            for coordinate, direction in zip(row.tolist(), self.directions, strict=True):
                elsewhere |= {name: elsewhere[name] + coordinate * part for name, part in direction.items()}
            try:
                batches = [batch for _, batch in parts]
                first = FirstLayer(self._loss_at, self.params, self.directions, batches, elsewhere)
            except Exception:  # there is none, or the model does not bear the form of the pieces
                pass
            else:
                yield self._with(way, pieces=parts, first=first, **options), first
        yield self._with(way, pieces=parts, **options), None

    def _told(self, reason: str) -> None:
        self.no_error = reason

    def _with(self, way: Any, **options: Any) -> Any:
        return way(self._loss_at, self.params, self.directions, **options)


class Settled:
    """The evaluation of points in another process, in the way that `Points` settles on here: the same to the bit there.

    Args:
        loss_at: the loss, whose probe is read here.
        params: the origin, by name.
        directions: by name.
        statistics: of normalisation layers.
        rows: the points by which the way is chosen.
    """

    def __init__(
        self, loss_at: LossAt, params: Mapping[str, Tensor], directions: Sequence[Mapping[str, Tensor]],
        statistics: str, rows: Tensor,
    ) -> None:  # fmt: skip
        self._loss_at, self._arguments, self._rows = loss_at, (params, directions, statistics), rows
        self._way: Any = None

    def __call__(self, rows: Tensor) -> Tensor:
        """Loss and error rate at each row of coordinates, ``(points, 2)``."""
        if self._way is None:
            params, directions, statistics = self._arguments
            self._way = Points(self._loss_at, params, directions, statistics=statistics).settle(self._rows)
        return self._way(rows)

    def __getstate__(self) -> dict[str, Any]:
        """What the other process needs."""
        return {**self.__dict__, "_loss_at": self._loss_at.portable(), "_way": None}
