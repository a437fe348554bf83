"""The space in which an eigenproblem is solved: an orthonormal basis and its image."""

from collections.abc import Callable

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]

ROOM = 0.5  # of the free memory of the device that a basis may take
HOST_BYTES = 2**31  # that a basis may take on the host
NOT_FINITE = "the products are not finite: the loss, its gradient or its curvature overflows here"


class Space:
    """An orthonormal basis, its image under a symmetric matrix, and the matrix within it.

    Args:
        product: multiplies each row of a block ``(rows, size)`` by the matrix.
        like: a tensor ``(any, size)`` of the dtype and device of the basis.
        least: vectors that the basis may have however little memory there is.
        products: made before.
    """

    def __init__(self, product: Product, like: Tensor, least: int, products: int = 0) -> None:
        self.product, self.products = product, products
        size = like.shape[1]
        self.limit = max(least, min(size, int(free_for(product, like.device) / (2 * size * like.element_size()))))
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
        beside = host(image @ self.basis.T)
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


def free_for(product: Product, device: torch.device) -> float:
    """Memory that a basis may take, which a product that several processes make together agrees on."""
    agreed = getattr(product, "agreed", None)
    return free_bytes(device) if agreed is None else agreed(free_bytes(device))


def host(tensor: Tensor) -> Tensor:
    """A small tensor on the host, in float64."""
    return tensor.to("cpu", torch.float64)
