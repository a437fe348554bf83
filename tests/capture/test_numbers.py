"""The numbers that a watched loop gives, against what the loop itself knows."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import Discovery
from tests import problems


def watched(problem: problems.Problem, steps: int, **options) -> nbtoolkit.Run:
    with nbtoolkit.watch(problem.model, problem.optimizer, **options) as run:
        problem.train(steps)
    return run


def test_loss_is_the_one_backward_was_called_on() -> None:
    problem = problems.mlp()
    model = problem.model
    losses = []
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    with nbtoolkit.watch(model, problem.optimizer) as run:
        for _ in range(12):
            problem.optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            losses.append(loss.item())
            problem.optimizer.step()
    assert run["loss"]["loss"].values.tolist() == losses
    assert run["loss"]["step"].values.tolist() == list(range(12))


def test_plain_sgd_updates_by_lr_times_gradient() -> None:
    run = watched(problems.mlp(lr=0.03), 31)
    updates = run["update_ratio"]
    gradients = run["grad_norm"].sel(step=updates.step)
    assert len(updates.step) == 4
    np.testing.assert_allclose(updates["total"], 0.03 * gradients["total"], rtol=1e-6)
    np.testing.assert_allclose(updates["update_norm"], 0.03 * gradients["grad_norm"], rtol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "transformer", "tied"])
def test_squares_of_parameter_norms_sum_to_the_global_square(name: str) -> None:
    run = watched(problems.ALL[name](), 11)
    for group, part, total in [("grad_norm", "grad_norm", "total"), ("weight_norm", "weight_norm", "total")]:
        data = run[group]
        np.testing.assert_allclose((data[part] ** 2).sum("param"), data[total] ** 2, rtol=1e-12)


def test_gradient_norms_equal_a_float64_reference() -> None:
    problem = problems.mlp(dtype=torch.float64)
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(1)
    reference = [float(p.grad.norm()) for p in problem.model.parameters() if p.grad is not None]
    np.testing.assert_allclose(run["grad_norm"]["grad_norm"].values[0], reference, rtol=1e-14)


def test_clipping_bounds_the_recorded_gradient() -> None:
    run = watched(problems.transformer(), 5)
    assert (run["grad_norm"]["total"] <= 0.5 + 1e-5).all()


def test_distance_starts_at_zero_and_weights_are_those_before_the_step() -> None:
    problem = problems.mlp()
    start = torch.cat([p.detach().flatten() for p in problem.model.parameters()]).double().norm()
    run = watched(problem, 21)
    data = run["weight_norm"]
    assert data["total_distance"].values[0] == 0
    assert (np.diff(data["total_distance"]) > 0).all()
    np.testing.assert_allclose(data["total"].values[0], float(start), rtol=1e-6)


def test_learning_rate_is_the_one_the_step_used() -> None:
    problem = problems.cnn()
    used = []
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        for _ in range(9):
            used.append(problem.optimizer.param_groups[0]["lr"])
            problem.step()
    assert run["lr"]["lr"].values[:, 0].tolist() == used
    assert run["lr"]["momentum"].values[:, 0].tolist() == [0.9] * 9


@pytest.mark.parametrize("set_to_none", [True, False])
def test_accumulated_backwards_are_one_step_and_their_losses_add(set_to_none: bool) -> None:
    problem = problems.accumulation(set_to_none=set_to_none)
    model, parts = problem.model, []
    x = [torch.randn(8, 8) for _ in range(4)]
    y = torch.randint(0, 3, (8,))
    with nbtoolkit.watch(model, problem.optimizer) as run:
        for _ in range(3):
            problem.optimizer.zero_grad(set_to_none=set_to_none)
            losses = [F.cross_entropy(model(part), y) / 4 for part in x]
            for loss in losses:
                loss.backward()
            parts.append(sum(loss.item() for loss in losses))
            problem.optimizer.step()
    np.testing.assert_allclose(run["loss"]["loss"], parts, rtol=1e-6)
    assert run.step == 3


@pytest.mark.parametrize("set_to_none", [True, False])
def test_two_optimizers_each_get_their_own_loss(set_to_none: bool) -> None:
    problem = problems.gan(set_to_none=set_to_none)
    with Discovery({**problem.models, **problem.optimizers}) as found:
        problem.train(6)
    for run in found.runs:
        np.testing.assert_allclose(run["loss"]["loss"], problem.extras["seen"][run.name], rtol=1e-6)


def test_losses_of_models_trained_side_by_side_are_kept_apart() -> None:
    one, other = problems.mlp(), problems.mlp(lr=0.2)
    seen: dict[str, list[float]] = {"a": [], "b": []}
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    namespace = {"a": one.optimizer, "b": other.optimizer, "one": one.model, "other": other.model}
    with Discovery(namespace) as found:
        for _ in range(5):
            for problem in (one, other):
                problem.optimizer.zero_grad(set_to_none=False)
            for key, problem in (("a", one), ("b", other)):
                loss = F.cross_entropy(problem.model(x), y)
                loss.backward()
                seen[key].append(loss.item())
            one.optimizer.step()
            other.optimizer.step()
    for run in found.runs:
        np.testing.assert_allclose(run["loss"]["loss"], seen[run.name], rtol=1e-12)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_backward_before_the_first_zero_grad_is_no_part_of_the_first_loss(set_to_none: bool) -> None:
    problem = problems.mlp()
    with Discovery({"model": problem.model, "optimizer": problem.optimizer}) as found:
        problem.model(torch.randn(4, 8)).square().mean().backward()  # somebody looks at a gradient
        problem.optimizer.zero_grad(set_to_none=set_to_none)
        loss = problem.model(torch.randn(4, 8)).square().mean()
        loss.backward()
        problem.optimizer.step()
    assert found.runs[0]["loss"]["loss"].values.tolist() == [loss.item()]


def test_closures_are_measured_at_their_first_evaluation() -> None:
    problem = problems.lbfgs()
    run = watched(problem, 4)
    np.testing.assert_allclose(run["loss"]["loss"], problem.extras["first_losses"], rtol=1e-6)
    assert np.isfinite(run["grad_norm"]["total"]).all()


@pytest.mark.parametrize(("fused", "divide"), [(False, False), (False, True), (True, False)])
def test_a_grad_scaler_leaves_no_trace_in_the_numbers(fused: bool, divide: bool) -> None:
    problem = problems.scaled(fused=fused, divide=divide)
    run = watched(problem, 6)
    np.testing.assert_allclose(run["loss"]["loss"], problem.extras["losses"], rtol=1e-6)
    assert (run["grad_norm"]["total"] < 10).all(), "the gradients are still multiplied by the scale"


def test_a_step_skipped_by_the_scaler_is_no_step_and_its_loss_is_forgotten() -> None:
    problem = problems.mlp()
    model, optimizer = problem.model, problem.optimizer
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    expected = []
    with nbtoolkit.watch(model, optimizer) as run:
        for factor in [1.0, math.inf, 1.0]:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y) * factor
            scaler.scale(loss).backward()
            if math.isfinite(factor):
                expected.append(loss.item())
            scaler.step(optimizer)
            scaler.update()
    np.testing.assert_allclose(run["loss"]["loss"], expected, rtol=1e-6)


def test_a_nan_loss_is_kept_and_said_and_training_goes_on() -> None:
    problem = problems.mlp()
    model, optimizer = problem.model, problem.optimizer
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    with nbtoolkit.watch(model, optimizer) as run:
        for step in range(6):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y) * (math.nan if step == 3 else 1.0)
            loss.backward()
            optimizer.step()
    values = run["loss"]["loss"].values
    assert np.isnan(values).tolist() == [False, False, False, True, True, True]
    assert run["loss"].attrs["first_non_finite_step"] == 3
    assert "loss is not finite from step 3 on" in run.status().notes
    assert run.step == 6


def test_named_terms_sum_to_the_loss() -> None:
    problem = problems.mlp()
    model, optimizer = problem.model, problem.optimizer
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    with nbtoolkit.watch(model, optimizer) as run:
        for _ in range(4):
            optimizer.zero_grad()
            ce, decay = F.cross_entropy(model(x), y), 0.01 * sum(p.pow(2).sum() for p in model.parameters())
            run.log_terms(ce=ce, decay=decay)
            (ce + decay).backward()
            optimizer.step()
    data = run["loss"]
    assert data["term"].values.tolist() == ["ce", "decay"]
    np.testing.assert_allclose(data["terms"].sum("term"), data["loss"], rtol=1e-6)


def test_a_gradient_that_is_missing_is_nan_with_a_reason() -> None:
    run = watched(problems.tied(), 4)
    data = run["grad_norm"]
    assert np.isnan(data["grad_norm"].sel(param="unused.weight")).all()
    assert np.isnan(data["grad_norm"].sel(param="frozen.weight")).all()
    assert np.isfinite(data["grad_norm"].sel(param="embed.weight")).all()
    assert "out.weight" not in data["param"].values, "a tied tensor is counted twice"
    assert "unused.weight" in data["grad_norm"].attrs["not_measured"]
