"""Streams of tasks on a Board: gaps and their words, a matrix that fills while it trains, a click that keeps a task."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

import nbtoolkit
from nbtoolkit.capture.run import Run
from tests.browser.board import COLOURS, Board
from tests.browser.cells import SETUP
from tests.browser.test_landscapes import changed, final, told
from tests.browser.test_reading import panel, picture, settled
from tests.panels.streams import record

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

GAP, MATRIX = "accuracy by task", "accuracy after each task"
DIP = "worst dip: rot0 0.98 \N{RIGHTWARDS ARROW} 0.808 \N{RIGHTWARDS ARROW} 0.966, lowest 11 steps after rot90 began"
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


@pytest.fixture
def board(page: Page, tmp_path: Path) -> Board:
    """A page with a finished run over known tasks."""
    run = Run("stream", record())
    run.step = 900
    page.goto(nbtoolkit.export_html(run, tmp_path / "stream.html").as_uri())
    return Board(page).wait()


def last(task: int) -> str:
    """The last accuracy on a task, in three digits."""
    return f"{record().groups['stability_gap'].rows()[1]['accuracy'][-1, task]:.3g}"


def click_cell(one: Locator, across: float, down: float) -> None:
    """Click into a matrix of three by three, as far from the frame's left and upper end as these shares of its size."""
    x, y, size = one.evaluate(
        """panel => {
          const stage = panel.querySelector(".nbtk-plot").getBoundingClientRect();
          return [stage.left, stage.top, Math.min(stage.width - 130, stage.height - 60)];
        }"""
    )
    one.page.mouse.click(x + 70 + across * size, y + 10 + down * size)
    one.page.mouse.move(1, 1)


def test_gap_and_matrix_say_what_happened_without_a_kernel(board: Board) -> None:
    assert told(panel(board, GAP)) == f"mean of 3 tasks 0.955 {DIP}"
    assert told(panel(board, MATRIX)) == f"ACC 0.955 BWT {MINUS}0.0224"
    assert panel(board, GAP).bounding_box()["width"] > 1.9 * panel(board, MATRIX).bounding_box()["width"]  # type: ignore[index]
    for name in (GAP, MATRIX):
        assert panel(board, name).evaluate(COLOURS) > 10
    panel(board, "training loss").focus()
    board.page.keyboard.press("Home")
    for _ in range(31):
        board.page.keyboard.press("Shift+ArrowRight")
    assert told(panel(board, GAP)).startswith("step 311 rot0 0.808 ± 0.018 rot90 0.")
    assert told(panel(board, MATRIX)) == "step 300 ACC 0.98"


def test_a_click_on_a_cell_keeps_its_task_in_front_until_the_next(board: Board) -> None:
    gap, matrix = panel(board, GAP), panel(board, MATRIX)
    cells = final(matrix)
    before = picture(gap)
    click_cell(matrix, 0.15, 0.15)
    expect(gap.locator(".nbtk-now")).to_contain_text(f"rot0 {last(0)}")
    assert told(gap).endswith(DIP.replace("rot0 ", ""))
    changed(gap, before)
    framed = changed(matrix, cells)
    click_cell(matrix, 0.5, 0.15)
    expect(gap.locator(".nbtk-now")).to_contain_text(f"rot90 {last(1)}")
    assert changed(matrix, framed) != cells
    click_cell(matrix, 0.5, 0.85)  # the same column
    expect(gap.locator(".nbtk-now")).to_contain_text("mean of 3 tasks")
    assert settled(gap, before, seconds=10)
    assert settled(matrix, cells, seconds=10)


def test_keys_keep_a_task_in_front_and_a_drag_does_not(board: Board) -> None:
    gap, matrix = panel(board, GAP), panel(board, MATRIX)
    final(matrix)
    gap.focus()
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        board.page.keyboard.press(key)
    expect(board.root.locator(".nbtk-pointed")).to_have_text("rot90 in front")
    board.page.keyboard.press("Enter")
    expect(board.root.locator(".nbtk-pointed")).to_have_text("no task in front")
    box = matrix.locator(".nbtk-plot").bounding_box()
    assert box
    mouse = board.page.mouse
    mouse.move(box["x"] + 100, box["y"] + 60)
    mouse.down()
    mouse.move(box["x"] + 160, box["y"] + 110, steps=4)
    mouse.up()
    board.page.wait_for_timeout(300)
    assert "mean of 3 tasks" in told(gap) or told(gap).startswith("step")
    mouse.move(1, 1)
    expect(gap.locator(".nbtk-now")).to_contain_text("mean of 3 tasks")


