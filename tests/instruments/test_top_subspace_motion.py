"""Shares of gradient and update in the top eigenspace, where the eigenspace is known."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nbtoolkit.instruments._top_subspace_motion import top_subspace_motion
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import hessian

Tree = dict[str, Tensor | None]


class Quadratic(nn.Module):
    """Half w'Aw, with chosen eigenvalues in a random basis."""

    def __init__(self, spectrum: list[float]) -> None:
        super().__init__()
        size = len(spectrum)
        generator = torch.Generator().manual_seed(0)
        self.basis = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q
        self.matrix = self.basis @ torch.diag(torch.tensor(spectrum, dtype=torch.float64)) @ self.basis.T
        self.w = nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64))

    def forward(self) -> Tensor:
        return self.w @ self.matrix @ self.w / 2


def quadratic(spectrum: list[float]) -> tuple[Quadratic, LossAt]:
    model = Quadratic(spectrum)

    def loss(model: Any) -> Tensor:
        return model()

    return model, LossAt(model, loss)


SPECTRUM = [9.0, 7.0, 5.0, *(0.1 * i for i in range(1, 18)), -1.0]


@pytest.mark.parametrize("top", [1, 3])
def test_shares_of_a_planted_quadratic(top: int) -> None:
    model, loss_at = quadratic(SPECTRUM)
    inside, outside = model.basis[:, top - 1], model.basis[:, -2]
    gradient: Tree = {"w": 3 * inside + 4 * outside}
    update: Tree = {"w": -0.1 * inside}
    found = top_subspace_motion(loss_at, {"w": model.w.detach()}, update, gradient, {}, top=top, tolerance=1e-9)
    assert abs(found["gradient_share"] - 0.36) < 1e-5
    assert abs(found["update_share"] - 1) < 1e-5
    assert abs(found["random_share"] - top / len(SPECTRUM)) < 1e-12
    assert found["residual"] < 1e-3


def test_default_tolerance_gives_shares_to_a_percent() -> None:
    model, loss_at = quadratic(SPECTRUM)
    gradient = model.matrix @ model.w.detach()
    true = (model.basis[:, :3].T @ gradient).square().sum() / gradient.square().sum()
    found = top_subspace_motion(loss_at, {"w": model.w.detach()}, {"w": -gradient}, {"w": gradient}, {}, top=3)
    assert abs(found["gradient_share"] - float(true)) < 0.01
    np.testing.assert_allclose(found["update_share"], found["gradient_share"])


def test_the_whole_space_holds_everything() -> None:
    model, loss_at = quadratic([3.0, 2.0, 1.0, -1.0])
    found = top_subspace_motion(
        loss_at, {"w": model.w.detach()}, {"w": torch.randn(4)}, {"w": torch.randn(4).double()}, {}, top=4
    )  # fmt: skip
    assert abs(found["gradient_share"] - 1) < 1e-10
    assert abs(found["update_share"] - 1) < 1e-6
    assert found["random_share"] == 1


def trained() -> tuple[nn.Module, LossAt, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)).double()
    model[0].bias.requires_grad_(False)  # type: ignore[union-attr]
    x, y = torch.randn(60, 6, dtype=torch.float64), torch.randint(0, 3, (60,))
    return model, LossAt(model, (x, y), F.cross_entropy), torch.optim.SGD(model.parameters(), lr=0.5)


def test_along_training_it_is_what_dense_hessians_give() -> None:
    model, loss_at, optimizer = trained()
    memory: dict[str, Any] = {}
    for _ in range(12):
        optimizer.zero_grad()
        loss_at(dict(model.named_parameters())).backward()
        params = {name: param.detach().clone() for name, param in model.named_parameters()}
        grads: Tree = {name: param.grad for name, param in model.named_parameters()}
        vectors = torch.linalg.eigh(hessian(loss_at, dict(model.named_parameters())).dense()).eigenvectors
        optimizer.step()
        updates: Tree = {name: param.detach() - params[name] for name, param in model.named_parameters()}
        slope = torch.cat([grad.flatten() for grad in grads.values() if grad is not None])
        true = (vectors[:, -2:].T @ slope).square().sum() / slope.square().sum()
        found = top_subspace_motion(loss_at, params, updates, grads, memory, top=2, tolerance=1e-5)
        assert 0 <= found["gradient_share"] <= 1
        assert abs(found["gradient_share"] - float(true)) < 0.02
        np.testing.assert_allclose(found["update_share"], found["gradient_share"])


def test_what_has_no_gradient_counts_as_zero_and_zero_has_no_share() -> None:
    model, loss_at, _ = trained()
    params = {name: param.detach() for name, param in model.named_parameters()}
    grads: Tree = {**dict.fromkeys(params), "2.bias": torch.ones(3, dtype=torch.float64)}
    updates: Tree = {name: torch.zeros_like(param) for name, param in params.items()}
    found = top_subspace_motion(loss_at, params, updates, grads, {})
    assert 0 <= found["gradient_share"] <= 1
    assert np.isnan(found["update_share"])
    updates["2.bias"] = None
    with pytest.raises(ValueError, match=r"the update of 2.bias is not known"):
        top_subspace_motion(loss_at, params, updates, grads, {})


def test_the_declared_cost_is_that_of_the_products() -> None:
    """All products are used where the tolerance cannot be met."""
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    x, y = torch.randn(512, 64), torch.randint(0, 10, (512,))
    params = {name: param.detach() for name, param in model.named_parameters()}
    tree: Tree = {name: torch.ones_like(param) for name, param in params.items()}
    item = top_subspace_motion.using(tolerance=0.0, products=12, top=2)
    with FlopCounterMode(display=False) as forward:
        model(x)
    with FlopCounterMode(display=False) as measured, torch.no_grad():
        item.measure(LossAt(model, (x, y), F.cross_entropy), params, tree, tree, {})
    passes = measured.get_total_flops() / forward.get_total_flops()
    assert abs(passes - item.forward_passes()) <= 0.25 * item.forward_passes()
