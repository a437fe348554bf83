"""How a training that is acted on ends: stopped, interrupted, detached; and its forks."""

import traceback
from pathlib import Path
from typing import Any

import pytest

import nbtoolkit
from nbtoolkit.capture import Discovery, busy
from nbtoolkit.capture.changes import schedules_of
from nbtoolkit.errors import TrainingStopped, WatchError
from tests import problems
from tests.capture.outside import elsewhere, while_paused
from tests.capture.test_bit_for_bit import differences, everything


def test_stop_ends_a_loop_that_catches_exceptions() -> None:
    problem = problems.mlp()
    run = nbtoolkit.watch(problem.model, problem.optimizer)

    def loop() -> None:
        for _ in range(50):
            try:
                problem.step()
            except Exception:
                raise AssertionError("caught") from None
            if run.step == 4:
                elsewhere(run.stop)

    with pytest.raises(TrainingStopped) as caught, run:
        loop()
    assert (caught.value.name, caught.value.step) == (run.name, 5)
    assert (run.state, run.status().state, run.step) == ("stopped", "stopped", 5)
    assert run["loss"]["step"].values.tolist() == list(range(5))
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not any("nbtoolkit" in Path(file).parts and "capture" in Path(file).parts for file in files), files
    for act in (run.pause, run.resume, run.advance, run.stop, lambda: run.set_lr(1.0), lambda: run.every("loss", 2)):
        with pytest.raises(WatchError, match="is stopped: there is no training to act on"):
            act()
    problem.train(2)  # no hook is left
    assert run.step == 5


def test_every_run_of_a_cell_that_is_stopped_is_stopped() -> None:
    problem = problems.gan()
    found = Discovery({**problem.models, **problem.optimizers})

    def cell() -> None:
        with found:
            problem.train(2)
            found.runs[1].stop()
            problem.train(2)

    with pytest.raises(TrainingStopped):
        cell()
    assert [run.state for run in found.runs] == ["stopped", "stopped"]


def test_what_still_waits_when_a_run_ends_is_refused() -> None:
    problem = problems.mlp()
    answers: list[tuple[bool, str]] = []
    with nbtoolkit.watch(problem.model, problem.optimizer, name="it") as run:
        problem.train(1)
        from nbtoolkit.capture.rates import SetRate

        elsewhere(lambda: run.control.give(SetRate(0.5), lambda *told: answers.append(told)))
    assert answers == [(False, "it has ended before lr 0.5 could be done")]
    assert problem.optimizer.param_groups[0]["lr"] == 0.1


def test_an_interrupt_while_paused_leaves_a_run_that_can_go_on() -> None:
    problem, plain = problems.cnn(), problems.cnn()
    plain.train(6)
    expected = everything(plain)
    problem = problems.cnn()
    run = nbtoolkit.watch(problem.model, problem.optimizer)

    def interrupt() -> None:
        raise KeyboardInterrupt

    problem.train(2)
    while_paused(run, lambda: None, interrupt)
    run.pause()
    with pytest.raises(KeyboardInterrupt):
        problem.train(1)
    # The interrupt came within optimizer.step(), after its work; the schedule has not followed.
    problem_schedule(problem).step()
    assert (run.state, run.status().state, run.control.pause, run.step) == ("watching", "watching", None, 3)
    problem.train(3)
    run.detach()
    assert differences(expected, everything(problem)) == []
    assert [one["text"] for one in run.commands] == ["paused after step 3", "interrupted while paused after step 3"]
    assert run["loss"]["step"].values.tolist() == list(range(6))


def problem_schedule(problem: problems.Problem) -> Any:
    (schedule,) = schedules_of(problem.optimizer)
    return schedule


def test_detaching_lets_a_paused_loop_go_on_unwatched() -> None:
    problem = problems.mlp()
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    problem.train(1)
    while_paused(run, lambda: elsewhere(run.detach))
    run.pause()
    problem.train(3)
    assert (run.step, run.state) == (2, "finished")
    assert not busy.pauses


def test_stopping_a_fork_ends_the_fork_alone(run: nbtoolkit.Run, problem: problems.Problem) -> None:
    def step() -> None:
        problem.step()
        if run.twin is not None and run.twin.step == 7:
            run.stop()  # what the loop asks for is for the twin

    child = run.fork(step, steps=10)
    assert (child.state, child.step) == ("stopped", 8)
    assert (run.state, run.step, run.commands) == ("watching", 4, [])
    problem.train(2)
    assert run.step == 6


def test_a_command_to_a_run_whose_fork_is_trained_waits_for_it(run: nbtoolkit.Run, problem: problems.Problem) -> None:
    def step() -> None:
        elsewhere(lambda: run.set_lr(0.5))
        problem.step()

    child = run.fork(step, steps=2)
    assert child.commands == run.commands == []
    problem.train(1)
    assert [(one["step"], one["new"]) for one in run.commands] == [(5, 0.5)] * 2
    assert 0.5 not in child["lr"]["lr"].values
