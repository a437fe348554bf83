"""A Board shown while one measurement is made."""

from typing import Any

import numpy as np
import pytest
import torch

import nbtoolkit
from nbtoolkit.instruments import Var, instrument, loss
from nbtoolkit.widget import following
from nbtoolkit.widget.board import Board
from tests import problems


@instrument(outputs={"field": Var(("bin",), "1", "field")})
def filling(params, /):
    """Fills up."""
    for stage in range(3):
        yield {"field": torch.where(torch.arange(3) <= stage, torch.arange(3.0), torch.nan)}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    heads: list[dict[str, Any]] = []
    monkeypatch.setattr(Board, "send", lambda self, head, buffers: heads.append(head))
    monkeypatch.setattr("nbtoolkit.capture.drafts.TELL_SECONDS", 0.0)
    return heads


def test_the_stages_of_a_measurement_after_the_run_are_shown(sent: list[dict[str, Any]]) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[loss]) as run:
        problem.train(3)
    with following(run, ["filling"]) as board:
        run.measure(filling)
        drafted = [head for head in sent if head["drafts"]]
    assert [series["key"] for series in drafted[0]["drafts"]] == ["filling/field"]
    assert len(drafted) >= 3  # one stage may be told twice: with the panel that it brings
    assert '"filling/field"' in board.panels
    assert not sent[-1]["drafts"]
    assert sent[-1]["op"] == "reset"
    assert board.snapshot
    assert not run.listeners
    np.testing.assert_array_equal(run["filling"]["field"].values, [[0, 1, 2]])


def test_a_run_under_way_goes_on_being_followed(sent: list[dict[str, Any]]) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[loss]) as run:
        problem.train(2)
        with following(run, ["filling"]):
            run.measure(filling)
        problem.train(2)
        assert len(run.listeners) == 1
    assert any(series["key"] == "loss/loss" for series in sent[-1]["series"])


def test_what_fails_is_left_in_order(sent: list[dict[str, Any]]) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[loss]) as run:
        problem.train(2)
    with pytest.raises(KeyError), following(run, ["nothing"]):
        raise KeyError("nothing")
    assert not run.listeners
