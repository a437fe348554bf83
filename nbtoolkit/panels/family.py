"""Lines of a family, one for each value of an axis: in ordered colours where the values are, each named at its end."""

from typing import Any

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, FixedTicker, LinearColorMapper
from bokeh.palettes import Viridis256

from nbtoolkit.analysis.seeds import mean_with_interval
from nbtoolkit.panels.bands import ends as band_ends
from nbtoolkit.panels.bands import outline, reach
from nbtoolkit.panels.end_names import name_at_ends
from nbtoolkit.panels.grid_axis import GridAxis
from nbtoolkit.panels.look import DIRECT_LABELS, FONT, INK, SIZE, colour, dash, named

SHADES = Viridis256[72:222]  # what can be told from a white page and from a dark one
FRAME = 460  # pixels, about as wide as a frame is at least
ROOM = 0.06  # above and below curves, of the axis
DOTS = 30  # up to so many points, each is marked


def shades(axis: GridAxis) -> list[str]:
    """A colour for each value: viridis along ordered values, apart where they are names."""
    if not axis.numbers:
        return [colour(i) for i in range(len(axis.places))]
    extent = float(np.ptp(axis.places)) if len(axis.places) else 0.0
    shares = (axis.places - axis.places[0]) / extent if extent else np.full(len(axis.places), 0.5)
    return [SHADES[round(float(share) * (len(SHADES) - 1))] for share in shares]


def middle(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean over seeds and half its 95 % interval, ``(points,)`` each, NaN with one seed.

    Args:
        curves: ``(seeds, points)``.
    """
    return mean_with_interval(curves)


def draw_family(plot: Any, source: ColumnDataSource, axis: GridAxis, *, scale: str, frame: float = FRAME) -> list[Any]:
    """Draw the lines ``x{i}``, ``y{i}`` of a source, with their bands; returns the renderers of the lines.

    Args:
        plot: has its ranges.
        source: its columns also hold ``error{i}``.
        axis: tells the lines apart.
        scale: of the y axis.
        frame: pixels, about as wide as the frame is at least.
    """
    lines = []
    data: Any = source.data
    for i, ink in enumerate(shades(axis)):
        x, y, error = (np.asarray(data[f"{key}{i}"], float) for key in ("x", "y", "error"))
        if np.isfinite(error).any():
            band = named(f"band{i}", outline(x, *band_ends(y, error, scale)))
            plot.patch("x", "y", source=band, fill_color=ink, fill_alpha=0.1, line_color=None)
        style = "solid" if axis.numbers else dash(i).replace("dashdot", "dotdash")
        line = plot.line(f"x{i}", f"y{i}", source=source, color=ink, width=1.9, line_dash=style)
        line.name = f"line{i}"
        if np.isfinite(y).sum() <= DOTS:
            plot.scatter(f"x{i}", f"y{i}", source=source, size=5, color=ink, line_color=None)
        lines.append(line)
    if axis.numbers and len(axis.places) > DIRECT_LABELS:
        plot.add_layout(_bar(axis), "right")
    else:
        name_at_ends(plot, data, axis, scale, frame)
    return lines


def heights(
    columns: Any, count: int, scale: str, within: tuple[float, float] | None = None
) -> tuple[float, float]:  # fmt: skip
    """Ends of the y axis: of all lines with a margin, and of their bands where these do not flatten them.

    Args:
        columns: ``y{i}`` and ``error{i}``.
        count: of the lines.
        scale: of the axis.
        within: the smallest and the largest value for which there is to be room; by default all.
    """
    y, error = (
        np.concatenate([np.empty(0), *(np.asarray(columns[f"{key}{i}"], float) for i in range(count))])
        for key in ("y", "error")
    )
    least, most = within or (-np.inf, np.inf)
    shown = np.isfinite(y) & ((y > 0) | (scale != "log")) & (y >= least) & (y <= most)
    y, error = y[shown], error[shown]
    if not len(y):
        return (1e-3, 1.0) if scale == "log" else (0.0, 1.0)
    low, high = (np.log(y.min()), np.log(y.max())) if scale == "log" else (y.min(), y.max())
    room = ROOM * (high - low) or abs(low) * 0.05 or 0.5
    low, high = low - room, high + room
    ends = (float(np.exp(low)), float(np.exp(high))) if scale == "log" else (float(low), float(high))
    lower, upper = y - np.nan_to_num(error), y + np.nan_to_num(error)
    lower = lower[(lower > y / 2) | (scale != "log")]  # a band that comes near 0 has no end on such an axis
    return reach(ends, (float(lower.min()) if lower.size else ends[0], float(upper.max())), scale)


def _bar(axis: GridAxis) -> ColorBar:
    low, high = float(axis.places[0]), float(axis.places[-1])
    mapper = LinearColorMapper(palette=list(SHADES), low=low, high=high, name="colours")
    every = max(1, -(-len(axis.places) // 6))
    told: Any = {float(axis.places[i]): axis.written[i] for i in range(0, len(axis.places), every)}
    made = ColorBar(
        color_mapper=mapper, width=8, padding=4, label_standoff=4, bar_line_color=None, major_tick_line_color=None,
        ticker=FixedTicker(ticks=list(told)), title=axis.name, title_text_font=FONT,
        title_text_font_size=SIZE, title_text_font_style="normal", title_text_color=INK, title_standoff=4,
        major_label_text_color=INK, major_label_text_font=FONT, major_label_text_font_size=SIZE,
        background_fill_color=None, border_line_color=None, name="bar",
    )  # fmt: skip
    made.major_label_overrides = told
    return made
