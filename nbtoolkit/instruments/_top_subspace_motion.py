"""How much of the gradient and of the update lies in the sharpest directions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.instruments._eigenpairs import FIRST_PRODUCTS, extremes
from nbtoolkit.instruments._probe import leaves
from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import hessian


@instrument(
    outputs={
        "gradient_share": Var((), "1", "share of the gradient in the top subspace", line="random_share"),
        "update_share": Var((), "1", "share of the update in the top subspace", line="random_share"),
        "random_share": Var((), "1", "share of a random direction"),
        "residual": Var((), "loss/param^2", "largest residual of the eigenvectors"),
    },
    cost=lambda s: FIRST_PRODUCTS + 4 * s["products"],
    every=100,
    reference="Gur-Ari, Roberts & Dyer (2018), arXiv:1812.04754, section 2",
)
def top_subspace_motion(
    loss_at: LossAt, params: Mapping[str, Tensor], updates: Mapping[str, Tensor | None],
    grads: Mapping[str, Tensor | None], memory: dict[str, Any], /, *, top: int = 5, tolerance: float = 1e-3,
    products: int = 100, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Share of a vector's squared norm in the span of the k largest eigenvalues' eigenvectors: |P_k v|^2 / |v|^2.

    P_k projects on the eigenvectors of the Hessian of the probe's loss, before the step; v is the gradient that the
    optimizer uses, or the update that it makes. A random direction among n has the share k/n. The eigenvectors are
    found by Lanczos, started from those of the last measurement, until their eigenvalues are known to ``tolerance``
    of the largest magnitude; ``residual`` is the largest ``|Hu - theta u|`` among them. ``products`` is the most to be
    spent, and what the declared cost counts.

    NaN for a vector that is zero.

    Raises:
        ValueError: an update is not known, since its parameter was replaced.
    """
    operator = hessian(loss_at, leaves(loss_at, params))
    found = extremes(operator, memory, largest=top, tolerance=tolerance, products=products, seed=seed)
    gradient = _joined(operator.flat, grads, params)
    lost = [name for name in operator.flat.names if updates.get(name) is None]
    if lost:
        raise ValueError(f"the update of {lost[0]} is not known: its parameter was replaced in this step")
    update = _joined(operator.flat, updates, params)
    return {
        "gradient_share": _share(found.vectors, gradient),
        "update_share": _share(found.vectors, update),
        "random_share": len(found.vectors) / operator.size,
        "residual": float(found.residuals.max()),
    }


def _joined(flat: Flat, tree: Mapping[str, Tensor | None], params: Mapping[str, Tensor]) -> Tensor:
    """One vector; zero where there is nothing."""
    parts = ((tree.get(name), params[name]) for name in flat.names)
    return flat.join([torch.zeros_like(param) if part is None else part for part, param in parts])


def _share(vectors: Tensor, v: Tensor) -> Tensor:
    v = v / torch.linalg.vector_norm(v)
    return torch.linalg.vector_norm(vectors @ v).square()
