"""What several processes measure of one training is what one process measures on the batches of all."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nbtoolkit
from tests.ranks.launch import Job
from tests.ranks.problems import CASES, Training
from tests.ranks.watched import STEPS

pytestmark = pytest.mark.timeout(240)  # a job of several processes on a busy machine
TWO = [f"{kind}-{case}" for kind in ("ddp", "fsdp") for case in CASES]
FOUR = ["ddp-plain", "fsdp-accumulated", "hsdp-clipped"]
EVERY = [(2, name) for name in TWO] + [(4, name) for name in FOUR]
CLOCK = {"step_time"}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Job]]:
    folder = tmp_path_factory.mktemp("ranks")
    jobs = {count: Job("watched.py", count, folder / f"{count}", *names) for count, names in ((2, TWO), (4, FOUR))}
    try:
        yield {count: job.done() for count, job in jobs.items()}
    finally:
        for job in jobs.values():
            job.kill()


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """Every case in one process, on whole batches."""
    found = {}
    for name, case in CASES.items():
        training = Training(case, "one")
        training.train(1)
        known = (*nbtoolkit.instruments.default(), nbtoolkit.instruments.step_alignment)
        with nbtoolkit.watch(training.net, training.optimizer, instruments=known) as run:
            training.train(STEPS)
        found[name] = run.data.to_dict()
    return found


@pytest.mark.parametrize(("count", "name"), EVERY)
def test_every_value_is_that_of_one_process(count: int, name: str, jobs: dict[int, Job], alone: dict[str, Any]) -> None:
    data, wanted = jobs[count].left(name)["data"], alone[name.split("-")[1]]
    assert data.keys() == wanted.keys()
    compared = 0
    for group in data.keys() - {"/", *(f"/{name}" for name in CLOCK)}:
        for key, values in wanted[group].data_vars.items():
            found = data[group][key]
            assert found.dims == values.dims
            for dim in values.dims:
                assert found[dim].values.tolist() == values[dim].values.tolist()
            np.testing.assert_allclose(found.values, values.values, rtol=1e-6, atol=1e-12, err_msg=f"{group} {key}")
            assert found.attrs == values.attrs
            compared += int(np.isfinite(values.values).sum())
    assert compared >= 15 * STEPS


@pytest.mark.parametrize(("count", "name"), EVERY)
def test_watching_changes_no_bit_and_adds_no_collective(count: int, name: str, jobs: dict[int, Job]) -> None:
    for rank in range(count):
        left = jobs[count].left(name, rank)
        assert left["same"]
        assert left["tensors"] > 5
        unwatched, watched = left["calls"]
        assert unwatched == watched >= STEPS


@pytest.mark.parametrize(("count", "name"), EVERY)
def test_the_record_says_whose_values_they_are(count: int, name: str, jobs: dict[int, Job]) -> None:
    first, last = (jobs[count].left(name, rank) for rank in (0, count - 1))
    facts = {"ranks": count, "sharded": not name.startswith("ddp"), "model": "TiedNet" if "tied" in name else "Net"}
    assert facts.items() <= first["attrs"].items()
    assert first["attrs"]["parameters"] == {"frozen": 174, "tied": 119}.get(name.split("-")[1], 278)
    assert first["notes"] == [f"the values are those of {count} processes that train together"]
    assert last["notes"] == [
        f"this is process {count - 1} of {count}: what is measured here is its own part; process 0 keeps what "
        "belongs to all"
    ]


@pytest.mark.parametrize("count", [2, 4])
def test_every_process_keeps_the_loss_of_its_own_data(count: int, jobs: dict[int, Job]) -> None:
    own = [jobs[count].left("ddp-plain", rank)["data"]["/loss"]["loss"].values for rank in range(count)]
    whole = own[0]
    assert all(len(values) == STEPS for values in own)
    assert not any(np.allclose(values, whole) for values in own[1:])
