"""Sharpness as an adaptive optimizer sees it."""

from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._eigenpairs import FIRST_PRODUCTS, extremes
from nbtoolkit.numerics import stability

NO_STATE = "the optimizer has no state yet: it is made by its first step"


@instrument(
    outputs={
        "preconditioned_sharpness": Var(
            (), "loss/(lr unit)", "largest eigenvalue of the preconditioned Hessian", error="error", line="edge"
        ),
        "error": Var((), "loss/(lr unit)", "residual of the largest preconditioned eigenvalue"),
        "edge": Var((), "loss/(lr unit)", "edge of stability"),
        "instability_ratio": Var((), "1", "preconditioned sharpness over the edge of stability", line=1.0),
    },
    cost=lambda s: FIRST_PRODUCTS + 4 * s["products"],
    every=100,
    reference="Cohen et al. (2022), arXiv:2207.14484, sections 2-3",
)
def preconditioned_sharpness(
    curvature: Any, optimizer_state: Any, memory: dict[str, Any], /, *, matrix: str = "hessian",
    tolerance: float = 1e-3, products: int = 100, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Largest eigenvalue of ``P^(-1/2) H P^(-1/2)``, P being the optimizer's own preconditioner at this step.

    Adam and AdamW ``P = (1 - b1^t) (sqrt(v / (1 - b2^t)) + eps)``, RMSprop ``P = sqrt(v) + eps`` (``v`` less the
    squared mean gradient where centered), SGD ``P = 1``; every group scaled to the learning rate of the first. The
    edge is (2 + 2 b1) / ((1 - b1) lr) for Adam, 38/lr at b1 = 0.9; 2/lr for RMSprop. Decoupled weight decay and
    amsgrad's maximum are taken as they are: the first is left out, the second is used for v.
    """
    operator = curvature.matrix(matrix)
    kind, groups = optimizer_state["kind"], optimizer_state["groups"]
    scaling = _inverse_root(operator.flat, optimizer_state)
    if isinstance(scaling, str):
        return {
            key: Unknown(scaling)
            for key in ("preconditioned_sharpness", "error", "edge", "instability_ratio")
        }  # fmt: skip
    found = extremes(
        _Preconditioned(operator, scaling), memory, largest=1, smallest=0, tolerance=tolerance, products=products,
        seed=seed,
    )  # fmt: skip
    edge = stability.preconditioned_edge(kind, groups)
    top = float(found.values[0])
    has_edge = edge == edge
    why = Unknown("the parameter groups differ in momentum, or their learning rate is 0: there is no one line")
    return {
        "preconditioned_sharpness": top,
        "error": float(found.residuals[0]),
        "edge": edge if has_edge else why,
        "instability_ratio": top / edge if has_edge else why,
    }


class _Preconditioned:
    """The operator ``S H S`` with a diagonal S."""

    def __init__(self, operator: Any, scaling: Tensor) -> None:
        self.operator, self.scaling = operator, scaling
        self.size, self.device, self.dtype = operator.size, operator.device, operator.dtype
        self.agreed = operator.agreed

    def __call__(self, block: Tensor) -> Tensor:
        return self.operator(block * self.scaling) * self.scaling


def _inverse_root(flat: Any, optimizer_state: Any) -> Tensor | str:
    """The diagonal of ``P^(-1/2)`` as one vector, or why there is none."""
    kind, groups = optimizer_state["kind"], optimizer_state["groups"]
    if kind not in ("SGD", "Adam", "AdamW", "RMSprop"):
        return f"the preconditioner of {kind} is not known here; known are SGD, Adam, AdamW and RMSprop"
    first = float(groups[0]["lr"])
    parts = []
    for name, shape in zip(flat.names, flat.shapes, strict=True):
        group, state = groups[optimizer_state["group_of"][name]], optimizer_state["state"][name]
        if not first > 0 or not float(group["lr"]) > 0:
            return "a learning rate is 0, so the step is none"
        if kind == "SGD":
            part = torch.ones(shape, device=flat.device, dtype=flat.dtype)
        elif "step" not in state and "square_avg" not in state:
            return NO_STATE
        else:
            part = _preconditioner(kind, group, state)
        parts.append(part.to(flat.dtype) * (first / float(group["lr"])))
    return flat.join(parts).rsqrt()


def _preconditioner(kind: str, group: Any, state: Any) -> Tensor:
    if kind == "RMSprop":
        square = state["square_avg"]
        if group.get("centered"):
            square = square - state["grad_avg"] ** 2
        return square.clamp(min=0).sqrt() + group["eps"]
    step = float(state["step"])
    beta1, beta2 = (float(beta) for beta in group["betas"])
    square = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
    return ((square / (1 - beta2**step)).sqrt() + group["eps"]) * (1 - beta1**step)
