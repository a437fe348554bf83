"""The projected gradient against the formula, and that nothing moves without a conflict."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.interventions import agem


def flat(tensors: list[Any]) -> Tensor:
    return torch.cat([torch.as_tensor(tensor).reshape(-1) for tensor in tensors])


def with_gradients(dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[list[nn.Parameter], list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 3), (4,), (2, 2, 2)]
    params = [nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in shapes]
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator, dtype=dtype)
    return params, [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_projection_of_the_paper(seed: int) -> None:
    params, reference = with_gradients(seed=seed)
    g, r = flat([param.grad for param in params]), flat(reference)
    expected = g - (g @ r) / (r @ r) * r if g @ r < 0 else g
    cosine = agem(params, reference)
    torch.testing.assert_close(flat([param.grad for param in params]), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(cosine, F.cosine_similarity(g, r, dim=0))


def test_both_cases_were_there() -> None:
    signs = [bool(agem(*with_gradients(seed=seed)) < 0) for seed in range(6)]
    assert {*signs} == {True, False}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_afterwards_nothing_is_left_against_the_memory(dtype: torch.dtype) -> None:
    for seed in range(20):
        params, reference = with_gradients(dtype, seed)
        agem(params, reference)
        assert flat([param.grad for param in params]).double() @ flat(reference).double() >= -1e-6


def test_opposite_gradients_leave_nothing() -> None:
    params, _ = with_gradients()
    before = [-3 * param.grad for param in params if param.grad is not None]
    torch.testing.assert_close(agem(params, before), torch.tensor(-1.0, dtype=torch.float64))
    assert flat([param.grad for param in params]).abs().max() < 1e-14


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_without_a_conflict_the_gradient_stays_bit_for_bit(scale: float) -> None:
    params, _ = with_gradients(torch.float32)
    for param in params:
        grad: Any = param.grad
        grad.view(-1)[0] = -0.0
    before = [param.grad.clone() for param in params if param.grad is not None]
    held: list[Any] = [param.grad for param in params]
    cosine = agem(params, [scale * part for part in before])
    for param, one, same in zip(params, before, held, strict=True):
        assert param.grad is same
        assert torch.equal(same.view(torch.int32), one.view(torch.int32))
    assert cosine.isnan() if scale == 0 else abs(cosine - 1) < 1e-12


def test_a_loss_is_differentiated_where_the_parameters_move() -> None:
    torch.manual_seed(1)
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "still": nn.Linear(3, 2)}).double()
    x, y = torch.randn(8, 3).double(), torch.randint(0, 2, (8,))
    F.cross_entropy(model["used"](x), y).backward()
    g = flat([param.grad for param in model["used"].parameters()])
    against = F.cross_entropy(model["used"](x) + model["still"](x), 1 - y)
    r = flat(list(torch.autograd.grad(against, [*model["used"].parameters()], retain_graph=True)))
    agem(model.parameters(), against)
    assert g @ r < 0
    torch.testing.assert_close(
        flat([param.grad for param in model["used"].parameters()]), g - (g @ r) / (r @ r) * r, rtol=0, atol=1e-14
    )
    assert all(param.grad is None for param in model["still"].parameters())


def test_a_step_does_not_raise_the_loss_on_the_memory() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, old_x = torch.randn(16, 5).double(), torch.randn(16, 5).double()
    old_y = model(old_x).argmax(1)
    y = (model(x).argmax(1) + 1) % 3

    def rise(*, project: bool) -> float:
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        optimizer.zero_grad()
        before = F.cross_entropy(model(old_x), old_y)
        F.cross_entropy(model(x), y).backward()
        if project:
            agem(model.parameters(), before)
        optimizer.step()
        return float((F.cross_entropy(model(old_x), old_y) - before).detach())

    plain = rise(project=False)
    assert plain > 0
    assert rise(project=True) < 0.01 * plain


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (torch.tensor(1.0), "reference of shape .. without a graph"),
        (torch.ones(2, requires_grad=True), "reference of shape .2,.; give the loss"),
        ([torch.ones(1)], "1 reference gradients for 3 parameters"),
    ],
)
def test_what_is_no_reference_is_refused(reference: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        agem(with_gradients()[0], reference)


def test_without_gradients_there_is_nothing_to_project() -> None:
    with pytest.raises(ValueError, match=r"call it after backward\(\) and before step\(\)"):
        agem([nn.Parameter(torch.zeros(2))], [torch.zeros(2)])
