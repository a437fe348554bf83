"""The noise scale against planted covariances, a loop over single examples, and itself over many draws."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nbtoolkit.instruments._gradient_noise_scale import gradient_noise_scale
from nbtoolkit.numerics.loss_at import LossAt

Measured = dict[str, np.ndarray]


class Shift(nn.Module):
    """With loss w'x its gradient is x: what is planted in the inputs is what must be found."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


def mean_output(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.mean()


def planted(inputs: Tensor, **settings: Any) -> Measured:
    model = Shift(inputs.shape[1])
    loss_at = LossAt(model, (inputs, torch.zeros(len(inputs))), mean_output)
    return gradient_noise_scale(loss_at, parameters(model), settings.pop("memory", {}), **settings)


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def draws(seed: int, count: int, mean: Tensor, spread: Tensor) -> Tensor:
    return mean + spread * torch.randn(
        count, len(mean), generator=torch.Generator().manual_seed(seed), dtype=mean.dtype
    )


MEAN = torch.tensor([0.5, -0.2, 0.1, 0.0], dtype=torch.float64)
SPREAD = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
VARIANCE, SQUARE = float(SPREAD.square().sum()), float(MEAN.square().sum())


@pytest.mark.parametrize("method", ["exact", "two_batch"])
def test_a_planted_covariance_is_found(method: str) -> None:
    found = planted(draws(0, 8192, MEAN, SPREAD), examples=8192, method=method)
    assert abs(found["gradient_variance"] / VARIANCE - 1) < 0.1
    assert abs(found["gradient_square"] / SQUARE - 1) < 0.1
    assert abs(found["noise_scale"] / (VARIANCE / SQUARE) - 1) < 0.1


@pytest.mark.parametrize("method", ["exact", "two_batch"])
def test_both_parts_are_unbiased_and_their_errors_true(method: str) -> None:
    names = ("gradient_variance", "gradient_square")
    runs = [planted(draws(seed, 256, MEAN, SPREAD), method=method) for seed in range(200)]
    for name, truth in zip(names, (VARIANCE, SQUARE), strict=True):
        values = np.array([run[name] for run in runs])
        assert abs(values.mean() - truth) < 3 * values.std(ddof=1) / math.sqrt(len(values))
        claimed = np.sqrt(np.mean([run[name + "_error"] ** 2 for run in runs]))
        assert 0.85 < claimed / values.std(ddof=1) < 1.2


def test_the_error_of_the_ratio_is_true() -> None:
    mean = 5 * MEAN
    runs = [planted(draws(seed, 512, mean, SPREAD)) for seed in range(100)]
    values = np.array([run["noise_scale"] for run in runs])
    claimed = np.sqrt(np.mean([run["noise_scale_error"] ** 2 for run in runs]))
    assert 0.8 < claimed / values.std(ddof=1) < 1.25


def classifier(dtype: torch.dtype = torch.float64) -> tuple[nn.Module, LossAt]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.GroupNorm(1, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 36, 4)
    ).to(dtype)  # fmt: skip
    model[0].bias.requires_grad_(False)  # type: ignore[union-attr]
    x, y = torch.randn(40, 1, 8, 8, dtype=dtype), torch.randint(0, 4, (40,))
    return model, LossAt(model, [(x[:30], y[:30]), (x[30:], y[30:])], F.cross_entropy)


def one_by_one(model: nn.Module, loss_at: LossAt) -> Tensor:
    trained = [param for param in model.parameters() if param.requires_grad]
    rows = []
    for x, y in zip(*loss_at.arrays(), strict=True):
        found = torch.autograd.grad(F.cross_entropy(model(x[None]), y[None]), trained)
        rows.append(torch.cat([part.flatten() for part in found]))
    return torch.stack(rows)


def test_it_equals_a_loop_over_single_examples() -> None:
    model, loss_at = classifier()
    rows = one_by_one(model, loss_at)
    variance = (rows - rows.mean(0)).square().sum() / (len(rows) - 1)
    square = rows.mean(0).square().sum() - variance / len(rows)
    found = gradient_noise_scale(loss_at, parameters(model), {})
    for name, value in (
        ("gradient_variance", variance), ("gradient_square", square), ("noise_scale", variance / square)
    ):  # fmt: skip
        assert abs(found[name] / float(value) - 1) < 1e-10


def test_two_batches_are_the_pair_of_equations_of_the_paper() -> None:
    model, loss_at = classifier()
    found = gradient_noise_scale(loss_at, parameters(model), {}, method="two_batch", small=8)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    small = one_by_one(model, loss_at)[order].unflatten(0, (5, 8)).mean(1)
    at_small, at_big = small.square().sum(1).mean(), small.mean(0).square().sum()
    square = (40 * at_big - 8 * at_small) / (40 - 8)
    variance = (at_small - at_big) / (1 / 8 - 1 / 40)
    assert abs(found["gradient_square"] / float(square) - 1) < 1e-10
    assert abs(found["gradient_variance"] / float(variance) - 1) < 1e-10


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, loss_at = classifier()
    whole = gradient_noise_scale(loss_at, parameters(model), {})
    monkeypatch.setattr("nbtoolkit.numerics.per_example.BYTES", 7 * 8 * 500)
    for name, value in gradient_noise_scale(loss_at, parameters(model), {}).items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-10)


