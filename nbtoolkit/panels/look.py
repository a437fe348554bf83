"""The look: colours, sizes and the bare figure that all panels start from.

Colours of text, axes and grid are left to the page, which knows whether it is light or dark; what is
set here suits paper.
"""

from collections.abc import Mapping
from typing import Any

from bokeh.models import BoxZoomTool, ColumnDataSource, NoOverlap, PanTool, Range1d, ResetTool, WheelZoomTool
from bokeh.plotting import figure

# Okabe & Ito (2008), "Color universal design"; yellow last, it is faint on white.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#777777", "#C8B900")
DASHES = ("solid", "dashed", "dotted", "dashdot")
FIELD = "Viridis256"

HEIGHT = 200
TALL = 440  # of what is as high as wide; it takes two rows of a Board
GUTTER = 64  # left of the frame, so that the frames of all panels begin at the same place
INK = "#424242"
FAINT = "#E6E6E6"
MARK = "#D55E00"  # of the newest point on a field
FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
SIZE = "11px"
DIRECT_LABELS = 5
LEGEND = 9  # lines that have room beside a frame

SMOOTHING = 0.9
DRAWN = 1000


def colour(index: int) -> str:
    """Colour of the category ``index``; the eight repeat, see `dash`."""
    return PALETTE[index % len(PALETTE)]


def dash(index: int) -> str:
    """How the line of the category ``index`` is drawn, which tells those of one colour apart."""
    return DASHES[index // len(PALETTE) % len(DASHES)]


def in_legend(count: int) -> tuple[int, str]:
    """How many of ``count`` curves are named in a legend, and what is said of the others."""
    named = count if count <= LEGEND else LEGEND - 1
    return named, f"and {count - named} more" if named < count else ""


def unit_label(attrs: Mapping[str, Any]) -> str:
    """Units as written on an axis: nothing for a pure number."""
    units = str(attrs.get("units", ""))
    return "" if units == "1" else units


def named(name: str, data: Mapping[str, Any]) -> ColumnDataSource:
    """Columns found again by their name."""
    return ColumnDataSource(dict(data), name=name)


def axis_range(name: str, start: float, end: float) -> Range1d:
    """An axis that keeps its ends until told otherwise, found again by its name."""
    return Range1d(start=start, end=end, name=name)


def blank_figure(x_label: str, y_label: str, scale: str, *, height: int = HEIGHT, **settings: Any) -> Any:
    """A figure with nothing in it: axes, a quiet grid, tools without a toolbar."""
    plot: Any = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="",
        toolbar_location=None,
        x_axis_label=x_label,
        y_axis_label=y_label,
        y_axis_type="log" if scale == "log" else "linear",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_top=6,
        min_border_bottom=4,
        min_border_left=GUTTER,
        **settings,
    )
    # Dragging draws a zoom box; the wheel is left to the page, which has to scroll.
    zoom = BoxZoomTool()
    plot.add_tools(zoom, PanTool(), WheelZoomTool(), ResetTool())
    plot.toolbar.active_drag = zoom
    plot.toolbar.active_scroll = None
    plot.yaxis.name = "y_axis"
    _quiet(plot)
    return plot


def _quiet(plot: Any) -> None:
    for axis in plot.axis:
        axis.axis_line_color = None
        axis.major_label_policy = NoOverlap()
        axis.major_tick_line_color = None
        axis.minor_tick_line_color = None
        axis.major_label_text_color = INK
        axis.axis_label_text_color = INK
        axis.major_label_text_font = axis.axis_label_text_font = FONT
        axis.major_label_text_font_size = axis.axis_label_text_font_size = SIZE
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_standoff = 6
    for grid in plot.grid:
        grid.grid_line_color = FAINT
    plot.xgrid.grid_line_color = None
    plot.xaxis.ticker.update(desired_num_ticks=4, min_interval=1, name="x_ticks")
    plot.xaxis.formatter.use_scientific = False
    if hasattr(plot.yaxis.formatter, "power_limit_low"):
        plot.yaxis.formatter.power_limit_low = -6
