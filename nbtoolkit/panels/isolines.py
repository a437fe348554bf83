"""Lines of equal value through samples on a grid, at round levels. The same as in js/src/isolines.ts."""

import math
from typing import Any

import numpy as np
from contourpy import LineType, contour_generator

from nbtoolkit.panels.plane import Plane

MOST = 10  # levels
SEGMENTS, VALUES = 4, 4  # at least: of a line on a coarse grid, and along its axes
FACTORS = ((1, 2, 5), (1, 3), (1,))
BRIGHT = 0.55  # of the colours, from the lowest: above it lines are dark
LIGHT, DARK = "rgba(255, 255, 255, 0.75)", "rgba(0, 0, 0, 0.5)"


def levels(low: float, high: float, scale: str) -> list[float]:
    """At most ten round values between two: evenly spaced, or on a log scale over a decade or more even in the log."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return []
    if scale == "log" and low > 0 and high >= 10 * low:
        return [level for level in _powers(low, high) if low < level < high]
    rough = (high - low) / MOST
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    places = range(math.ceil(low / step), math.floor(high / step) + 1)
    found = [float(f"{place * step:.12g}") for place in places]
    return [level for level in found if low < level < high]


def isolines(plane: Plane, limits: tuple[float, float], scale: str) -> dict[str, list[Any]]:
    """``xs`` and ``ys`` of each ``level``, its pieces apart by NaN, and the ``color`` that is seen on the field.

    Between two points the value changes linearly, on a log scale its logarithm does; squares of the grid with a corner
    that is not finite (on a log scale: not positive) have no line.

    Args:
        plane: the samples.
        limits: ends of the colours.
        scale: of the colours.
    """
    drawn: dict[str, list[Any]] = {"xs": [], "ys": [], "level": [], "color": []}
    if min(plane.values.shape, default=0) < 2:
        return drawn
    height = height_of(plane.values, scale)
    contours = contour_generator(
        plane.x, plane.y, np.ma.masked_invalid(height), corner_mask=False, line_type=LineType.ChunkCombinedNan
    )
    low, high = (height_of(np.array(end), scale) for end in limits)
    for level in levels(*limits, scale):
        at = float(height_of(np.array(level), scale))
        points: Any = contours.lines(at)[0][0]
        if points is None:
            continue
        drawn["xs"].append(points[:, 0])
        drawn["ys"].append(points[:, 1])
        drawn["level"].append(level)
        drawn["color"].append(DARK if at - low > BRIGHT * (high - low) else LIGHT)
    return drawn


def without_scraps(drawn: dict[str, list[Any]], shape: tuple[int, int]) -> dict[str, list[Any]]:
    """The isolines of a coarse grid but for short pieces and rings about one point, which tell of nothing but a cell.

    Args:
        drawn: what `isolines` gives.
        shape: of the samples; with fewer than four along an axis there is no line at all.
    """
    least = min(SEGMENTS, min(shape) - 1)  # a line straight across is never a scrap
    kept: dict[str, list[Any]] = {key: [] for key in drawn}
    if min(shape) < VALUES:
        return kept
    for xs, ys, *told in zip(*drawn.values(), strict=True):
        points = np.column_stack([xs, ys])
        parts = np.split(points, np.flatnonzero(np.isnan(points[:, 0])))
        parts = [part[~np.isnan(part[:, 0])] for part in parts]
        long = [part for part in parts if len(part) - 1 >= least + _is_ring(part) * (1 + SEGMENTS - least)]
        if long:
            path = np.concatenate([np.vstack([part, [[np.nan, np.nan]]]) for part in long])[:-1]
            for key, one in zip(kept, (path[:, 0], path[:, 1], *told), strict=True):
                kept[key].append(one)
    return kept


def _is_ring(part: np.ndarray) -> bool:
    return len(part) > 1 and bool((part[0] == part[-1]).all())


def height_of(values: np.ndarray, scale: str) -> np.ndarray:
    """Where a value stands on its scale; NaN where it has no place there or is not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.log10(values) if scale == "log" else np.asarray(values, float)
    return np.where(np.isfinite(height), height, np.nan)


def _powers(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    for factors in FACTORS:
        found = [float(f"{factor}e{power}") for power in range(first, last + 1) for factor in factors]
        if sum(low < level < high for level in found) <= MOST:
            return found
    every = -(-(last - first + 1) // MOST)
    return [float(f"1e{power}") for power in range(first, last + 1) if power % every == 0]
