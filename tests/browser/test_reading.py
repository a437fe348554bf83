"""Reading a Board: zoom and back, the keyboard, muting a curve, scales, and a page that turns dark."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import nbtoolkit
from nbtoolkit.capture.run import Run
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from tests.browser.board import Board

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

STEPS = np.arange(300)
PARAMS = [f"transformer.encoder.layers.{i}.self_attn.in_proj_weight" for i in range(6)]
TERMS = [f"term {i}" for i in range(7)]


@pytest.fixture
def board(page: Page, tmp_path: Path) -> Board:
    """A page with a finished run of known values."""
    record = Record()
    loss = 2.0 - STEPS / 300
    record.group("loss", {"loss": Var((), "loss", "training loss")}).append(STEPS, {"loss": loss})
    terms = {"terms": np.outer(loss, np.arange(1, 8))}
    record.group("terms", {"terms": Var(("term",), "loss", "terms")}).append(STEPS, terms, {"term": TERMS})
    norms = {"norm": np.outer(loss, 10.0 ** -np.arange(6))}
    norm = Var(("param",), "loss/param", "gradient norm", "log")
    record.group("grad_norm", {"norm": norm}).append(STEPS, norms, {"param": PARAMS})
    record.group("below", {"below": Var((), "1", "below zero", "log")}, {"reference": "run.log"}).append(
        STEPS, {"below": -loss}
    )
    run = Run("known", record)
    run.step = 300
    run.notes.extend(["loss is NaN from step 9", "a note " * 30])
    page.goto(nbtoolkit.export_html(run, tmp_path / "known.html").as_uri())
    return Board(page).wait()


def panel(board: Board, title: str) -> Locator:
    """The panel with this title."""
    return board.root.locator(f'.nbtk-panel[aria-label="{title}"]')


def picture(one: Locator) -> bytes:
    """What a panel's figure looks like once it is quiet."""
    one.page.mouse.move(1, 1)
    now, last = one.locator(".nbtk-plot").screenshot(), b""
    while now != last:
        one.page.wait_for_timeout(500)
        now, last = one.locator(".nbtk-plot").screenshot(), now
    return now


def settled(one: Locator, expected: bytes, seconds: float = 5) -> bool:
    """Whether a panel comes to look as expected while the pointer stays where it is."""
    for _ in range(int(10 * seconds)):
        if one.locator(".nbtk-plot").screenshot() == expected:
            return True
        one.page.wait_for_timeout(100)
    return False


def zoom(one: Locator) -> None:
    """Draw a box over a part of a panel."""
    box = one.locator(".nbtk-plot").bounding_box()
    assert box
    mouse = one.page.mouse
    mouse.move(box["x"] + 120, box["y"] + 30)
    mouse.down()
    mouse.move(box["x"] + 160, box["y"] + 70, steps=4)
    mouse.move(box["x"] + 220, box["y"] + 110, steps=4)
    mouse.up()
    one.page.wait_for_timeout(400)


def test_a_box_zooms_and_the_button_shows_all_again(board: Board) -> None:
    loss = panel(board, "training loss")
    before = picture(loss)
    zoom(loss)
    assert picture(loss) != before
    loss.get_by_role("button", name="show all again").click()
    assert settled(loss, before)


def test_a_double_click_shows_all_again_under_the_pointer(board: Board) -> None:
    loss = panel(board, "training loss")
    zoom(loss)
    box = loss.locator(".nbtk-plot").bounding_box()
    assert box
    place = (box["x"] + 150, box["y"] + 80)
    board.page.mouse.dblclick(*place)
    board.page.wait_for_timeout(1000)
    assert loss.get_by_role("button", name="show all again").is_hidden()
    # The pointer is at half the frame or less: all 300 steps are in view again.
    told = int(loss.locator(".nbtk-now").inner_text().split()[1])
    frame = box["width"] - 64 - 12
    assert told == pytest.approx(300 * (150 - 64) / frame, abs=12)


def test_the_keyboard_walks_along_steps_and_rows(board: Board) -> None:
    field = panel(board, "gradient norm")
    field.focus()
    for key in ("Home", "ArrowRight", "ArrowDown", "ArrowDown"):
        board.page.keyboard.press(key)
    said = " ".join(field.locator(".nbtk-now").inner_text().split())
    assert said == "step 1 0.199667 loss/param in …1.self_attn.in_proj_weight"
    board.page.keyboard.press("Escape")
    assert field.locator(".nbtk-now").inner_text().startswith("largest 1.003")
    board.page.keyboard.press("Tab")
    assert field.locator("button:focus").count() == 1
    board.page.keyboard.press("Tab")
    assert board.root.locator(".nbtk-panel:focus").count() == 1


def test_a_click_on_the_legend_mutes_a_curve(board: Board) -> None:
    terms = panel(board, "terms")
    before = picture(terms)
    box = terms.locator(".nbtk-plot").bounding_box()
    assert box
    place = (box["x"] + box["width"] - 30, box["y"] + 20)
    board.page.mouse.click(*place)
    muted = picture(terms)
    assert muted != before
    board.page.mouse.click(*place)
    assert picture(terms) != muted


def test_a_log_scale_says_when_it_has_no_place_for_the_values(board: Board) -> None:
    below = panel(board, "below zero")
    hint = below.locator(".nbtk-hint")
    expect(hint).to_have_text("no positive value for a logarithmic scale")
    below.get_by_role("button", name="logarithmic scale of below zero").click()
    expect(hint).to_have_text("")
    assert below.locator(".nbtk-now").inner_text().strip() == "\u22121.003"


def test_colours_follow_the_page(board: Board) -> None:
    loss = panel(board, "training loss")
    light = picture(loss)
    board.page.emulate_media(color_scheme="dark")
    board.page.wait_for_timeout(500)
    assert picture(loss) != light
    board.page.emulate_media(color_scheme="light")
    assert settled(loss, light)


def test_the_list_of_panels_opens_on_demand_and_notes_have_lines_of_their_own(board: Board) -> None:
    chooser = board.root.get_by_role("button", name="choose the panels shown")
    assert chooser.inner_text() == "panels 4 of 4"
    assert board.root.locator(".nbtk-chips").is_hidden()
    chooser.press("Enter")
    board.root.get_by_role("button", name="hide terms").click()
    assert chooser.inner_text() == "panels 3 of 4"
    first, second = (note.bounding_box() for note in board.root.locator(".nbtk-notes > div").all())
    assert first
    assert second
    assert second["y"] >= first["y"] + first["height"]
