"""Pages made from a run: they need no kernel and ask the network for nothing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.board import Board
from tests.browser.cells import ASK, SETUP, TRAIN, answer
from tests.browser.notebook import write

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

EXPORT = 'import nbtoolkit\nnbtoolkit.export_html(run, "run.html");'
BRIEF = TRAIN.replace('while not Path("enough").exists():', "for epoch in range(3):")


@pytest.fixture(scope="module")
def executed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an executed notebook, the page of it, and the page of its run."""
    folder = tmp_path_factory.mktemp("executed")
    write(folder / "source.ipynb", [SETUP, BRIEF, ASK, EXPORT])
    command = [sys.executable, "-m", "tests.notebooks.execute", str(folder / "source.ipynb"), str(folder / "out")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder / "printed.json").write_text(done.stdout.splitlines()[0])
    return folder


@pytest.fixture
def offline(page: Page) -> Page:
    """A page that writes down what it asks for and what goes wrong; the network is off."""
    page.context.set_offline(True)
    page.asked = []  # type: ignore[attr-defined]
    page.wrong = []  # type: ignore[attr-defined]
    page.on("request", lambda request: page.asked.append(request.url))  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.wrong.append(str(error)))  # type: ignore[attr-defined]
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)  # type: ignore[attr-defined]
    return page


@pytest.mark.parametrize("name", ["source.html", "run.html"])
def test_page_is_complete_in_itself(offline: Any, executed: Path, name: str) -> None:
    address = (executed / "out" / name).as_uri()
    offline.goto(address)
    board = Board(offline).wait()
    run = answer([{"output_type": "stream", "text": (executed / "printed.json").read_text()}])
    assert board.step == run["done"]
    board.panels.first.focus()
    offline.keyboard.press("Home")
    assert board.root.locator(".nbtk-pointed").inner_text() == "step 0"
    assert [url for url in offline.asked if not url.startswith(("data:", "blob:"))] == [address]
    assert offline.wrong == []


def test_plain_nbconvert_shows_the_still_picture(offline: Any, executed: Path) -> None:
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output", "plain.html", "source.ipynb"]
    subprocess.run(command, cwd=executed / "out", check=True, capture_output=True)
    offline.goto((executed / "out" / "plain.html").as_uri())
    picture = offline.locator(".nbtk-static img")
    assert picture.is_visible()
    assert picture.evaluate("image => image.naturalWidth") > 500
