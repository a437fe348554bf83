"""Stability lines against the optimizers themselves, on a quadratic just below and just above the line."""

import math
from typing import Any

import pytest
import torch

from nbtoolkit.numerics.stability import edge, preconditioned_edge, trace_edge

STEPS = 3000


def final_distance(curvature: float, make: Any) -> float:
    """|x| after many steps on ``curvature * x^2 / 2`` from 1."""
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = make([x])
    for _ in range(STEPS):
        optimizer.zero_grad()
        (0.5 * curvature * x**2).sum().backward()
        optimizer.step()
        if abs(x.item()) > 1e6:
            break
    return abs(x.item())


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.5, "nesterov": True},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.9}, {"lr": 0.1, "weight_decay": 0.5},
        {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.3},
    ],
)  # fmt: skip
def test_sgd_converges_below_its_line_and_diverges_above(options: dict[str, Any]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], **options)
    line = edge("SGD", optimizer.param_groups)
    assert final_distance(0.98 * line, lambda params: torch.optim.SGD(params, **options)) < 1e-3
    assert final_distance(1.02 * line, lambda params: torch.optim.SGD(params, **options)) > 1e6


def test_adam_with_its_preconditioner_held_fixed() -> None:
    group = {"lr": 0.1, "betas": (0.9, 0.999)}
    line = preconditioned_edge("Adam", [group])
    assert line == pytest.approx(38 / 0.1)

    def distance(curvature: float) -> float:
        x, mean = 1.0, 0.0
        for _ in range(STEPS):
            mean = 0.9 * mean + 0.1 * curvature * x
            x -= 0.1 * mean
        return abs(x)

    assert distance(0.98 * line) < 1e-3
    assert distance(1.02 * line) > 1e6


@pytest.mark.parametrize("options", [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.7}])
def test_rmsprop_with_its_preconditioner_held_fixed(options: dict[str, Any]) -> None:
    # With alpha 1 the mean square stays 0, so that P = eps = 1.
    fixed = {**options, "alpha": 1.0, "eps": 1.0}
    line = preconditioned_edge("RMSprop", torch.optim.RMSprop([torch.zeros(1)], **fixed).param_groups)
    assert final_distance(0.98 * line, lambda params: torch.optim.RMSprop(params, **fixed)) < 1e-3
    assert final_distance(1.02 * line, lambda params: torch.optim.RMSprop(params, **fixed)) > 1e6


def test_where_there_is_no_one_line_it_is_nan() -> None:
    assert math.isnan(edge("Adam", [{"lr": 0.1, "betas": (0.9, 0.999)}]))
    assert math.isnan(edge("SGD", [{"lr": 0.1}, {"lr": 0.2}]))
    assert math.isnan(edge("SGD", [{"lr": 0.0}]))
    assert math.isnan(preconditioned_edge("Adam", [{"lr": 0.1, "betas": (0.9, 0.9)}, {"lr": 0.1, "betas": (0.5, 0.9)}]))
    assert preconditioned_edge("SGD", [{"lr": 0.1}, {"lr": 0.2}]) == pytest.approx(20)
    assert trace_edge("SGD", [{"lr": 0.1, "momentum": 0.0}]) == pytest.approx(20)
    assert math.isnan(trace_edge("SGD", [{"lr": 0.1, "momentum": 0.9}]))
