"""Curves over the step: scalars, and what has a few labels (parameter groups, loss terms)."""

import math
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, LabelSet, Legend, LegendItem

from nbtoolkit.analysis.curves import minmax, smooth
from nbtoolkit.panels import bands
from nbtoolkit.panels.look import (
    DIRECT_LABELS,
    DRAWN,
    INK,
    SIZE,
    SMOOTHING,
    axis_range,
    blank_figure,
    colour,
    dash,
    in_legend,
    unit_label,
)

DOTS = 40  # up to so many samples, each is marked: a single one has no line
BAND = ("low", "high")
SHARP = {"group", "task_evaluated"}  # dims of what is drawn as it is
LETTERS = 40  # of a name at the end of a curve
PLENTY = 200  # from so many samples on, an average over ten follows the curve instead of lagging behind it


def columns(ds: Any, *, scale: str | None = None) -> dict[str, Any]:
    """The numbers drawn: for the curve ``i`` of `names` its ``x{i}``, ``y{i}``, ``smooth{i}`` and ``dot{i}``.

    ``dot`` repeats the samples of short curves and is NaN in long ones. A curve whose error is in ``ds`` has the
    ends ``low{i}`` and ``high{i}`` of its band. The line that curves are read against is ``line`` over ``line_x``.
    Columns are cut to the same length as the longest by NaN at their end.

    Args:
        ds: variables with the same dims and units, with their errors and their line.
        scale: of the y axis; by default what the first variable declares.
    """
    scale = _scale(ds, scale)
    parts, samples = [], _samples(ds)
    plenty = any(len(y) >= PLENTY for _, _, y, _ in samples)
    for i, (name, x, y, error) in enumerate(samples):
        curve = _curve(x, y, error, SMOOTHING if plenty and is_smoothed(ds, name) else 0.0, scale)
        parts.append({f"{key}{i}": values for key, values in curve.items()})
    line = bands.line_of(ds)
    if line:
        parts.append(_line(ds["step"].values.astype(float), line[1]))
    longest = max((len(values) for part in parts for values in part.values()), default=0)
    return {key: _padded(values, longest) for part in parts for key, values in part.items()}


def names(ds: Any) -> list[str]:
    """A label for each curve: of its variable if there are several, of its place along the dim if there is one."""
    variables = bands.drawn(ds)
    labels = []
    for name, variable in variables.items():
        title = variable.attrs.get("long_name", name)
        dims = [dim for dim in variable.dims if dim != "step"]
        if not dims:
            labels.append(title)
            continue
        places = [_place(dims[0], label) for label in ds[dims[0]].values]
        labels += [f"{title} {place}" if len(variables) > 1 else place for place in places]
    return labels


def _place(dim: str, label: Any) -> str:
    """A label in words: a number says too little by itself."""
    return label if isinstance(label, str) else f"{dim.replace('_', ' ')} {label:g}"


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """Lines over the step: each faint as measured and strong as smoothed, named at its end.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: variables with the same dims and units.
        scale: of the y axis; by default what the first variable declares.
    """
    first = next(iter(bands.drawn(ds).values()))
    labels, line, scale = names(ds), bands.line_of(ds), _scale(ds, scale)
    count = len(labels)
    plot = blank_figure(
        "step", unit_label(first.attrs), scale, name="plot",
        x_range=axis_range("x_range", *_span(source.data, "x", count, "linear")),
        y_range=axis_range("y_range", *heights(source.data, count, scale)),
        min_border_right=12,
    )  # fmt: skip
    items = []
    for i, label in enumerate(labels):
        ink, dashes = {"color": colour(i)}, {"line_dash": dash(i).replace("dashdot", "dotdash")}
        parts = _band(plot, source, i)
        raw = plot.line(f"x{i}", f"y{i}", source=source, alpha=0.28, width=1, muted_alpha=0.05, **ink, **dashes)
        strong = plot.line(f"x{i}", f"smooth{i}", source=source, width=1.7, muted_alpha=0.1, **ink, **dashes)
        dots = plot.scatter(f"x{i}", f"dot{i}", source=source, size=4.5, muted_alpha=0.1, line_color=None, **ink)
        parts += [raw, strong, dots]
        for renderer in parts:
            renderer.glyph.name = renderer.muted_glyph.name = f"curve:{colour(i)}"  # found again to suit dark pages
        items.append(LegendItem(label=value(label), renderers=[strong, *parts], name=f"legend{i}"))
    if line:
        dashed = plot.line("line_x", "line", source=source, color=INK, width=1.2, line_dash="dashed", alpha=0.8)
        dashed.glyph.name = "ink"
    direct = labels if 1 < count <= DIRECT_LABELS else []
    if direct or line:
        plot.add_layout(_end_labels(source, direct, line[0] if line else None, plot.y_range))
    if count > DIRECT_LABELS:
        named, others = in_legend(count)
        rest = [LegendItem(label=value(others), name="others")] if others else []
        plot.add_layout(_legend([*items[:named], *rest]), "right")
    return plot


