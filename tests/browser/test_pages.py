"""Pages made from a run or a figure: they need no kernel and ask the network for nothing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from nbtoolkit.store.schema import Var
from nbtoolkit.widget import export_html
from nbtoolkit.widget.overlaid import OverlaidRuns
from tests.browser.board import CANVASES, COLOURS, Board
from tests.browser.cells import ASK, SETUP, TRAIN, answer
from tests.browser.notebook import write
from tests.panels import streams
from tests.widget.conftest import FakeRun

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

FIGURES = """
import nbtoolkit
import numpy as np
import xarray
from bokeh.plotting import figure
own = figure(title="own", width=400, height=200)
own.line([1, 2, 3], [1, 4, 9])
nbtoolkit.show(own)
rows = ("strategy", "run"), np.arange(6.0).reshape(2, 3), {"long_name": "average accuracy", "units": "1"}
metrics = xarray.Dataset({"average": rows}, {"strategy": ["naive", "replay"]})
nbtoolkit.show(nbtoolkit.panels.comparison.figure(None, metrics))
"""
# Of a canvas that is drawn: the brightest and the darkest pixel, each as the sum of its colours.
CONTRAST = (
    f"""panel => {{{CANVASES}"""
    + """
  const seen = canvases.flatMap(canvas => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const light = [];
    for (let i = 0; i < pixels.length; i += 4) {
      if (pixels[i + 3] === 255) light.push(pixels[i] + pixels[i + 1] + pixels[i + 2]);
    }
    return light;
  });
  return [seen.reduce((a, b) => Math.max(a, b), 0), seen.reduce((a, b) => Math.min(a, b), 765)];
}"""
)
# What is drawn in a panel, as one number.
PIXELS = (
    f"""panel => {{{CANVASES}"""
    + """
  let sum = 0;
  for (const canvas of canvases) {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 0; i < pixels.length; i++) sum = (sum * 31 + pixels[i]) % 1000000007;
  }
  return sum;
}"""
)
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


@pytest.mark.parametrize(
    ("state", "words"), [("watching", "exported while training"), ("paused", "exported while paused")]
)
def test_a_page_does_not_go_on(offline: Any, tmp_path: Path, state: str, words: str) -> None:
    run = trained("one", 20, 0.1)
    run.state = state
    offline.goto(export_html(run, tmp_path / "page.html").as_uri())
    board = Board(offline).wait()
    assert words in board.status
    assert not board.root.locator(".nbtk-hold").is_visible()


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


def trained(name: str, steps: int, rate: float) -> FakeRun:
    """A finished run with a curve and a field."""
    run = FakeRun(name=name, state="finished", step=steps)
    loss = np.exp(-rate * np.arange(steps))
    run.record.group("loss", {"loss": Var((), "loss", "training loss")}).append(np.arange(steps), {"loss": loss})
    lines = {"loss": loss[:, None] * np.linspace(-1, 1, 9) ** 2}
    slices = run.record.group("slice", {"loss": Var(("alpha",), "loss", "loss along a line")})
    slices.append(np.arange(steps), lines, {"alpha": np.linspace(-1, 1, 9).tolist()})
    return run


def pointed_at(page: Page, title: str, key: str) -> list[str]:
    """Press a key in a panel; what all panels then read."""
    panel = page.locator(f'.nbtk-panel[aria-label="{title}"]').first
    panel.focus()
    page.keyboard.press(key)
    page.wait_for_timeout(300)
    return page.locator(".nbtk-now").all_inner_texts()


def test_the_cursor_of_an_exported_page_moves_all_its_panels(offline: Any, tmp_path: Path) -> None:
    path = export_html(trained("one", 50, 0.1), tmp_path / "page.html", text="Words of the author.")
    offline.goto(path.as_uri())
    Board(offline).wait()
    slices = offline.locator('.nbtk-panel[aria-label="loss along a line"]')
    last = slices.evaluate(PIXELS)
    assert all("step 0" in reading for reading in pointed_at(offline, "training loss", "Home"))
    offline.wait_for_function(f"([panel, before]) => ({PIXELS})(panel) !== before", arg=[slices.element_handle(), last])
    readings = pointed_at(offline, "training loss", "ArrowRight")
    assert all("step 1" in reading for reading in readings)
    assert f"{np.exp(-0.1):.6g}" in readings[0]
    assert offline.get_by_text("Words of the author.").is_visible()
    assert offline.locator("footer").inner_text().startswith("Made with nbtoolkit")
    assert offline.asked == [path.as_uri()]
    assert offline.wrong == []


def test_an_overlay_on_a_page_reads_every_run(offline: Any, tmp_path: Path) -> None:
    parts = {"slow": [trained("a", 50, 0.01)], "fast": [trained("b", 30, 0.1)]}
    path = export_html({"several": OverlaidRuns(parts), "one": trained("c", 20, 0.1)}, tmp_path / "page.html")
    offline.goto(path.as_uri())
    Board(offline).wait()
    Board(offline, 1).wait()
    reading = pointed_at(offline, "training loss", "Home")[0]
    assert "slow 1" in reading
    assert "fast 1" in reading
    # Of a run that has ended its last value is read.
    reading = pointed_at(offline, "training loss", "End")[0]
    assert f"slow {np.exp(-0.49):.6g}" in reading
    assert f"fast {np.exp(-2.9):.6g}" in reading
    assert "shown for one run at a time, by show(run): slice" in offline.locator(".nbtk-notes").first.inner_text()
    assert offline.locator("h2").all_inner_texts() == ["several", "one"]
    assert offline.wrong == []


def test_panels_below_the_window_are_drawn_for_paper(offline: Any, tmp_path: Path) -> None:
    run = FakeRun(state="finished", record=streams.record(), step=100)
    names = list(run.record.groups)
    path = export_html(run, tmp_path / "page.html", panels=names)
    offline.set_viewport_size({"width": 800, "height": 300})
    offline.goto(path.as_uri())
    board = Board(offline).wait()
    assert board.panels.count() > 10
    for panel in board.panels.all():
        for _ in range(100):
            if panel.evaluate(COLOURS) > 5:
                break
            offline.wait_for_timeout(100)
        assert panel.evaluate(COLOURS) > 5, panel.get_attribute("aria-label")
    assert offline.evaluate("scrollY") == 0
    offline.emulate_media(media="print")
    assert board.root.locator("button:visible:not(.nbtk-findings-head), input:visible").count() == 0
    assert board.root.locator(".nbtk-status").is_visible()


def test_a_browser_that_cannot_unpack_says_so(offline: Any, tmp_path: Path) -> None:
    offline.add_init_script("delete window.DecompressionStream")
    offline.goto(export_html(trained("one", 5, 0.1), tmp_path / "page.html").as_uri())
    expect(offline.locator(".nbtk-run")).to_contain_text("This page needs a newer browser to unpack its data")


def test_a_figure_alone_is_drawn_offline_and_follows_dark_mode(offline: Any, root: Path, tmp_path: Path) -> None:
    write(tmp_path / "figure.ipynb", [FIGURES])
    command = [sys.executable, "-m", "tests.notebooks.execute", str(tmp_path / "figure.ipynb"), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    address = (tmp_path / "out" / "figure.html").as_uri()
    offline.emulate_media(color_scheme="light")
    offline.goto(address)
    drawings = offline.locator(".nbtk-drawing")
    expect(drawings).to_have_count(2)
    for drawing in drawings.all():
        drawing.scroll_into_view_if_needed()
        for _ in range(100):
            if drawing.evaluate(COLOURS) > 10:
                break
            offline.wait_for_timeout(100)
        assert drawing.evaluate(COLOURS) > 10
        assert drawing.inner_text() == ""  # no reason why it could not be drawn
    own = drawings.first
    assert own.evaluate(CONTRAST)[0] == 765  # a white page
    # What JupyterLab says of its theme on its pages.
    offline.evaluate("document.body.dataset.jpThemeLight = 'false'")
    offline.add_style_tag(
        content="body { --jp-layout-color0: #111111; --jp-ui-font-color1: #eeeeee; --jp-ui-font-color2: #dddddd; }"
    )
    offline.evaluate("document.body.dataset.jpThemeName = 'JupyterLab Dark'")
    offline.wait_for_timeout(500)
    brightest, darkest = own.evaluate(CONTRAST)
    assert darkest <= 3 * 0x11
    assert brightest > 600  # words
    assert own.evaluate(COLOURS) > 10
    assert [url for url in offline.asked if not url.startswith(("data:", "blob:"))] == [address]
    assert offline.wrong == []


def test_plain_nbconvert_shows_the_still_picture(offline: Any, executed: Path) -> None:
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output", "plain.html", "source.ipynb"]
    subprocess.run(command, cwd=executed / "out", check=True, capture_output=True)
    offline.goto((executed / "out" / "plain.html").as_uri())
    picture = offline.locator(".nbtk-static img")
    assert picture.is_visible()
    assert picture.evaluate("image => image.naturalWidth") > 500
