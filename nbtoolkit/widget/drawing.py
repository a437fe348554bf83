"""One Bokeh figure in a notebook, drawn by the BokehJS that Boards bring."""

import json
from typing import Any

import anywidget
import traitlets
from bokeh.embed import json_item

from nbtoolkit.widget import bundle
from nbtoolkit.widget.board import shared_asset
from nbtoolkit.widget.shown import ShownOnce


class Drawing(ShownOnce, anywidget.AnyWidget):
    """A Bokeh figure or layout, in the page's colours; like a Board it stays in a saved notebook, without a network.

    Args:
        figure: what to draw, such as `panels.comparison.figure` gives.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    drawing = traitlets.Unicode().tag(sync=True)
    asset = traitlets.Unicode().tag(sync=True)

    def __init__(self, figure: Any) -> None:
        self._asset = shared_asset()
        super().__init__(_esm=bundle.board_js(), drawing=_text(figure), asset=self._asset.model_id)

    def replace(self, figure: Any) -> None:
        """Draw another figure in its place; a saved notebook has the last one."""
        if not self.gone:
            self.drawing = _text(figure)

    def __repr__(self) -> str:
        """One line; readers that show no widgets see it."""
        return "<figure>"


def _text(figure: Any) -> str:
    return json.dumps(json_item(figure))  # text and not a dict: see `figures.describe`
