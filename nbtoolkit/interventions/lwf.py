"""Learning without forgetting: hold the outputs to those of the model as it was."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.given import is_finite, is_whole, shown


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
        classes: the outputs that the old tasks have; where none are named, all that the copy has, which are the first
            of a head that has grown since.

    Raises:
        ValueError: the model is no module, the strength is negative, the temperature is not above 0, or the classes
            are no list of outputs.

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
        given = classes.tolist() if isinstance(classes, Tensor) else classes
        if given is not None and not (len(given) and all(is_whole(one, 0) for one in given)):
            raise ValueError(f"LwF got classes={shown(classes)}; give the places of the old outputs, e.g. range(10).")
        self.classes = None if given is None else [int(one) for one in given]

    def penalty(self, outputs: Tensor, inputs: Any) -> Tensor:
        """How far the outputs are from the old ones on the same inputs, a 0-d tensor.

        Args:
            outputs: ``(examples, classes, ...)`` of the model in training, scores before the softmax.
            inputs: of the same batch; a tuple or a dict are the model's arguments.

        An output that the copy masks (-inf) does not count. One that is masked only now makes the penalty infinite:
        name the ``classes``.

        Raises:
            ValueError: the outputs are fewer than the copy's, of other examples, or fewer than a class named.
        """
        with torch.no_grad():
            if isinstance(inputs, dict):
                old = self.model(**inputs)
            else:
                old = self.model(*inputs) if isinstance(inputs, (tuple, list)) else self.model(inputs)
        old, outputs = self._shared(old, outputs)
        told = F.log_softmax(old / self.temperature, 1)
        found = F.log_softmax(outputs / self.temperature, 1)
        shares = told.exp()
        apart = (shares * (told - found).masked_fill(shares == 0, 0)).sum(1)
        return self.strength * apart.mean()

    def _shared(self, old: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs that are held, of the copy and of the model."""
        classes = range(old.shape[1]) if self.classes is None else self.classes
        fewer = min(old.shape[1], outputs.shape[1] if outputs.ndim == old.ndim else 0)
        alike = outputs.shape[:1] == old.shape[:1] and outputs.shape[2:] == old.shape[2:]
        if max(classes) >= fewer or not alike:
            raise ValueError(
                f"LwF got outputs {tuple(outputs.shape)}, where the old model gives {tuple(old.shape)}; they must be "
                f"{'all there' if self.classes is None else 'there up to ' + str(max(classes))} for the same examples "
                "(classes= names the outputs to hold)."
            )
        if self.classes is None:
            return old, outputs[:, : len(classes)]
        return old[:, self.classes], outputs[:, self.classes]
