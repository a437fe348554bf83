"""Landscapes on a Board: cells where they belong, the slice of the step pointed at, a surface that turns, drafts."""

import re
from pathlib import Path

import numpy as np
import pytest
from bokeh.palettes import Viridis256
from playwright.sync_api import Locator, Page, expect

import nbtoolkit
from nbtoolkit.capture.run import Run
from nbtoolkit.store.columns import Record
from nbtoolkit.widget import messages, paper
from nbtoolkit.widget.figures import describe
from tests.browser.board import COLOURS, Board
from tests.browser.cells import SETUP
from tests.browser.test_reading import panel, picture, settled
from tests.panels.landscapes import add_barriers, add_slices, grid, loss_at, record

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

TITLE = "loss around the parameters"
SURFACE = f"{TITLE}, as a surface"
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
ALPHA, BETA = "\N{GREEK SMALL LETTER ALPHA}", "\N{GREEK SMALL LETTER BETA}"

# The commonest colour of seven by seven pixels about a place in a panel's figure.
COLOUR = """(plot, [x, y]) => {
  const canvases = [];
  const collect = root => {
    for (const one of root.querySelectorAll("*")) {
      if (one instanceof HTMLCanvasElement && one.width) canvases.push(one);
      if (one.shadowRoot) collect(one.shadowRoot);
    }
  };
  collect(plot);
  const counts = new Map();
  for (const canvas of canvases) {
    const pixels = canvas.getContext("2d").getImageData(x - 3, y - 3, 7, 7).data;
    for (let i = 0; i < pixels.length; i += 4) {
      if (!pixels[i + 3]) continue;
      const key = [pixels[i], pixels[i + 1], pixels[i + 2]].join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
}"""


@pytest.fixture
def board(page: Page, tmp_path: Path) -> Board:
    """A page with a finished run of known planes."""
    run = Run("planes", record())
    run.step = 200
    page.goto(nbtoolkit.export_html(run, tmp_path / "planes.html").as_uri())
    return Board(page).wait()


def told(one: Locator) -> str:
    """What stands under the title of a panel."""
    return " ".join(one.locator(".nbtk-now").inner_text().split())


def final(one: Locator) -> bytes:
    """What a panel looks like once its figure has its height, for which it is drawn again."""
    for _ in range(100):
        if one.evaluate(COLOURS) > 50:
            break
        one.page.wait_for_timeout(100)
    one.page.wait_for_timeout(2_000)
    return picture(one)


def changed(one: Locator, before: bytes, seconds: float = 8) -> bytes:
    """What a panel looks like once it no longer looks as before."""
    for _ in range(int(seconds)):
        now = picture(one)
        if now != before:
            return now
    raise TimeoutError("the panel looks as before")


def number(text: str) -> float:
    return float(text.replace(MINUS, "-"))


def test_every_place_shows_the_sample_at_its_own_coordinates(board: Board) -> None:
    plane = panel(board, TITLE)
    plane.scroll_into_view_if_needed()
    picture(plane)
    plot = plane.locator(".nbtk-plot")
    box = plot.bounding_box()
    assert box
    values = [sample(sharpness) for sharpness in (3.0, 1.5, 1.0)]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    colours = [",".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5)) for colour in Viridis256]
    seen = []
    for across in np.linspace(0.2, 0.8, 6):
        for up in np.linspace(0.15, 0.8, 5):
            x, y = round(across * box["width"]), round((1 - up) * box["height"])
            plot.hover(position={"x": x, "y": y})
            found = re.search(rf"{ALPHA} (\S+) {BETA} (\S+) (\S+) loss", told(plane))
            if not found:
                continue
            a, b, value = map(number, found.groups())
            expected = float(loss_at(a, b, 1.0))
            # The coordinates are told in three digits, so that the value is near and no neighbour's.
            assert value == pytest.approx(expected, rel=0.02)
            share = np.log(value / low) / np.log(high / low)
            index = colours.index(plot.evaluate(COLOUR, [x, y]))
            assert index == pytest.approx(256 * share, abs=1.5)
            seen.append((x, y, a, b))
    assert len(seen) > 20
    pixels, places = np.array(seen)[:, :2], np.array(seen)[:, 2:]
    right, up = np.polyfit(pixels[:, 0], places[:, 0], 1)[0], np.polyfit(pixels[:, 1], places[:, 1], 1)[0]
    assert right > 0 > up
    assert right == pytest.approx(-up, rel=0.03)  # one unit is as long both ways


def sample(sharpness: float) -> np.ndarray:
    return grid(25, sharpness=sharpness)[1]


def test_the_cursor_moves_the_slice_and_nothing_else(board: Board) -> None:
    plane, lines = panel(board, TITLE), panel(board, "loss before matching · after matching")
    last = final(plane)
    assert told(plane) == f"centre {loss_at(0, 0, 1.0):.4g} loss 25 {TIMES} 25"
    assert told(lines).startswith(f"loss before matching barrier 0.7098 loss at {ALPHA} 0.35")
    panel(board, "training loss").focus()
    board.page.keyboard.press("Home")
    expect(plane.locator(".nbtk-now")).to_contain_text("step 0")
    assert float(told(plane).split()[3]) == pytest.approx(float(loss_at(0, 0, 3.0)), rel=1e-4)
    assert "barrier 1.183" in told(lines)
    changed(plane, last)
    assert plane.locator(".nbtk-cursor").is_hidden()
    board.page.keyboard.press("Escape")
    assert settled(plane, last, seconds=15)


