"""Stability lines: the largest curvature that an optimizer's step bears on a quadratic."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

ADAPTIVE = ("Adam", "AdamW", "RMSprop")


def edge(kind: str, groups: Sequence[Mapping[str, Any]]) -> float:
    """Edge of stability: the largest Hessian eigenvalue at which plain steps on a quadratic do not diverge.

    Gradient descent 2/lr; heavy ball ``(2 + 2b) / lr``; Nesterov ``(2 + 2b) / ((1 + 2b) lr)`` (Cohen et al. 2021,
    arXiv:2103.00065, section 2 and appendix B); less the coupled weight decay, which adds to every eigenvalue. With
    dampening ``d`` the momentum buffer takes in ``(1 - d)`` of the gradient, which divides the heavy-ball line.

    Args:
        kind: name of the optimizer's class.
        groups: hyperparameters of its parameter groups.

    Returns:
        NaN where there is no one line: adaptive optimizers (for which see `preconditioned_edge`), groups that differ,
        optimizers not known here.
    """
    values = {_line(group) for group in groups} if kind == "SGD" else set()
    return values.pop() if len(values) == 1 else math.nan


def preconditioned_edge(kind: str, groups: Sequence[Mapping[str, Any]]) -> float:
    """Edge of stability of the preconditioned Hessian.

    Adam and AdamW ``(2 + 2 b1) / ((1 - b1) lr)``, 38/lr at b1 = 0.9 (Cohen et al. 2022, arXiv:2207.14484, section 2);
    RMSprop 2/lr, with momentum ``(2 + 2b) / lr``; for SGD as `edge`. The learning rate is that of the first group, to
    which the preconditioner of every other is scaled.
    """
    first = groups[0]
    lr = float(first["lr"])
    if not lr > 0:
        return math.nan
    if kind == "SGD":
        return edge(kind, [{**group, "lr": lr} for group in groups])
    if kind in ("Adam", "AdamW"):
        betas = {float(group["betas"][0]) for group in groups}
        beta = betas.pop()
        return math.nan if betas else (2 + 2 * beta) / ((1 - beta) * lr)
    if kind == "RMSprop":
        momenta = {float(group["momentum"]) for group in groups}
        momentum = momenta.pop()
        return math.nan if momenta else (2 + 2 * momentum) / lr
    return math.nan


def trace_edge(kind: str, groups: Sequence[Mapping[str, Any]]) -> float:
    """Largest trace of the Hessian that SGD with batches of one bears at a minimum of the squared loss: 2/lr.

    A necessary condition, for plain SGD only (Wu & Su 2023, arXiv:2305.17490, section 2); larger batches bear more.
    """
    if kind != "SGD" or any(group.get("momentum") for group in groups):
        return math.nan
    rates = {float(group["lr"]) for group in groups}
    lr = rates.pop()
    return math.nan if rates or not lr > 0 else 2 / lr


def _line(group: Mapping[str, Any]) -> float:
    lr, momentum = float(group["lr"]), float(group.get("momentum", 0.0))
    if not lr > 0:
        return math.nan
    line = (2 + 2 * momentum) / lr
    if group.get("nesterov"):
        line /= 1 + 2 * momentum
    elif momentum:
        line /= 1 - float(group.get("dampening", 0.0))
    return line - float(group.get("weight_decay", 0.0))
