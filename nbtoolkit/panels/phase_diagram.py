"""A sweep over two axes: a cell for each point, isolines, the best of each column, and what failed and why."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool

from nbtoolkit.analysis.grids import LEFT, REASON, SEEDS, WAITING, chosen, over_seeds, with_axes
from nbtoolkit.panels.colours import bar, colours
from nbtoolkit.panels.grid_axis import draw_axis, grid_axis, headed, number
from nbtoolkit.panels.heatmap import limits
from nbtoolkit.panels.isolines import isolines, levels, without_scraps
from nbtoolkit.panels.look import axis_range, blank_figure, named, unit_label
from nbtoolkit.panels.near_best import beyond, near_best
from nbtoolkit.panels.plane import Plane

HEIGHT = 340
DECADE = 10  # times: positive values so far apart have logarithmic colours
NO_VALUE = "it gave no number"
PAINT = ("fill_color", "line_color")  # the same, so that nothing shows between cells
SIDES = ("left", "right", "bottom", "top")


def columns(ds: Any, *, variable: str | None = None, largest: bool = False) -> dict[str, Any]:
    """The cells drawn, one row each: ``left, right, bottom, top, value, why, best``, ``x`` and ``y`` as written.

    The first axis goes up and the second to the right. ``why`` is empty where there is a value, and else why there is
    none. ``best`` tells the best cell of each column. Of several seeds the value is their mean.

    Args:
        ds: of a sweep with two axes, besides that of seeds.
        variable: its name; may be left out where there is one only.
        largest: whether large values are good.

    Raises:
        ValueError: there is no such variable, or it has not two axes.
    """
    values, up, right = _plane(ds, variable)
    why = _why(ds, values)
    best = np.zeros(values.shape, bool)
    for column in range(values.shape[1]):
        one = values.values[:, column] * (-1 if largest else 1)
        if np.isfinite(one).any():
            best[np.nanargmin(np.where(np.isfinite(one), one, np.nan)), column] = True
    y, x = (edges.edges() for edges in (up, right))
    rows, across = np.indices(values.shape)
    return {
        "left": x[:-1][across].ravel(), "right": x[1:][across].ravel(),
        "bottom": y[:-1][rows].ravel(), "top": y[1:][rows].ravel(),
        "value": values.values.ravel(), "why": why.ravel(), "best": best.ravel(),
        "x": np.array(right.written, object)[across].ravel(), "y": np.array(up.written, object)[rows].ravel(),
    }  # fmt: skip


def figure(
    source: ColumnDataSource | None, ds: Any, *, variable: str | None = None, largest: bool = False,
    scale: str | None = None,
) -> Any:  # fmt: skip
    """The cells in viridis, hatched where they failed, blank where they have not run.

    The colours follow the values near the best (`near_best`); those far beyond have the last colour, and are counted.

    Args:
        source: holds `columns` of ``ds``; None for the numbers of ``ds``.
        ds: of a sweep with two axes, besides that of seeds.
        variable: its name; may be left out where there is one only.
        largest: whether large values are good.
        scale: of the colours; by default logarithmic where small values are good and these are positive and a decade
            apart.

    Raises:
        ValueError: there is no such variable, or it has not two axes.
    """
    values, up, right = _plane(ds, variable)
    source = source or ColumnDataSource(columns(ds, variable=variable, largest=largest))
    data: Any = {key: np.asarray(column) for key, column in source.data.items()}
    kept, scale = near_best(values.values, apart=DECADE, largest=largest, scale=scale)
    plot = blank_figure(
        right.name, up.name, "linear", name="plot", height=HEIGHT,
        x_range=axis_range("x_range", *map(float, right.edges()[[0, -1]])),
        y_range=axis_range("y_range", *map(float, up.edges()[[0, -1]])),
    )  # fmt: skip
    draw_axis(plot.xaxis[0], right, "x_ticks")
    draw_axis(plot.yaxis[0], up, "y_ticks")
    plot.ygrid.grid_line_color = None
    ends = limits(kept, scale)
    mapper = colours(scale, ends)
    finite = np.isfinite(data["value"])
    cells = named("cells", {key: column[finite] for key, column in data.items()})
    drawn = plot.quad(
        *SIDES, source=cells, line_width=1, **{key: {"field": "value", "transform": mapper} for key in PAINT},
    )  # fmt: skip
    failed = named("failed", {key: column[_failed(data)] for key, column in data.items()})
    crossed = plot.quad(
        *SIDES, source=failed, fill_color="#8A8A8A", fill_alpha=0.25, line_color=None,
        hatch_pattern="right_diagonal_line", hatch_color="#8A8A8A", hatch_alpha=0.9, hatch_scale=8, hatch_weight=1.5,
    )  # fmt: skip
    between = np.where(np.isfinite(values.values), np.clip(values.values, *ends), np.nan)  # as it is coloured
    between = between if up.numbers and right.numbers else np.empty((0, 0))  # names have nothing between them
    lines = without_scraps(isolines(Plane(right.places, up.places, between), ends, scale), between.shape)
    plot.multi_line("xs", "ys", line_color="color", line_width=1, source=named("isolines", lines))
    _mark(plot, data)
    name, units = str(values.attrs.get("long_name", values.name)), unit_label(values.attrs)
    words = [(up.name, "@y"), (right.name, "@x")]
    plot.add_tools(
        HoverTool(renderers=[drawn], tooltips=[(name, f"@value{{0.[00000]}} {units}".strip()), *words]),
        HoverTool(renderers=[crossed], tooltips=[("failed", "@why"), *words]),
    )
    plot.min_border_right = 60
    plot.add_layout(bar(mapper, scale, units, levels(*ends, scale) or None), "right")
    headed(plot, name, _told(data, up.name, right.name, ends, largest=largest))
    return plot


def _plane(ds: Any, variable: str | None) -> tuple[Any, Any, Any]:
    """Values with the first axis up, both axes in the order drawn."""
    values = over_seeds(with_axes(chosen(ds, variable, "phase_diagram"), {}, "phase_diagram"), SEEDS)
    if values.ndim != 2:
        dims = ", ".join(map(str, values.dims)) or "none"
        raise ValueError(
            f"phase_diagram got {values.name!r} with the axes {dims}; it draws two: choose of the others first, as in "
            "data.sel(depth=2)."
        )
    up, right = (grid_axis(values[dim]) for dim in values.dims)
    return values[up.order, right.order], up, right


def _why(ds: Any, values: Any) -> np.ndarray:
    """In words, of each cell without a value, why."""
    why = np.full(values.shape, "", object)
    missing = ~np.isfinite(values.values)
    reasons = getattr(ds, "data_vars", {}).get(REASON)
    why[missing] = WAITING
    why[np.isinf(values.values)] = "infinite"
    if reasons is not None:
        told = reasons.transpose(*[dim for dim in reasons.dims if dim not in values.dims], *values.dims)
        told = told.sel({dim: values[dim] for dim in values.dims}).values.astype(object).reshape(-1, *values.shape)
        for place in zip(*np.nonzero(missing), strict=True):
            found = [str(one) for one in told[(slice(None), *place)] if one]
            said = NO_VALUE if why[place] == WAITING else why[place]
            why[place] = next((one for one in found if one != WAITING), found[0] if found else said)
    return why


def _failed(data: Any) -> np.ndarray:
    return (data["why"] != "") & (~np.isin(data["why"].astype(str), LEFT))


def _mark(plot: Any, data: Any) -> None:
    """A ring on the best cell of each column."""
    best = data["best"].astype(bool)
    places = {
        "x": ((data["left"] + data["right"]) / 2)[best], "y": ((data["bottom"] + data["top"]) / 2)[best],
    }  # fmt: skip
    source = named("best", places)
    for width, ink in ((3.6, "rgba(0, 0, 0, 0.55)"), (1.6, "white")):
        plot.scatter("x", "y", source=source, size=11, fill_color=None, line_color=ink, line_width=width)


def _told(data: Any, up: str, right: str, ends: tuple[float, float], *, largest: bool) -> str:
    finite = np.isfinite(data["value"])
    if not finite.any():
        return "nothing has run yet" if not _failed(data).any() else "all cells that ran have failed"
    sign = -1 if largest else 1
    at = int(np.where(finite, sign * data["value"], np.inf).argmin())
    told = [f"best {number(float(data['value'][at]))} at {up} {data['y'][at]}, {right} {data['x'][at]}"]
    if len(set(data["x"].tolist())) > 1:
        told.append("ring: best of its column")
    told += [f"{word} the colours" for word in beyond(data["value"], ends)]
    failed, waiting = int(_failed(data).sum()), int(np.isin(data["why"].astype(str), LEFT).sum())
    told += [f"{failed} failed"] * bool(failed) + [f"{waiting} of {len(finite)} not run yet"] * bool(waiting)
    return "; ".join(told)
