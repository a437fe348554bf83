"""Curves of a sweep over steps or over one of its axes, a line for each value of another axis, a band over seeds."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool

from nbtoolkit.analysis.curves import minmax
from nbtoolkit.analysis.grids import REASON, SEEDS, STEP, chosen, with_axes
from nbtoolkit.panels.family import draw_family, heights, middle
from nbtoolkit.panels.grid_axis import GridAxis, draw_axis, grid_axis, headed, number
from nbtoolkit.panels.look import DRAWN, axis_range, blank_figure, unit_label
from nbtoolkit.panels.near_best import near_best, near_best_lines
from nbtoolkit.panels.outside import mark_outside

HEIGHT = 280
APART = 100  # times: positive values so far apart are drawn on a logarithmic axis


def columns(ds: Any, *, variable: str | None = None, over: str | None = None) -> dict[str, Any]:
    """The numbers drawn: for the line ``i`` its ``x{i}``, ``y{i}`` and, over seeds, half its interval ``error{i}``.

    Columns are made as long as the longest by NaN at their end; long ones are thinned to the smallest and the largest
    value of each stretch. Over an axis of the grid a cell that has run and gave no number is infinite.

    Args:
        ds: of a sweep with one axis or two, besides that of seeds.
        variable: its name; may be left out where there is one only.
        over: what lies to the right; by default the step, else the first axis.

    Raises:
        ValueError: there is no such variable or axis, or it has other axes.
    """
    curves, right, family = _curves(ds, variable, over)
    found: dict[str, np.ndarray] = {}
    for i in range(len(family.places)):
        y, error = middle(curves[i])
        x = right.places
        if len(x) > 2 * DRAWN:
            kept = minmax(x, y, DRAWN)
            x, y, error = x[kept], y[kept], error[kept]
        found |= {f"x{i}": x, f"y{i}": y, f"error{i}": error}
    longest = max((len(values) for values in found.values()), default=0)
    return {
        key: np.pad(np.asarray(values, float), (0, longest - len(values)), constant_values=np.nan)
        for key, values in found.items()
    }


def figure(
    source: ColumnDataSource | None, ds: Any, *, variable: str | None = None, over: str | None = None,
    largest: bool = False, scale: str | None = None,
) -> Any:  # fmt: skip
    """The lines, named at their ends up to five, else by a bar of colours.

    The y axis holds what has not diverged: over steps whole lines are left out (`near_best_lines`), over an axis of
    the grid single points (`near_best`). Triangles at its edge tell where they went, and the words how many.

    Args:
        source: holds `columns` of ``ds``; None for the numbers of ``ds``.
        ds: of a sweep with one axis or two, besides that of seeds.
        variable: its name; may be left out where there is one only.
        over: what lies to the right; by default the step, else the first axis.
        largest: whether large values are good.
        scale: of the y axis; by default what the variable declares, or logarithmic where the values within are
            positive and two decades apart.

    Raises:
        ValueError: there is no such variable or axis, or it has other axes.
    """
    values = chosen(ds, variable, "curve_family")
    curves, right, family = _curves(ds, variable, over)
    source = source or ColumnDataSource(columns(ds, variable=variable, over=over))
    scale = scale or values.attrs.get("scale") or None
    within, scale = _within(curves, scale, right.name == STEP, largest=largest)
    count = len(family.places)
    plot = blank_figure(
        right.name, unit_label(values.attrs), scale, name="plot", height=HEIGHT,
        x_range=axis_range("x_range", *right.ends()),
        y_range=axis_range("y_range", *heights(source.data, count, scale, within)),
    )  # fmt: skip
    if right.name != STEP:
        draw_axis(plot.xaxis[0], right, "x_ticks")
    lines = draw_family(plot, source, family, scale=scale)
    for i, line in enumerate(lines):
        words = [(family.name, family.written[i])] if family.name else []
        plot.add_tools(
            HoverTool(renderers=[line], tooltips=[*words, (right.name, f"@x{i}"), ("", f"@y{i}{{0.[00000]}}")])
        )
    outside = mark_outside(plot, source.data, family, scale, each=right.name != STEP)
    told = [_told(curves, family), *outside]
    headed(plot, str(values.attrs.get("long_name", values.name)), "; ".join(filter(None, told)))
    return plot


def _within(
    curves: np.ndarray, scale: Any, by_steps: bool, *, largest: bool
) -> tuple[tuple[float, float] | None, str]:  # fmt: skip
    """The smallest and the largest value for which there is to be room, and the scale."""
    means = np.array([middle(one)[0] for one in curves])
    if by_steps:
        return near_best_lines(means, apart=APART, largest=largest, scale=scale)
    kept, scale = near_best(means, apart=APART, largest=largest, scale=scale)
    return ((float(kept.min()), float(kept.max())) if kept.size else None), scale


def _curves(ds: Any, variable: str | None, over: str | None) -> tuple[np.ndarray, GridAxis, GridAxis]:
    """Values ``(lines, seeds, points)``, the axis to the right and the axis of the lines."""
    values = chosen(ds, variable, "curve_family")
    over = over or (STEP if STEP in values.dims else str(next((dim for dim in values.dims if dim != SEEDS), SEEDS)))
    values = with_axes(values, {"over": over}, "curve_family")
    if over != STEP and REASON in getattr(ds, "data_vars", ()):
        values = values.where(~(values.isnull() & (ds[REASON] == "")), np.inf).transpose(*values.dims)
    repeats = SEEDS if over != SEEDS else "repeat"
    others = [str(dim) for dim in values.dims if dim not in (over, repeats)]
    if len(others) > 1:
        raise ValueError(
            f"curve_family got {values.name!r} with the axes {', '.join(map(str, values.dims))}; it draws one line for "
            f"each value of one axis besides {over!r}: choose of the others first, as in data.sel({others[-1]}=...)."
        )
    right = grid_axis(values[over])
    if over == STEP:  # a step is what it is
        right = GridAxis(STEP, values[over].values.astype(float), [], np.arange(values.sizes[over]), True, False)
    family = grid_axis(values[others[0]]) if others else GridAxis("", np.zeros(1), [""], np.zeros(1, int), False, False)
    seeded = values if repeats in values.dims else values.expand_dims(repeats)
    ordered = seeded.transpose(*others, repeats, over).values.reshape(len(family.places), -1, len(right.places))
    return ordered[family.order][:, :, right.order], right, family


def _told(curves: np.ndarray, family: GridAxis) -> str:
    known = (~np.isnan(curves)).sum(axis=(1, 2)) > 0
    told = []
    if family.name and family.numbers and known.any():
        at = np.flatnonzero(known)
        told.append(f"{family.name} {family.written[at[0]]} to {family.written[at[-1]]}" if len(at) > 1 else "")
    if curves.shape[1] > 1:
        told.append(f"mean of {curves.shape[1]} seeds in its 95 % interval")
    if not known.all():
        told.append(f"{number(float((~known).sum()))} of {len(known)} not there yet" if known.any() else "nothing yet")
    return "; ".join(word for word in told if word)
