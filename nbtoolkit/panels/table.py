"""The values of the last step as text: the panel of what has no picture yet."""

from itertools import product
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource

from nbtoolkit.panels.bands import drawn
from nbtoolkit.panels.look import FONT, INK, SIZE, axis_range, blank_figure

ROWS = 10


def columns(ds: Any) -> dict[str, Any]:
    """The text drawn: one row for each of the first values of the last step, a ``label`` and its ``value``."""
    labels = names(ds)
    values = [v for variable in drawn(ds).values() for v in variable.values[-1:].ravel()][: len(labels)]
    rows = list(zip(labels, values, strict=False))[:ROWS]
    return {
        "y": np.arange(len(rows), dtype=float),
        "label": np.array([label for label, _ in rows], dtype=object),
        "value": np.array(["" if np.isnan(v) else f"{v:.4g}" for _, v in rows], dtype=object),
    }


def names(ds: Any) -> list[str]:
    """What each value is of: the variable if there are several, then its place along every dim."""
    variables = drawn(ds)
    several = len(variables) > 1
    labels = []
    for name, variable in variables.items():
        axes = [[str(label) for label in ds[dim].values] for dim in variable.dims if dim != "step"]
        labels += [", ".join(([name] if several else []) + list(place)) or name for place in product(*axes)]
    return labels


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """Two columns of text.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: variables with any dims.
        scale: without meaning here; every panel takes it.
    """
    plot = blank_figure(
        "", "", "linear", name="plot",
        x_range=axis_range("x_range", 0, 1), y_range=axis_range("y_range", ROWS, -0.5),
    )  # fmt: skip
    plot.axis.visible = False
    plot.grid.visible = False
    words: dict[str, Any] = {
        "y": "y",
        "source": source,
        "text_font": {"value": FONT},
        "text_font_size": SIZE,
        "text_color": INK,
    }
    for x, column, align in ((0, "label", "left"), (1, "value", "right")):
        plot.text(x=x, text=column, text_baseline="middle", text_align=align, **words).glyph.name = "words"
    return plot
