"""How many hidden units still take part."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.numerics import units
from nbtoolkit.numerics.given import is_finite, shown

BY_LAYER = ("layer",)
NO_HIDDEN = "no layer with a matrix takes in hidden units of the model"


@instrument(
    outputs={
        "total_dormant": Var((), "1", "share of dormant units"),
        "dormant": Var(BY_LAYER, "1", "share of dormant units by layer"),
        "dead": Var(BY_LAYER, "1", "share of dead units by layer"),
        "active": Var(BY_LAYER, "1", "share of active units by layer"),
        "distinct": Var(BY_LAYER, "1", "share of distinct units by layer"),
    },
    every=50,
    reference=(
        "Sokar et al. (2023), arXiv:2302.12902, definition 3.1; Dohare et al. (2024), arXiv:2306.13812 (dead); "
        "Joudaki et al. (2025), arXiv:2510.00304 (duplicates)"
    ),
)
def unit_activity(
    activations: Mapping[str, Tensor | None], /, *, threshold: float = 0.025, duplicate: float = 0.95
) -> dict[str, Any]:
    """Shares of the hidden units h_i that enter each layer, on the probe's examples.

    ``dormant``: units whose score E|h_i| / mean_k E|h_k|, k over the units of the layer, is at most ``threshold``; all
    units of a layer that is silent. ``total_dormant`` is the share in all layers together. ``dead``: units that are
    exactly 0 on all examples. ``active``: the mean over examples of the share of units above 0. ``distinct``: of the
    units that are not dead, those that are left when units whose absolute correlation over the examples is above
    ``duplicate`` are counted once, and chains of such units too; units that are constant count as one together.

    Of a convolution a unit is a channel, at each of its positions; of a sequence one of its features. A layer has none
    (NaN) where the model's own input enters it, it has no matrix, or is not called, and no ``distinct`` where there are
    more than 4096 units. Activations that are not finite give NaN.
    """
    for name, value in (("threshold", threshold), ("duplicate", duplicate)):
        if not is_finite(value) or not 0 <= value <= 1:
            raise ValueError(f"{name}={shown(value)}: expected a number from 0 to 1")
    known = [entering is not None and entering.numel() > 0 for entering in activations.values()]
    if not any(known):
        return dict.fromkeys(("total_dormant", "dormant", "dead", "active", "distinct"), Unknown(NO_HIDDEN))
    found: dict[str, Any] = {name: [] for name in ("dormant", "dead", "active", "distinct")}
    sleeping, total = 0.0, 0
    for entering in activations.values():
        row = None if entering is None or not entering.numel() else _shares(entering, threshold, duplicate)
        for name in found:
            found[name].append(None if row is None else row[name])
        if entering is not None and row is not None:
            sleeping, total = sleeping + row["dormant"] * entering.shape[1], total + entering.shape[1]
    return {"total_dormant": sleeping / total, **found}


def _shares(entering: Tensor, threshold: float, duplicate: float) -> dict[str, Any]:
    """Of one layer ``(examples, units, ...)``."""
    if not bool(torch.isfinite(entering).all()):
        return dict.fromkeys(("dormant", "dead", "active", "distinct"), float("nan"))
    count = entering.shape[1]
    distinct = units.distinct(entering, duplicate)
    return {
        "dormant": int(units.dormant(entering, threshold).sum()) / count,
        "dead": int(units.dead(entering).sum()) / count,
        "active": float(units.active(entering)),
        "distinct": None if distinct is None else distinct / count,
    }
