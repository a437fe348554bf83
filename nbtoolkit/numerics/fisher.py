"""The diagonal of the Fisher information of a classifier."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import vmap

from nbtoolkit.numerics.given import is_seed, shown
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.per_example import each_gradient
from nbtoolkit.numerics.products import trainable
from nbtoolkit.numerics.shared_copy import shared_copy

LABELS = ("true", "sampled", "empirical")
CACHED = 2**24  # bytes of gradients
WHOLE = 1e-3  # how far the probabilities that a loss stands for may be from adding up to one
NO_CLASSES = "labels={labels!r} needs outputs (examples, classes); the model gives {shape} for {count} examples"
NO_LIKELIHOOD = (
    "labels={labels!r} needs a loss that is -log p of a class, as cross_entropy: over the classes exp(-loss) adds up "
    "to {total:.4g}; give labels='empirical'"
)
NOT_FINITE = "the model's outputs on the probe are not finite, so that they stand for no probabilities"
NOT_MAPPED = "the model or its loss cannot be mapped over examples, which single gradients need: {error}"


class Fisher(NamedTuple):
    """The diagonal by name of the parameter, and of each example the sum over its entries, ``(examples,)``."""

    diagonal: dict[str, Tensor]
    squares: dict[str, Tensor]


def fisher_diagonal(loss_at: LossAt, params: Mapping[str, Tensor], *, labels: str = "true", seed: int = 0) -> Fisher:
    """Diagonal of the Fisher information, F_i = mean_x E_y (d log p(y|x) / d theta_i)^2, over the examples of a probe.

    ``labels`` says over which y: ``"true"``: all classes, weighted with the model's p(y|x); one gradient of each
    example for each class. ``"sampled"``: one y drawn from p(y|x); unbiased, one gradient of each example.
    ``"empirical"``: the y of the data, which is not the Fisher information but the second moment of the gradients;
    for this the loss need be no likelihood. See Kunstner, Balles & Hennig (2019), arXiv:1905.12558.

    The loss is taken as -log p(y|x), so that p is what it says it is where it masks classes. The model is in eval
    mode. Examples go through it as many at once as `per_example.BYTES` hold gradients.

    Args:
        loss_at: with inputs and targets that are each one tensor.
        params: by name; of those that require a gradient.
        labels: one of `LABELS`.
        seed: of the labels that are sampled; the global random state is not used.

    Raises:
        ValueError: the labels or the seed are not known, the probe cannot be cut into examples, or the loss is no
            likelihood of classes; or model or loss cannot be mapped over examples by `torch.func.vmap`.
    """
    if labels not in LABELS:
        raise ValueError(f"labels={shown(labels)}: expected one of {', '.join(LABELS)}")
    if not is_seed(seed):
        raise ValueError(f"seed={shown(seed)}: expected a whole number from 0 to 2**64 - 1")
    at = copy.copy(loss_at)
    at.model = shared_copy(loss_at.model).eval()
    inputs, targets = at.arrays()
    first = next(iter(params.values()))
    inputs, targets = inputs.to(first.device), targets.to(first.device)
    sums = _Sums(trainable(params), len(inputs))
    try:
        if labels == "empirical":
            sums.over(at, params, inputs, targets)
            return sums.fisher()
        probabilities = _probabilities(at, params, inputs, targets, labels)
        if labels == "sampled":
            generator = torch.Generator().manual_seed(int(seed))
            drawn = torch.multinomial(probabilities.cpu(), 1, generator=generator)[:, 0]
            sums.over(at, params, inputs, drawn.to(targets))
            return sums.fisher()
        for label, weights in enumerate(probabilities.T):
            possible = weights > 0  # a class that cannot be has no gradient
            if possible.any():
                sums.weights, sums.rows = weights[possible], possible.nonzero()[:, 0]
                sums.over(at, params, inputs[possible], torch.full_like(targets[possible], label))
        return sums.fisher()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(NOT_MAPPED.format(error=str(error).splitlines()[0])) from error


class _Sums:
    """Weighted sums of the squares of gradients.

    Args:
        trained: the parameters.
        count: examples over which the mean is taken.
    """

    def __init__(self, trained: Mapping[str, Tensor], count: int) -> None:
        self.names, self.count = tuple(trained), count
        device = next(iter(trained.values())).device
        self.weights: Tensor | None = None  # of the rows to come, where they differ
        self.rows = torch.arange(count, device=device)
        self._total = [torch.zeros_like(param) for param in trained.values()]
        self._squares = [torch.zeros(count, device=device, dtype=param.dtype) for param in trained.values()]

    def over(self, at: LossAt, params: Mapping[str, Tensor], inputs: Tensor, targets: Tensor) -> None:
        """Take the gradients of these examples, on the host a few at a time: it is five times as fast in its cache."""
        bytes_of_one = sum(total.numel() * total.element_size() for total in self._total)
        rows = max(1, CACHED // bytes_of_one) if inputs.device.type == "cpu" else len(inputs)
        for first in range(0, len(inputs), rows):
            part = slice(first, first + rows)
            each_gradient(at, params, inputs[part], targets[part], partial(self._add, first))

    def _add(self, start: int, first: int, gradients: list[Tensor]) -> None:
        here = slice(start + first, start + first + len(gradients[0]))
        for total, squares, stack in zip(self._total, self._squares, gradients, strict=True):
            square = stack.detach().square()
            of_example = square.flatten(1).sum(1)
            if self.weights is None:
                total.add_(square.sum(0))
            else:
                weights = self.weights[here].to(square)
                total.add_(torch.tensordot(weights, square, 1))
                of_example = weights * of_example
            squares.index_add_(0, self.rows[here], of_example)

    def fisher(self) -> Fisher:
        means = [total / self.count for total in self._total]
        return Fisher(dict(zip(self.names, means, strict=True)), dict(zip(self.names, self._squares, strict=True)))


def _probabilities(at: LossAt, params: Mapping[str, Tensor], inputs: Tensor, targets: Tensor, labels: str) -> Tensor:
    """p(y|x) of all classes, ``(examples, classes)`` in float64 where there is that."""
    with torch.no_grad():
        batches = zip(inputs.split(512), targets.split(512), strict=True)
        outputs = torch.cat([at.outputs(batch, params) for batch in batches])
    if not outputs.isfinite().all():
        raise ValueError(NOT_FINITE)
    if outputs.ndim != 2 or len(outputs) != len(inputs) or targets.ndim != 1 or targets.is_floating_point():
        raise ValueError(NO_CLASSES.format(labels=labels, shape=tuple(outputs.shape), count=len(inputs)))
    loss = at.loss
    assert loss is not None

    def negative_log(row: Tensor, label: Tensor) -> Tensor:
        return at.form(loss(row[None], label[None]))

    every = torch.arange(outputs.shape[1], device=outputs.device, dtype=targets.dtype)
    over_classes = vmap(negative_log, in_dims=(None, 0))
    with torch.no_grad(), at.undisturbed():
        found = (-vmap(over_classes, in_dims=(0, None))(outputs, every)).exp()
    total = found.sum(1)
    apart = (total - 1).abs().argmax()
    if not (total[apart] - 1).abs() <= WHOLE:
        raise ValueError(NO_LIKELIHOOD.format(labels=labels, total=float(total[apart])))
    return found
