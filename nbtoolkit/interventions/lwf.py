"""Learning without forgetting: hold the outputs to those of the model as it was."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.given import is_finite, shown


class LwF:
    """Distillation from a frozen copy of the model: KL(softmax(z_old / T) || softmax(z / T)), the mean over examples.

    Made when a task ends, it holds the outputs on the next task's inputs to what they were; no old example is kept::

        old = LwF(model)
        for x, y in next_task:
            outputs = model(x)
            loss = F.cross_entropy(outputs, y) + old.penalty(outputs, x)

    The authors write the cross-entropy, which is this and the entropy of the old outputs: the gradient is the same,
    and this form is 0 where the outputs have not changed. As in their equation there is no factor T^2. The copy is in
    eval mode and has no gradients, so that with dropout or batch statistics the penalty does not start at 0; it draws
    no random numbers, and the model is not touched.

    Args:
        model: as it is now; it is copied.
        strength: in front of the penalty, lambda_o of the authors.
        temperature: T; above 1 it weighs the smaller probabilities more.
        classes: the outputs that the old tasks have, all where none are named.

    Raises:
        ValueError: the model is no module, the strength is negative, or the temperature is not above 0.

    Source: Li & Hoiem (2016), Learning without forgetting, arXiv:1606.09282, equations 2 and 3.
    """

    def __init__(
        self, model: nn.Module, strength: float = 1.0, *, temperature: float = 2.0, classes: Sequence[int] | None = None
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ValueError(f"LwF got a {type(model).__name__} as the model; it needs a torch.nn.Module.")
        if not (is_finite(strength) and strength >= 0):
            raise ValueError(f"LwF got strength={shown(strength)}; it must be a finite number, 0 or more.")
        if not (is_finite(temperature) and temperature > 0):
            raise ValueError(f"LwF got temperature={shown(temperature)}; it must be a finite number above 0.")
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.strength, self.temperature = float(strength), float(temperature)
        self.classes = None if classes is None else [int(one) for one in classes]

    def penalty(self, outputs: Tensor, inputs: Any) -> Tensor:
        """How far the outputs are from the old ones on the same inputs, a 0-d tensor.

        Args:
            outputs: ``(examples, classes, ...)`` of the model in training, scores before the softmax.
            inputs: of the same batch; a tuple or a dict are the model's arguments.
        """
        with torch.no_grad():
            if isinstance(inputs, dict):
                old = self.model(**inputs)
            else:
                old = self.model(*inputs) if isinstance(inputs, (tuple, list)) else self.model(inputs)
        if self.classes is not None:
            old, outputs = old[:, self.classes], outputs[:, self.classes]
        told = F.log_softmax(old / self.temperature, 1)
        found = F.log_softmax(outputs / self.temperature, 1)
        apart = F.kl_div(found, told, reduction="none", log_target=True).sum(1)
        return self.strength * apart.mean()
