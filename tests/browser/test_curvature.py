"""Curvature on a Board: the line beside its curve in words, and the spectrum of the step that is pointed at."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import nbtoolkit
from nbtoolkit.capture.run import Run
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from tests.analysis.ritz import VARIABLES, bulk, quadrature
from tests.browser.board import Board
from tests.browser.test_reading import panel, picture

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

STEPS = np.arange(0, 300, 100)
DENSITY = "Hessian eigenvalue density"


@pytest.fixture
def board(page: Page, tmp_path: Path) -> Board:
    """A page with a finished run: sharpness climbs to its edge, three outliers grow out of a bulk."""
    record = Record()
    record.group("loss", {"loss": Var((), "loss", "training loss")}).append(range(300), {"loss": np.ones(300)})
    variables = {
        "sharpness": Var((), "loss/param^2", "sharpness", error="bound", line="edge"),
        "bound": Var((), "loss/param^2", "bound"),
        "edge": Var((), "loss/param^2", "edge of stability"),
    }
    rows = {"sharpness": np.array([10.0, 30, 41]), "bound": np.full(3, 0.5), "edge": np.full(3, 40.0)}
    record.group("sharpness", variables).append(STEPS, rows)
    spectra = [quadrature(np.r_[bulk(150) - 0.8, outliers], 3, 30) for outliers in ((), (15, 20, 30), (15, 20, 40))]
    values, weights = (np.array(arrays) for arrays in zip(*spectra, strict=True))
    labels = {"probe": list(range(3)), "node": list(range(30))}
    record.group("density", VARIABLES).append(STEPS, {"ritz_value": values, "ritz_weight": weights}, labels)
    run = Run("curved", record)
    run.step = 300
    page.goto(nbtoolkit.export_html(run, tmp_path / "curved.html").as_uri())
    return Board(page).wait()


def told(one: Locator) -> str:
    """What stands under the title of a panel."""
    return " ".join(one.locator(".nbtk-now").inner_text().split())


def test_the_number_now_says_where_it_stands_to_its_line(board: Board) -> None:
    sharpness = panel(board, "sharpness")
    assert told(sharpness) == "41 ± 0.5 loss/param^2, at the edge of stability 40"
    sharpness.focus()
    board.page.keyboard.press("Home")
    assert told(sharpness) == "step 0 10 ± 0.5 loss/param^2, below the edge of stability 40"


def test_the_spectrum_is_that_of_the_step_pointed_at_on_another_panel(board: Board) -> None:
    spectrum = panel(board, DENSITY)
    last = picture(spectrum)
    assert "3 outliers" in told(spectrum)
    assert told(spectrum).startswith("step 200 λmax 40 ")
    loss = panel(board, "training loss")
    loss.focus()
    board.page.keyboard.press("Home")
    expect(spectrum.locator(".nbtk-now")).to_contain_text("step 0")
    assert "outlier" not in told(spectrum)
    assert picture(spectrum) != last
    board.page.keyboard.press("Escape")
    expect(spectrum.locator(".nbtk-now")).to_contain_text("λmax 40")
    assert picture(spectrum) == last


def test_pointing_into_the_evolution_reads_eigenvalue_and_density(board: Board) -> None:
    evolution = panel(board, f"{DENSITY} over steps")
    assert told(evolution).startswith("λmax 40 λmin")
    picture(evolution)
    plot = evolution.locator(".nbtk-plot")
    box = plot.bounding_box()
    assert box
    plot.hover(position={"x": 70, "y": 20})
    assert told(evolution).startswith("step 0 eigenvalue ")
    assert "density" in told(evolution)
    # The whole Board shows that step, but the spectrum itself has no steps to point at.
    assert told(panel(board, DENSITY)).startswith("step 0 ")
    panel(board, DENSITY).locator(".nbtk-plot").hover(position={"x": box["width"] / 2, "y": 60})
    assert told(panel(board, DENSITY)).startswith("step 200 eigenvalue ")
    assert panel(board, DENSITY).locator(".nbtk-cursor").is_hidden()
