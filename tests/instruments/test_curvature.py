"""Curvature instruments against dense references and planted spectra."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import nn
from torch.nn import functional as F

from nbtoolkit.capture.loop import Loop
from nbtoolkit.instruments import (
    hessian_density,
    hessian_trace,
    preconditioned_sharpness,
    sharpness,
    top_eigenvalues,
)
from nbtoolkit.numerics.curvature import Curvature
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.spectrum_error import spectrum_error
from tests.instruments.planted import SGD, Planted, with_spectrum

SEEDS = 200


def network() -> tuple[nn.Module, LossAt, torch.Tensor]:
    """A small float64 network, the loss of a probe, and its dense Hessian."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    probe = (torch.randn(40, 6, dtype=torch.float64), torch.randint(0, 4, (40,)))
    names = [name for name, _ in model.named_parameters()]

    def value(*tensors: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(
            torch.func.functional_call(model, dict(zip(names, tensors, strict=True)), probe[:1]), probe[1]
        )

    blocks = torch.autograd.functional.hessian(value, tuple(model.parameters()))
    sizes = [p.numel() for p in model.parameters()]
    dense = torch.cat([
        torch.cat([block.reshape(rows, columns) for block, columns in zip(row, sizes, strict=True)], dim=1)
        for row, rows in zip(blocks, sizes, strict=True)
    ])  # fmt: skip
    return model, LossAt(model, probe, F.cross_entropy), dense


def test_sharpness_is_within_its_residual_of_the_dense_extremes() -> None:
    model, loss_at, dense = network()
    exact = torch.linalg.eigvalsh(dense)
    found = sharpness(Curvature(dict(model.named_parameters()), loss_at), SGD, {})
    norm = float(exact.abs().max())
    assert abs(found["sharpness"] - float(exact[-1])) <= 1e-3 * norm
    assert abs(found["smallest_eigenvalue"] - float(exact[0])) <= 1e-3 * norm
    assert abs(found["sharpness"] - float(exact[-1])) <= found["sharpness_error"]
    assert abs(found["smallest_eigenvalue"] - float(exact[0])) <= found["smallest_error"]
    assert found["edge"] == pytest.approx(20.0)


@pytest.mark.parametrize(
    "eigenvalues",
    [
        torch.cat([torch.linspace(0, 1, 60), torch.tensor([5.0, 5.001, 9.0])]),
        torch.cat([-torch.linspace(0, 3, 40), torch.tensor([1.0])]),
        torch.cat([torch.zeros(50), torch.tensor([-2.0, 2.0])]),
        torch.full((30,), 3.0),
        torch.zeros(20),
    ],
    ids=["cluster and outlier", "mostly negative", "rank two, symmetric", "one value", "zero"],
)
def test_planted_spectra(eigenvalues: torch.Tensor) -> None:
    found = sharpness(Planted(with_spectrum(eigenvalues)), SGD, {})
    norm = float(eigenvalues.abs().max())
    assert abs(found["sharpness"] - float(eigenvalues.max())) <= 1e-3 * norm + 1e-12
    assert abs(found["smallest_eigenvalue"] - float(eigenvalues.min())) <= 1e-3 * norm + 1e-12


def test_a_second_measurement_starts_from_the_first() -> None:
    matrix = with_spectrum(torch.cat([torch.linspace(-0.5, 1, 300), torch.tensor([4.0, 5.0])]))
    memory: dict = {}
    first, second = Planted(matrix), Planted(matrix)
    sharpness(first, SGD, memory, smallest=False)
    found = sharpness(second, SGD, memory, smallest=False)
    assert second.products < first.products
    assert second.products <= 4
    assert found["sharpness"] == pytest.approx(5.0, rel=1e-3)


def test_a_model_that_has_grown_starts_anew() -> None:
    memory: dict = {}
    sharpness(Planted(with_spectrum(torch.linspace(0, 1, 30))), SGD, memory)
    found = sharpness(Planted(with_spectrum(torch.linspace(0, 2, 40))), SGD, memory)
    assert found["sharpness"] == pytest.approx(2.0, rel=1e-3)


def test_top_eigenvalues_are_in_order_and_padded() -> None:
    found = top_eigenvalues(Planted(with_spectrum(torch.tensor([1.0, 7.0, 3.0]))), {}, top=5)
    np.testing.assert_allclose(found["eigenvalue"][:3], [7, 3, 1], rtol=1e-6)
    assert np.isnan(found["eigenvalue"][3:]).all()


@pytest.mark.parametrize("method", ["hutchinson", "hutch++"])
def test_trace_and_frobenius_norm_are_unbiased_with_honest_errors(method: str) -> None:
    eigenvalues = torch.cat([torch.linspace(-1, 2, 40), torch.tensor([20.0, 30.0])])
    planted = Planted(with_spectrum(eigenvalues))
    runs = [hessian_trace(planted, SGD, probes=12, method=method, seed=17 * seed) for seed in range(SEEDS)]
    traces = np.array([run["trace"] for run in runs])
    squares = np.array([run["frobenius_norm"] ** 2 for run in runs])
    for samples, exact in ((traces, eigenvalues.sum()), (squares, (eigenvalues**2).sum())):
        assert abs(samples.mean() - float(exact)) <= 3 * samples.std(ddof=1) / SEEDS**0.5
    stated = np.mean([float(run["trace_error"]) ** 2 for run in runs])
    assert float(stated) == pytest.approx(float(traces.var(ddof=1)), rel=0.35)


def test_hutch_plus_plus_knows_the_large_eigenvalues() -> None:
    eigenvalues = torch.cat([torch.full((200,), 0.01), torch.tensor([10.0, 20.0, 30.0])])
    planted = Planted(with_spectrum(eigenvalues))
    errors = {
        method: hessian_trace(planted, SGD, probes=30, method=method)["trace_error"]
        for method in ("hutchinson", "hutch++")
    }
    assert errors["hutch++"] < 0.02 * errors["hutchinson"]


SPECTRA = {
    "bulk and outliers": torch.cat([0.05 * torch.sin(torch.arange(291.0)), torch.arange(1.0, 10.0)]),
    "uniform": torch.linspace(-1, 1, 300),
    "two clusters": torch.cat([torch.full((150,), -1.0), torch.full((150,), 1.0)]) + torch.linspace(0, 1e-3, 300),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECTRA)
def test_density_moments_are_unbiased_and_the_spectrum_lies_within_its_error(name: str) -> None:
    eigenvalues = SPECTRA[name].double()
    planted = Planted(with_spectrum(eigenvalues))
    means, squares, within = [], [], 0
    for seed in range(SEEDS):
        found = hessian_density(planted, probes=6, steps=24, seed=seed)
        means.append(found["mean_eigenvalue"])
        squares.append(found["mean_square"])
        kept = np.isfinite(found["ritz_value"])
        distance = wasserstein_distance(found["ritz_value"][kept], eigenvalues.numpy(), found["ritz_weight"][kept])
        within += distance <= found["spectrum_error"]
    for samples, exact in ((means, eigenvalues.mean()), (squares, (eigenvalues**2).mean())):
        assert abs(np.mean(samples) - float(exact)) <= 3 * np.std(samples, ddof=1) / SEEDS**0.5
    # 95 %, less what 200 coins may lack of it by chance.
    assert within / SEEDS >= 0.95 - 3 * (0.95 * 0.05 / SEEDS) ** 0.5


def test_density_with_as_many_steps_as_parameters_is_exact() -> None:
    eigenvalues = torch.linspace(-1, 2, 12).double()
    found = hessian_density(Planted(with_spectrum(eigenvalues)), probes=3, steps=20)
    for nodes, weights in zip(found["ritz_value"], found["ritz_weight"], strict=True):
        np.testing.assert_allclose(nodes[:12], eigenvalues, atol=1e-10)
        assert np.isnan(nodes[12:]).all()
        assert float(weights[:12].sum()) == pytest.approx(1)
    assert found["negative_mass"] == pytest.approx(4 / 12, abs=3 * float(found["negative_mass_error"]))


def test_the_error_of_one_probe_is_unknown() -> None:
    assert np.isnan(spectrum_error(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]])))


