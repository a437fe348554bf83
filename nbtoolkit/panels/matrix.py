"""A field at one step: copies, layers, tasks or terms against others, the first in the upper left corner."""

import math
from typing import Any

import numpy as np
from bokeh.models import AllLabels, ColumnDataSource, FixedTicker
from bokeh.palettes import PuOr11, interp_palette

from nbtoolkit.panels.colours import bar, colours
from nbtoolkit.panels.copies import STEPS, main, steps_of
from nbtoolkit.panels.heatmap import labelled, limits, short
from nbtoolkit.panels.look import FONT, INK, SIZE, TALL, axis_range, blank_figure, named, unit_label
from nbtoolkit.panels.plane import row

PALETTE = "Cividis256"
DIVERGING = interp_palette(PuOr11[-2:0:-1], 256)  # below zero orange, above it violet; not their darkest
TASKS = ("task_trained", "task_evaluated")
ENDS = {  # of the colours of pure numbers with these dims: shares, cosines
    TASKS: (0.0, 1.0),
    ("layer", "task_evaluated"): (0.0, 1.0),
    ("task_evaluated", "task_other"): (-1.0, 1.0),
    ("term", "term_other"): (-1.0, 1.0),
}
AXES = {"task_trained": "after training", "task_evaluated": "evaluated on"}  # what lies along an axis
WRITTEN = 9  # rows up to which the values are written into their cells
BRIGHT = 0.55  # of the colours, from the lowest: on brighter cells the words are dark
PALE = (0.2, 0.8)  # of diverging colours: between them the words are dark


def columns(ds: Any, *, scale: str = "linear") -> dict[str, Any]:
    """The numbers drawn, of the last step that has any: an image ``(1, rows, columns)``, the last row at the bottom.

    Rows and columns without any value are left out, but not of tasks, whose values are still to come.

    Args:
        ds: a variable with the dims step and two others, such as snapshot and other, and the steps of the copies.
        scale: of the colours; on a log scale what is not positive is blank.
    """
    values = square(ds)[0][::-1]
    blank = ~np.isfinite(values) | ((values <= 0) if scale == "log" else False)
    image = np.where(blank, np.nan, values) if values.size else np.full((1, 1), np.nan)
    sizes = {"x": 0.0, "y": 0.0, "dw": float(image.shape[1]), "dh": float(image.shape[0])}
    return {"image": image[None], **{key: np.array([size]) for key, size in sizes.items()}}


def square(ds: Any) -> tuple[np.ndarray, list[str], list[str]]:
    """Values, labels of the rows from the top and of the columns from the left; nothing where nothing was measured."""
    name, last = main(ds)[0], row(ds[main(ds)])
    if last < 0:
        return np.empty((0, 0)), [], []
    values = ds[name].values[last]
    down, right = (labels(ds, dim, last) for dim in ds[name].dims[1:])
    if ds[name].dims[1:] == TASKS:
        missing = max(0, len(right) - len(down))  # tasks that have not been trained yet
        return np.pad(values, ((0, missing), (0, 0)), constant_values=np.nan), down + [""] * missing, right
    rows, across = (np.flatnonzero(~np.isnan(values).all(axis=axis)) for axis in (1, 0))
    return values[np.ix_(rows, across)], [down[i] for i in rows], [right[i] for i in across]


def labels(ds: Any, dim: str, last: int) -> list[str]:
    """The labels of a dim: of copies their steps, if they are known."""
    if dim in ("snapshot", "other") and STEPS in ds.data_vars:
        return ["" if math.isnan(step) else f"{step:.0f}" for step in steps_of(ds, last)]
    return [str(label) for label in ds[dim].values]


def names(ds: Any) -> list[str]:
    """What the variable is."""
    return [str(ds[name].attrs.get("long_name", name)) for name in main(ds)[:1]]


