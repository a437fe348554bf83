"""Spaces in which an eigenproblem is solved: measured products, and what is remembered of the last time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]

ROOM = 0.25  # of the free memory of the device that a basis may take
HOST_BYTES = 2**31  # that a basis may take on the host
NEW = 1e-4  # squared length beyond a space below which a remembered direction has nothing new
NOT_FINITE = "the products are not finite: the loss, its gradient or its curvature overflows here"


class Space:
    """An orthonormal basis, its image under a symmetric matrix, and the matrix within it.

    Args:
        product: multiplies each row of a block ``(rows, size)`` by the matrix.
        like: a tensor ``(any, size)`` of the dtype and device of the basis.
        least: vectors that the basis may have however little memory there is.
    """

    def __init__(self, product: Product, like: Tensor, least: int) -> None:
        self.product, self.products = product, 0
        size = like.shape[1]
        self.limit = max(least, min(size, int(free_bytes(like.device) / (2 * size * like.element_size()))))
        self.basis = self.image = like.new_empty((0, size))
        self.inner = torch.zeros(0, 0, dtype=torch.float64)
        self.krylov = True  # whether the basis is that of Lanczos from its first vector

    def __len__(self) -> int:
        """Vectors in the basis."""
        return len(self.basis)

    def grow(self, block: Tensor) -> bool:
        """Add the directions of ``block`` that are new; False if none is.

        Raises:
            ValueError: the matrix gives NaN or infinity.
        """
        fresh = orthonormalised(block, self.basis)
        if not len(fresh):
            return False
        self.krylov &= len(fresh) == 1
        image = self.product(fresh)
        self.products += len(fresh)
        self.basis, self.image = torch.cat([self.basis, fresh]), torch.cat([self.image, image])
        beside = _host(image @ self.basis.T)
        if not bool(torch.isfinite(beside).all()):
            raise ValueError(NOT_FINITE)
        inner = torch.zeros(len(self), len(self), dtype=torch.float64)
        inner[: len(self.inner), : len(self.inner)] = self.inner
        inner[len(self.inner) :], inner[:, len(self.inner) :] = beside, beside.T
        corner = inner[len(self.inner) :, len(self.inner) :]
        corner.copy_((corner + corner.T) / 2)
        self.inner = inner
        return True

    def vectors(self, y: Tensor) -> Tensor:
        """Combinations of the basis, one for each column of ``y``."""
        return y.T.to(self.basis) @ self.basis

    def residuals(self, theta: Tensor, y: Tensor) -> Tensor:
        """``Hv - theta v`` for each Ritz pair, ``v`` given by a column of ``y``."""
        turn = y.T.to(self.basis)
        return turn @ self.image - theta[:, None].to(self.basis) * (turn @ self.basis)

    def shrink(self, theta: Tensor, y: Tensor, upper: int, lower: int) -> None:
        """Keep half of the room, the Ritz vectors nearest to the wanted ones (thick restart, Wu & Simon 2000)."""
        count, keep = len(theta), max(upper + lower + 2, self.limit // 2)
        high = max(min(round(keep * upper / max(upper + lower, 1)), keep - lower), upper)
        kept = [*range(keep - high), *range(count - high, count)]
        turn = y[:, kept].T.to(self.basis)
        self.basis, self.image = turn @ self.basis, turn @ self.image
        self.inner, self.krylov = torch.diag(theta[kept]), False


@dataclass(frozen=True)
class Memory:
    """What a measurement leaves to the next: ``sum_i values[i] v_i v_i' + bulk (1 - sum_i v_i v_i')`` is the matrix.

    The last vector is the scout: where the matrix pointed outside all that was known.
    """

    vectors: Tensor  # (k, size)
    values: Tensor  # (k,) float64, ascending but for the last
    bulk: float  # mean of all other eigenvalues


class Beside:
    """A remembered matrix beside a measured space: exact where it was measured, remembered elsewhere.

    Of the blocks of the matrix in the span of both, only the one between remembered vectors is old; that between
    them and the basis follows from the image of the basis.
    """

    def __init__(self, space: Space, memory: Memory | None) -> None:
        self.space = space
        self.basis = space.basis[:0]
        self.cross = torch.zeros(0, len(space), dtype=torch.float64)
        inner = torch.zeros(0, 0, dtype=torch.float64)
        if memory is not None:
            along = memory.vectors @ space.basis.T
            beyond = _host(memory.vectors @ memory.vectors.T) - _host(along) @ _host(along).T
            lengths, turn = torch.linalg.eigh(beyond)
            turn = turn[:, lengths > NEW] / lengths[lengths > NEW].sqrt()
            self.basis = turn.T.to(along) @ memory.vectors - (turn.T.to(along) @ along) @ space.basis
            self.cross = _host(self.basis @ space.image.T)
            old = turn.T @ beyond
            inner = (old * (memory.values - memory.bulk)) @ old.T + memory.bulk * torch.eye(len(old)).double()
        top, bottom = torch.cat([space.inner, self.cross.T], 1), torch.cat([self.cross, inner], 1)
        self.values, self.y = torch.linalg.eigh(torch.cat([top, bottom]))

    def outside(self, y: Tensor) -> Tensor:
        """What the matrix makes of the measured part of vectors, by column of ``y``, outside the span of both."""
        measured = y[: len(self.space)]
        image = measured.T.to(self.basis) @ self.space.image - self.space.vectors(self.space.inner @ measured)
        return image - (self.cross @ measured).T.to(self.basis) @ self.basis

    def unmeasured(self, y: Tensor) -> Tensor:
        """The remembered part of vectors, by column of ``y``."""
        return y[len(self.space) :].T.to(self.basis) @ self.basis

    def memory(self, places: Sequence[int], scout: Tensor, bulk: float) -> Memory:
        """The eigenvectors at the given places, in ascending order, and a scout."""
        y = self.y[:, list(places)]
        length = torch.linalg.vector_norm(scout)
        scout = torch.where(length > 0, scout / length, 0.0)
        vectors = torch.cat([self.space.vectors(y[: len(self.space)]) + self.unmeasured(y), scout[None]])
        return Memory(vectors, torch.cat([self.values[list(places)], torch.tensor([bulk]).double()]), bulk)


def orthonormalised(block: Tensor, basis: Tensor) -> Tensor:
    """The rows of ``block`` made orthonormal and orthogonal to ``basis``; what depends on them is left out."""
    fresh: list[Tensor] = []
    least = 100 * torch.finfo(block.dtype).eps
    for row in block:
        norm = torch.linalg.vector_norm(row)
        if not float(norm) > 0:
            continue
        row = row / norm
        for _ in range(2):  # twice is enough (Giraud et al. 2005)
            if len(basis):
                row = row - (basis @ row) @ basis
            for other in fresh:
                row = row - (other @ row) * other
            left = torch.linalg.vector_norm(row)
            if float(left) <= least:
                break
            row = row / left
        else:
            fresh.append(row)
    return torch.stack(fresh) if fresh else block.new_empty((0, block.shape[1]))


def free_bytes(device: torch.device) -> float:
    """Memory that a basis may take."""
    if device.type != "cuda":
        return HOST_BYTES
    free = torch.cuda.mem_get_info(device)[0]
    return ROOM * (free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def _host(tensor: Tensor) -> Tensor:
    return tensor.to("cpu", torch.float64)
