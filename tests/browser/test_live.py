"""The Board while a cell trains, in a real JupyterLab."""

import pytest

from tests.browser.board import Board
from tests.browser.cells import ASK, SETUP, TRAIN, answer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_live_while_the_cell_runs(notebook, lab) -> None:
    opened = notebook([SETUP, TRAIN, ASK])
    opened.run(0)
    opened.start(1)
    board = Board(opened.page).wait()
    steps = board.distinct_steps(12)
    assert opened.do("finished", 1) is False
    assert len(steps) >= 10
    assert "training" in board.status

    (lab.work / "enough").touch()
    opened.finish(1)
    board.wait_until("finished")
    run = answer(opened.run(2))
    kept, values = board.stored("loss/loss")
    assert (kept[0], kept[-1], board.step) == (0, run["step"], run["done"])
    assert values[-1] == run["loss"] == pytest.approx(run["last"])
    assert all(colours > 10 for colours in board.colours()[:2])


def test_reload_in_mid_run_brings_the_board_back(notebook, lab) -> None:
    opened = notebook([SETUP, TRAIN, ASK])
    opened.run(0)
    opened.start(1)
    before = max(Board(opened.page).wait().distinct_steps(3))
    opened.do("save")
    opened.reload()

    board = Board(opened.page).wait()
    steps = board.distinct_steps(5)
    assert max(steps) > before
    assert "training" in board.status
    (lab.work / "enough").touch()
    board.wait_until("finished")
    run = answer(opened.run(2))
    kept, values = board.stored("loss/loss")
    assert (kept[0], kept[-1], values[-1]) == (0, run["step"], run["loss"])


def test_scrolling_away_and_back(notebook, lab) -> None:
    far = 12
    opened = notebook([SETUP, TRAIN, *["# nothing\n" * 40] * far])
    opened.run(0)
    opened.start(1)
    board = Board(opened.page).wait()
    opened.do("scroll_to", 1 + far)
    opened.page.wait_for_timeout(500)
    before = board.step
    opened.do("scroll_to", 1)
    board = Board(opened.page).wait()
    steps = board.distinct_steps(5)
    assert min(steps) >= before  # what it showed last stays in sight until the next step is drawn
    assert max(steps) > before
    (lab.work / "enough").touch()
    opened.finish(1)


def test_clearing_outputs_in_mid_run_does_not_hurt_the_run(notebook, lab) -> None:
    opened = notebook([SETUP, TRAIN, ASK, "%landscape show"])
    opened.run(0)
    opened.start(1)
    Board(opened.page).wait().distinct_steps(3)
    opened.do("command", "notebook:clear-all-cell-outputs")
    opened.page.wait_for_timeout(500)
    (lab.work / "enough").touch()
    opened.finish(1)
    run = answer(opened.run(2))
    assert run["state"] == "finished"

    opened.run(3)
    board = Board(opened.page, place=opened.page.locator(".nbtk-board").count() - 1).wait()
    assert board.step == run["done"]
