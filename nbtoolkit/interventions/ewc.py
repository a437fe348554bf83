"""Elastic weight consolidation: hold what old tasks need where it is."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.interventions._named import present
from nbtoolkit.numerics.fisher import LABELS, fisher_diagonal
from nbtoolkit.numerics.given import is_finite, is_seed, shown
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.trees import clone


class EWC:
    """A quadratic pull to where old tasks ended: ``strength / 2 * sum_tasks sum_i F_i (theta_i - theta*_i)^2``.

    F is the diagonal of the Fisher information on a task and theta* are the parameters, both when the task ended::

        ewc = EWC(model, strength=1e3)
        for x, y in tasks:  # of batches, in a real loop
            ...
            loss = F.cross_entropy(model(x), y) + ewc.penalty()
            ...
            ewc.consolidate((x, y))

    F is the mean over examples, where the log posterior of the paper has their sum: their number is in ``strength``.
    The penalty is 0, with gradient 0, at the end of the first task. The `fisher_diag` instrument shows the same F by
    layer.

    Parameters are known by their names: those that a module put in since has are held where its shapes are the same,
    and those that came with it from the next task's end on. A head that grows cannot be held.

    Args:
        model: whose trained parameters are held; it is called in eval mode to find F, and not changed.
        strength: lambda of the paper.
        online: one F and one anchor, the newest, instead of one for each task: F <- online * F + F of the task, for
            streams of many tasks (Schwarz et al. 2018, equation 9).
        labels: of the Fisher information: ``"true"``, ``"sampled"`` or ``"empirical"``, see
            `numerics.fisher.fisher_diagonal`.
        seed: of the labels that are sampled.

    Raises:
        ValueError: the model has no trained parameter, the strength is negative, ``online`` is not between 0 and 1, the
            kind of labels is not known, or the seed is none.

    Source: Kirkpatrick et al. (2017), Overcoming catastrophic forgetting in neural networks, arXiv:1612.00796,
    equation 3; that one anchor does for the online form: Huszar (2018), arXiv:1712.03847.
    """

    def __init__(
        self, model: nn.Module, strength: float, *, online: float | None = None, labels: str = "true", seed: int = 0
    ) -> None:
        if not (is_finite(strength) and strength >= 0):
            raise ValueError(f"EWC got strength={shown(strength)}; it must be a finite number, 0 or more.")
        if online is not None and not (is_finite(online) and 0 <= online <= 1):
            raise ValueError(f"EWC got online={shown(online)}; give a decay from 0 to 1, or None for one F a task.")
        if labels not in LABELS:
            raise ValueError(f"EWC got labels={shown(labels)}; choose one of {', '.join(LABELS)}.")
        if not is_seed(seed):
            raise ValueError(f"EWC got seed={shown(seed)}; give a whole number from 0 to 2**64 - 1.")
        self.model, self.strength, self.online, self.labels = model, float(strength), online, labels
        self._trained = {name for name, param in model.named_parameters() if param.requires_grad}
        if not self._trained:
            raise ValueError("EWC found no parameter that requires a gradient.")
        self._seed, self._consolidated = int(seed), 0
        self.held: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []  # F and theta* of each task

    def consolidate(self, data: Any, loss: Callable[..., Tensor] = F.cross_entropy) -> dict[str, Tensor]:
        """Hold the parameters as they are now by their Fisher information on the data of the task that ended.

        Args:
            data: ``(inputs, targets)``, or an iterable of such batches.
            loss: ``loss(outputs, targets)``, -log p of a class, the mean over examples.

        Returns:
            F of this task, by name.

        Raises:
            ValueError: the data cannot be cut into examples, the loss is no likelihood of classes, or a parameter that
                is held is gone or has another shape.
        """
        now = self._now()
        self._trained = {name for name, param in now.items() if param.requires_grad or name in self._trained}
        at = {name: param.detach().requires_grad_(name in self._trained) for name, param in now.items()}
        seed = self._seed + self._consolidated
        found = fisher_diagonal(LossAt(self.model, data, loss), at, labels=self.labels, seed=seed).diagonal
        new = {name: found[name] for name in now if name in self._trained}
        self._consolidated += 1
        if self.online is not None and self.held:
            old = self.held.pop()[0]
            held = {name: self.online * old[name] + part if name in old else part for name, part in new.items()}
        else:
            held = new
        self.held.append((held, clone({name: now[name] for name in held})))
        return new

    def penalty(self) -> Tensor:
        """The penalty at the present parameters, a 0-d tensor; 0 as long as nothing was consolidated.

        Raises:
            ValueError: a parameter that is held is gone or has another shape.
        """
        now = self._now()
        parts = [
            (part * (now[name] - anchor[name]).square()).sum()
            for fisher, anchor in self.held
            for name, part in fisher.items()
        ]
        if not parts:
            return torch.zeros((), device=next(iter(now.values())).device)
        return self.strength / 2 * torch.stack([part.to(parts[0].device) for part in parts]).sum()

    def state_dict(self) -> dict[str, Any]:
        """F and anchors of the tasks that ended."""
        return {"held": [(clone(fisher), clone(anchor)) for fisher, anchor in self.held], "ended": self._consolidated}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold what another one of the same model held.

        Raises:
            ValueError: that was of other parameters.
        """
        now = dict(self.model.named_parameters())
        for fisher, _ in state["held"]:
            if any(name not in now or now[name].shape != part.shape for name, part in fisher.items()):
                raise ValueError("this state is of a model with other parameters; load it for the model it was of.")

        def own(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: part.to(now[name], copy=True) for name, part in held.items()}

        self.held = [(own(fisher), own(anchor)) for fisher, anchor in state["held"]]
        self._trained |= {name for fisher, _ in self.held for name in fisher}
        self._consolidated = state["ended"]

    def _now(self) -> dict[str, Tensor]:
        """The parameters of the model, among them all that are held."""
        held = {name: part.shape for fisher, _ in self.held for name, part in fisher.items()}
        return present(self.model, held, "EWC")
