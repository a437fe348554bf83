"""A curvature that is known entry by entry, in the place of a loss's."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.numerics.flat import Flat

SGD: dict[str, Any] = {
    "kind": "SGD",
    "groups": [{"lr": 0.1, "momentum": 0.0}],
    "group_of": {"w": 0},
    "state": {"w": {}},
}


class Planted:
    """Stands for `Curvature` and for its one operator: a given symmetric matrix.

    Args:
        matrix: ``(size, size)``.
        names: splits the parameters, by name -> size; one of all by default.
    """

    def __init__(self, matrix: Tensor, names: Mapping[str, int] | None = None) -> None:
        self.dense = matrix
        sizes = names or {"w": len(matrix)}
        self.params = {name: torch.zeros(size, dtype=matrix.dtype) for name, size in sizes.items()}
        self.flat = Flat(self.params)
        self.size, self.device, self.dtype = len(matrix), matrix.device, matrix.dtype
        self.products = 0

    def matrix(self, name: str) -> "Planted":
        assert name == "hessian"
        return self

    def __call__(self, block: Tensor) -> Tensor:
        self.products += 1 if block.ndim == 1 else len(block)
        return block @ self.dense


def with_spectrum(eigenvalues: Tensor, seed: int = 0) -> Tensor:
    """A symmetric matrix with these eigenvalues, in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(
        torch.randn(len(eigenvalues), len(eigenvalues), generator=generator, dtype=torch.float64)
    )
    return (basis * eigenvalues.double()) @ basis.T
