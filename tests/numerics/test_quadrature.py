"""Lanczos quadrature: exact where it can be, unbiased where it estimates."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nbtoolkit.numerics.lanczos import tridiagonal
from nbtoolkit.numerics.products import hessian
from tests.numerics import cases
from tests.numerics.spectra import SPECTRA, bulk, diagonal, generator, start, turned


@pytest.mark.parametrize("name", ["mlp", "batch_norm", "tied"])
def test_with_as_many_steps_as_parameters_the_quadrature_is_exact(name: str) -> None:
    case = cases.ALL[name]()
    operator = hessian(case.loss_at, case.params)
    dense = operator.dense()
    probes = start(operator.size, 3)
    nodes, weights = tridiagonal(lambda block: block @ dense, probes, operator.size).quadrature()
    values, vectors = torch.linalg.eigh(dense)
    scale = float(values.abs().max())
    assert torch.allclose(weights.nansum(1), torch.ones(3).double())
    for probe, node, weight in zip(probes, nodes, weights, strict=True):
        real = node[~node.isnan()]
        assert float((real[:, None] - values).abs().min(1).values.max()) <= 1e-9 * scale  # each is an eigenvalue
        measure = (vectors.T @ probe) ** 2 / probe.square().sum()
        for power in range(1, 8):
            moment = float((node**power * weight).nansum())
            assert moment == pytest.approx(float((measure * values**power).sum()), rel=1e-9, abs=1e-12 * scale**power)


def test_distinct_eigenvalues_are_all_found() -> None:
    spectrum = torch.linspace(-1, 2, 30, dtype=torch.float64)
    nodes, _ = tridiagonal(diagonal(spectrum), start(30, 2), 50).quadrature()
    torch.testing.assert_close(nodes, spectrum.expand(2, 30), atol=1e-10, rtol=0)


def test_an_exhausted_space_ends_the_recursion() -> None:
    spectrum = torch.cat([torch.zeros(20), torch.ones(5), torch.tensor([3.0])])
    found = tridiagonal(diagonal(spectrum), start(26, 4, dtype=torch.float32), 20)
    assert found.lengths == [3] * 4
    nodes, weights = found.quadrature()
    torch.testing.assert_close(nodes[:, :3], torch.tensor([0.0, 1.0, 3.0]).double().expand(4, 3), atol=1e-5, rtol=0)
    assert nodes[:, 3:].isnan().all()
    assert weights[:, 3:].isnan().all()


def test_moments_and_trace_are_unbiased() -> None:
    matrix = turned(torch.cat([bulk(40), torch.tensor([1.0, 2.0, -0.5])]))
    size = len(matrix)
    moments = [[] for _ in range(4)]
    for seed in range(200):
        signs = 2.0 * torch.randint(0, 2, (1, size), generator=generator(seed)).double() - 1
        nodes, weights = tridiagonal(lambda block: block @ matrix, signs, 8).quadrature()
        for power, found in enumerate(moments, 1):
            found.append(size * float((nodes**power * weights).nansum()))
    for power, found in enumerate(moments, 1):
        wanted = float(torch.linalg.matrix_power(matrix, power).trace())
        assert abs(np.mean(found) - wanted) <= 3 * np.std(found, ddof=1) / len(found) ** 0.5


def test_float32_stays_orthogonal() -> None:
    """Ghosts of the largest eigenvalue would make its weight wrong."""
    spectrum = torch.cat([0.01 * bulk(3000), torch.tensor([1.0, 5.0, 20.0])]).float()
    seen: list[Tensor] = []

    def product(block: Tensor) -> Tensor:
        seen.append(block.clone())
        return block * spectrum

    found = tridiagonal(product, start(3003, 2, dtype=torch.float32), 60)
    for row in range(2):
        basis = torch.stack([block[row] for block in seen])
        assert float((basis @ basis.T - torch.eye(60)).abs().max()) <= 1e-5
    nodes, _ = found.quadrature()
    assert ((nodes > 19).sum(1) == 1).all()


def test_rows_that_do_not_fit_together_go_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    spectrum = SPECTRA["no bulk"]
    together = tridiagonal(diagonal(spectrum), start(400, 5), 12)
    monkeypatch.setattr("nbtoolkit.numerics.subspace.free_bytes", lambda device: 2 * 12 * 400 * 8)
    parts = tridiagonal(diagonal(spectrum), start(400, 5), 12)
    torch.testing.assert_close(together.diagonal, parts.diagonal)
    torch.testing.assert_close(together.beside, parts.beside)


def test_the_extremes_of_a_quadrature_are_bounded_by_their_residuals() -> None:
    spectrum = SPECTRA["outliers"].double()
    values, residuals = tridiagonal(diagonal(spectrum), start(len(spectrum), 4), 15).extremes()
    for ends, bounds in zip(values, residuals, strict=True):
        for value, bound in zip(ends, bounds, strict=True):
            assert float((spectrum - value).abs().min()) <= float(bound) + 1e-12
    assert float((values[:, 0] - 1).abs().max()) <= 1e-3
