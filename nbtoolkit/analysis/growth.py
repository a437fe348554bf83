"""How the distance from the beginning grows: as the logarithm of time, or as a power of it."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["log_growth"]


def log_growth(distance: "xarray.DataArray") -> "xarray.Dataset":
    """Least-squares fits of ``d = a + b ln t`` and of ``ln d = ln c + p ln t``, each with its R^2.

    ``log_slope`` = b and ``log_r2``; ``exponent`` = p and ``power_r2``, that one of ln d. R^2 = 1 - (sum of squared
    residuals) / (sum of squared deviations from the mean), of what was fitted. Steps 0, and those with a distance of 0
    or NaN, are left out. Slow diffusion in a rough landscape gives ``log_r2`` close to 1, a walk without obstacles the
    exponent 1/2. NaN where fewer than three steps are left, or the distance does not change.

    Args:
        distance: with the dim ``step`` alone, such as ``run["weight_norm"].total_distance``.

    Raises:
        ValueError: it has other dims.

    Source: Hoffer, Hubara & Soudry (2017), arXiv:1705.08741, section 3.
    """
    import xarray

    if distance.dims != ("step",):
        raise ValueError(f"log_growth got the dims {distance.dims}; give one distance at each step: dims ('step',)")
    steps, values = distance["step"].values.astype(float), distance.values.astype(float)
    fits = (steps > 0) & np.isfinite(values) & (values > 0)
    time, values = np.log(steps[fits]), values[fits]
    slope, log_r2 = _line(time, values)
    exponent, power_r2 = _line(time, np.log(values))
    units = distance.attrs.get("units", "1")
    return xarray.Dataset(
        {
            "log_slope": ((), slope, {"long_name": "growth by a factor e of time", "units": units}),
            "log_r2": ((), log_r2, {"long_name": "R^2 of the distance on log t", "units": "1"}),
            "exponent": ((), exponent, {"long_name": "exponent of a power of time", "units": "1"}),
            "power_r2": ((), power_r2, {"long_name": "R^2 of the log distance on log t", "units": "1"}),
        }
    )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and R^2."""
    spread = ((y - y.mean()) ** 2).sum() if len(y) > 2 else 0.0
    if not spread > 0 or np.ptp(x) == 0:
        return float("nan"), float("nan")
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), float(1 - ((y - offset - slope * x) ** 2).sum() / spread)
