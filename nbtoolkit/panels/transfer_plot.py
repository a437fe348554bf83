"""Final loss against the learning rate, a curve for each width, and where each of them is lowest."""

from typing import Any

import numpy as np
from bokeh.layouts import row
from bokeh.models import ColumnDataSource, HoverTool

from nbtoolkit.analysis.grids import REASON, SEEDS, chosen, with_axes
from nbtoolkit.analysis.sweeps import lr_transfer, optimum
from nbtoolkit.panels.family import FRAME, draw_family, heights, middle, shades
from nbtoolkit.panels.grid_axis import GridAxis, draw_axis, grid_axis, headed, number
from nbtoolkit.panels.look import axis_range, blank_figure, named, unit_label
from nbtoolkit.panels.near_best import beyond, near_best
from nbtoolkit.panels.phase_diagram import DECADE

HEIGHT = 300
BESIDE = 4  # figures


def columns(
    ds: Any, *, variable: str | None = None, over: str = "lr", along: str = "width", largest: bool = False,
    scale: str = "linear",
) -> dict[str, Any]:  # fmt: skip
    """The numbers drawn: for the width ``i`` its curve ``x{i}``, ``y{i}``, ``error{i}``, and one ``best`` of each.

    ``x`` is log2 of the learning rate where that is geometric. ``best_x`` and ``best_y`` are the vertex of the parabola
    through the best point and its neighbours, or the best point itself where one of these is not known (``edge`` is
    True), and ``why`` says why not; half the 95 % interval of the curve over seeds is ``error``.

    Args:
        ds: of a sweep with these two axes, besides that of seeds.
        variable: its name; may be left out where there is one only.
        over: axis of the learning rate.
        along: axis of the width.
        largest: whether large values are good.
        scale: of the y axis, on which the parabola is one.

    Raises:
        ValueError: there is no such variable or axis, or there are more.
    """
    curves, right, family = _curves(ds, variable, over, along)
    found: dict[str, Any] = {}
    for i in range(len(family.places)):
        y, error = middle(curves[i])
        found |= {f"x{i}": right.places, f"y{i}": y, f"error{i}": error}
    best = optimum(_with_reasons(ds, variable), over, largest=largest, scale=scale)
    best = best.isel({along: family.order})
    edge = np.isnan(best.fitted.values)
    at, height = (
        np.where(edge, best[one], best[f"fitted{two}"]) for one, two in (("best", ""), ("best_value", "_value"))
    )
    found |= {"best_x": np.log2(at) if right.log else at, "best_y": height, "edge": edge, "why": best[REASON].values}
    return found


def figure(
    source: ColumnDataSource | None, ds: Any, *, variable: str | None = None, over: str = "lr", along: str = "width",
    largest: bool = False, scale: str | None = None,
) -> Any:  # fmt: skip
    """The curves with their optima; for each value of a third axis a figure, beside each other on one scale.

    The frame follows the values near the best (`near_best`); points far beyond are outside it, and are counted.

    Args:
        source: holds the curves that `columns` gives; None for the numbers of ``ds``.
        ds: of a sweep with these two axes or with a third, besides that of seeds.
        variable: its name; may be left out where there is one only.
        over: axis of the learning rate.
        along: axis of the width.
        largest: whether large values are good.
        scale: of the y axis; by default what the variable declares, or logarithmic where small values are good and
            these are positive and a decade apart.

    Raises:
        ValueError: there is no such variable or axis, or there are more.
    """
    values = with_axes(chosen(ds, variable, "transfer_plot"), {"over": over, "along": along}, "transfer_plot")
    ds = _with_reasons(ds, variable)
    others = [str(dim) for dim in values.dims if dim not in (over, along, SEEDS)]
    parts, names, third = [ds], [""], None
    if len(others) == 1:
        third = grid_axis(values[others[0]])
        parts = [ds.isel({others[0]: int(place)}) for place in third.order[:BESIDE]]
        names = [f"{third.name} {word}" if third.numbers else word for word in third.written]
    means = np.array([middle(curve)[0] for part in parts for curve in _curves(part, None, over, along)[0]])
    scale = scale or values.attrs.get("scale")
    kept, scale = near_best(means, apart=DECADE, largest=largest, scale=scale)
    settings: dict[str, Any] = {"over": over, "along": along, "largest": largest, "scale": scale}
    within = (float(kept.min()), float(kept.max())) if kept.size else None
    every = [_heights(columns(part, **settings), values.sizes[along], scale, within) for part in parts]
    settings["ends"] = min(low for low, _ in every), max(high for _, high in every)
    if third is None:
        return _one(source, ds, "", frame=FRAME, **settings)
    settings["frame"] = FRAME / len(parts)
    plots = [_one(None, part, name, **settings) for part, name in zip(parts, names, strict=False)]
    return row(*plots, sizing_mode="stretch_width")


