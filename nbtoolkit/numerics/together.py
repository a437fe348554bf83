"""Sums that several processes make together, each from its part of the data of one probe."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from nbtoolkit.numerics.loss_at import Batch, LossAt, examples

Total = Callable[[list[Tensor]], list[Tensor]]
TOLERANCES = {torch.float64: 1e-12}  # within which the parts of a batch must make its loss, relative
TOLERANCE = 1e-5
DIGEST = 6  # bytes of a checksum, which float64 holds exactly


@dataclass(frozen=True)
class Together:
    """Processes that add up what each has computed.

    Args:
        rank: of this process among them.
        count: of processes.
        total: sums of tensors over all processes, the same bits on each; all must call it alike.
        alike: whether all have the same probe; else each has a part of one whole.
        cut: whether the batches themselves are cut into as many parts; else whole batches are dealt out.
        weight: of this process's probe in the whole, by examples.
    """

    rank: int
    count: int
    total: Total
    alike: bool = True
    cut: bool = False
    weight: float = 1.0

    def batches(self, loss_at: LossAt) -> list[tuple[float, Batch]]:
        """What this process evaluates of a probe, each batch with its share of the examples of all.

        At least one, of weight 0 if need be, so that what fails fails everywhere.
        """
        every = loss_at.weighted()
        if not self.alike:
            return [(self.weight * weight, batch) for weight, batch in every]
        if not self.cut:
            return every[self.rank :: self.count] or [(0.0, every[0][1])]
        parts = [self._part(weight, batch) for weight, batch in every]
        return [part for part in parts if part is not None] or [(0.0, every[0][1])]

    def rows(self, count: int) -> range:
        """Of ``count`` things those of this process, which lie side by side."""
        return range(count * self.rank // self.count, count * (self.rank + 1) // self.count)

    def table(self, row: list[float], device: torch.device) -> Tensor:
        """The numbers of all processes, one row each, float64 on the host."""
        known = torch.zeros(self.count, len(row), dtype=torch.float64)
        known[self.rank] = torch.tensor(row, dtype=torch.float64)
        return self.total([known.to(device)])[0].cpu()

    def least(self, value: float, device: torch.device) -> float:
        """The smallest of the values of all."""
        return float(self.table([value], device).min())

    def _part(self, weight: float, batch: Batch) -> tuple[float, Batch] | None:
        size = examples(batch)
        rows = self.rows(size)
        if not rows:
            return None
        return weight * len(rows) / size, _cut(batch, slice(rows.start, rows.stop), size)


def shared_out(loss_at: LossAt, params: Mapping[str, Tensor], together: Together) -> Together | None:
    """How a probe is shared out over processes; None where each computes all of it: the probe is a function.

    The same probe on all is dealt out in whole batches; where there are fewer than processes, its batches are cut, if
    the parts then make up the loss of the whole (not where examples depend on each other, nor where the loss is no
    plain mean over them). Different probes are parts of one, weighted by their examples. All processes must call this.

    Args:
        loss_at: the loss; its probe is read.
        params: where the parts are tried.
        together: the processes.
    """
    if loss_at.function is not None:
        return None
    device = next(iter(params.values())).device
    every = [batch for _, batch in loss_at.weighted()]
    own = sum(examples(batch) for batch in every)
    known = together.table([checksum(every), float(own)], device)
    if not bool((known[:, 0] == known[0, 0]).all()):
        return replace(together, alike=False, weight=own / float(known[:, 1].sum()))
    if len(every) >= together.count or _couples(loss_at.model):
        return together
    return _tried(loss_at, params, replace(together, cut=True), device)


def checksum(batches: list[Batch]) -> float:
    """A number that the same batches share, and no others."""
    digest = hashlib.blake2b(digest_size=DIGEST)
    for leaf in tree_leaves(batches):
        if isinstance(leaf, Tensor):
            digest.update(f"{leaf.dtype} {tuple(leaf.shape)}".encode())
            digest.update(leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(repr(leaf).encode())
    return float(int.from_bytes(digest.digest()))


def _tried(loss_at: LossAt, params: Mapping[str, Tensor], cut: Together, device: torch.device) -> Together:
    """Cut batches where their parts make up the loss; else whole ones."""
    with torch.no_grad():
        whole = loss_at(params)
        try:
            own = sum(weight * loss_at.on(batch, params) for weight, batch in cut.batches(loss_at))
        except ValueError:  # it cannot be cut, anywhere
            own = whole * torch.nan
    parts, wholes = cut.table([float(own), float(whole)], device).sum(0).tolist()
    tolerance = TOLERANCES.get(whole.dtype, TOLERANCE)
    return replace(cut, cut=0 < abs(wholes) and abs(parts - wholes / cut.count) <= tolerance * abs(wholes) / cut.count)


def _couples(model: nn.Module) -> bool:
    """Whether an example's loss depends on the others in its batch."""
    norms = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    return any(layer.training or layer.running_mean is None for layer in norms)


def _cut(part: Any, rows: slice, size: int) -> Any:
    if isinstance(part, Mapping):
        return {key: _cut(value, rows, size) for key, value in part.items()}
    if isinstance(part, (tuple, list)):
        return tuple(_cut(value, rows, size) for value in part)
    if not isinstance(part, Tensor) or part.ndim == 0 or len(part) != size:
        raise ValueError("the probe cannot be cut into examples")
    return part[rows]