def test_all_kinds_are_drawn(board: Board) -> None:
    board.page.get_by_role("button", name="choose the panels shown").click()
    hidden = board.root.locator('.nbtk-chips button[aria-pressed="false"]')
    while hidden.count():
        hidden.first.click()
    for name, words in (
        ("cosine between gradients", f"3 {TIMES} 3 {MINUS}0.372 to 1 most opposed: rot0, rot90"),
        ("cosine between gradients of terms", f"2 {TIMES} 2 0.1 to 1"),
        ("accuracy of a linear probe", f"4 {TIMES} 3 0.81 to 0.93"),
        ("singular values of the weights", "largest 6 in 0"),
        ("trace of the Fisher information", "largest 7.389 1/param^2 in 0"),
        ("margin", "quantile 0.01"),
    ):
        one = panel(board, name)
        one.scroll_into_view_if_needed()
        assert final(one)
        assert one.evaluate(COLOURS) > 10
        assert words in told(one).replace("\N{NO-BREAK SPACE}", " ")


STREAM = """
from itertools import count
from time import sleep
features = x.flatten(1)
orders = {"plain": torch.arange(64), "mixed": torch.randperm(64), "turned": torch.arange(64).flip(0)}
tasks = {name: (features[:400, order], y[:400]) for name, order in orders.items()}
model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
"""

TRAIN = """%%landscape --tasks tasks -v run
for place, (name, order) in enumerate(orders.items()):
    %landscape task {name}
    for step in count():
        rows = torch.randint(400, len(x), (64,))
        optimizer.zero_grad()
        F.cross_entropy(model(features[rows][:, order]), y[rows]).backward()
        optimizer.step()
        sleep(0.002)  # the browser has the same cores
        if step > 150 and Path(f"enough {place}").exists():
            break
"""


def test_the_matrix_fills_and_the_gap_opens_while_the_cell_runs(notebook, lab) -> None:
    opened = notebook([SETUP, STREAM, TRAIN, "print(run['accuracy_matrix']['accuracy'].shape)"])
    for cell in range(2):
        opened.run(cell)
    opened.start(2)
    opened.do("scroll_to", 2)
    board = Board(opened.page).wait()
    gap, matrix = panel(board, GAP), panel(board, MATRIX)
    gap.scroll_into_view_if_needed()
    expect(gap.locator(".nbtk-now")).to_contain_text(re.compile(r"plain [01]"), timeout=60_000)
    (lab.work / "enough 0").touch()
    expect(matrix.locator(".nbtk-now")).to_contain_text(re.compile(r"ACC [01]"), timeout=60_000)
    expect(gap.locator(".nbtk-now")).to_contain_text("worst dip: plain", timeout=60_000)
    assert "after mixed began" in told(gap)
    assert "BWT" not in told(matrix)
    matrix.evaluate("panel => { panel.kept = true; }")
    matrix.scroll_into_view_if_needed()
    first = picture(matrix)
    (lab.work / "enough 1").touch()
    expect(matrix.locator(".nbtk-now")).to_contain_text("BWT", timeout=60_000)
    changed(matrix, first)
    assert matrix.evaluate("panel => panel.kept") is True  # the same figure goes on, nothing blinks
    (lab.work / "enough 2").touch()
    opened.finish(2)
    expect(gap.locator(".nbtk-now")).to_contain_text("mean of 3 tasks", timeout=30_000)
    matrix.focus()
    for key in ("ArrowDown", "Enter"):  # JupyterLab has other uses for both
        opened.page.keyboard.press(key)
    expect(board.root.locator(".nbtk-pointed")).to_have_text("plain in front")
    matrix.evaluate("panel => panel.blur()")
    expect(gap.locator(".nbtk-now")).to_contain_text(re.compile(r"worst dip: [01]"))
    click_cell(matrix, 0.15, 0.15)
    expect(gap.locator(".nbtk-now")).to_contain_text("mean of 3 tasks")
    click_cell(matrix, 0.5, 0.5)
    expect(gap.locator(".nbtk-now")).to_contain_text("mixed 0.")
    assert opened.run(3)[0]["text"].startswith("(")
