"""A job without a notebook, followed and controlled from another process through the files beside its store."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import nbtoolkit
from nbtoolkit.capture import afar, following
from nbtoolkit.capture.following import Followed
from nbtoolkit.errors import WatchError
from tests.capture.afar import Job, job, until

Pair = tuple[Job, Followed, Path]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A job that trains, and a run that follows it from before its store was there."""
    folder = tmp_path_factory.mktemp("job")
    with pytest.MonkeyPatch.context() as patch, job(folder, 10**6) as training:
        patch.setattr(following, "FOLLOW_SECONDS", 0.1)
        patch.setattr(afar, "LOOK_SECONDS", (0.02, 0.02))
        run = nbtoolkit.open_run(folder / "run.zarr", follow=True)
        assert isinstance(run, Followed)
        assert run.state == "waiting"
        assert run.notes == [following.WAITING.format(place=folder / "run.zarr", why="")]
        with run:
            training.start()
            until(lambda: run.state == "following" and run.step > 3 and not run.control.deaf)
            yield training, run, folder


def stored(run: nbtoolkit.Run, name: str) -> "dict[int, float]":
    """The values of a scalar by step."""
    values = run[name][name].squeeze()
    return dict(zip(values["step"].values.tolist(), values.values.tolist(), strict=True))


def test_rows_arrive_and_the_job_has_loaded_no_screen(pair: Pair) -> None:
    _, run, folder = pair
    assert json.loads((folder / "loaded").read_text()) == []
    assert run.name == "job"
    assert run.notes == []
    seen = len(run["loss"]["step"])
    until(lambda: len(run["loss"]["step"]) > seen + 10)
    steps = run["loss"]["step"].values
    np.testing.assert_array_equal(steps, np.arange(len(steps)))
    assert run.status().state == "following"
    assert run.status().elapsed > 0


def test_the_learning_rate_changes_at_a_step_and_is_logged(pair: Pair) -> None:
    _, run, _ = pair
    run.set_lr(0.01)
    command = until(lambda: run.commands and run.commands[-1])
    assert (command["what"], command["old"], command["new"]) == ("lr", 0.05, 0.01)
    at = command["step"]
    until(lambda: run["lr"]["step"].values[-1] > at)
    rates = stored(run, "lr")
    assert (rates[at - 1], rates[at]) == (0.05, 0.01)
    assert run.control.rates() == [0.01]


def test_it_pauses_makes_steps_and_goes_on(pair: Pair) -> None:
    _, run, _ = pair
    run.pause()
    until(lambda: run.status().state == "paused")
    at = run.step
    run.advance(3)
    until(lambda: run.step == at + 3 and run.status().state == "paused")
    until(lambda: run["loss"]["step"].values[-1] == at + 2)
    run.resume()
    until(lambda: run.step > at + 5 and run.status().state == "following")


def test_what_is_measured_there_is_read_here(pair: Pair) -> None:
    _, run, _ = pair
    with pytest.raises(WatchError, match="iterations"):
        run.measure("sharpness", iterations=3)
    assert "grad_norm" not in run.record.groups
    assert len(run.measure("grad_norm")["step"]) == 1
    run.every(nbtoolkit.instruments.grad_norm, 5)
    until(lambda: len(run["grad_norm"]["step"]) >= 5)
    at = run.commands[-1]["step"]
    steps = run["grad_norm"]["step"].values
    assert set(np.diff(steps[steps > at])) == {5}


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda run: run.set_lr(-1.0), "lr=-1.0: expected a learning rate"),
        (lambda run: run.set_lr(0.1, group=7), "group=7"),
        (lambda run: run.advance(0), "steps=0"),
        (lambda run: run.measure("sharpnes"), "did you mean 'sharpness'"),
        (lambda run: run.every("loss", None), "every=None"),
        (lambda run: run.log(mine=1.0), "it is written by its job"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(pair: Pair, act, text: str) -> None:
    with pytest.raises(WatchError) as refused:
        act(pair[1])
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def test_it_can_be_saved_and_read_as_any_run(pair: Pair, tmp_path: Path) -> None:
    _, run, _ = pair
    seen = stored(run, "loss")
    copy = nbtoolkit.open_run(run.save(tmp_path / "copy.zarr"))
    assert copy.name == "job"
    assert dict(list(stored(copy, "loss").items())[: len(seen)]) == seen


def test_stop_ends_the_job_and_the_following(pair: Pair) -> None:
    training, run, folder = pair
    run.stop()
    assert training.ended() == 7
    until(lambda: run.state == "stopped")
    done, rates, commands, screens = json.loads((folder / "told").read_text())
    assert run.commands == commands
    assert run.step == commands[-1]["step"] == done + 1
    assert stored(run, "lr") == dict(enumerate(rates))
    assert screens == []
    until(lambda: run.control.thread and not run.control.thread.is_alive())
    with pytest.raises(WatchError, match="job is stopped: nobody is there"):
        run.pause()
    again = nbtoolkit.open_run(folder / "run.zarr", follow=True)
    assert isinstance(again, Followed)
    assert again.state == "stopped"
    assert again.control.thread is None
