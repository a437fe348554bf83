"""Lines of a family, one for each value of an axis: in ordered colours where the values are, each named at its end."""

from typing import Any

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, FixedTicker, LinearColorMapper
from bokeh.palettes import Viridis256

from nbtoolkit.analysis.seeds import mean_with_interval
from nbtoolkit.panels.bands import ends as band_ends
from nbtoolkit.panels.bands import outline
from nbtoolkit.panels.grid_axis import GridAxis
from nbtoolkit.panels.look import DIRECT_LABELS, FONT, INK, SIZE, colour, dash, named

SHADES = Viridis256[72:222]  # what can be told from a white page and from a dark one
LABEL = 0.075  # height of a line of words, of a frame
LETTER, FRAME = 6.5, 460  # pixels: of a letter, and about as wide as a frame is at least
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
        _name_at_ends(plot, data, axis, scale, frame)
    return lines


def heights(columns: Any, count: int, scale: str) -> tuple[float, float]:
    """Ends of the y axis: of all lines with a margin, and of their bands as far as these are on it."""
    every = [np.asarray(columns[f"y{i}"], float) for i in range(count)]
    known = np.concatenate([np.empty(0), *every])
    known = known[np.isfinite(known) & ((known > 0) | (scale != "log"))]
    if not len(known):
        return (1e-3, 1.0) if scale == "log" else (0.0, 1.0)
    low, high = (np.log(known.min()), np.log(known.max())) if scale == "log" else (known.min(), known.max())
    room = ROOM * (high - low) or abs(low) * 0.05 or 0.5
    low, high = low - room, high + room
    return (float(np.exp(low)), float(np.exp(high))) if scale == "log" else (float(low), float(high))


def apart(heights: Any, gap: float) -> np.ndarray:
    """Heights moved so that none is nearer to the next than ``gap``, each as little as that takes."""
    wanted = np.asarray(heights, float)
    order = np.argsort(wanted, kind="stable")
    blocks: list[list[float]] = []  # [sum of (height - place in the block), number]
    for height in wanted[order]:
        blocks.append([height, 1])
        while len(blocks) > 1 and _last(blocks[-2], gap) + gap > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            before = blocks[-1]
            before[0] += total - count * before[1] * gap
            before[1] += count
    placed = [total / count + k * gap for total, count in blocks for k in range(int(count))]
    found = np.empty(len(wanted))
    found[order] = placed
    return found


def _last(block: list[float], gap: float) -> float:
    """Height of the uppermost of a block."""
    return block[0] / block[1] + (block[1] - 1) * gap


def _name_at_ends(plot: Any, data: Any, axis: GridAxis, scale: str, frame: float) -> None:
    """Write what a line is to the right of its last point, no two over each other."""
    told: dict[str, list[Any]] = {"x": [], "y": [], "text": []}
    for i, word in enumerate(axis.written):
        x, y = (np.asarray(data[f"{key}{i}"], float) for key in ("x", "y"))
        known = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & ((y > 0) | (scale != "log")))
        if len(known):
            for key, one in zip(told, (x[known[-1]], y[known[-1]], word), strict=True):
                told[key].append(one)
    if not told["x"]:
        return
    forth, back = (np.log, np.exp) if scale == "log" else (np.asarray, np.asarray)
    low, high = forth(plot.y_range.start), forth(plot.y_range.end)
    told["y"] = back(apart(forth(np.array(told["y"])), LABEL * float(high - low))).tolist()
    right = max(told["x"])
    told["x"] = [right] * len(told["x"])
    top = int(np.argmax(told["y"])) if axis.numbers else None  # the highest says what the numbers are
    words = [f"{axis.name} {text}" if k == top else text for k, text in enumerate(told["text"])]
    plot.text(
        "x",
        "y",
        text="text",
        source=named("ends", {**told, "text": words}),
        text_color=INK,
        x_offset=7,
        text_baseline="middle",
        text_font_size=SIZE,
        text_font={"value": FONT},
    ).glyph.name = "words"  # takes the page's colour
    longest = max(len(word) for word in words)
    width = float(plot.x_range.end - plot.x_range.start)
    share = min(0.45, (LETTER * longest + 14) / frame)
    plot.x_range.end = max(plot.x_range.end, right + share * width / (1 - share))


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
