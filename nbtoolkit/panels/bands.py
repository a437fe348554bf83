"""What belongs to a curve: its error as a band, the line it is read against, and how far the axis goes for them."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from nbtoolkit.store.schema import SCALES

WITHIN = 3  # times the height of the curves alone: what would flatten them more is left outside the frame
ROOM = 0.1  # beyond a band or a line, of the axis that holds it
FOOT = 1e-30  # of the value: where a band that goes on to zero and below ends on a log axis, outside any frame


def drawn(ds: Any) -> dict[str, Any]:
    """The variables of a Dataset that are curves of their own, not the error or the line of another."""
    attrs = [variable.attrs for variable in ds.data_vars.values()]
    others = {told[word] for told in attrs for word in ("error", "line") if isinstance(told.get(word), str)}
    return {name: variable for name, variable in ds.data_vars.items() if name not in others}


def error_of(ds: Any, name: str) -> Any | None:
    """The error of a variable, if the Dataset holds it."""
    return ds.data_vars.get(ds[name].attrs.get("error", ""))


def line_of(ds: Any) -> tuple[str, np.ndarray] | None:
    """Name and values over the steps of the line that the curves are read against."""
    for variable in ds.data_vars.values():
        line = variable.attrs.get("line", "")
        if line in ds.data_vars:
            return str(ds[line].attrs.get("long_name", line)), ds[line].values.astype(float)
        if not isinstance(line, str):
            return f"{line:g}", np.full(ds.sizes["step"], float(line))
    return None


def ends(y: np.ndarray, error: np.ndarray, scale: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of a band; on a log axis its lower end stays above zero."""
    low = y - error
    return (np.where(low > 0, low, np.where(y > 0, FOOT * y, np.nan)) if scale == SCALES[1] else low), y + error


def outline(x: Any, low: Any, high: Any) -> dict[str, Any]:
    """A band as one path: each stretch without a gap along its upper end and back along its lower, NaN between."""
    x, low, high = (np.asarray(values, float) for values in (x, low, high))
    there = np.flatnonzero(np.isfinite(x) & np.isfinite(low) & np.isfinite(high))
    paths = [(np.empty(0), np.empty(0))]
    for part in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1):
        if len(part):
            paths.append((np.r_[x[part], x[part][::-1], np.nan], np.r_[high[part], low[part][::-1], np.nan]))
    return {"x": np.concatenate([path[0] for path in paths]), "y": np.concatenate([path[1] for path in paths])}


def reach(span: tuple[float, float], wanted: Iterable[float], scale: str) -> tuple[float, float]:
    """An axis made longer so that it holds these values, each as long as the span keeps a third of it.

    Args:
        span: ends of the axis that the curves alone would have.
        wanted: the smallest and the largest value of bands and lines.
        scale: of the axis.
    """
    height, back = (np.log, np.exp) if scale == "log" else (float, float)
    low, high = start, end = height(span[0]), height(span[1])
    for value in wanted:
        if np.isfinite(value) and (scale != "log" or value > 0):
            longer = min(low, height(value)), max(high, height(value))
            if longer[1] - longer[0] <= WITHIN * (end - start):
                low, high = longer
    room = ROOM * (high - low)
    return float(back(low - room if low < start else low)), float(back(high + room if high > end else high))
