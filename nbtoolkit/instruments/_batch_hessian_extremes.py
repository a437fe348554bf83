"""How much sharper the loss of a small batch is than that of all examples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.instruments._eigenpairs import FIRST_PRODUCTS, random_vectors
from nbtoolkit.instruments._probe import alike, leaves, shuffled
from nbtoolkit.numerics import elsewhere
from nbtoolkit.numerics.batched import BatchHessians
from nbtoolkit.numerics.lanczos import tridiagonal
from nbtoolkit.numerics.loss_at import LossAt, examples
from nbtoolkit.numerics.products import hessian

BYTES = 2**27  # of the Lanczos bases that grow together
MOST_ROWS = 16  # batches at once: more gains little, measured

UNITS = "loss/param^2"
BY_SIZE = ("batch_size",)
OF_SIZE = ("largest", "largest_spread", "smallest", "smallest_spread", "residual")


@instrument(
    outputs={
        "largest": Var(
            BY_SIZE, UNITS, "mean largest batch-Hessian eigenvalue", error="largest_spread", line="full_largest"
        ),
        "largest_spread": Var(BY_SIZE, UNITS, "standard deviation of the largest over batches"),
        "smallest": Var(
            BY_SIZE, UNITS, "mean smallest batch-Hessian eigenvalue", error="smallest_spread", line="full_smallest"
        ),
        "smallest_spread": Var(BY_SIZE, UNITS, "standard deviation of the smallest over batches"),
        "residual": Var(BY_SIZE, UNITS, "largest residual of the batch eigenvalues"),
        "full_largest": Var((), UNITS, "largest Hessian eigenvalue of all batches", error="full_residual"),
        "full_smallest": Var((), UNITS, "smallest Hessian eigenvalue of all batches", error="full_residual"),
        "full_residual": Var((), UNITS, "largest residual of the eigenvalues of all"),
    },
    cost=lambda s: (len(s["sizes"]) + 1) * (FIRST_PRODUCTS + 4 * s["steps"]),
    every=100,
    labels={"batch_size": lambda s: s["sizes"]},
    reference="Granziol, Zohren & Roberts (2022), arXiv:2006.09092",
)
def batch_hessian_extremes(
    loss_at: LossAt, params: Mapping[str, Tensor], /, *, sizes: Sequence[int] = (32, 64, 128, 256), steps: int = 20,
    seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Largest and smallest eigenvalue of the Hessian H_B of the loss of a batch of B examples, and of all batches.

    The probe is cut at random into equal batches of each size B; given are the mean and the standard deviation over
    them, by Lanczos from a random vector for each batch, ``steps`` products long. An eigenvalue of a batch lies within
    ``residual`` of what is found. The H_B of one size average to the Hessian H of all, so that by convexity the mean of
    the largest is never below the largest of H, nor the mean of the smallest above its smallest; dropout, and batch
    normalisation in train mode, break this, for H is then no such average. The deviation of a single batch is NaN.

    Of the probe as many examples are used as all sizes divide; a size above that of the probe is NaN.

    Raises:
        ValueError: the probe cannot be cut into examples, or has too few for batches of these sizes.
    """
    at = leaves(loss_at, params)
    whole = max(examples(batch) for _, batch in loss_at.weighted())
    inputs, targets = loss_at.arrays()
    fitting = [size for size in sizes if size <= len(inputs)]
    common = math.lcm(*fitting)
    used = len(inputs) // common * common if fitting else 0
    if not used:
        raise ValueError(
            f"the probe's {len(inputs)} examples do not make equal batches of each of {list(sizes)}: "
            f"it must have {common if fitting else min(sizes)} at least"
        )
    inputs, targets = (part[:used] for part in shuffled(loss_at, len(inputs), seed))
    found: dict[str, list[Tensor | None]] = {name: [] for name in OF_SIZE}
    for size in sizes:
        if size > used:
            row: Sequence[Tensor | None] = [None] * len(OF_SIZE)
        else:
            xs, ys = (part.unflatten(0, (-1, size)) for part in (inputs, targets))
            values, residuals = _of_batches(loss_at, at, xs, ys, steps, seed, max(1, whole // size))
            spread = values.std(0) if len(values) > 1 else torch.full((2,), torch.nan)
            row = [values[:, 0].mean(), spread[0], values[:, 1].mean(), spread[1], residuals.max()]
        for name, value in zip(OF_SIZE, row, strict=True):
            found[name].append(value)
    every = loss_at.with_probe(list(zip(inputs.split(whole), targets.split(whole), strict=True)))
    if (together := alike(loss_at)) is not None:
        every.together = replace(together, cut=False)
    operator = hessian(every, at)
    (largest, smallest), residuals = (part[0] for part in _lanczos(operator, operator, 1, steps, seed))
    return {**found, "full_largest": largest, "full_smallest": smallest, "full_residual": residuals.max()}


def _of_batches(
    loss_at: LossAt, at: Mapping[str, Tensor], inputs: Tensor, targets: Tensor, steps: int, seed: int, most: int
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Largest and smallest eigenvalue of each batch and their residuals, both ``(batches, 2)``.

    As many batches go together as make one of the probe, whose graph fits in memory, and as their bases allow.
    """
    size = sum(param.numel() for param in at.values())
    rows = max(1, min(most, MOST_ROWS, BYTES // (steps * size * 4)))
    starts = range(0, len(inputs), rows)
    groups = [(inputs[i : i + rows], targets[i : i + rows], seed + i) for i in starts]
    together, task = alike(loss_at), _Groups(loss_at, at, steps)
    if together is None:
        values, residuals = zip(*elsewhere.each(task, groups), strict=True)
        return torch.cat(values), torch.cat(residuals)
    known = torch.zeros(len(inputs), 2, 2, dtype=torch.float64)
    own = slice(together.rank, None, together.count)
    for start, pair in zip(starts[own], elsewhere.each(task, groups[own]), strict=True):
        known[start : start + rows] = torch.stack(pair, 1)
    (known,) = together.total([known])
    return known[:, 0], known[:, 1]


class _Groups:
    """Extreme eigenvalues and residuals of some batches that go together; of fewer at once where memory ends."""

    def __init__(self, loss_at: LossAt, at: Mapping[str, Tensor], steps: int) -> None:
        self.loss_at, self.at, self.steps, self.most = loss_at, at, steps, MOST_ROWS

    def __call__(self, group: tuple[Tensor, Tensor, int]) -> tuple[Tensor, Tensor]:
        inputs, targets, seed = group
        done, values, residuals = 0, [], []
        while done < len(inputs):
            chunk = slice(done, done + self.most)
            try:
                hessians = BatchHessians(self.loss_at, self.at, inputs[chunk], targets[chunk])
                pair = _lanczos(hessians, hessians.flat, hessians.rows, self.steps, seed + done)
            except torch.OutOfMemoryError:
                if len(inputs[chunk]) == 1:
                    raise
                self.most = len(inputs[chunk]) // 2
                continue
            values.append(pair[0])
            residuals.append(pair[1])
            done += hessians.rows
        return torch.cat(values), torch.cat(residuals)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs."""
        return {**self.__dict__, "loss_at": self.loss_at.portable()}


def _lanczos(product: Any, flat: Any, rows: int, steps: int, seed: int) -> tuple[Tensor, Tensor]:
    return tridiagonal(product, random_vectors(flat, rows, seed), steps).extremes()
