"""Fisher information of the layers: how much what a model says depends on each of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._probe import layers, leaves
from nbtoolkit.numerics.class_error import wide
from nbtoolkit.numerics.fisher import fisher_diagonal
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.trees import layer_of

PASSES = {"sampled": 4.0, "empirical": 3.0}  # of "true" it depends on the number of classes
ONE = Unknown("one example has no spread to tell an error from")


@instrument(
    outputs={
        "trace": Var(("layer",), "1/param^2", "Fisher information by layer", scale="log", error="trace_error"),
        "trace_error": Var(("layer",), "1/param^2", "standard error of the Fisher information by layer"),
        "total": Var((), "1/param^2", "trace of the Fisher information", scale="log", error="total_error"),
        "total_error": Var((), "1/param^2", "standard error of the trace of the Fisher information"),
    },
    cost=lambda settings: PASSES.get(settings["labels"], float("nan")),
    every=500,
    reference="Kirkpatrick et al. (2017), arXiv:1612.00796; kinds of labels: Kunstner et al. (2019), arXiv:1905.12558",
)
def fisher_diag(
    loss_at: LossAt, params: Mapping[str, Tensor], /, *, labels: str = "true", seed: int = 0
) -> dict[str, Any]:
    """Trace of the Fisher information of each layer, sum_i mean_x E_y (d log p(y|x) / d theta_i)^2, on the probe.

    It is the sum of the numbers F_i that `interventions.EWC` holds the parameters by, from the same function, so that
    it tells which layers EWC will hold. ``labels="true"`` has all classes y, weighted with the model's p(y|x), for a
    gradient of each example and class; ``"sampled"`` one drawn label for each example, without bias; ``"empirical"``
    the labels of the data, which is the second moment of the gradients and no Fisher information. The model is in
    eval mode, as EWC takes it.

    Errors are standard errors over the examples: how far another draw of them would lead.

    Raises:
        ValueError: the probe cannot be cut into examples, the labels are not known, or the loss is no likelihood.
    """
    at = leaves(loss_at, params)
    names = layers(loss_at, params)
    squares = fisher_diagonal(loss_at, at, labels=labels, seed=seed).squares
    rows: dict[str, Tensor] = {}
    for name, values in squares.items():
        layer = layer_of(name)
        rows[layer] = wide(values) + rows.get(layer, 0.0)
    total = torch.stack(list(rows.values())).sum(0)
    several = len(total) > 1
    return {
        "trace": [rows[name].mean() if name in rows else None for name in names],
        "trace_error": [_error(rows[name]) if several and name in rows else None for name in names],
        "total": total.mean(),
        "total_error": _error(total) if several else ONE,
    }


def _error(values: Tensor) -> Tensor:
    return values.std() / len(values) ** 0.5
