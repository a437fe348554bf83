"""The Board after the run: without its kernel, and in a notebook that was saved and opened again."""

import pytest

from tests.browser.board import Board
from tests.browser.cells import ASK, SETUP, TRAIN, answer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def finished(notebook, lab):
    """A notebook whose run is over, with what was measured last."""
    opened = notebook([SETUP, TRAIN, ASK])
    opened.run(0)
    opened.start(1)
    Board(opened.page).wait().distinct_steps(3)
    (lab.work / "enough").touch()
    opened.finish(1)
    Board(opened.page).wait_until("finished")
    return opened, answer(opened.run(2))


def test_kernel_restart_is_told_and_the_record_stays(notebook, lab) -> None:
    opened, run = finished(notebook, lab)
    opened.do("restart")
    board = Board(opened.page)
    board.wait_until("kernel gone: showing what was recorded")
    assert board.step == run["done"]
    assert board.stored("loss/loss")[1][-1] == run["loss"]
    assert board.drawn()


def test_saved_and_reopened_it_is_interactive_without_running(notebook, lab) -> None:
    opened, run = finished(notebook, lab)
    opened.do("save")
    for kernel in lab.api("kernels"):
        lab.api(f"kernels/{kernel['id']}", method="DELETE")
    opened.reload()

    board = Board(opened.page).wait()
    assert board.step == run["done"]
    assert board.stored("loss/loss")[1][-1] == run["loss"]
    shown = board.panels.count()
    board.root.get_by_role("button", name="choose the panels shown").click()
    board.root.locator('.nbtk-chips button[aria-pressed="true"]').first.click()
    assert board.panels.count() == shown - 1
    board.panels.first.focus()
    opened.page.keyboard.press("Home")
    assert board.root.locator(".nbtk-pointed").inner_text() == "step 0"
    assert opened.page.locator(".nbtk-static:visible").count() == 0
