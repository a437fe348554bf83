"""One linked picture: a step that is pointed at or held, played, and steps in view, in all panels at once."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

import nbtoolkit
from nbtoolkit.capture.run import Run
from tests.browser.board import Board
from tests.browser.test_landscapes import TITLE, told
from tests.browser.test_reading import panel, picture
from tests.panels.landscapes import record

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

LOSS = "training loss"
BARRIERS = "barriers between copies"
BARRIER = "barrier"


@pytest.fixture
def board(page: Page, tmp_path: Path) -> Iterator[Board]:
    """A page with a finished run, opened with the network cut; no error in it, and no request."""
    run = Run("planes", record())
    run.step = 200
    address = nbtoolkit.export_html(run, tmp_path / "planes.html").as_uri()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
    page.context.set_offline(True)
    page.goto(address)
    yield Board(page).wait()
    assert wrong == []


def held(board: Board) -> str:
    """What the strip says of the step shown."""
    return board.root.locator(".nbtk-shown").inner_text()


def box(one: Locator) -> dict[str, float]:
    """The place of a panel's figure on the page."""
    found = one.locator(".nbtk-plot").bounding_box()
    assert found
    return {key: float(found[key]) for key in ("x", "y", "width", "height")}


def step_at(one: Locator, x: float) -> int:
    """The step that a panel tells under the pointer at so many pixels from its left; the pointer goes away again."""
    place = box(one)
    one.page.mouse.move(place["x"] + x, place["y"] + 60)
    found = re.search(r"step ([\d\u2009]+)", one.page.locator(".nbtk-pointed").inner_text())
    one.page.mouse.move(1, 1)
    assert found
    return int(found[1].replace("\u2009", ""))


def test_a_click_holds_a_step_in_every_panel_until_escape(board: Board) -> None:
    loss, plane, matrix = panel(board, LOSS), panel(board, TITLE), panel(board, BARRIERS)
    assert held(board) == "now"
    place = box(loss)
    board.page.mouse.click(place["x"] + 64 + 0.7 * (place["width"] - 76), place["y"] + 80)
    step = int(held(board).removeprefix("showing step "))
    assert step == pytest.approx(140, abs=6)
    board.page.mouse.move(1, 1)
    expect(plane.locator(".nbtk-now")).to_contain_text("step 100")
    expect(matrix.locator(".nbtk-now")).to_contain_text("step 100")
    expect(loss.locator(".nbtk-now")).to_contain_text(f"step {step}")
    expect(panel(board, BARRIER).locator(".nbtk-kept")).to_be_visible()
    # Another panel under the pointer shows its own step, and the one held comes back.
    step_at(panel(board, BARRIER), 70)
    expect(plane.locator(".nbtk-now")).to_contain_text("step 100")
    loss.focus()
    board.page.keyboard.press("Escape")
    assert held(board) == "now"
    assert "step" not in told(plane)
    expect(loss.locator(".nbtk-kept")).to_be_hidden()


def test_the_knob_of_the_step_held_is_dragged_along_a_curve(board: Board) -> None:
    loss, plane = panel(board, LOSS), panel(board, TITLE)
    board.root.get_by_role("slider", name="step shown").press("End")
    expect(plane.locator(".nbtk-now")).to_contain_text("step 200")
    before = picture(loss)
    knob = loss.locator(".nbtk-kept > span").bounding_box()
    assert knob
    mouse = board.page.mouse
    mouse.move(knob["x"] + 5, knob["y"] + 5)
    mouse.down()
    mouse.move(knob["x"] - 60, knob["y"] - 30, steps=5)
    between = held(board)
    mouse.move(box(loss)["x"] + 70, knob["y"], steps=5)
    mouse.up()
    mouse.move(1, 1)
    assert between != held(board)
    assert int(held(board).removeprefix("showing step ")) < 15
    expect(plane.locator(".nbtk-now")).to_contain_text("step 0")
    assert board.root.get_by_role("button", name="show all again").count() == 0  # no box was drawn
    board.root.get_by_role("slider", name="step shown").press("End")
    assert picture(loss) == before


def test_keys_on_the_strip_walk_along_the_recorded_steps(board: Board) -> None:
    strip = board.root.get_by_role("slider", name="step shown")
    strip.press("Home")
    assert strip.get_attribute("aria-valuetext") == "step 0"
    strip.press("ArrowRight")
    strip.press("Shift+ArrowRight")
    walked = held(board)
    strip.press("PageUp")
    assert int(held(board).split()[-1]) == pytest.approx(int(walked.split()[-1]) + 20, abs=5)
    board.root.get_by_role("button", name="back to now").click()
    assert held(board) == "now"
    assert strip.get_attribute("aria-valuetext") == "now, step 200"


def test_it_plays_the_recorded_steps_and_stops_at_the_end(board: Board) -> None:
    plane = panel(board, TITLE)
    board.root.get_by_role("button", name="play the recorded steps").click()
    seen: list[str] = []
    playing = True
    while playing:
        playing = board.root.get_by_role("button", name="stop playing").count() == 1
        now = told(plane).split(" centre")[0]
        if not seen or seen[-1] != now:
            seen.append(now)
        board.page.wait_for_timeout(100)
    assert seen == ["step 0", "step 100", "step 200"]
    assert held(board) == "showing step 200"


