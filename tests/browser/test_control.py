"""The running loop acted on from the Board while an ordinary cell blocks the kernel."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.board import Board
from tests.browser.cells import SETUP, TOLD
from tests.browser.fronts import FRONTS, Desk, started
from tests.browser.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

STILL = 600  # ms in which a loop of a few ms a step would have gone on
INTERRUPT = "notebook:interrupt-kernel"

ASK = """
import ipykernel
print(json.dumps({
    "state": run.state, "done": run.status().step, "made": made, "last": last,
    "loss": float(run["loss"]["loss"][-1]), "commands": [one["what"] for one in run.commands],
    "kernel": ipykernel.__version__,
}))
"""

# Two Boards on one run, watched by `watch` in a cell without magic.
TWO = """
import os, nbtoolkit
run = nbtoolkit.watch(model, optimizer)
boards = [nbtoolkit.show(run), nbtoolkit.show(run)]
""" + TOLD.partition("\n")[2].replace("import os, time\n", "")

# The training made again, without anybody watching.
SAME = """
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
losses, count = [], run.step
while len(losses) < count:
    for rows in torch.randperm(len(x)).split(64):
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
print(json.dumps({
    "same": losses[:count] == run["loss"]["loss"].values.tolist(), "count": count, "made": made,
    "forks": [[fork.name, fork.state, fork["loss"].sizes["step"]] for fork in run.forks],
    "told": [one["text"] for one in run.commands],
}))
"""

KEEP = """layout => {
  for (const live of globalThis.nbtoolkit.lives.values()) live.session.keepLayout(layout);
}"""

Open = Callable[[Sequence[str]], Desk]


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Lab]:
    """One JupyterLab with the installed ipykernel for all of these tests."""
    with started("lab-7", tmp_path_factory.mktemp("jupyterlab"), root) as lab:
        yield lab


@pytest.fixture
def desk(jupyterlab: Lab, page: Page, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open a notebook in JupyterLab."""
    yield from _opening(jupyterlab, page, request.node.name)


@pytest.fixture(params=FRONTS)
def anywhere(request: pytest.FixtureRequest, page: Page, tmp_path: Path, root: Path, jupyterlab: Lab) -> Iterator[Open]:
    """Open a notebook in each front end."""
    if request.param == "lab-7":
        yield from _opening(request.getfixturevalue("jupyterlab"), page, request.param)
    else:
        with started(request.param, tmp_path, root) as lab:
            yield from _opening(lab, page, request.param)


def _opening(lab: Lab, page: Page, name: str) -> Iterator[Open]:
    desks: list[Desk] = []

    def open_cells(cells: Sequence[str]) -> Desk:
        desks.append(Desk(lab, page, cells, name))
        return desks[-1]

    yield open_cells
    for one in desks:
        one.close()