def _one(
    source: ColumnDataSource | None, ds: Any, heading: str, *, over: str, along: str, largest: bool, scale: str,
    frame: float, ends: tuple[float, float],
) -> Any:  # fmt: skip
    values = chosen(ds, None, "transfer_plot")
    drawn = columns(ds, over=over, along=along, largest=largest, scale=scale)
    _, right, family = _curves(values, None, over, along)
    best = {key: drawn.pop(key) for key in ("best_x", "best_y", "edge", "why")}
    outside = beyond(np.array([drawn[f"y{i}"] for i in range(len(family.places))]), ends)
    source = source or ColumnDataSource(drawn)
    plot = blank_figure(
        right.name, unit_label(values.attrs), scale, name="plot", height=HEIGHT,
        x_range=axis_range("x_range", *right.ends()), y_range=axis_range("y_range", *ends),
    )  # fmt: skip
    draw_axis(plot.xaxis[0], right, "x_ticks")
    lines = draw_family(plot, source, family, scale=scale, frame=frame)
    for i, line in enumerate(lines):
        words = [(family.name, family.written[i]), ("", f"@y{i}{{0.[00000]}}")]
        plot.add_tools(HoverTool(renderers=[line], tooltips=words))
    told = [number(float(2**x if right.log else x)) for x in best["best_x"]]
    for name, kept, fill in (("fitted", ~best["edge"], True), ("edge", best["edge"], False)):
        inks = [ink for ink, one in zip(shades(family), kept, strict=True) if one]
        places = {key: best[key][kept] for key in ("best_x", "best_y")}
        of = {"color": inks, "told": [t for t, one in zip(told, kept, strict=True) if one], "why": best["why"][kept]}
        found = plot.scatter(
            "best_x", "best_y", source=named(name, {**places, **of}), marker="star" if fill else "circle",
            size=15 if fill else 11, fill_color="color" if fill else None,
            line_color="white" if fill else "color", line_width=1 if fill else 1.8,
        )  # fmt: skip
        words = [("best, by the parabola" if fill else "best", "@told"), ("", "@best_y{0.[00000]}")]
        plot.add_tools(HoverTool(renderers=[found], tooltips=words if fill else [*words, ("no fit", "@why")]))
    title = str(values.attrs.get("long_name", values.name))
    told = [_told(values, over, along, largest=largest, scale=scale), *(f"{word} the frame" for word in outside)]
    headed(plot, f"{title}, {heading}" if heading else title, "; ".join(filter(None, told)))
    return plot


def _with_reasons(ds: Any, variable: str | None) -> Any:
    """The variable as float64, with the reasons why values are missing where there are any."""
    values = chosen(ds, variable, "transfer_plot")
    reasons = getattr(ds, "data_vars", {}).get(REASON)
    return values if reasons is None else values.to_dataset().assign({REASON: reasons})


def _heights(drawn: Any, count: int, scale: str, within: tuple[float, float] | None) -> tuple[float, float]:
    """Ends of the y axis, of the curves and the optima, which may lie below them."""
    low, high = heights(drawn, count, scale, within)
    best = np.asarray(drawn["best_y"], float)
    best = best[np.isfinite(best) & ((best > 0) | (scale != "log"))]
    return float(min([low, *best])), float(max([high, *best]))


def _curves(ds: Any, variable: str | None, over: str, along: str) -> tuple[np.ndarray, GridAxis, GridAxis]:
    """Values ``(widths, seeds, rates)`` and the two axes."""
    values = with_axes(chosen(ds, variable, "transfer_plot"), {"over": over, "along": along}, "transfer_plot")
    more = [str(dim) for dim in values.dims if dim not in (over, along, SEEDS)]
    if more:
        raise ValueError(
            f"transfer_plot got {values.name!r} with the axes {', '.join(map(str, values.dims))}; choose of the others "
            f"first, as in data.sel({more[-1]}=...)."
        )
    right, family = grid_axis(values[over]), grid_axis(values[along])
    seeded = values if SEEDS in values.dims else values.expand_dims(SEEDS)
    ordered = seeded.transpose(along, SEEDS, over).values
    return ordered[family.order][:, :, right.order], right, family


def _told(values: Any, over: str, along: str, *, largest: bool, scale: str) -> str:
    """How the best moves."""
    if not np.isfinite(values.values).any():
        return "nothing has run yet"
    try:
        found = lr_transfer(values, over, along, largest=largest, scale=scale)
    except ValueError:  # an axis is not of positive numbers
        return "star: best, by a parabola"
    slope, low, high = (float(found[key]) for key in ("slope", "slope_low", "slope_high"))
    if bool(found.same):
        best = optimum(values, over, largest=largest, fit=False).best.values.ravel()[0]
        axis = grid_axis(values[over])
        at = axis.written[int(np.argmin(np.abs(values[over].values[axis.order] - best)))]
        return f"best {over} {at} at every {along}" + ("" if np.isnan(slope) else f"; fitted ~ {along}^{_power(slope)}")
    if np.isnan(slope):
        slope = float(found.grid_slope)
        return "" if np.isnan(slope) else f"best {over} on the grid ~ {along}^{_power(slope)}"
    reach = "" if np.isnan(low) else f" ({_power(low)} to {_power(high)})"
    return f"best {over} ~ {along}^{_power(slope)}{reach}"


def _power(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")
