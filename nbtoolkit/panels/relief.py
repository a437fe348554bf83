"""The geometry of a surface over a plane, seen from somewhere without perspective.

The same rules as in js/src/surface.ts.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbtoolkit.panels.isolines import height_of
from nbtoolkit.panels.plane import Plane

QUADS = 24  # along each side; of more, every second, third ... point is drawn
TALLNESS = 1.1  # height of the box, its sides being 2
SIGNS = ("\N{GREEK SMALL LETTER ALPHA}", "\N{GREEK SMALL LETTER BETA}")


@dataclass(frozen=True)
class View:
    """From where the box is seen, without perspective: turned about the vertical, and from above (degrees)."""

    azimuth: float = -35.0
    elevation: float = 32.0

    def seen(self, x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
        """Right and up on the screen, and the distance from the reader, of places in the box from -1 to 1."""
        turn, lift = math.radians(self.azimuth), math.radians(self.elevation)
        right = x * math.cos(turn) - y * math.sin(turn)
        back = x * math.sin(turn) + y * math.cos(turn)
        return right, back * math.sin(lift) + z * math.cos(lift), back * math.cos(lift) - z * math.sin(lift)


def quads(shown: Plane, ends: tuple[float, float], scale: str, view: View) -> dict[str, Any]:
    """The quads of a plane; those with a corner that has no height are left out."""
    thin = thinned(shown)
    if min(thin.values.shape, default=0) < 2:
        return {"xs": [], "ys": [], "value": np.empty(0)}
    heights = height_of(thin.values, scale)
    across, up = np.meshgrid(*boxed(thin, shown))
    x, y, back = view.seen(across, up, raised(heights, ends, scale))
    corners = [(slice(j, j - 1 or None), slice(i, i - 1 or None)) for j, i in ((0, 0), (0, 1), (1, 1), (1, 0))]
    means, depths = (np.mean([field[corner] for corner in corners], axis=0) for field in (heights, back))
    order = [k for k in np.argsort(-depths, axis=None, kind="stable") if np.isfinite(means.flat[k])]
    xs, ys = (np.stack([field[corner].ravel() for corner in corners], axis=1) for field in (x, y))
    values = means.ravel()[order]
    return {"xs": list(xs[order]), "ys": list(ys[order]), "value": 10.0**values if scale == "log" else values}


def thinned(shown: Plane) -> Plane:
    """Every second, third ... point, and the last, where there are too many."""
    x, y = (_kept(len(points)) for points in (shown.x, shown.y))
    return Plane(shown.x[x], shown.y[y], shown.values[np.ix_(y, x)])


def boxed(thin: Plane, whole: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates as places in the box, from -1 to 1."""
    x, y = (2 * (p - q[0]) / (q[-1] - q[0]) - 1 for p, q in ((thin.x, whole.x), (thin.y, whole.y)))
    return x, y


def raised(heights: np.ndarray, ends: tuple[float, float], scale: str) -> np.ndarray:
    """Heights as places in the box, the middle at 0."""
    low, high = (float(height_of(np.array(end), scale)) for end in ends)
    return TALLNESS * ((heights - low) / (high - low) - 0.5)


def on_surface(shown: Plane, points: np.ndarray, scale: str) -> np.ndarray:
    """Heights at points between the samples, for what is drawn on the surface; NaN where a corner has none."""
    heights = height_of(shown.values, scale)
    found = np.full(len(points), np.nan)
    for k, (a, b) in enumerate(points):
        if min(heights.shape) < 2 or not (shown.x[0] <= a <= shown.x[-1] and shown.y[0] <= b <= shown.y[-1]):
            continue
        i, j = (min(len(p) - 2, int(np.searchsorted(p, v, "right")) - 1) for p, v in ((shown.x, a), (shown.y, b)))
        s, t = (a - shown.x[i]) / (shown.x[i + 1] - shown.x[i]), (b - shown.y[j]) / (shown.y[j + 1] - shown.y[j])
        low = (1 - s) * heights[j, i] + s * heights[j, i + 1]
        found[k] = (1 - t) * low + t * ((1 - s) * heights[j + 1, i] + s * heights[j + 1, i + 1])
    return found


def box(shown: Plane, view: View) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The floor and its far upright edges as lines, and the words at its ends."""
    floor, top = -TALLNESS / 2, TALLNESS / 2
    sides = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    far = max(sides, key=lambda side: view.seen(*side, floor)[2])
    edges = [[(*sides[k], floor), (*sides[(k + 1) % 4], floor)] for k in range(4)] + [[(*far, floor), (*far, top)]]
    lines: dict[str, list[Any]] = {"xs": [], "ys": []}
    for edge in edges:
        ends = [view.seen(*place) for place in edge]
        lines["xs"].append([end[0] for end in ends])
        lines["ys"].append([end[1] for end in ends])
    if not shown.values.size:
        return lines, {"x": [], "y": [], "text": []}
    near_y = min((-1, 1), key=lambda y: view.seen(0, y, floor)[2])
    near_x = min((-1, 1), key=lambda x: view.seen(x, 0, floor)[2])
    told = [(x, 1.14 * near_y, f"{end:g}") for x, end in ((-1, shown.x[0]), (1, shown.x[-1]))]
    told += [(1.14 * near_x, y, f"{end:g}") for y, end in ((-1, shown.y[0]), (1, shown.y[-1]))]
    told += [(0, 1.2 * near_y, SIGNS[0]), (1.2 * near_x, 0, SIGNS[1])]
    places = [view.seen(x, y, floor) for x, y, _ in told]
    texts = [text.replace("-", "\N{MINUS SIGN}") for *_, text in told]
    return lines, {"x": [place[0] for place in places], "y": [place[1] for place in places], "text": texts}


def _kept(count: int) -> np.ndarray:
    every = max(1, -(-(count - 1) // QUADS))
    return np.unique(np.r_[np.arange(0, count, every), count - 1]) if count else np.arange(0)
