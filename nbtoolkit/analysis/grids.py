"""What a sweep's Dataset holds: its variable, the values along an axis, and why cells are missing."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = [
    "LEFT", "REASON", "SEEDS", "STEP", "WAITING", "chosen", "is_geometric", "numeric", "over_seeds", "positions",
    "waiting", "with_axes",
]  # fmt: skip

REASON = "reason"  # the variable that says why a cell is NaN
WAITING = "not run yet"
LEFT = (WAITING, "cancelled")  # reasons of cells that were never tried
STEP = "step"
SEEDS = "seed"  # the axis of repetitions
ALIKE = 1e-6
FAR = 4.0  # times: two values that are so far apart are geometric


def numeric(data: "xarray.Dataset") -> list[str]:
    """Names of the variables with numbers."""
    return [str(name) for name, one in data.data_vars.items() if one.dtype.kind in "fiub" and name != REASON]


def chosen(data: Any, variable: str | None, whose: str) -> "xarray.DataArray":
    """The variable meant, as float64.

    Args:
        data: of a sweep; a DataArray is its own only variable.
        variable: its name; may be None where there is one only.
        whose: function the error speaks for.

    Raises:
        ValueError: there is no such variable, or there are several.
    """
    import xarray

    if isinstance(data, xarray.DataArray):
        return data.astype(float)
    if not isinstance(data, xarray.Dataset):
        raise ValueError(f"{whose} got a {type(data).__name__}; give a sweep's Dataset, such as `sweep.data`.")
    names = numeric(data)
    if variable is None and len(names) == 1:
        variable = names[0]
    if variable not in names:
        got = "no variable" if variable is None else f"variable={variable!r}"
        raise ValueError(f"{whose} got {got}; name one of: {', '.join(names) or 'there are none with numbers'}.")
    return data[variable].astype(float)


def with_axes(values: "xarray.DataArray", axes: dict[str, str], whose: str) -> "xarray.DataArray":
    """The same values, once it is sure that they have these axes and no steps.

    Args:
        values: of a sweep.
        axes: names of the axes by the argument that named them.
        whose: function the error speaks for.

    Raises:
        ValueError: one is no axis of the values, or they are curves over steps.
    """
    for word, axis in axes.items():
        if axis not in values.dims:
            dims = ", ".join(map(str, values.dims)) or "none"
            raise ValueError(f"{whose} got {word}={axis!r}, which is no axis of {values.name!r}; its axes are: {dims}.")
    if STEP in values.dims and STEP not in axes.values():
        raise ValueError(
            f"{whose} got {values.name!r} over steps; choose one of them first: data.isel(step=-1) is the last."
        )
    return values


def over_seeds(values: "xarray.DataArray", seeds: str) -> "xarray.DataArray":
    """The mean over seeds, NaN where one of them is: a mean of those that survived would flatter."""
    with np.errstate(invalid="ignore"):  # of what is infinite
        return values.mean(seeds, skipna=False, keep_attrs=True) if seeds in values.dims else values


def waiting(data: Any, values: Any) -> Any:
    """Which of the values are not there because their cells were not run; of a DataArray nobody knows: none."""
    missing = ~np.isfinite(values)
    if REASON not in getattr(data, "data_vars", ()):
        return missing & False
    never = data[REASON].isin(LEFT)
    return missing & never.all([dim for dim in never.dims if dim not in values.dims])


def positions(values: Any) -> np.ndarray:
    """Where the values of an axis lie: log2 of positive geometric ones, else the numbers, else their places."""
    labels = np.asarray(values)
    if labels.dtype.kind not in "fiu":
        return np.arange(len(labels), dtype=float)
    return np.log2(labels.astype(float)) if is_geometric(labels) else labels.astype(float)


def is_geometric(values: Any) -> bool:
    """Whether an axis is better read in its logarithm: positive, and spaced more evenly there than as it stands."""
    labels = np.asarray(values)
    if labels.dtype.kind not in "fiu" or len(labels) < 2 or not (labels > 0).all():
        return False
    ordered = np.sort(labels.astype(float))
    if len(ordered) == 2:
        return bool(ordered[1] >= FAR * ordered[0])
    return _unevenness(np.log(ordered)) < _unevenness(ordered) - ALIKE


def _unevenness(ordered: np.ndarray) -> float:
    """Of the spacing: its standard deviation over its mean."""
    apart = np.diff(ordered)
    return float(apart.std() / apart.mean()) if apart.mean() > 0 else 0.0
