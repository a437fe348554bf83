"""Processes that do not all do the same: one watches alone, all train apart, one is watched twice, one is killed."""

import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import nbtoolkit
from tests.ranks.ends import KILLED_AT, SILENT_FROM, STEPS
from tests.ranks.launch import TRAINING_SECONDS, Job
from tests.ranks.problems import CASES, Training

pytestmark = pytest.mark.timeout(240)  # a job of several processes on a busy machine
COUNT = 3


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("ends")
    job = Job("ends.py", COUNT, folder, str(folder))
    try:
        codes = job.wait()
        assert codes == [0, 0, -signal.SIGKILL], "\n".join(job.said(rank) for rank in range(COUNT))
        yield job
    finally:
        job.kill()


def losses(case: str, steps: int, **options: Any) -> np.ndarray:
    """What one process measures on the batches of all."""
    training = Training(CASES[case], "one", **options)
    with nbtoolkit.watch(training.net, training.optimizer) as run:
        training.train(steps)
    return run["loss"]["loss"].values


def test_one_that_watches_alone_goes_on_alone_and_says_who_did_not_come(job: Job) -> None:
    left = job.left("alone")
    (warned,) = left["warned"]
    assert "ranks 1, 2 did not come within 1 s; call watch in every process" in warned
    assert "its own part" in left["notes"][0]
    assert "ranks" not in left["attrs"]
    assert len(left["data"]["/loss"]["loss"]) == STEPS


def test_a_block_that_names_nothing_finds_losses_of_sharded_parameters(job: Job) -> None:
    left = job.left("discovered")
    assert left["complaint"] == ""
    found = left["data"]["/loss"]["loss"].values
    np.testing.assert_allclose(found, losses("accumulated", STEPS), rtol=1e-6)
    assert left["attrs"]["ranks"] == COUNT  # also after a watch to which not all had come


def test_sums_have_the_same_bits_everywhere(job: Job) -> None:
    left = [job.left("discovered", rank) for rank in range(COUNT)]
    for one in left:
        assert [part.shape for part in one["sums"]] == [(2, 3), (), (1,)]
        assert [part.dtype for part in one["sums"]] == [torch.float32, torch.int64, torch.float64]
        assert all(torch.equal(part, same) for part, same in zip(one["sums"], left[0]["sums"], strict=True))
        assert one["first"] == [0.25, 7.0]
    whole, count, powers = left[0]["sums"]
    torch.testing.assert_close(whole, torch.full((2, 3), 0.6))
    assert int(count) == 3
    torch.testing.assert_close(powers, torch.tensor([1 + 0.7 + 0.49], dtype=torch.float64))


def test_those_that_train_apart_are_told_what_to_do(job: Job) -> None:
    for rank in range(COUNT):
        (note,) = job.left("apart", rank)["notes"]
        assert "nothing shows that they train one model: it is in no DistributedDataParallel" in note
        assert note.endswith(f"the part of this process, {rank} of 3, alone")
    for rank in range(2):
        (note,) = job.left("apart", rank)["few"]
        assert note.startswith("this model is trained by 2 of the 3 processes of the job")


def test_one_process_writes_the_store(job: Job) -> None:
    assert [job.left("twice", rank)["wrote"] for rank in range(COUNT)] == [True, False, False]
    stored = nbtoolkit.open_run(job.folder / "first.zarr")
    found = stored["loss"]["loss"].values
    whole = losses("plain", 2 * STEPS, dtype=torch.float32)
    np.testing.assert_allclose(found, whole[:STEPS], rtol=1e-5)
    assert stored.data.attrs["ranks"] == COUNT
    again = nbtoolkit.open_run(job.folder / "saved0.zarr")
    np.testing.assert_allclose(again["loss"]["loss"].values, whole[STEPS:], rtol=1e-5)


def test_the_others_save_what_is_their_own(job: Job) -> None:
    for rank in range(COUNT):
        own = nbtoolkit.open_run(job.folder / f"saved{rank}.zarr")
        assert own["place"]["place"].values.tolist() == [rank] * STEPS  # run.log
    one, two = (nbtoolkit.open_run(job.folder / f"saved{rank}.zarr")["loss"]["loss"].values for rank in (1, 2))
    assert not np.allclose(one, two)


def test_what_was_not_given_to_all_alike_is_measured_by_nobody(job: Job) -> None:
    for rank in range(COUNT):
        left = job.left("unlike", rank)
        (warned,) = left["warned"]
        assert "probe (ranks 0, 2: one; rank 1: none)" in warned
        assert "hessian_trace (ranks 0, 2: every=3; rank 1: every=2)" in warned
        assert "nobody measures hessian_trace, logit_stats" in warned
        assert any(f"nbtoolkit: {note}." == warned for note in left["notes"])
        assert {*left["data"]} - {"/"} == {"/loss", "/grad_norm", "/hessian_trace", "/logit_stats"}
        for name in ("/hessian_trace", "/logit_stats"):
            assert left["data"][name]["step"].values.tolist() == [0]
            assert all(np.isnan(values).all() for values in left["data"][name].data_vars.values())
        assert len(left["data"]["/loss"]["loss"]) == STEPS


def test_where_the_first_cannot_begin_nobody_watches(job: Job) -> None:
    assert "first.zarr" in job.left("unbegun")["error"]
    for rank in (1, 2):
        left = job.left("unbegun", rank)
        assert left["state"] == "failed"
        (note,) = [note for note in left["notes"] if note.startswith("rank 0 could not begin: ")]
        assert "first.zarr" in note
        assert len(left["data"]["/loss"].step) == 1


def test_one_that_is_killed_hangs_nobody(job: Job) -> None:
    for rank in (0, 1):
        left = job.left("killed", rank)
        assert left["error"] == "RuntimeError"  # of the training itself
        assert left["state"] == "failed"
        assert left["seconds"] < TRAINING_SECONDS
        assert len(left["data"]["/grad_norm"].step) > KILLED_AT - 1
    stored = nbtoolkit.open_run(job.folder / "killed.zarr")
    values = stored["loss"]["loss"].values
    assert len(values) > KILLED_AT - 1
    known = np.isfinite(values)
    count = int(known.sum())
    assert 0 <= count <= SILENT_FROM + 1
    assert known[:count].all()
    np.testing.assert_allclose(values[:count], losses("plain", count), rtol=1e-6)
    since = f"since step {count - 1}" if count else "ever"
    assert f"rank 2 has sent nothing {since}" in stored["loss"]["loss"].attrs["not_measured"]
    assert any(note.startswith(f"rank 2 has sent nothing {since}") for note in stored.notes)
    assert np.isfinite(stored["grad_norm"]["total"].values).all()  # which needs nobody
