"""Training watched by the instruments of plasticity: bit for bit as without, and every value there or explained."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import (
    Instrument,
    averaged_weights_gap,
    effective_rank,
    layer_spectrum,
    logit_stats,
    trainability_probe,
    unit_activity,
    weight_stats,
)
from tests import problems
from tests.capture.test_bit_for_bit import differences, everything

STEPS = 12
WATCHED = (
    unit_activity.using(every=1), effective_rank.using(every=2), layer_spectrum.using(every=3),
    trainability_probe.using(every=3, steps=3, examples=20), weight_stats.using(every=1), logit_stats.using(every=1),
    averaged_weights_gap.using(every=2, decay=0.5),
)  # fmt: skip
PROBES: dict[str, Callable[[], Any]] = {
    "mlp": lambda: (torch.randn(24, 8), torch.arange(24) % 3),
    "cnn": lambda: (torch.randn(24, 1, 8, 8), torch.arange(24) % 3),
    "bf16": lambda: (torch.randn(24, 8), torch.arange(24) % 3),
    "tied": lambda: (torch.arange(21) % 7, torch.arange(21) % 7),
    "transformer": lambda: (torch.arange(40).reshape(5, 8) % 11, torch.arange(40).reshape(5, 8) % 11),
}


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbtoolkit.capture.schedule.Schedule._stretch", lambda *args: None)


def trained(name: str, instruments: tuple[Instrument, ...] = (), *, probe: bool = True) -> tuple[dict[str, Any], Any]:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    problem = problems.ALL[name]()
    if not instruments:
        problem.train(STEPS)
        return everything(problem), None
    state = torch.get_rng_state()
    seen: dict[str, Any] = {"loss": loss, "probe": PROBES[name]()} if probe else {}
    torch.set_rng_state(state)
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=instruments, **seen) as run:
        problem.train(STEPS)
    return everything(problem), run


@pytest.mark.parametrize("name", PROBES)
def test_watched_equals_unwatched_and_what_is_missing_is_explained(name: str) -> None:
    plain, _ = trained(name)
    watched, run = trained(name, WATCHED)
    assert differences(plain, watched) == []
    for item in WATCHED:
        found = run[item.name]
        assert list(found.step.values) == list(range(0, STEPS, item.every))
        for key in item.outputs:
            missing = np.isnan(found[key].values)
            told = str(found[key].attrs.get("not_measured", ""))
            room = "index" in found[key].dims
            assert not missing.any() or told or room, f"{item.name}.{key} is missing without a reason"
            assert "Error" not in told, told
            assert not missing.all() or told
    if name != "tied":  # whose only hidden units enter a frozen layer, and a matrix that belongs to the embedding
        assert np.isfinite(run["unit_activity"].total_dormant).all()


def test_without_a_probe_hidden_units_are_those_of_training() -> None:
    plain, _ = trained("cnn")
    items = (unit_activity.using(every=1), effective_rank.using(every=3), averaged_weights_gap.using(every=1))
    watched, run = trained("cnn", items, probe=False)
    assert differences(plain, watched) == []
    last = run["unit_activity"].sel(layer="5")
    assert np.isfinite(last.dead).all()
    assert float(last.active.max()) < 0.5  # dropout, and half of the rest
    assert np.isfinite(run["averaged_weights_gap"].distance).all()
    assert "give probe=" in run["averaged_weights_gap"].gap.attrs["not_measured"]


def test_plasticity_is_lost_on_random_labels_and_all_of_them_see_it() -> None:
    """Few tasks with a step that is too large: units die, ranks fall, and new labels are harder to learn."""
    torch.manual_seed(0)
    widths = (20, 32, 32, 32, 5)
    layers = [part for i, o in itertools.pairwise(widths) for part in (nn.Linear(i, o), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    x, targets = torch.randn(100, 20), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    items = (
        unit_activity.using(every=300), effective_rank.using(every=300),
        trainability_probe.using(every=300, steps=60, lr=0.003), weight_stats.using(every=300),
    )  # fmt: skip
    probe = (x, torch.arange(100) % 5)
    with nbtoolkit.watch(model, optimizer, instruments=items, loss=F.cross_entropy, probe=probe) as run:
        for _ in range(20):
            y = torch.randint(5, (100,), generator=targets)
            for _ in range(60):
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
        data = {item.name: run.measure(item) for item in items}
    units, ranks, probes = data["unit_activity"], data["effective_rank"], data["trainability_probe"]
    assert float(units.total_dormant[0]) < 0.1 < 0.3 < float(units.total_dormant[-1])
    assert float(ranks.effective_rank[-1].sel(layer="6")) < 0.5 * float(ranks.effective_rank[0].sel(layer="6"))
    assert float(probes.ratio[0]) == 1 < 1.1 < float(probes.ratio[-1])
    assert float(data["weight_stats"].total_flipped[-1]) > 0.1
