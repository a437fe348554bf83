"""A spectrum from its Ritz values: a smooth density with its error, on an axis that holds bulk and outliers.

Eigenvalues of a Hessian crowd near zero and lie a thousand times farther out, on both sides. The axis used here is
``t = asinh(eigenvalue / scale)``: linear within ``scale``, logarithmic beyond it.
"""

import math
from typing import Any

import numpy as np

from nbtoolkit.numerics.spectra import outliers

__all__ = ["axis_scale", "density", "outliers", "ritz"]

WIDTH = 0.05  # of the kernel, on the asinh axis: a twentieth of an eigenvalue that is beyond the scale
BINS = 400
REACH = 6  # widths of the kernel seen beyond the last Ritz value
ENDS = 0.5  # the ends of an axis are multiples of this, so that it seldom moves
DEEPEST = 1e-4  # of the largest eigenvalue: smaller scales show rounding errors


def ritz(ds: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ritz values and weights of a Dataset, each ``(step, probe, node)``.

    They are its two variables with these dims, in this order. Of one alone the weights are equal.
    """
    found = [
        variable.transpose("step", "probe", "node").values
        for variable in ds.data_vars.values()
        if set(variable.dims) == {"step", "probe", "node"}
    ]
    if not found:
        raise ValueError("no variable has the dims step, probe and node; expected Ritz values and their weights.")
    values = found[0]
    if len(found) > 1:
        return values, np.where(np.isfinite(values), found[1], np.nan)
    counts = np.isfinite(values).sum(axis=2, keepdims=True)
    return values, np.where(np.isfinite(values), 1 / np.maximum(counts, 1), np.nan)


def axis_scale(ds: Any) -> float:
    """The width of the bulk: the root mean square of what is no outlier, the median over the steps, as 1, 2 or 5 10^k.

    At least 1e-4 of the largest eigenvalue seen.
    """
    values, weights = ritz(ds)
    finite = np.isfinite(values) & np.isfinite(weights)
    if not finite.any():
        return 1.0
    sizes = []
    for value, weight, kept in zip(values, weights, finite, strict=True):
        bulk = kept & ~outliers(value, weight)
        if bulk.any():
            sizes.append(math.sqrt((weight[bulk] * value[bulk] ** 2).sum() / weight[bulk].sum()))
    return _rounded(max(float(np.median(sizes)), DEEPEST * float(np.abs(values[finite]).max())))


def density(ds: Any, *, grid: np.ndarray | None = None, width: float | None = None) -> Any:
    """Spectral density at every step: the share of eigenvalues per unit of eigenvalue, with its standard error.

    With Ritz values r_pk and weights w_pk of the probes p, t(x) = asinh(x / s), and N the normal density::

        density(x) = mean over p of  sum over k of  w_pk N(t(x); t(r_pk), width^2) / sqrt(x^2 + s^2)

    that is, each Ritz value is spread over a Gaussian on the asinh axis; dt/dx = 1 / sqrt(x^2 + s^2) makes it a
    density in x. It integrates to 1. The error is the standard error of the mean over probes.

    Args:
        ds: Ritz values and weights with the dims step, probe and node.
        grid: eigenvalues at which to evaluate; by default 400, evenly spaced on the asinh axis over all steps.
        width: of the kernel on the asinh axis; by default 0.05.

    Returns:
        A Dataset with ``density`` and ``density_error`` over ``step`` and ``bin``, the eigenvalue; NaN where nothing
        was measured, and the error also where there is a single probe. ``attrs`` hold ``axis_scale`` and ``width``.
    """
    import xarray

    values, weights = ritz(ds)
    scale = axis_scale(ds)
    width = WIDTH if width is None else width
    grid = _grid(values, scale, width) if grid is None else np.asarray(grid, float)
    places = np.arcsinh(grid / scale)
    slope = 1 / np.hypot(grid, scale)
    rows = [_row(np.arcsinh(v / scale), w, places, width) for v, w in zip(values, weights, strict=True)]
    mean, error = (np.reshape([row[i] for row in rows], (len(rows), len(grid))) * slope for i in (0, 1))
    units = str(next(iter(ds.data_vars.values())).attrs.get("units", ""))
    words = {"units": f"1/({units})" if units not in ("", "1") else "1", "scale": "log"}
    dims = ("step", "bin")
    return xarray.Dataset(
        {
            "density": (dims, mean, {**words, "long_name": "spectral density", "error": "density_error"}),
            "density_error": (dims, error, {**words, "long_name": "standard error of the spectral density"}),
        },
        {"step": ds["step"], "bin": ("bin", grid, {"long_name": "eigenvalue", "units": units})},
        {"axis_scale": scale, "width": width},
    )


def _row(nodes: np.ndarray, weights: np.ndarray, places: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean over probes of the density on the asinh axis, and its standard error."""
    kept = np.isfinite(nodes) & np.isfinite(weights)
    probes = kept.any(axis=1)
    count = int(probes.sum())
    if not count:
        return np.full(len(places), np.nan), np.full(len(places), np.nan)
    curves = np.zeros((count, len(places)))
    for curve, node, weight in zip(curves, nodes[probes], np.where(kept, weights, 0.0)[probes], strict=True):
        there = weight > 0
        distance = (places - node[there, None]) / width
        curve += weight[there] @ np.exp(-0.5 * distance**2) / (math.sqrt(2 * math.pi) * width)
    nothing = np.full(len(places), np.nan)
    return curves.mean(axis=0), curves.std(axis=0, ddof=1) / math.sqrt(count) if count > 1 else nothing


def _grid(values: np.ndarray, scale: float, width: float) -> np.ndarray:
    places = np.arcsinh(values[np.isfinite(values)] / scale)
    if not len(places):
        places = np.zeros(1)
    low = math.floor((places.min() - REACH * width) / ENDS) * ENDS
    high = math.ceil((places.max() + REACH * width) / ENDS) * ENDS
    return scale * np.sinh(np.linspace(low, high, BINS))


def _rounded(value: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten, which changes seldom; 1 for nothing."""
    if not value > 0:
        return 1.0
    power = math.floor(math.log10(value))
    first = value / 10.0**power
    nearest = 1 if first < 1.5 else 2 if first < 3.5 else 5 if first < 7.5 else 10
    return float(f"{nearest}e{power}")
