"""Values along a line at one step: between two models, through one, over the kept copies or a training on the side."""

from itertools import pairwise
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, LabelSet

from nbtoolkit.panels.copies import STEPS, main, steps_of
from nbtoolkit.panels.look import SIZE, axis_range, blank_figure, colour, named, unit_label
from nbtoolkit.panels.plane import ALIKE, row
from nbtoolkit.panels.relief import SIGNS

MARGIN = 0.02
LETTER = 0.015  # width of a letter, of the frame
LINE = 0.085  # height of a line of words, of the frame
HEADROOM = 0.12  # for the words at a barrier
NOTE = "Between 0 and 1, the thin straight line joins both ends; the barrier is the largest height above it."
COPY_LABEL, STEP_LABEL = "copy", "step of the copy"
PLACES = {"alpha": SIGNS[0], "probe_step": "step of the probe"}  # dims whose labels are numbers, and their names


def columns(ds: Any) -> dict[str, Any]:
    """The numbers drawn, of the last step that has any: for the line ``i`` of `names` its ``x{i}`` and ``y{i}``.

    Between two models (alpha from 0 to 1) also ``chord{i}``, the straight line between both ends. Shorter columns end
    in NaN.

    Args:
        ds: variables with the dims step and alpha, probe_step or snapshot.
    """
    last = max((row(ds[[name]]) for name in main(ds)), default=-1)
    parts: dict[str, np.ndarray] = {}
    for i, name in enumerate(main(ds)):
        x, y = line(ds, name, last)
        parts |= {f"x{i}": x, f"y{i}": y, f"chord{i}": chord(ds, x, y)}
    longest = max(map(len, parts.values()), default=0)
    return {key: np.append(values, np.full(longest - len(values), np.nan)) for key, values in parts.items()}


