"""A slice of the loss: a grid over a line or a plane through the parameters, filled from coarse to fine."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from nbtoolkit.numerics.given import is_finite, is_whole, shown
from nbtoolkit.numerics.points import Points, Values

COARSEST = 5  # points a side


def axis(size: int, extent: float) -> Tensor:
    """Coordinates of a grid: ``size`` points from ``-extent`` to ``extent``, the middle one exactly 0.

    Raises:
        ValueError: the size is even or below 3, or the extent is no positive number.
    """
    if not is_whole(size, 3) or size % 2 == 0:
        raise ValueError(
            f"points={shown(size)}: expected an odd number of 3 or more, so that the centre is one of them"
        )
    if not is_finite(extent) or extent <= 0:
        raise ValueError(f"extent={shown(extent)}: expected a positive number, in units of the directions")
    half = torch.linspace(0.0, float(extent), int(size) // 2 + 1, dtype=torch.float64)
    return torch.cat([-half[1:].flip(0), half])


def sides(size: int) -> list[int]:
    """Points a side of ever finer grids that end in ``size``, each within the next, all with the centre: 7, 13, 25."""
    found = [size]
    while (found[0] - 1) % 4 == 0 and (found[0] + 1) // 2 >= COARSEST:
        found.insert(0, (found[0] + 1) // 2)
    return found


def evaluations(size: int, share: float, dims: int = 2) -> int:
    """Points at which a grid is evaluated."""
    coarse = sides(size)[-2] ** dims if len(sides(size)) > 1 else 0
    return coarse + math.ceil(share * (size**dims - coarse))


def grid(points: Points, *, size: int = 25, extent: float = 1.0, share: float = 1.0) -> Iterator[Values]:
    """Loss and error rate over the grid, NaN where not evaluated yet; each is better than the one before.

    No point is evaluated twice, and nothing is interpolated. Within a refinement come first the points at which the
    coarser grid bends most.

    Args:
        points: evaluates; one direction makes a line, two a plane.
        size: points a side, see `axis`.
        extent: of the coordinates.
        share: of the points of the last refinement that is evaluated; the flattest places stay NaN.

    Raises:
        ValueError: the size, the extent or the share make no sense.
    """
    along = axis(size, extent)
    size = len(along)
    if not is_finite(share) or not 0 <= share <= 1:
        raise ValueError(f"share={shown(share)}: expected a number from 0 to 1")
    dims = len(points.directions)
    loss = torch.full((size,) * dims, torch.nan, dtype=torch.float64)
    error, done = loss.clone(), torch.zeros_like(loss, dtype=torch.bool)
    chain = sides(size)
    for side in chain:
        every = (slice(None, None, (size - 1) // (side - 1)),) * dims
        fresh = torch.zeros_like(done)
        fresh[every] = ~done[every]
        places = fresh.nonzero()
        if share == 1 and points.together >= int((~done).sum()):
            places = (~done).nonzero()  # all that is left takes no longer
        elif side != chain[0]:
            coarse = loss[(slice(None, None, 2 * every[0].step),) * dims]
            order = _halved(bending(coarse)).flatten().argsort(descending=True, stable=True)
            ranks = torch.empty_like(order)
            ranks[order] = torch.arange(len(order))
            places = places[ranks.view((side,) * dims)[fresh[every]].argsort()]
        if side == size and side != chain[0]:
            places = places[: math.ceil(share * len(places))]
        central = (places == size // 2).all(1)
        places = torch.cat([places[central], places[~central]])  # first, so that it does not part the others
        for found in points.blocks(along[places]):
            at = tuple(places[: len(found.loss)].T)
            places = places[len(found.loss) :]
            loss[at], error[at], done[at] = found.loss, found.error, True
            yield Values(loss.clone(), error.clone())


def bending(loss: Tensor) -> Tensor:
    """How much a surface bends at each point of a grid: second differences of its logarithm, summed over the axes.

    The logarithm is that of the height above the lowest point, in units of the median height; where the loss is not
    finite it counts as the highest point.
    """
    finite = loss[loss.isfinite()]
    if not len(finite):
        return torch.zeros_like(loss)
    heights = torch.where(loss.isfinite(), loss, finite.max()) - finite.min()
    unit = float((finite - finite.min()).median()) or 1.0
    log, total = torch.log1p(heights / unit), torch.zeros_like(loss)
    for dim in range(loss.ndim):
        inside = log.diff(n=2, dim=dim).abs()
        if inside.shape[dim]:
            ends = inside.narrow(dim, 0, 1), inside.narrow(dim, inside.shape[dim] - 1, 1)
            total += torch.cat([ends[0], inside, ends[1]], dim)
    return total


def _halved(values: Tensor) -> Tensor:
    """Values on the grid of half the spacing: means of the neighbours."""
    for dim in range(values.ndim):
        fine = torch.arange(2 * values.shape[dim] - 1)
        values = (values.index_select(dim, fine // 2) + values.index_select(dim, (fine + 1) // 2)) / 2
    return values
