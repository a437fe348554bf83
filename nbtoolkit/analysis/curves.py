"""A curve made small enough to draw, and smooth enough to read."""

import numpy as np

__all__ = ["minmax", "smooth"]


def minmax(x: np.ndarray, y: np.ndarray, buckets: int) -> np.ndarray:
    """Indices of the samples that show a curve at the width of ``buckets`` pixels.

    The range of ``x`` is cut into equal buckets and each keeps its smallest and its largest value, so
    that no spike is lost; a bucket with NaN also keeps its first NaN, so that gaps stay gaps. All
    that is kept are samples of the curve, in their order, the first and the last among them.

    Args:
        x: positions, not decreasing.
        y: values, NaN where not measured.
        buckets: how many pieces to cut the range of ``x`` into.

    Returns:
        Indices in ascending order, at most ``3 * buckets + 2`` of them.
    """
    n = len(x)
    if n <= 2 * buckets or x[-1] == x[0]:
        return np.arange(n)
    place = np.floor((x - x[0]) / (x[-1] - x[0]) * buckets).astype(np.int64)
    place = np.minimum(place, buckets - 1)
    nan = np.isnan(y)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    lengths = np.diff(starts, append=n)
    low = np.repeat(np.minimum.reduceat(np.where(nan, np.inf, y), starts), lengths)
    high = np.repeat(np.maximum.reduceat(np.where(nan, -np.inf, y), starts), lengths)
    kept = np.zeros(n, bool)
    kept[[0, n - 1]] = True
    for mask in ((y == low) & ~nan, (y == high) & ~nan, nan):
        kept[_first_of_each(mask, place)] = True
    return np.flatnonzero(kept)


def smooth(y: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average of a curve, without the usual bias towards zero at its start.

    Each value is the mean of the samples so far, weighted by ``weight ** age``, age in samples. NaN and
    infinite samples stay NaN and leave the average as it was.

    Args:
        y: values in order of time.
        weight: 0 gives the curve itself; towards 1 it is smoother.
    """
    out = np.full(len(y), np.nan)
    total = norm = 0.0
    for i in np.flatnonzero(np.isfinite(y)).tolist():
        total = weight * total + float(y[i])
        norm = weight * norm + 1.0
        out[i] = total / norm
    return out


def _first_of_each(mask: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Index of the first marked sample of every bucket that has one."""
    marked = np.flatnonzero(mask)
    return marked[np.diff(place[marked], prepend=-1) > 0]
