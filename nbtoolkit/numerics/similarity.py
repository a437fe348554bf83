"""How alike two representations of the same examples are: linear centred kernel alignment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nbtoolkit.numerics.loss_at import LossAt, examples
from nbtoolkit.numerics.statistics import whole, with_statistics

FEWEST = 4  # examples, for the unbiased estimate
EQUAL = 1e-12  # relative distance from the mean that is rounding
CHUNK = 2**22  # numbers taken to float64 at once


@dataclass(frozen=True)
class Representation:
    """Centred features of examples in float64: themselves, or their inner products where those are fewer.

    ``matrix`` is ``(examples, features)``, or with ``gram`` ``(examples, examples)``.
    """

    matrix: Tensor
    gram: bool

    @property
    def squares(self) -> Tensor:
        """Squared norm of each example, ``(examples,)``."""
        return self.matrix.diagonal() if self.gram else self.matrix.square().sum(1)


class Collected:
    """Features of some examples that come in parts, side by side; only their `Representation` is held."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []  # centred
        self._gram: Tensor | None = None
        self._size = self._centred = 0.0  # norms of all features, and of all centred ones

    def add(self, features: Tensor) -> None:
        """Take more features ``(examples, ...)``, all that follows the first dim flattened."""
        flat = features.detach().reshape(len(features), -1)
        width = flat.shape[1] + sum(part.shape[1] for part in self._parts)
        if self._gram is None and width > len(flat):
            self._gram = torch.zeros(len(flat), len(flat), dtype=torch.float64, device=flat.device)
            for part in self._parts:
                self._gram.addmm_(part, part.T)
            self._parts = []
        for some in flat.split(max(1, CHUNK // max(1, len(flat))), dim=1):
            wide = some.double()
            centred = wide - wide.mean(0)
            self._size = math.hypot(self._size, float(wide.norm()))
            self._centred = math.hypot(self._centred, float(centred.norm()))
            if self._gram is None:
                self._parts.append(centred)
            else:
                self._gram.addmm_(centred, centred.T)

    def representation(self) -> Representation:
        """Of all that was taken."""
        matrix = torch.cat(self._parts, 1) if self._gram is None else self._gram
        if not self._centred > EQUAL * self._size:
            matrix = torch.zeros_like(matrix)
        return Representation(matrix, self._gram is not None)


def representation(features: Tensor) -> Representation:
    """Of features ``(examples, ...)``, all that follows the first dim flattened."""
    collected = Collected()
    collected.add(features)
    return collected.representation()


def linear_cka(one: Representation, other: Representation, *, debiased: bool = False) -> float:
    """Linear CKA ``|Y'X|^2 / (|X'X| |Y'Y|)`` of centred features X and Y of the same examples, Frobenius norms.

    1 for features that differ by a rotation and a factor, 0 for features without linear relation. With few examples
    it is too high: random features of width p of n examples give about 1 / (1 + n/p). ``debiased`` takes unbiased
    estimates of the three Hilbert-Schmidt norms instead, 0 in the mean where there is no relation and sometimes
    below. NaN where features are all equal, and where an unbiased norm is not positive.

    Args:
        one: X.
        other: Y, in the same order of examples.
        debiased: whether the estimates are to be unbiased.

    Raises:
        ValueError: the numbers of examples differ, or are too small.

    Source: Kornblith et al. (2019), arXiv:1905.00414, section 3; unbiased: Song et al. (2012), Feature selection via
    dependence maximization, equation 5, and Nguyen et al. (2021), arXiv:2010.15327, section 3.
    """
    if len(one.matrix) != len(other.matrix):
        raise ValueError(f"{len(one.matrix)} and {len(other.matrix)} examples; give features of the same examples")
    if debiased and len(one.matrix) < FEWEST:
        raise ValueError(f"{len(one.matrix)} examples; the debiased estimate needs {FEWEST}")
    norm = _unbiased if debiased else _cross
    scale = [norm(side, side) for side in (one, other)]
    if not all(value > 0 for value in scale):
        return float("nan")
    if one.gram == other.gram and torch.equal(one.matrix, other.matrix):
        return 1.0  # whatever the order in which the sums are taken
    return norm(one, other) / (scale[0] ** 0.5 * scale[1] ** 0.5)


def _cross(one: Representation, other: Representation) -> float:
    """``|Y'X|^2``, the trace of the product of the two Gram matrices."""
    if one.gram and other.gram:
        return float((one.matrix * other.matrix).sum())
    if one.gram or other.gram:
        gram, features = (one, other) if one.gram else (other, one)
        return float(((gram.matrix @ features.matrix) * features.matrix).sum())
    return float((other.matrix.T @ one.matrix).square().sum())


def _unbiased(one: Representation, other: Representation) -> float:
    """The U-statistic of the Hilbert-Schmidt independence criterion, times n (n - 3).

    Of Gram matrices K and L without their diagonals: tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2 1'KL1 / (n-2). Features are
    centred, so that the rows of the whole Gram matrices sum to 0, and without the diagonal to minus its entry.
    """
    count, left, right = len(one.matrix), one.squares, other.squares
    within = float(left @ right)
    sums = float(left.sum() * right.sum()) / ((count - 1) * (count - 2))
    return _cross(one, other) - within + sums - 2 * within / (count - 2)


def features(
    loss_at: LossAt, params: Mapping[str, Tensor], names: Sequence[str], *, most: int | None = None
) -> dict[str, Representation]:
    """What some modules of a model return on the probe at given parameters, by name.

    A copy of the model around the same tensors is called, in eval mode; normalisation layers with running statistics
    use those of the examples, since parameters from elsewhere have no running statistics here. A module that is
    called several times has all its outputs, side by side. Left out are modules that are not called, or whose output
    has no dim of the examples in front.

    Args:
        loss_at: whose model and probe.
        params: by name, see `LossAt`.
        names: of modules, as in the model.
        most: examples, evenly spread over the probe; all of them by default.

    Raises:
        ValueError: the probe is a function, which hides its examples, or its batches do not fit together.
    """
    if loss_at.function is not None:
        raise ValueError("a probe that is a function cannot be cut into examples; give probe=(inputs, targets)")
    ((_, batch),) = whole(loss_at).weighted()
    count = examples(batch)
    if most is not None and most < count:
        batch, count = _taken(batch, torch.linspace(0, count - 1, most).long(), count), most
    measured = with_statistics(loss_at.with_probe([batch]), "reestimated")
    seen: dict[str, Collected] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, args: Any, out: Any) -> None:
            out = next((part for part in out if isinstance(part, Tensor)), None) if isinstance(out, tuple) else out
            if isinstance(out, Tensor) and out.ndim and len(out) == count and not out.is_complex():
                seen.setdefault(name, Collected()).add(out)

        return hook

    modules = dict(measured.model.named_modules(remove_duplicate=False))
    for name in names:
        if name in modules:
            modules[name].register_forward_hook(keep(name))
    with torch.no_grad():
        measured.on(batch, params)
    return {name: seen[name].representation() for name in names if name in seen}


def _taken(value: Any, places: Tensor, count: int) -> Any:
    """Some examples of a batch."""
    if isinstance(value, Tensor):
        return value[places.to(value.device)] if value.ndim and len(value) == count else value
    if isinstance(value, Mapping):
        return {key: _taken(part, places, count) for key, part in value.items()}
    return type(value)(_taken(part, places, count) for part in value) if isinstance(value, (tuple, list)) else value
