"""Normalize and project: keep the norms of the weights, and with them the effective learning rate."""

import torch
from torch import nn


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
    or more dims (matrices, kernels); biases, and scales and offsets of normalisation, are the optimizer's alone.
    A matrix that began as zero, or is zero now, has no direction and stays.

    Raises:
        ValueError: the model has no trained weight with two dims or more.

    Source: Lyle et al. (2024), Normalization and effective learning rates in reinforcement learning,
    arXiv:2407.01800, section 4 (Normalize-and-Project).
    """

    def __init__(self, model: nn.Module) -> None:
        self._weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
        if not self._weights:
            raise ValueError("NaP found no trained weight with two dims or more to project.")
        self.norms = [torch.linalg.vector_norm(weight.detach()) for weight in self._weights]

    @torch.no_grad()
    def project(self) -> None:
        """Scale the weights to their norms; nothing here waits for the device."""
        for weight, norm in zip(self._weights, self.norms, strict=True):
            now = torch.linalg.vector_norm(weight)
            weight.mul_(torch.where((now > 0) & (norm > 0), norm / now, 1.0))
