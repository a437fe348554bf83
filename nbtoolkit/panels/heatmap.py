"""A field over step and label: one row for each parameter or layer, time to the right."""

import math
from typing import Any

import numpy as np
from bokeh.models import AllLabels, ColumnDataSource, FixedTicker

from nbtoolkit.panels.colours import bar, colours
from nbtoolkit.panels.look import axis_range, blank_figure, unit_label

COLUMNS = 480  # of the image; each shows the sample in force at its step
ROWS = 11  # labels written beside the field; of more, every second, third ...
LETTERS = 18


def columns(ds: Any) -> dict[str, Any]:
    """The numbers drawn: an image ``(1, labels, columns)`` with the last label at the bottom, and its frame.

    A column shows the last sample taken at or before its step. Values are samples, never means of them. Labels that
    never have a value have no row.
    """
    ds = measured(ds)
    variable = next(iter(ds.data_vars.values()))
    steps = ds["step"].values.astype(float)
    values = variable.values.reshape(len(steps), math.prod(variable.shape[1:]))
    left, right = span(steps)
    if not len(steps):
        image = np.full((values.shape[1], 1), np.nan)
    else:
        centres = left + (np.arange(COLUMNS) + 0.5) * (right - left) / COLUMNS
        image = values[np.searchsorted(steps, centres, side="right") - 1].T[::-1]
    frame = {"x": left, "y": 0.0, "dw": right - left, "dh": float(values.shape[1])}
    return {"image": image[None], **{key: np.array([value]) for key, value in frame.items()}}


def measured(ds: Any) -> Any:
    """A Dataset without the labels that are NaN at every step, such as layers without hidden units; or all of it."""
    variable = next(iter(ds.data_vars.values()))
    (dim,) = (dim for dim in variable.dims if dim != "step")
    known = variable.notnull().any("step").values
    return ds.isel({dim: known}) if known.any() and not known.all() else ds


def span(steps: np.ndarray) -> tuple[float, float]:
    """First step and the end of the last sample, which is taken to last as long as the one before."""
    if not len(steps):
        return 0.0, 1.0
    return steps[0], steps[-1] + (steps[-1] - steps[-2] if len(steps) > 1 else 1.0)


def names(ds: Any) -> list[str]:
    """The labels of the rows, from the top."""
    dim = next(dim for dim in next(iter(ds.data_vars.values())).dims if dim != "step")
    return [str(label) for label in ds[dim].values]


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """The field in viridis, blank where nothing was measured.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: one variable with one dim besides ``step``.
        scale: of the colours; by default what the variable declares.
    """
    ds = measured(ds)
    variable = next(iter(ds.data_vars.values()))
    scale = str(scale or variable.attrs.get("scale", "linear"))
    labels = names(ds)
    plot = blank_figure(
        "step", "", "linear", name="plot",
        x_range=axis_range("x_range", *span(ds["step"].values.astype(float))),
        y_range=axis_range("y_range", 0, max(len(labels), 1)),
    )  # fmt: skip
    mapper = colours(scale, limits(variable.values, scale))
    plot.image(image="image", x="x", y="y", dw="dw", dh="dh", source=source, color_mapper=mapper)
    ticks = labelled(len(labels))
    plot.yaxis.major_label_policy = AllLabels()  # `labelled` has chosen already
    plot.yaxis.ticker = FixedTicker(ticks=[len(labels) - row - 0.5 for row in ticks], name="rows")
    plot.yaxis.major_label_overrides = {len(labels) - row - 0.5: short(labels[row]) for row in ticks}
    plot.ygrid.grid_line_color = None
    plot.min_border_right = 60  # the bar of colours keeps its width when its numbers change
    plot.add_layout(bar(mapper, scale, unit_label(variable.attrs)), "right")
    return plot


def labelled(count: int) -> range:
    """The rows whose labels are written: all, or of many every second, third ..."""
    return range(0, count, max(1, -(-count // ROWS)))


def limits(values: np.ndarray, scale: str) -> tuple[float, float]:
    """Ends of the colours: of the finite values, on a log scale of the positive ones."""
    kept = values[np.isfinite(values) & ((values > 0) | (scale == "linear"))]
    if not kept.size:
        return (1e-3, 1.0) if scale == "log" else (0.0, 1.0)
    low, high = float(kept.min()), float(kept.max())
    return (low, high) if high > low else (low, low * 1.01 if low > 0 else low + 1.0)


def short(label: str) -> str:
    """A label cut from the left, at a dot if there is one: the end of a parameter's name says most."""
    if len(label) <= LETTERS:
        return label
    end = label[1 - LETTERS :]
    dot = end.find(".")
    return f"…{end[dot + 1 :] if 2 * dot < len(end) else end}"
