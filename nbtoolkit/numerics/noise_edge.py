"""Where the singular values of a matrix of pure noise end, and which ones lie beyond."""

import functools
import math

import torch
from torch import Tensor

POINTS = 20_001  # of an integral, to 1e-8
FEWEST = 10  # singular values, for their median to tell the size of the noise
TRACY_WIDOM = 2.0234  # the 0.99 quantile of the Tracy-Widom law of order 1


@functools.cache
def median(ratio: float) -> float:
    """The median of the Marchenko-Pastur law with density sqrt((b - x)(x - a)) / (2 pi ratio x) on a < x < b.

    Here a, b = (1 -+ sqrt(ratio))^2: the law of the squared singular values of a matrix with ``ratio n`` rows, n
    columns and independent entries of variance 1/n.

    Args:
        ratio: the smaller side over the larger, above 0 and up to 1.
    """
    low, high = (1 - math.sqrt(ratio)) ** 2, (1 + math.sqrt(ratio)) ** 2
    centre, radius = (low + high) / 2, (high - low) / 2
    # By the angle t with x = centre - radius cos t the density has no singularity at the edges.
    angle = torch.linspace(0, math.pi, POINTS, dtype=torch.float64)
    x = centre - radius * angle.cos()
    density = (radius * angle.sin()).square() / (2 * math.pi * ratio * x)
    density[0] = 0 if low > 0 else radius / (math.pi * ratio)
    below = torch.cumulative_trapezoid(density, angle)  # up to each angle but the first
    place = int(torch.searchsorted(below, 0.5))
    middle = torch.lerp(angle[place], angle[place + 1], (0.5 - below[place - 1]) / (below[place] - below[place - 1]))
    return float(centre - radius * middle.cos())


def noise(values: Tensor, rows: int, columns: int) -> float | None:
    """Standard deviation of the entries of the noise in a matrix, from the median of its singular values.

    A few values that are no noise do not move the median. None for fewer than `FEWEST` values.

    Args:
        values: all singular values, the largest first.
        rows: of the matrix.
        columns: of the matrix.

    Source: Gavish & Donoho (2014), arXiv:1305.5870, section III: unknown noise level.
    """
    if len(values) < FEWEST:
        return None
    middle = float(values.quantile(0.5))
    return middle / math.sqrt(max(rows, columns) * median(min(rows, columns) / max(rows, columns)))


def edge(deviation: float, rows: int, columns: int) -> float:
    """Where the singular values of noise end in the limit of large matrices: s (sqrt(m) + sqrt(n)).

    Source: Marchenko & Pastur (1967); Bai & Yin (1993) for the largest value itself.
    """
    return deviation * (math.sqrt(rows) + math.sqrt(columns))


def highest(deviation: float, rows: int, columns: int) -> float:
    """What the largest singular value of noise exceeds once in a hundred times.

    Source: Johnstone (2001), On the distribution of the largest eigenvalue in principal components analysis,
    theorem 1.1.
    """
    n, p = max(rows, columns), min(rows, columns)
    sides = math.sqrt(n - 1) + math.sqrt(p)
    scale = sides * (1 / math.sqrt(n - 1) + 1 / math.sqrt(p)) ** (1 / 3)
    return deviation * math.sqrt(sides**2 + TRACY_WIDOM * scale)
