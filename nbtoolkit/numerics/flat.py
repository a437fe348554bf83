"""Named parameters as one vector, and back."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Flat:
    """The order and the shapes in which named parameters make one vector of length ``size``.

    Args:
        params: trainable parameters by name. Vectors are on the device of the first, in the widest dtype, at
            least float32.

    Raises:
        ValueError: there are none, or they are complex.
    """

    def __init__(self, params: Mapping[str, Tensor]) -> None:
        if not params:
            raise ValueError("there is no parameter that requires a gradient")
        if any(param.is_complex() for param in params.values()):
            raise ValueError("curvature of complex parameters is not defined here")
        self.names = tuple(params)
        self.shapes = [param.shape for param in params.values()]
        self.sizes = [param.numel() for param in params.values()]
        self.size = sum(self.sizes)
        self.device = next(iter(params.values())).device
        self.dtype = torch.float64 if any(p.dtype == torch.float64 for p in params.values()) else torch.float32

    def join(self, tensors: Sequence[Tensor], rows: int | None = None) -> Tensor:
        """One vector ``(size,)`` of one tensor for each name, or ``(rows, size)`` of stacked ones."""
        shape = (-1,) if rows is None else (rows, -1)
        return torch.cat([t.reshape(shape).to(self.device, self.dtype) for t in tensors], dim=-1)

    def split(self, block: Tensor) -> list[Tensor]:
        """The tensors of a vector ``(size,)`` or of a block ``(rows, size)``, which keep its leading dim."""
        parts = block.split(self.sizes, dim=-1)
        return [part.reshape(*block.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True)]
