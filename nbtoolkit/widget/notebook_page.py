"""A whole notebook as one HTML page whose Boards and figures stay interactive, without kernel and network."""

import base64
import copy
import re
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode

from nbtoolkit.widget import paper, payload

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
BOARD = "nbtoolkit.widget.board.Board"
DRAWING = "nbtoolkit.widget.drawing.Drawing"

REMOTE_IMAGE = re.compile(r"!\[([^\]]*)\]\(https?://[^)]*\)")  # of Markdown; a badge, for one
STYLE = f"<style>{paper.PRINT}</style>\n"

# What JupyterLab's template would load from elsewhere is left out.
TEMPLATE = """
{%- extends "lab/index.html.j2" -%}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
"""


class LandscapeExporter(HTMLExporter):
    """HTML of a notebook with its Boards drawn from the widget state saved in it.

    Other widgets appear as their text. Without saved state the still pictures of the runs remain.
    """

    export_from_notebook = "HTML with interactive runs"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("raw_template", TEMPLATE)
        super().__init__(*args, **kwargs)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """Convert a notebook; see `nbconvert.exporters.Exporter`."""
        nb = copy.deepcopy(nb)
        boards, drawings = saved_boards(nb), saved_drawings(nb)
        nb.metadata.pop("widgets", None)
        drawn = [name for cell in nb.cells for name in _place_drawings(cell, drawings)]
        shown = {board["uid"] for cell in nb.cells for board in _place(cell, boards)}
        for cell in nb.cells:
            if cell.cell_type == "markdown":  # what would ask the network is named instead
                cell.source = REMOTE_IMAGE.sub(r"\1", cell.source)
            if cell.cell_type == "code":
                cell.outputs = [out for out in cell.outputs if not _stands_in_for(out, shown)]
        html, resources = super().from_notebook_node(nb, resources, **kw)
        if shown or drawn:
            head, end, tail = html.rpartition("</body>")
            html = head + STYLE + paper.scripts() + paper.mount() + end + tail
        return html, resources


def notebook_html(nb: NotebookNode) -> str:
    """A notebook as one self-contained page."""
    return LandscapeExporter().from_notebook_node(nb)[0]


def saved_boards(nb: NotebookNode) -> dict[str, dict[str, Any]]:
    """The Boards saved in a notebook that hold data, by model: ``uid``, ``panels``, ``arrangement``, ``snapshot``."""
    models = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    boards = {}
    for name, model in models.items():
        state = model.get("state", {})
        data = [buffer["data"] for buffer in model.get("buffers", []) if buffer["path"] == ["snapshot"]]
        if state.get("_anywidget_id") == BOARD and data and data[0]:
            kept = {key: state.get(key, "") for key in ("uid", "panels", "arrangement")}
            boards[name] = {**kept, "snapshot": base64.b64decode(data[0])}
    return boards


def saved_drawings(nb: NotebookNode) -> dict[str, str]:
    """The single figures saved in a notebook, by model."""
    models = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    states = {name: model.get("state", {}) for name, model in models.items()}
    return {name: state["drawing"] for name, state in states.items() if state.get("_anywidget_id") == DRAWING}


def _place_drawings(cell: NotebookNode, drawings: dict[str, str]) -> list[str]:
    """Put the single figures of a cell into its outputs; gives the models of those that it put there."""
    placed = []
    for out in cell.get("outputs", []):
        name = out.get("data", {}).get(VIEW, {}).get("model_id")
        if name in drawings:
            placed.append(name)
            out.data = NotebookNode({"text/html": paper.drawing(drawings[name])})
    return placed


def _place(cell: NotebookNode, boards: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the Boards of a cell into its outputs; gives those that it put there."""
    placed = []
    for out in cell.get("outputs", []):
        data = out.get("data", {})
        board = boards.get(data.pop(VIEW, {}).get("model_id"))
        if board:
            placed.append(board)
            message = payload.unpack_snapshot(board["snapshot"])
            out.data = NotebookNode({"text/html": paper.board(board["panels"], *message, board["arrangement"])})
    return placed


def _stands_in_for(out: NotebookNode, shown: set[str]) -> bool:
    """Whether an output is the still picture of a run that is shown alive."""
    html = "".join(out.get("data", {}).get("text/html", ""))
    return 'class="nbtk-static"' in html and any(f'data-nbtk="{uid}"' in html for uid in shown)
