"""The names of lines, each at the last point of its line, no two over each other."""

from typing import Any

import numpy as np

from nbtoolkit.panels.grid_axis import GridAxis
from nbtoolkit.panels.look import FONT, INK, SIZE, named

LABEL = 0.075  # height of a line of words, of a frame
LETTER, OFFSET = 6.5, 7  # pixels: of a letter, and from the point to its name
SIDE = 0.01  # of the axis: lines that end so near the last of all end there too
AROUND = 4  # lines of words above and below its point in which a name is put
SAMPLES = 17  # of a line behind a name


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


def name_at_ends(plot: Any, data: Any, axis: GridAxis, scale: str, frame: float) -> None:
    """Write what a line is to the right of its last point, or of where it leaves the frame for good.

    Names of lines that end earlier than others stand where the fewest lines run behind them.

    Args:
        plot: has its ranges; the one to the right is made longer for the names.
        data: columns ``x{i}`` and ``y{i}``.
        axis: has the names.
        scale: of the y axis.
        frame: pixels, about as wide as the frame is.
    """
    forth, back = (np.log, np.exp) if scale == "log" else (np.asarray, np.asarray)
    low, high = float(forth(plot.y_range.start)), float(forth(plot.y_range.end))
    lines: list[tuple[np.ndarray, np.ndarray]] = []
    words: list[str] = []
    for i, word in enumerate(axis.written):
        x, y = (np.asarray(data[f"{key}{i}"], float) for key in ("x", "y"))
        known = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (scale != "log"))
        if known.any():
            lines.append((x[known], forth(y[known])))
            words.append(word)
    if not lines:
        return
    x, height = np.array([_end(*line, low, high) for line in lines]).T
    start, width = float(plot.x_range.start), float(plot.x_range.end - plot.x_range.start)
    right = x >= x.max() - SIDE * width
    if axis.numbers:  # the highest beside the frame says what the numbers are
        top = int(np.where(right, height, -np.inf).argmax())
        words[top] = f"{axis.name} {words[top]}"
    wide = np.minimum(0.45, (LETTER * np.array([len(word) for word in words]) + 2 * OFFSET) / frame)
    plot.x_range.end = max(plot.x_range.end, float((x + wide * width / (1 - wide)).max()))
    gap = LABEL * (high - low)
    height[right] = apart(height[right], gap)
    for k in np.flatnonzero(~right):
        to = x[k] + wide[k] * (plot.x_range.end - start)
        others = [(x[n], height[n]) for n in range(len(x)) if n < k or right[n]]
        height[k] = _free(height[k], (x[k], to), lines, others, gap, (low, high))
    plot.text(
        "x", "y", text="text", source=named("ends", {"x": x, "y": back(height), "text": words}), text_color=INK,
        x_offset=OFFSET, text_baseline="middle", text_font_size=SIZE, text_font={"value": FONT},
    ).glyph.name = "words"  # takes the page's colour  # fmt: skip


def _end(x: np.ndarray, height: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """The last point of a line, or where it goes through the edge of the frame for the last time."""
    inside = np.flatnonzero((height >= low) & (height <= high))
    at = inside[-1] if len(inside) else len(x) - 1
    if at == len(x) - 1:
        return float(x[at]), float(np.clip(height[at], low, high))
    edge = high if height[at + 1] > high else low
    share = (edge - height[at]) / (height[at + 1] - height[at])
    return float(x[at] + share * (x[at + 1] - x[at])), edge


def _free(
    height: float, span: tuple[float, float], lines: list[Any], others: list[Any], gap: float, ends: tuple[float, float]
) -> float:  # fmt: skip
    """The height nearest to this one at which the fewest lines and names lie behind a name."""
    places = np.linspace(*span, SAMPLES)
    behind = np.concatenate([np.interp(places, *line, left=np.nan, right=np.nan) for line in lines])
    taken = [other for x, other in others if abs(x - span[0]) <= span[1] - span[0]]
    steps = sorted(np.arange(-2 * AROUND, 2 * AROUND + 1) / 2, key=abs)
    tried = np.clip([height + gap * step for step in steps], ends[0] + gap / 2, ends[1] - gap / 2)
    hidden = [
        np.sum(np.abs(behind - one) < 0.55 * gap) + SAMPLES * sum(abs(other - one) < gap for other in taken)
        for one in tried
    ]
    return float(tried[int(np.argmin(hidden))])


def _last(block: list[float], gap: float) -> float:
    """Height of the uppermost of a block."""
    return block[0] / block[1] + (block[1] - 1) * gap
