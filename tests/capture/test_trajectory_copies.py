"""The copies that a run keeps for its trajectory: only at steps at which an instrument looked at it."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit import instruments


def steps_kept(steps: int, name: str, **settings: Any) -> list[int]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if settings.get("other") is ...:
        settings["other"] = {key: tensor + 0.1 for key, tensor in model.state_dict().items()}
    item = getattr(instruments, name).using(every=1, **settings)
    run = nbtoolkit.watch(model, optimizer, probe=(x, y), loss=F.cross_entropy, instruments=[item], budget=1e9)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert run[name].sizes["step"] == steps
    assert not run.notes
    run.detach()
    assert run.subject is not None
    return run.subject._passed.steps


UNUSED: list[tuple[str, dict[str, Any]]] = [
    ("landscape_slice", {"points": 3}),
    ("linear_barrier", {"points": 3, "other": ...}),
    ("permutation_alignment", {"points": 3, "other": ...}),
    ("feature_similarity", {"other": ...}),
]


@pytest.mark.parametrize(("name", "settings"), UNUSED, ids=str)
def test_nothing_is_copied_for_who_does_not_look(name: str, settings: dict[str, Any]) -> None:
    assert steps_kept(3, name, **settings) == []


USED: list[tuple[str, dict[str, Any]]] = [
    ("trajectory_pca", {}),
    ("landscape_slice", {"points": 3, "directions": "trajectory"}),
    ("linear_barrier", {"points": 3}),
    ("barrier_matrix", {"points": 3, "copies": 3}),
    ("feature_similarity", {}),
]


@pytest.mark.parametrize(("name", "settings"), USED, ids=str)
def test_who_looks_finds_all_steps_from_the_first_on(name: str, settings: dict[str, Any]) -> None:
    assert steps_kept(4, name, **settings) == [0, 1, 2, 3]
