"""Hessian products of both sources against dense Hessians that were made without them."""

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.graphs import has_convolution
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import (
    ForwardOverReverse,
    KeptGraph,
    Operator,
    forward_over_reverse,
    fresh_leaves,
    hessian,
    live_hessian,
    trainable,
)
from tests.numerics import cases

REVERSE_ALONE = ["mse", "encoder"]
SINGLE = [name for name in cases.ALL if name not in ("loader", "short_batch")]


def agree(found: Tensor, wanted: Tensor, within: float = 1e-10) -> None:
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= within * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("name", cases.ALL)
def test_the_hessian_of_a_probe_is_the_dense_one(name: str) -> None:
    case = cases.ALL[name]()
    gradient, wanted = case.dense()
    found = hessian(case.loss_at, case.params)
    agree(found.dense(), wanted)
    agree(found.gradient(), gradient)
    assert found.products == found.size


@pytest.mark.parametrize("name", cases.ALL)
def test_the_hessian_of_a_live_loss_is_the_dense_one(name: str) -> None:
    case = cases.ALL[name]()
    gradient, wanted = case.dense()
    found = live_hessian(case.live_loss(), case.params)
    agree(found.dense(), wanted)
    agree(found.gradient(), gradient)
    vector = torch.randn(found.size, dtype=found.dtype)
    agree(found(vector), wanted @ vector)


@pytest.mark.parametrize("name", SINGLE)
def test_many_cotangents_at_once_give_the_same(name: str) -> None:
    case = cases.ALL[name]()
    _, wanted = case.dense()
    trained = trainable(case.params)
    flat = Flat(trained)
    piece = KeptGraph(case.live_loss(), list(trained.values()))
    agree(flat.join(piece(flat.split(torch.eye(flat.size, dtype=flat.dtype))), rows=flat.size), wanted)


def pushed(case: cases.Case) -> ForwardOverReverse | None:
    """What a convolution on a CUDA device is multiplied by, here on the host."""
    flat = Flat(trainable(case.params))
    leaves, state = fresh_leaves(case.params, flat)
    loss_at = case.loss_at
    ((_, batch),) = loss_at.weighted()
    return forward_over_reverse(
        loss_at, batch, KeptGraph(loss_at.on(batch, state), leaves).gradient, state, leaves, flat, 0
    )


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by torch itself, at its first jvp
@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", [name for name in SINGLE if name not in REVERSE_ALONE])
def test_forward_over_reverse_gives_the_same(name: str) -> None:
    case = cases.ALL[name]()
    gradient, wanted = case.dense()
    piece, flat = pushed(case), Flat(trainable(case.params))
    assert piece is not None
    agree(flat.join(piece(flat.split(torch.eye(flat.size, dtype=flat.dtype))), rows=flat.size), wanted)
    agree(flat.join(piece.gradient), gradient)


@pytest.mark.parametrize("name", REVERSE_ALONE)
def test_where_transforms_fail_the_kept_graph_is_taken(name: str) -> None:
    """The MSE's backward has no forward mode in this PyTorch; attention's dropout draws another mask there."""
    assert pushed(cases.ALL[name]()) is None


@pytest.mark.parametrize("name", ["mlp", "cnn", "mse"])
def test_the_reference_is_that_of_torch_func(name: str) -> None:
    case = cases.ALL[name]()
    params = {key: value.detach() for key, value in case.params.items()}
    flat = Flat(params)
    assert case.loss is not None
    x, y = case.probe

    def loss(vector: Tensor) -> Tensor:
        state = dict(zip(flat.names, flat.split(vector), strict=True))
        return case.loss(functional_call(case.model, state, x), y)  # type: ignore[misc]

    agree(torch.func.hessian(loss)(flat.join(list(params.values()))), case.dense()[1])


@pytest.mark.parametrize("name", ["batch_norm", "dropout", "attention", "encoder", "tied", "short_batch"])
def test_products_are_differences_of_gradients(name: str) -> None:
    """Central differences know nothing of second derivatives."""
    case = cases.ALL[name]()
    found = hessian(case.loss_at, case.params)
    direction = F.normalize(torch.randn(found.size, dtype=torch.float64), dim=0)
    step = 1e-5
    sides = []
    for sign in (1, -1):
        moved = {key: value.detach().clone() for key, value in case.params.items()}
        for key, part in zip(found.flat.names, found.flat.split(sign * step * direction), strict=True):
            moved[key] = (moved[key] + part).requires_grad_()
        sides.append(hessian(case.loss_at, moved).gradient())
    agree(found(direction), (sides[0] - sides[1]) / (2 * step), 1e-7)


def test_bfloat16_autocast_is_measured_as_it_is() -> None:
    case = cases.autocast()
    gradient, wanted = case.dense()
    for found in (hessian(case.loss_at, case.params), live_hessian(case.live_loss(), case.params)):
        agree(found.dense(), wanted, 1e-6)
        agree(found.gradient(), gradient, 1e-6)