def trained(
    kind: type, steps: int = 5, **options: object
) -> tuple[nn.Module, torch.optim.Optimizer, Loop, torch.Tensor]:
    model, loss_at, _ = network()
    optimizer = kind(model.parameters(), **options)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_at(dict(model.named_parameters())).backward()
        optimizer.step()
    loop = Loop(optimizer, {"model": model}, loss_at)
    loop.begin(0, remember_initial=False, keep_params=False)
    return model, optimizer, loop, loop.curvature().hessian().dense()


def preconditioners(model: nn.Module, optimizer: torch.optim.Optimizer, of: object) -> torch.Tensor:
    return torch.cat([of(optimizer.state[p]).reshape(-1) for p in model.parameters()])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("kind", "options", "of"),
    [
        (torch.optim.Adam, {"lr": 1e-2}, lambda s: (1 - 0.9**5) * ((s["exp_avg_sq"] / (1 - 0.999**5)).sqrt() + 1e-8)),
        (torch.optim.AdamW, {"lr": 1e-2, "betas": (0.8, 0.99), "eps": 1e-3},
         lambda s: (1 - 0.8**5) * ((s["exp_avg_sq"] / (1 - 0.99**5)).sqrt() + 1e-3)),
        (torch.optim.RMSprop, {"lr": 1e-2, "alpha": 0.9}, lambda s: s["square_avg"].sqrt() + 1e-8),
        (torch.optim.RMSprop, {"lr": 1e-2, "centered": True},
         lambda s: (s["square_avg"] - s["grad_avg"] ** 2).sqrt() + 1e-8),
    ],
    ids=["Adam", "AdamW", "RMSprop", "centered"],
)  # fmt: skip
def test_preconditioned_sharpness_against_the_dense_matrix(kind, options, of) -> None:
    model, optimizer, loop, dense = trained(kind, **options)
    scaling = preconditioners(model, optimizer, of).rsqrt()
    exact = float(torch.linalg.eigvalsh(scaling[:, None] * dense * scaling)[-1])
    found = preconditioned_sharpness(loop.curvature(), loop.optimizer_state(), {})
    assert found["preconditioned_sharpness"] == pytest.approx(exact, rel=1e-3)
    assert abs(found["preconditioned_sharpness"] - exact) <= found["error"]


