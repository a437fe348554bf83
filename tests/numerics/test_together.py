"""A probe shared out over processes gives the matrix of the whole."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics import gauss_newton, products
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.statistics import with_statistics
from nbtoolkit.numerics.together import Together, checksum, shared_out
from tests.numerics.processes import each

COUNT = 3
MATRICES = {
    "hessian": products.hessian, "gauss_newton": gauss_newton.gauss_newton, "fisher": gauss_newton.fisher,
    "empirical_fisher": gauss_newton.empirical_fisher,
}  # fmt: skip
PRECISION = {torch.float64: 1e-10, torch.float32: 1e-6}


def net(dtype: torch.dtype = torch.float64, *extra: nn.Module) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), *extra, nn.Linear(6, 3)).to(dtype)


def batch(size: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(size, 4, generator=draw).to(dtype), torch.randint(0, 3, (size,), generator=draw)


def at(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def alone(parts: list[Tensor]) -> list[Tensor]:
    """What one process would bring into a sum."""
    return parts


def summed(loss_at: LossAt, make: Callable[..., Any], each_one: list[Together], block: Tensor) -> Tensor:
    """The products of all processes, added up by hand."""
    total = torch.zeros_like(block)
    for together in each_one:
        loss_at.together = together
        total += make(loss_at, at(loss_at.model))(block)
    loss_at.together = None
    return total


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(("sizes", "cut"), [((5, 4, 3, 7), False), ((5, 4), False), ((11,), True), ((2,), True)])
def test_product_is_that_of_the_whole(dtype: torch.dtype, matrix: str, sizes: tuple[int, ...], cut: bool) -> None:
    loss_at = LossAt(net(dtype), [batch(n, dtype, n) for n in sizes], F.cross_entropy)
    whole = MATRICES[matrix](loss_at, at(loss_at.model))
    block = torch.randn(2, whole.size, dtype=dtype)
    ways = [Together(rank, COUNT, alone, cut=cut) for rank in range(COUNT)]
    wanted, found = whole(block), summed(loss_at, MATRICES[matrix], ways, block)
    assert (found - wanted).norm() <= PRECISION[dtype] * wanted.norm()
    shares = torch.tensor([sum(weight for weight, _ in way.batches(loss_at)) for way in ways])
    assert shares.sum() == pytest.approx(1)
    if sum(sizes) > COUNT:
        assert (shares > 0).sum() == min(COUNT, COUNT if cut else len(sizes))


def test_gradient_is_that_of_the_whole() -> None:
    loss_at = LossAt(net(), [batch(5), batch(3, seed=1)], F.cross_entropy)
    wanted = products.hessian(loss_at, at(loss_at.model)).gradient()
    total = torch.zeros_like(wanted)
    for rank in range(COUNT):
        loss_at.together = Together(rank, COUNT, alone)
        total += products.hessian(loss_at, at(loss_at.model)).gradient()
    assert torch.allclose(total, wanted, rtol=1e-12)


def test_mean_over_live_losses() -> None:
    model = net()
    own = [F.cross_entropy(model(x), y) for x, y in (batch(4, seed=seed) for seed in range(COUNT))]
    wanted = products.live_hessian(torch.stack(own).mean(), at(model))
    block = torch.randn(2, wanted.size, dtype=torch.float64)
    parts = [products.live_hessian(own[r], at(model), Together(r, COUNT, alone))(block) for r in range(COUNT)]
    assert torch.allclose(sum(parts, torch.zeros_like(block)), wanted(block), rtol=1e-10)


def decided(model: nn.Module, probe: Any, loss: Any = F.cross_entropy) -> list[Together | None]:
    """How threads decide to share a probe out; ``probe(rank)`` may differ."""

    def work(rank: int, total: Any) -> Any:
        loss_at = LossAt(copy.deepcopy(model), probe(rank), loss)
        return shared_out(loss_at, at(loss_at.model), Together(rank, COUNT, total))

    return each(COUNT, work)


def forms(found: list[Together | None]) -> set[tuple[bool, bool]]:
    assert all(isinstance(one, Together) for one in found), found
    return {(one.alike, one.cut) for one in found if one is not None}


def test_many_batches_are_dealt_out() -> None:
    found = decided(net(), lambda rank: [batch(4, seed=seed) for seed in range(COUNT)])
    assert forms(found) == {(True, False)}


def test_one_batch_is_cut() -> None:
    assert forms(decided(net(), lambda rank: batch(10))) == {(True, True)}
    frozen = net(torch.float64, nn.BatchNorm1d(6)).eval()
    assert forms(decided(frozen, lambda rank: batch(10))) == {(True, True)}


def test_batch_whose_parts_are_not_the_whole_is_not_cut() -> None:
    assert forms(decided(net(torch.float64, nn.BatchNorm1d(6)), lambda rank: batch(10))) == {(True, False)}
    assert forms(decided(net(torch.float64, nn.Dropout(0.5)), lambda rank: batch(10))) == {(True, False)}
    rare = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64))
    assert forms(decided(net(), lambda rank: batch(10), rare)) == {(True, False)}
    uncut = decided(net(), lambda rank: (batch(10)[0], batch(1)[1]), lambda out, y: out.square().mean() + 0 * y.sum())
    assert forms(uncut) == {(True, False)}


def test_different_probes_are_parts_weighted_by_examples() -> None:
    found = decided(net(), lambda rank: batch(2 + rank, seed=rank))
    assert forms(found) == {(False, False)}
    assert [one.weight for one in found if one is not None] == pytest.approx([2 / 9, 3 / 9, 4 / 9])
    whole = LossAt(net(), [batch(2 + rank, seed=rank) for rank in range(COUNT)], F.cross_entropy)
    wanted = products.hessian(whole, at(whole.model))
    vector = torch.randn(wanted.size, dtype=torch.float64)
    total = torch.zeros_like(vector)
    for rank, one in enumerate(found):
        own = LossAt(net(), batch(2 + rank, seed=rank), F.cross_entropy)
        assert one is not None
        own.together = Together(rank, COUNT, alone, alike=False, weight=one.weight)
        total += products.hessian(own, at(own.model))(vector)
    assert torch.allclose(total, wanted(vector), rtol=1e-10)


def test_function_is_computed_whole() -> None:
    assert decided(net(), lambda rank: lambda model: model(batch(3)[0]).sum(), None) == [None] * COUNT


def test_checksum_tells_batches_apart() -> None:
    x, y = batch(5)
    known = checksum([(x, y)])
    assert known == checksum([(x.clone(), y.clone())])
    other = x.clone()
    other[0, 0] += 1e-12
    assert len({known, checksum([(other, y)]), checksum([(x, y), (x, y)]), checksum([(x.reshape(4, 5), y)])}) == 4
    assert known < 2**48


def test_memory_is_the_least_of_all() -> None:
    loss_at = LossAt(net(), batch(5), F.cross_entropy)

    def work(rank: int, total: Any) -> float:
        own = LossAt(copy.deepcopy(loss_at.model), batch(5), F.cross_entropy)
        own.together = Together(rank, COUNT, total)
        operator = products.hessian(own, at(own.model))
        operator.on_host = False
        return operator.agreed(100.0 - rank)

    assert each(COUNT, work) == [98.0] * COUNT
    assert products.hessian(loss_at, at(loss_at.model)).agreed(7.0) == 7.0


def test_statistics_of_the_whole_probe_are_not_shared_out() -> None:
    loss_at = LossAt(net(torch.float64, nn.BatchNorm1d(6)), batch(9), F.cross_entropy)
    loss_at.together = Together(0, COUNT, alone, cut=True)
    assert with_statistics(loss_at, "reestimated").together is None
    assert with_statistics(loss_at, "frozen").together is loss_at.together
    assert loss_at.with_probe(batch(3)).together is None
