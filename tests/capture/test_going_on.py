"""A training that goes on from a checkpoint: ``watch(step=)`` continues the axis of steps, and the store."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit import instruments
from nbtoolkit.capture.watch import Discovery
from nbtoolkit.errors import StoreError, WatchError
from tests import problems

SHARPNESS = instruments.sharpness.using(every=4)
CHOSEN = [instruments.loss, SHARPNESS, instruments.weight_norm.using(every=5)]


def watched(problem: problems.Problem, **options: Any) -> nbtoolkit.Run:
    usual: dict[str, Any] = {"instruments": CHOSEN, "budget": float("inf")}
    return nbtoolkit.watch(problem.model, problem.optimizer, **{**usual, **options})


def steps(run: nbtoolkit.Run, name: str) -> list[int]:
    return run[name].step.values.tolist()


def test_the_axis_begins_where_the_checkpoint_was_made() -> None:
    problem = problems.mlp()
    with watched(problem, step=6) as run:
        assert run.step == 6
        problem.train(7)
    assert run.step == 13
    assert steps(run, "loss") == list(range(6, 13))
    # All is due where it would have been in one piece.
    assert steps(run, "sharpness") == [8, 12]
    assert steps(run, "weight_norm") == [10]
    assert run.record.attrs["first_step"] == 6
    assert run.notes == ["weight_norm: the initial parameters are those of step 6"]


def test_the_rate_counts_the_steps_made_here() -> None:
    problem = problems.mlp()
    with watched(problem, step=1_000_000) as run:
        problem.train(5)
        status = run.status()
    assert status.step == 1_000_005
    assert status.steps_per_second == pytest.approx(5 / status.elapsed)


def test_on_a_multiple_it_is_due_at_once() -> None:
    problem = problems.mlp()
    with watched(problem, step=8) as run:
        problem.train(1)
    assert steps(run, "sharpness") == [8]


def test_the_store_is_that_of_a_training_in_one_piece(tmp_path: Path) -> None:
    whole = problems.mlp()
    with watched(whole) as expected:
        whole.train(12)

    torch.manual_seed(0)
    first = problems.mlp()
    with watched(first, store=tmp_path / "run.zarr"):
        first.train(6)
        saved = {name: tensor.clone() for name, tensor in first.model.state_dict().items()}
        first.train(3)  # which no checkpoint has
    second = problems.mlp()
    second.model.load_state_dict(saved)
    with watched(second, store=tmp_path / "run.zarr", step=6):
        second.train(6)

    kept = nbtoolkit.open_run(tmp_path / "run.zarr")
    assert kept.step == 12
    for name in ("loss", "sharpness", "weight_norm"):
        assert steps(kept, name) == steps(expected, name)
    np.testing.assert_array_equal(kept["loss"].loss, expected["loss"].loss)
    np.testing.assert_allclose(kept["sharpness"].sharpness, expected["sharpness"].sharpness, rtol=1e-4)
    with pytest.raises(StoreError, match="exists"):
        watched(second, store=tmp_path / "run.zarr")


def test_a_cell_that_finds_its_optimizer_goes_on_too() -> None:
    problem = problems.mlp()
    with Discovery({"model": problem.model}, instruments=CHOSEN, step=3) as found:
        problem.train(2)
    assert steps(found.runs[0], "loss") == [3, 4]


@pytest.mark.parametrize("step", [-1, 1.5, True, "6", float("nan")])
def test_what_is_no_number_of_steps_is_refused(step: Any) -> None:
    problem = problems.mlp()
    with pytest.raises(WatchError, match="expected the optimizer steps made before, a whole number of 0 or more"):
        watched(problem, step=step)
    assert not problem.optimizer._optimizer_step_pre_hooks


def test_a_scaler_that_is_switched_off_is_no_trouble() -> None:
    """``GradScaler(enabled=False)`` is what a loop has that runs with mixed precision and without."""
    problem = problems.mlp()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    x, y = torch.randn(4, 8), torch.randint(0, 3, (4,))
    with watched(problem) as run:
        scaler.scale(F.cross_entropy(problem.model(x), y)).backward()
        scaler.step(problem.optimizer)
        scaler.update()
    assert steps(run, "loss") == [0]
