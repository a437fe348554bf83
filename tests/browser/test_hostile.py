"""Words of users stay words: in JupyterLab, on exported pages, on the pages of notebooks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page

from nbtoolkit.widget import export_html
from nbtoolkit.widget.notebook_page import notebook_html
from tests.browser.board import Board
from tests.browser.hostile import WORDS, hostile_run
from tests.browser.notebook import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CELL = """
import sys
sys.path.insert(0, {root!r})
import nbtoolkit
from tests.browser.hostile import WORDS, hostile_run
one, two = hostile_run(), hostile_run()
nbtoolkit.show(one, names=list(one.record.groups))
nbtoolkit.show(one, two, labels=WORDS[:2]);
"""
# Every panel is opened and every word that appears on pointing is made to appear.
LOOK_EVERYWHERE = """async () => {
  for (const chip of document.querySelectorAll('.nbtk-chips button[aria-pressed="false"]')) chip.click();
  for (const button of document.querySelectorAll('[aria-expanded="false"]')) button.click();
  await new Promise(resolve => setTimeout(resolve, 3000));
  for (const panel of document.querySelectorAll(".nbtk-panel")) {
    panel.focus();
    for (const key of ["ArrowLeft", "ArrowUp", "ArrowDown", "Home"]) {
      panel.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
    }
  }
  await new Promise(resolve => setTimeout(resolve, 500));
}"""


def assert_unharmed(page: Page) -> None:
    """No word was run, none became an element, and all are there."""
    page.evaluate(LOOK_EVERYWHERE)
    assert page.evaluate("window.hacked") is None
    board = page.locator(".nbtk-board").first
    for tag in ("img", "script", "iframe", "a"):
        assert board.locator(tag).count() == 0
    titles = board.locator(".nbtk-title").all_text_contents()
    assert {"<script>window.hacked = (window.hacked || 0) + 1</script>", WORDS[7], WORDS[9]} <= set(titles)


@pytest.fixture
def careful(page: Page) -> Any:
    """A page that writes down what it asks for, and what goes wrong."""
    page.asked, page.wrong = [], []  # type: ignore[attr-defined]
    page.on("request", lambda request: page.asked.append(request.url))  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.wrong.append(str(error)))  # type: ignore[attr-defined]
    page.on("dialog", lambda dialog: page.wrong.append(dialog.message))  # type: ignore[attr-defined]
    return page


def outside(page: Any, address: str) -> list[str]:
    """What a page asked for beside itself."""
    return [url for url in page.asked if url != address and not url.startswith(("data:", "blob:"))]


def test_on_an_exported_page(careful: Any, tmp_path: Path) -> None:
    title, text = WORDS[0] + WORDS[-1], "\n\n".join(WORDS)
    path = export_html({WORDS[1]: hostile_run()}, tmp_path / "page.html", text=text, title=title)
    address = path.as_uri()
    careful.context.set_offline(True)
    careful.goto(address)
    Board(careful).wait(60)
    assert_unharmed(careful)
    assert careful.locator("h1").inner_text() == f"{WORDS[0]}? alone"
    assert careful.locator("h2").all_text_contents() == [WORDS[1]]
    assert careful.locator("header, main > p").locator("img, script").count() == 0
    assert outside(careful, address) == []
    assert careful.wrong == []


def test_in_jupyterlab_and_on_the_page_of_its_notebook(
    careful: Any, notebook: Callable[[Sequence[str]], Notebook], root: Path, tmp_path: Path
) -> None:
    opened = notebook([CELL.format(root=str(root))])
    opened.run(0)
    Board(careful).wait(60)
    assert_unharmed(careful)
    opened.do("save")
    saved = nbformat.read(opened.lab.work / opened.name, as_version=4)
    path = tmp_path / "saved.html"
    path.write_text(notebook_html(saved), encoding="utf-8")
    address = path.as_uri()
    careful.context.set_offline(True)
    careful.asked.clear()
    careful.wrong.clear()
    careful.goto(address)
    Board(careful).wait(60)
    assert_unharmed(careful)
    assert careful.locator(".nbtk-board").count() == 2
    assert outside(careful, address) == []
    assert careful.wrong == []
