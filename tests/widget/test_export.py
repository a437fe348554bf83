"""Pages that need nothing else, and stand up to any name."""

import json
import re

import nbformat
import pytest

from nbtoolkit.errors import StoreError
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import Board, export_html
from nbtoolkit.widget.display import show
from nbtoolkit.widget.notebook_page import STATE, VIEW, notebook_html
from nbtoolkit.widget.picture import companion, picture

HOSTILE = "</script><script>alert(1)</script><!--"

# What makes a browser fetch something by itself.
FETCHES = re.compile(
    r"""<(?:script|img|link|iframe)[^>]*\s(?:src|href)=(?!["']?data:)|@import|\bimport\s*\(\s*["']http"""
)


def payloads(page: str) -> list[dict]:
    return [json.loads(text) for text in re.findall(r'class="nbtk-payload"[^>]*>(.*?)</script>', page, re.S)]


@pytest.fixture
def hostile(run):
    """A run whose names try to end the script they stand in."""
    run.name = HOSTILE
    run.record.group(HOSTILE, {HOSTILE: Var((), HOSTILE, HOSTILE)}, {"definition": HOSTILE})
    run.train(5)
    run.state = "finished"
    return run


def test_the_page_holds_the_panels_and_nothing_leads_outside(run, tmp_path):
    run.train(50)
    page = export_html(run, tmp_path / "run.html").read_text()
    (payload,) = payloads(page)
    assert [panel["id"] for panel in payload["panels"]["panels"]] == ["loss/loss", "grad_norm/total", "grad_norm/norm"]
    assert not FETCHES.search(page)


def test_names_cannot_break_out_of_the_page(hostile, tmp_path):
    page = export_html(hostile, tmp_path / "run.html").read_text()
    assert "alert(1)</script>" not in page
    assert HOSTILE in [panel["title"] for panel in payloads(page)[0]["panels"]["panels"]]
    # Three scripts and the payload: as many ends as beginnings.
    assert page.count("</script") == len(re.findall(r"<script[ >]", page)) == 4


def test_a_page_that_cannot_be_written_says_where(run, tmp_path):
    with pytest.raises(StoreError, match=r"cannot be written to .*missing.*choose another path"):
        export_html(run, tmp_path / "missing" / "run.html")


def notebook(board: Board, *, with_state: bool = True) -> nbformat.NotebookNode:
    """A notebook as Jupyter saves it after a cell showed a Board and its still picture."""
    still = nbformat.v4.new_output("display_data", companion(board.run, board.uid))
    view = {VIEW: {"model_id": board.model_id, "version_major": 2, "version_minor": 0}, "text/plain": repr(board)}
    cell = nbformat.v4.new_code_cell("%%landscape", outputs=[nbformat.v4.new_output("display_data", view), still])
    nb = nbformat.v4.new_notebook(cells=[cell])
    if with_state:
        from ipywidgets import Widget

        states = Widget.get_manager_state(drop_defaults=False)["state"]
        nb.metadata["widgets"] = {STATE: {"state": states, "version_major": 2, "version_minor": 0}}
    return nbformat.reads(json.dumps(nb, sort_keys=True), as_version=4)


def test_a_notebook_becomes_a_page_with_its_board_alive(run):
    run.train(20)
    run.state = "finished"
    page = notebook_html(notebook(Board(run)))
    (payload,) = payloads(page)
    assert payload["panels"]["panels"][0]["id"] == "loss/loss"
    assert "nbtk-static" not in page.replace(".nbtk-static", "")
    assert not FETCHES.search(page)
    assert "widget-state+json" not in page


def test_two_boards_share_one_bokeh(run):
    run.train(20)
    run.state = "finished"
    first, second = notebook(Board(run)), notebook(Board(run))
    first.cells += second.cells
    first.metadata.widgets = second.metadata.widgets
    page = notebook_html(first)
    assert len(payloads(page)) == 2
    assert page.count('globalThis["nbtoolkit:bokeh:') == 1


def test_without_saved_state_the_still_picture_remains(run):
    run.train(20)
    run.state = "finished"
    page = notebook_html(notebook(Board(run), with_state=False))
    assert payloads(page) == []
    assert 'class="nbtk-static"' in page
    assert not FETCHES.search(page)


def test_converting_leaves_the_notebook_as_it_was(run):
    run.train(2)
    run.state = "finished"
    nb = notebook(Board(run))
    before = json.dumps(nb)
    notebook_html(nb)
    assert json.dumps(nb) == before


def test_the_picture_is_a_png_and_leaves_matplotlib_alone(run):
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    run.train(100)
    png = picture(run)
    assert png is not None
    assert png.startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_a_run_without_rows_has_words_instead_of_a_picture(run):
    assert companion(run, "u") == {"text/plain": "digits: watching, 0 steps, 123 steps/s"}


def test_showing_in_a_plain_interpreter_displays_nothing_and_follows_the_run(run, capsys):
    board = show(run)
    run.train(3)
    run.end()
    assert isinstance(board, Board)
    assert board.snapshot
    assert capsys.readouterr().out == ""
