"""The exponential moving average of the weights, against torch's own and in closed form."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import nbtoolkit
from nbtoolkit.instruments import LossAt, Unknown, averaged_weights_gap
from tests import problems

X, Y = torch.randn(40, 8, generator=torch.Generator().manual_seed(5)), torch.arange(40) % 3


def watched(problem: problems.Problem, steps: int, average: AveragedModel | None = None, **settings: Any) -> Any:
    item = averaged_weights_gap.using(every=1, **settings)
    model, optimizer = problem.model, problem.optimizer
    with nbtoolkit.watch(model, optimizer, instruments=[item], loss=F.cross_entropy, probe=(X, Y), budget=1e6) as run:
        for _ in range(steps):
            if average is not None:
                average.update_parameters(model)
            problem.train(1)
    return run["averaged_weights_gap"]


def loss(model: nn.Module) -> float:
    model.eval()
    with torch.no_grad():
        value = float(F.cross_entropy(model(X), Y))
    model.train()
    return value


def test_it_is_the_average_that_torch_keeps() -> None:
    problem = problems.mlp()
    average = AveragedModel(problem.model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    gaps, distances = [], []
    item = averaged_weights_gap.using(every=4, decay=0.8)
    with nbtoolkit.watch(
        problem.model, problem.optimizer, instruments=[item], loss=F.cross_entropy, probe=(X, Y), budget=1e6
    ) as run:
        for step in range(13):
            average.update_parameters(problem.model)
            if step % 4 == 0:
                gaps.append(loss(problem.model) - loss(average.module))
                pairs = zip(problem.model.parameters(), average.module.parameters(), strict=True)
                distances.append(sum(float((p - a).detach().double().square().sum()) for p, a in pairs) ** 0.5)
            problem.train(1)
    found = run["averaged_weights_gap"]
    assert list(found.step.values) == [0, 4, 8, 12]
    np.testing.assert_array_equal(found.gap, np.array(gaps))
    np.testing.assert_allclose(found.distance, distances, rtol=1e-5)
    assert distances[0] == 0 < distances[-1]
    assert (found.horizon == 1 / (1 - 0.8)).all()


def test_no_decay_is_no_average() -> None:
    found = watched(problems.mlp(), 5, decay=0.0)
    np.testing.assert_array_equal(found.gap, 0)
    np.testing.assert_array_equal(found.distance, 0)
    assert (found.horizon == 1).all()


def test_an_average_of_the_users_own_has_its_own_statistics() -> None:
    problem = problems.cnn()
    average = AveragedModel(problem.model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    x, y = torch.randn(20, 1, 8, 8), torch.arange(20) % 3
    loss_at = LossAt(problem.model, (x, y), F.cross_entropy)
    for _ in range(6):
        problem.train(1)
        average.update_parameters(problem.model)
    params = {name: param.detach() for name, param in problem.model.named_parameters()}
    found = averaged_weights_gap.measure(params, {}, loss_at, averaged=average)
    with torch.no_grad():
        wanted = [F.cross_entropy(model.eval()(x), y) for model in (problem.model, average.module)]
    assert float(found["gap"]) == float(wanted[0] - wanted[1])
    assert float(found["distance"]) > 0
    assert isinstance(found["horizon"], Unknown)
    alone = averaged_weights_gap.measure(params, {}, None, averaged=average)
    assert float(alone["distance"]) == float(found["distance"])
    assert isinstance(alone["gap"], Unknown)
    assert "give probe=" in alone["gap"].reason


def test_what_is_no_average_is_said() -> None:
    problem = problems.mlp()
    loss_at = LossAt(problem.model, (X, Y), F.cross_entropy)
    params = {name: param.detach() for name, param in problem.model.named_parameters()}
    nothing = averaged_weights_gap.measure(params, {}, loss_at)
    assert "nothing has been averaged yet" in nothing["gap"].reason
    for decay in (1.0, -0.1, "a", True):
        with pytest.raises(ValueError, match=r"decay=.*: expected a number from 0 to below 1"):
            averaged_weights_gap(params, {}, loss_at, decay=decay)
    for given in (problems.cnn().model, 3):
        for probe in (loss_at, None):
            with pytest.raises(ValueError, match=r"average|architecture"):
                averaged_weights_gap(params, {}, probe, averaged=given)


def test_parameters_of_half_precision_are_averaged_in_float32() -> None:
    memory: dict[str, Any] = {}
    follow = averaged_weights_gap.follow
    assert follow is not None
    settings: dict[str, Any] = {"decay": 0.999, "averaged": None}
    follow({"w": torch.zeros(3, dtype=torch.bfloat16)}, memory, **settings)
    for _ in range(100):
        follow({"w": torch.ones(3, dtype=torch.bfloat16)}, memory, **settings)
    # In bfloat16 a step of 0.001 from 0.256 on would change nothing.
    torch.testing.assert_close(memory["average"]["w"], torch.full((3,), 1 - 0.999**100), rtol=1e-5, atol=0)
    follow({"w": torch.ones(5)}, memory, **settings)  # another tensor begins anew
    assert torch.equal(memory["average"]["w"], torch.ones(5))


@pytest.mark.parametrize("factor", [2, 4])
def test_the_decay_scales_with_the_batch(factor: int) -> None:
    """Batches and learning rate k times as large, decay^k: the same path, up to the size of a step."""

    def path(lr: float, decay: float, steps: int) -> torch.Tensor:
        theta, memory, seen = torch.tensor([1.0, -2.0], dtype=torch.float64), {}, []
        curvature = torch.tensor([1.0, 0.3], dtype=torch.float64)
        assert averaged_weights_gap.follow is not None
        for _ in range(steps):
            averaged_weights_gap.follow({"w": theta}, memory, decay=decay, averaged=None)
            seen.append(memory["average"]["w"].clone())
            theta = theta - lr * curvature * theta
        return torch.stack(seen)

    def error(lr: float) -> float:
        decay = 1 - 2 * lr
        slow, fast = path(lr, decay, 201 * factor), path(factor * lr, decay**factor, 201)
        plain = path(factor * lr, decay, 201)
        distance = float((slow[::factor] - fast).abs().max())
        assert distance < 0.2 * float((slow[::factor] - plain).abs().max())
        return distance

    assert error(0.0025) < 0.6 * error(0.005) < 0.01


def test_the_average_follows_the_model_to_another_precision() -> None:
    follow = averaged_weights_gap.follow
    assert follow is not None
    memory: dict[str, Any] = {}
    follow({"w": torch.zeros(3)}, memory, decay=0.5, averaged=None)
    ones = {"w": torch.ones(3, dtype=torch.float64)}
    follow(ones, memory, decay=0.5, averaged=None)
    torch.testing.assert_close(memory["average"]["w"], torch.full((3,), 0.5, dtype=torch.float64))
    follow({"w": torch.ones(3, device="meta")}, memory, decay=0.5, averaged=None)
    assert memory["average"]["w"].device.type == "meta"

    problem = problems.mlp()
    item = averaged_weights_gap.using(every=1)
    model, optimizer = problem.model, problem.optimizer
    with nbtoolkit.watch(model, optimizer, instruments=[item], budget=1e6) as run:
        problem.train(3)
        model.double()
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(X.double()), Y).backward()
            optimizer.step()
    found = run["averaged_weights_gap"]["distance"].values
    assert len(found) == 6
    assert (found[1:] > 0).all()
