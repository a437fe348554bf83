"""Curves over the step: scalars, and what has a few labels (parameter groups, loss terms)."""

import math
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, LabelSet, Legend, LegendItem

from nbtoolkit.analysis.curves import minmax, smooth
from nbtoolkit.panels.look import DIRECT_LABELS, DRAWN, SIZE, SMOOTHING, axis_range, blank_figure, colour, unit_label

DOTS = 40  # up to so many samples, each is marked: a single one has no line
PLENTY = 200  # from so many samples on, an average over ten follows the curve instead of lagging behind it


def columns(ds: Any) -> dict[str, Any]:
    """The numbers drawn: for the curve ``i`` of `names` its ``x{i}``, ``y{i}``, ``smooth{i}`` and ``dot{i}``.

    ``dot`` repeats the samples of short curves and is NaN in long ones. Curves are cut to the same length
    as the longest by NaN at their end.
    """
    curves = [_curve(x, y, SMOOTHING if is_smoothed(ds, name) else 0.0) for name, x, y in _samples(ds)]
    longest = max((len(curve["x"]) for curve in curves), default=0)
    return {f"{key}{i}": _padded(values, longest) for i, curve in enumerate(curves) for key, values in curve.items()}


def names(ds: Any) -> list[str]:
    """A label for each curve: of its variable if there are several, of its place along the dim if there is one."""
    several = len(ds.data_vars) > 1
    labels = []
    for name, variable in ds.data_vars.items():
        title = variable.attrs.get("long_name", name)
        dims = [dim for dim in variable.dims if dim != "step"]
        if not dims:
            labels.append(title)
            continue
        places = [f"{dims[0]} {label}" if dims[0] == "group" else str(label) for label in ds[dims[0]].values]
        labels += [f"{title} {place}" if several else place for place in places]
    return labels


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """Lines over the step: each faint as measured and strong as smoothed, named at its end.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: variables with the same dims and units.
        scale: of the y axis; by default what the first variable declares.
    """
    first = next(iter(ds.data_vars.values()))
    labels = names(ds)
    scale = str(scale or first.attrs.get("scale", "linear"))
    direct = len(labels) <= DIRECT_LABELS
    plot = blank_figure(
        "step", unit_label(first.attrs), scale, name="plot",
        x_range=axis_range("x_range", *_span(source, "x", len(labels), "linear")),
        y_range=axis_range("y_range", *_span(source, "y", len(labels), scale)),
        min_border_right=12,
    )  # fmt: skip
    items = []
    for i, label in enumerate(labels):
        ink = {"color": colour(i)}
        raw = plot.line(f"x{i}", f"y{i}", source=source, alpha=0.28, width=1, muted_alpha=0.05, **ink)
        strong = plot.line(f"x{i}", f"smooth{i}", source=source, width=1.7, muted_alpha=0.1, **ink)
        dots = plot.scatter(f"x{i}", f"dot{i}", source=source, size=4.5, muted_alpha=0.1, line_color=None, **ink)
        for renderer in (raw, strong, dots):
            renderer.glyph.name = renderer.muted_glyph.name = f"curve:{colour(i)}"  # found again to suit dark pages
        items.append(LegendItem(label=value(label), renderers=[strong, raw, dots], name=f"legend{i}"))
    if direct and len(labels) > 1:
        plot.add_layout(_end_labels(source, labels))
    elif len(labels) > 1:
        plot.add_layout(_legend(items), "right")
    return plot


def is_smoothed(ds: Any, name: str) -> bool:
    """Whether a variable is noisy by nature: not so the settings of parameter groups, nor what users log."""
    return "group" not in ds[name].dims and ds.attrs.get("reference") != "run.log"


def _samples(ds: Any) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, steps and values of each curve."""
    steps = ds["step"].values.astype(float)
    curves = []
    for name, variable in ds.data_vars.items():
        width = math.prod(variable.shape[1:])
        curves += [(name, steps, y) for y in variable.values.reshape(len(steps), width).T]
    return curves


def _curve(x: np.ndarray, y: np.ndarray, weight: float) -> dict[str, np.ndarray]:
    kept = minmax(x, y, DRAWN)
    dots = y[kept] if len(y) <= DOTS else np.full(len(kept), np.nan)
    return {"x": x[kept], "y": y[kept], "smooth": smooth(y, weight if len(y) >= PLENTY else 0.0)[kept], "dot": dots}


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([values, np.full(length - len(values), np.nan)])


def _span(source: ColumnDataSource, axis: str, curves: int, scale: str) -> tuple[float, float]:
    """Ends of an axis: of the samples, with a margin on y."""
    values = np.concatenate([np.asarray(source.data.get(f"{axis}{i}", []), float) for i in range(curves)] or [[]])
    values = values[np.isfinite(values) & ((values > 0) | (scale == "linear"))]
    if not len(values):
        return (1e-3, 1.0) if scale == "log" else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if axis == "x":
        margin = 0.01 * max(high - low, 1)  # room for the dots at both ends
        return low - margin, max(high, low + 1) + margin
    if scale == "log":
        margin = max((high / low) ** 0.05, 1.05)
        return low / margin, high * margin
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


def _end_labels(source: ColumnDataSource, labels: list[str]) -> LabelSet:
    """The names of the curves, each just above its last sample; Bokeh clips what is written beside the frame."""
    ends: dict[str, Any] = {"x": [], "y": [], "text": [], "color": []}
    for i, label in enumerate(labels):
        x, y = (np.asarray(source.data.get(f"{key}{i}", []), float) for key in ("x", "smooth"))
        kept = np.flatnonzero(np.isfinite(y))
        if len(kept):
            for key, end in zip(ends, (x[kept[-1]], y[kept[-1]], label, colour(i)), strict=True):
                ends[key].append(end)
    return LabelSet(
        x="x", y="y", text="text", text_color="color", source=ColumnDataSource(ends, name="ends"),
        x_offset=-2, y_offset=8, text_align="right", text_baseline="middle", text_font_size=SIZE,
        background_fill_alpha=0.7, name="end_labels",
    )  # fmt: skip


def _legend(items: list[LegendItem]) -> Legend:
    return Legend(
        items=items, click_policy="mute", label_text_font_size=SIZE, spacing=0, glyph_width=14,
        border_line_color=None, background_fill_color=None,
    )  # fmt: skip