def test_noise_that_drowns_the_gradient_gives_nan_and_keeps_the_parts() -> None:
    inputs = draws(3, 64, 0 * MEAN, SPREAD)
    inputs = inputs - inputs.mean(0)
    found = planted(inputs)
    assert np.isnan(found["noise_scale"])
    assert np.isnan(found["noise_scale_error"])
    assert found["gradient_square"] < 0
    assert found["gradient_square_error"] > 0
    assert found["gradient_variance"] > 0


def test_the_whole_population_leaves_nothing_to_guess() -> None:
    inputs = draws(0, 96, MEAN, SPREAD)
    found = planted(inputs, population=96)
    assert abs(found["gradient_square"] / float(inputs.mean(0).square().sum()) - 1) < 1e-10
    assert found["noise_scale_error"] == 0
    runs = [planted(inputs, population=96, examples=32, seed=seed)["gradient_square"] for seed in range(200)]
    assert abs(np.mean(runs) - found["gradient_square"]) < 3 * np.std(runs, ddof=1) / math.sqrt(len(runs))
    with pytest.raises(ValueError, match="96 examples cannot come from a population of 50"):
        planted(inputs, population=50)


def test_two_batches_are_smoothed_over_measurements() -> None:
    inputs, memory = draws(0, 4096, MEAN, SPREAD), {}
    runs = [planted(inputs, method="two_batch", memory=memory, smoothing=0.5) for _ in range(3)]
    fresh = [planted(inputs, method="two_batch", seed=seed) for seed in range(3)]  # each draws anew
    expected = sum(w * run["gradient_variance"] for w, run in zip((0.25, 0.5, 1.0), fresh, strict=True)) / 1.75
    np.testing.assert_allclose(runs[-1]["gradient_variance"], expected)
    assert runs[-1]["gradient_variance_error"] < runs[0]["gradient_variance_error"]
    assert memory["measured"] == 3


@pytest.mark.parametrize("method", ["exact", "two_batch"])
def test_dropout_is_part_of_the_noise(method: str) -> None:
    """Masks are independent between examples, else |G|^2 would be too large."""
    model = nn.Sequential(nn.Linear(4, 64, bias=False), nn.Dropout(0.5), nn.Linear(64, 1, bias=False)).double()
    model[0].requires_grad_(False)
    inputs = torch.ones(512, 4, dtype=torch.float64)
    loss_at = LossAt(model, (inputs, torch.zeros(512)), mean_output)
    hidden = model[0](inputs[:1])[0].detach()
    found = gradient_noise_scale(loss_at, parameters(model), {}, method=method, small=8)
    assert abs(found["gradient_variance"] / float(hidden.square().sum()) - 1) < 0.1
    miss = abs(found["gradient_square"] - float(hidden.square().sum()))
    assert miss < 4 * found["gradient_square_error"] + 1e-9


def test_batch_statistics_are_refused_in_train_mode_only() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    loss_at = LossAt(model, (torch.randn(32, 4), torch.randint(0, 2, (32,))), F.cross_entropy)
    with pytest.raises(ValueError, match="BatchNorm1d in train mode makes the gradient of an example depend"):
        gradient_noise_scale(loss_at, parameters(model), {})
    model.eval()
    assert np.isfinite(gradient_noise_scale(loss_at, parameters(model), {})["gradient_variance"])


def test_what_cannot_be_measured_says_why() -> None:
    model, loss_at = classifier()
    params = parameters(model)
    with pytest.raises(ValueError, match="method='both': expected one of exact, two_batch"):
        gradient_noise_scale(loss_at, params, {}, method="both")
    with pytest.raises(ValueError, match="40 examples make 1 batches of 32; two are needed"):
        gradient_noise_scale(loss_at, params, {}, method="two_batch", small=32)
    with pytest.raises(ValueError, match="a probe that is a function cannot be cut into examples"):
        gradient_noise_scale(LossAt(model, lambda model: model(torch.zeros(1))), params, {})


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() > 0 else -self.inner(x)


def test_a_model_that_cannot_be_mapped_points_to_the_other_method() -> None:
    model = Branching()
    loss_at = LossAt(model, (torch.randn(64, 4), torch.randint(0, 2, (64,))), F.cross_entropy)
    with pytest.raises(RuntimeError, match="try method='two_batch'"):
        gradient_noise_scale(loss_at, parameters(model), {})
    found = gradient_noise_scale(loss_at, parameters(model), {}, method="two_batch")
    assert np.isfinite(found["gradient_variance"])


@pytest.mark.parametrize("method", ["exact", "two_batch"])
def test_random_numbers_are_left_alone(method: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    loss_at = LossAt(model, (torch.randn(64, 4), torch.randint(0, 2, (64,))), F.cross_entropy)
    before = torch.get_rng_state()
    one = gradient_noise_scale(loss_at, parameters(model), {}, method=method)
    assert torch.equal(torch.get_rng_state(), before)
    assert one == gradient_noise_scale(loss_at, parameters(model), {}, method=method)
    assert all(param.grad is None for param in model.parameters())


@pytest.mark.parametrize("method", ["exact", "two_batch"])
def test_the_declared_cost_is_that_of_the_operations(method: str) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    x, y = torch.randn(128, 64), torch.randint(0, 10, (128,))
    loss_at = LossAt(model, (x, y), F.cross_entropy)
    item = gradient_noise_scale.using(method=method)
    with FlopCounterMode(display=False) as forward:
        model(x)
    with FlopCounterMode(display=False) as measured, torch.no_grad():
        item.measure(loss_at, parameters(model), {})
    passes = measured.get_total_flops() / forward.get_total_flops()
    assert abs(passes - item.forward_passes()) <= 0.25 * item.forward_passes()
