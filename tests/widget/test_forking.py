"""A fork asked for by the page: how far it is, and its curves over those of the run that it leaves."""

import json
from typing import Any

import pytest

import nbtoolkit
from nbtoolkit.widget import board, show
from tests import problems
from tests.widget.test_control import Heard


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> list[Heard]:
    """All Boards that are made, in a kernel that lets messages in."""
    made: list[Heard] = []

    class Kept(Heard):
        def __init__(self, run: Any, names: Any = None) -> None:
            super().__init__(run, names)
            made.append(self)

    monkeypatch.setattr(board.Pump, "find", lambda: lambda: None)
    monkeypatch.setattr("nbtoolkit.widget.display.Board", Kept)
    monkeypatch.setattr("nbtoolkit.capture.run.FLUSH_SECONDS", 0.0)
    return made


def test_it_is_shown_while_it_is_made(boards: list[Heard]) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, name="it") as run:
        show(run)
        (page,) = boards
        assert "run.forkable" in json.loads(page.controls)["fork"]
        assert page.acks(page.ask("fork"))[0][0] == "refused"
        step = run.forkable(problem.step)
        for _ in range(3):
            step()
        page.update()
        assert json.loads(page.controls)["fork"] == ""
        asked = page.ask("fork", steps=4, lr=0.5)
        assert page.acks(asked) == [("queued", "")]
        run.next_look = run.next_flush = 0.0
        before = len(page.heard)
        step()
        assert page.acks(asked)[1:] == [("done", "forked at step 4: it fork@4 lr=0.5, 4 steps")]
        told = [head["status"] for head in page.heard[before:] if "status" in head]
        far = [status["forking"] for status in told]
        assert [text for text in dict.fromkeys(far) if text] == [f"step {k} of 4" for k in range(5)]
        assert far[-1] == ""
        assert {status["lr"] == [] for status in told if status["forking"]} == {True}
        assert told[-1]["lr"] == [pytest.approx(0.1)]
        both = boards[1]
        assert len(boards) == 2
        assert both.run.name == "it, it fork@4 lr=0.5"
        assert any(both.heads("series"))
        step()
    assert both.heads("status")[-1]["state"] == "finished"


def test_a_run_read_from_a_file_says_nothing_of_forks(boards: list[Heard], tmp_path: Any) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(2)
    show(nbtoolkit.open_run(run.save(tmp_path / "run.zarr")))
    assert boards[0].controls == ""
    boards[0].update()
    assert boards[0].heads("status")[-1]["forking"] == ""
