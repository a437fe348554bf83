"""Instruments that fail, cost too much, or are asked by hand; listeners that fail; values of the user's own."""

import time
from typing import Any

import numpy as np
import pytest
import torch

import nbtoolkit
from nbtoolkit.errors import WatchError
from tests import problems


def test_an_instrument_that_fails_is_nan_with_its_reason_and_training_goes_on() -> None:
    @nbtoolkit.instrument(outputs={"value": nbtoolkit.Var((), units="1", long_name="value")})
    def moody(params, /):
        """Fails."""
        raise RuntimeError("out of mood")

    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[moody]) as run:
        problem.train(4)
    assert np.isnan(run["moody"]["value"]).all()
    assert len(run["moody"]["step"]) == 4
    assert "RuntimeError: out of mood (4 times, first at step 0)" in run["moody"]["value"].attrs["not_measured"]
    assert "moody could not be measured" in run.status().notes[0]
    assert run.state == "finished"


def test_an_instrument_that_returns_nonsense_harms_only_itself() -> None:
    @nbtoolkit.instrument(outputs={"value": nbtoolkit.Var((), units="1", long_name="value")})
    def odd(params, /):
        """Returns a word."""
        return {"value": "much"}

    @nbtoolkit.instrument(outputs={"value": nbtoolkit.Var(("param",), units="1", long_name="value")})
    def flat(params, /):
        """Returns a scalar where a vector is declared."""
        return {"value": torch.tensor(1.0)}

    @nbtoolkit.instrument(outputs={"value": nbtoolkit.Var(("param",), units="1", long_name="value")})
    def short(params, /):
        """Returns fewer values than there are parameters."""
        return {"value": torch.ones(3)}

    @nbtoolkit.instrument(outputs={"value": nbtoolkit.Var((), units="1", long_name="value")})
    def empty(params, /):
        """Forgets what it declared."""
        return {"other": 1.0}

    problem = problems.mlp()
    loss = nbtoolkit.instruments.loss
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[odd, flat, short, empty, loss]) as run:
        problem.train(3)
    assert run.state == "finished"
    assert np.isfinite(run["loss"]["loss"]).all()
    assert np.isnan(run["odd"]["value"]).all()
    assert "not numbers" in run["odd"]["value"].attrs["not_measured"]
    assert "dims" in run["flat"]["value"].attrs["not_measured"]
    assert "3 values along param, of which there are 4" in run["short"]["value"].attrs["not_measured"]
    assert "KeyError" in run["empty"]["value"].attrs["not_measured"]


def test_scalars_on_the_host_are_read_at_once() -> None:
    kept = torch.zeros(3)

    @nbtoolkit.instrument(
        outputs={
            "whole": nbtoolkit.Var((), units="1", long_name="whole"),
            "parts": nbtoolkit.Var(("group",), units="1", long_name="parts"),
        },
        cost=lambda settings: 0,
    )
    def reused(params, /):
        """Returns the same memory each time."""
        kept.add_(1)
        return {"whole": kept[0], "parts": [kept[1]]}

    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[reused]) as run:
        problem.train(4)
        kept.zero_()
    assert run["reused"]["whole"].values.tolist() == [1, 2, 3, 4]
    assert run["reused"]["parts"].values.tolist() == [[1], [2], [3], [4]]


def test_a_listener_that_fails_is_dropped_and_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbtoolkit.capture.run.FLUSH_SECONDS", 0.0)
    problem, calls = problems.mlp(), []
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:

        def broken(run: Any) -> None:
            calls.append(run.step)
            raise OSError("no screen")

        run.listeners.append(broken)
        problem.train(5)
    assert calls == [1]
    assert run.step == 5
    assert "a listener was dropped: OSError: no screen" in run.status().notes


def test_a_costly_instrument_is_stretched_to_the_budget() -> None:
    @nbtoolkit.instrument(outputs={"value": nbtoolkit.Var((), units="1", long_name="value")}, every=1)
    def costly(params, /):
        """Takes far longer than a step."""
        time.sleep(0.005)
        return {"value": 1.0}

    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[costly], budget=0.2) as run:
        problem.train(1200)
    steps = run["costly"]["step"].values
    assert 2 <= len(steps) < 600, "the cadence was not stretched"
    assert steps.max() > 50


def test_measuring_by_hand_adds_a_row_at_the_present_step() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[nbtoolkit.instruments.loss]) as run:
        problem.train(7)
        data = run.measure(nbtoolkit.instruments.grad_norm)
        assert data["step"].values.tolist() == [7]
        assert float(data["total"][0]) > 0
        with pytest.raises(WatchError, match="needs updates, which exist only within a step"):
            run.measure(nbtoolkit.instruments.update_ratio)
    assert run.measure(nbtoolkit.instruments.grad_norm)["step"].values.tolist() == [7, 7]


def test_logged_values_become_variables_at_their_step() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        for epoch in range(3):
            problem.train(5)
            run.log(accuracy=torch.tensor(0.5 + epoch / 10), epoch=epoch)
    assert run["accuracy"]["step"].values.tolist() == [5, 10, 15]
    np.testing.assert_allclose(run["accuracy"]["accuracy"], [0.5, 0.6, 0.7], rtol=1e-6)
    assert run["epoch"]["epoch"].values.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": 1.0}, "is an instrument of this run"),
        ({"a/b": 1.0}, "got the name 'a/b'; use letters, digits"),
        ({"step": 1.0}, "no name of a dim"),
        ({"many": torch.zeros(3)}, "log scalars"),
        ({"word": "high"}, "log scalars"),
    ],
)
def test_what_cannot_be_logged_is_refused(values: dict, message: str) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run, pytest.raises(WatchError, match=message):
        run.log(**values)


def test_the_budget_holds_from_the_second_measurement_on() -> None:
    """The first comes before anything is known of its cost or of a step's."""

    @nbtoolkit.instrument(outputs={"value": nbtoolkit.Var((), units="1", long_name="value")}, every=2)
    def slow(params, /):
        """Takes about 50 ms."""
        time.sleep(0.05)
        return {"value": 1.0}

    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[slow], budget=0.02) as run:
        for _ in range(100):
            problem.step()
            time.sleep(0.002)
    # 50 ms at 2 % are paid for by 2.5 s of training; 100 steps take far less.
    assert run["slow"]["step"].values.tolist() == [0]


def test_gradients_after_the_step_are_those_of_the_step() -> None:
    @nbtoolkit.instrument(outputs={"size": nbtoolkit.Var((), units="1", long_name="size")}, cost=lambda settings: 0)
    def late(grads, clock, /):
        """Norm of all gradients, asked for after the step."""
        return {"size": torch.stack([grad.norm() for grad in grads.values()]).norm()}

    problem = problems.mlp()
    grad_norm = nbtoolkit.instruments.grad_norm.using(every=1)
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[late, grad_norm]) as run:
        problem.train(4)
    np.testing.assert_allclose(run["late"]["size"], run["grad_norm"]["total"], rtol=1e-5)
    assert len(set(run["late"]["size"].values)) == 4
