"""Trace and Frobenius norm of the Hessian, estimated from random vectors."""

from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._eigenpairs import FIRST_PRODUCTS, random_vectors
from nbtoolkit.numerics import stability
from nbtoolkit.numerics.lanczos import orthonormalised

METHODS = ("hutchinson", "hutch++")


@instrument(
    outputs={
        "trace": Var((), "loss/param^2", "trace of the Hessian", error="trace_error", line="edge"),
        "trace_error": Var((), "loss/param^2", "standard error of the trace"),
        "edge": Var((), "loss/param^2", "stability line of SGD with batches of one"),
        "frobenius_norm": Var((), "loss/param^2", "Frobenius norm of the Hessian", error="frobenius_error"),
        "frobenius_error": Var((), "loss/param^2", "standard error of the Frobenius norm"),
    },
    cost=lambda s: FIRST_PRODUCTS + 4 * s["probes"],
    every=100,
    reference="Hutchinson (1990), Commun. Stat. Simul. 19, 433; Meyer et al. (2021), arXiv:2010.09649; "
    "line: Wu & Su (2023), arXiv:2305.17490",
)
def hessian_trace(
    curvature: Any, optimizer_state: Any, /, *, probes: int = 30, method: str = "hutchinson", matrix: str = "hessian",
    seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Trace of the Hessian (the sum of its eigenvalues) and Frobenius norm (the root of the sum of their squares).

    Hutchinson: ``tr H = E[v'Hv]``, ``|H|_F^2 = E[|Hv|^2]`` with random signs v, the mean over ``probes`` of them with
    its standard error. Hutch++ spends a third of the products on the large eigenvalues, of which nothing is left to
    chance, and a third on the rest. The vectors are the same at every step, so that a curve shows the Hessian's
    change and not theirs.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(METHODS)}")
    if probes < 2 or (method == "hutch++" and probes < 6):
        raise ValueError(f"probes={probes}: a standard error needs at least 2, Hutch++ at least 6")
    operator = curvature.matrix(matrix)
    known_trace, known_square, basis = 0.0, 0.0, None
    if method == "hutch++":
        third = probes // 3
        basis = orthonormalised(operator(random_vectors(operator, third, seed, signs=True)), _no_vectors(operator))
        image = operator(basis)
        known_trace, known_square = float((basis * image).sum(dtype=torch.float64)), float(_squares(image).sum())
        probes = probes - 2 * third
    vectors = random_vectors(operator, probes, seed + 1, signs=True)
    if basis is not None:
        vectors = vectors - (vectors @ basis.T) @ basis
    images = operator(vectors)
    trace, trace_error = _mean((vectors * images).sum(1, dtype=torch.float64))
    square, square_error = _mean(_squares(images))
    norm = (known_square + square) ** 0.5
    edge = stability.trace_edge(optimizer_state["kind"], optimizer_state["groups"])
    return {
        "trace": known_trace + trace,
        "trace_error": trace_error,
        "edge": edge if edge == edge else Unknown("the line is for plain SGD with one learning rate"),
        "frobenius_norm": norm,
        "frobenius_error": square_error / (2 * norm) if norm else 0.0,
    }


def _no_vectors(operator: Any) -> Tensor:
    """An empty basis."""
    return torch.empty(0, operator.size, device=operator.device, dtype=operator.dtype)


def _squares(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64) ** 2


def _mean(samples: Tensor) -> tuple[float, float]:
    """Mean, and its standard error."""
    return float(samples.mean()), float(samples.std() / len(samples) ** 0.5)
