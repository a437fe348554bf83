"""The picture of the sweep in the README: ``python -m tests.claims.figure``, which writes notebooks/sweep.png."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bokeh.embed import file_html
from bokeh.resources import INLINE
from playwright.sync_api import sync_playwright

from nbtoolkit import panels
from tests.claims.learning_rate_transfer import swept

SEEDS = [0, 1, 2]
WIDTH, HEIGHT = 860, 330  # pixels of a page
PATH = Path(__file__).parents[2] / "notebooks" / "sweep.png"


def photograph(figure: Any, path: Path) -> None:
    """Draw a Bokeh figure in Chromium."""
    page_text = file_html(figure, INLINE, "sweep").replace(
        "<body>", f"<body style='margin: 8px; width: {WIDTH - 16}px'>"
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as engine:
        html = Path(folder) / "sweep.html"
        html.write_text(page_text)
        program = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = engine.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=1.4)
        page.goto(html.as_uri())
        page.wait_for_function("Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle")
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    photograph(panels.sweep_figure(swept(SEEDS), variable="loss"), PATH)
