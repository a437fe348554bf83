"""Alignment of successive gradients and of the update, in loops where it is known."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nbtoolkit.instruments._step_alignment import step_alignment
from tests import problems

Tree = dict[str, Tensor | None]


def trees(*rows: list[float], dtype: torch.dtype = torch.float32) -> list[Tree]:
    """Each row cut into two tensors."""
    return [
        {"a": torch.tensor(row[:2], dtype=dtype), "b": torch.tensor(row[2:], dtype=dtype).reshape(1, -1)}
        for row in rows
    ]


def test_values_worked_out_by_hand() -> None:
    first, second, update = trees([3.0, 0.0, 4.0], [0.0, 5.0, 0.0], [1.0, -1.0, 0.0])
    memory: dict[str, Any] = {}
    before = step_alignment(first, update, memory)
    assert np.isnan(before["gradient_cosine"])
    assert np.isnan(before["gradient_change"])
    np.testing.assert_allclose(before["update_cosine"], -3 / 5 / np.sqrt(2), rtol=1e-6)
    assert before["sign_agreement"] == 0  # of the one coordinate where both are not zero
    now = step_alignment(second, update, memory)
    np.testing.assert_allclose(now["gradient_change"], 9 + 25 + 16, rtol=1e-6)
    assert now["gradient_cosine"] == 0
    np.testing.assert_allclose(now["update_cosine"], 1 / np.sqrt(2), rtol=1e-6)
    assert now["sign_agreement"] == 1
    third = step_alignment(first, update, memory)
    np.testing.assert_allclose(third["gradient_change"], 50, rtol=1e-6)
    again = step_alignment(first, update, memory)
    np.testing.assert_allclose([again["gradient_cosine"], again["gradient_change"]], [1, 0], atol=1e-6)


def loop(problem: problems.Problem, steps: int) -> list[dict[str, np.ndarray]]:
    memory: dict[str, Any] = {}
    rows = []
    for _ in range(steps):
        before = {name: param.detach().clone() for name, param in problem.model.named_parameters()}
        problem.step()
        grads: Tree = {name: param.grad for name, param in problem.model.named_parameters()}
        updates: Tree = {name: param.detach() - before[name] for name, param in problem.model.named_parameters()}
        rows.append(step_alignment(grads, updates, memory))
    return rows


def test_plain_sgd_goes_straight_down() -> None:
    for row in loop(problems.mlp(dtype=torch.float64), 5):
        assert abs(row["update_cosine"] - 1) < 1e-12
        assert row["sign_agreement"] == 1


def test_signs_of_plain_sgd_agree_in_single_precision_too() -> None:
    for row in loop(problems.mlp(), 5):
        assert abs(row["update_cosine"] - 1) < 1e-5
        assert row["sign_agreement"] == 1


def test_momentum_does_not_and_it_is_what_numpy_gives() -> None:
    problem = problems.cnn()
    memory: dict[str, Any] = {}
    past = None
    for _ in range(4):
        before = {name: param.detach().clone() for name, param in problem.model.named_parameters()}
        problem.step()
        grads: Tree = {name: param.grad for name, param in problem.model.named_parameters()}
        updates: Tree = {name: param.detach() - before[name] for name, param in problem.model.named_parameters()}
        found = step_alignment(grads, updates, memory)
        g, u = (
            np.concatenate([t.flatten().double() for t in tree.values() if t is not None]) for tree in (grads, updates)
        )
        np.testing.assert_allclose(found["update_cosine"], -g @ u / np.linalg.norm(g) / np.linalg.norm(u), rtol=1e-5)
        counted = g * u != 0
        np.testing.assert_allclose(found["sign_agreement"], (g * u < 0).sum() / counted.sum(), rtol=1e-6)
        if past is not None:
            cosine = g @ past / np.linalg.norm(g) / np.linalg.norm(past)
            np.testing.assert_allclose(found["gradient_cosine"], cosine, atol=1e-6)
            np.testing.assert_allclose(found["gradient_change"], ((g - past) ** 2).sum(), rtol=1e-5)
        past = g
    assert found["update_cosine"] < 0.99


def test_beyond_the_edge_of_stability_gradients_turn_round() -> None:
    w = nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer, memory = torch.optim.SGD([w], lr=0.45), {}
    for _ in range(3):
        optimizer.zero_grad()
        (torch.tensor([4.0, 0.01]) * w**2).sum().div(2).backward()
        before = w.detach().clone()
        optimizer.step()
        found = step_alignment({"w": w.grad}, {"w": w.detach() - before}, memory)
    assert found["gradient_cosine"] < -0.99


def test_holes_replacements_and_dtypes() -> None:
    memory: dict[str, Any] = {}
    one, other = trees([1.0, 2.0, 3.0], [-1.0, -2.0, -3.0])
    step_alignment({**one, "b": None}, other, memory)
    found = step_alignment(one, other, memory)
    np.testing.assert_allclose(found["gradient_cosine"], np.sqrt(5 / 14), rtol=1e-6)
    found = step_alignment(one, {**other, "b": None}, memory)  # replaced: the past no longer fits
    assert np.isnan(found["gradient_cosine"])
    assert found["sign_agreement"] == 1
    half, minus = trees([1.0, 2.0, 3.0], [-1.0, -2.0, -3.0], dtype=torch.bfloat16)
    np.testing.assert_allclose(step_alignment(half, minus, {})["update_cosine"], 1, rtol=1e-6)
    zero = {name: torch.zeros_like(part) for name, part in one.items() if part is not None}
    found = step_alignment(zero, zero, {})
    assert np.isnan(found["update_cosine"])
    assert np.isnan(found["sign_agreement"])
    sparse = {"a": torch.tensor([1.0, 0.0]).to_sparse(), "b": torch.ones(1, 1)}
    step_alignment(sparse, {"a": -torch.ones(2), "b": -torch.ones(1, 1)}, memory)


def test_its_inputs_stay_as_they_are() -> None:
    one, other = trees([1.0, 2.0, 3.0], [-1.0, -2.0, -3.0])
    memory: dict[str, Any] = {}
    for _ in range(3):
        step_alignment(one, other, memory)
    assert torch.equal(torch.cat([one["a"], one["b"].flatten()]), torch.tensor([1.0, 2.0, 3.0]))  # type: ignore
    assert torch.equal(torch.cat([other["a"], other["b"].flatten()]), torch.tensor([-1.0, -2.0, -3.0]))  # type: ignore


def test_an_output_is_not_changed_by_the_next_step() -> None:
    one, other, update = trees([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [-1.0, 1.0, -1.0])
    memory: dict[str, Any] = {}
    step_alignment(one, update, memory)
    kept = step_alignment.measure(other, update, memory)
    values = {name: float(value) for name, value in kept.items()}
    step_alignment(update, one, memory)
    assert values == {name: float(value) for name, value in kept.items()}


def test_it_costs_no_pass_of_the_model() -> None:
    one, other = trees([1.0, 2.0, 3.0], [-1.0, -2.0, -3.0])
    with FlopCounterMode(display=False) as measured:
        step_alignment.measure(one, other, {})
    assert measured.get_total_flops() == step_alignment.forward_passes() == 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_nothing_waits_for_the_device() -> None:
    one, other = (
        {name: part.cuda() for name, part in tree.items() if part is not None} for tree in trees([1, 2, 3], [3, 2, 1])
    )
    memory: dict[str, Any] = {}
    step_alignment.measure(one, other, memory)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step_alignment.measure(one, other, memory)
    finally:
        torch.cuda.set_sync_debug_mode("default")
