"""Transformers and Accelerate in two processes: the numbers of whole batches, and one end for all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nbtoolkit
from nbtoolkit.bridges.transformers import LandscapeCallback
from tests.bridges import ddp_loops
from tests.bridges import test_accelerate as accelerated
from tests.bridges import test_transformers as transformed
from tests.ranks.launch import Job

pytestmark = pytest.mark.filterwarnings("ignore::Warning:lightning")
TOGETHER = "the values are those of 2 processes that train together"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("loops")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEEDED", "tests.bridges.test_accelerate tests.bridges.test_transformers")
        job = Job(str(Path(ddp_loops.__file__)), 2, folder, str(folder))
    try:
        yield job.done()
    finally:
        job.kill()


def same(tree: Any, expected: Any, instruments: Any) -> None:
    """Every number of these instruments, at the same steps."""
    for item in instruments:
        group = tree[f"/{item.name}"]
        np.testing.assert_array_equal(group["step"], expected[item.name]["step"])
        for name, values in expected[item.name].items():
            np.testing.assert_allclose(group[name], values, rtol=1e-5, atol=1e-7, err_msg=str(name))


@pytest.mark.parametrize("loop", ["trainer", "accelerate"])
def test_the_training_is_unchanged_bit_for_bit(job: Job, loop: str) -> None:
    for rank in range(2):
        left = job.left(loop, rank)
        assert left["same"]
        assert left["state"] == "finished"
    assert job.left(loop)["notes"] == [TOGETHER]


def test_the_trainers_numbers_are_those_of_one_process_on_whole_batches(job: Job, tmp_path: Path) -> None:
    measured = [*transformed.MEASURED, ddp_loops.SHARP]
    callback = LandscapeCallback(instruments=measured, **ddp_loops.FREE)
    options: dict[str, Any] = {"model": ddp_loops.llama(), "per_device_train_batch_size": 2 * transformed.BATCH}
    whole = transformed.trainer(tmp_path, callback, **options)
    whole.train()
    stored = nbtoolkit.open_run(job.folder / "trainer.zarr")
    assert stored.step == whole.state.global_step == 8
    assert np.isfinite(stored["sharpness"].sharpness).all()
    same(stored.data, transformed.began(callback), transformed.MEASURED)
    sharpness = transformed.began(callback)["sharpness"].sharpness
    np.testing.assert_allclose(stored["sharpness"].sharpness, sharpness, rtol=1e-4)
    assert stored["logged_loss"].step.values.tolist() == [4, 8]
    assert [job.left("trainer", rank)["appends"] for rank in range(2)] == [True, False]


def test_a_stop_asked_of_the_first_process_ends_the_trainer_in_all(job: Job) -> None:
    first, second = (job.left("stopped", rank) for rank in range(2))
    assert first["state"] == second["state"] == "stopped"
    assert first["step"] == second["step"] == first["steps"] == second["steps"] > ddp_loops.STEPS


def test_the_numbers_of_accelerate_are_those_of_one_process_on_whole_batches(job: Job) -> None:
    model, optimizer, data = ddp_loops.pieces()
    off = torch.amp.GradScaler("cpu", enabled=False)
    with nbtoolkit.watch(model, optimizer, instruments=accelerated.MEASURED) as expected:
        accelerated.plain(model, optimizer, data, 4, None, off)
    assert expected.step == 2
    same(job.left("accelerate")["data"], expected, accelerated.MEASURED)
