"""The spectrum over the steps: steps to the right, eigenvalues upwards, density as colour."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, NoOverlap

from nbtoolkit.analysis.spectra import axis_scale, density
from nbtoolkit.panels import heatmap, spectrum
from nbtoolkit.panels.eigenaxis import ticks

SCALE = "log"
NOTE = (
    "Each Ritz value is spread over a Gaussian of width 0.05 on the axis asinh(eigenvalue / scale), about a "
    "twentieth of its size; mean over the probes, as colour on a logarithmic scale."
)


def columns(ds: Any) -> dict[str, Any]:
    """The numbers drawn: an image as of a heat map, the largest eigenvalue on top.

    Args:
        ds: Ritz values and weights with the dims step, probe and node.
    """
    return heatmap.columns(field(ds))


names = spectrum.names


def field(ds: Any) -> Any:
    """Density over ``step`` and ``bin``, the largest eigenvalue first; what is too low to show is as low as shown."""
    curves = density(ds)[["density"]].isel(bin=slice(None, None, -1))
    lowest, _ = spectrum.bumps(curves["density"].values)
    return curves.assign(density=curves["density"].clip(min=lowest / 2, keep_attrs=True))


def places(eigenvalues: np.ndarray, scale: float) -> dict[float, str]:
    """Heights in the image, 1 to a row of it, and the eigenvalues written there.

    Args:
        eigenvalues: of the rows, the largest first.
        scale: of the asinh axis.
    """
    high, low = np.arcsinh(eigenvalues[[0, -1]] / scale)
    row = (high - low) / (len(eigenvalues) - 1)
    return {(place - low) / row + 0.5: text for place, text in ticks(low, high, scale).items()}


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """The densities in viridis, blank where nothing was measured.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: Ritz values and weights with the dims step, probe and node.
        scale: of the colours.
    """
    shown = field(ds)
    plot = heatmap.figure(source, shown, scale=scale or SCALE)
    written = places(shown["bin"].values, axis_scale(ds))
    plot.yaxis.ticker = FixedTicker(ticks=list(written), name="eigenvalues")
    plot.yaxis.major_label_overrides = written
    plot.yaxis.major_label_policy = NoOverlap()
    plot.yaxis.axis_label = str(next(iter(ds.data_vars.values())).attrs.get("units", ""))
    plot.select_one({"name": "bar"}).title = "density"
    return plot
