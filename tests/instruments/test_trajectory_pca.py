"""The path of training in its principal plane, as a run records it."""

import numpy as np
import torch

import nbtoolkit
from nbtoolkit.instruments import Trajectory, loss, trajectory_pca
from tests import problems


def test_a_run_records_the_plane_of_its_own_path() -> None:
    problem = problems.mlp()
    kept = []
    with nbtoolkit.watch(
        problem.model, problem.optimizer, instruments=[trajectory_pca.using(every=5)], budget=1e9
    ) as run:
        for step in range(41):
            if step % 5 == 0:
                kept.append(torch.cat([p.detach().reshape(-1) for p in problem.model.parameters()]).double())
            problem.train(1)
    ds = run["trajectory_pca"]
    assert ds["step"].values.tolist() == list(range(0, 41, 5))
    last = ds.isel(step=-1)
    about = torch.stack(kept) - kept[-1]
    values = torch.linalg.svdvals(about)
    share = (values**2 / values.square().sum())[:2].numpy()
    np.testing.assert_allclose(last["explained"].values, share, rtol=1e-4)
    coordinates = last["coordinates"].values[:9]
    np.testing.assert_allclose(np.linalg.norm(coordinates[:, 0]), float(values[0]), rtol=1e-4)
    assert np.abs(coordinates[-1]).max() < 1e-3 * np.abs(coordinates).max()
    assert last["snapshot_step"].values[:9].tolist() == list(range(0, 41, 5))
    assert np.isnan(last["snapshot_step"].values[9:]).all()
    assert float(last["explained"].sum()) <= 1 + 1e-9


def test_the_first_rows_say_why_there_is_no_plane() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(
        problem.model, problem.optimizer, instruments=[trajectory_pca.using(every=5)], budget=1e9
    ) as run:
        problem.train(6)
    ds = run["trajectory_pca"]
    assert np.isnan(ds["explained"].values).all()
    assert "copies of the parameters at three steps" in ds["explained"].attrs["not_measured"]


def test_parameters_that_do_not_move_have_no_plane() -> None:
    trajectory = Trajectory()
    for step in range(5):
        trajectory.add(step, {"w": torch.ones(3)})
    outputs = trajectory_pca(trajectory)
    assert np.isnan(outputs["explained"]).all()


def test_copies_kept_while_training_serve_after_the_run() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(
        problem.model, problem.optimizer, instruments=[loss, trajectory_pca.using(every=10)], budget=1e9
    ) as run:
        problem.train(35)
    after = run.measure(trajectory_pca, components=3).isel(step=-1)
    assert after["snapshot_step"].values[:5].tolist() == [0, 10, 20, 30, 35]
    assert np.isfinite(after["explained"].values).all()


def test_room_for_more_copies_is_no_sign_of_a_training_gone_wrong() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(
        problem.model, problem.optimizer, instruments=[trajectory_pca.using(every=1)], budget=1e9
    ) as run:
        problem.train(5)
    assert np.isnan(run["trajectory_pca"]["coordinates"].values[-1]).any()
    assert not run.notes
    assert "first_non_finite_step" not in run["trajectory_pca"].attrs