def ends_of(variable: Any) -> tuple[float, float] | None:
    """The ends that the colours of a variable always have; None where they follow its values."""
    return ENDS.get(tuple(variable.dims[1:])) if variable.attrs.get("units") == "1" else None


def palette(variable: Any) -> Any:
    """Diverging around a zero that has a meaning, else cividis."""
    ends = ends_of(variable)
    return DIVERGING if ends and ends[0] < 0 else PALETTE


def axis_label(dim: str, ds: Any) -> str:
    """What lies along an axis: nothing for layers, whose names say it."""
    if TASKS == ds[main(ds)[0]].dims[1:]:
        return AXES[dim]
    return ("step of the copy" if STEPS in ds.data_vars else "copy") if dim in ("snapshot", "other") else ""


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """The field, labelled on both axes; few values are written into their cells.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: a variable with the dims step and two others, and the steps of the copies.
        scale: of the colours; by default what the variable declares.
    """
    variable = ds[main(ds)[0]]
    scale = str(scale or variable.attrs.get("scale", "linear"))
    values, down, right = square(ds)
    plot = blank_figure(
        axis_label(variable.dims[2], ds), axis_label(variable.dims[1], ds), "linear", name="plot", height=TALL,
        x_range=axis_range("x_range", 0, max(len(right), 1)), y_range=axis_range("y_range", 0, max(len(down), 1)),
    )  # fmt: skip
    ends = ends_of(variable) or limits(variable.values, scale)
    mapper = colours(scale, ends, palette(variable))
    plot.image(image="image", x="x", y="y", dw="dw", dh="dh", source=source, color_mapper=mapper)
    plot.text(
        "x", "y", text="text", text_color="color", source=named("values", written(values, ends, ends_of(variable))),
        text_align="center", text_baseline="middle", text_font_size=SIZE, text_font={"value": FONT},
    ).glyph.name = "on_field"  # fmt: skip
    pinned = named("pinned", {side: [] for side in ("left", "right", "bottom", "top")})
    plot.quad("left", "right", "bottom", "top", source=pinned, fill_color=None, line_color=INK, line_width=2.5)
    plot.renderers[-1].glyph.name = "ink"
    places = (
        (plot.xaxis, {i + 0.5: short(right[i]) for i in labelled(len(right))}, "columns"),
        (plot.yaxis, {len(down) - i - 0.5: short(down[i]) for i in labelled(len(down))}, "rows"),
    )
    for axis, told, name in places:
        axis.major_label_policy = AllLabels()
        axis.ticker = FixedTicker(ticks=list(told), name=name)
        axis.major_label_overrides = told
    plot.xaxis.name = "x_axis"
    if any(len(label) > 5 for label in right):
        plot.xaxis.major_label_orientation = math.pi / 4
    plot.ygrid.grid_line_color = None
    plot.min_border_right = 60
    plot.add_layout(bar(mapper, scale, unit_label(variable.attrs)), "right")
    return plot


def written(
    values: np.ndarray, ends: tuple[float, float], fixed: tuple[float, float] | None = None
) -> dict[str, list[Any]]:
    """The words in the cells and their colours, where the cells are few.

    Args:
        values: ``(rows, columns)``.
        ends: of the colours.
        fixed: of those that do not follow the values, which are then written with two decimals.
    """
    told: dict[str, list[Any]] = {"x": [], "y": [], "text": [], "color": []}
    if max(values.shape) > WRITTEN:
        return told
    for (j, i), value in np.ndenumerate(values):
        if math.isnan(value):
            continue
        share = (value - ends[0]) / (ends[1] - ends[0])
        dark = PALE[0] < share < PALE[1] if ends[0] < 0 and fixed else share > BRIGHT
        text = f"{value:.2f}".replace("-", "\N{MINUS SIGN}") if fixed else f"{value:.2g}"
        found = (i + 0.5, values.shape[0] - j - 0.5, text, "#222222" if dark else "#FFFFFF")
        for key, one in zip(told, found, strict=True):
            told[key].append(one)
    return told
