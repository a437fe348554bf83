"""Hidden units by layer: planted ones in given activations, and those of a model in training."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import Unknown, unit_activity


def test_planted_units_are_found_in_every_layer() -> None:
    raw = torch.randn(40, 9, dtype=torch.float64)
    raw[:, 0] = 1
    first = torch.linalg.qr(raw).Q[:, 1:].float()  # eight units without correlation
    first[:, 6] = 2 * first[:, 0]  # a duplicate
    first[:, 7] *= 1e-3  # dormant, not dead
    second = torch.rand(40, 4) + 1
    second[:, :3] = 0
    found = unit_activity({"a": None, "b": first, "c": second})
    np.testing.assert_array_equal(found["dormant"], [np.nan, 1 / 8, 3 / 4])
    np.testing.assert_array_equal(found["dead"], [np.nan, 0, 3 / 4])
    np.testing.assert_array_equal(found["distinct"], [np.nan, 7 / 8, 1 / 4])
    assert found["active"][1] == pytest.approx(float((first > 0).float().mean()))
    assert found["active"][2] == 1 / 4
    assert found["total_dormant"] == (1 + 3) / 12  # of all units, not the mean of the layers
    assert unit_activity({"b": first}, duplicate=1.0)["distinct"][0] == 1.0
    assert unit_activity({"b": first}, threshold=0.0)["dormant"][0] == 0


def test_a_silent_layer_is_dormant_and_not_unknown() -> None:
    found = unit_activity({"a": torch.zeros(5, 3)})
    shares = {name: float(value.squeeze()) for name, value in found.items()}
    assert shares == {"total_dormant": 1, "dormant": 1, "dead": 1, "active": 0, "distinct": 0}


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_not_finite_is_nan_in_its_layer(broken: float) -> None:
    wrong = torch.rand(5, 3)
    wrong[2, 1] = broken
    found = unit_activity({"a": torch.rand(5, 3), "b": wrong})
    for name in ("dormant", "dead", "active", "distinct"):
        assert np.isfinite(found[name][0])
        assert np.isnan(found[name][1])
    assert np.isnan(found["total_dormant"])


def test_without_hidden_units_there_is_a_reason() -> None:
    found = unit_activity.measure({"a": None})
    assert all(isinstance(value, Unknown) and "no layer" in value.reason for value in found.values())
    with pytest.raises(ValueError, match="threshold=-1: expected a number from 0 to 1"):
        unit_activity({"a": None}, threshold=-1)


class Kinds(nn.Module):
    """A convolution's channels, a sequence's features, and what is flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 4, 3)
        self.mix, self.out = nn.Linear(16, 5), nn.Linear(20, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.two(torch.relu(self.one(x))))  # (N, 4, 4, 4)
        sequence = torch.relu(self.mix(maps.flatten(2)))  # (N, 4, 16) -> (N, 4, 5)
        return self.out(sequence.flatten(1))


def test_units_are_channels_features_or_flattened_ones() -> None:
    model, x, y = Kinds(), torch.randn(30, 1, 8, 8), torch.arange(30) % 3
    with torch.no_grad():
        for part in model.one.parameters():
            part[1:3] = 0  # two of six channels
        for part in model.two.parameters():
            part[0] = -1  # one of four, 16 positions of each; what enters is not negative
        for part in model.mix.parameters():
            part[4] = 0  # one of five features
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nbtoolkit.watch(model, optimizer, instruments=[unit_activity], loss=F.cross_entropy, probe=(x, y)) as run:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    found = run["unit_activity"].isel(step=0)
    assert list(found.layer.values) == ["one", "two", "mix", "out"]
    assert np.isnan(found.dead.sel(layer="one"))
    assert float(found.dead.sel(layer="two")) == 2 / 6
    # The first of the sequence's four elements is silent; a feature is one of 16 places in all four.
    assert float(found.dead.sel(layer="mix")) == 0
    assert float(found.dead.sel(layer="out")) >= 4 / 20
    assert float(found.active.sel(layer="mix")) <= 3 / 4
    assert float(found.total_dormant) > 0


def test_in_a_run_they_are_those_of_the_model_at_each_step_without_its_dropout() -> None:
    model = nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 3)
    )
    x, y = torch.randn(60, 8), torch.arange(60) % 3
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    watched = unit_activity.using(every=4, threshold=0.2)
    wanted = []
    with nbtoolkit.watch(
        model, optimizer, instruments=[watched], loss=F.cross_entropy, probe=(x, y), budget=1e6
    ) as run:
        for step in range(9):
            if step % 4 == 0:
                with torch.no_grad():
                    hidden = [model.eval()[:2](x), model[:6](x)]
                model.train()
                wanted.append([float((h.mean(0) <= 0.2 * h.mean()).double().mean()) for h in hidden])
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    found = run["unit_activity"]
    assert list(found.layer.values) == ["0", "3", "4", "6"]
    np.testing.assert_allclose(found.dormant.sel(layer=["3", "6"]), wanted, rtol=1e-12)
    assert np.isnan(found.dormant.sel(layer=["0", "4"])).all()
    assert len(np.unique(found.dormant.sel(layer="3"))) > 1
    total = found.dormant.sel(layer="3") * 32 / 56 + found.dormant.sel(layer="6") * 24 / 56
    np.testing.assert_allclose(found.total_dormant, total, rtol=1e-12)
