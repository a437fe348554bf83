"""A field over a plane of parameters at one step: every sample a cell around its own point, isolines, the path."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource

from nbtoolkit.panels.colours import bar, colours
from nbtoolkit.panels.heatmap import limits
from nbtoolkit.panels.isolines import isolines, levels
from nbtoolkit.panels.look import FONT, MARK, SIZE, TALL, axis_range, blank_figure, named, unit_label
from nbtoolkit.panels.plane import ALIKE, NOTHING, Plane, complete, frame, infinite, plane, raster, row
from nbtoolkit.panels.relief import SIGNS

SCALE = "log"
AXES = ("alpha", "beta")
AXIS_LABELS = (f"{SIGNS[0]}, in units of the first direction", f"{SIGNS[1]}, in units of the second direction")
NOTE = (
    "Every cell is one evaluation at the point in its middle; nothing is interpolated or smoothed. Isolines cross the "
    "squares between the points. Hatched: not finite. Blank: NaN or not evaluated."
)


def columns(ds: Any, *, scale: str = SCALE) -> dict[str, Any]:
    """The numbers drawn, of the last step that has any: an image ``(1, rows, columns)``, beta upwards, and its frame.

    Args:
        ds: a variable with the dims step, alpha and beta, and its path.
        scale: of the colours; on a log scale what is not positive is blank.
    """
    shown = drawn(ds)
    labels = [ds[dim].values.astype(float) for dim in AXES]
    image = raster(shown, *labels)
    blank = ~np.isfinite(image) | ((image <= 0) if scale == "log" else False)
    (left, right), (bottom, top) = frames(ds, shown)
    sizes = {"x": left, "y": bottom, "dw": right - left, "dh": top - bottom}
    return {"image": np.where(blank, np.nan, image)[None], **{key: np.array([size]) for key, size in sizes.items()}}


def names(ds: Any) -> list[str]:
    """What the variable is."""
    return [variable.attrs.get("long_name", name) for name, variable in list(ds.data_vars.items())[:1]]


def drawn(ds: Any) -> Plane:
    """The samples of the last step that has any."""
    last = row(ds)
    if last < 0:
        return Plane(np.empty(0), np.empty(0), np.empty((0, 0)))
    return plane(next(iter(ds.data_vars.values())).isel(step=last))


def frames(ds: Any, shown: Plane) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ends of both axes."""
    x, y = (frame(kept, ds[dim].values.astype(float)) for kept, dim in zip((shown.x, shown.y), AXES, strict=True))
    return x, y


def path(ds: Any) -> np.ndarray:
    """The points ``(copies, 2)`` of the path drawn on the plane, the oldest first; none where there is no path."""
    name = next(iter(ds.data_vars.values())).attrs.get("path", "")
    last = row(ds)
    if name not in ds.data_vars or last < 0 or ds.sizes["pc"] < 2:
        return np.empty((0, 2))
    points = ds[name].isel(step=last).transpose("snapshot", "pc").values[:, :2]
    return points[np.isfinite(points).all(axis=1)]


def centre(shown: Plane) -> float | None:
    """The sample at (0, 0), if there is one."""
    if not shown.values.size:
        return None
    j, i = (np.flatnonzero(np.abs(points) <= ALIKE * np.ptp(points)) for points in (shown.y, shown.x))
    return float(shown.values[j[0], i[0]]) if len(i) and len(j) else None


def default_scale(ds: Any) -> str:
    """Logarithmic where every value is positive."""
    values = next(iter(ds.data_vars.values())).values
    return "log" if (values[np.isfinite(values)] > 0).all() else "linear"


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """The plane in viridis with its isolines, the centre and its value, and the path with its newest point.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: a variable with the dims step, alpha and beta, and its path.
        scale: of the colours; by default logarithmic where every value is positive.
    """
    variable = next(iter(ds.data_vars.values()))
    scale = str(scale or default_scale(ds))
    shown = drawn(ds)
    x_ends, y_ends = frames(ds, shown) if shown.values.size else (NOTHING, NOTHING)
    plot = blank_figure(
        AXIS_LABELS[0], AXIS_LABELS[1], "linear", name="plot", height=TALL,
        x_range=axis_range("x_range", *x_ends), y_range=axis_range("y_range", *y_ends),
    )  # fmt: skip
    plot.ygrid.grid_line_color = None
    plot.xaxis.ticker.min_interval = 0
    ends = limits(variable.values, scale)
    mapper = colours(scale, ends)
    plot.image(image="image", x="x", y="y", dw="dw", dh="dh", source=source, color_mapper=mapper)
    hatch(plot, infinite(shown, x_ends, y_ends) if shown.values.size else {})
    lines = named("isolines", isolines(complete(shown), ends, scale))
    plot.multi_line("xs", "ys", line_color="color", line_width=1, source=lines)
    _path(plot, path(ds))
    _centre(plot, centre(shown))
    plot.min_border_right = 60  # the bar of colours keeps its width when its numbers change
    written = levels(*ends, scale) if shown.values.size else []
    plot.add_layout(bar(mapper, scale, unit_label(variable.attrs), written), "right")
    return plot


def hatch(plot: Any, found: dict[str, Any]) -> None:
    """Draw what is not finite."""
    sides = ("left", "right", "bottom", "top")
    source = named("infinite", {side: list(found.get(side, [])) for side in sides})
    plot.quad(
        "left", "right", "bottom", "top", source=source, fill_color="#8A8A8A", fill_alpha=0.45, line_color=None,
        hatch_pattern="right_diagonal_line", hatch_color="#8A8A8A", hatch_alpha=0.9, hatch_scale=8, hatch_weight=1.5,
    )  # fmt: skip


def _path(plot: Any, points: np.ndarray) -> None:
    source = named("path", {"x": list(points[:, 0]), "y": list(points[:, 1])})
    plot.line("x", "y", source=source, color="rgba(0, 0, 0, 0.5)", width=2.4)
    plot.line("x", "y", source=source, color="white", width=1.1)
    plot.scatter("x", "y", source=source, size=3.5, fill_color="white", line_color="rgba(0, 0, 0, 0.6)", line_width=0.7)
    newest = named("newest", {"x": list(points[-1:, 0]), "y": list(points[-1:, 1])})
    plot.scatter("x", "y", source=newest, size=9, fill_color=MARK, line_color="white", line_width=1.4)


def _centre(plot: Any, value: float | None) -> None:
    told = {"x": [0.0], "y": [0.0], "text": [f"{value:.4g}"]} if value is not None else {"x": [], "y": [], "text": []}
    source = named("centre", told)
    for width, ink in ((3.4, "rgba(0, 0, 0, 0.55)"), (1.5, "white")):
        plot.scatter("x", "y", source=source, marker="cross", size=11, line_color=ink, line_width=width)
    plot.text(
        "x", "y", text="text", source=source, x_offset=9, y_offset=-7, text_font_size=SIZE, text_font={"value": FONT},
        text_color="white", background_fill_color="black", background_fill_alpha=0.5, padding=2, border_radius=2,
    ).glyph.name = "on_field"  # fmt: skip
