"""Extreme eigenpairs and quadrature on matrices whose spectrum is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from nbtoolkit.numerics import subspace
from nbtoolkit.numerics.lanczos import Eigenpairs, extreme_eigenpairs, orthonormalised, tridiagonal
from nbtoolkit.numerics.products import hessian, live_hessian
from tests.numerics import cases
from tests.numerics.spectra import SPECTRA, bulk, diagonal, generator, start, turned


@pytest.mark.parametrize("name", SPECTRA)
def test_the_largest_eigenvalue_from_a_random_vector(name: str) -> None:
    """Within 1e-3 for 95 % of starts and more, as the bound promises."""
    spectrum = SPECTRA[name].double()
    misses = 0
    for seed in range(10):
        found = extreme_eigenpairs(diagonal(spectrum), start(len(spectrum), seed=seed), most=150)
        top, scale = float(spectrum.max()), float(spectrum.abs().max())
        misses += top - float(found.values[0]) > 1e-3 * scale or not found.converged
        nearest = float((spectrum - found.values[0]).abs().min())
        assert nearest <= float(found.residuals[0]) * (1 + 1e-6) + 1e-12
    assert misses <= 1


@pytest.mark.parametrize("name", ["outliers", "negative", "bulk and spikes", "shifted"])
def test_both_ends_and_several(name: str) -> None:
    spectrum = SPECTRA[name].double()
    found = extreme_eigenpairs(diagonal(spectrum), start(len(spectrum)), largest=2, smallest=1)
    wanted = torch.cat([spectrum.topk(2).values, spectrum.min()[None]])
    assert found.converged
    assert float((found.values - wanted).abs().max()) <= 1e-3 * float(spectrum.abs().max())
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(3).double(), atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    "spectrum",
    [
        torch.tensor([4.0, 4.0, 4.0, 1.0, 1.0, 0.0, 0.0, 0.0, -2.0, -2.0]),
        torch.tensor([1.0, 0.999, 0.998, 0.0, 0.0, -0.5, -3.0]),
        torch.zeros(6),
        torch.full((5,), 2.0),
        torch.tensor([3.0]),
    ],
)
def test_planted_spectra_are_found_exactly(spectrum: Tensor) -> None:
    """Also copies of one eigenvalue, for which Lanczos needs another start vector each."""
    matrix = turned(spectrum)
    found = extreme_eigenpairs(lambda b: b @ matrix, start(len(spectrum), 3), largest=3, smallest=2, tolerance=1e-12)
    order = spectrum.double().sort(descending=True).values
    wanted = order if len(order) < 5 else torch.cat([order[:3], order[-2:]])
    torch.testing.assert_close(found.values, wanted, atol=1e-10, rtol=0)
    torch.testing.assert_close(found.vectors @ matrix, found.values[:, None] * found.vectors, atol=1e-9, rtol=0)


def test_one_start_vector_gives_as_many_pairs_as_are_wanted() -> None:
    """A matrix of rank 2 exhausts the Krylov space after three steps."""
    spectrum = torch.cat([torch.zeros(50), torch.tensor([1.0, 2.0])]).double()
    found = extreme_eigenpairs(diagonal(spectrum), start(52), largest=5)
    torch.testing.assert_close(found.values, torch.tensor([2.0, 1.0, 0.0, 0.0, 0.0]).double(), atol=1e-9, rtol=0)


def test_agreement_with_scipy() -> None:
    case = cases.cnn()
    operator = hessian(case.loss_at, case.params)
    found = extreme_eigenpairs(operator, start(operator.size), largest=3, smallest=2, tolerance=1e-10)
    as_numpy = lambda v: operator(torch.from_numpy(v)).numpy()  # noqa: E731
    host: Any = LinearOperator((operator.size,) * 2, as_numpy, dtype=np.float64)  # type: ignore[call-arg]
    wanted = np.sort(np.concatenate([eigsh(host, k, which=end)[0] for k, end in ((3, "LA"), (2, "SA"))]))[::-1]
    np.testing.assert_allclose(found.values.numpy(), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rows", [1, 3])
def test_little_memory_restarts_and_gives_the_same(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    spectrum = SPECTRA["negative"].double()
    free = extreme_eigenpairs(
        diagonal(spectrum), start(len(spectrum)), largest=2, smallest=1, tolerance=1e-9, most=1000, rows=rows
    )
    monkeypatch.setattr(subspace, "free_bytes", lambda device: 0.0)
    tight = extreme_eigenpairs(
        diagonal(spectrum), start(len(spectrum)), largest=2, smallest=1, tolerance=1e-9, most=1000, rows=rows
    )
    wanted = torch.cat([spectrum.topk(2).values, spectrum.min()[None]])
    for found in (free, tight):
        assert found.converged
        assert float((found.values - wanted).abs().max()) <= 1e-8
    assert tight.products >= free.products > 8


def test_products_are_bounded_and_counted() -> None:
    spectrum = SPECTRA["no bulk"]
    found = extreme_eigenpairs(diagonal(spectrum), start(400), most=4)
    assert found.products == 4
    assert not found.converged
    assert float(found.residuals[0]) > 1e-3


# --- warm starts ---------------------------------------------------------------------------------


def follow(matrices: list[Callable[[Tensor], Tensor]], size: int, seed: int = 0, **wanted: int) -> list[Eigenpairs]:
    found: list[Eigenpairs] = []
    for step, product in enumerate(matrices):
        noise = start(size, seed=100 * seed + step)
        found.append(extreme_eigenpairs(product, noise, previous=found[-1] if found else None, **wanted))
    return found


def test_a_drifting_matrix_is_followed_in_few_products() -> None:
    size, generator_ = 300, generator(5)
    matrix = turned(torch.cat([bulk(size - 6), torch.tensor([1.0, 0.8, 0.7, 0.5, 0.4, 0.3])]))
    turns = [torch.randn(size, size, generator=generator_, dtype=torch.float64) * 1e-3 for _ in range(20)]
    matrices = [matrix]
    for turn in turns:
        rotation = torch.linalg.matrix_exp(turn - turn.T)
        matrices.append(rotation @ matrices[-1] @ rotation.T * 1.02)
    found = follow([lambda b, m=m: b @ m for m in matrices], size)
    for pairs, m in zip(found, matrices, strict=True):
        top = float(torch.linalg.eigvalsh(m)[-1])
        assert top - float(pairs.values[0]) <= 1e-3 * top
        assert top - float(pairs.values[0]) <= float(pairs.residuals[0]) * (1 + 1e-6)
    assert np.median([pairs.products for pairs in found[1:]]) <= 4


@pytest.mark.parametrize("seed", range(4))
def test_an_eigenvalue_that_overtakes_is_seen_at_once(seed: int) -> None:
    """Eigenvectors stay where they are, so that nothing of the new one is in the residual of the old one."""
    base = torch.cat([bulk(1000), torch.tensor([0.3, 0.4, 0.5, 0.6, 0.7])])
    for path in ([0.9 + 0.02 * t for t in range(12)], [0.1 * t for t in range(15)]):
        spectra = [torch.cat([base, torch.tensor([1.0, value])]).double() for value in path]
        found = follow([diagonal(spectrum) for spectrum in spectra], 1007, seed)
        for pairs, spectrum in zip(found, spectra, strict=True):
            assert abs(float(pairs.values[0] - spectrum.max())) <= 1e-3 * float(spectrum.max())


@pytest.mark.parametrize("seed", range(4))
def test_what_appears_orthogonally_to_all_that_was_known_is_seen_soon(seed: int) -> None:
    base = torch.cat([bulk(1000), torch.tensor([0.3, 0.4, 0.5, 0.6, 0.7])])
    spectra = [torch.cat([base, torch.tensor([1.0, value])]).double() for value in (0.0, 0.0, 1.5, 1.5, 1.5, 1.5)]
    found = follow([diagonal(spectrum) for spectrum in spectra], 1007, seed)
    assert float(found[1].values[0]) == pytest.approx(1.0, abs=1e-3)
    assert [float(pairs.values[0]) for pairs in found[4:]] == pytest.approx([1.5, 1.5], abs=2e-3)


def test_a_start_orthogonal_to_the_wanted_eigenvector_is_overcome_by_the_next() -> None:
    spectrum = torch.cat([bulk(500), torch.tensor([0.5, 1.0])]).double()
    only = torch.zeros(1, 502, dtype=torch.float64)
    only[0, 500] = 1.0
    first = extreme_eigenpairs(diagonal(spectrum), only)
    assert float(first.values[0]) == pytest.approx(0.5)
    found = [first]
    for step in range(4):
        found.append(extreme_eigenpairs(diagonal(spectrum), start(502, seed=step), previous=found[-1]))
    assert float(found[-1].values[0]) == pytest.approx(1.0, abs=1e-3)


def test_what_is_remembered_of_another_matrix_does_no_harm() -> None:
    first, second = SPECTRA["bulk and spikes"].double(), -SPECTRA["outliers"].double()
    second = torch.cat([second, second[:1]])[torch.randperm(len(first), generator=generator(2))]
    found = follow([diagonal(first), diagonal(second)], len(first))[-1]
    assert float((found.values[0] - second.max()).abs()) <= 1e-2 * float(second.abs().max())
    other = extreme_eigenpairs(diagonal(SPECTRA["no bulk"]), start(400), previous=found)  # of another size
    assert float(other.values[0]) == pytest.approx(float(SPECTRA["no bulk"].max()), rel=1e-3)


def test_several_at_both_ends_are_followed() -> None:
    spectra = [torch.cat([bulk(800), torch.tensor([1.0, 0.8, 0.6, -0.9]) * (1 + 0.03 * t)]).double() for t in range(6)]
    found = follow([diagonal(spectrum) for spectrum in spectra], 804, largest=3, smallest=1)
    for pairs, spectrum in zip(found, spectra, strict=True):
        wanted = torch.cat([spectrum.topk(3).values, spectrum.min()[None]])
        assert float((pairs.values - wanted).abs().max()) <= 1e-3
    assert found[-1].products < found[0].products


def test_what_is_not_finite_is_said() -> None:
    broken = lambda block: block * float("nan")  # noqa: E731
    with pytest.raises(ValueError, match="not finite"):
        extreme_eigenpairs(broken, start(10))
    with pytest.raises(ValueError, match="not finite"):
        tridiagonal(broken, start(10), 3)
    case = cases.mlp()
    case.probe[0][0, 0] = float("nan")
    for operator in (hessian(case.loss_at, case.params), live_hessian(case.live_loss(), case.params)):
        with pytest.raises(ValueError, match="not finite"):
            extreme_eigenpairs(operator, start(operator.size))


def test_dependent_rows_are_left_out() -> None:
    block = start(20, 3)
    basis = orthonormalised(block, block.new_empty((0, 20)))
    torch.testing.assert_close(basis @ basis.T, torch.eye(3).double())
    assert len(orthonormalised(torch.cat([block, torch.zeros(1, 20).double()]), basis)) == 0
