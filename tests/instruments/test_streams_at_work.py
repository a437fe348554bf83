"""The instruments of a task stream in a real run: nothing changes, everything is labelled, the metrics follow."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit import analysis
from nbtoolkit.capture.run import Run
from nbtoolkit.instruments import accuracy_matrix, gradient_conflict, linear_probe, stability_gap, term_conflict

OF_A_STREAM = [
    accuracy_matrix, stability_gap.using(every=3, dense=4, examples=30), gradient_conflict.using(every=2),
    linear_probe, term_conflict.using(every=3),
]  # fmt: skip
STEPS = 10


def data() -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 6, generator=generator)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    return {"one": (x, y), "other": (x.flip(1), y)}


def trained(*, watched: bool) -> tuple[nn.Module, Run | None]:
    """Batch statistics, dropout and momentum; two tasks, the first a second time."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    run = None
    if watched:
        run = nbtoolkit.watch(model, optimizer, tasks=data(), instruments=OF_A_STREAM, budget=1e6)
    for name in ("one", "other", "one"):
        if run is not None:
            run.begin_task(name)
        x, y = data()[name]
        for _ in range(STEPS):
            places = torch.randint(0, 60, (16,))
            optimizer.zero_grad()
            fit, decay = F.cross_entropy(model(x[places]), y[places]), 1e-3 * model[4].weight.square().sum()  # type: ignore[union-attr]
            if run is not None:
                run.log_terms(fit=fit, decay=decay)
            (fit + decay).backward()
            optimizer.step()
    if run is not None:
        run.detach()
    return model, run


@pytest.fixture(scope="module")
def run() -> Run:
    found = trained(watched=True)[1]
    assert found is not None
    return found


def test_the_training_is_the_same_bit_for_bit() -> None:
    states = [trained(watched=watched)[0].state_dict() for watched in (False, True)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_everything_is_measured_or_explained(run: Run) -> None:
    assert run.notes == []
    for item in OF_A_STREAM:
        ds = run[item.name]
        for name, values in ds.data_vars.items():
            assert np.isfinite(values).any(), f"{item.name}.{name} is nowhere measured"
    split = run["gradient_conflict"]
    assert "no other task was trained before" in split["stability"].attrs["not_measured"]
    assert np.isfinite(split["opposition"].sel(step=slice(STEPS, None))).all()
    assert "not_measured" not in split["condition"].attrs


def test_rows_and_columns_have_their_names(run: Run) -> None:
    matrix = run["accuracy_matrix"]
    assert matrix.task_trained.values.tolist() == ["one", "other", "one (2)"]
    assert matrix.task_evaluated.values.tolist() == ["one", "other"]
    last = matrix["accuracy"].isel(step=-1)
    assert np.isfinite(last).all()
    assert np.isnan(matrix["accuracy"].isel(step=1).sel(task_trained="other")).all()
    assert list(run["gradient_conflict"].task_other.values) == ["one", "other"]
    assert list(run["term_conflict"].term_other.values) == ["fit", "decay"]
    probe = run["linear_probe"]["probe_accuracy"]
    assert np.isfinite(probe.isel(step=-1).sel(layer="4")).all()
    assert np.isnan(probe.sel(layer=["0", "1"])).all()


def test_the_gap_is_dense_after_each_boundary(run: Run) -> None:
    steps = run["stability_gap"].step.values.tolist()
    for boundary in (0, STEPS, 2 * STEPS):
        assert set(range(boundary, boundary + 4)) <= set(steps)
    assert steps[-1] == 3 * STEPS
    training = run["stability_gap"]["training"]
    assert training.sel(step=STEPS).values.tolist() == [0, 1]  # before the first step on the second task
    assert training.sel(step=STEPS - 1).values.tolist() == [1, 0]


def test_metrics_follow_from_a_run_and_from_its_file(run: Run, tmp_path: Path) -> None:
    found = analysis.transfer(run)
    ends = run["accuracy_matrix"]["accuracy"].isel(step=-1).values
    assert float(found["average_accuracy"]) == pytest.approx(ends[2].mean(), abs=1e-12)
    assert float(found["backward_transfer"]) == pytest.approx(ends[2, 1] - ends[1, 1], abs=1e-12)
    curves = run["stability_gap"]
    after = curves["accuracy"].sel(task_evaluated="other").where(curves.step > 2 * STEPS)
    assert float(found["min_accuracy"]) == pytest.approx(float(after.min()), abs=1e-12)
    again = nbtoolkit.open_run(run.save(tmp_path / "run.zarr"))
    for same in (again, run.data):
        other = analysis.transfer(same)
        for name in found:
            np.testing.assert_array_equal(other[name], found[name])
    gaps = analysis.stability_gaps(run)
    assert gaps.task_trained.values.tolist() == ["one", "other", "one (2)"]
    assert float(gaps["level"].sel(task_trained="one (2)", task_evaluated="other")) == float(
        curves["accuracy"].sel(task_evaluated="other", step=2 * STEPS)
    )
