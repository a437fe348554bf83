"""Pages that need nothing else, and stand up to any name."""

import json
import re

import nbformat
import numpy as np
import pytest

from nbtoolkit.capture.run import Status
from nbtoolkit.errors import LandscapeError, StoreError
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import Board, export_html
from nbtoolkit.widget.display import show
from nbtoolkit.widget.notebook_page import STATE, VIEW, notebook_html
from nbtoolkit.widget.picture import companion, picture, summary
from tests.widget.pages import payloads, values_of
from tests.widget.test_overlay import trained

HOSTILE = "</script><script>alert(1)</script><!--"

# What makes a browser fetch something by itself.
FETCHES = re.compile(
    r"""<(?:script|img|link|iframe)[^>]*\s(?:src|href)=(?!["']?data:)|@import|\bimport\s*\(\s*["']http"""
)


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
    # BokehJS, the bundle, the call and the payload: as many ends as beginnings.
    assert page.count("</script") == len(re.findall(r"<script[ >]", page)) == 4
    assert len(re.findall(r"<title>.*?</title>", page)) == 1


def test_of_several_runs_each_has_its_board_under_its_label(run, tmp_path):
    run.train(3)
    page = export_html({"first": run, "<second>": run}, tmp_path / "runs.html").read_text()
    assert len(payloads(page)) == 2
    assert page.count('class="nbtk-bokeh"') == 1
    assert re.findall(r"<h[12]>(.*?)</h", page) == [
        "<bdi>first, &lt;second&gt;</bdi>", "<bdi>first</bdi>", "<bdi>&lt;second&gt;</bdi>",
    ]  # fmt: skip
    assert re.findall(r"<h[12]>(.*?)</h", export_html([run, run], tmp_path / "runs.html").read_text()) == [
        "<bdi>digits</bdi>"
    ]


def test_panels_left_out_are_not_in_the_page(run, tmp_path):
    run.train(50)
    page = export_html(run, tmp_path / "run.html", panels=["loss"]).read_text()
    (payload,) = payloads(page)
    assert [panel["id"] for panel in payload["panels"]["panels"]] == ["loss/loss"]
    assert [series["key"] for series in payload["series"]] == ["loss/loss"]
    assert list(run.record.groups) == ["loss", "grad_norm"]


def test_a_name_that_is_not_there_gets_the_nearest(run, tmp_path):
    with pytest.raises(LandscapeError, match=r"has no 'los'; did you mean 'loss'. It has: loss, grad_norm"):
        export_html(run, tmp_path / "run.html", panels=["los"])
    assert not (tmp_path / "run.html").exists()


@pytest.mark.parametrize("wrong", [None, 3, [], {}, [3], "run.html"])
def test_what_is_no_run_is_refused(wrong, tmp_path):
    with pytest.raises(TypeError, match=r"export_html\(\) got .*give a run, a list of runs, or a dict"):
        export_html(wrong, tmp_path / "run.html")


def test_words_of_the_author_are_paragraphs_of_plain_text(run, tmp_path):
    words = f"Of $\\lambda$.\n \n\n\n{HOSTILE}\nmore"
    page = export_html(run, tmp_path / "run.html", text=words, title="a < b").read_text()
    assert re.findall(r"<p dir=.*?>(.*?)</p>", page, re.S) == [
        "Of $\\lambda$.", "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--\nmore",
    ]  # fmt: skip
    assert "<title>a &lt; b</title>" in page
    with pytest.raises(TypeError, match="got a int as text"):
        export_html(run, tmp_path / "run.html", text=3)  # type: ignore[arg-type]


def test_the_page_says_that_the_run_was_intervened_in(run, tmp_path):
    run.train(20)
    told = {"step": 7, "what": "lr", "text": "learning rate <of> group 0: 0.1 -> nan", "old": 0.1, "new": float("nan")}
    run.commands = [told] * 30
    page = export_html(run, tmp_path / "run.html").read_text()
    assert "intervened in 30 times" in page
    assert payloads(page)[0]["commands"] == [{**told, "new": None}] * 30
    run.commands = []
    assert "intervened" not in export_html(run, tmp_path / "run.html").read_text()


def test_the_numbers_on_a_page_read_as_those_of_the_run(run, tmp_path):
    run.train(3000)
    (payload,) = payloads(export_html(run, tmp_path / "run.html").read_text())
    steps, values = run.record.groups["grad_norm"].rows()
    kept, shown = values_of(payload, "grad_norm/norm")
    assert np.array_equal(kept, steps)
    assert np.max(np.abs(shown / values["norm"] - 1)) < 1e-7
    assert not np.array_equal(shown, values["norm"])  # they are narrower than measured


def test_a_page_that_cannot_be_written_says_where(run, tmp_path):
    with pytest.raises(StoreError, match=r"cannot be written to .*missing.*choose another path"):
        export_html(run, tmp_path / "missing" / "run.html")
    with pytest.raises(StoreError, match=r"^The page cannot be written to '.*x.x00.html': .*; choose another path.$"):
        export_html(run, tmp_path / "x\0.html")


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
    board = Board(run)
    board.arrangement = '{"wide":["loss/loss"]}'
    page = notebook_html(notebook(board))
    (payload,) = payloads(page)
    assert payload["layout"] == board.arrangement
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
    assert page.count('class="nbtk-bokeh"') == 1


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


def test_a_notebook_with_a_badge_asks_the_network_for_nothing():
    badge = "[![Open in Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/a/b/HEAD)"
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# Run\n\n{badge}\n\n![a](data:image/png;,)")])
    page = notebook_html(nb)
    assert not FETCHES.search(page)
    assert '<a href="https://mybinder.org/v2/gh/a/b/HEAD">Open in Binder</a>' in page
    assert 'src="data:image/png;,"' in page


def test_lists_by_label_are_one_picture_as_they_are_shown(tmp_path):
    runs = {"sgd": [trained(5), trained(5, scale=2.0)], "adam": trained(5)}
    (payload,) = payloads(export_html(runs, tmp_path / "runs.html").read_text())
    (loss,) = [panel for panel in payload["panels"]["panels"] if panel["id"] == "loss/loss"]
    assert [line["label"] for line in loss["lines"]] == ["sgd (n=2)", "adam"]


def test_a_rate_that_is_not_known_is_not_told(run):
    run.status = lambda: Status(3, float("nan"), 0.0, 0.0, "finished")
    assert summary(run) == "digits: finished, 3 steps"
