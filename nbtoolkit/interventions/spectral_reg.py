"""Spectral regularisation: hold the largest singular value of each layer near one."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.given import is_finite, is_seed, is_whole, shown

START = 32  # rounds of power iteration on a matrix that is seen for the first time
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class SpectralReg:
    """Penalty ``strength * (sum_W (sigma_1(W)^k - 1)^2 + sum_b |b|^(2k))`` on weights W and additive parameters b.

    Made before training::

        spectral = SpectralReg(model, 1e-2)
        loss = F.cross_entropy(model(x), y) + spectral.penalty()

    Weights are trained parameters with two or more dims, kernels as matrices (out, rest). Of the others, the scales of
    normalisation layers are pulled to one, ``(max |g|^k - 1)^2``, as diagonal matrices; the rest to zero.

    sigma_1 = u'Wv comes from power iteration that goes on from the last call, as in the paper, and its gradient is
    u v', that of the largest singular value where u and v have converged. It is never above sigma_1, and in a training
    that moves W a few percent below, since the penalty brings the largest singular values close together; more rounds
    bring it nearer. Random numbers come from a generator of its own.

    Args:
        model: whose trained parameters count.
        strength: in front of the sum.
        power: k.
        rounds: of power iteration at each call.
        seed: of the vectors it begins with.

    Raises:
        ValueError: the model has no trained parameter, the strength is negative, ``power`` or ``rounds`` is no whole
            number from 1 on, or the seed is none.

    Source: Lewandowski et al. (2025), Learning continually by spectral regularization, arXiv:2406.06811, section 4.
    """

    def __init__(self, model: nn.Module, strength: float, *, power: int = 2, rounds: int = 1, seed: int = 0) -> None:
        if not (is_finite(strength) and strength >= 0):
            raise ValueError(f"SpectralReg got strength={shown(strength)}; it must be a finite number, 0 or more.")
        for name, value in (("power", power), ("rounds", rounds)):
            if not is_whole(value, 1):
                raise ValueError(f"SpectralReg got {name}={shown(value)}; give a whole number, 1 or more.")
        if not is_seed(seed):
            raise ValueError(f"SpectralReg got seed={shown(seed)}; give a whole number from 0 to 2**64 - 1.")
        self.strength, self.power, self.rounds = float(strength), int(power), int(rounds)
        trained = [param for param in model.parameters() if param.requires_grad]
        if not trained:
            raise ValueError("SpectralReg found no parameter that requires a gradient.")
        scales = {id(param) for param in _scales(model)}
        self._weights = [param for param in trained if param.ndim > 1]
        self._scales = [param for param in trained if id(param) in scales]
        self._added = [param for param in trained if param.ndim < 2 and id(param) not in scales]
        generator = torch.Generator().manual_seed(int(seed))
        self._right = [_direction(weight, generator) for weight in self._weights]
        for weight, right in zip(self._weights, self._right, strict=True):
            _iterate(weight, right, START)

    def singular_values(self) -> list[Tensor]:
        """The largest singular value of each weight, as power iteration has it; 0-d tensors with a graph."""
        found = []
        for weight, right in zip(self._weights, self._right, strict=True):
            left = _iterate(weight, right, self.rounds)
            found.append(left @ weight.flatten(1) @ right.clone())  # the vector moves on before backward()
        return found

    def penalty(self) -> Tensor:
        """The penalty at the present parameters, a 0-d tensor."""
        sizes = [*self.singular_values(), *(scale.abs().max() for scale in self._scales)]
        parts = [(size**self.power - 1).square() for size in sizes]
        parts += [bias.square().sum() ** self.power for bias in self._added]
        return self.strength * torch.stack([part.to(parts[0].device) for part in parts]).sum()


def _scales(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, NORMS) and isinstance(scale := module.weight, Tensor):
            yield scale


def _direction(weight: Tensor, generator: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(weight.flatten(1).shape[1], generator=generator).to(weight), dim=0)


@torch.no_grad()
def _iterate(weight: Tensor, right: Tensor, rounds: int) -> Tensor:
    """The left vector after some rounds of power iteration on W'W; ``right`` is turned in place."""
    matrix = weight.flatten(1)
    for _ in range(rounds):
        right.copy_(F.normalize(matrix.T @ (matrix @ right), dim=0))
    return F.normalize(matrix @ right, dim=0)
