"""Sharpness of every layer by itself: largest eigenvalues of the diagonal blocks of the Hessian."""

from typing import Any

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.instruments._eigenpairs import extremes
from nbtoolkit.numerics.trees import layer_of

UNUSED = "does not require grad"  # of a loss that depends on nothing that moves


@instrument(
    outputs={
        "sharpness": Var(("layer",), "loss/param^2", "largest Hessian eigenvalue by layer", scale="log", error="error"),
        "error": Var(("layer",), "loss/param^2", "residual of the largest eigenvalue by layer"),
    },
    every=100,
    reference="Gilmer et al. (2021), arXiv:2110.04369, section 2 (the whole Hessian; here its diagonal blocks)",
)
def layer_sharpness(
    curvature: Any, memory: dict[str, Any], /, *, matrix: str = "hessian", tolerance: float = 1e-2, products: int = 30,
    seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Largest eigenvalue of the Hessian by the parameters of one layer, the others held fixed.

    A layer is a module with parameters of its own; 0 for one that the loss does not use. By Cauchy's
    interlacing none exceeds the sharpness of the whole.
    """
    layers: dict[str, list[str]] = {}
    for name, param in curvature.params.items():
        if param.requires_grad:
            layers.setdefault(layer_of(name), []).append(name)
    sharpness, errors, unused = [], [], 0
    for layer, names in layers.items():
        own = memory.setdefault(layer, {})
        try:
            operator = curvature.restricted(names).matrix(matrix)
            pairs = extremes(operator, own, largest=1, smallest=0, tolerance=tolerance, products=products, seed=seed)
        except RuntimeError as error:
            unused += 1
            if UNUSED not in str(error) or unused == len(layers):
                raise
            sharpness, errors = [*sharpness, 0.0], [*errors, 0.0]
        else:
            sharpness, errors = [*sharpness, float(pairs.values[0])], [*errors, float(pairs.residuals[0])]
    return {"sharpness": sharpness, "error": errors}
