"""What an evaluation of tasks must not do to a model that does more than multiply matrices."""

import copy
import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver
from torch.nn import functional as F

from nbtoolkit.instruments._averaged import averaged_weights
from nbtoolkit.numerics.tasks import Tasks
from nbtoolkit.numerics.tasks_at import TasksAt


def pair(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator), torch.randint(0, 4, (count,), generator=generator)


def params(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


@functools.lru_cache
def positions(count: int) -> Tensor:
    return torch.linspace(0.5, 1.5, count)


class Cached(nn.Module):
    """Takes a tensor from a cache that all models share."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x).relu() * positions(6))


class Energy(Cached):
    """Follows the gradient of an energy in its forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.first(z).square().sum(), z, create_graph=True)
        return self.head(self.first(x + slope).relu())


class Counting(Cached):
    """Counts its calls, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) + self.calls * torch.arange(4)


def quantized() -> nn.Module:
    observed = FakeQuantize(observer=MovingAverageMinMaxObserver)
    return nn.Sequential(nn.Linear(5, 6), observed, nn.ReLU(), nn.Linear(6, 4))


class Drawing(Cached):
    """Draws from the global generators from its sixth step on."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        shift = random.random() + np.random.randn() if self.steps > 5 else 0.0  # noqa: NPY002
        return super().forward(x) + shift * torch.arange(4)


def everything(model: nn.Module) -> Any:
    numpy = np.random.get_state()  # noqa: NPY002
    told = random.getstate(), numpy[1].tolist(), numpy[2:], torch.get_rng_state()  # type: ignore[union-attr, index]
    return copy.deepcopy((dict(model.state_dict()), told))


def trained(make: Callable[[], nn.Module], watched: bool) -> Any:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    positions.cache_clear()
    model, (x, y) = make(), pair(20, 0)
    tasks = TasksAt(model, Tasks({"a": pair(20, 1), "b": pair(9, 2)}))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    reached = []
    for _ in range(12):
        if watched:
            tasks.check(params(model))
            tasks.accuracy(params(model), 7, ["b"])
            tasks.accuracy(params(model))
            tasks.loss_at("a")(params(model))
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        reached.append(everything(model))
    return reached


@pytest.mark.parametrize("make", [Cached, Energy, Counting, quantized, Drawing])
def test_the_training_is_the_same_to_the_last_bit(make: Callable[[], nn.Module]) -> None:
    torch.testing.assert_close(trained(make, watched=True), trained(make, watched=False), rtol=0, atol=0)


def test_evaluations_do_not_add_up_in_buffers() -> None:
    torch.manual_seed(0)
    model, (x, y) = Counting(), pair(40, 1)
    tasks = TasksAt(model, Tasks({"a": (x, y)}))
    model(x)
    with torch.no_grad():
        wanted = float((copy.deepcopy(model)(x).argmax(1) == y).sum())
    other = {name: param.clone() for name, param in params(model).items()}
    for given in (params(model), params(model), other, other):
        assert tasks.accuracy(given)[0].tolist() == [wanted]


def test_buffers_that_are_given_are_not_written_into() -> None:
    model = Counting()
    tasks, x = TasksAt(model, Tasks({"a": pair(20, 1)})), pair(3, 0)[0]
    average = torch.optim.swa_utils.AveragedModel(model)
    average(x)
    tasks.accuracy(averaged_weights(model, average))
    tasks.accuracy({**params(model), **dict(model.named_buffers())})
    tasks.loss_at("a")(averaged_weights(model, average))
    assert [float(one.calls) for one in (model, average.module)] == [0, 1]  # type: ignore[arg-type]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).relu()


@pytest.mark.parametrize("in_place", [True, False])
def test_parts_that_are_compiled_are_compiled_no_more(in_place: bool) -> None:
    torch._dynamo.reset()
    compiled: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(1)
        return graph.forward

    block: Any = Block()
    if in_place:
        block.compile(backend=backend)
    else:
        block = torch.compile(block, backend=backend)
    model, (x, y) = nn.Sequential(block, nn.Linear(6, 4)), pair(20, 0)
    model(x)
    assert len(compiled) == 1
    tasks = TasksAt(model, Tasks({"a": (x, y), "b": pair(9, 2)}))
    wanted = float((copy.deepcopy(model)(x).argmax(1) == y).sum())
    before = len(compiled)
    for examples in (None, 3, 5):
        tasks.check(params(model))
        found, _ = tasks.accuracy(params(model), examples)
        if examples is None:
            assert float(found[0]) == wanted
    model(x)
    assert len(compiled) == before


def test_tied_weights_are_averaged_as_one() -> None:
    class Tied(nn.Module):
        def __init__(self, tied: bool = True) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 4)
            if tied:
                self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.second(self.first(x).relu()).relu())

    torch.manual_seed(0)
    model, (x, y) = Tied(), pair(40, 1)
    average = torch.optim.swa_utils.AveragedModel(Tied())
    weights = averaged_weights(model, average)
    assert "second.weight" not in weights
    found, _ = TasksAt(model, Tasks({"a": (x, y)})).accuracy(weights)
    assert found.tolist() == [float((average(x).argmax(1) == y).sum())]
    apart = Tied(tied=False)
    with pytest.raises(ValueError, match=r"weights first\.weight and second\.weight, which are one in the model"):
        averaged_weights(model, apart)
    with torch.no_grad():
        apart.second.weight.copy_(apart.first.weight)
    assert torch.equal(averaged_weights(model, apart)["first.weight"], apart.first.weight)
