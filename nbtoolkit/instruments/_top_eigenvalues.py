"""The few largest eigenvalues of the Hessian."""

from typing import Any

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.instruments._eigenpairs import FIRST_PRODUCTS, extremes


@instrument(
    outputs={
        "eigenvalue": Var(("rank",), "loss/param^2", "largest Hessian eigenvalues", error="eigenvalue_error"),
        "eigenvalue_error": Var(("rank",), "loss/param^2", "residuals of the largest eigenvalues"),
    },
    cost=lambda s: FIRST_PRODUCTS + 4 * s["products"],
    every=100,
    labels={"rank": lambda s: range(1, s["top"] + 1)},
    reference="Sagun et al. (2017), arXiv:1706.04454; Gur-Ari et al. (2018), arXiv:1812.04754",
)
def top_eigenvalues(
    curvature: Any, memory: dict[str, Any], /, *, top: int = 5, matrix: str = "hessian", tolerance: float = 1e-3,
    products: int = 100, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """The ``top`` largest eigenvalues of the Hessian, the largest first, each with its residual.

    Classification with C classes shows about C - 1 of them away from the bulk.
    """
    operator = curvature.matrix(matrix)
    found = extremes(operator, memory, largest=top, smallest=0, tolerance=tolerance, products=products, seed=seed)
    nothing = [None] * (top - len(found.values))
    return {
        "eigenvalue": [*found.values.tolist(), *nothing],
        "eigenvalue_error": [*found.residuals.tolist(), *nothing],
    }