def test_with_sgd_it_is_the_sharpness_and_groups_are_scaled_to_the_first() -> None:
    _, _kept, loop, dense = trained(torch.optim.SGD, lr=0.1, momentum=0.9)
    top = float(torch.linalg.eigvalsh(dense)[-1])
    found = preconditioned_sharpness(loop.curvature(), loop.optimizer_state(), {})
    assert found["preconditioned_sharpness"] == pytest.approx(top, rel=1e-3)
    assert found["edge"] == pytest.approx(38.0)
    model, loss_at, dense = network()
    first, *rest = model.parameters()
    optimizer = torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": rest, "lr": 0.4}], lr=0.1)
    loop = Loop(optimizer, {"model": model}, loss_at)
    loop.begin(0, remember_initial=False, keep_params=False)
    rates = (
        torch.cat([torch.full((p.numel(),), 0.1 if p is first else 0.4) for p in model.parameters()]).double().sqrt()
    )
    exact = float(torch.linalg.eigvalsh(rates[:, None] * dense * rates)[-1])
    found = preconditioned_sharpness(loop.curvature(), loop.optimizer_state(), {})
    assert found["preconditioned_sharpness"] * 0.1 == pytest.approx(exact, rel=1e-3)


def test_before_the_first_step_adam_has_no_preconditioner() -> None:
    model, loss_at, _ = network()
    optimizer = torch.optim.Adam(model.parameters())
    loop = Loop(optimizer, {"model": model}, loss_at)
    loop.begin(0, remember_initial=False, keep_params=False)
    found = preconditioned_sharpness.measure(loop.curvature(), loop.optimizer_state(), {})
    assert "no state yet" in found["preconditioned_sharpness"].reason
