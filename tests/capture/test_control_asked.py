"""What is asked for on another thread is answered: also where something else is asked for since, or no step ends."""

import threading
from typing import Any

import pytest

import nbtoolkit
from nbtoolkit.capture import expecting
from nbtoolkit.capture.orders import Every, Measure
from nbtoolkit.capture.rates import SetRate
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import sharpness
from tests import problems
from tests.capture.outside import elsewhere

Told = list[tuple[bool, str]]


@nbtoolkit.instrument(outputs={"size": nbtoolkit.Var((), "1", "sum of squares")}, every=1000)
def size(params: Any, /) -> dict[str, Any]:
    return {"size": sum(float(tensor.square().sum()) for tensor in params.values())}


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience that is over at once."""
    monkeypatch.setattr(expecting, "PATIENCE", 0.0)
    monkeypatch.setattr(expecting, "MOST_PATIENCE", 0.0)
    monkeypatch.setattr(expecting, "REST_SECONDS", 0.01)


@pytest.mark.parametrize("attached", [True, False])
def test_a_measurement_is_answered_though_the_cadence_is_changed_since(attached: bool) -> None:
    problem = problems.mlp()
    told: Told = []
    instruments = [nbtoolkit.instruments.loss, *([sharpness.using(every=50)] if attached else [])]
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=instruments, budget=float("inf")) as run:
        problem.train(2)
        elsewhere(lambda: run.control.give(Measure("sharpness"), lambda *answer: told.append(answer)))
        elsewhere(lambda: run.control.give(Every("sharpness", 20), lambda *answer: told.append(answer)))
        problem.train(6)
        assert not run.control.orders
    before = ", before every 50" if attached else ""
    assert told == [
        (True, f"sharpness is measured every 20 steps from step 3{before}"), (True, "sharpness measured at step 3"),
    ]  # fmt: skip
    assert run["sharpness"]["step"].values.tolist() == ([0, 3] if attached else [3])


def test_a_measurement_by_name() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[nbtoolkit.instruments.loss]) as run:
        problem.train(2)
        assert run.measure("weight_norm")["step"].values.tolist() == [2]
        for wrong, said in (("weightnorm", "did you mean 'weight_norm'"), (None, "None is no instrument")):
            with pytest.raises(WatchError, match=said):
                run.measure(wrong)  # type: ignore[arg-type]
            with pytest.raises(WatchError, match=said):
                elsewhere(lambda wrong=wrong: run.measure(wrong))  # type: ignore[arg-type]


def test_where_no_step_ends_a_measurement_is_given_up(soon: None) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[nbtoolkit.instruments.loss]) as run:
        problem.train(2)
        with pytest.raises(WatchError, match=r"no step has ended for \d+ s, and this is measured where one ends"):
            elsewhere(lambda: run.measure(size))
        assert not run.control.orders
        problem.train(2)
    assert "size" not in run.record.groups


def test_a_thread_that_measures_is_waited_for(soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problems.mlp()
    looks: list[bool] = []
    looked_often = threading.Event()
    at_work = expecting._is_at_work

    def looking(run: nbtoolkit.Run) -> bool:
        looks.append(at_work(run))
        if len(looks) > 3:
            looked_often.set()
        return looks[-1]

    monkeypatch.setattr(expecting, "_is_at_work", looking)

    @nbtoolkit.instrument(outputs={"slow": nbtoolkit.Var((), "1", "what takes long")}, every=3)
    def slow(params: Any, /) -> dict[str, Any]:
        if run.step == 3:
            measured.append(threading.Thread(target=lambda: done.append(run.measure(size))))
            measured[0].start()
            assert looked_often.wait(20.0)
        return {"slow": 0.0}

    measured: list[threading.Thread] = []
    done: list[Any] = []
    run = nbtoolkit.watch(problem.model, problem.optimizer, instruments=[slow], budget=float("inf"))
    problem.train(3)
    problem.train(1)
    while measured[0].is_alive():
        problem.train(1)
    run.detach()
    assert looks[:4] == [True] * 4
    assert done[0]["step"].values.tolist()[0] >= 4


def test_who_is_interrupted_while_waiting_takes_back_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problems.mlp()

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[nbtoolkit.instruments.loss]) as run:
        problem.train(1)
        given: list[Any] = []

        def wait() -> None:
            def answer(done: bool, text: str) -> None:
                given.append(text)

            run.control.give(Measure(size), answer)
            expecting.expect(run.control, Interrupted(), answer)

        with pytest.raises(KeyboardInterrupt):
            elsewhere(wait)
        problem.train(2)
    assert (given, "size" in run.record.groups) == ([], False)


def test_an_interrupt_as_the_wait_begins_leaves_no_wait() -> None:
    problem = problems.mlp()

    def interrupt(_: nbtoolkit.Run) -> None:
        if run.status().state == "paused":
            run.listeners.clear()
            raise KeyboardInterrupt

    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(1)
        run.listeners.append(interrupt)
        run.pause()
        with pytest.raises(KeyboardInterrupt):
            problem.train(1)
        assert (run.status().state, run.control.holding, run.control.pause) == ("watching", False, None)
        problem.train(2)
        assert run.step == 4


def test_what_is_refused_at_the_end_is_named() -> None:
    problem = problems.mlp()
    told: Told = []
    with nbtoolkit.watch(problem.model, problem.optimizer, name="it") as run:
        problem.train(1)
        for order in (SetRate(0.5), SetRate(0.25, 0), Measure("sharpness"), Every("loss", 3)):
            elsewhere(lambda order=order: run.control.give(order, lambda *answer: told.append(answer)))
        run.resume()
        run.advance(2)
    wanted = ("lr 0.5", "lr 0.25 group=0", "measure sharpness", "every loss 3")
    assert told == [(False, f"it has ended before {one} could be done") for one in wanted]
    assert run.notes == [f"it has ended before {one} could be done" for one in ("resume", "advance 2")]
