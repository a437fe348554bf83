"""Curvature of the live run: of the loss that the step follows, or of a probe, or a reason why not."""

import gc
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import Discovery
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import (
    batch_hessian_extremes,
    hessian_density,
    layer_sharpness,
    loss,
    perturbed_loss_gap,
    sharpness,
    top_eigenvalues,
)
from tests import problems

EXACT = sharpness.using(every=1, tolerance=1e-9, products=400)


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbtoolkit.capture.schedule.Schedule._stretch", lambda *args: None)


def dense(value: Tensor, params: list[Tensor]) -> Tensor:
    """The Hessian of a loss with its graph, entry by entry."""
    grads = torch.autograd.grad(value, params, create_graph=True)
    flat = torch.cat([grad.reshape(-1) for grad in grads])
    rows = [torch.autograd.grad(entry, params, retain_graph=True, materialize_grads=True) for entry in flat]
    return torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])


def noisy() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A float64 network whose loss depends on batch statistics and on random numbers."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Tanh(), nn.Dropout(0.4), nn.Flatten(), nn.Linear(32, 3)
    ).double()
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def test_the_live_value_is_that_of_the_step_with_its_own_dropout_and_batch_statistics() -> None:
    model, optimizer = noisy()
    expected = []
    with nbtoolkit.watch(model, optimizer, instruments=[EXACT]) as run:
        for _ in range(4):
            x, y = torch.randn(16, 1, 6, 6, dtype=torch.float64), torch.randint(0, 3, (16,))
            optimizer.zero_grad()
            value = F.cross_entropy(model(x), y)
            eigenvalues = torch.linalg.eigvalsh(dense(value, list(model.parameters())))
            expected.append((float(eigenvalues[-1]), float(eigenvalues[0])))
            value.backward()
            optimizer.step()
    found = run["sharpness"]
    np.testing.assert_allclose(found["sharpness"], [top for top, _ in expected], rtol=1e-7)
    np.testing.assert_allclose(found["smallest_eigenvalue"], [low for _, low in expected], atol=1e-7)


def test_a_probe_of_the_same_data_gives_the_same_as_the_live_loss() -> None:
    problem = problems.mlp(dtype=torch.float64)
    torch.manual_seed(0)
    nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))  # the random numbers that made the model
    x, y = torch.randn(32, 8, dtype=torch.float64), torch.randint(0, 3, (32,))
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[EXACT]) as live:
        problem.train(3)
    other = problems.mlp(dtype=torch.float64)
    watched = nbtoolkit.watch(other.model, other.optimizer, instruments=[EXACT], loss=F.cross_entropy, probe=(x, y))
    with watched as probed:
        other.train(3)
    np.testing.assert_allclose(probed["sharpness"]["sharpness"], live["sharpness"]["sharpness"], rtol=1e-9)


@pytest.mark.parametrize("name", ["mlp", "cnn", "transformer", "tied", "bf16", "lbfgs", "scaled"])
def test_it_is_measured_at_every_step_of(name: str) -> None:
    problem = problems.ALL[name]()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[sharpness.using(every=1, products=6)]) as run:
        problem.train(4)
    assert run["sharpness"]["step"].values.tolist() == [0, 1, 2, 3]
    assert (run["sharpness"]["sharpness"] > 0).all()
    assert not run.notes


def test_a_scaled_loss_has_the_curvature_of_the_unscaled_one() -> None:
    for divide in (False, True):
        problem = problems.scaled(divide=divide)
        plain = problems.scaled(divide=divide)
        x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
        value = F.cross_entropy(plain.model(x), y) / (2 if divide else 1)
        top = float(torch.linalg.eigvalsh(dense(value, list(plain.model.parameters())))[-1])
        torch.manual_seed(1)
        with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[EXACT.using(tolerance=1e-5)]) as run:
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
            scaled = scaler.scale(F.cross_entropy(problem.model(x), y))
            (scaled / 2 if divide else scaled).backward()
            scaler.step(problem.optimizer)
        assert float(run["sharpness"]["sharpness"][0]) == pytest.approx(top, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("accumulation", "the loss of a step comes in 4 backward passes"),
        ("compiled", "the loss of this step cannot be differentiated twice"),
    ],
)
def test_where_no_graph_holds_the_loss_it_is_nan_and_says_what_to_do(name: str, reason: str) -> None:
    problem = problems.ALL[name]()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[sharpness.using(every=1), loss]) as run:
        problem.train(3)
    found = run["sharpness"]["sharpness"]
    assert np.isnan(found).all()
    assert len(found) == 3
    assert reason in found.attrs["not_measured"]
    assert "give a probe: watch(..., loss=F, probe=(inputs, targets))" in found.attrs["not_measured"]
    assert np.isfinite(run["loss"]["loss"]).all()


