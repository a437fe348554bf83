"""Values over their index at one step, a curve for each label: the singular values of every layer."""

from itertools import pairwise
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, LabelSet
from bokeh.palettes import Viridis256

from nbtoolkit.panels.copies import main
from nbtoolkit.panels.heatmap import short
from nbtoolkit.panels.look import PALETTE, SIZE, axis_range, blank_figure, colour, named, unit_label
from nbtoolkit.panels.plane import row

SCALE = "log"
NAMED = 8  # curves named at their ends
LINE = 0.08  # height of a line of words, of the frame
RAMP = (0.15, 0.9)  # of the colours, for the first and the last of many curves: seen on dark pages and on white ones


def columns(ds: Any) -> dict[str, Any]:
    """The numbers drawn, of the last step that has any: of each curve its ``xs``, ``ys`` and ``color``.

    Args:
        ds: a variable with the dims step, a label and an index; what was not measured is left out.
    """
    found = curves(ds, row(ds[main(ds)]))
    return {
        "xs": [x for x, _ in found],
        "ys": [y for _, y in found],
        "color": [ink(i, len(found)) for i in range(len(found))],
    }


def curves(ds: Any, last: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices and values of each label in one row; empty where nothing was measured."""
    variable = ds[main(ds)[0]]
    x = ds[variable.dims[2]].values.astype(float)
    values = variable.values[last] if last >= 0 else np.full(variable.shape[1:], np.nan)
    return [(x[~np.isnan(y)], y[~np.isnan(y)]) for y in values]


def ink(place: int, count: int) -> str:
    """The colour of a curve: of a category, of more than there are from dark (first) to bright (last)."""
    if count <= len(PALETTE):
        return colour(place)
    low, high = RAMP
    return Viridis256[round(255 * (low + (high - low) * place / (count - 1)))]


def names(ds: Any) -> list[str]:
    """What the variable is."""
    return [str(ds[name].attrs.get("long_name", name)) for name in main(ds)[:1]]


def labels(ds: Any) -> list[str]:
    """Of the curves."""
    return [str(label) for label in ds[ds[main(ds)[0]].dims[1]].values]


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """A curve for each label, named at its end; of many every second, third ... is named.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: a variable with the dims step, a label and an index.
        scale: of the y axis.
    """
    scale = str(scale or SCALE)
    variable = ds[main(ds)[0]]
    plot = blank_figure(
        x_label(ds), unit_label(variable.attrs), scale, name="plot", min_border_right=12,
        x_range=axis_range("x_range", *span(ds, "x", scale)), y_range=axis_range("y_range", *span(ds, "y", scale)),
    )  # fmt: skip
    plot.xaxis.name = "x_axis"
    plot.multi_line("xs", "ys", source=source, line_color="color", line_width=1.5, line_join="round")
    plot.add_layout(LabelSet(
        x="x", y="y", text="text", text_color="color", source=named("ends", end_names(ds, scale)), y_offset=8,
        x_offset=-2, text_align="right", text_baseline="middle", text_font_size=SIZE, background_fill_alpha=0.7,
        name="end_labels",
    ))  # fmt: skip
    return plot


def x_label(ds: Any) -> str:
    """What lies to the right."""
    return str(ds[main(ds)[0]].dims[2])


def span(ds: Any, axis: str, scale: str) -> tuple[float, float]:
    """Ends of an axis, the same for all steps."""
    found = [curve for last in range(ds.sizes["step"]) for curve in curves(ds, last)]
    values = np.concatenate([curve["xy".index(axis)] for curve in found] or [np.empty(0)])
    log = scale == "log" and axis == "y"
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values):
        return (1e-3, 1.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if log:
        factor = max((high / low) ** 0.05, 1.05)
        return low / factor, high * factor * (high / low) ** LINE
    margin = (0.02 if axis == "x" else 0.05) * (high - low) or 0.5
    return low - margin, high + margin + (LINE * (high - low) if axis == "y" else 0)


def end_names(ds: Any, scale: str) -> dict[str, list[Any]]:
    """The names at the ends of the curves, moved upwards as far as they would overlap."""
    height, back = (np.log, np.exp) if scale == "log" else (float, float)
    low, high = (height(end) for end in span(ds, "y", scale))
    found, named_so = curves(ds, row(ds[main(ds)])), labels(ds)
    every = max(1, -(-len(named_so) // NAMED))
    ends = []
    for i, (x, y) in enumerate(found):
        shown = y > 0 if scale == "log" else np.isfinite(y)
        if i % every == 0 and shown.any():
            k = int(np.flatnonzero(shown)[-1])
            ends.append({"x": float(x[k]), "y": height(y[k]), "text": short(named_so[i]), "color": ink(i, len(found))})
    ends.sort(key=lambda end: end["y"])
    for below, end in pairwise(ends):
        end["y"] = max(end["y"], below["y"] + LINE * (high - low))
    return {key: [float(back(e[key])) if key == "y" else e[key] for e in ends] for key in ("x", "y", "text", "color")}