def test_frozen_parameters_are_left_out_and_unused_ones_do_not_bend() -> None:
    case = cases.tied()
    found = hessian(case.loss_at, case.params)
    assert found.flat.names == ("embed.weight", "unused.weight", "unused.bias")
    dense = found.dense()
    assert float(dense[35:].abs().max()) == 0.0 == float(dense[:, 35:].abs().max())


def test_a_subset_of_parameters_gives_a_diagonal_block() -> None:
    case = cases.mlp()
    _, wanted = case.dense()
    chosen = {"2.weight": case.params["2.weight"]}
    agree(live_hessian(case.live_loss(), chosen).dense(), wanted[25:40, 25:40])
    frozen = {key: value.detach() for key, value in case.params.items()}
    agree(hessian(case.loss_at, {**frozen, **chosen}).dense(), wanted[25:40, 25:40])


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return 3 * ctx.saved_tensors[0] ** 2 * grad


def test_a_loss_without_second_derivative_says_so() -> None:
    weight = nn.Parameter(torch.randn(3))
    for loss in (Once.apply(weight).sum(), Once.apply(weight).square().sum(), Once.apply(weight.exp()).norm()):
        with pytest.raises(RuntimeError, match="once_differentiable"):
            live_hessian(loss, {"weight": weight})
    compiled = torch.compile(cases.mlp().model, backend="aot_eager")
    loss = compiled(torch.randn(4, 4).double()).square().sum()
    with pytest.raises(RuntimeError, match=r"double backward|donated buffers"):  # whichever torch notices first
        live_hessian(loss, dict(compiled.named_parameters()))(torch.randn(43).double())


@pytest.mark.parametrize("name", ["batch_norm", "dropout", "loader", "encoder", "function"])
def test_nothing_is_disturbed(name: str) -> None:
    case = cases.ALL[name]()
    model = case.model
    for param in model.parameters():
        param.grad = torch.randn_like(param)
    if isinstance(model, nn.Sequential):
        model.get_submodule("0").eval()
    before = copy.deepcopy(model)
    grads = [param.grad for param in model.parameters()]
    drawn = copy.deepcopy(np.random.get_state(legacy=False))  # noqa: NPY002
    states = torch.get_rng_state(), random.getstate()
    found = hessian(case.loss_at, case.params)
    found(torch.randn(2, found.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    found.gradient()
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_equal(np.random.get_state(legacy=False), drawn)  # noqa: NPY002
    assert states[1] == random.getstate()
    for old, new in zip(before.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(old, new)
    assert [module.training for module in before.modules()] == [module.training for module in model.modules()]
    for param, kept in zip(model.parameters(), grads, strict=True):
        assert param.grad is kept
        assert param.requires_grad


def test_convolutions_are_seen_in_the_graph() -> None:
    assert has_convolution(cases.cnn().live_loss())
    assert not has_convolution(cases.mlp().live_loss())


class Crowded:
    """A piece that runs out of memory with more than three rows."""

    kept_bytes = 1

    def __init__(self, wanted: Tensor) -> None:
        self.wanted, self.gradient, self.asked = wanted, [wanted[0]], []

    def __call__(self, block: list[Tensor]) -> list[Tensor]:
        self.asked.append(len(block[0]))
        if len(block[0]) > 3:
            raise torch.cuda.OutOfMemoryError("no memory left")
        return [block[0] @ self.wanted]


def test_out_of_memory_halves_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = torch.randn(10, 10)
    wanted = wanted + wanted.T
    piece = Crowded(wanted)
    operator = Operator(Flat({"weight": torch.zeros(10)}), lambda: [(1.0, piece)])
    operator.on_host = False
    monkeypatch.setattr(Operator, "_fitting", lambda self, piece: 8)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    agree(operator(torch.eye(10)), wanted, 1e-6)
    assert piece.asked == [8, 4, 2, 2, 2, 2, 2]
    operator(torch.eye(10)[:2])
    assert piece.asked[-1] == 2  # what fitted is remembered


def test_a_block_that_never_fits_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(block: list[Tensor]) -> list[Tensor]:
        raise torch.cuda.OutOfMemoryError("no memory left")

    operator = Operator(Flat({"weight": torch.zeros(3)}), lambda: [(1.0, never)])
    operator.on_host = False
    monkeypatch.setattr(Operator, "_fitting", lambda self, piece: 4)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        operator(torch.eye(3))


def test_parameters_that_cannot_be_measured_are_refused() -> None:
    frozen = {"weight": torch.zeros(3)}
    with pytest.raises(ValueError, match="requires a gradient"):
        hessian(LossAt(nn.Linear(1, 1), lambda model: torch.zeros(())), frozen)
    with pytest.raises(ValueError, match="complex"):
        Flat({"weight": torch.zeros(3, dtype=torch.complex64)})
