"""Sharpness: the largest eigenvalue of the Hessian, beside the edge of stability."""

from typing import Any

import torch

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._eigenpairs import FIRST_PRODUCTS, extremes
from nbtoolkit.numerics import stability

NO_EDGE = (
    "{kind} with these parameter groups has no one line for the plain Hessian; preconditioned_sharpness has one for "
    "Adam, AdamW and RMSprop"
)


@instrument(
    outputs={
        "sharpness": Var((), "loss/param^2", "largest Hessian eigenvalue", error="sharpness_error", line="edge"),
        "sharpness_error": Var((), "loss/param^2", "residual of the largest eigenvalue"),
        "edge": Var((), "loss/param^2", "edge of stability"),
        "instability_ratio": Var((), "1", "sharpness over the edge of stability", line=1.0),
        "smallest_eigenvalue": Var((), "loss/param^2", "smallest Hessian eigenvalue", error="smallest_error"),
        "smallest_error": Var((), "loss/param^2", "residual of the smallest eigenvalue"),
        "products": Var((), "1", "Hessian products used"),
    },
    cost=lambda s: FIRST_PRODUCTS + 4 * s["products"],
    every=50,
    reference="Gilmer et al. (2021), arXiv:2110.04369; edge: Cohen et al. (2021), arXiv:2103.00065",
)
def sharpness(
    curvature: Any, optimizer_state: Any, memory: dict[str, Any], /, *, matrix: str = "hessian", smallest: bool = True,
    tolerance: float = 1e-3, products: int = 100, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Largest and smallest eigenvalue of the Hessian, and the edge of stability of the optimizer.

    ``sharpness = max_v v'Hv / v'v`` by Lanczos, started from the eigenvectors of the last measurement, until the
    estimated error is below ``tolerance`` of the largest magnitude. The error given is the residual ``|Hv - theta v|``:
    an eigenvalue of H lies within it. The edge is 2/lr for gradient descent, (2 + 2b)/lr with momentum b, with the
    learning rate of this step; NaN for optimizers that have no such line (see `preconditioned_sharpness`).

    ``matrix`` may be gauss_newton, fisher or empirical_fisher with a probe; ``products`` is the most to be spent.
    """
    operator = curvature.matrix(matrix)
    found = extremes(
        operator, memory, largest=1, smallest=int(smallest), tolerance=tolerance, products=products, seed=seed
    )
    edge = stability.edge(optimizer_state["kind"], optimizer_state["groups"])
    top = float(found.values[0])
    no_edge = Unknown(NO_EDGE.format(kind=optimizer_state["kind"]))
    not_asked = Unknown("smallest=False")
    return {
        "sharpness": top,
        "sharpness_error": float(found.residuals[0]),
        "edge": edge if edge == edge else no_edge,
        "instability_ratio": top / edge if edge == edge else no_edge,
        "smallest_eigenvalue": float(found.values[-1]) if smallest else not_asked,
        "smallest_error": float(found.residuals[-1]) if smallest else not_asked,
        "products": torch.tensor(float(found.products)),
    }
