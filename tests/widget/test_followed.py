"""The Board of a run that another process makes: live without a cell, its bar asks the job."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbtoolkit
from nbtoolkit.capture import afar, following, lines
from nbtoolkit.widget import show
from tests import problems
from tests.capture.afar import until
from tests.widget.test_control import Heard


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any, Any]]:
    """A training, and the Board of a run that follows its store."""
    monkeypatch.setattr(lines, "LOCAL_SECONDS", 0.01)
    monkeypatch.setattr(following, "FOLLOW_SECONDS", 0.02)
    monkeypatch.setattr(afar, "LOOK_SECONDS", (0.01, 0.01))
    monkeypatch.setattr("nbtoolkit.widget.display.Board", Heard)
    problem = problems.mlp()
    run = nbtoolkit.open_run(tmp_path / "run.zarr", follow=True)
    page: Any = show(run)
    with (
        run,
        nbtoolkit.watch(
            problem.model, problem.optimizer, name="there", store=tmp_path / "run.zarr", commands=True
        ) as there,
    ):
        problem.train(2)
        until(lambda: run.step == 2 and not page.heads("status")[-1]["deaf"])
        yield problem, there, page


def test_rows_are_sent_while_nothing_runs_here(pair: Any) -> None:
    problem, _, page = pair
    states = [status["state"] for status in page.heads("status")]
    assert states[-1] == "following"
    assert page.heads("status")[-1]["name"] == "there"
    problem.train(3)
    until(lambda: page.heads("status")[-1]["step"] == 5)
    assert '"loss/loss"' in page.panels
    assert page.heads("status")[-1]["lr"] == [0.1]


def test_the_bar_asks_the_job_and_is_answered(pair: Any) -> None:
    problem, there, page = pair
    controls = json.loads(until(lambda: page.controls))
    assert "loss" in [one["name"] for one in controls["instruments"]]
    name = page.ask("lr", rate=0.03)
    assert page.acks(name) == [("queued", "")]
    until(lambda: there.control.orders)
    problem.train(1)
    until(lambda: page.acks(name)[1:] == [("done", "learning rate: 0.1 -> 0.03 from step 3")])
    wrong = page.ask("lr", rate="no")
    until(lambda: page.acks(wrong)[-1][0] == "refused")
    assert page.acks(page.ask("fly"))[-1][0] == "refused"
    until(lambda: page.heads("commands")[-1])
    assert page.heads("commands")[-1][-1]["new"] == 0.03


def test_at_the_end_all_is_kept(pair: Any) -> None:
    problem, there, page = pair
    problem.train(2)
    there.detach()
    until(lambda: page.snapshot)
    assert page.heads("status")[-1]["state"] == "finished"
    assert page.controls == ""
    assert page.run.listeners == []


def test_a_job_that_takes_no_commands_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbtoolkit.widget.display.Board", Heard)
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, store=tmp_path / "run.zarr"):
        problem.train(1)
        with nbtoolkit.open_run(tmp_path / "run.zarr", follow=True) as run:
            page: Any = show(run)
            page.update()
            assert page.heads("status")[-1]["deaf"] == afar.FORBIDDEN
            assert json.loads(page.controls) == {"groups": 1, "instruments": []}
            assert "takes no commands" in page.acks(page.ask("pause"))[-1][1]
    assert page.snapshot
