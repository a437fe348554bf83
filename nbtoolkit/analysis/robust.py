"""Medians and maxima of what is known, NaN being what is not; where something began that lasts to the end."""

from typing import Any

import numpy as np

__all__ = ["largest", "median", "since"]


def median(values: np.ndarray) -> np.ndarray:
    """Median of the values of each column that are no NaN, along the first axis; NaN where there are none."""
    ordered = np.sort(values, axis=0)  # NaN come last
    count = (~np.isnan(values)).sum(axis=0)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(values) - 1)[None], axis=0)[0]
    return np.where(count > 0, low + (high - low) / 2, np.nan)


def largest(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Largest value along an axis that is no NaN; NaN where there is none."""
    return np.fmax.reduce(values, axis=axis)


def since(within: Any) -> int:
    """Where the last unbroken stretch of True begins that lasts to the end; the length where there is none."""
    outside = np.flatnonzero(~within)
    return int(outside[-1]) + 1 if len(outside) else 0
