"""Extreme eigenvalues of batch Hessians against dense ones, and the inequality they obey."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nbtoolkit.instruments import _batch_hessian_extremes as module
from nbtoolkit.instruments._batch_hessian_extremes import batch_hessian_extremes
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import hessian

SIZES = (8, 16, 32)


def classifier(steps: int = 30, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor, Tensor]:
    """A network in the middle of training on three clusters."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)).to(dtype)
    y = torch.randint(0, 3, (70,))
    x = torch.randn(70, 6, dtype=dtype) + 2 * torch.eye(3, 6, dtype=dtype)[y]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model, x, y


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def spectra(loss_at: LossAt, model: nn.Module, size: int) -> Tensor:
    """Eigenvalues of every batch of the same partition, ascending."""
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))[:64]
    batches = zip(*(part[order].split(size) for part in loss_at.arrays()), strict=True)
    params = dict(model.named_parameters())
    return torch.stack([torch.linalg.eigvalsh(hessian(loss_at.with_probe([b]), params).dense()) for b in batches])


def dense(loss_at: LossAt, model: nn.Module, size: int) -> Tensor:
    """Largest and smallest of them."""
    return spectra(loss_at, model, size)[:, [-1, 0]]


@pytest.mark.parametrize("training", [0, 30, 200])
def test_they_are_those_of_the_dense_hessians(training: int) -> None:
    model, x, y = classifier(training)
    loss_at = LossAt(model, [(x[:40], y[:40]), (x[40:], y[40:])], F.cross_entropy)
    found = batch_hessian_extremes(loss_at, parameters(model), sizes=SIZES, steps=40)
    for place, size in enumerate(SIZES):
        true = dense(loss_at, model, size)
        scale = float(true.abs().max())
        for end, name in enumerate(("largest", "smallest")):
            assert abs(found[name][place] - float(true[:, end].mean())) < 1e-3 * scale
            assert abs(found[name + "_spread"][place] - float(true[:, end].std())) < 1e-3 * scale
    full = dense(loss_at, model, 64)[0]
    assert abs(found["full_largest"] - full[0]) < 1e-3 * full.abs().max()
    assert abs(found["full_smallest"] - full[1]) < 1e-3 * full.abs().max()


@pytest.mark.parametrize("steps", [4, 8, 20])
def test_an_eigenvalue_of_every_batch_lies_within_the_residual(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = classifier()
    loss_at = LossAt(model, (x, y), F.cross_entropy)
    kept: list[tuple[Tensor, Tensor]] = []
    measure = module._of_batches

    def keeping(*args: Any) -> tuple[Tensor, Tensor]:
        kept.append(measure(*args))
        return kept[-1]

    monkeypatch.setattr(module, "_of_batches", keeping)
    found = batch_hessian_extremes(loss_at, parameters(model), sizes=SIZES, steps=steps)
    for place, size in enumerate(SIZES):
        values, residuals = kept[place]
        assert values.shape == (64 // size, 2)
        distance = (values[:, :, None] - spectra(loss_at, model, size)[:, None]).abs().min(-1).values
        assert bool((distance <= residuals + 1e-12).all())
        missed = (values - dense(loss_at, model, size)).abs()
        assert steps < 20 or bool((missed <= residuals + 1e-12).all())
        assert found["residual"][place] == residuals.max()


@pytest.mark.parametrize("training", [0, 30, 200])
def test_batches_are_sharper_than_all_together(training: int) -> None:
    model, x, y = classifier(training)
    found = batch_hessian_extremes(LossAt(model, (x, y), F.cross_entropy), parameters(model), sizes=SIZES)
    largest, smallest = [*found["largest"], found["full_largest"]], [*found["smallest"], found["full_smallest"]]
    assert np.all(np.diff(largest) <= 1e-4 * largest[0])
    assert np.all(np.diff(smallest) >= -1e-4 * largest[0])


def test_how_batches_are_grouped_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = classifier()
    loss_at = LossAt(model, (x, y), F.cross_entropy)
    together = batch_hessian_extremes(loss_at, parameters(model), sizes=SIZES, steps=40)
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    for name, value in batch_hessian_extremes(loss_at, parameters(model), sizes=SIZES, steps=40).items():
        if name not in ("residual", "full_residual"):
            np.testing.assert_allclose(value, together[name], rtol=1e-3)


def test_out_of_memory_halves_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = classifier()
    loss_at = LossAt(model, (x, y), F.cross_entropy)
    made, seen = module.BatchHessians, []

    def scarce(loss_at: LossAt, at: Any, inputs: Tensor, targets: Tensor) -> Any:
        seen.append(len(inputs))
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("full")
        return made(loss_at, at, inputs, targets)

    monkeypatch.setattr(module, "BatchHessians", scarce)
    found = batch_hessian_extremes(loss_at, parameters(model), sizes=(8,), steps=40)
    assert seen == [8, 4, 2, 2, 2, 2]
    assert abs(found["largest"][0] - float(dense(loss_at, model, 8)[:, 0].mean())) < 1e-3 * found["largest"][0]


def test_batch_statistics_and_dropout_are_those_of_the_batch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3)).double()
    x, y = torch.randn(70, 6, dtype=torch.float64), torch.randint(0, 3, (70,))
    loss_at = LossAt(model, (x, y), F.cross_entropy)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    found = batch_hessian_extremes(loss_at, parameters(model), sizes=SIZES, steps=60)
    true = dense(loss_at, model, 16)
    assert abs(found["largest"][1] - float(true[:, 0].mean())) < 1e-3 * float(true.abs().max())
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_sizes_that_do_not_fit() -> None:
    model, x, y = classifier()
    loss_at = LossAt(model, (x, y), F.cross_entropy)
    found = batch_hessian_extremes(loss_at, parameters(model), sizes=(64, 128))
    assert np.isfinite(found["largest"][0])
    assert np.isnan(found["largest"][1])
    assert np.isnan(found["largest_spread"]).all()  # of a single batch there is none
    with pytest.raises(ValueError, match=r"70 examples do not make equal batches of each of \[32, 33\].*1056 at least"):
        batch_hessian_extremes(loss_at, parameters(model), sizes=(32, 33))
    with pytest.raises(ValueError, match="must have 128 at least"):
        batch_hessian_extremes(loss_at, parameters(model), sizes=(128, 256))


def test_the_declared_cost_is_that_of_the_operations() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    x, y = torch.randn(128, 64), torch.randint(0, 10, (128,))
    loss_at = LossAt(model, (x, y), F.cross_entropy)
    item = batch_hessian_extremes.using(sizes=(32, 64), steps=10)
    with FlopCounterMode(display=False) as forward:
        model(x)
    with FlopCounterMode(display=False) as measured, torch.no_grad():
        item.measure(loss_at, parameters(model))
    passes = measured.get_total_flops() / forward.get_total_flops()
    assert abs(passes - item.forward_passes()) <= 0.25 * item.forward_passes(), passes
