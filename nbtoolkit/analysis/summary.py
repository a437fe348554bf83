"""Metrics of several runs in few numbers."""

from typing import TYPE_CHECKING

import numpy as np

from nbtoolkit.analysis.transfer import transfer

if TYPE_CHECKING:
    import xarray

__all__ = ["summary"]

STATISTICS = ("mean", "std", "standard_error", "count")


def summary(ds: "xarray.Dataset", dim: str = "run") -> "xarray.Dataset":
    """Mean, standard deviation, standard error of the mean and number of runs of every variable.

    Runs whose value is NaN do not count. The standard deviation is that of a sample (n - 1), NaN of fewer than two;
    the standard error is it over sqrt(n).

    Args:
        ds: what `transfer` gives, any Dataset with this dim, or runs as `transfer` takes them.
        dim: along which the runs lie.

    Returns:
        The variables that have the dim, with ``statistic`` (``mean, std, standard_error, count``) in its place.

    Raises:
        ValueError: no variable has the dim.
    """
    import xarray

    if not isinstance(ds, xarray.Dataset):
        ds = transfer(ds)
    having = {str(name): var for name, var in ds.data_vars.items() if dim in var.dims}
    if not having:
        dims = ", ".join(map(str, ds.dims)) or "none"
        raise ValueError(f"no variable has the dim {dim!r}; there are: {dims}")
    variables = {}
    for name, var in having.items():
        count = var.count(dim)
        spread = (
            xarray.where(count > 1, ((var - var.mean(dim)) ** 2).sum(dim) / np.maximum(count - 1, 1), np.nan) ** 0.5
        )
        parts = [var.mean(dim), spread, spread / np.sqrt(np.maximum(count, 1)), count.astype(float)]
        variables[name] = xarray.concat(parts, "statistic", coords="minimal", compat="override").assign_attrs(var.attrs)
    return xarray.Dataset(variables).assign_coords(statistic=list(STATISTICS))
