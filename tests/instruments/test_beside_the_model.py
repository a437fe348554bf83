"""Tensors of the optimizer that are not the model's: they move nothing in the probe, and nothing fails over them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit import instruments


def run(*, temperature: bool, learns: bool = False) -> tuple[nbtoolkit.Run, dict[str, Tensor], torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    learned = torch.ones(1, requires_grad=True)
    if temperature:
        optimizer.add_param_group({"params": [learned]})
    attached = [instruments.trajectory_pca.using(every=1)]
    watched = nbtoolkit.watch(
        model, optimizer, probe=(x, y), loss=F.cross_entropy, instruments=attached, budget=1e9
    )  # fmt: skip
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x) * (learned if learns else learned.detach()), y).backward()
        optimizer.step()
    return watched, {name: tensor + 0.1 for name, tensor in model.state_dict().items()}, optimizer


MEASURED: list[tuple[str, dict[str, Any]]] = [
    ("hessian_trace", {}),
    ("sharpness", {}),
    ("layer_sharpness", {}),
    ("perturbed_loss_gap", {}),
    ("landscape_slice", {"points": 3, "directions": "gaussian"}),
    ("landscape_slice", {"points": 3, "directions": "trajectory"}),
    ("linear_barrier", {"points": 3, "layers": True}),
    ("linear_barrier", {"points": 3, "other": ...}),
    ("barrier_matrix", {"points": 3, "copies": 3}),
    ("permutation_alignment", {"points": 3}),
    ("permutation_alignment", {"points": 3, "other": ...}),
    ("feature_similarity", {}),
    ("feature_similarity", {"other": ...}),
]


@pytest.mark.parametrize(("name", "settings"), MEASURED, ids=str)
def test_a_learned_temperature_changes_no_measurement_of_the_probe(name: str, settings: dict[str, Any]) -> None:
    found = []
    for temperature in (False, True):
        watched, other, _alive = run(temperature=temperature)
        given: dict[str, Any] = {key: other if value is ... else value for key, value in settings.items()}
        measured = watched.measure(getattr(instruments, name), **given)
        found.append({key: measured[key].isel(step=-1) for key in measured.data_vars})
        watched.detach()
    for key, alone in found[0].items():
        beside = found[1][key]
        if beside.sizes.get("layer"):  # the temperature is a layer by itself
            assert list(beside.layer.values) == ["0", "2", "group1"]
            value = beside.sel(layer="group1").values
            assert (value == 0).all() if name == "layer_sharpness" else np.isnan(value).all()
            kept = {dim: ["0", "2"] for dim in beside.dims if dim in ("layer", "layer_other")}
            beside = beside.sel(kept)
        # Random vectors are drawn over one number more, so that what only starts from them ends elsewhere, too.
        if name not in ("hessian_trace", "perturbed_loss_gap") and not key.endswith(("error", "products")):
            np.testing.assert_allclose(beside.values, alone.values, rtol=2e-2, atol=1e-5)
        assert np.isfinite(beside.values).any() == np.isfinite(alone.values).any()


def test_the_path_of_a_temperature_that_learns_is_part_of_the_plane() -> None:
    watched, _, _alive = run(temperature=True, learns=True)
    found = watched.measure(instruments.landscape_slice, points=3, directions="trajectory")
    assert np.isfinite(found.loss_slice.values).all()
    assert np.isfinite(found.path_loss.values[-1]).sum() == 4
    assert not watched.notes


def test_parameters_of_which_none_is_the_models_are_refused() -> None:
    model = nn.Linear(2, 2)
    loss_at = instruments.LossAt(model, (torch.ones(1, 2), torch.zeros(1).long()), F.cross_entropy)
    with pytest.raises(ValueError, match=r"none of the parameters given is the model's: group0\.0"):
        loss_at({"group0.0": torch.ones(2, 2)})
