"""One figure shown in a notebook: its state, its page, and that a cell shows nothing twice."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbtoolkit.widget import Board, bundle
from nbtoolkit.widget.display import show
from nbtoolkit.widget.drawing import Drawing
from nbtoolkit.widget.notebook_page import STATE, VIEW, notebook_html, saved_drawings
from tests.notebooks.execute import execute
from tests.widget.test_export import FETCHES, HOSTILE, payloads


def made(title: str = "squares") -> figure:
    plot = figure(title=title)
    plot.line("x", "y", source=ColumnDataSource({"x": [1, 2, 3], "y": [1, 4, 9]}, name=title))
    return plot


def titles(drawing: str) -> list[str]:
    """The titles in a document."""
    return re.findall(r'"name": ?"Title".*?"text": ?"((?:[^"\\]|\\.)*)"', drawing)


def notebook(drawing: Drawing, *, with_state: bool = True) -> nbformat.NotebookNode:
    """A notebook as Jupyter saves it after a cell showed a figure."""
    from ipywidgets import Widget

    view = {VIEW: {"model_id": drawing.model_id, "version_major": 2, "version_minor": 0}, "text/plain": repr(drawing)}
    nb = new_notebook(cells=[new_code_cell("show(plot)", outputs=[new_output("display_data", view)])])
    if with_state:
        state = Widget.get_manager_state(drop_defaults=False)["state"]
        nb.metadata["widgets"] = {STATE: {"state": state, "version_major": 2, "version_minor": 0}}
    return nbformat.reads(json.dumps(nb, sort_keys=True), as_version=4)


def test_a_figure_is_kept_as_text_beside_the_one_bokeh_of_all_widgets(run):
    drawing = show(made())
    assert isinstance(drawing, Drawing)
    assert titles(drawing.drawing) == ["squares"]
    assert json.loads(drawing.drawing)["target_id"] is None
    assert drawing.asset == Board(run).asset
    assert drawing._esm == bundle.board_js()
    assert repr(drawing) == "<figure>"


def test_showing_a_figure_in_a_plain_interpreter_displays_nothing(capsys):
    show(made())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("thing", [3, "run", None, [figure]])
def test_what_is_neither_run_nor_figure_is_refused(thing):
    with pytest.raises(TypeError, match=rf"show\(\) got a {type(thing).__name__}; it needs a run, or a Bokeh figure\."):
        show(thing)


def test_a_saved_notebook_becomes_a_page_with_its_figure():
    drawing = Drawing(made())
    nb = notebook(drawing)
    assert saved_drawings(nb)[drawing.model_id] == drawing.drawing
    before = json.dumps(nb)
    page = notebook_html(nb)
    assert [payload["drawing"] for payload in payloads(page)] == [drawing.drawing]
    assert payloads(page)[0]["version"] == bundle.BOKEH_VERSION
    assert page.count('class="nbtk-bokeh"') == 1
    assert not FETCHES.search(page)
    assert json.dumps(nb) == before


def test_without_saved_state_there_is_no_script_for_it():
    page = notebook_html(notebook(Drawing(made()), with_state=False))
    assert payloads(page) == []
    assert "nbtoolkit:bokeh:" not in page
    assert "&lt;figure&gt;" in page


def test_a_board_and_a_figure_share_one_page(run):
    run.train(5)
    run.state = "finished"
    board, drawing = Board(run), Drawing(made())
    nb = notebook(drawing)
    view = {VIEW: {"model_id": board.model_id, "version_major": 2, "version_minor": 0}}
    nb.cells[0].outputs.append(new_output("display_data", view))
    first, second = payloads(notebook_html(nb))
    assert "drawing" in first
    assert second["panels"]["panels"][0]["id"] == "loss/loss"


def test_names_in_a_figure_cannot_break_out_of_the_page():
    drawing = Drawing(made(HOSTILE))
    harmless = notebook_html(notebook(Drawing(made())))
    page = notebook_html(notebook(drawing))
    assert "alert(1)</script>" not in page
    assert [payload["drawing"] for payload in payloads(page)] == [drawing.drawing]
    assert page.count("</script") == harmless.count("</script")
    assert page.count("<!--") == harmless.count("<!--")


CELLS = """
import nbtoolkit, torch
from bokeh.plotting import figure
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with nbtoolkit.watch(model, optimizer) as run:
    for _ in range(3):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
plot = figure()
plot.line([1, 2], [1, 4])

---
nbtoolkit.show(run)
---
nbtoolkit.show(plot)
---
board = nbtoolkit.show(run)
drawing = nbtoolkit.show(plot)
---
board
---
nbtoolkit.show(plot); drawing
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The cells, run in a kernel."""
    folder = tmp_path_factory.mktemp("shown")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [new_code_cell(source.strip()) for source in CELLS.split("---")]
    nbformat.write(new_notebook(cells=cells, metadata=kernel), folder / "source.ipynb")
    source, _ = execute(Path(folder / "source.ipynb"), folder / "out")
    return nbformat.read(source, as_version=4)


@pytest.mark.parametrize(("cell", "shown"), [(1, "B"), (2, "D"), (3, "BD"), (4, "B"), (5, "DD")])
def test_a_cell_shows_each_widget_once(executed: nbformat.NotebookNode, cell: int, shown: str) -> None:
    views = [out.data[VIEW]["model_id"] for out in executed.cells[cell].outputs if VIEW in out.get("data", {})]
    states = executed.metadata.widgets[STATE]["state"]
    assert "".join(states[name]["state"]["_anywidget_id"].rsplit(".", 1)[1][0] for name in views) == shown
    assert len(set(views)) == len(views)
    stills = sum("nbtk-static" in "".join(out.data.get("text/html", "")) for out in executed.cells[cell].outputs)
    assert stills == (shown.count("B") if cell in (1, 3) else 0)


def test_a_figure_shown_in_a_kernel_is_on_the_page_of_the_notebook(executed: nbformat.NotebookNode) -> None:
    told = payloads(notebook_html(executed))
    assert ["D" if "drawing" in payload else "B" for payload in told] == ["B", "D", "B", "D", "B", "D", "D"]
