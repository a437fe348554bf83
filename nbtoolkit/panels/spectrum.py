"""The spectrum at one step: its density over the eigenvalues, every Ritz value, and the outliers marked."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, NoOverlap

from nbtoolkit.analysis.spectra import axis_scale, density, ritz
from nbtoolkit.numerics.spectra import outlier_values, outliers
from nbtoolkit.panels.bands import outline
from nbtoolkit.panels.eigenaxis import ticks
from nbtoolkit.panels.look import INK, axis_range, blank_figure, colour

SCALE = "log"
RUG = 0.05  # height of the stroke at each Ritz value, as a share of the frame
LEAST = 1e-14  # of the largest density: bumps smaller than this are rounding
NOTE = (
    "Each Ritz value is spread over a Gaussian of width 0.05 on the axis asinh(eigenvalue / scale), about a twentieth "
    "of its size; mean over the probes, with its standard error as a band. Strokes: Ritz values. Dots: outliers, "
    "beyond a gap that ends the bulk."
)


def columns(ds: Any, *, scale: str = SCALE) -> dict[str, Any]:
    """The numbers drawn, of the last step that has any.

    ``x`` (on the asinh axis) and ``density``, ``low`` and ``high`` with one standard error; ``ritz`` with its stroke
    from ``foot`` to ``head``; ``outlier`` at the height ``peak``. Shorter ones end in NaN.

    Args:
        ds: Ritz values and weights with the dims step, probe and node.
        scale: of the densities; on a log scale none is zero or less.
    """
    values, weights = ritz(ds)
    measured = np.flatnonzero(np.isfinite(values).any(axis=(1, 2)))
    if not len(measured):
        return {key: np.empty(0) for key in ("x", "density", "low", "high", "ritz", "foot", "head", "outlier", "peak")}
    last = measured[-1]
    curves, unit = density(ds), axis_scale(ds)
    x = np.arcsinh(curves["bin"].values / unit)
    mean, error = (curves[key].values[last] for key in ("density", "density_error"))
    bottom, top = limits(curves["density"].values, scale)
    shown = np.arcsinh(values[last][np.isfinite(values[last])] / unit)
    beyond = np.arcsinh(outlier_values(values[last], outliers(values[last], weights[last])) / unit)
    floor = bottom / 10 if scale == "log" else 0.0  # what a log axis has no place for runs along under the frame
    rug = bottom * (top / bottom) ** RUG if scale == "log" else RUG * top
    drawn = {
        "x": x,
        "density": np.maximum(mean, floor),
        "low": np.maximum(mean - error, floor),
        "high": np.maximum(mean + error, floor),
        "ritz": shown,
        "foot": np.full(len(shown), bottom),
        "head": np.full(len(shown), rug),
        "outlier": beyond,
        "peak": np.interp(beyond, x, mean),
    }
    longest = max(map(len, drawn.values()))
    return {key: np.append(column, np.full(longest - len(column), np.nan)) for key, column in drawn.items()}


def names(ds: Any) -> list[str]:
    """What the variables are."""
    return [variable.attrs.get("long_name", name) for name, variable in ds.data_vars.items()]


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """The density with its band, a stroke at the bottom for every Ritz value, a dot on every outlier.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: Ritz values and weights with the dims step, probe and node.
        scale: of the densities.
    """
    scale = str(scale or SCALE)
    first = next(iter(ds.data_vars.values()))
    x = np.asarray(source.data["x"], float)
    ends = (float(np.nanmin(x)), float(np.nanmax(x))) if len(x) else (0.0, 1.0)
    heights = limits(density(ds)["density"].values, scale)
    plot = blank_figure(
        str(first.attrs.get("units", "")), "density", scale, name="plot",
        x_range=axis_range("x_range", *ends), y_range=axis_range("y_range", *heights), min_border_right=12,
    )  # fmt: skip
    places = ticks(*ends, axis_scale(ds))
    plot.xaxis.name = "x_axis"
    plot.xaxis.ticker = FixedTicker(ticks=list(places), name="eigenvalues")
    plot.xaxis.major_label_overrides = places
    plot.xaxis.major_label_policy = NoOverlap()
    band = ColumnDataSource(outline(*(source.data[key] for key in ("x", "low", "high"))), name="band0")
    ink = {"color": colour(0)}
    area = plot.patch("x", "y", source=band, fill_alpha=0.2, line_alpha=0.15, **ink)
    line = plot.line("x", "density", source=source, width=1.5, **ink)
    rug = plot.segment("ritz", "foot", "ritz", "head", source=source, color=INK, line_alpha=0.35, line_width=1)
    dots = plot.scatter("outlier", "peak", source=source, size=5.5, color=colour(1), line_color=None)
    for renderer, name in ((area, f"curve:{colour(0)}"), (line, f"curve:{colour(0)}"), (rug, "ink")):
        renderer.glyph.name = name
    dots.glyph.name = f"curve:{colour(1)}"
    return plot


def limits(densities: np.ndarray, scale: str) -> tuple[float, float]:
    """Ends of the axis of densities, the same for all steps: from well below the lowest bump to above the highest."""
    low, high = bumps(densities)
    return (low / 10, high * 2) if scale == "log" else (0.0, high * 1.05)


def bumps(densities: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest local maximum of the densities of all steps."""
    tops = [row[1:-1][(row[1:-1] > row[:-2]) & (row[1:-1] >= row[2:])] for row in densities]
    found = np.concatenate([top[top > LEAST * top.max()] for top in tops if len(top)] or [[]])
    return (float(found.min()), float(found.max())) if len(found) else (1e-3, 1.0)
