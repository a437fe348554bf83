"""Entries of the weights: the largest, those near zero, those that changed sign."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.numerics.given import is_finite, shown

BY_PARAM = ("param",)


def _derived(rows: Mapping[str, Any]) -> dict[str, Any]:
    size = np.ma.masked_array(rows["size"], np.ma.getmaskarray(rows["largest"]))
    total = np.ma.masked_equal(size.sum(axis=-1), 0)
    whole = {f"total_{key}": (rows[key] * size).sum(axis=-1) / total for key in ("flipped", "near_zero")}
    return {"total_largest": rows["largest"].max(axis=-1), **whole}


@instrument(
    outputs={
        "total_largest": Var((), "param", "largest weight"),
        "total_flipped": Var((), "1", "share of weights that changed sign"),
        "total_near_zero": Var((), "1", "share of weights near 0"),
        "largest": Var(BY_PARAM, "param", "largest weight by parameter"),
        "flipped": Var(BY_PARAM, "1", "share of weights that changed sign by parameter"),
        "near_zero": Var(BY_PARAM, "1", "share of weights near 0 by parameter"),
    },
    cost=lambda settings: 0,
    every=10,
    reference=(
        "Zhou et al. (2019), arXiv:1905.01067 (signs); Chen et al. (2024), arXiv:2310.05898 (largest: under Lion "
        "1/decay bounds it)"
    ),
    derive=_derived,
)
def weight_stats(
    params: Mapping[str, Tensor], initial_params: Mapping[str, Tensor], /, *, small: float = 1e-3
) -> dict[str, list[Any]]:
    """Largest |theta_i|, share of signs that changed, share near 0, by parameter tensor and over all of them.

    ``flipped``: the share of all entries that now have the other sign than where watching began; one that is or was 0
    has not flipped. ``near_zero``: the share with |theta_i| <= ``small`` times the root mean square of its tensor,
    which is all of one that is 0. Signs of a tensor whose shape has changed since are NaN, and count as kept in the
    total. Norm and distance are those of `weight_norm`. Costs one copy of the parameters in memory.
    """
    if not is_finite(small) or small < 0:
        raise ValueError(f"small={shown(small)}: expected a number of 0 or more")
    found: dict[str, list[Any]] = {"largest": [], "flipped": [], "near_zero": [], "size": []}
    for name, param in params.items():
        row = _of_tensor(param, initial_params.get(name), small) if param.numel() else (None, None, None)
        for key, value in zip(("largest", "flipped", "near_zero"), row, strict=True):
            found[key].append(value)
        found["size"].append(float(param.numel()))
    return found


def _of_tensor(param: Tensor, initial: Tensor | None, small: float) -> tuple[Tensor | None, ...]:
    """Nothing waits for the device."""
    size, count = param.abs(), param.numel()
    largest = size.max()
    rms = torch.linalg.vector_norm(size, dtype=torch.promote_types(size.dtype, torch.float32)) / count**0.5
    near = torch.count_nonzero(size <= small * rms) / count
    shares = [near.masked_fill(largest.isnan(), torch.nan), None]
    if initial is not None and initial.shape == param.shape and not param.is_complex():
        flipped = torch.count_nonzero(param.sign() * initial.sign() < 0) / count
        shares[1] = flipped.masked_fill(largest.isnan(), torch.nan)
    return largest, shares[1], shares[0]