def test_keys_walk_over_the_points_of_the_plane(board: Board) -> None:
    plane = panel(board, TITLE)
    plane.focus()
    for key in ("ArrowUp", "ArrowUp", "Shift+ArrowRight"):
        board.page.keyboard.press(key)
    found = re.search(rf"{ALPHA} (\S+) {BETA} (\S+)", told(plane))
    assert found
    assert [number(text) for text in found.groups()] == [0.0833, 0.0833]
    board.page.keyboard.press("ArrowLeft")  # without Shift: to the measurement before
    expect(plane.locator(".nbtk-now")).to_contain_text("step 200")
    board.page.keyboard.press("ArrowLeft")
    expect(plane.locator(".nbtk-now")).to_contain_text("step 100")


def test_a_surface_is_a_click_away_and_turns_by_pointer_and_keys(board: Board) -> None:
    assert panel(board, SURFACE).count() == 0
    board.page.get_by_role("button", name="choose the panels shown").click()
    board.page.get_by_role("button", name=f"show {SURFACE}", exact=True).click()
    surface = panel(board, SURFACE)
    surface.scroll_into_view_if_needed()
    first = final(surface)
    box = surface.locator(".nbtk-plot").bounding_box()
    assert box
    mouse = board.page.mouse
    mouse.move(box["x"] + 150, box["y"] + 150)
    mouse.down()
    mouse.move(box["x"] + 230, box["y"] + 170, steps=4)
    mouse.up()
    turned = changed(surface, first)
    mouse.move(box["x"] + 160, box["y"] + 150)  # held no more
    assert picture(surface) == turned
    surface.locator(".nbtk-plot").dblclick(position={"x": 150, "y": 150})
    assert settled(surface, first, seconds=15)
    surface.focus()
    board.page.keyboard.press("ArrowRight")
    changed(surface, first)
    board.page.keyboard.press("ArrowLeft")
    assert settled(surface, first, seconds=15)


def test_a_measurement_under_way_is_shown_until_the_reader_points_at_an_earlier_step(
    page: Page, tmp_path: Path
) -> None:
    run = Run("under way", Record())
    add_slices(run.record, (0, 100))
    add_barriers(run.record, (0, 100))
    run.step = 150
    columns = run.record.groups["landscape_slice"]
    labels, values = grid(7, sharpness=9.0)
    stage = columns.placed({"loss_slice": values[None]}, {"alpha": labels, "beta": labels})
    drafts = {"landscape_slice": (np.array([150]), stage)}
    status = messages.status_head(run.status(), run.name)
    head, buffers = messages.reset(run.record, {}, 1, status, drafts)
    path = tmp_path / "under_way.html"
    body = paper.board(describe(run.record), head, buffers)
    path.write_text(paper.page("under way", body, "a test"), encoding="utf-8")
    page.goto(path.as_uri())
    board = Board(page).wait()
    plane = panel(board, TITLE)
    coarse = final(plane)
    assert told(plane) == f"step 150 centre {loss_at(0, 0, 9.0):.4g} loss 25 {TIMES} 25, 7 {TIMES} 7 so far"
    plane.focus()
    page.keyboard.press("ArrowLeft")
    expect(plane.locator(".nbtk-now")).to_contain_text("step 100")
    assert told(plane).endswith(f"25 {TIMES} 25")
    changed(plane, coarse)
    page.keyboard.press("Escape")
    assert settled(plane, coarse, seconds=15)


TRAINED = """%%landscape -q -v run
for rows in torch.randperm(len(x)).split(64):
    optimizer.zero_grad()
    F.cross_entropy(model(x[rows]), y[rows]).backward()
    optimizer.step()
"""

FILLING = """
import time
from nbtoolkit.instruments import Var, instrument

axis = torch.linspace(-1, 1, 13).tolist()

@instrument(
    outputs={"plane": Var(("alpha", "beta"), "loss", "loss in stages")},
    labels={"alpha": lambda s: axis, "beta": lambda s: axis},
)
def filling(params, /):
    "Fills up."
    whole = 1 + torch.arange(13.0)[:, None] + torch.arange(13.0)[None] ** 2
    coarse = torch.full((13, 13), float("nan"))
    coarse[::2, ::2] = whole[::2, ::2]
    while not Path("enough").exists():
        time.sleep(0.2)
        yield {"plane": coarse}
    yield {"plane": whole}
"""


def test_the_stages_of_a_measurement_are_seen_while_its_cell_runs(notebook, lab) -> None:
    opened = notebook([SETUP, TRAINED, FILLING, "%landscape measure filling", 'run["filling"]["plane"].shape'])
    for cell in range(3):
        opened.run(cell)
    opened.start(3)
    board = Board(opened.page)
    board.root.wait_for(timeout=30_000)
    plane = panel(board, "loss in stages")
    expect(plane.locator(".nbtk-now")).to_contain_text(f"13 {TIMES} 13, 7 {TIMES} 7 so far", timeout=30_000)
    assert "centre 43" in told(plane)
    assert opened.do("finished", 3) is False
    coarse = picture(plane)
    (lab.work / "enough").touch()
    opened.finish(3)
    expect(plane.locator(".nbtk-now")).not_to_contain_text("so far")
    assert told(plane) == f"centre 43 loss 13 {TIMES} 13"
    changed(plane, coarse)
