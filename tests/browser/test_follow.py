"""A job of another process on a Board: live though no cell runs, and paused by a click."""

import pytest

from tests.browser.board import Board
from tests.capture.afar import job, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

OPEN = """
import nbtoolkit
run = nbtoolkit.open_run("run.zarr", follow=True)
board = nbtoolkit.show(run)
"""
ASK = """print(run.state, run.status().state, run.commands[-1]["what"])"""


def test_a_job_is_drawn_while_no_cell_runs_and_paused_by_a_click(notebook, lab) -> None:
    opened = notebook([OPEN, ASK])
    with job(lab.work, 10**6, 200) as training:
        training.start()
        until((lab.work / "run.zarr" / "zarr.json").exists, 60)
        opened.run(0)
        assert opened.do("finished", 0) is True
        board = Board(opened.page).wait()
        steps = board.distinct_steps(4)
        assert len(steps) >= 4
        assert "following" in board.status
        shown, _ = board.stored("loss/loss")
        assert shown[:3] == [0, 1, 2]

        until(lambda: not board.bar.evaluate("bar => bar.classList.contains('nbtk-deaf')"))
        board.press("pause the training")
        board.wait_for_word("paused after step")
        board.wait_until("paused")
        at = board.step
        opened.page.wait_for_timeout(1500)
        assert board.step == at
        assert opened.run(1)[0]["text"].split() == ["following", "paused", "pause"]
        board.press("resume the training")
        board.wait_until("following")
        assert max(board.distinct_steps(2)) > at

        training.kill()
        board.wait_until("its writer is silent")
        assert "the writer has written nothing for" in board.root.locator(".nbtk-notes").inner_text()
        assert board.bar.is_hidden()
        assert board.drawn()
