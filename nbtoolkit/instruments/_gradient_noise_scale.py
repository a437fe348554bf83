"""Gradient noise scale: how many examples a batch needs before more of them stop to help."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._probe import alike, leaves, shuffled
from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.per_example import each_gradient, without_guards
from nbtoolkit.numerics.products import fresh_leaves, trainable
from nbtoolkit.numerics.together import Total

UNITS = "loss^2/param^2"
METHODS = ("exact", "two_batch")
COUPLED = (
    "{layer} in train mode makes the gradient of an example depend on the others in its batch, so that the noise of "
    "single examples is not defined; give a probe whose model is in eval mode"
)


@instrument(
    outputs={
        "noise_scale": Var((), "examples", "gradient noise scale", scale="log", error="noise_scale_error"),
        "noise_scale_error": Var((), "examples", "standard error of the noise scale"),
        "gradient_square": Var((), UNITS, "squared norm of the true gradient", error="gradient_square_error"),
        "gradient_square_error": Var((), UNITS, "standard error of the squared norm"),
        "gradient_variance": Var(
            (), UNITS, "trace of the gradient covariance", scale="log", error="gradient_variance_error"
        ),
        "gradient_variance_error": Var((), UNITS, "standard error of the trace"),
    },
    cost=lambda settings: 3,
    every=50,
    reference="McCandlish et al. (2018), arXiv:1812.06162, section 2.2 and appendix A.1",
)
def gradient_noise_scale(
    loss_at: LossAt, params: Mapping[str, Tensor], memory: dict[str, Any], /, *, method: str = "exact",
    examples: int = 512, population: int | None = None, small: int = 16, smoothing: float = 0.9, groups: int = 16,
    seed: int = 0,
) -> dict[str, Tensor]:  # fmt: skip
    """Simple noise scale B = tr(S)/|G|^2, S the covariance of the gradients g_i of single examples, G their mean.

    Both parts without bias, from N examples of the probe taken for independent draws: tr(S) = sum_i |g_i - g|^2/(N - 1)
    and |G|^2 = |g|^2 - tr(S)/N, g the mean of the g_i. The latter may come out negative where the noise drowns the
    gradient; B is then NaN, and the parts are kept. Where the examples are drawn from a training set of ``population``
    examples and G is meant as the mean over those, |G|^2 = |g|^2 - tr(S)/N (1 - N/population): with the whole training
    set as the probe G is known, and B with it. Without it, examples that were fitted one by one hide what G is.

    ``method="exact"`` has the gradient of every example, the same examples at every measurement. ``"two_batch"`` has
    those of batches of ``small`` and of all together, for models that cannot be mapped over examples: the estimators of
    appendix A.1 with B_small = small and B_big = N, averaged over all small batches. It draws N new examples each time
    and smooths numerator and denominator over the measurements, with weight ``smoothing`` on the past.

    Errors are standard errors: the delta method on the covariance of both parts, which is that of the jackknife over
    ``groups`` random groups of examples. They tell how far another draw of examples would lead; the memory they cost
    is that of ``groups`` gradients. The declared cost is for a probe of N examples, and less for a larger one.

    Raises:
        ValueError: batch normalisation in train mode couples the examples, the probe cannot be cut into examples or has
            too few, or more than ``population``.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(METHODS)}")
    _check_separable(loss_at)
    exact = method == "exact"
    measured = 0 if exact else memory.get("measured", 0)
    at, unit = leaves(loss_at, params), 1 if exact else small
    inputs, targets = shuffled(loss_at, examples, seed + measured)
    count = len(inputs) // unit
    if count < 2:
        raise ValueError(f"the probe's {len(inputs)} examples make {count} batches of {unit}; two are needed at least")
    unseen = 1.0 if population is None else 1 - count * unit / population
    if unseen < 0:
        raise ValueError(f"{count * unit} examples cannot come from a population of {population}")
    sums = _Sums(Flat(trainable(at)), count, min(groups, count))
    together = alike(loss_at)
    own = range(count) if together is None else together.rows(count)
    rows = slice(own.start * unit, own.stop * unit)
    inputs, targets = inputs[rows], targets[rows]

    def take(first: int, gradients: list[Tensor]) -> None:
        sums.add(own.start + first, gradients)

    if exact:
        try:
            each_gradient(loss_at, at, inputs, targets, take)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RuntimeError(f"{str(error).splitlines()[0]}; try method='two_batch'") from error
    else:
        _batch_gradients(loss_at, at, inputs.split(unit) if own else (), targets.split(unit) if own else (), take)
    if together is not None:
        sums.of_all(together.total)
    estimate, covariance = sums.estimate(unit, unseen)
    if not exact:
        estimate, covariance = _smoothed(estimate, covariance, memory, smoothing)
    return _outputs(estimate, covariance)


