"""marimo: a training in a `mo.Thread` acted on from the Board, and one in a cell that blocks."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.board import Board
from tests.browser.marimo_server import Marimo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SETUP = """
import json, os, time
from pathlib import Path
import marimo as mo
import torch
from torch import nn
from torch.nn import functional as F
import nbtoolkit

torch.manual_seed(0)
x, y = torch.randn(64, 8), torch.randint(0, 3, (64,))
model = nn.Linear(8, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

def step():
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    time.sleep(0.004)
"""
WATCH = """
run = nbtoolkit.watch(model, optimizer, loss=F.cross_entropy, probe=(x, y))
nbtoolkit.show(run, names=["loss", "grad_norm"])
"""
# It tells in files how far it is, and how it ended.
TRAIN = """
run

def train():
    thread, made = mo.current_thread(), 0
    try:
        while not thread.should_exit:
            step()
            made += 1
            Path("telling").write_text(json.dumps([made, optimizer.param_groups[0]["lr"]]))
            os.replace("telling", "told")
        Path("ended").write_text("told to")
    except nbtoolkit.TrainingStopped:
        Path("ended").write_text("stopped")

mo.Thread(target=train).start()
"""
# Its first run stops here, as there is nothing to do yet.
BLOCKING = """
mo.stop(not Path("go").exists())
with nbtoolkit.watch(model, optimizer) as own:
    nbtoolkit.show(own, names=["loss"])
    while not Path("enough").exists():
        step()
"""
THREAD, LAST = 2, 3  # cells


@pytest.fixture(scope="module")
def marimo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marimo]:
    with Marimo(tmp_path_factory.mktemp("marimo")) as server:
        yield server


@pytest.fixture(scope="module")
def page(marimo: Marimo, browser: Browser) -> Iterator[Page]:
    """The notebook, whose kernel goes on from one test to the next."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.goto(marimo.write("notebook.py", [SETUP, WATCH, TRAIN, BLOCKING]))
    yield page
    context.close()


def run_again(page: Page, cell: int) -> None:
    page.locator("[data-cell-id] .cm-content").nth(cell).click()
    page.keyboard.press("Control+Enter")


def told(marimo: Marimo) -> tuple[int, float]:
    """Steps made by the thread, and its learning rate then."""
    made, rate = json.loads((marimo.work / "told").read_text())
    return made, rate


def soon(page: Page, holds: Callable[[], bool]) -> None:
    """Wait until it holds, while the page goes on."""
    for _ in range(600):
        if holds():
            return
        page.wait_for_timeout(50)
    raise TimeoutError


def paused(board: Board, marimo: Marimo) -> int:
    """Pause by a click: the steps told, which no longer grow."""
    board.press("pause the training")
    board.wait_until("paused")
    before = told(marimo)[0]
    board.page.wait_for_timeout(400)
    assert told(marimo)[0] == before
    return before


def ended(marimo: Marimo) -> Path:
    return marimo.work / "ended"


def test_a_training_in_a_thread_is_live_and_obeys(marimo: Marimo, page: Page) -> None:
    board = Board(page).wait()
    assert len(board.distinct_steps(3)) >= 3
    made = paused(board, marimo)
    board.press("make 1 step, then pause")
    soon(page, lambda: told(marimo)[0] == made + 1)
    board.set_rate("0.01")
    board.wait_for_word("0.05 -> 0.01")
    board.press("resume the training")
    soon(page, lambda: told(marimo)[0] > made + 5)
    assert told(marimo)[1] == 0.01
    board.measure("sharpness")
    board.wait_for_word("sharpness measured at step")


def test_a_page_that_is_loaded_anew_has_the_board_and_its_buttons(marimo: Marimo, page: Page) -> None:
    page.reload()
    board = Board(page).wait()
    assert board.stored("loss/loss")[0][:3] == [0, 1, 2]
    paused(board, marimo)
    board.press("resume the training")
    board.wait_until("training")


def test_a_paused_thread_whose_cell_runs_again_ends(marimo: Marimo, page: Page) -> None:
    paused(Board(page), marimo)
    run_again(page, THREAD)
    soon(page, ended(marimo).exists)
    assert ended(marimo).read_text() == "told to"
    ended(marimo).unlink()
    assert len(Board(page).distinct_steps(3)) >= 3


def test_boards_are_drawn_when_the_cell_that_made_the_first_runs_again(marimo: Marimo, page: Page) -> None:
    run_again(page, 1)  # and with it the thread
    soon(page, ended(marimo).exists)
    ended(marimo).unlink()
    page.reload()
    board = Board(page).wait()
    assert len(board.distinct_steps(3)) >= 3


def test_stop_ends_the_thread(marimo: Marimo, page: Page) -> None:
    board = Board(page)
    board.press("stop the training")
    board.press("yes, stop the training")
    board.wait_until("stopped")
    soon(page, ended(marimo).exists)
    assert ended(marimo).read_text() == "stopped"
    assert board.drawn()


def test_in_a_cell_that_blocks_the_board_is_live_and_says_that_it_is_deaf(marimo: Marimo, page: Page) -> None:
    (marimo.work / "go").touch()
    run_again(page, LAST)
    board = Board(page, place=1).wait()
    assert len(board.distinct_steps(3)) >= 3
    assert "mo.Thread" in board.word
    board.press("pause the training", idle=True)
    steps = board.distinct_steps(2)
    assert len(steps) == 2
    (marimo.work / "enough").touch()
    board.wait_until("finished")
    assert board.step >= max(steps)
