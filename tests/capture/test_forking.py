"""A fork that a running loop is asked for is the one made by hand; the loop goes on, or waits on, as if without."""

import json
import random
import threading
from typing import Any

import numpy as np
import pytest

import nbtoolkit
from nbtoolkit.capture import afar, controls, forking
from nbtoolkit.capture.commands import act, order
from nbtoolkit.capture.forking import Fork
from nbtoolkit.capture.orders import Hold
from nbtoolkit.errors import TrainingStopped, WatchError
from tests import problems
from tests.capture.outside import elsewhere, while_paused
from tests.capture.test_bit_for_bit import differences, everything
from tests.capture.test_fork import recorded

STEPS = 14
ASKED = {3: {"steps": 4}, 8: {"steps": 5, "lr": 0.3, "seed": 4, "perturb": 0.1}}
HOW = ("mlp", "cnn", "lbfgs", "gan", "accumulation", "scaled")


class Answers(list[tuple[bool, str]]):
    """What came of orders."""

    def __call__(self, done: bool, text: str) -> None:
        self.append((done, text))


def trained(name: str, how: str) -> tuple[dict[str, Any], list[nbtoolkit.Run]]:
    """All state of a training forked by hand, by an order, by an order while it is paused, or not at all."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    problem = problems.ALL[name]()
    items = [item.using(every=1) for item in nbtoolkit.instruments.default()]
    named = zip(problem.models.values(), problem.optimizers.values(), strict=False)
    runs = [nbtoolkit.watch(model, optimizer, instruments=items) for model, optimizer in named]
    run, step, answers = runs[0], problem.step, Answers()
    if how in ("asked", "paused"):
        step = run.forkable(problem.step)
    for k in range(STEPS):
        if k + 1 in ASKED and how == "asked":
            elsewhere(lambda k=k: run.control.give(Fork(**ASKED[k + 1]), answers))
        if k + 1 in ASKED and how == "paused":
            run.ears.clear()
            while_paused(run, lambda k=k: run.control.give(Fork(**ASKED[k + 1]), answers), run.resume)
            run.control.give(Hold(), Answers())
        if k in ASKED and how == "by hand":
            run.fork(problem.step, **ASKED[k])
        step()
    for one in runs:
        one.detach()
    assert [done for done, _ in answers] == [True] * len(answers)
    return {**everything(problem), "recorded": [recorded(one) for one in runs]}, runs


@pytest.mark.parametrize("name", HOW)
def test_the_training_is_the_one_that_was_not_forked_and_the_forks_are_those_made_by_hand(name: str) -> None:
    plain, undisturbed = trained(name, "not at all")
    by_hand = [recorded(fork) for fork in trained(name, "by hand")[1][0].forks]
    assert len(by_hand) == 2
    for how in ("asked", "paused"):
        forked, runs = trained(name, how)
        assert differences(plain, forked) == []
        assert differences(by_hand, [recorded(fork) for fork in runs[0].forks]) == []
        assert [run.notes for run in runs] == [run.notes for run in undisturbed]
        told = [one for one in runs[0].commands if one["what"] == "fork"]
        assert [(one["step"], one["new"]) for one in told] == [
            (fork.data.attrs["fork_step"], fork.name) for fork in runs[0].forks
        ]
        assert [one["step"] for one in told] == list(ASKED)
    twin = runs[0].forks[0]
    for key, values in twin["loss"].data_vars.items():  # without a change it makes the steps that followed
        assert values.values.tobytes() == runs[0]["loss"][key].values[3:7].tobytes(), key


def test_those_who_show_the_run_are_told_and_heard_while_it_is_made(
    problem: problems.Problem, run: nbtoolkit.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbtoolkit.capture.run.FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("nbtoolkit.capture.run.LOOK_SECONDS", 0.0)
    seen: list[tuple[Any, ...]] = []
    heard: list[int] = []
    begun: list[nbtoolkit.Run] = []

    def listener(told: nbtoolkit.Run) -> None:
        seen.append((forking.progress(told), told.status().state, told.step, controls.rates(told) == []))

    step = run.forkable(problem.step)
    run.listeners.append(listener)
    run.ears.append(lambda: heard.append(run.step if run.twin is None else run.twin.step))
    run.next_look = run.next_flush = 0.0
    elapsed = run.status().elapsed
    run.control.give(Fork(steps=3, lr=0.5, started=begun.append), Answers())
    step()
    told = [("step 0 of 3", "watching", 5, True), *((f"step {k} of 3", "watching", 5, True) for k in (1, 2))]
    assert [one for one in seen if one[0]][:3] == told
    assert seen[-1][0] == ""
    assert {6, 7} <= set(heard)
    assert begun == run.forks
    assert forking.progress(run) == ""
    assert run.status().elapsed - elapsed < 60


def test_a_fork_that_cannot_be_shown_is_made_all_the_same(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    def show(_: nbtoolkit.Run) -> None:
        raise LookupError("no cell")

    step, answers = run.forkable(problem.step), Answers()
    run.control.give(Fork(steps=2, started=show), answers)
    step()
    assert answers == [(True, "forked at step 5: cnn fork@5, 2 steps")]
    assert run.forks[0].notes == ["it could not be shown: LookupError: no cell"]


@pytest.mark.parametrize("what", ["stop", "end_fork"])
def test_a_fork_is_ended_from_outside(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbtoolkit.capture.run.FLUSH_SECONDS", 0.0)

    def ended(forked: bool) -> dict[str, Any]:
        problem, answers, ends = problems.cnn(), Answers(), Answers()
        with nbtoolkit.watch(problem.model, problem.optimizer) as run:
            step = run.forkable(problem.step)

            def begun(fork: nbtoolkit.Run) -> None:
                fork.listeners.append(lambda _: end() if fork.step == 6 and not ends else None)

            def end() -> None:
                ends(True, "asked")
                elsewhere(lambda: run.control.give(order({"what": what}), ends))

            for _ in range(3):
                step()
            if forked:
                run.control.give(Fork(steps=50, started=begun), answers)
            elif what == "stop":
                elsewhere(run.stop)
            if what == "stop":
                with pytest.raises(TrainingStopped):
                    step()
            else:
                step()
            assert (run.state, run.step) == ("stopped" if what == "stop" else "watching", 4)
            if forked:
                assert answers == [(True, "forked at step 4: Sequential fork@4, ended after 2 of 50 steps")]
                assert (run.forks[0].state, run.forks[0].step, ends[1][0]) == ("finished", 6, True)
        return everything(problem)

    assert differences(ended(False), ended(True)) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_ends_the_twin_leaves_the_training_as_it_was(error: type[BaseException]) -> None:
    problem, other = problems.cnn(), problems.cnn()
    other.train(4)
    expected = everything(other)
    problem = problems.cnn()
    answers = Answers()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:

        def once() -> None:
            problem.step()
            if run.twin is not None and run.twin.step == 6:
                raise error

        step = run.forkable(once)
        for _ in range(3):
            step()
        run.control.give(Fork(steps=50), answers)
        if error is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                step()
        else:
            step()
        assert differences(expected, everything(problem)) == []
        assert answers == [(False, "interrupted" if error is KeyboardInterrupt else "ZeroDivisionError: ")]
        assert (run.step, run.state, run.twin) == (4, "watching", None)
        step()


def test_another_thread_gets_the_forks_run(problem: problems.Problem, run: nbtoolkit.Run, tmp_path: Any) -> None:
    step, found, over = run.forkable(problem.step), [], threading.Event()

    def ask() -> None:
        try:
            found.append(run.fork(steps=3, lr=0.2))
        finally:
            over.set()

    with pytest.raises(WatchError, match=r"on the thread that makes the steps: run.fork\(step\)"):
        run.fork(steps=3)
    with pytest.raises(WatchError, match="there is no training to act on"):
        nbtoolkit.open_run(run.save(tmp_path / "run.zarr")).fork(steps=3)
    thread = threading.Thread(target=ask)
    thread.start()
    while not over.is_set():
        step()
    thread.join()
    assert found == run.forks
    assert found[0].data.attrs["changes"] == {"lr": 0.2}


def test_what_is_asked_waits_for_the_end_of_the_call(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    made: list[str] = []

    def once() -> None:
        problem.step()
        made.append("all of the step")

    step = run.forkable(once)
    run.ears.clear()
    while_paused(run, lambda: made.append("paused"), run.resume)
    run.pause()
    step()
    assert made == ["all of the step", "paused"]
    run.stop()
    with pytest.raises(TrainingStopped):
        step()
    assert made[2:] == ["all of the step"]
    step()  # the run is over, the function is not
    assert made[3:] == ["all of the step"]


def test_a_command_asks_for_it(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    asked = Fork(steps=3, lr=0.5, seed=2, name="other", every=2)
    assert json.loads(json.dumps(asked.given())) == {
        "what": "fork", "steps": 3, "lr": 0.5, "seed": 2, "name": "other", "every": 2,
    }  # fmt: skip
    assert order(asked.given()) == asked
    step = run.forkable(problem.step)
    said: list[dict[str, Any]] = []
    begun: list[nbtoolkit.Run] = []
    act(run, {"op": "command", "id": "a", **asked.given()}, said.append, begun.append)
    act(run, {"op": "command", "id": "b", "what": "fork", "steps": "many"}, said.append)
    step()
    assert [(one["id"], one["state"]) for one in said] == [("a", "queued"), ("b", "refused"), ("a", "done")]
    assert said[-1]["text"] == "forked at step 5: other, 3 steps"
    assert begun == run.forks
    assert json.loads(afar._checked(controls.described(run)))["fork"] == ""
    assert "fork" not in json.loads(afar._checked(json.dumps({"groups": 1, "instruments": [], "fork": 3})))