def answer(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """What `ASK` printed."""
    return json.loads("".join(output["text"] for output in outputs if output["output_type"] == "stream"))


def training(desk: Desk, cell: int = 1) -> Board:
    """Start the training cell; its Board, when steps are seen on it."""
    desk.notebook.start(cell)
    board = Board(desk.notebook.page).wait()
    board.distinct_steps(3)
    return board


def paused(board: Board, desk: Desk) -> int:
    """Pause by a click; the steps made, after it was seen that there are no more."""
    board.press("pause the training")
    board.wait_until("paused")
    return stands(board, desk)


def stands(board: Board, desk: Desk) -> int:
    """The steps made, which no longer grow. The loop stands in the last of them, which it has not told yet."""
    made, _ = desk.told()
    board.page.wait_for_timeout(STILL)
    assert desk.told()[0] == made
    assert board.step == made + 1
    return made + 1


def wait_for_step(board: Board, step: int) -> None:
    for _ in range(300):
        if board.step >= step:
            return
        board.page.wait_for_timeout(50)
    raise TimeoutError(f"the Board stands at step {board.step}, expected {step}; it says {board.word!r}")


def test_the_loop_is_held_stepped_changed_measured_and_ended(anywhere: Open) -> None:
    desk = anywhere([SETUP, TOLD, ASK])
    opened = desk.notebook
    opened.run(0)
    board = training(desk)
    opened.start(2)  # queued behind the training
    inside, around = board.bar.bounding_box(), board.root.bounding_box()
    assert inside is not None
    assert around is not None
    assert inside["x"] + inside["width"] < around["x"] + around["width"] + 1

    made = paused(board, desk)
    board.press("make 1 step, then pause")
    wait_for_step(board, made + 1)
    assert stands(board, desk) == made + 1
    board.press("make 10 steps, then pause")
    wait_for_step(board, made + 11)
    assert stands(board, desk) == made + 11

    board.set_rate("0,01")
    board.wait_for_word("-> 0.01")
    board.press("make 1 step, then pause")
    wait_for_step(board, made + 12)
    assert desk.told() == (made + 11, 0.01)
    steps, rates = board.stored("lr/lr")
    assert dict(zip(steps, rates, strict=True))[made + 11] == 0.01
    assert dict(zip(steps, rates, strict=True))[made + 10] == 0.05
    expect(board.marks("lr").first).to_be_attached()

    board.measure("sharpness")
    board.wait_for_word("sharpness measured")
    found = board.root.locator('.nbtk-panel[data-panel^="sharpness/"]').first
    found.scroll_into_view_if_needed()
    expect(found.locator(".nbtk-now")).to_contain_text("loss/param^2", timeout=30_000)
    assert board.stored("sharpness/sharpness")[0] == [made + 12]
    expect(board.marks("lr").first).to_be_attached()
    board.press("resume the training")
    wait_for_step(board, made + 30)

    board.press("stop the training")
    board.press("yes, stop the training")
    opened.finish(1)
    board.wait_until("stopped")
    run = answer(opened.finish(2))
    assert run["state"] == "stopped"
    assert run["kernel"].startswith(FRONTS[desk.name][1] or "7.")
    assert run["made"] == run["done"] - 1 == board.step - 1  # the last step was made, and the loop left in it
    assert board.stored("loss/loss")[1][-1] == pytest.approx(run["loss"])
    assert [what for what in run["commands"] if what in ("lr", "stop")] == ["lr", "stop"]
    expect(board.bar).to_be_hidden()


def test_a_paused_loop_outlives_pages_and_ends_by_an_interrupt(desk: Open, page: Page) -> None:
    at = desk([SETUP, TOLD, ASK])
    opened = at.notebook
    opened.run(0)
    board = training(at)
    made = paused(board, at)
    opened.do("save")

    opened.reload()
    board = Board(page).wait()
    board.wait_until("paused")
    assert stands(board, at) == made
    with page.context.new_page() as tab:
        tab.goto(at.lab.page(opened.name))
        other = Board(tab).wait()
        other.press("resume the training")
        wait_for_step(other, made + 20)
        tab.wait_for_timeout(200)
    wait_for_step(board, made + 20)
    assert "training" in board.status

    made = paused(board, at)
    opened.do("command", INTERRUPT)
    board.wait_until("interrupted")
    expect(board.bar).to_be_hidden()
    told: list[dict[str, Any]] = []
    for _ in range(20):  # what is sent before the interrupted cell is over is dropped by the kernel
        told = told or opened.run(2)
    run = answer(told)
    assert (run["state"], run["done"], run["made"]) == ("interrupted", made, made - 1)


def test_a_loop_is_forked_and_goes_on_with_the_same_numbers(desk: Open, page: Page) -> None:
    at = desk([SETUP, TOLD.replace("--probe x,y --loss F.cross_entropy", "--forkable -i loss"), SAME])
    opened = at.notebook
    opened.run(0)
    board = training(at)
    board.fork(steps="30", rate="0,3")
    word = board.wait_for_word("forked at step")
    Board(page, place=1).wait_until("lr=0.3")  # the curves of both
    wait_for_step(board, board.step + 10)
    at.enough()
    opened.finish(1)
    run = answer(opened.run(2))
    assert run["same"]
    assert run["count"] == run["made"]
    ((name, state, steps),) = run["forks"]
    assert (state, steps) == ("finished", 30)
    assert run["told"] == [word]
    assert word.endswith(f"{name}, 30 steps")


def test_two_boards_act_on_one_run_and_one_may_be_closed(desk: Open, page: Page) -> None:
    at = desk([SETUP, TWO, ASK, "print(boards[0].arrangement)"])
    opened = at.notebook
    opened.run(0)
    board = training(at)
    other = Board(page, place=1).wait()
    made = paused(board, at)
    other.wait_until("paused")
    other.press("make 1 step, then pause")
    wait_for_step(board, made + 1)
    assert board.word != other.word  # each tells of its own commands
    other.press("resume the training")
    wait_for_step(board, made + 20)

    for layout in ('{"wide":["first"]}', '{"wide":["last"]}'):
        page.evaluate(KEEP, layout)
        page.wait_for_timeout(300)
    opened.do("command", "notebook:clear-all-cell-outputs")
    seen, _ = at.told()
    while at.told()[0] < seen + 50:
        page.wait_for_timeout(50)
    at.enough()
    opened.finish(1)
    run = answer(opened.run(2))
    assert run["state"] == "watching"  # by `watch`, whose end nobody told
    assert run["made"] == run["done"]
    assert opened.run(3)[0]["text"] == '{"wide":["last"]}\n'


def test_a_kernel_restarted_while_paused_is_told(desk: Open) -> None:
    at = desk([SETUP, TOLD])
    at.notebook.run(0)
    board = training(at)
    made = paused(board, at)
    at.notebook.do("restart")
    board.wait_until("kernel gone: showing what was recorded")
    assert board.step == made
    assert "paused" not in board.status
    board.press("resume the training", idle=True)
    assert "kernel is gone" in board.word
    assert board.drawn()
