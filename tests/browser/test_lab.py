"""The extension of JupyterLab: runs at the side, Boards in tabs, companions in the launcher, verbs in the palette."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Locator, Page

import nbtoolkit
from tests.browser.board import Board
from tests.browser.cells import SETUP, TRAIN
from tests.browser.lab import Lab
from tests.browser.notebook import Notebook, write

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

# Bring the first notebook to the front again.
TO_FRONT = """() => {
  for (const widget of window.jupyterapp.shell.widgets("main")) {
    if (widget.context) { window.jupyterapp.shell.activateById(widget.id); return; }
  }
}"""
CLOSE = """async () => {
  for (const widget of window.jupyterapp.shell.widgets("main")) {
    if (widget.context) { await widget.context.save(); widget.dispose(); return; }
  }
}"""
ACTIVE = """() => {
  const { activeCell, activeCellIndex } = window.jupyterapp.shell.currentWidget.content;
  const { from, to } = activeCell.editor.editor.state.selection.main;
  const source = activeCell.model.sharedModel.getSource();
  return { source, selected: source.slice(from, to), place: activeCellIndex };
}"""

# Which Board of the page is the one in a tab of its own.
IN_TAB = "boards => boards.findIndex(board => board.closest('.nbtk-tab'))"


def run(page: Page, command: str) -> None:
    """Execute a command of JupyterLab's."""
    page.evaluate("command => window.jupyterapp.commands.execute(command)", command)


def entry_of(page: Page, words: str) -> Locator:
    """The entry of the side panel that has these words."""
    return page.locator(".nbtk-runs button", has_text=words)


def open_beside(opened: Notebook) -> Locator:
    """Train in a notebook's second cell and open the Board from the list of runs; gives the entry of the run there."""
    page = opened.page
    opened.run(0)
    opened.start(1)
    Board(page).wait().distinct_steps(3)
    run(page, "nbtoolkit:runs")
    entry = entry_of(page, "training")
    entry.wait_for(timeout=15_000)
    entry.click()
    page.locator(".nbtk-tab .nbtk-board").wait_for()
    return entry


def test_a_live_run_is_listed_and_its_board_stays_in_view(notebook, lab) -> None:
    far = 12
    opened = notebook([SETUP, TRAIN, *["# nothing\n" * 40] * far])
    page = opened.page
    opened.run(0)
    opened.start(1)
    Board(page).wait().distinct_steps(3)
    cells = page.locator(".jp-Notebook-cell").count()
    run(page, "nbtoolkit:runs")
    entry = entry_of(page, "training")
    entry.wait_for(timeout=15_000)
    assert opened.name in entry.inner_text()
    first = entry.inner_text()
    page.wait_for_function("([entry, before]) => entry.innerText !== before", arg=[entry.element_handle(), first])
    assert opened.do("finished", 1) is False

    entry.press("Enter")
    page.locator(".nbtk-tab .nbtk-board").wait_for()
    page.evaluate(TO_FRONT)
    opened.do("scroll_to", 1 + far)
    tab = Board(page, place=page.locator(".nbtk-board").evaluate_all(IN_TAB)).wait()
    assert len(tab.distinct_steps(5)) >= 5
    assert opened.do("finished", 1) is False

    for command, word in (("pause", "paused"), ("resume", "training")):
        run(page, f"nbtoolkit:{command}")
        tab.wait_until(word)
        entry_of(page, word).wait_for(timeout=15_000)
    assert page.locator(".jp-Notebook-cell").count() == cells  # sent to the loop, not written into a cell
    assert opened.do("finished", 1) is False

    (lab.work / "enough").touch()
    opened.finish(1)
    tab.wait_until("finished")
    entry_of(page, "finished").wait_for(timeout=15_000)
    lab.api(f"kernels/{lab.api('kernels')[0]['id']}", "DELETE")
    entry_of(page, "").first.wait_for(state="detached", timeout=15_000)
    assert tab.drawn()
    assert tab.stored("loss/loss")[0]