@pytest.mark.parametrize("name", ["accumulation", "compiled", "gan"])
def test_there_a_probe_helps(name: str) -> None:
    problem = problems.ALL[name]()
    if name == "gan":
        real, ones = torch.randn(16, 2), torch.ones(16, 1)
        options: dict[str, Any] = {"loss": F.binary_cross_entropy_with_logits, "probe": (real, ones)}
    else:
        options = {"loss": F.cross_entropy, "probe": (torch.randn(32, 8), torch.randint(0, 3, (32,)))}
    few = sharpness.using(every=1, products=6)
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[few], **options) as run:
        problem.train(3)
    assert np.isfinite(run["sharpness"]["sharpness"]).all()
    assert not run.notes


def test_the_two_losses_of_a_gan_are_told_apart() -> None:
    problem = problems.gan()
    few = sharpness.using(every=1, products=6)
    with (
        nbtoolkit.watch(problem.models["discriminator"], problem.optimizers["opt_d"], instruments=[few]) as d,
        nbtoolkit.watch(problem.models["generator"], problem.optimizers["opt_g"], instruments=[few]) as g,
    ):
        problem.train(3)
    assert "2 backward passes" in d["sharpness"]["sharpness"].attrs["not_measured"]
    assert np.isfinite(g["sharpness"]["sharpness"]).all()


def test_a_run_found_by_itself_measures_from_its_second_step_on() -> None:
    problem = problems.mlp()
    with Discovery({**problem.models, **problem.optimizers}, instruments=[sharpness.using(every=1)]) as found:
        problem.train(4)
    assert found.runs[0]["sharpness"]["step"].values.tolist() == [1, 2, 3]
    assert np.isfinite(found.runs[0]["sharpness"]["sharpness"]).all()


def test_gradients_thrown_away_take_their_measurement_along() -> None:
    problem = problems.mlp(dtype=torch.float64)
    model, optimizer = problem.model, problem.optimizer
    x, y = torch.randn(32, 8, dtype=torch.float64), torch.randint(0, 3, (32,))
    with nbtoolkit.watch(model, optimizer, instruments=[EXACT]) as run:
        (100 * F.cross_entropy(model(x), y)).backward()
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        top = float(torch.linalg.eigvalsh(dense(value, list(model.parameters())))[-1])
        value.backward()
        optimizer.step()
    assert run["sharpness"]["sharpness"].values == pytest.approx([top], rel=1e-7)


def test_the_edge_follows_the_schedule() -> None:
    problem = problems.mlp(lr=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(problem.optimizer, 2, 0.5)
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[sharpness.using(every=1)]) as run:
        for _ in range(5):
            problem.step()
            schedule.step()
    np.testing.assert_allclose(run["sharpness"]["edge"], [4, 4, 8, 8, 16])
    ratio = run["sharpness"]["sharpness"] / run["sharpness"]["edge"]
    np.testing.assert_allclose(run["sharpness"]["instability_ratio"], ratio)


def test_a_loss_that_is_nan_gives_nan_and_training_goes_on() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[sharpness.using(every=1)]) as run:
        problem.train(1)
        with torch.no_grad():
            problem.model[0].weight[0, 0] = float("nan")  # type: ignore[index]
        problem.train(2)
    assert np.isnan(run["sharpness"]["sharpness"].values).tolist() == [False, True, True]
    assert "not finite" in run["sharpness"]["sharpness"].attrs["not_measured"]
    assert run.step == 3


