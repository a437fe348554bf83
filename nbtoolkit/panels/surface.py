"""A field over a plane of parameters as a surface: height and colour are the value."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource

from nbtoolkit.panels.colours import bar, colours
from nbtoolkit.panels.heatmap import limits
from nbtoolkit.panels.isolines import levels
from nbtoolkit.panels.landscape import centre, default_scale, drawn, names, path
from nbtoolkit.panels.look import FONT, INK, MARK, SIZE, TALL, axis_range, blank_figure, named, unit_label
from nbtoolkit.panels.plane import Plane, complete
from nbtoolkit.panels.relief import View, box, boxed, on_surface, quads, raised

__all__ = ["NOTE", "SCALE", "columns", "figure", "names"]

SCALE = "log"
REACH = 1.7  # of the frame, around the middle
NOTE = (
    "Corners of the quads are evaluations; a quad has the mean height of its corners as its colour. Drag, or use the "
    "arrow keys, to turn it; a double click turns it back. What is not finite is left out."
)


def columns(ds: Any, *, scale: str = SCALE, view: View | None = None) -> dict[str, Any]:
    """The quads drawn, the farthest first: ``xs`` and ``ys`` of their corners, and their ``value``.

    Args:
        ds: a variable with the dims step, alpha and beta, and its path.
        scale: of heights and colours.
        view: from where it is seen.
    """
    return quads(complete(drawn(ds)), _ends(ds, scale), scale, view or View())


def lying(ds: Any, scale: str, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Where the path and the centre lie on the screen: ``(copies, 2)``, and ``(0, 2)`` or ``(1, 2)``."""
    shown, ends = complete(drawn(ds)), _ends(ds, scale)
    points = [path(ds), np.zeros((0 if centre(shown) is None else 1, 2))]
    found = []
    for part in points:
        z = raised(on_surface(shown, part, scale), ends, scale)
        x, y = boxed(Plane(part[:, 0], part[:, 1], np.empty(0)), shown) if len(part) else (np.empty(0), np.empty(0))
        right, up, _ = view.seen(x, y, z)
        found.append(np.stack([right, up], axis=1)[np.isfinite(z)])
    return found[0], found[1]


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """The surface in viridis in its box, the centre marked, the path at its height.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: a variable with the dims step, alpha and beta, and its path.
        scale: of heights and colours; by default logarithmic where every value is positive.
    """
    variable = next(iter(ds.data_vars.values()))
    scale = str(scale or default_scale(ds))
    plot = blank_figure(
        "", "", "linear", name="plot", height=TALL,
        x_range=axis_range("x_range", -REACH, REACH), y_range=axis_range("y_range", -REACH, REACH),
    )  # fmt: skip
    plot.axis.visible = False
    plot.grid.visible = False
    plot.min_border_left = 4
    plot.toolbar.tools = []
    mapper = colours(scale, _ends(ds, scale))
    lines, told = box(drawn(ds), View())
    plot.multi_line("xs", "ys", source=named("box", lines), line_color=INK, line_alpha=0.4).glyph.name = "ink"
    plot.patches(
        "xs", "ys", source=source, fill_color={"field": "value", "transform": mapper}, line_color="rgba(0, 0, 0, 0.28)",
        line_width=0.5,
    )  # fmt: skip
    walked, middle = lying(ds, scale, View())
    on_top = named("path", {"x": list(walked[:, 0]), "y": list(walked[:, 1])})
    plot.line("x", "y", source=on_top, color="rgba(0, 0, 0, 0.5)", width=2.4)
    plot.line("x", "y", source=on_top, color="white", width=1.1)
    newest = named("newest", {"x": list(walked[-1:, 0]), "y": list(walked[-1:, 1])})
    plot.scatter("x", "y", source=newest, size=9, fill_color=MARK, line_color="white", line_width=1.4)
    mark = named("centre", {"x": list(middle[:, 0]), "y": list(middle[:, 1])})
    for width, ink in ((3.4, "rgba(0, 0, 0, 0.55)"), (1.5, "white")):
        plot.scatter("x", "y", source=mark, marker="cross", size=11, line_color=ink, line_width=width)
    plot.text(
        "x", "y", text="text", source=named("ends", told), text_align="center",
        text_baseline="middle", text_font_size=SIZE, text_font={"value": FONT}, text_color=INK,
    ).glyph.name = "words"  # fmt: skip
    plot.min_border_right = 60
    written = levels(*_ends(ds, scale), scale) if drawn(ds).values.size else []
    plot.add_layout(bar(mapper, scale, unit_label(variable.attrs), written), "right")
    return plot


def _ends(ds: Any, scale: str) -> tuple[float, float]:
    return limits(next(iter(ds.data_vars.values())).values, scale)