def heights(drawn: Any, count: int, scale: str) -> tuple[float, float]:
    """Ends of the y axis: of the curves with a margin, and of bands and line where they are near.

    Args:
        drawn: as `columns` gives it.
        count: of the curves.
        scale: of the axis.
    """
    wanted = [drawn.get(key, []) for key in ("line", *(f"{end}{i}" for i in range(count) for end in BAND))]
    return bands.reach(_span(drawn, "y", count, scale), _extremes(wanted), scale)


def is_smoothed(ds: Any, name: str) -> bool:
    """Whether a variable is noisy by nature: not so the settings of parameter groups, nor what users log.

    What is told of several tasks jumps where another begins; an average would hide that.
    """
    return not SHARP & set(ds[name].dims) and ds.attrs.get("reference") != "run.log"


def _scale(ds: Any, scale: str | None) -> str:
    first = next(iter(bands.drawn(ds).values()))
    return str(scale or first.attrs.get("scale", "linear"))


def _samples(ds: Any) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Name, steps, values and errors of each curve."""
    steps = ds["step"].values.astype(float)
    curves = []
    for name, variable in bands.drawn(ds).items():
        shape = len(steps), math.prod(variable.shape[1:])
        error = bands.error_of(ds, name)
        errors = [None] * shape[1] if error is None else error.values.reshape(shape).T
        for y, e in zip(variable.values.reshape(shape).T, errors, strict=True):
            own = ~np.isnan(y) if "run" in variable.dims else slice(None)  # the steps of the others are none of a run
            curves.append((name, steps[own], y[own], None if e is None else e[own]))
    return curves


def _curve(x: np.ndarray, y: np.ndarray, error: np.ndarray | None, weight: float, scale: str) -> dict[str, np.ndarray]:
    kept = minmax(x, y, DRAWN)
    dots = y[kept] if len(y) <= DOTS else np.full(len(kept), np.nan)
    curve = {"x": x[kept], "y": y[kept], "smooth": smooth(y, weight)[kept], "dot": dots}
    return curve if error is None else curve | dict(zip(BAND, bands.ends(y[kept], error[kept], scale), strict=True))


def _line(steps: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """A line over its steps; what has one value only goes across the frame."""
    known = np.unique(values[np.isfinite(values)])
    if len(known) == 1:
        return {"line_x": np.array([steps[0], max(steps[-1], steps[0] + 1)]), "line": np.repeat(known, 2)}
    kept = minmax(steps, values, DRAWN)
    return {"line_x": steps[kept], "line": values[kept]}


def _band(plot: Any, source: ColumnDataSource, i: int) -> list[Any]:
    """The band of a curve that has one."""
    data: Any = source.data
    if f"low{i}" not in data:
        return []
    path = bands.outline(*(data[f"{key}{i}"] for key in ("x", *BAND)))
    area = plot.patch(
        "x", "y", source=ColumnDataSource(path, name=f"band{i}"), color=colour(i), fill_alpha=0.16, line_alpha=0.16,
        muted_alpha=0.03,
    )  # fmt: skip
    return [area]


def _extremes(columns: list[Any]) -> list[float]:
    """The smallest and the largest of each column."""
    finite = [values[np.isfinite(values)] for values in (np.asarray(column, float) for column in columns)]
    return [float(end) for values in finite if len(values) for end in (values.min(), values.max())]


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([values, np.full(length - len(values), np.nan)])


def _span(drawn: Any, axis: str, curves: int, scale: str) -> tuple[float, float]:
    """Ends of an axis: of the samples, with a margin on y."""
    values = np.concatenate([np.asarray(drawn.get(f"{axis}{i}", []), float) for i in range(curves)] or [[]])
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


def _end_labels(source: ColumnDataSource, labels: list[str], line: str | None, y_range: Any) -> LabelSet:
    """The names of curves and line, each just above its last sample; Bokeh clips what is written beside the frame."""
    ends: dict[str, Any] = {"x": [], "y": [], "text": [], "color": []}
    named = [(f"x{i}", f"smooth{i}", cut(label, LETTERS), colour(i)) for i, label in enumerate(labels)]
    if line:
        named.append(("line_x", "line", line, INK))
    for x_key, y_key, label, ink in named:
        x, y = (np.asarray(source.data.get(key, []), float) for key in (x_key, y_key))
        kept = np.flatnonzero(np.isfinite(y))
        if len(kept) and y_range.start <= y[kept[-1]] <= y_range.end:
            for key, end in zip(ends, (x[kept[-1]], y[kept[-1]], label, ink), strict=True):
                ends[key].append(end)
    return LabelSet(
        x="x", y="y", text="text", text_color="color", source=ColumnDataSource(ends, name="ends"),
        x_offset=-2, y_offset=8, text_align="right", text_baseline="middle", text_font_size=SIZE,
        background_fill_alpha=0.7, name="end_labels",
    )  # fmt: skip


def cut(text: str, letters: int) -> str:
    """Words with an ellipsis for what has no room."""
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def _legend(items: list[LegendItem]) -> Legend:
    return Legend(
        items=items, click_policy="mute", label_text_font_size=SIZE, spacing=0, glyph_width=14,
        border_line_color=None, background_fill_color=None,
    )  # fmt: skip
