"""Where curvature is measured: a loss and the parameters at which it bends."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nbtoolkit.numerics import gauss_newton, products
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import Operator

MATRICES = ("hessian", "gauss_newton", "fisher", "empirical_fisher")
GIVE_PROBE = "give a probe: watch(..., loss=F, probe=(inputs, targets))"
NEEDS_PROBE = f"the {{matrix}} matrix needs the outputs of the model; {GIVE_PROBE}"


class Curvature:
    """The curvature matrices of one loss at one point; each is made once, on first asking.

    Args:
        params: parameters by name, with `requires_grad` as in training; never changed.
        loss: the probe's loss as a function of parameters, or a 0-d loss with its graph still there.
        together: the processes that each have such a graph, where it is the mean over them that is meant.
    """

    def __init__(self, params: Mapping[str, Tensor], loss: LossAt | Tensor, together: Any = None) -> None:
        self.params = dict(params)
        self._loss, self._together = loss, together
        self._made: dict[str, Operator] = {}

    @property
    def is_live(self) -> bool:
        """Whether this is the loss of a training step rather than of a probe."""
        return isinstance(self._loss, Tensor)

    def matrix(self, name: str) -> Operator:
        """The matrix called ``name``, one of `MATRICES`.

        Raises:
            ValueError: there is no such matrix, or it needs a probe and there is none.
            RuntimeError: the loss cannot be differentiated twice.
        """
        if name not in MATRICES:
            raise ValueError(f"matrix={name!r}: expected one of {', '.join(MATRICES)}")
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def hessian(self) -> Operator:
        """The matrix of second derivatives of the loss."""
        return self.matrix("hessian")

    def gauss_newton(self) -> Operator:
        """The generalised Gauss-Newton matrix; see `nbtoolkit.numerics.gauss_newton`."""
        return self.matrix("gauss_newton")

    def fisher(self) -> Operator:
        """The Fisher information matrix; see `nbtoolkit.numerics.gauss_newton`."""
        return self.matrix("fisher")

    def restricted(self, names: list[str]) -> "Curvature":
        """The same loss as a function of some of the parameters, the others held where they are."""
        chosen = {name: param for name, param in self.params.items() if name in names}
        if isinstance(self._loss, Tensor):
            return Curvature(chosen, self._loss, self._together)
        frozen = {name: param.detach() for name, param in self.params.items() if name not in names}
        return Curvature({**frozen, **chosen}, self._loss)

    def _make(self, name: str) -> Operator:
        if isinstance(self._loss, LossAt):
            maker = products.hessian if name == "hessian" else getattr(gauss_newton, name)
            return maker(self._loss, self.params)
        if name != "hessian":
            raise ValueError(NEEDS_PROBE.format(matrix=name))
        return products.live_hessian(self._loss, self.params, self._together)
