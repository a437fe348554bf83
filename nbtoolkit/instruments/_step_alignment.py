"""Whether successive gradients, and gradient and update, point the same way."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nbtoolkit.instruments._base import Var, instrument

SUMS = ("gradient_cosine", "update_cosine", "sign_agreement", "counted")  # before they are divided
NORMS = ("size", "past_size", "length", "gradient_change")


def _derived(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    size, length = rows["size"], rows["length"]
    return {
        "gradient_cosine": np.ma.divide(rows["gradient_cosine"], size * rows["past_size"]),
        "update_cosine": np.ma.divide(-rows["update_cosine"], size * length),
        "sign_agreement": np.ma.divide((rows["counted"] + rows["sign_agreement"]) / 2, rows["counted"]),
        "gradient_change": rows["gradient_change"] ** 2,
    }


@instrument(
    outputs={
        "gradient_cosine": Var((), "1", "cosine between successive gradients", line=0.0),
        "update_cosine": Var((), "1", "cosine between update and negative gradient"),
        "sign_agreement": Var((), "1", "share of coordinates that the update moves downhill"),
        "gradient_change": Var((), "loss^2/param^2", "squared change of the gradient", scale="log"),
    },
    cost=lambda settings: 0,
    every=1,
    reference=(
        "Xing et al. (2018), arXiv:1802.08770 (successive gradients); "
        "Liang et al. (2024), arXiv:2411.16085, algorithm 1 (sign agreement)"
    ),
    derive=_derived,
    combine={**dict.fromkeys(SUMS, "sum"), **dict.fromkeys(NORMS, "norm")},
)
def step_alignment(
    grads: Mapping[str, Tensor | None], updates: Mapping[str, Tensor | None], memory: dict[str, Any], /
) -> dict[str, Tensor | None]:
    """Alignment of the gradient g_t with the one before and with the update u_t = theta_{t+1} - theta_t.

    ``gradient_cosine`` = cos(g_t, g_{t-1}), below 0 where steps overshoot; ``update_cosine`` = cos(-g_t, u_t), 1 for
    plain SGD; ``sign_agreement`` = share of the coordinates with g_t u_t < 0 among those where neither is 0;
    ``gradient_change`` = |g_t - g_{t-1}|^2. Over all parameters; one without a gradient counts as zero, one that was
    replaced is left out. The gradient before is that of the last measurement, so leave ``every`` at 1. Costs three
    copies of the parameters in memory.
    """
    names = [name for name, update in updates.items() if update is not None]
    moved = [update for update in updates.values() if update is not None]
    slopes = [
        torch.zeros_like(update) if grad is None else grad.to_dense() if grad.is_sparse else grad
        for grad, update in zip([grads.get(name) for name in names], moved, strict=True)
    ]
    layout = [(name, update.shape, update.dtype, update.device) for name, update in zip(names, moved, strict=True)]
    known = memory.get("layout") == layout
    if not known:
        memory.update(layout=layout, rows=_rows(moved))
    before, now, update = memory["rows"]
    memory["rows"] = (now, before, update)  # the next step's gradient takes the place of the older one
    _fill(now, slopes)
    _fill(update, moved)
    # Everything in place, with few kernels, and nothing waits for the device.
    size = torch.linalg.vector_norm(now)
    length = torch.linalg.vector_norm(update)
    along = torch.dot(now, update)
    signs = update.mul_(now).sign_()
    agreeing, counted = -signs.sum(), torch.dot(signs, signs)
    past = memory.get("size") if known else None
    across = None if past is None else torch.dot(now, before)
    change = None if past is None else torch.linalg.vector_norm(before.sub_(now))
    memory["size"] = size
    return {
        "gradient_cosine": across, "update_cosine": along, "sign_agreement": agreeing, "counted": counted,
        "gradient_change": change, "size": size, "past_size": past, "length": length,
    }  # fmt: skip


def _rows(like: list[Tensor]) -> tuple[Tensor, ...]:
    """Three vectors as long as the parameters together: two gradients in turn, and the update."""
    dtype = torch.float64 if any(tensor.dtype == torch.float64 for tensor in like) else torch.float32
    size = sum(tensor.numel() for tensor in like)
    return tuple(torch.zeros(size, device=like[0].device, dtype=dtype) for _ in range(3))


def _fill(row: Tensor, tensors: list[Tensor]) -> None:
    torch.cat([tensor.reshape(-1).to(row.device) for tensor in tensors], out=row)
