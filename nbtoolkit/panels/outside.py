"""Where lines lie outside the frame: a triangle at its edge, so that what has diverged is seen to have done so."""

from typing import Any

import numpy as np
from bokeh.models import HoverTool

from nbtoolkit.analysis.robust import since
from nbtoolkit.panels.family import shades
from nbtoolkit.panels.grid_axis import GridAxis
from nbtoolkit.panels.look import named

INSIDE = 0.02  # of the frame, so that all of a triangle is seen
SIDES = {"above": "triangle", "below": "inverted_triangle"}


def mark_outside(plot: Any, data: Any, axis: GridAxis, scale: str, *, each: bool) -> list[str]:
    """Draw the triangles; in words how many there are above and below, nothing for none.

    Args:
        plot: has its ranges.
        data: columns ``x{i}`` and ``y{i}``; infinite values are outside too.
        axis: tells the lines apart.
        scale: of the y axis.
        each: whether each point outside is marked, or of each line the place where it leaves the frame for good.
    """
    forth, back = (np.log, np.exp) if scale == "log" else (np.asarray, np.asarray)
    low, high = float(forth(plot.y_range.start)), float(forth(plot.y_range.end))
    marks: dict[str, list[Any]] = {"x": [], "y": [], "ink": [], "marker": [], "value": []}
    told: list[str] = []
    for i, ink in enumerate(shades(axis)):
        x, y = (np.asarray(data[f"{key}{i}"], float) for key in ("x", "y"))
        known = np.isfinite(x) & ~np.isnan(y) & ((y > 0) | (scale != "log"))
        x, y = x[known], y[known]
        height = forth(y)
        outside = (height > high) | (height < low)
        last = since(outside)
        for k in np.flatnonzero(outside) if each else range(last, min(last + 1, len(x))):
            side = "above" if height[k] > high else "below"
            edge = high if side == "above" else low
            share = 1.0
            if not each and k > 0 and np.isfinite(height[k]):
                share = (edge - height[k - 1]) / (height[k] - height[k - 1])
            inwards = INSIDE * (high - low) * (-1 if side == "above" else 1)
            place = float(x[k] if share == 1.0 else x[k - 1] + share * (x[k] - x[k - 1]))
            values = (place, float(back(edge + inwards)), ink, SIDES[side], str(y[k]) if each else "")
            for key, value in zip(marks, values, strict=True):
                marks[key].append(value)
            told.append(side)
    drawn = plot.scatter(
        "x", "y", source=named("outside", marks), marker="marker", size=8, fill_color="ink", line_color=None
    )
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("outside the frame", "@value")]))
    return [f"{told.count(side)} {side} the frame" for side in SIDES if side in told]
