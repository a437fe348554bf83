"""Commands to a training of several processes: each is carried out after the same step in all of them."""

import itertools
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import afar, following
from nbtoolkit.errors import WatchError
from tests.capture.afar import until
from tests.ranks.commanded import ROUNDS, probe, scheduled
from tests.ranks.launch import Job
from tests.ranks.problems import CASES, Training

COUNT = 2
KINDS = ("ddp", "fsdp")
RATES = (0.02, 0.03, 0.01, 0.04)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Job]]:
    """Processes that were given all kinds of commands, by one that follows the first process's store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "FOLLOW_SECONDS", 0.1)
        patch.setattr(afar, "LOOK_SECONDS", (0.02, 0.02))
        jobs = {kind: Job("commanded.py", COUNT, tmp_path_factory.mktemp(kind), kind) for kind in KINDS}
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(command, jobs.values()))
            yield jobs
        finally:
            for job in jobs.values():
                job.kill()


def command(job: Job) -> None:
    """Give all kinds of commands, until all has ended."""
    generator = random.Random(0)
    run = nbtoolkit.open_run(job.folder / "run.zarr", follow=True)
    with run:
        until(lambda: run.state == "following" and run.step > 3 and not run.control.deaf, 60)  # type: ignore
        for rate in RATES:
            run.set_lr(rate)
            time.sleep(generator.uniform(0, 0.1))
        run.measure("sharpness")
        run.pause()
        run.set_lr(0.05)
        until(lambda: run.status().state == "paused")
        run.measure("sharpness")
        run.advance(3)
        run.set_lr(0.06)  # while they make these steps, or after them
        with pytest.raises(WatchError, match="no step since"):
            run.measure("grad_norm")
        run.resume()
        run.every("grad_norm", 7)
        run.pause()
        run.resume()
        run.stop()
        job.done()
        until(lambda: run.state == "stopped")


@pytest.fixture(params=KINDS)
def job(request: pytest.FixtureRequest, jobs: dict[str, Job]) -> Job:
    """With whole parameters in every process, and with parts of them."""
    return jobs[request.param]


@pytest.fixture
def told(job: Job) -> list[dict[str, Any]]:
    """What each process says after that."""
    return [job.left("told", rank) for rank in range(COUNT)]


def test_all_were_stopped_after_the_same_step(told: list[dict[str, Any]]) -> None:
    assert all(one["stopped"] for one in told)
    assert len({one["step"] for one in told}) == 1


def test_every_command_was_carried_out_after_the_same_step_in_all(told: list[dict[str, Any]]) -> None:
    logs = [[(one["what"], one["step"], one["old"], one["new"]) for one in each["commands"]] for each in told]
    assert logs[0] == logs[1]
    assert [what for what, *_ in logs[0]] == [
        *["lr"] * len(RATES), "measure", "pause", "lr", "measure", "advance", "lr", "resume", "measure", "every",
        "pause", "resume", "stop",
    ]  # fmt: skip
    assert [new for what, _, _, new in logs[0] if what == "lr"] == [*RATES, 0.05, 0.06]


def test_every_step_had_the_same_learning_rate_in_all(told: list[dict[str, Any]]) -> None:
    assert told[0]["rates"] == told[1]["rates"]
    changed = [step for step, (a, b) in enumerate(zip(told[0]["rates"], told[0]["rates"][1:], strict=False)) if a != b]
    assert [step + 1 for step in changed] == sorted(
        {one["step"] for one in told[0]["commands"] if one["what"] == "lr" and one["old"] != one["new"]}
    )


def test_the_replicas_are_the_same_bit_for_bit(told: list[dict[str, Any]]) -> None:
    first, second = (one["state"] for one in told)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_weights_are_those_of_a_training_with_these_rates(told: list[dict[str, Any]]) -> None:
    assert all(one["same"] for one in told)


def test_sharpness_that_was_asked_for_is_that_of_one_process(job: Job, told: list[dict[str, Any]]) -> None:
    found = nbtoolkit.open_run(job.folder / "run.zarr")["sharpness"]
    assert len(found["step"]) == 2
    assert found["step"].values.tolist() == [
        one["step"] for one in told[0]["commands"] if one.get("name") == "sharpness"
    ]
    training = Training(CASES["plain"], "one")
    with nbtoolkit.watch(training.net, training.optimizer, instruments=[], loss=F.cross_entropy, probe=probe()) as run:
        for start, end in itertools.pairwise([0, *found["step"].values]):
            scheduled(training, told[0]["rates"][start:end])
            run.measure("sharpness")
    np.testing.assert_allclose(found["sharpness"], run["sharpness"]["sharpness"], rtol=1e-6)


def test_nothing_but_their_number_had_to_be_noted(told: list[dict[str, Any]]) -> None:
    notes = [note for one in told for note in one["notes"]]
    assert [note for note in notes if f"{COUNT}" not in note] == []
    assert len(notes) == COUNT


def test_orders_to_two_runs_of_one_loop_mean_the_same_in_all(job: Job) -> None:
    first, second = (job.left("crossed", rank) for rank in range(COUNT))
    logs = [
        [[(entry["what"], entry["step"], entry["new"]) for entry in log] for log in one["commands"]]
        for one in (first, second)
    ]
    assert logs[0] == logs[1]
    rounds = ROUNDS[first["kind"]]
    assert [what for what, *_ in logs[0][0]] == ["lr"] * rounds + ["stop"]
    assert [what for what, *_ in logs[0][1]] == ["pause", "resume"] * rounds
    assert all(torch.equal(first["state"][key], second["state"][key]) for key in first["state"])
    assert len(first["notes"] + second["notes"]) == 2 * COUNT  # of each run how many there are