def line(ds: Any, name: str, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates, ascending, and values of one variable in one row; what was not measured is left out."""
    if last < 0:
        return np.empty(0), np.empty(0)
    y = ds[name].values[last]
    dim = ds[name].dims[1]
    x = ds[dim].values.astype(float) if dim in PLACES else steps_of(ds, last)
    kept = np.flatnonzero(~np.isnan(y) & np.isfinite(x))
    kept = kept[np.argsort(x[kept], kind="stable")]
    return x[kept], y[kept]


def chord(ds: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The straight line between both ends of a path from one model (0) to another (1); empty for other lines."""
    if "alpha" not in ds.dims or len(x) < 2 or max(abs(x[0]), abs(x[-1] - 1)) > ALIKE:
        return np.empty(0)
    if not np.isfinite(y[[0, -1]]).all():
        return np.empty(0)
    return (1 - x) * y[0] + x * y[-1]


def barrier(x: np.ndarray, y: np.ndarray, straight: np.ndarray) -> dict[str, float] | None:
    """The largest height above the chord, ``value``, and where it is: ``x``, from ``foot`` to ``head``."""
    heights = np.where(np.isfinite(y), y, np.nan)[: len(straight)] - straight
    if not len(straight) or np.isnan(heights).all():
        return None
    at = int(np.nanargmax(heights))
    return {"x": float(x[at]), "foot": float(straight[at]), "head": float(y[at]), "value": float(heights[at])}


def names(ds: Any) -> list[str]:
    """The name of each line."""
    return [str(ds[name].attrs.get("long_name", name)) for name in main(ds)]


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """Lines with a dot at every sample, the chord and the barrier of each marked, several lines named.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: variables with the dims step and alpha, probe_step or snapshot, and the same units.
        scale: of the y axis; by default what the first variable declares.
    """
    attrs = ds[main(ds)[0]].attrs
    scale = str(scale or attrs.get("scale", "linear"))
    data: Any = source.data
    x_ends = span(ds, scale, "x")
    plot = blank_figure(
        x_label(ds), unit_label(attrs), scale, name="plot", min_border_right=12,
        x_range=axis_range("x_range", *x_ends), y_range=axis_range("y_range", *span(ds, scale, "y")),
    )  # fmt: skip
    plot.xaxis.name = "x_axis"
    plot.xaxis.ticker.min_interval = 0 if "alpha" in ds.dims else 1
    for i in range(len(names(ds))):
        ink = {"color": colour(i)}
        thin = plot.line(f"x{i}", f"chord{i}", source=source, width=1, alpha=0.45, **ink)
        strong = plot.line(f"x{i}", f"y{i}", source=source, width=1.7, **ink)
        dots = plot.scatter(f"x{i}", f"y{i}", source=source, size=4.5, line_color=None, **ink)
        for renderer in (thin, strong, dots):
            renderer.glyph.name = f"curve:{colour(i)}"
    marked = named("marks", marks(ds, data, scale))
    plot.segment("x", "foot", "x", "head", source=marked, line_color="color", line_width=1.5)
    plot.add_layout(LabelSet(
        x="left", y="at", text="text", text_color="color", source=marked, y_offset=9, text_baseline="middle",
        text_align="center" if "alpha" in ds.dims else "right", text_font_size=SIZE, background_fill_alpha=0.7,
        name="end_labels",
    ))  # fmt: skip
    return plot


def marks(ds: Any, drawn: Any, scale: str) -> dict[str, list[Any]]:
    """Words on the lines: the heights of barriers, each a stroke at ``x`` from ``foot`` to ``head``, and names.

    The words stand at ``left`` and ``at`` the head, moved upwards as far as they would overlap and inwards as far as
    they would leave the frame.

    Args:
        ds: the variables.
        drawn: as `columns` gives it.
        scale: of the y axis.
    """
    height, back = (np.log, np.exp) if scale == "log" else (float, float)
    low, high = (height(end) for end in span(ds, scale, "y"))
    labels, found = names(ds), []
    for i, label in enumerate(labels):
        x, y, straight = (np.asarray(drawn[f"{key}{i}"], float) for key in ("x", "y", "chord"))
        mark = _mark(x, y, straight[np.isfinite(straight)], label if len(labels) > 1 else "")
        if mark and mark["text"] and np.isfinite(height(mark["head"])):
            left = _inside(mark["x"], mark["text"], span(ds, scale, "x")) if "alpha" in ds.dims else mark["x"]
            found.append({**mark, "left": left, "at": height(mark["head"]), "color": colour(i)})
    found.sort(key=lambda mark: mark["at"])
    for below, mark in pairwise(found):
        mark["at"] = max(mark["at"], below["at"] + LINE * (high - low))
    keys = ("x", "foot", "head", "left", "at", "text", "color")
    return {key: [float(back(m[key])) if key == "at" else m[key] for m in found] for key in keys}


def _inside(x: float, text: str, ends: tuple[float, float]) -> float:
    """The middle of a text that is to be at ``x``, so far from both ends of the axis that it is not cut."""
    half = min(0.5, 0.5 * LETTER * len(text)) * (ends[1] - ends[0])
    return min(max(x, ends[0] + half), ends[1] - half)


def _mark(x: np.ndarray, y: np.ndarray, straight: np.ndarray, label: str) -> dict[str, Any] | None:
    """What is written at a line and where: the height of its barrier, else its name at its last sample."""
    kept = np.flatnonzero(np.isfinite(y) & np.isfinite(x))
    if not len(kept):
        return None
    highest = barrier(x, y, straight)
    if highest:
        return {**highest, "text": f"{label} barrier {highest['value']:.3g}".strip()}
    end = {"x": float(x[kept[-1]]), "foot": float(y[kept[-1]]), "head": float(y[kept[-1]])}
    return {**end, "text": label}


def x_label(ds: Any) -> str:
    """What lies to the right."""
    known = [label for dim, label in PLACES.items() if dim in ds.dims]
    return known[0] if known else STEP_LABEL if STEPS in ds.data_vars else COPY_LABEL


def span(ds: Any, scale: str, axis: str) -> tuple[float, float]:
    """Ends of an axis, the same for all steps."""
    found = [line(ds, name, i) for name in main(ds) for i in range(ds.sizes["step"])]
    values = np.concatenate([pair[0 if axis == "x" else 1] for pair in found] or [np.empty(0)])
    log = scale == "log" and axis == "y"
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values):
        return (1e-3, 1.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if axis == "x":
        margin = MARGIN * (high - low) or 0.5
        return low - margin, high + margin
    if log:
        factor = max((high / low) ** 0.05, 1.05)
        return low / factor, high * factor * (high / low) ** HEADROOM
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin + HEADROOM * (high - low)
