"""Ranks of planted spectra, and singular values that keep their digits."""

import math

import pytest
import torch

from nbtoolkit.numerics import ranks


def planted(values: torch.Tensor, rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    sides = [
        torch.linalg.qr(torch.randn(size, len(values), generator=generator, dtype=torch.float64)).Q
        for size in (rows, columns)
    ]
    return (sides[0] * values) @ sides[1].T


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (12, 12), (3000, 8), (8, 3000)])
def test_a_planted_spectrum_is_found_to_its_last_digits(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "CHUNK", 2000)  # several parts
    values = 10.0 ** -torch.arange(8, dtype=torch.float64)  # a Gram matrix would lose the last ones
    found = ranks.singular_values(planted(values, *shape))
    assert len(found) == min(shape)
    torch.testing.assert_close(found[:8], values, rtol=0, atol=1e-14)
    torch.testing.assert_close(found[:8], values, rtol=1e-7, atol=0)


@pytest.mark.parametrize("shape", [(500, 6), (6, 500), (9, 7)])
def test_centred_is_without_the_mean_row(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "CHUNK", 300)
    matrix = torch.randn(*shape, dtype=torch.float64) + 5
    wanted = torch.linalg.svdvals(matrix - matrix.mean(0))
    torch.testing.assert_close(ranks.singular_values(matrix, centred=True), wanted, rtol=0, atol=1e-12)
    assert float(ranks.singular_values(matrix)[0]) > 2 * float(wanted[0])


def test_effective_rank_of_known_spectra() -> None:
    assert ranks.effective_rank(torch.tensor([3.0, 0.0, 0.0]).double()) == 1.0
    assert ranks.effective_rank(torch.full((7,), 0.2).double()) == pytest.approx(7, rel=1e-14)
    half = 0.5 ** torch.arange(40, dtype=torch.float64)
    # p_k = (1 - r) r^k has the entropy -ln(1 - r) - r ln(r) / (1 - r), which is 2 ln 2 for r = 1/2.
    assert ranks.effective_rank(half) == pytest.approx(4.0, rel=1e-10)
    matrix = planted(torch.tensor([4.0, 2.0, 1.0]).double(), 20, 9)
    p = [4 / 7, 2 / 7, 1 / 7]
    wanted = math.exp(-sum(share * math.log(share) for share in p))
    assert ranks.effective_rank(ranks.singular_values(matrix)) == pytest.approx(wanted, rel=1e-12)
    assert ranks.effective_rank(ranks.singular_values(1e-3 * matrix)) == pytest.approx(wanted, rel=1e-12)
    assert math.isnan(ranks.effective_rank(torch.zeros(3)))


def test_srank_counts_until_the_share_is_reached() -> None:
    values = torch.tensor([5.0, 3.0, 1.0, 1.0]).double()
    assert [ranks.srank(values, delta) for delta in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5)] == [4, 4, 3, 3, 2, 2, 1]
    assert ranks.srank(torch.ones(100).double() / 3, 0.01) == 99
    assert ranks.srank(torch.tensor([1.0, 0.0]), 0.0) == 1
    assert math.isnan(ranks.srank(torch.zeros(3), 0.01))


def test_stable_and_numerical_rank() -> None:
    assert ranks.stable_rank(torch.tensor([2.0, 1.0, 1.0]).double()) == 1.5
    values = torch.tensor([1.0, 1e-3, 1e-9]).double()
    matrix = planted(values, 20, 10)
    assert ranks.numerical_rank(matrix) == 3
    assert ranks.numerical_rank(matrix.float()) == 2  # the third is below the rounding of float32
    assert ranks.numerical_rank(torch.zeros(4, 3)) == 0
