"""A job that is killed again and again while it is followed, and goes on from its last checkpoint."""

import random
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

import nbtoolkit
from nbtoolkit.capture import following
from tests.capture.afar import job, until
from tests.capture.job import SAVED, Training

pytestmark = pytest.mark.timeout(240)

KILLS, STEPS, ALIVE = 20, 800, 0.4  # s at most
PATIENT = 2  # kills after which it is waited for that the writer is taken for gone


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The loss of every step of a training that nobody kills."""
    training = Training(tmp_path_factory.mktemp("reference"))
    return [training.step() for _ in range(STEPS)]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the follower held, and how it was doing, at every death and at the end."""
    folder = tmp_path_factory.mktemp("killed")
    generator = random.Random(0)
    told: dict[str, Any] = {"deaths": [], "lost": []}
    with pytest.MonkeyPatch.context() as patch, job(folder, STEPS, 240) as training:
        patch.setattr(following, "FOLLOW_SECONDS", 0.1)
        patch.setattr(following, "SILENT_SECONDS", 3.0)
        with nbtoolkit.open_run(folder / "run.zarr", follow=True) as run:
            for death in range(KILLS):
                training.start()
                until(lambda: run.state == "following")
                until((folder / "loaded").exists)
                time.sleep(generator.uniform(0.05, ALIVE))
                assert training.kill() == -9
                before = held(run)
                if death % (KILLS // PATIENT) == 0:
                    until(lambda: run.state == "lost")
                    told["lost"].append((before, held(run), run.notes, run.status()))
                told["deaths"].append(held(run))
            told["done"] = Training(folder).done
            (folder / "hurry").touch()
            training.start()
            told["code"] = training.ended()
            until(lambda: run.state == "finished")
            told |= {"end": held(run), "notes": run.notes, "step": run.step}
        told["file"] = held(nbtoolkit.open_run(folder / "run.zarr"))
        yield told


def held(run: nbtoolkit.Run) -> "tuple[list[int], list[float]]":
    """Steps and losses."""
    if "loss" not in run.record.groups:
        return [], []
    loss = run["loss"]["loss"]
    return loss["step"].values.tolist(), loss.values.tolist()


def check(steps: list[int], losses: list[float], reference: list[float]) -> None:
    """Each step once, as nobody had been killed; what is missing was made and not yet written when a checkpoint was."""
    assert losses == [reference[step] for step in steps]
    assert all(a < b for a, b in pairwise(steps))
    assert all(b % SAVED == 0 for a, b in pairwise(steps) if b != a + 1)
    assert not steps or steps[0] % SAVED == 0


def test_at_every_death_what_is_held_is_true(history: dict[str, Any], reference: list[float]) -> None:
    for steps, losses in history["deaths"]:
        check(steps, losses, reference)
    assert len(history["deaths"]) == KILLS
    assert history["done"] > 0  # it has come further than a checkpoint


def test_a_silent_writer_is_said_to_be_and_nothing_is_dropped(history: dict[str, Any]) -> None:
    assert len(history["lost"]) == PATIENT
    for before, after, notes, status in history["lost"]:
        assert after[0][: len(before[0])] == before[0]
        assert after[1][: len(before[1])] == before[1]
        assert status.state == "lost"
        assert status.notes[-1].startswith("the writer has written nothing for ")
        assert notes[-1].endswith("s; what it wrote is all here")


def test_it_goes_on_where_the_checkpoint_was_and_says_so(history: dict[str, Any]) -> None:
    assert history["code"] == 0
    assert history["step"] == STEPS
    # A loaded machine may be slow to begin again, and its writer be taken for gone once more.
    assert sum(note.startswith("the writer went on after ") for note in history["notes"]) >= PATIENT
    assert any("went on from step" in note for note in history["notes"])


def test_at_the_end_all_is_as_if_nobody_had_been_killed(history: dict[str, Any], reference: list[float]) -> None:
    steps, losses = history["end"]
    check(steps, losses, reference)
    assert history["end"] == history["file"]
    assert history["end"][0][-1] == STEPS - 1
    assert len(history["end"][0]) > STEPS / 2
