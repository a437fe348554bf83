"""Projected weights keep their norms and their directions."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nbtoolkit.interventions import NaP


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GroupNorm(1, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 16), nn.LayerNorm(16),
        nn.ReLU(), nn.Linear(16, 3),
    )  # fmt: skip


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [param.detach() for param in model.parameters() if param.ndim > 1]


def test_norms_are_kept_through_a_training() -> None:
    model = network()
    start = [weight.norm().item() for weight in weights(model)]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    nap = NaP(model)
    x, y = torch.randn(32, 1, 8, 8), torch.randint(0, 3, (32,))
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        free = [weight.clone() for weight in weights(model)]
        rest = [param.clone() for param in model.parameters() if param.ndim < 2]
        nap.project()
        for norm, before, after in zip(start, free, weights(model), strict=True):
            assert abs(after.norm() / norm - 1) < 1e-6
            torch.testing.assert_close(F.normalize(after.flatten(), dim=0), F.normalize(before.flatten(), dim=0))
        for before, after in zip(rest, [p for p in model.parameters() if p.ndim < 2], strict=True):
            assert torch.equal(before, after)
    assert any(abs(one.norm() / norm - 1) > 1e-3 for one, norm in zip(free, start, strict=True))  # it had to act


def test_behind_a_normalisation_the_function_stays() -> None:
    """Scaling the weights of a layer without bias is undone by the normalisation behind it."""
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(6, 8, bias=False), nn.LayerNorm(8, eps=0), nn.ReLU(), nn.Linear(8, 2)).double()
    nap, x = NaP(model), torch.randn(5, 6).double()
    before = model(x).detach()
    with torch.no_grad():
        model[0].weight.mul_(7)
    nap.project()
    torch.testing.assert_close(model(x).detach(), before, rtol=1e-12, atol=1e-12)


def test_without_a_direction_nothing_moves() -> None:
    model: Any = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    nn.init.zeros_(model[0].weight)
    nap = NaP(model)
    with torch.no_grad():
        model[0].weight.fill_(2.0)  # began as zero
        model[1].weight.zero_()  # is zero now
    nap.project()
    assert torch.equal(model[0].weight, torch.full((3, 3), 2.0))
    assert torch.equal(model[1].weight, torch.zeros(3, 3))


def test_the_scales_of_a_normalisation_over_several_dims_are_no_weights() -> None:
    model: Any = nn.Sequential(nn.Conv2d(1, 2, 1), nn.LayerNorm([2, 3, 3]))
    nap = NaP(model)
    assert len(nap.norms) == 1
    with torch.no_grad():
        model[1].weight.mul_(3)
    nap.project()
    assert torch.equal(model[1].weight, torch.full((2, 3, 3), 3.0))


def test_under_weight_norm_the_norm_of_the_weight_itself_is_kept() -> None:
    torch.manual_seed(0)
    model: Any = nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)).double()
    nap, norm = NaP(model), model.weight.norm().item()
    parts = model.parametrizations.weight
    length = parts.original1.norm().item()
    with torch.no_grad():
        parts.original0.mul_(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))
        parts.original1.add_(torch.randn(4, 6))
    assert abs(model.weight.norm() / norm - 1) > 0.5
    nap.project()
    assert model.weight.norm().item() == pytest.approx(norm, rel=1e-12)
    assert parts.original1.norm().item() == pytest.approx(length, rel=1e-12)


def test_weights_are_known_by_name() -> None:
    model = network()
    nap = NaP(model)
    old, model[7] = model[7].weight.norm().item(), nn.Linear(16, 3)
    with torch.no_grad():
        model[7].weight.mul_(5)
    nap.project()
    assert model[7].weight.norm().item() == pytest.approx(old, rel=1e-6)
    model[7] = nn.Linear(16, 4)
    with pytest.raises(ValueError, match=r"NaP holds .* 7.weight is \(4, 16\) and was \(3, 16\)"):
        nap.project()


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="no trained weight with two dims or more"):
        NaP(nn.LayerNorm(3))
