"""Normalize and project: keep the norms of the weights, and with them the effective learning rate."""

import torch
from torch import nn

from nbtoolkit.interventions._named import present, shapes
from nbtoolkit.numerics.directions import NORMS


class NaP:
    """Bring every weight matrix back to the Frobenius norm that it had at the start, after each step.

    Made before training::

        nap = NaP(model)
        ...
        optimizer.step()
        nap.project()

    It is the second half of the method. The first is in the model: a normalisation layer before each non-linearity,
    ``nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU()``, which makes the outputs independent of the scale of the weights
    before it. Without that a projection also fixes what the model can say. Weights are the trained parameters with two
    or more dims (matrices, kernels); biases, and scales and offsets of normalisation layers, are the optimizer's alone.
    A matrix that began as zero, or is zero now, has no direction and stays. Of a weight under
    ``torch.nn.utils.parametrizations.weight_norm`` both parts are kept: the scales (one for each output, ``(out, 1)``),
    whose norm is that of the weight itself, and the direction. Weights are known by their names, also in a module put
    in since.

    Raises:
        ValueError: the model has no trained weight with two dims or more.

    Source: Lyle et al. (2024), Normalization and effective learning rates in reinforcement learning,
    arXiv:2407.01800, section 4 (Normalize-and-Project).
    """

    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, NORMS)]
        own = {id(param) for module in norms for param in module.parameters(recurse=False)}
        weights = {
            name: param
            for name, param in model.named_parameters()
            if param.requires_grad and param.ndim > 1 and id(param) not in own
        }
        if not weights:
            raise ValueError("NaP found no trained weight with two dims or more to project.")
        self.model, self._shapes = model, shapes(weights)
        self.norms = {name: torch.linalg.vector_norm(weight.detach()) for name, weight in weights.items()}

    @torch.no_grad()
    def project(self) -> None:
        """Scale the weights to their norms; nothing here waits for the device.

        Raises:
            ValueError: a weight is gone or has another shape.
        """
        params = present(self.model, self._shapes, "NaP")
        for name, norm in self.norms.items():
            now = torch.linalg.vector_norm(params[name])
            params[name].mul_(torch.where((now > 0) & (norm > 0), norm / now, 1.0))
