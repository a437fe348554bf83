"""Fixtures of the browser tests: one Chromium for all, a JupyterLab and a page for each."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.lab import Lab
from tests.browser.notebook import Notebook, write

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium: of the machine, not one downloaded for the tests."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium: install it, or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest, root: Path) -> Iterator[Page]:
    """A fresh page; what it shows at the end of the test is kept in build/screenshots."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, service_workers="block")
    page = context.new_page()
    yield page
    folder = root / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{request.node.name}.png")
    context.close()


@pytest.fixture
def lab(tmp_path: Path, root: Path) -> Iterator[Lab]:
    """A JupyterLab with the settings that Binder gets."""
    with Lab(tmp_path, root / "binder" / "overrides.json") as lab:
        yield lab


@pytest.fixture
def notebook(lab: Lab, page: Page) -> Callable[[Sequence[str]], Notebook]:
    """Open a notebook made of these cells."""

    def open_cells(cells: Sequence[str]) -> Notebook:
        return Notebook(page, lab, write(lab.work / "notebook.ipynb", cells).name)

    return open_cells
