"""The smallest point of a sampled curve and the vertex of the parabola through it and its neighbours."""

from dataclasses import dataclass
from math import nan

import numpy as np

from nbtoolkit.analysis.seeds import CONFIDENCE

__all__ = ["EDGE", "FAILED", "NOTHING", "NOT_RUN", "Lowest", "Vertex", "lowest", "vertex"]

NOTHING = "nothing is known"
EDGE = "the best is at the edge of the grid"
FAILED = "beyond the best nothing is known: those cells failed"
NOT_RUN = "beyond the best nothing is known: those cells have not run yet"


@dataclass(frozen=True)
class Lowest:
    """Place of the smallest mean, the places known, and those of the parabola, or why there is none."""

    at: int | None
    known: int
    three: tuple[int, int, int] | None
    why: str = ""


@dataclass(frozen=True)
class Vertex:
    """Where a parabola is lowest, how low, and half the 95 % t interval of where; NaN with one curve."""

    x: float
    y: float
    half: float


def lowest(curves: np.ndarray, x: np.ndarray, waiting: np.ndarray | None = None) -> Lowest:
    """The smallest of the means over curves, where all of them are finite.

    Args:
        curves: ``(seeds, points)``.
        x: where the points lie, in any order.
        waiting: ``(seeds, points)``, which of the values that are not there have just not been tried yet; by default
            none, so that they failed.
    """
    order = np.argsort(x, kind="stable")
    there = np.isfinite(curves).sum(axis=0) == len(curves)
    known = order[there[order]]
    if not len(known):
        return Lowest(None, 0, None, NOTHING)
    place = int(curves[:, known].mean(0).argmin())  # the first of equal ones: the one before it is larger
    at = int(known[place])
    if place in (0, len(known) - 1):
        rank = {int(one): k for k, one in enumerate(order)}[at]
        beyond = [*order[:rank]] * (place == 0) + [*order[rank + 1 :]] * (place == len(known) - 1)
        tried = ~np.isfinite(curves) & (True if waiting is None else ~waiting)
        why = EDGE if not beyond else FAILED if tried[:, beyond].any() else NOT_RUN
        return Lowest(at, len(known), None, why)
    before, after = int(known[place - 1]), int(known[place + 1])
    return Lowest(at, len(known), (before, at, after))


def vertex(x: np.ndarray, curves: np.ndarray) -> Vertex:
    """The vertex of the parabola through the means of three points.

    Its error comes from its derivatives by the three means, applied to each curve's own deviations from them.

    Args:
        x: three places, ascending.
        curves: ``(seeds, 3)``.
    """
    from scipy import stats

    (x0, x1, x2), (y0, y1, y2) = x.tolist(), curves.mean(0).tolist()
    first = (y1 - y0) / (x1 - x0)
    second = ((y2 - y1) / (x2 - x1) - first) / (x2 - x0)
    at = (x0 + x1) / 2 - first / (2 * second)
    height = y0 + first * (at - x0) + second * (at - x0) * (at - x1)
    count = len(curves)
    if count < 2:
        return Vertex(at, height, nan)
    of_first = np.array([-1, 1, 0]) / (x1 - x0)
    of_second = 1 / np.array([(x0 - x1) * (x0 - x2), (x1 - x0) * (x1 - x2), (x2 - x0) * (x2 - x1)])
    by = (first * of_second - second * of_first) / (2 * second**2)
    error = ((curves - curves.mean(0)) @ by).std(ddof=1) / np.sqrt(count)
    return Vertex(at, height, float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * error))
