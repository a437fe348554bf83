"""Regularisation toward the initial parameters."""

import torch
from torch import Tensor, nn

from nbtoolkit.interventions._named import present, shapes
from nbtoolkit.numerics.given import is_finite, shown
from nbtoolkit.numerics.trees import clone


class L2Init:
    """A pull back to where training began: ``strength * |theta - theta_0|^2``.

    Made before training, it keeps a copy of the parameters::

        regenerate = L2Init(model, 1e-3)
        loss = F.cross_entropy(model(x), y) + regenerate.penalty()

    It is 0 at ``theta_0``, the parameters that required a gradient as they were when this was made. They are known by
    their names, also in a module put in since.

    Raises:
        ValueError: the model has no trained parameter, or the strength is negative or not finite.

    Source: Kumar et al. (2023), Maintaining plasticity in continual learning via regenerative regularization,
    arXiv:2308.11958, section 4.
    """

    def __init__(self, model: nn.Module, strength: float) -> None:
        if not (is_finite(strength) and strength >= 0):
            raise ValueError(f"L2Init got strength={shown(strength)}; it must be a finite number, 0 or more.")
        self.model, self.strength = model, float(strength)
        trained = {name: param for name, param in model.named_parameters() if param.requires_grad}
        if not trained:
            raise ValueError("L2Init found no parameter that requires a gradient.")
        self.initial = clone(trained)

    def penalty(self) -> Tensor:
        """The penalty at the present parameters, a 0-d tensor.

        Raises:
            ValueError: a parameter is gone or has another shape.
        """
        now = present(self.model, shapes(self.initial), "L2Init")
        parts = [(now[name] - initial).square().sum() for name, initial in self.initial.items()]
        return self.strength * torch.stack([part.to(parts[0].device) for part in parts]).sum()
