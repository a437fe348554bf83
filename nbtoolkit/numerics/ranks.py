"""How many dimensions a matrix fills: ranks of several kinds, from its singular values."""

import torch
from torch import Tensor

from nbtoolkit.numerics.class_error import wide

CHUNK = 2**22  # numbers taken to float64 at once


def singular_values(matrix: Tensor, *, centred: bool = False) -> Tensor:
    """Singular values of a matrix, the largest first, ``(min(rows, columns),)``, in float64.

    A long matrix is first brought to a square one by QR decompositions of its parts, which loses no digits as its Gram
    matrix would.

    Args:
        matrix: ``(rows, columns)``, finite.
        centred: whether the mean row is taken off.
    """
    mean = wide(matrix).mean(0) if centred else torch.zeros(matrix.shape[1], device=matrix.device)
    narrow, shift = (matrix.T, mean[:, None]) if len(matrix) < matrix.shape[1] else (matrix, mean)
    width = narrow.shape[1]
    if len(narrow) <= 2 * width:
        return torch.linalg.svdvals(wide(narrow) - shift)
    rows = max(2 * width, CHUNK // width)
    triangle = torch.zeros(0, width, dtype=wide(mean).dtype, device=matrix.device)
    for first in range(0, len(narrow), rows):
        part = slice(first, first + rows)
        below = wide(narrow[part]) - (shift[part] if shift.ndim == 2 else shift)
        triangle = torch.linalg.qr(torch.cat([triangle, below]), mode="r").R
    return torch.linalg.svdvals(triangle)


def effective_rank(values: Tensor) -> float:
    """``exp(-sum p ln p)`` with ``p = values / sum(values)``; NaN where all values are 0, or one is NaN.

    Args:
        values: singular values.

    Source: Roy & Vetterli (2007), The effective rank: a measure of effective dimensionality, EUSIPCO, section 2.
    """
    return float(torch.exp(torch.special.entr(values / values.sum()).sum()))


def srank(values: Tensor, delta: float) -> float:
    """Smallest k such that the k largest values make up ``1 - delta`` of their sum; NaN where all are 0, or one is NaN.

    Args:
        values: singular values, the largest first.
        delta: share that may be left out.

    Source: Kumar et al. (2021), arXiv:2010.14498, section 3.
    """
    share = values.cumsum(0) / values.sum()
    if bool(share.isnan().any()):
        return float("nan")
    return 1.0 + int((share < 1 - delta - 1e-12).sum())  # the last digits are rounding


def stable_rank(values: Tensor) -> float:
    """``|W|_F^2 / |W|_2^2`` from the singular values of W, the largest first; NaN where all are 0."""
    return float((values / values[0]).square().sum())


def rounding(matrix: Tensor) -> float:
    """What of the largest singular value the smallest ones of this matrix may be by rounding alone."""
    return max(matrix.shape) * torch.finfo(matrix.dtype).eps


def numerical_rank(matrix: Tensor) -> int:
    """How many singular values are above rounding in the dtype of the matrix, as ``torch.linalg.matrix_rank`` says."""
    values = singular_values(matrix)
    return int((values > rounding(matrix) * values[0]).sum())