def test_a_board_in_a_tab_follows_the_run_again_when_its_notebook_is_back(notebook, lab) -> None:
    opened = notebook([SETUP, TRAIN])
    page = opened.page
    entry = open_beside(opened)
    page.evaluate(CLOSE)
    page.locator(".jp-NotebookPanel").wait_for(state="detached")
    tab = Board(page, place=0).wait()
    tab.wait_until("its notebook is closed: showing what was recorded")
    assert "training" not in tab.status
    assert tab.stored("loss/loss")[0]

    entry.click()  # opens the notebook again, whose Board comes from the kernel
    page.locator(".jp-NotebookPanel").wait_for(timeout=15_000)
    page.wait_for_function("() => document.querySelector('.nbtk-tab .nbtk-status').innerText.includes('training')")
    assert page.locator(".nbtk-tab").count() == 1
    tab = Board(page, place=page.locator(".nbtk-board").evaluate_all(IN_TAB)).wait()
    assert len(tab.distinct_steps(5)) >= 5
    tab.press("pause the training")
    tab.wait_until("paused")
    tab.press("resume the training")
    tab.wait_until("training")
    (lab.work / "enough").touch()
    tab.wait_until("finished")


def test_a_stored_run_opens_in_a_notebook_beside_it(notebook, lab) -> None:
    folder = lab.work / "kept runs"
    folder.mkdir()
    store(folder / 'it\'s a "run".zarr')
    opened = notebook(["1"])
    page = opened.page
    run(page, "nbtoolkit:runs")
    entry = entry_of(page, "kept runs")
    entry.wait_for(timeout=15_000)
    assert "step 5" in entry.inner_text()
    entry.click()
    board = Board(page).wait(60)
    assert (board.step, "opened from a file" in board.status) == (5, True)
    assert (folder / "Untitled.ipynb").exists()


def test_a_companion_opens_from_the_launcher(notebook, lab) -> None:
    page = notebook(["1"]).page
    run(page, "launcher:create")
    page.locator(".jp-LauncherCard", has_text="The edge of stability").click()
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.context?.path === '02_edge_of_stability.ipynb'", timeout=30_000
    )
    copy = json.loads((lab.work / "02_edge_of_stability.ipynb").read_text())
    assert copy["cells"][0]["source"][0].startswith("# The edge of stability")


def test_the_palette_writes_the_line_of_a_verb(notebook) -> None:
    page = notebook(["1", "2"]).page
    run(page, "apputils:activate-command-palette")
    page.locator(".lm-CommandPalette-input").fill("landscape measure")
    page.locator(".lm-CommandPalette-item", has_text="measure an instrument now").click()
    page.wait_for_function(f"() => ({ACTIVE})().selected", timeout=15_000)
    assert page.evaluate(ACTIVE) == {"source": "%landscape measure sharpness", "selected": "sharpness", "place": 1}
    page.keyboard.type("lr")
    assert page.evaluate(ACTIVE)["source"] == "%landscape measure lr"


@pytest.fixture
def seven(tmp_path: Path, root: Path) -> Iterator[Lab]:
    """Notebook 7 with the settings that Binder gets."""
    with Lab(tmp_path, root / "binder" / "overrides.json", app="notebook") as lab:
        yield lab


def test_notebook_7_lists_the_runs_too(seven: Lab, page: Page) -> None:
    open_beside(Notebook(page, seven, write(seven.work / "notebook.ipynb", [SETUP, TRAIN]).name))
    tab = Board(page, place=page.locator(".nbtk-board").evaluate_all(IN_TAB)).wait()
    assert len(tab.distinct_steps(3)) >= 3
    (seven.work / "enough").touch()
    tab.wait_until("finished")


def store(path: Path) -> None:
    """A small run, stored."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nbtoolkit.watch(model, optimizer) as run:
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
    run.save(path)
