"""Gradients of single examples, and Hessians of many batches, against one at a time."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics import batched, per_example
from nbtoolkit.numerics.batched import BatchHessians
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import hessian


class Branching(nn.Module):
    """Values decide which code runs, so that it cannot be mapped."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.inner(x)) if x.sum() > 0 else -torch.sin(self.inner(x))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(x[:, None] + torch.arange(3.0, dtype=x.dtype)[None, :, None]).mean(1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def convolution() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(12, 3))


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.3), nn.Linear(5, 3))


MODELS = {"mlp": mlp, "convolution": convolution, "attention": Attention, "branching": Branching}


def probe(make: Any, count: int = 24) -> tuple[LossAt, dict[str, Tensor], Tensor, Tensor]:
    torch.manual_seed(0)
    model = make().double()
    x, y = torch.randn(count, 6, dtype=torch.float64), torch.randint(0, 3, (count,))
    params = {name: param.detach().clone().requires_grad_() for name, param in model.named_parameters()}
    next(iter(params.values())).requires_grad_(False)
    return LossAt(model, (x, y), F.cross_entropy), params, x, y


@pytest.mark.parametrize("make", [mlp, convolution, Attention])
@pytest.mark.parametrize("rows", [1000, 5])
def test_gradients_are_those_of_one_example_at_a_time(make: Any, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loss_at, params, x, y = probe(make)
    trained = {name: param for name, param in params.items() if param.requires_grad}
    size = sum(param.numel() for param in trained.values())
    monkeypatch.setattr(per_example, "BYTES", 8 * size * rows)
    taken: list[tuple[int, list[Tensor]]] = []
    per_example.each_gradient(loss_at, params, x, y, lambda first, stacks: taken.append((first, stacks)))
    assert len(taken) == math.ceil(24 / rows)
    for first, stacks in taken:
        for i in range(len(stacks[0])):
            place = slice(first + i, first + i + 1)
            expected = torch.autograd.grad(loss_at.on((x[place], y[place]), params), list(trained.values()))
            for stack, part in zip(stacks, expected, strict=True):
                torch.testing.assert_close(stack[i], part, rtol=1e-10, atol=1e-12)


def test_out_of_memory_halves_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    loss_at, params, x, y = probe(mlp)
    true_vmap, seen = per_example.vmap, []

    def small_vmap(function: Any, **settings: Any) -> Any:
        def run(at: Any, inputs: Tensor, targets: Tensor) -> Any:
            seen.append(len(inputs))
            if len(inputs) > 6:
                raise torch.OutOfMemoryError("full")
            return true_vmap(function, **settings)(at, inputs, targets)

        return run

    monkeypatch.setattr(per_example, "vmap", small_vmap)
    indices: list[int] = []
    per_example.each_gradient(
        loss_at, params, x, y, lambda first, stacks: indices.extend(range(first, first + len(stacks[0])))
    )  # fmt: skip
    assert seen == [24, 12, 6, 6, 6, 6]
    assert indices == list(range(24))


@pytest.mark.parametrize("name", [*MODELS, "normalised"])
def test_batch_hessians_are_those_of_one_batch_at_a_time(name: str) -> None:
    loss_at, params, x, y = probe(MODELS.get(name, normalised))
    xs, ys = x.unflatten(0, (4, 6)), y.unflatten(0, (4, 6))
    before = {key: value.clone() for key, value in loss_at.model.state_dict().items()}
    random = torch.get_rng_state()
    hessians = BatchHessians(loss_at, params, xs, ys)
    assert (hessians._apart is None) == (name != "branching")
    vectors = torch.randn(4, hessians.flat.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for row, vector, found in zip(zip(xs, ys, strict=True), vectors, hessians(vectors), strict=True):
        dense = hessian(loss_at.with_probe([row]), params).dense()
        torch.testing.assert_close(found, dense @ vector, rtol=1e-10, atol=1e-12)
    assert torch.equal(torch.get_rng_state(), random)
    for key, value in loss_at.model.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(param.grad is None for param in params.values())


def test_the_number_of_vectors_must_be_that_of_the_batches() -> None:
    loss_at, params, x, y = probe(mlp)
    hessians = BatchHessians(loss_at, params, x.unflatten(0, (4, 6)), y.unflatten(0, (4, 6)))
    with pytest.raises(ValueError, match="2 vectors for the Hessians of 4 batches"):
        hessians(torch.zeros(2, hessians.flat.size, dtype=torch.float64))


def test_out_of_memory_is_not_taken_for_a_model_that_cannot_be_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    loss_at, params, x, y = probe(mlp)

    def full(*args: Any, **settings: Any) -> Any:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(batched, "vmap", full)
    with pytest.raises(torch.OutOfMemoryError):
        BatchHessians(loss_at, params, x[None], y[None])
