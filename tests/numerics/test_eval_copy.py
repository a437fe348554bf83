"""A copy in eval mode that follows the model and writes into nothing of it."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nbtoolkit.numerics.eval_copy import EvalCopy


class Counting(nn.Module):
    """Writes into its buffers and its other tensors in every mode, in every way."""

    inside: Tensor
    anew: Tensor
    grown: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("inside", torch.zeros(2))
        self.register_buffer("anew", torch.zeros(()))
        self.register_buffer("grown", torch.zeros(1))
        self.register_buffer("none", None)
        self.twice, self.listed, self.plain = self.inside, [self.inside], torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        self.inside += 1
        self.listed[0].add_(1)
        self.anew = self.anew + 1
        self.grown.resize_(3).fill_(7)
        self.plain += 1
        return self.layer(x) + self.anew + self.inside.sum() + self.plain


def state(model: nn.Module) -> list[Tensor]:
    held: list[Any] = [*model.state_dict().values(), *(part for part in vars(model).values())]
    return copy.deepcopy([part for part in held if isinstance(part, Tensor)])


def test_a_forward_pass_writes_into_nothing_of_the_models_and_does_not_add_up() -> None:
    model, x = Counting(), torch.ones(1, 3)
    for _ in range(2):
        model(x)
    evaluated, before = EvalCopy(model), state(model)
    with torch.no_grad():
        wanted = copy.deepcopy(model).eval()(x)
        for _ in range(3):
            assert torch.equal(evaluated.refreshed()(x), wanted)
    assert all(map(torch.equal, before, state(model)))
    assert len(before) == len(state(model))


@pytest.mark.parametrize("change", ["values", "data", "shape", "dtype", "another", "plain", "registered"])
def test_the_copy_has_the_models_present_tensors(change: str) -> None:
    model = nn.Module()
    model.register_buffer("one", torch.zeros(2))
    model.register_buffer("two", torch.zeros(1, 3))
    plain: Any = torch.zeros(2)
    model.plain = plain
    evaluated: Any = EvalCopy(model)
    one: Any = model.one
    for _ in range(2):
        evaluated.refreshed().one.fill_(9)
    if change == "values":
        one += 1
    elif change == "data":
        one.data.fill_(4)
    elif change == "shape":
        one.resize_(5).fill_(2)
    elif change == "dtype":
        one.data = torch.ones(2, dtype=torch.float64)
    elif change == "another":
        model.one = torch.full((2,), 3.0)
    elif change == "plain":
        plain.fill_(6)
    else:
        model.register_buffer("three", torch.ones(1))
    found = evaluated.refreshed()
    wanted, got = {**model.state_dict(), "plain": model.plain}, {**found.state_dict(), "plain": found.plain}
    torch.testing.assert_close(got, wanted, rtol=0, atol=0)
    assert not {part.data_ptr() for part in got.values()} & {part.data_ptr() for part in wanted.values()}


def test_sparse_buffers_are_borne() -> None:
    model = nn.Module()
    model.register_buffer("graph", torch.eye(3).to_sparse())
    model.register_buffer("shift", torch.zeros(2))
    evaluated: Any = EvalCopy(model)
    evaluated.refreshed()
    graph: Any = model.graph
    shift: Any = model.shift
    graph.copy_(torch.ones(3, 3).to_sparse())
    shift += 1
    found = evaluated.refreshed()
    assert torch.equal(found.graph.to_dense(), torch.ones(3, 3))
    assert found.shift.tolist() == [1, 1]


def doubled(module: nn.Module, args: Any, out: Tensor) -> Tensor:
    return 2 * out


def test_the_copy_is_kept_while_the_model_is_the_same() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    evaluated = EvalCopy(model)
    first = evaluated.refreshed()
    model(torch.randn(4, 3))
    assert evaluated.refreshed() is first
    assert [param.data_ptr() for param in first.parameters()] == [param.data_ptr() for param in model.parameters()]
    assert model.training
    assert not first.training
    model[0].register_forward_hook(doubled)
    second = evaluated.refreshed()
    assert second is not first
    assert second[0]._forward_hooks  # type: ignore[index]
