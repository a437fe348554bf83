"""How several gradients lie to each other: angles, lengths, conflict, condition number."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 2**18  # entries of each gradient that are taken to float64 at once


@dataclass(frozen=True)
class Relations:
    """Of m gradients g_i, in float64 on the host.

    Args:
        norms: |g_i|, ``(m,)``.
        cosine: g_i . g_j / (|g_i| |g_j|), ``(m, m)``, symmetric, 1 on the diagonal; NaN where one is 0.
        conflict: the share of the pairs with a cosine below 0; NaN where there is no pair of gradients that are not 0.
        condition: sigma_max / sigma_min of the matrix with the columns g_i, infinite where they are linearly dependent.
        triangle: R of its QR decomposition, ``(m, m)``: inner products of the g_i are those of its columns.
    """

    norms: Tensor
    cosine: Tensor
    conflict: float
    condition: float
    triangle: Tensor


def relations(gradients: Sequence[Tensor]) -> Relations:
    """How gradients, vectors of one length, lie to each other.

    Through a QR decomposition that is made piece by piece, so that small angles and large condition numbers keep their
    digits; the gradients are not copied.

    Raises:
        ValueError: there is none, or one is not finite.

    Source: condition number: Senushkin et al. (2023), Independent component alignment, arXiv:2305.19000; conflict:
    Liu et al. (2025), ConFIG, arXiv:2408.11104.
    """
    if not gradients:
        raise ValueError("there is no gradient")
    triangle = _triangle(gradients)
    norms = torch.linalg.vector_norm(triangle, dim=0)
    if not bool(torch.isfinite(norms).all()):
        raise ValueError("a gradient is not finite")
    unit = triangle / norms
    cosine = (unit.T @ unit).clamp(-1.0, 1.0)
    cosine = (cosine + cosine.T) / 2
    cosine.diagonal().masked_fill_(norms > 0, 1.0)
    pairs = cosine[tuple(torch.triu_indices(len(norms), len(norms), 1))]
    known = pairs[~pairs.isnan()]
    share = float((known < 0).double().mean()) if len(known) else math.nan
    sigma = torch.linalg.svdvals(triangle)
    rounding = len(norms) * torch.finfo(torch.float64).eps * float(sigma[0])
    condition = float(sigma[0] / sigma[-1]) if float(sigma[-1]) > rounding else math.inf
    return Relations(norms, cosine, share, condition, triangle)


def vectors(trees: Sequence[Mapping[str, Tensor | None]]) -> list[Tensor]:
    """Each of some trees of gradients by name as one vector, all in one order; zero where one has none.

    Raises:
        ValueError: there is no gradient in any of them.
    """
    like = {name: grad for tree in trees for name, grad in tree.items() if grad is not None}
    if not like:
        raise ValueError("there is no gradient")
    device = next(iter(like.values())).device
    return [torch.cat(list(_filled(tree, like, device))) for tree in trees]


def _filled(tree: Mapping[str, Tensor | None], like: Mapping[str, Tensor], device: torch.device) -> Iterator[Tensor]:
    for name, other in like.items():
        grad = tree.get(name)
        if grad is None:
            grad = torch.zeros(other.shape, dtype=other.dtype)
        yield (grad.to_dense() if grad.is_sparse else grad).detach().reshape(-1).to(device)


def _triangle(gradients: Sequence[Tensor]) -> Tensor:
    """R of the QR decomposition of the matrix with these columns, ``(m, m)``, piece by piece from top to bottom."""
    count = len(gradients)
    triangle = torch.zeros(count, count, dtype=torch.float64)
    for parts in zip(*(gradient.split(CHUNK) for gradient in gradients), strict=True):
        piece = torch.stack([part.detach().to("cpu", torch.float64) for part in parts], dim=1)
        triangle = torch.linalg.qr(torch.cat([triangle, piece]), mode="r").R
    return triangle
