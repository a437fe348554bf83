"""The path of the parameters in a plane: kept copies as dots, the first and the newest marked."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, LinearColorMapper

from nbtoolkit.panels.copies import main, steps_of
from nbtoolkit.panels.look import FAINT, FIELD, INK, MARK, TALL, axis_range, blank_figure, named, unit_label
from nbtoolkit.panels.plane import row

MARGIN = 0.06
NOTE = (
    "Dots: kept copies, from dark (the first, with a ring) to bright; the newest is marked. Both axes have one scale."
)


def columns(ds: Any) -> dict[str, Any]:
    """The numbers drawn, of the last step that has any: ``x``, ``y`` and ``order``, from 0 (first) to 1 (newest).

    Args:
        ds: a variable with the dims step, snapshot and pc, and the steps of the copies.
    """
    points, _ = path(ds)
    order = np.linspace(0, 1, len(points)) if len(points) > 1 else np.ones(len(points))
    return {"x": points[:, 0], "y": points[:, 1], "order": order}


def path(ds: Any) -> tuple[np.ndarray, np.ndarray]:
    """The points ``(copies, 2)``, the oldest first, and the steps of their copies."""
    last = row(ds[main(ds)])
    if last < 0 or ds.sizes["pc"] < 2:
        return np.empty((0, 2)), np.empty(0)
    points = ds[main(ds)[0]].isel(step=last).transpose("snapshot", "pc").values[:, :2]
    kept = np.isfinite(points).all(axis=1)
    return points[kept], steps_of(ds, last)[kept]


def names(ds: Any) -> list[str]:
    """What the variable is."""
    return [str(ds[name].attrs.get("long_name", name)) for name in main(ds)[:1]]


def axis_labels(ds: Any) -> tuple[str, str]:
    """Both components with their units."""
    units = unit_label(ds[main(ds)[0]].attrs)
    first, second = (f"component {k}{f', {units}' if units else ''}" for k in (1, 2))
    return first, second


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """The path as a line with dots.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: a variable with the dims step, snapshot and pc.
        scale: without meaning here; every panel takes it.
    """
    plot = blank_figure(
        *axis_labels(ds), "linear", name="plot", height=TALL, min_border_right=12,
        x_range=axis_range("x_range", *span(ds, 0)), y_range=axis_range("y_range", *span(ds, 1)), match_aspect=True,
    )  # fmt: skip
    plot.xaxis.name = "x_axis"
    plot.xaxis.ticker.min_interval = 0
    plot.xgrid.grid_line_color = FAINT
    mapper = LinearColorMapper(palette=FIELD, low=0, high=1)
    data: Any = source.data
    plot.line("x", "y", source=source, line_color=INK, line_width=1, line_alpha=0.6).glyph.name = "ink"
    plot.scatter(
        "x", "y", source=source, size=6, fill_color={"field": "order", "transform": mapper}, line_color=INK,
        line_width=0.5,
    ).glyph.name = "ink"  # fmt: skip
    for name, place in (("first", slice(0, 1)), ("newest", slice(-1, None))):
        ends = named(name, {key: list(data[key][place]) for key in ("x", "y")})
        if name == "first":
            ring = plot.scatter("x", "y", source=ends, size=12, fill_color=None, line_color=INK, line_width=1.4)
            ring.glyph.name = "ink"
        else:
            plot.scatter("x", "y", source=ends, size=9, fill_color=MARK, line_color="white", line_width=1.4)
    return plot


def span(ds: Any, place: int) -> tuple[float, float]:
    """Ends of an axis, the same for all steps."""
    if ds.sizes["pc"] < 2:
        return -1.0, 1.0
    values = ds[main(ds)[0]].isel(pc=place).values
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * (high - low) or 0.5
    return low - margin, high + margin
