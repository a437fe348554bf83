"""Spectra of weights, of what they moved, of gradients and updates."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import Unknown, layer_spectrum


def measured(weight: torch.Tensor, initial: torch.Tensor | None = None, **settings: Any) -> dict[str, np.ndarray]:
    before = {} if initial is None else {"a.weight": initial}
    return layer_spectrum({"a.weight": weight}, before, {"a.weight": None}, {"a.weight": None}, ["a"], **settings)


def test_norms_and_ranks_of_a_weight() -> None:
    weight = torch.randn(20, 45, dtype=torch.float64)
    found = measured(weight)
    values = torch.linalg.svdvals(weight).numpy()
    np.testing.assert_allclose(found["singular_values"], values[None], rtol=1e-12)
    np.testing.assert_allclose(found["spectral_norm"], values[0], rtol=1e-12)
    np.testing.assert_allclose(found["stable_rank"], (values**2).sum() / values[0] ** 2, rtol=1e-12)
    np.testing.assert_array_equal(measured(weight, most=7)["singular_values"], found["singular_values"][:, :7])
    assert np.isnan(found["moved_norm"]).all()


def test_the_rms_norm_is_the_largest_gain() -> None:
    weight = torch.randn(20, 45, dtype=torch.float64)
    gain = float(measured(weight)["rms_norm"][0])
    x = torch.linalg.svd(weight).Vh[0]
    assert float((weight @ x).square().mean().sqrt() / x.square().mean().sqrt()) == pytest.approx(gain, rel=1e-12)
    others = torch.randn(45, 1000, dtype=torch.float64)
    assert float(((weight @ others).square().mean(0).sqrt() / others.square().mean(0).sqrt()).max()) < gain


def test_noise_has_an_edge_and_what_is_planted_lies_beyond() -> None:
    noise = 0.02 * torch.randn(256, 300)
    edge = 0.02 * (256**0.5 + 300**0.5)
    found = measured(noise)
    assert float(found["bulk_edge"][0]) == pytest.approx(edge, rel=0.02)
    assert float(found["outliers"][0]) == 0
    sides = [torch.linalg.qr(torch.randn(size, 3)).Q for size in (256, 300)]
    found = measured(noise + (sides[0] * torch.tensor([6.0, 4.0, 3.0]) * edge) @ sides[1].T)
    assert float(found["bulk_edge"][0]) == pytest.approx(edge, rel=0.03)
    assert float(found["outliers"][0]) == 3


def test_an_adapter_of_some_rank_has_that_many_singular_values() -> None:
    up, down = torch.randn(40, 4), torch.randn(4, 30)
    found = measured(up @ down)
    values = found["singular_values"][0]
    assert (values > 1e-5 * values[0]).sum() == 4
    assert float(found["outliers"][0]) == 4
    base = torch.randn(40, 30)
    found = layer_spectrum({"w": base + up @ down}, {"w": base}, {}, {"w": up @ down}, ["w"])
    np.testing.assert_allclose(found["moved_norm"], values[0], rtol=1e-5)
    np.testing.assert_allclose(found["update_norm"], values[0], rtol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 8, 25])
def test_the_gradient_of_a_linear_layer_has_at_most_the_rank_of_its_batch(batch: int) -> None:
    layer = nn.Linear(20, 16)
    layer(torch.randn(batch, 20)).square().sum().backward()
    grads = {"a.weight": layer.weight.grad, "a.bias": layer.bias.grad}
    found = layer_spectrum({"a.weight": layer.weight.detach(), "a.bias": layer.bias.detach()}, {}, grads, {}, ["a"])
    assert float(found["gradient_rank"][0]) == min(batch, 16)


def test_layers_without_a_matrix_and_zeros_are_blank() -> None:
    params = {"norm.weight": torch.ones(5), "a.weight": torch.zeros(12, 13), "b.weight": torch.randn(3, 2, 5)}
    found = layer_spectrum.measure(params, {}, {}, {}, ["norm", "a", "b"])
    assert found["spectral_norm"][:2] == [None, 0.0]
    assert found["stable_rank"][:2] == [None, None]
    assert found["bulk_edge"] == [None, 0.0, None]  # too few singular values in the last
    assert found["singular_values"].shape == (3, 12)
    assert bool(found["singular_values"][0].isnan().all())
    assert bool(found["singular_values"][2, 3:].isnan().all())
    wanted = torch.linalg.svdvals(params["b.weight"].flatten(1).double())
    torch.testing.assert_close(found["singular_values"][2, :3], wanted)
    nothing = layer_spectrum.measure({"norm.weight": torch.ones(5)}, {}, {}, {}, ["norm"])
    assert all(isinstance(value, Unknown) for value in nothing.values())
    small = layer_spectrum.measure({"b.weight": torch.randn(3, 2)}, {}, {}, {}, ["b"])["outliers"]
    assert isinstance(small, Unknown)
    assert "10 singular values" in small.reason


def test_a_weight_that_is_not_finite_is_nan() -> None:
    broken = torch.randn(12, 12)
    broken[0, 0] = torch.nan
    params = {"a.weight": torch.randn(12, 12), "b.weight": broken}
    found = layer_spectrum(params, params, params, params, ["a", "b"])
    for name in set(found) - {"singular_values"}:
        assert np.isfinite(found[name][0]), name
        assert np.isnan(found[name][1]), name


def test_in_a_run_only_trained_layers_have_a_row() -> None:
    model = nn.Sequential(nn.Linear(6, 14), nn.LayerNorm(14), nn.Linear(14, 14).requires_grad_(False), nn.Linear(14, 3))
    x, y = torch.randn(20, 6), torch.arange(20) % 3
    start = model[0].get_parameter("weight").detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nbtoolkit.watch(model, optimizer, instruments=[layer_spectrum.using(every=2)], budget=1e6) as run:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            before = model[0].get_parameter("weight").detach().clone()
            optimizer.step()
    found = run["layer_spectrum"]
    assert list(found.layer.values) == ["0", "1", "3"]
    assert list(found.step.values) == [0, 2]
    assert float(found.moved_norm.sel(layer="0", step=0)) == 0
    last = found.sel(layer="0", step=2)
    assert float(last.moved_norm) == pytest.approx(float(torch.linalg.matrix_norm(before - start, 2)), rel=1e-4)
    after = model[0].get_parameter("weight").detach()
    assert float(last.update_norm) == pytest.approx(float(torch.linalg.matrix_norm(after - before, 2)), rel=1e-4)
    assert float(last.gradient_rank) == 6
    assert "not_measured" not in found.spectral_norm.attrs or "0" not in found.spectral_norm.attrs["not_measured"][:20]
