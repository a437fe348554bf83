"""Samples over two coordinates as they are drawn: sorted, each a cell around its own point, never interpolated.

The same rules as in js/src/plane.ts.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

UNDER_WAY = 0.1  # from this share of NaN on, points that were not evaluated yet show the coarser grid around them
STRIDES = (1, 2, 4, 8)  # of coarser grids in a grid
FEWEST = 3  # points along each side of a coarser grid
ALIKE = 1e-6  # of a distance: places nearer to each other are one
FINEST = 1e-9  # of the extent: labels nearer to each other are one
MOST = 800  # pixels of a raster
NOTHING = (0.0, 1.0)


@dataclass(frozen=True)
class Plane:
    """``values[j, i]`` is the sample at ``(x[i], y[j])``; both coordinates ascend."""

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray


def row(ds: Any) -> int:
    """The last step at which the first variable has any value; -1 where there is none."""
    values = next(iter(ds.data_vars.values())).values
    measured = np.flatnonzero(~np.isnan(values.reshape(len(values), -1)).all(axis=1)) if values.size else []
    return int(measured[-1]) if len(measured) else -1


def plane(variable: Any, across: str = "alpha", up: str = "beta") -> Plane:
    """The samples of one step, without the coordinates at which there is none.

    Args:
        variable: has the dims ``across`` and ``up`` only, with numbers as labels in any order.
        across: dim to the right.
        up: dim upwards.
    """
    values = variable.transpose(up, across).values
    known = ~np.isnan(values)
    x, y = variable[across].values.astype(float), variable[up].values.astype(float)
    columns, rows = (np.flatnonzero(known.any(axis=axis)) for axis in (0, 1))
    columns, rows = columns[np.argsort(x[columns])], rows[np.argsort(y[rows])]
    return Plane(x[columns], y[rows], values[np.ix_(rows, columns)])


def frame(kept: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Ends of an axis: half a cell beyond the outermost points drawn, a cell of the finest grid that there is.

    Args:
        kept: coordinates drawn, ascending.
        labels: all coordinates known, in any order, so that finer grids still to come change nothing.
    """
    if not len(kept):
        return NOTHING
    half = finest(kept, labels) / 2
    return float(kept[0] - half), float(kept[-1] + half)


def finest(kept: np.ndarray, labels: np.ndarray) -> float:
    """The smallest distance between coordinates in the extent drawn."""
    inside = np.sort(labels[(labels >= kept[0]) & (labels <= kept[-1])])
    steps = np.diff(inside)
    steps = steps[steps > FINEST * (kept[-1] - kept[0])]
    return float(steps.min()) if len(steps) else 1.0


def raster(plane: Plane, x_labels: np.ndarray, y_labels: np.ndarray) -> np.ndarray:
    """An image, its first row at the bottom, each pixel the sample in whose cell it lies; NaN where there is none.

    Where a tenth or more of the points are NaN a finer grid is under way: a point of it that is not there yet shows
    the nearest point of the coarser grid, provided that all points of that grid around it are known.
    """
    if not plane.values.size:
        return np.full((1, 1), np.nan)
    across, up = _pixels(plane.x, x_labels), _pixels(plane.y, y_labels)
    i, j = nearest(plane.x, across), nearest(plane.y, up)
    image = plane.values[np.ix_(j, i)]
    found = lattice(plane)
    if found is None:
        return image
    rows, columns = found
    coarse = plane.values[np.ix_(rows, columns)]
    (below, above), (left, right) = _around(rows, len(plane.y)), _around(columns, len(plane.x))
    corners = [~np.isnan(coarse[np.ix_(one, other)]) for one in (below, above) for other in (left, right)]
    inside = np.logical_and.reduce(corners)[np.ix_(j, i)]
    shown = coarse[np.ix_(nearest(plane.y[rows], up), nearest(plane.x[columns], across))]
    return np.where(np.isnan(image) & inside, shown, image)


def lattice(plane: Plane) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows and columns of the finest evenly spaced grid in this one of which nine tenths are known; None if none is."""
    for stride_x, stride_y in sorted(product(STRIDES, repeat=2), key=lambda pair: (pair[0] * pair[1], pair[0])):
        rows, columns = _every(plane.y, stride_y), _every(plane.x, stride_x)
        if (stride_x, stride_y) == (1, 1):
            rows, columns = np.arange(len(plane.y)), np.arange(len(plane.x))
        part = plane.values[np.ix_(rows, columns)]
        if part.size and np.isnan(part).mean() < UNDER_WAY:
            return rows, columns
    return None


def complete(plane: Plane) -> Plane:
    """The finest grid in this one that is nearly complete; the grid itself where none is."""
    found = lattice(plane)
    if found is None:
        return plane
    rows, columns = found
    return Plane(plane.x[columns], plane.y[rows], plane.values[np.ix_(rows, columns)])


def nearest(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Index of the nearest of ascending points."""
    return np.searchsorted((points[1:] + points[:-1]) / 2, at)


def cells(points: np.ndarray, ends: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the cell around each point, in a frame with these ends."""
    between = (points[1:] + points[:-1]) / 2
    return np.r_[ends[0], between], np.r_[between, ends[1]]


def infinite(plane: Plane, x_ends: tuple[float, float], y_ends: tuple[float, float]) -> dict[str, np.ndarray]:
    """The cells of the samples that are not finite and not NaN: ``left``, ``right``, ``bottom``, ``top``."""
    j, i = np.nonzero(np.isinf(plane.values))
    (left, right), (bottom, top) = cells(plane.x, x_ends), cells(plane.y, y_ends)
    return {"left": left[i], "right": right[i], "bottom": bottom[j], "top": top[j]}


def _pixels(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Centres of the pixels along an axis: two to a cell of the finest grid, so that no cell ends inside a pixel."""
    low, high = frame(points, labels)
    count = min(MOST, max(2, round(2 * (high - low) / finest(points, labels))))
    return low + (np.arange(count) + 0.5) * (high - low) / count


def _every(points: np.ndarray, stride: int) -> np.ndarray:
    """Indices of the points at so many of the smallest distances; none where one is missing or the last is not."""
    if len(points) < FEWEST:
        return np.arange(0)
    places = (points - points[0]) / (stride * finest(points, points))
    found = np.flatnonzero(np.abs(places - np.round(places)) < ALIKE)
    whole = found[-1] == len(points) - 1 and len(found) == round(places[-1]) + 1
    return found if whole and len(found) >= FEWEST else np.arange(0)


def _around(kept: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of so many points the place, among those kept, of the one at or before it and at or behind it."""
    every = np.arange(count)
    return np.searchsorted(kept, every, "right") - 1, np.searchsorted(kept, every)
