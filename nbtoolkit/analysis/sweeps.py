"""Reading sweeps: where along an axis the best value lies, how flat it is there, and how it moves with another axis."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nbtoolkit.analysis.grids import (
    REASON,
    SEEDS,
    chosen,
    is_geometric,
    numeric,
    over_seeds,
    positions,
    waiting,
    with_axes,
)
from nbtoolkit.analysis.parabola import lowest, vertex
from nbtoolkit.analysis.seeds import CONFIDENCE, INTERVAL
from nbtoolkit.store.schema import SCALES

if TYPE_CHECKING:
    import xarray

__all__ = ["intervals", "lr_sensitivity", "lr_transfer", "optimum"]


def optimum(
    data: Any, over: str = "lr", *, variable: str | None = None, largest: bool = False, seeds: str = SEEDS,
    fit: bool = True, scale: str = "linear",
) -> "xarray.Dataset":  # fmt: skip
    """Where along an axis the best value lies, for each place on the other axes.

    ``best`` is the value of the axis at which the variable is smallest, and ``best_value`` that smallest value.
    ``fitted`` is the vertex of the parabola through it and its nearest known neighbours on both sides, on the axis of
    log2 where the values of the axis are positive and spaced more evenly there; ``fitted_value`` the height there. With
    seeds the curve is their mean, and ``fitted_low`` and ``fitted_high`` are the ends of the 95 % t interval of the
    vertex, by the delta method over the seeds, each of which went through the whole curve. Where no vertex can be
    said these are NaN, and ``reason`` says why: the best is at the edge of the grid, or beyond it all failed, or has
    not run yet (which the ``reason`` in ``data`` tells apart). ``known`` is the number of points known, ``missing``
    that of those that are not: NaN, or where one of the seeds is, which are left out.

    Args:
        data: of a sweep; its axes are the dims of ``variable``.
        over: the axis along which the best is sought.
        variable: its name; may be left out where there is one only.
        largest: whether large values are good, as of an accuracy.
        seeds: the axis of repetitions, if there is one.
        fit: whether to fit.
        scale: ``"log"`` to fit the logarithm of the variable where its three values are positive, as it is seen on a
            logarithmic axis.

    Raises:
        ValueError: there is no such variable or axis, the variable is a curve over steps, or the scale is not known.
    """
    import xarray

    if scale not in SCALES:
        raise ValueError(f"optimum() got scale={scale!r}; use 'linear' or 'log'.")
    values = with_axes(chosen(data, variable, "optimum()"), {"over": over}, "optimum()")
    others = [dim for dim in values.dims if dim not in (over, seeds)]
    repeated, not_run = (
        (one if seeds in one.dims else one.expand_dims(seeds)).transpose(*others, seeds, over)
        for one in (values, waiting(data, values))
    )
    labels = values[over].values
    _check_numbers(labels, over)
    x, back = positions(labels), np.exp2 if is_geometric(labels) else np.asarray
    shape = tuple(values.sizes[dim] for dim in others)
    keys = ["best", "best_value", "fitted", "fitted_value", "fitted_low", "fitted_high"]
    found = {key: np.full(shape, np.nan) for key in keys}
    known, reason = np.zeros(shape, int), np.full(shape, "", object)
    for place in np.ndindex(shape):
        curves = repeated.values[place]
        low = lowest(-curves if largest else curves, x, not_run.values[place])
        known[place], reason[place] = low.known, low.why
        if low.at is not None:
            found["best"][place], found["best_value"][place] = labels[low.at], curves[:, low.at].mean()
        if fit and low.three is not None:
            three = list(low.three)
            log = scale == "log" and bool((curves[:, three].mean(0) > 0).all())
            one = vertex(x[three], _logs(curves[:, three]) if log else curves[:, three])
            found["fitted"][place], found["fitted_value"][place] = back(one.x), np.exp(one.y) if log else one.y
            found["fitted_low"][place], found["fitted_high"][place] = back(one.x - one.half), back(one.x + one.half)
    axis, told = dict(values[over].attrs), dict(values.attrs)
    name, of = axis.get("long_name", over), told.get("long_name", values.name)
    units = {"value": told.get("units", "1"), "axis": axis.get("units", "1")}
    words = {
        "best": f"best {name} on the grid", "best_value": f"best {of} on the grid", "fitted": f"best {name}, fitted",
        "fitted_value": f"best {of}, fitted", "fitted_low": f"best {name}, lower end", "fitted_high": "upper end",
    }  # fmt: skip
    variables: dict[str, Any] = {
        key: (others, found[key], {"long_name": words[key], "units": units["value" if "value" in key else "axis"]})
        for key in (keys if fit else keys[:2])
    }
    variables["known"] = (others, known, {"long_name": "points known", "units": "1"})
    variables["missing"] = (others, len(labels) - known, {"long_name": "points not known", "units": "1"})
    if fit:
        variables[REASON] = (others, reason.astype(str), {"long_name": "why there is no fit"})
    coords = {dim: values[dim] for dim in others if dim in values.coords}
    return xarray.Dataset(variables, coords, {"over": over, "variable": str(values.name)})


def lr_sensitivity(
    data: Any, initial: Any, over: str = "lr", *, variable: str | None = None, seeds: str = SEEDS
) -> "xarray.DataArray":
    """How much is lost by a learning rate that is not the best: the mean over the axis of min(l, l0) - l*.

    Of the losses ``l`` along the axis ``l*`` is the smallest and ``l0`` that of the network before training, which
    stands in for all that is larger, infinite, or NaN after a training that went to its end (``reason`` is there and
    empty). What has not run or failed is left out. All points of the axis count alike, which on a geometric one is
    the mean over the logarithm. The axis should span the same learning rates wherever two are compared.

    Args:
        data: of a sweep, a loss.
        initial: ``l0``: a number, or a DataArray over other axes.
        over: axis of the learning rate.
        variable: its name; may be left out where there is one only.
        seeds: the axis of repetitions, of which the mean is taken.

    Raises:
        ValueError: there is no such variable or axis, or the variable is a curve over steps.

    Source: Wortsman et al. (2023), arXiv:2309.14322, section 2.2.
    """
    import xarray

    values = with_axes(chosen(data, variable, "lr_sensitivity()"), {"over": over}, "lr_sensitivity()")
    if REASON in getattr(data, "data_vars", ()):
        values = values.where(~(values.isnull() & (data[REASON] == "")), np.inf)
    capped = over_seeds(xarray.where(values > initial, initial, values), seeds)
    best = capped.min(over)
    found = (capped - best).mean(over)
    told = {"long_name": f"sensitivity to {over}", "units": values.attrs.get("units", "1")}
    told["reference"] = "Wortsman et al. (2023), arXiv:2309.14322, section 2.2"
    return found.rename("lr_sensitivity").assign_attrs(told)


def lr_transfer(
    data: Any, over: str = "lr", along: str = "width", *, variable: str | None = None, largest: bool = False,
    seeds: str = SEEDS, scale: str = "linear",
) -> "xarray.Dataset":  # fmt: skip
    """How the best learning rate moves with the width: the slope of log2 of it on log2 of the width.

    ``slope`` is that of the fitted optima (`optimum`) by least squares, with the ends ``slope_low`` and ``slope_high``
    of its 95 % t interval over the widths; ``grid_slope`` that of the best values on the grid. 0: the learning rate
    transfers; -1: it must be halved when the width is doubled. ``same`` says whether the best value on the grid is one
    and the same at all widths. A width whose best has no known neighbour on one side has no fit and is left out
    of ``slope``; ``known`` is the number of those that are in. NaN where fewer than two are (the interval: three).

    Args:
        data: of a sweep.
        over: axis of the learning rate, positive.
        along: axis of the width, positive.
        variable: its name; may be left out where there is one only.
        largest: whether large values are good.
        seeds: the axis of repetitions, of which the mean is taken.
        scale: of the fits, see `optimum`.

    Raises:
        ValueError: there is no such variable or axis, the variable is a curve over steps, an axis is not positive, or
            the scale is not known.
    """
    import xarray

    whose = "lr_transfer()"
    values = with_axes(chosen(data, variable, whose), {"over": over, "along": along}, whose)
    for axis in (over, along):
        _check_numbers(values[axis].values, axis, positive=True)
    found = optimum(values, over, largest=largest, seeds=seeds, scale=scale)
    x = np.log2(found[along].values.astype(float))
    variables: dict[str, Any] = {}
    others = [dim for dim in found.best.dims if dim != along]
    for name, source in (("slope", found.fitted), ("grid_slope", found.best)):
        y = np.log2(source.transpose(*others, along).values)
        lines = np.array([_line(x, row) for row in y.reshape(-1, len(x))]).reshape(*y.shape[:-1], 3)
        word = "fitted best" if name == "slope" else "best"
        told = {"long_name": f"slope of the {word} {over} on the {along}, both log2", "units": "1"}
        variables[name] = (others, lines[..., 0], told)
        if name == "slope":
            for end, sign in (("low", -1), ("high", 1)):
                told = {"long_name": f"{end} end of its {CONFIDENCE:.0%} interval", "units": "1"}
                variables[f"slope_{end}"] = (others, lines[..., 0] + sign * lines[..., 1], told)
            variables["known"] = (others, lines[..., 2].astype(int), {"long_name": f"{along}s fitted", "units": "1"})
    best = found.best.transpose(*others, along).values
    same = (best == best[..., :1]).all(-1)
    variables["same"] = (others, same, {"long_name": f"one best {over} at every {along}"})
    return xarray.Dataset(variables, {dim: found[dim] for dim in others if dim in found.coords})


def intervals(data: Any, over: str = SEEDS) -> "xarray.Dataset":
    """Mean over seeds of each variable, half the width of its 95 % t interval, and the number of seeds known.

    With n values of standard deviation s (over n - 1) the half width ``NAME_interval`` is t(0.975, n - 1) s / sqrt(n).
    Seeds that are NaN are left out and ``NAME_count`` is the n that are not; of a single one there is no interval, nor
    where one is infinite.

    Args:
        data: of a sweep.
        over: axis of the repetitions; variables without it are left out.

    Raises:
        ValueError: no variable with numbers has this axis.
    """
    import xarray
    from scipy import stats

    data = data.to_dataset(name=data.name or "value") if isinstance(data, xarray.DataArray) else data
    fitting = [name for name in numeric(data) if over in data[name].dims]
    if not fitting:
        dims = ", ".join(f"{name} {data[name].dims}" for name in numeric(data)) or "nothing with numbers"
        raise ValueError(f"intervals() got over={over!r}, which is no axis of any variable; there are: {dims}.")
    variables: dict[str, Any] = {}
    for name in fitting:
        values = data[name].astype(float)
        count = values.notnull().sum(over)
        with np.errstate(invalid="ignore"):  # of what is infinite
            mean, spread = values.mean(over), values.std(over, ddof=1, skipna=True)
        error = spread / np.sqrt(count.where(count > 1))
        half = error * stats.t.ppf(0.5 + CONFIDENCE / 2, np.maximum(count - 1, 1))
        units = {"units": data[name].attrs.get("units", "1")}
        told = {"long_name": f"half of the {CONFIDENCE:.0%} interval over {over}s"}
        variables[name] = mean.assign_attrs({**data[name].attrs, "error": f"{name}{INTERVAL}"})
        variables[f"{name}{INTERVAL}"] = half.assign_attrs({**told, **units})
        variables[f"{name}_count"] = count.assign_attrs({"long_name": f"{over}s known", "units": "1"})
    return xarray.Dataset(variables)


def _logs(curves: np.ndarray) -> np.ndarray:
    """Curves whose mean is the logarithm of the mean of these, with their deviations to first order."""
    mean = curves.mean(0)
    return np.log(mean) + curves / mean - 1


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, int]:
    """Slope by least squares, half of its 95 % t interval, and how many points there were."""
    from scipy import stats

    known = np.isfinite(y)
    x, y, count = x[known], y[known], int(known.sum())
    spread = ((x - x.mean()) ** 2).sum() if count > 1 else 0.0
    if not spread > 0:
        return np.nan, np.nan, count
    slope = ((x - x.mean()) * y).sum() / spread
    if count < 3:
        return slope, np.nan, count
    left = y - y.mean() - slope * (x - x.mean())
    error = np.sqrt((left**2).sum() / (count - 2) / spread)
    return slope, stats.t.ppf(0.5 + CONFIDENCE / 2, count - 2) * error, count


def _check_numbers(labels: np.ndarray, axis: str, *, positive: bool = False) -> None:
    good = labels.dtype.kind in "fiu" and len(set(labels.tolist())) == len(labels)
    if not good or (positive and not (labels > 0).all()):
        shown = ", ".join(map(str, labels[:6].tolist()))
        wanted = "positive numbers" if positive else "numbers"
        raise ValueError(f"the axis {axis!r} has the values {shown}; it needs {wanted}, each of them once.")