def _outputs(estimate: Tensor, covariance: Tensor) -> dict[str, Any]:
    variance, square = estimate
    scale = variance / square
    slope = torch.stack([torch.ones_like(scale), -scale]) / square
    errors = covariance.diagonal().sqrt()
    unknown = (
        None if square > 0 else Unknown(f"the squared gradient is estimated as {float(square):.3g}, not above zero")
    )
    return {
        "noise_scale": unknown or scale,
        "noise_scale_error": unknown or (slope @ covariance @ slope).clamp(min=0).sqrt(),
        "gradient_square": square,
        "gradient_square_error": errors[1],
        "gradient_variance": variance,
        "gradient_variance_error": errors[0],
    }


class _Sums:
    """Sums of gradients and of their squares, over groups.

    Args:
        flat: the parameters.
        count: gradients to come.
        groups: into which they are cut, in order.
    """

    def __init__(self, flat: Flat, count: int, groups: int) -> None:
        self._group = torch.arange(count, device=flat.device) * groups // count
        self._sizes = torch.bincount(self._group, minlength=groups).double()
        self._squares = torch.zeros(groups, device=flat.device, dtype=torch.float64)
        self._sums = [torch.zeros((groups, *shape), device=flat.device, dtype=flat.dtype) for shape in flat.shapes]

    def add(self, first: int, gradients: list[Tensor]) -> None:
        """Take the gradients with the indices ``first``, ``first + 1`` ..., one stack for each parameter."""
        group = self._group[first : first + len(gradients[0])]
        for total, stack in zip(self._sums, gradients, strict=True):
            total.index_add_(0, group, stack.to(total))
            norms = torch.linalg.vector_norm(stack.flatten(1), dim=1, dtype=torch.float64)
            self._squares.index_add_(0, group, norms.square())

    def of_all(self, total: Total) -> None:
        """Add up what several processes have taken."""
        self._squares, *self._sums = total([self._squares, *self._sums])

    def estimate(self, unit: int, unseen: float) -> tuple[Tensor, Tensor]:
        """tr(S) and |G|^2, ``(2,)``, and their covariance ``(2, 2)``.

        Args:
            unit: examples over which each gradient is a mean.
            unseen: share of the population that is not among the examples.
        """
        flat = [total.flatten(1).double() for total in self._sums]
        own = torch.stack([part.square().sum(1) for part in flat]).sum(0)  # square of the sum of each group
        along = torch.stack([part @ part.sum(0) for part in flat]).sum(0)  # its product with the sum of all
        whole = _parts(self._sizes.sum(), self._squares.sum(), along.sum(), unit, unseen)
        without = _parts(
            self._sizes.sum() - self._sizes, self._squares.sum() - self._squares,
            along.sum() - 2 * along + own, unit, unseen,
        )  # fmt: skip
        groups = len(self._sizes)
        deviation = without - without.mean(1, keepdim=True)
        return whole, unseen * (groups - 1) / groups * deviation @ deviation.T


def _parts(count: Tensor, squares: Tensor, square_of_sum: Tensor, unit: int, unseen: float) -> Tensor:
    """tr(S) and |G|^2 of ``count`` gradients, from the sum of their squares and the square of their sum."""
    square_of_mean = square_of_sum / count**2
    variance = (squares - count * square_of_mean) / (count - 1)  # of a mean over `unit` examples
    return torch.stack([unit * variance, square_of_mean - unseen * variance / count])


def _smoothed(
    estimate: Tensor, covariance: Tensor, memory: dict[str, Any], smoothing: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Exponential means over the measurements; those are independent draws, so covariances add with squared weights."""
    measured = memory.get("measured", 0)
    if measured:
        estimate = smoothing * memory["estimate"] + (1 - smoothing) * estimate
        covariance = smoothing**2 * memory["covariance"] + (1 - smoothing) ** 2 * covariance
    else:
        estimate, covariance = (1 - smoothing) * estimate, (1 - smoothing) ** 2 * covariance
    memory.update(measured=measured + 1, estimate=estimate, covariance=covariance)
    weight = 1 - smoothing ** (measured + 1)
    return estimate / weight, covariance / weight**2


def _batch_gradients(
    loss_at: LossAt, at: dict[str, Tensor], inputs: tuple[Tensor, ...], targets: tuple[Tensor, ...],
    take: Callable[[int, list[Tensor]], None],
) -> None:  # fmt: skip
    flat, unguarded = Flat(trainable(at)), without_guards(loss_at)
    with torch.enable_grad(), loss_at.undisturbed():
        for index, batch in enumerate(zip(inputs, targets, strict=True)):
            points, state = fresh_leaves(at, flat)
            loss = unguarded.on(batch, state)
            found = torch.autograd.grad(loss, points, allow_unused=True, materialize_grads=True)
            take(index, [part[None] for part in found])


def _check_separable(loss_at: LossAt) -> None:
    """Refuse a model in which an example's loss depends on the other examples."""
    for layer in loss_at.model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and (layer.training or layer.running_mean is None):
            raise ValueError(COUPLED.format(layer=type(layer).__name__))
