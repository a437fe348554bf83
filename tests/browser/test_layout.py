"""The layout of a Board: remembered in the kernel and in the notebook; reading changes nothing in the training."""

import json

import pytest

from tests.browser.board import Board
from tests.browser.cells import SETUP

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

RUN = """
import hashlib, time

def train(steps, pause=0.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,))
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        time.sleep(pause)
    values = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    return hashlib.sha256(values).hexdigest(), torch.rand(1).item()
"""
WATCHED = """%%landscape -v run
watched = train(1200, 0.01)
"""
PLAIN = "print(json.dumps([watched, train(1200)]))"
SHORT = """%%landscape
for rows in torch.randperm(len(x)).split(64):
    loss = F.cross_entropy(model(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


CELLS = """() => {
  const {content} = window.jupyterapp.shell.currentWidget;
  return [content.widgets.length, content.activeCellIndex];
}"""


def order(board: Board) -> list[str | None]:
    """The ids of the panels in their order."""
    return [one.get_attribute("data-panel") for one in board.panels.all()]


def rearranged(board: Board) -> list[str | None]:
    """Move the first panel two places on, enlarge it and hide the last; the new order."""
    before = order(board)
    first, last = board.panels.nth(0), board.panels.nth(len(before) - 1)
    last.focus()
    last.locator(".nbtk-more button").nth(2).click()
    first.focus()
    for _ in range(2):
        board.page.keyboard.press("Alt+ArrowRight")
    moved = board.root.locator(f'[data-panel="{before[0]}"]')
    moved.hover()
    moved.locator(".nbtk-more button").nth(1).click()
    now = order(board)
    assert now == [before[1], before[2], before[0], *before[3:-1]]
    assert "nbtk-large" in (moved.get_attribute("class") or "")
    board.page.wait_for_timeout(1_000)
    return now


def test_the_layout_is_remembered_by_the_next_board_and_by_the_saved_notebook(notebook, lab) -> None:
    opened = notebook([SETUP, SHORT])
    opened.run(0)
    opened.run(1)
    wanted = rearranged(Board(opened.page).wait())
    # Plain keys are the Board's: JupyterLab would add a cell above, or move on to another.
    for key in ("a", "ArrowDown", "ArrowRight"):
        opened.page.keyboard.press(key)
    cells, active = opened.page.evaluate(CELLS)
    assert (cells, active) == (2, 1)
    opened.run(1)
    again = Board(opened.page).wait()
    assert order(again) == wanted
    assert again.root.locator(".nbtk-large").get_attribute("data-panel") == wanted[2]

    opened.do("save")
    opened.reload()
    assert order(Board(opened.page).wait()) == wanted
    for kernel in lab.api("kernels"):
        lab.api(f"kernels/{kernel['id']}", method="DELETE")
    opened.reload()
    restored = Board(opened.page).wait()
    assert order(restored) == wanted
    assert restored.root.locator(".nbtk-large").get_attribute("data-panel") == wanted[2]


def test_reading_while_it_trains_changes_no_bit_of_the_training(notebook) -> None:
    opened = notebook([SETUP, RUN, WATCHED, PLAIN])
    for cell in (0, 1):
        opened.run(cell)
    opened.start(2)
    board = Board(opened.page).wait()
    opened.do("scroll_to", 2)
    plot = board.panels.nth(0).locator(".nbtk-plot")
    plot.hover(position={"x": 100, "y": 60})
    plot.click(position={"x": 120, "y": 60})
    assert board.root.locator(".nbtk-shown").inner_text().startswith("showing step")
    board.root.get_by_role("slider", name="step shown").press("ArrowLeft")
    board.root.get_by_role("slider", name="first step in view").press("PageUp")
    board.root.get_by_role("button", name="play the recorded steps").click()
    rearranged(board)
    board.root.get_by_role("button", name="show all steps").click()
    board.root.get_by_role("button", name="back to now").click()
    assert opened.do("finished", 2) is False
    opened.finish(2)
    printed = opened.run(3)
    text = "".join(one["text"] for one in printed if one["output_type"] == "stream")
    watched, plain = json.loads(text)
    assert watched == plain
