"""A run is compared with its forks where they have left copies of their parameters, and these are then let go of."""

import itertools
from typing import Any

import pytest
import torch

import nbtoolkit
from nbtoolkit.capture import copies
from nbtoolkit.errors import WatchError
from tests import problems


def test_copies_fit_into_the_room_there_is_and_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    params = {"w": torch.zeros(3)}
    for first, count, room in itertools.product((0, 7, 50), (1, 2, 19, 100), (2, 3, 4, 7, 100)):
        monkeypatch.setattr(copies, "BYTES", 12 * room)
        planned = copies.planned(first, count, None, params)
        wanted = [step for step in range(first + count + 2) if planned.wants(step)]
        assert len(wanted) <= min(room, 12)
        assert (wanted[0], wanted[-1]) == (first, first + count)


@pytest.mark.parametrize("earlier", ["nothing", "measured", "attached"])
def test_the_steps_of_the_copies_are_compared_whatever_was_there_before(earlier: str) -> None:
    own = nbtoolkit.instruments.twin_divergence.using(points=5)
    problem = problems.mlp()
    items = [nbtoolkit.instruments.loss, *([own] if earlier == "attached" else [])]
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=items) as run:
        problem.train(3)
        if earlier == "measured":
            run.measure(own)
        for _ in range(2):
            run.fork(problem.step, steps=6, every=2, lr=0.3)
        problem.train(12)
    measured = run["twin_divergence"].sel(fork=run.forks[0].name).dropna("step", subset=["distance"])
    assert measured["step"].values.tolist() == [3, 4, 6, 8, 9]
    assert measured["distance"].values[0] == 0
    assert (measured["distance"].values[1:] > 0).all()
    assert (run.instruments["twin_divergence"].settings["points"] == 5) == (earlier == "attached")


def test_copies_that_the_parent_has_passed_are_let_go_of_except_the_last(
    problem: problems.Problem, run: nbtoolkit.Run
) -> None:
    twin = run.fork(problem.step, steps=6, every=2)
    assert twin.copies is not None
    assert twin.copies.steps == [4, 6, 8, 10]
    problem.train(3)
    assert twin.copies.steps == [6, 8, 10]
    assert "distance" in run.measure(nbtoolkit.instruments.twin_divergence)
    problem.train(9)
    assert twin.copies.steps == [10]
    with pytest.raises(WatchError, match=r"there are at: 10\. Those that the parent has passed are let go of"):
        twin.copies.params(6)


def test_a_logged_value_of_that_name_is_refused_before_the_twin_is_trained(
    problem: problems.Problem, run: nbtoolkit.Run
) -> None:
    run.log(twin_divergence=1.0)
    made: list[Any] = []
    with pytest.raises(WatchError, match="has a logged value 'twin_divergence'"):
        run.fork(lambda: made.append(problem.step()), steps=2)
    assert not run.forks
    problem.train(1)
    assert (run.step, run.state) == (5, "watching")
