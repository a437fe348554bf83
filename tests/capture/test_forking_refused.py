"""What a running loop is not forked for: it is said in one line, and changes nothing."""

import json

import pytest

import nbtoolkit
from nbtoolkit.capture import controls, forking
from nbtoolkit.capture.changes import Changes
from nbtoolkit.capture.fork import fork
from nbtoolkit.capture.forking import EndFork, Fork
from nbtoolkit.errors import WatchError
from tests import problems
from tests.capture.outside import elsewhere
from tests.capture.test_bit_for_bit import differences, everything
from tests.capture.test_forking import Answers


def test_what_is_refused_changes_nothing(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    before = everything(problem)

    def refused(said: str, asked: Fork) -> None:
        with pytest.raises(WatchError, match=said) as caught:
            elsewhere(lambda: run.control.give(asked, Answers()))
        assert "\n" not in str(caught.value)

    refused(r"cnn needs a step that can be made again: .*--forkable.*step = run.forkable\(step\)", Fork())
    assert "run.forkable" in json.loads(controls.described(run))["fork"]
    with pytest.raises(WatchError, match=r"run.forkable\(\) got a int as the step"):
        run.forkable(3)  # type: ignore[arg-type]
    with pytest.raises(WatchError, match="needs arguments"):
        run.forkable(lambda x: x)  # type: ignore[arg-type]
    step = run.forkable(problem.step)
    assert json.loads(controls.described(run))["fork"] == ""
    for steps in (0, -1, 1.5, "3", True, 10**12, None):
        refused("expected a whole number of steps", Fork(steps=steps))
    refused("lr=-1: expected a learning rate", Fork(lr=-1))
    refused("lr='fast': expected a learning rate", Fork(lr="fast"))
    refused(r"lr=\[0.1, 0.2\] is for 2 groups; this optimizer has 1", Fork(lr=[0.1, 0.2]))
    refused("seed=-1: expected a whole number", Fork(seed=-1))
    refused("perturb='much': expected the size", Fork(perturb="much"))
    refused("every=0: expected a whole number of steps between copies", Fork(every=0))
    for name in (7, " ", "two\nlines", "a\tb", "\x1b[1m"):
        refused("name=.*: expected the name of the twin's run, a text in one line", Fork(name=name))
    refused("every=1 would keep 1000000001 copies", Fork(steps=10**9, every=1))
    with pytest.raises(WatchError, match="no fork of cnn is being made"):
        run.control.give(EndFork(), Answers())
    answers = Answers()
    run.control.give(Fork(), answers)
    problem.step()  # not by what run.forkable() gave back
    assert answers[0][0] is False
    assert "the loop does not call what run.forkable(step) gave back" in answers[0][1]
    assert (run.forks, run.commands) == ([], [])
    assert differences(before, everything(problem)) != []
    step()
    assert run.step == 6


def test_a_fork_is_no_loop_to_fork(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    told: list[str] = []
    fork(run, problem.step, Changes(), steps=1, started=lambda twin: told.append(forking.obstacle(twin)))
    assert told == ["is a fork itself; fork the run that it left"]


def test_processes_that_train_together_are_not_forked(
    problem: problems.Problem, run: nbtoolkit.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.forkable(problem.step)
    with monkeypatch.context() as patch:
        patch.setattr(run, "ranks", type("Two", (), {"count": 2}))
        with pytest.raises(WatchError, match="cnn is trained by 2 processes together, and a twin would need them all"):
            run.control.give(Fork(), Answers())
        assert "2 processes together" in forking.obstacle(run)
