"""What of each task a linear classifier finds in the hidden units."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.instruments._probe import layers as labels_of
from nbtoolkit.numerics.activations import entering
from nbtoolkit.numerics.given import is_finite, is_seed, is_whole, shown
from nbtoolkit.numerics.linear_probe import ridge_probe
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.tasks_at import TasksAt


@instrument(
    outputs={
        "probe_accuracy": Var(
            ("layer", "task_evaluated"), "1", "accuracy of a linear probe", error="probe_accuracy_error"
        ),
        "probe_accuracy_error": Var(("layer", "task_evaluated"), "1", "standard error of the probe's accuracy"),
    },
    at_boundaries=True,
    reference="Alain & Bengio (2017), arXiv:1610.01644; after each task: Davari et al. (2022), arXiv:2203.13381",
)
def linear_probe(
    tasks: TasksAt, params: Mapping[str, Tensor], /, *, ridge: float = 1e-3, share: float = 0.5, examples: int = 1000,
    layers: Sequence[str] | None = None, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Accuracy of a linear classifier on the frozen units that enter each layer, fitted to each task anew.

    Where it is high although the model's own accuracy on a task has fallen, the features of the task are still there,
    and what was lost lies in the layers after. Of each task up to ``examples`` held-out examples are taken; a ``share``
    of them, drawn with ``seed``, fits the classifier: ridge regression of the one-hot labels on standardised units with
    a bias, in closed form, ``ridge`` in units of their variance. The others are classified. All classes of the task
    compete, whatever the scenario. ``probe_accuracy_error`` is sqrt(A (1 - A) / n) of the n examples classified.

    Units are what enters a layer, in eval mode, flattened by example: after all that is between it and the layer
    before. NaN for the first layer, layers without a matrix, layers that are not called, and those not named in
    ``layers``. Measured when a task begins or ends.
    """
    if not is_whole(examples, 2):
        raise ValueError(f"examples={shown(examples)}: expected a whole number of 2 or more")
    if not is_finite(share) or not 0 < share < 1:
        raise ValueError(f"share={shown(share)}: expected a number between 0 and 1")
    if not is_finite(ridge) or not ridge > 0:
        raise ValueError(f"ridge={shown(ridge)}: expected a number above 0")
    if not is_seed(seed):
        raise ValueError(f"seed={shown(seed)}: expected a whole number, 0 or more")
    losses = [tasks.loss_at(name, int(examples)) for name in tasks.names]
    labels = labels_of(losses[0], params)
    chosen = _chosen(layers, labels)
    accuracy = torch.full((len(labels), len(losses)), torch.nan, dtype=torch.float64)
    counts = torch.full((len(losses),), torch.nan, dtype=torch.float64)
    for column, (name, loss_at) in enumerate(zip(tasks.names, losses, strict=True)):
        targets = _targets(name, loss_at)
        kept = torch.nonzero(targets >= 0).flatten()
        order = kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed))]
        fitted = round(share * len(order))
        if not 0 < fitted < len(order):
            raise ValueError(f"task {name!r} has {len(order)} examples with a label, too few for share={share}")
        fit, test = order[:fitted], order[fitted:]
        counts[column] = len(test)
        for label, units in entering(loss_at, params, labels).items():
            if label in chosen and units is not None and len(units) == len(targets):
                probe = ridge_probe(units[fit.to(units.device)], targets[fit], float(ridge))
                right = probe.right(units[test.to(units.device)], targets[test])
                accuracy[labels.index(label), column] = right / len(test)
    return {"probe_accuracy": accuracy, "probe_accuracy_error": (accuracy * (1 - accuracy) / counts).sqrt()}


def _chosen(layers: Sequence[str] | None, labels: Sequence[str]) -> list[str]:
    chosen = labels if layers is None else [layers] if isinstance(layers, str) else layers
    if not isinstance(chosen, Sequence) or not all(isinstance(name, str) for name in chosen):
        raise ValueError(f"layers={shown(layers)}: expected names of layers; there are: {', '.join(labels)}")
    if unknown := [name for name in chosen if name not in labels]:
        raise ValueError(f"no layer {unknown[0]!r} is trained here; there are: {', '.join(labels)}")
    return list(chosen)


def _targets(name: str, loss_at: LossAt) -> Tensor:
    """The labels of all examples, on the host."""
    ((_, (_, targets)),) = loss_at.weighted()
    if targets.ndim != 1:
        raise ValueError(f"task {name!r} has targets of shape {tuple(targets.shape)}; a probe needs one label each")
    return targets.cpu()
