"""Lightning in two processes needs nothing more: the DDP wrapper that the user never sees is found."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import nbtoolkit
from nbtoolkit.bridges.lightning import LandscapeCallback
from tests.bridges import ddp_fits, lit
from tests.ranks.launch import Job

pytestmark = pytest.mark.filterwarnings("ignore::Warning:lightning")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("ddp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEEDED", "tests.bridges.lit")
        job = Job(str(Path(ddp_fits.__file__)), 2, folder, str(folder / "run.zarr"))
    try:
        yield job.done()
    finally:
        job.kill()


def test_the_training_is_unchanged_and_one_process_writes(job: Job) -> None:
    first, second = job.left("fit", 0), job.left("fit", 1)
    assert first["same"]
    assert second["same"]
    assert first["state"] == second["state"] == "finished"
    assert first["notes"] == ["the values are those of 2 processes that train together"]
    assert (first["appends"], second["appends"]) == (True, False)


def test_the_numbers_are_those_of_one_process_on_whole_batches(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lit, "BATCH", 2 * lit.BATCH)
    callback = LandscapeCallback()
    lit.fit(ddp_fits.model(), callback)
    expected, run = callback.run, nbtoolkit.open_run(job.folder / "run.zarr")
    assert expected is not None
    assert run.step == expected.step == 6
    assert run.record.attrs["ranks"] == 2
    for group, name in (("loss", "loss"), ("grad_norm", "total"), ("grad_norm", "grad_norm"), ("lr", "lr")):
        np.testing.assert_allclose(run[group][name], expected[group][name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_a_stop_asked_of_the_first_process_ends_the_fit_in_all(job: Job) -> None:
    first, second = (job.left("stopped", rank) for rank in range(2))
    assert first == second
    assert first["state"] == "stopped"
    assert first["step"] == first["steps"] > ddp_fits.STEPS
