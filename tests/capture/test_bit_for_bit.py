"""Watching leaves training bit for bit as it was: weights, buffers, optimizer, random numbers."""

import copy
import random
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import nbtoolkit
from tests import problems

STEPS = 23


def everything(problem: problems.Problem) -> dict[str, Any]:
    """All state that training has and that watching could disturb."""
    return copy.deepcopy(
        {
            "models": {name: model.state_dict() for name, model in problem.models.items()},
            "gradients": {
                f"{name}.{key}": param.grad
                for name, model in problem.models.items()
                for key, param in model.named_parameters()
            },
            "modes": {name: [m.training for m in model.modules()] for name, model in problem.models.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in problem.optimizers.items()},
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state(),  # noqa: NPY002 - the global state is what user code draws from
            "python": random.getstate(),
        }
    )


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two nested states differ in a single bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
        return [] if same else [path]
    if isinstance(a, np.ndarray):
        return [] if a.tobytes() == b.tobytes() else [path]
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return [path]
        return [where for key in a for where in differences(a[key], b[key], f"{path}/{key}")]
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return [path]
        return [w for i, (x, y) in enumerate(zip(a, b, strict=True)) for w in differences(x, y, f"{path}/{i}")]
    return [] if a == b else [path]


def read_everything(run: nbtoolkit.Run) -> None:
    run.data.to_dict()


BRIEF = {"products": 5, "probes": 2, "steps": 3, "points": 5, "copies": 3}


def brief(item: nbtoolkit.instruments.Instrument) -> nbtoolkit.instruments.Instrument:
    """A costly instrument at its shortest: what it does is done, but fewer times."""
    brief: dict[str, Any] = {key: value for key, value in BRIEF.items() if key in item.settings}
    return item.using(**brief)


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costly instruments too at every step, whatever the budget says."""
    monkeypatch.setattr("nbtoolkit.capture.schedule.Schedule._stretch", lambda *args: None)


def trained(name: str, *, watched: bool, **options: Any) -> dict[str, Any]:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    problem = problems.ALL[name]()
    with ExitStack() as stack:
        if watched:
            every_step = [brief(item).using(every=1) for item in nbtoolkit.instruments.known().values()]
            models = list(problem.models.values())
            for model, optimizer in zip(models, problem.optimizers.values(), strict=True):
                run = nbtoolkit.watch(model, optimizer, instruments=every_step, **options)
                run.listeners.append(read_everything)
                stack.enter_context(run)
        problem.train(STEPS)
    return everything(problem)


@pytest.mark.parametrize("name", problems.ALL)
def test_watched_equals_unwatched(name: str) -> None:
    assert differences(trained(name, watched=False), trained(name, watched=True)) == []


def test_watched_with_store_equals_unwatched(tmp_path: Any) -> None:
    watched = trained("cnn", watched=True, store=tmp_path / "run.zarr")
    assert differences(trained("cnn", watched=False), watched) == []


def test_discovered_equals_unwatched() -> None:
    from nbtoolkit.capture import Discovery

    plain = trained("gan", watched=False)
    problem = problems.ALL["gan"]()
    with Discovery({**problem.models, **problem.optimizers}) as found:
        problem.train(STEPS)
    assert {run.name for run in found.runs} == {"opt_d", "opt_g"}
    assert differences({**plain, "python": 0, "numpy": 0}, {**everything(problem), "python": 0, "numpy": 0}) == []


def test_the_comparison_sees_a_single_bit() -> None:
    one, other = {"w": torch.zeros(3)}, {"w": torch.tensor([0.0, -0.0, 0.0])}
    assert differences(one, other) == ["/w"]
    disturbed = trained("cnn", watched=False)
    torch.rand(1)
    assert differences(disturbed, {**disturbed, "torch": torch.get_rng_state()}) == ["/torch"]