def test_memory_that_runs_out_gives_nan_and_training_goes_on() -> None:
    def greedy(model: nn.Module) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[sharpness.using(every=1)], probe=greedy) as run:
        problem.train(3)
    assert "out of memory" in run["sharpness"]["sharpness"].attrs["not_measured"]
    assert run.step == 3


def test_layers_are_no_sharper_than_the_whole() -> None:
    problem = problems.tied()
    few = [sharpness.using(every=1), layer_sharpness.using(every=1), top_eigenvalues.using(every=1, top=3)]
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=few) as run:
        problem.train(3)
    layers = run["layer_sharpness"]
    assert layers["layer"].values.tolist() == ["embed", "unused"]
    assert (layers["sharpness"].sel(layer="embed") > 0).all()
    assert (layers["sharpness"].sel(layer="unused") == 0).all()
    assert (layers["sharpness"] <= run["sharpness"]["sharpness"] + layers["error"] + 1e-6).all()
    top = run["top_eigenvalues"]["eigenvalue"]
    np.testing.assert_allclose(top.sel(rank=1), run["sharpness"]["sharpness"], rtol=2e-3)
    assert (top.diff("rank") <= 1e-6).all()


def test_after_the_run_and_with_another_probe() -> None:
    problem = problems.mlp()
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[loss]) as run:
        problem.train(5)
        with pytest.raises(WatchError, match=r"hessian_density needs the loss as a function.*give a probe"):
            run.measure(hessian_density)
    found = run.measure(hessian_density, loss=F.cross_entropy, probe=(x, y), probes=3, steps=12)
    assert found["step"].values.tolist() == [5]
    assert found["ritz_value"].shape == (1, 3, 12)
    np.testing.assert_allclose(found["ritz_weight"].sum("node"), 1, atol=1e-6)
    del problem
    gc.collect()
    with pytest.raises(WatchError, match="no longer exists"):
        run.measure(sharpness, loss=F.cross_entropy, probe=(x, y))


def test_a_run_read_from_a_file_has_no_model_to_measure(tmp_path: Any) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(2)
    with pytest.raises(WatchError, match="there is no model to measure"):
        nbtoolkit.open_run(run.save(tmp_path / "run.zarr")).measure(sharpness)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": F.mse_loss}, "give probe=.inputs, targets. too"),
        ({"probe": torch.zeros(3)}, "probe is a Tensor without loss="),
        ({"probe": 3, "loss": F.mse_loss}, "probe is a int; give one batch"),
    ],
)
def test_probes_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    problem = problems.mlp()
    with pytest.raises(WatchError, match=message):
        nbtoolkit.watch(problem.model, problem.optimizer, **options)


def test_labels_come_from_the_settings() -> None:
    problem = problems.mlp()
    probe = (torch.randn(64, 8), torch.randint(0, 3, (64,)))
    chosen = [
        batch_hessian_extremes.using(sizes=(16, 32), steps=4),
        perturbed_loss_gap.using(radii=(0.1, 0.3)),
        top_eigenvalues.using(top=2),
    ]
    with nbtoolkit.watch(
        problem.model, problem.optimizer, instruments=chosen, loss=F.cross_entropy, probe=probe
    ) as run:
        problem.train(1)
    assert run["batch_hessian_extremes"]["batch_size"].values.tolist() == [16, 32]
    assert run["perturbed_loss_gap"]["radius"].values.tolist() == [0.1, 0.3]
    assert run["top_eigenvalues"]["rank"].values.tolist() == [1, 2]


def test_a_measurement_before_the_first_step_leaves_the_start_known() -> None:
    problem = problems.mlp()
    weights = nbtoolkit.instruments.weight_norm.using(every=1)
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[weights]) as run:
        run.measure(nbtoolkit.instruments.grad_norm)
        problem.train(3)
    distance = run["weight_norm"]["total_distance"].values
    assert distance[0] == 0
    assert (distance[1:] > 0).all()
