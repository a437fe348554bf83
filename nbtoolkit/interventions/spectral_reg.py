"""Spectral regularisation: hold the largest singular value of each layer near one."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.interventions._named import present, shapes
from nbtoolkit.numerics.directions import NORMS
from nbtoolkit.numerics.given import is_finite, is_seed, is_whole, shown

START = 32  # rounds of power iteration on a matrix that is seen for the first time


class SpectralReg:
    """Penalty ``strength * (sum_W (sigma_1(W)^k - 1)^2 + sum_b |b|^(2k))`` on weights W and additive parameters b.

    Made before training::

        spectral = SpectralReg(model, 1e-2)
        loss = F.cross_entropy(model(x), y) + spectral.penalty()

    Weights are trained parameters with two or more dims, kernels as matrices (out, rest), but those of normalisation
    layers. The scales of these are pulled to one, ``(max |g|^k - 1)^2``, as diagonal matrices; the rest to zero.

    sigma_1 = u'Wv comes from power iteration that goes on from the last call, as in the paper, and its gradient is
    u v', that of the largest singular value where u and v have converged. It is never above sigma_1, and in a training
    that moves W a few percent below, since the penalty brings the largest singular values close together; more rounds
    bring it nearer. It begins anew where v has come to a W with Wv = 0, so that a weight that was zero for a while
    counts again as soon as it moves; at W = 0 itself sigma_1 and its gradient are 0. Parameters are known by their
    names, also in a module put in since. Random numbers come from a generator of its own.

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
        trained = {name: param for name, param in model.named_parameters() if param.requires_grad}
        if not trained:
            raise ValueError("SpectralReg found no parameter that requires a gradient.")
        norms = [module for module in model.modules() if isinstance(module, NORMS)]
        scales = {id(module.weight) for module in norms}
        own = {id(param) for module in norms for param in module.parameters(recurse=False)}
        self.model, self._shapes = model, shapes(trained)
        weights = {name: param for name, param in trained.items() if param.ndim > 1 and id(param) not in own}
        self._scales = [name for name, param in trained.items() if id(param) in scales]
        self._added = [name for name in trained if name not in weights and name not in self._scales]
        generator = torch.Generator().manual_seed(int(seed))
        self._first = {name: _direction(weight, generator) for name, weight in weights.items()}
        self._right = {name: first.clone() for name, first in self._first.items()}
        for name, weight in weights.items():
            _iterate(weight, self._right[name], self._first[name], START)

    def singular_values(self) -> list[Tensor]:
        """The largest singular value of each weight, as power iteration has it; 0-d tensors with a graph.

        Raises:
            ValueError: a parameter is gone or has another shape.
        """
        return self._singular_values(present(self.model, self._shapes, "SpectralReg"))

    def penalty(self) -> Tensor:
        """The penalty at the present parameters, a 0-d tensor.

        Raises:
            ValueError: a parameter is gone or has another shape.
        """
        params = present(self.model, self._shapes, "SpectralReg")
        sizes = [*self._singular_values(params), *(params[name].abs().max() for name in self._scales)]
        parts = [(size**self.power - 1).square() for size in sizes]
        parts += [params[name].square().sum() ** self.power for name in self._added]
        return self.strength * torch.stack([part.to(parts[0].device) for part in parts]).sum()

    def _singular_values(self, params: Mapping[str, Tensor]) -> list[Tensor]:
        found = []
        for name in self._right:
            weight = params[name]
            self._right[name], self._first[name] = self._right[name].to(weight), self._first[name].to(weight)
            right = self._right[name]
            left = _iterate(weight, right, self._first[name], self.rounds)
            found.append(left @ weight.flatten(1) @ right.clone())  # the vector moves on before backward()
        return found


def _direction(weight: Tensor, generator: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(weight.flatten(1).shape[1], generator=generator).to(weight), dim=0)


@torch.no_grad()
def _iterate(weight: Tensor, right: Tensor, first: Tensor, rounds: int) -> Tensor:
    """The left vector after some rounds of power iteration on W'W; ``right`` is turned in place.

    Where W'W has no direction to give (it is 0, or not finite), ``right`` goes back to the ``first``.
    """
    matrix = weight.flatten(1)
    for _ in range(rounds):
        turned = matrix.T @ _unit(matrix @ right)
        size = torch.linalg.vector_norm(turned)
        right.copy_(torch.where((size > 0) & size.isfinite(), turned / size, first))
    return _unit(matrix @ right)


def _unit(vector: Tensor) -> Tensor:
    """Of length 1 however short it was; 0 stays 0."""
    return F.normalize(vector, dim=0, eps=torch.finfo(vector.dtype).tiny)