def test_a_drag_with_shift_chooses_the_steps_of_all_panels(board: Board) -> None:
    loss, other = panel(board, LOSS), panel(board, BARRIER)
    before = picture(other)
    place = box(loss)
    mouse = board.page.mouse
    board.page.keyboard.down("Shift")
    mouse.move(place["x"] + 120, place["y"] + 60)
    mouse.down()
    mouse.move(place["x"] + 220, place["y"] + 70, steps=6)
    expect(loss.locator(".nbtk-selection")).to_be_visible()
    mouse.up()
    board.page.keyboard.up("Shift")
    mouse.move(1, 1)
    strip = [board.root.get_by_role("slider", name=f"{end} step in view") for end in ("first", "last")]
    first, last = (float(one.get_attribute("aria-valuenow") or "nan") for one in strip)
    assert 0 < first < last < 200
    assert picture(other) != before
    assert step_at(other, 66) == pytest.approx(first, abs=2)
    # The handles move one end; a double click shows all again, and so does the button.
    strip[1].press("End")
    assert float(strip[1].get_attribute("aria-valuenow") or "nan") == 200
    strip[0].press("PageDown")
    assert float(strip[0].get_attribute("aria-valuenow") or "nan") == pytest.approx(first - 20)
    mouse.dblclick(place["x"] + 200, place["y"] + 80)
    mouse.move(1, 1)
    assert held(board) == "now"
    assert picture(other) == before
    assert not board.root.get_by_role("button", name="show all steps").is_visible()


def test_a_zoom_of_one_panel_moves_the_steps_of_all_and_its_own_values(board: Board) -> None:
    loss, other = panel(board, LOSS), panel(board, BARRIER)
    before = picture(other)
    place = box(loss)
    mouse = board.page.mouse
    mouse.move(place["x"] + 150, place["y"] + 40)
    mouse.down()
    mouse.move(place["x"] + 250, place["y"] + 100, steps=6)
    mouse.up()
    mouse.move(1, 1)
    assert loss.get_by_role("button", name="show all again").is_visible()
    assert other.get_by_role("button", name="show all again").count() == 0
    assert picture(other) != before
    chosen = step_at(other, 66)
    assert chosen > 20
    first = board.root.get_by_role("slider", name="first step in view").get_attribute("aria-valuenow") or ""
    # With Ctrl the wheel goes further in, around the pointer.
    mouse.move(place["x"] + 64 + (place["width"] - 76) / 2, place["y"] + 80)
    board.page.keyboard.down("Control")
    mouse.wheel(0, -300)
    board.page.keyboard.up("Control")
    expect(board.root.get_by_role("slider", name="first step in view")).not_to_have_attribute("aria-valuenow", first)
    picture(other)
    assert step_at(other, 66) > chosen
    board.root.get_by_role("button", name="show all steps").click()
    assert picture(other) == before


def test_panels_are_moved_enlarged_and_hidden_by_mouse_and_keyboard(board: Board) -> None:
    titles = lambda: [one.get_attribute("aria-label") for one in board.panels.all()]  # noqa: E731
    usual = titles()
    first, target = panel(board, str(usual[0])), panel(board, str(usual[3]))
    begin, end = first.locator("header").bounding_box(), target.bounding_box()
    assert begin
    assert end
    mouse = board.page.mouse
    mouse.move(begin["x"] + 20, begin["y"] + 8)
    mouse.down()
    mouse.move(end["x"] + 60, end["y"] + 60, steps=8)
    expect(target).to_have_class(re.compile("nbtk-target"))
    mouse.up()
    assert titles() == [*usual[1:4], usual[0], *usual[4:]]
    first.focus()
    for _ in range(3):
        board.page.keyboard.press("Alt+ArrowLeft")
    assert titles() == usual
    assert first.evaluate("one => one === document.activeElement")
    assert board.root.locator(".nbtk-pointed").inner_text() == f"{usual[0]} is at place 1 of {len(usual)}"
    height, width = box(first)["height"], box(first)["width"]
    first.get_by_role("button", name=f"enlarge {usual[0]}").click()
    board.page.wait_for_timeout(1_000)
    assert box(first)["height"] > 1.5 * height
    assert box(first)["width"] > 1.5 * width
    assert first.evaluate("one => one.scrollWidth <= one.clientWidth")
    first.get_by_role("button", name=f"hide this panel: {usual[0]}").click()
    assert titles() == usual[1:]
    chooser = board.root.get_by_role("button", name="choose the panels shown")
    chooser.click()
    board.root.get_by_role("button", name="reset layout").click()
    assert titles() == usual
    board.page.wait_for_timeout(500)
    assert box(first)["width"] == pytest.approx(width)


def test_an_image_of_a_panel_has_its_title_and_step_in_its_name(board: Board, tmp_path: Path) -> None:
    board.root.get_by_role("slider", name="step shown").press("Home")
    for kind, press in (("png", []), ("svg", ["Shift"])):
        for title in (LOSS, TITLE):
            one = panel(board, title)
            one.scroll_into_view_if_needed()
            picture(one)
            one.hover()
            with board.page.expect_download() as download:
                one.get_by_role("button", name=f"save an image of {title}").click(modifiers=press)  # type: ignore[arg-type]
            saved = tmp_path / download.value.suggested_filename
            download.value.save_as(saved)
            assert saved.name == f"planes-{title.replace(' ', '-')}-step-0.{kind}"
            data = saved.read_bytes()
            if kind == "png":
                assert data.startswith(b"\x89PNG")
                assert len(data) > 5_000
            else:
                root = ET.fromstring(data)
                words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
                assert title in words
                assert len(data) > 5_000
