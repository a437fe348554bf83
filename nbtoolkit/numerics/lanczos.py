"""Lanczos in blocks: extreme eigenpairs of one matrix, and the quadrature behind spectral densities."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nbtoolkit.numerics.subspace import NOT_FINITE, Product, Space, free_for, host, orthonormalised
from nbtoolkit.numerics.warm import LOOSE, SAFETY, Beside, Memory, holds, known, places, promised, scout, usable

__all__ = ["Eigenpairs", "Product", "Tridiagonal", "extreme_eigenpairs", "orthonormalised", "tridiagonal"]

LEAST_BASIS = 8
FAR = 0.2  # residual, in parts of the largest magnitude, at which no bound is near yet
GRID = np.linspace(0, 1, 50)
NEIGHBOURS = 6  # eigenpairs remembered beside the wanted ones at each end
SMALLEST_PART = 0.0627  # a normal number is nearer to zero than this in 5 % of cases
FEWEST = 3  # products more than there are wanted pairs; what is to spare goes to the scout


@dataclass(frozen=True)
class Eigenpairs:
    """Approximate eigenpairs, the largest first.

    ``residuals[i]`` is ``|Hv - theta v|``: an eigenvalue lies within it of ``values[i]``, whatever came before.
    ``errors`` are what convergence is judged by: from a random start, the distance to a bound that the eigenvalue
    exceeds with a probability of 5 % (for the outermost; the residual for all others); from a warm start an estimate.
    """

    values: Tensor  # (k,) float64, on the host
    vectors: Tensor  # (k, size), orthonormal
    residuals: Tensor  # (k,) float64
    errors: Tensor  # (k,) float64
    products: int
    converged: bool
    memory: Memory


def extreme_eigenpairs(
    product: Product,
    start: Tensor,
    *,
    previous: Eigenpairs | None = None,
    largest: int = 1,
    smallest: int = 0,
    tolerance: float = 1e-3,
    most: int = 100,
    rows: int = 1,
) -> Eigenpairs:
    """Eigenpairs at both ends of the spectrum of a symmetric matrix.

    From a random vector this is Lanczos with full reorthogonalisation. It stops when, with a probability of 95 % over
    the start, no eigenvalue lies further out than ``tolerance`` (van Dorsselaer, Hochstenbach & van der Vorst 2000,
    doi:10.1137/S0895479897331197: the Lanczos polynomial grows beyond its zeros, and the start has its share of every
    eigenvector).

    After a ``previous`` measurement of a similar matrix, its eigenvectors are measured first. Every further vector is
    the correction that first-order perturbation theory promises from the remembered eigenpairs, and the error is what
    it promises for the value. Products that are then to spare go to a scout, so that what overtakes is seen: the
    runner-up at each end, where the matrix last pointed outside all that was known, and some noise. What appears
    suddenly and orthogonally to everything known is found after one or two more measurements.

    Args:
        product: multiplies each row of a block ``(rows, size)`` by the matrix.
        start: random, ``(vectors, size)``; a warm start takes its noise from it.
        previous: result for a matrix nearby, of the same size; what else it is does not bias the result.
        largest: eigenpairs wanted at the upper end.
        smallest: eigenpairs wanted at the lower end.
        tolerance: of the values, relative to the largest magnitude.
        most: products at most (a block that begun with is finished).
        rows: vectors added at once; more than 1 pays where a block costs little more than a vector.

    Returns:
        ``min(largest + smallest, size)`` pairs.

    Raises:
        ValueError: the matrix gives NaN or infinity.
    """
    size = start.shape[1]
    upper = min(largest, size)
    lower = min(smallest, size - upper)
    memory = usable(None if previous is None else previous.memory, size, upper, lower)
    space = Space(product, start, max(upper + lower + 3, LEAST_BASIS))
    if memory is not None:
        space.grow(known(memory, upper, lower))
        memory = memory if holds(memory, space, upper, lower) else None
    if memory is None:
        space = Space(product, start, space.limit, space.products)
        space.grow(start)
    history: list[Tensor] = []
    scouted = 0
    while True:
        beside = Beside(space, memory)
        theta, y = (beside.values, beside.y) if memory is None else torch.linalg.eigh(space.inner)
        at, ends = places(len(theta), upper, lower)
        wanted, _ = places(len(beside.values), upper, lower)
        outside = beside.outside(beside.y[:, wanted])
        residuals = outside if memory is None else space.residuals(theta[at], y[:, at])
        norms, beyond = (host(torch.linalg.vector_norm(r, dim=1)) for r in (residuals, outside))
        scale = max(float(theta.abs().max()), torch.finfo(torch.float32).tiny)
        bulk = float(space.inner[0, 0]) if memory is None else memory.bulk
        if memory is not None:
            history.append(theta[at])
            errors = SAFETY * promised(beside.values, wanted, theta[at], ends, beyond, bulk, scale, history)
            errors = torch.maximum(errors, norms / LOOSE)
        else:
            errors = norms.clone()
            if space.krylov and len(space) < size and float(norms.max()) < FAR * scale:
                _certify(errors, theta, ends, space)
        whole = len(space) >= size
        done = whole or (len(at) == upper + lower and bool((errors <= tolerance * scale).all()))
        if done and memory is not None and space.products < min(FEWEST + upper + lower, most, size):
            last = torch.eye(len(space)).double()[:, -1:]
            block = space.residuals(space.inner[-1:, -1], last) if scouted else scout(memory, start, upper, lower)
            scouted = scouted or len(space)
            if space.grow(block):
                continue
        elif not done and space.products < most:
            order = torch.argsort(errors, descending=True)[: max(1, min(rows, most - space.products))].tolist()
            reach = (beside.values[wanted] - bulk).abs().clamp(min=1e-3 * scale)[order, None].to(outside)
            block = beside.unmeasured(beside.y[:, wanted])[order] + outside[order] / reach
            if len(space) + len(block) > space.limit:
                space.shrink(theta, y, upper, lower)
            if space.grow(block) or (len(at) < upper + lower and space.grow(_random(start, len(space)))):
                continue
            done = True  # nothing lies outside: an invariant space
        vectors = space.vectors(y[:, at])
        pointed = beside.outside(_unit(beside, min(scouted, len(space) - 1)))[0] if scouted else outside[0]
        near, _ = places(len(beside.values), (upper > 0) * (upper + NEIGHBOURS), (lower > 0) * (lower + NEIGHBOURS))
        kept = beside.memory(sorted(near), pointed, bulk)
        return Eigenpairs(theta[at], vectors, norms, errors, space.products, done, kept)


def _unit(beside: Beside, place: int) -> Tensor:
    """Coordinates of one vector of the basis."""
    return torch.eye(len(beside.values), dtype=torch.float64)[:, [place]]


def _random(like: Tensor, seed: int) -> Tensor:
    """One more start vector, where the first has led to fewer eigenvectors than are wanted."""
    return torch.randn(1, like.shape[1], generator=torch.Generator().manual_seed(seed)).to(like)


def _certify(errors: Tensor, theta: Tensor, ends: Tensor, space: Space) -> None:
    """Replace the error of the outermost values by the distance to their bounds.

    The next Lanczos vector is ``p(H) v`` with ``p(x) = prod (x - theta_j) / prod beta_j`` and has length 1, so
    ``|p(lambda)| <= 1 / |part of v along the eigenvector|``.
    """
    last = torch.eye(len(space), dtype=torch.float64)[:, -1:]
    after = space.residuals(torch.zeros(1).double(), last) - space.vectors(space.inner @ last)
    betas = [*space.inner.diagonal(1).abs().tolist(), float(torch.linalg.vector_norm(after))]
    level = -math.log(SMALLEST_PART / math.sqrt(space.basis.shape[1]))
    level += sum(math.log(max(beta, 1e-300)) for beta in betas)
    reach = max(float(theta[-1] - theta[0]) + max(betas), 1e-30)
    for place in {0 if ends[0] > 0 else len(errors) - 1, len(errors) - 1}:
        nodes = theta.numpy() if ends[place] > 0 else -theta.flip(0).numpy()
        low, high = 1e-15 * reach, 2 * reach * len(nodes)
        while low < 0.999 * high:
            grid = low * (high / low) ** GRID
            growth = np.log(np.maximum(nodes[-1] + grid[:, None] - nodes, 1e-300)).sum(1)
            first = int(np.searchsorted(growth, level).clip(1, len(grid) - 1))
            low, high = grid[first - 1], grid[first]
        errors[place] = high


@dataclass(frozen=True)
class Tridiagonal:
    """Lanczos matrices of several start vectors at once, on the host in float64.

    Of row ``p`` the leading ``lengths[p]`` entries count: fewer than asked where the Krylov space was exhausted.
    """

    diagonal: Tensor  # (rows, steps)
    beside: Tensor  # (rows, steps), the last entry the norm of what would come next
    lengths: list[int]

    def quadrature(self) -> tuple[Tensor, Tensor]:
        """Ritz values (ascending) and the weights of the spectral measure of each start vector, padded by NaN.

        Weights are the squared first components of the eigenvectors (Golub & Welsch 1969); they sum to 1.
        """
        nodes = torch.full_like(self.diagonal, float("nan"))
        weights = torch.full_like(self.diagonal, float("nan"))
        for row, length in enumerate(self.lengths):
            diagonal, beside = self.diagonal[row, :length], self.beside[row, : length - 1]
            theta, vectors = torch.linalg.eigh(torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1))
            nodes[row, :length], weights[row, :length] = theta, vectors[0] ** 2
        return nodes, weights

    def extremes(self) -> tuple[Tensor, Tensor]:
        """Largest and smallest Ritz value of each row with their residuals: two tensors ``(rows, 2)``."""
        values, residuals = [], []
        for row, length in enumerate(self.lengths):
            diagonal, beside = self.diagonal[row, :length], self.beside[row, : length - 1]
            theta, vectors = torch.linalg.eigh(torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1))
            values.append(torch.stack([theta[-1], theta[0]]))
            residuals.append(self.beside[row, length - 1] * vectors[-1, [-1, 0]].abs())
        return torch.stack(values), torch.stack(residuals)


def tridiagonal(product: Product, start: Tensor, steps: int) -> Tridiagonal:
    """Lanczos from every row of ``start`` at once, one block of products a step, fully reorthogonalised.

    Where the bases of all rows do not fit into memory, as many rows as fit go together.

    Args:
        product: multiplies each row of a block ``(rows, size)``; not necessarily all by the same matrix.
        start: ``(rows, size)``, any length but zero.
        steps: at most; no more than ``size`` are made.
    """
    rows, size = start.shape
    steps = min(steps, size)
    together = max(1, min(rows, int(free_for(product, start.device) / (steps * size * start.element_size()))))
    parts = [_tridiagonal(product, part, steps) for part in start.split(together)]
    return Tridiagonal(
        torch.cat([part.diagonal for part in parts]), torch.cat([part.beside for part in parts]),
        [length for part in parts for length in part.lengths],
    )  # fmt: skip


def _tridiagonal(product: Product, start: Tensor, steps: int) -> Tridiagonal:
    rows, size = start.shape
    norms = torch.linalg.vector_norm(start, dim=1, keepdim=True)
    basis = start.new_zeros((rows, steps, size))
    basis[:, 0] = start / norms
    diagonal, beside = (start.new_zeros((rows, steps), dtype=torch.float64) for _ in range(2))
    noise = torch.finfo(start.dtype).eps * size**0.5
    alive = start.new_ones(rows)
    scale, after = start.new_zeros(rows), start.new_zeros(rows)
    for step in range(steps):
        current = basis[:, step]
        image = product(current)
        along = (image * current).sum(1)
        diagonal[:, step] = along.double()
        image = image - along[:, None] * current
        if step:
            image = image - after[:, None] * basis[:, step - 1]
        image = _without(image, basis[:, : step + 1])
        after = torch.linalg.vector_norm(image, dim=1)
        scale = torch.maximum(scale, torch.maximum(along.abs(), after))
        # An exhausted Krylov space leaves rounding errors; what would follow from them is not of this start vector.
        alive = alive * (after > noise * scale)
        beside[:, step] = (after * alive).double()
        if step + 1 < steps:
            basis[:, step + 1] = torch.where(alive[:, None] > 0, image / after[:, None], 0.0)
    diagonal, beside = diagonal.cpu(), beside.cpu()
    if not bool(torch.isfinite(diagonal).all()):
        raise ValueError(NOT_FINITE)
    ends = (beside[:, : steps - 1] == 0).double()
    lengths = [int(row.argmax()) + 1 if row.any() else steps for row in ends] if steps > 1 else [1] * rows
    return Tridiagonal(diagonal, beside, lengths)


def _without(vectors: Tensor, bases: Tensor) -> Tensor:
    """Each vector less its part in its own basis, which is small: one pass keeps float32 orthogonal to 1e-6."""
    if vectors.device.type != "cpu":
        return vectors - torch.bmm(torch.bmm(bases, vectors[:, :, None]).transpose(1, 2), bases)[:, 0]
    # On the host a product of matrix and vector is five times as fast as a batch of them.
    return torch.stack([v - basis.T @ (basis @ v) for v, basis in zip(vectors, bases, strict=True)])
