"""The edge of the singular values of noise, with and without something in it."""

import numpy as np
import pytest
import torch

from nbtoolkit.numerics import noise_edge
from nbtoolkit.numerics.ranks import singular_values


def gaussian(rows: int, columns: int, deviation: float, seed: int) -> torch.Tensor:
    return deviation * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_median_is_that_of_the_published_threshold() -> None:
    """The threshold for unknown noise is 2.858 medians where it is 4/sqrt(3) deviations: Gavish & Donoho (2014)."""
    assert (4 / 3**0.5) / noise_edge.median(1.0) ** 0.5 == pytest.approx(2.858, abs=5e-4)


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.05])
def test_the_median_halves_the_density(ratio: float) -> None:
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    roots = np.linspace(low**0.5, high**0.5, 400_001)  # of x, in which the density has no pole
    x = roots**2
    density = np.sqrt(np.clip((high - x) * (x - low), 0, None)) / (2 * np.pi * ratio * np.maximum(x, 1e-12)) * 2 * roots
    assert np.trapezoid(density, roots) == pytest.approx(1, abs=1e-4)
    below = x <= noise_edge.median(ratio)
    assert np.trapezoid(density[below], roots[below]) == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("shape", [(256, 256), (128, 512), (512, 100)])
def test_the_edge_of_gaussian_noise_is_found_within_two_percent(shape: tuple[int, int]) -> None:
    for seed in range(3):
        values = singular_values(gaussian(*shape, 0.3, seed))
        found = noise_edge.noise(values, *shape)
        assert found == pytest.approx(0.3, rel=0.02)
        assert noise_edge.edge(0.3, *shape) == 0.3 * (shape[0] ** 0.5 + shape[1] ** 0.5)
        assert float(values[0]) == pytest.approx(noise_edge.edge(found or 0.0, *shape), rel=0.05)


def test_planted_outliers_leave_the_noise_as_it_was_and_are_counted() -> None:
    rows, columns = 150, 200
    for seed in range(3):
        noise = gaussian(rows, columns, 0.1, seed)
        signal = 8 * gaussian(rows, 5, 0.1, seed + 10) @ gaussian(5, columns, 0.1, seed + 20)
        values = singular_values(noise + signal)
        found = noise_edge.noise(values, rows, columns)
        assert found == pytest.approx(0.1, rel=0.05)
        assert int((values > noise_edge.highest(found or 0.0, rows, columns)).sum()) == 5


def test_the_highest_by_hand() -> None:
    wanted = (400 + 2.0234 * 20 * 0.2 ** (1 / 3)) ** 0.5  # sqrt(n - 1) = sqrt(p) = 10
    assert noise_edge.highest(0.5, 100, 101) == pytest.approx(0.5 * wanted, rel=1e-12)
    assert noise_edge.highest(0.5, 101, 100) == pytest.approx(0.5 * wanted, rel=1e-12)


def test_noise_alone_exceeds_its_highest_once_in_a_hundred_times() -> None:
    rows, columns, draws = 20, 30, 4000
    batch = torch.randn(draws, rows, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    largest = torch.linalg.svdvals(batch)[:, 0]
    share = float((largest > noise_edge.highest(1.0, rows, columns)).double().mean())
    assert 0.004 < share < 0.018  # 0.01 +- 3 standard errors, and the law is one of large matrices


def test_few_values_tell_nothing() -> None:
    assert noise_edge.noise(torch.ones(9), 9, 20) is None
    assert noise_edge.noise(torch.ones(10).double(), 10, 20) is not None
