"""How far the loss rises on the straight line between two models."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._models import NO_OTHER, along, count, pair
from nbtoolkit.instruments._probe import layers as labels_of
from nbtoolkit.numerics.barriers import barrier, fractions_of, layer_barriers, path
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.trajectory import Trajectory

NOT_ASKED = Unknown("each layer costs a line of its own; ask for them with layers=True")


@instrument(
    outputs={
        "path_loss": Var(("alpha",), "loss", "loss on the line to this model"),
        "path_error": Var(("alpha",), "1", "error rate on the line to this model"),
        "barrier": Var((), "loss", "loss barrier"),
        "error_barrier": Var((), "1", "error barrier"),
        "layer_barrier": Var(("layer",), "loss", "loss barrier, one layer moved"),
    },
    cost=lambda s: float("nan") if s["layers"] else count(s, "points"),
    every=500,
    labels={"alpha": along},
    reference="Frankle et al. (2020), arXiv:1912.05671; by layer: Adilova et al. (2024), arXiv:2307.06966",
)
def linear_barrier(
    loss_at: LossAt, params: Mapping[str, Tensor], trajectory: Trajectory, /, *, other: Any = None, points: int = 21,
    layers: bool = False, statistics: str = "automatic",
) -> dict[str, Any]:  # fmt: skip
    """Barrier max_a [L((1-a) theta_1 + a theta_2) - ((1-a) L(theta_1) + a L(theta_2))] from another model to this one.

    ``other`` is theta_1: a state dict or a module of the same architecture, by default the oldest copy of the
    parameters that the run has kept; theta_2 is the model now. The same for the error rate, where outputs are scores of
    classes. ``layer_barrier`` (``layers=True``) moves one layer from its value in theta_1 to that in theta_2, the rest
    being theta_2's, and is measured from the chord of that path. Never below 0; exactly 0 between equal models; a
    path that falls all the way may have a barrier.

    ``statistics``: ``"automatic"``, those of normalisation layers that keep running ones are re-estimated on the probe
    at every point, since those of neither model fit the points between; ``"frozen"``, the running statistics of the
    present model everywhere; ``"reestimated"`` and ``"as trained"``, see `landscape_slice`.
    """
    fractions_of(points)
    both = pair(loss_at, params, trajectory, other)
    if both is None:
        return dict.fromkeys(linear_barrier.outputs, NO_OTHER)
    found = path(loss_at, *both, points=points, statistics=statistics)
    no_error = Unknown(found.no_error) if found.no_error else None
    by_layer: Any = NOT_ASKED
    if layers:
        risen = dict(layer_barriers(loss_at, *both, points=points, statistics=statistics))
        by_layer = [risen.get(label) for label in labels_of(loss_at, params)]
    return {
        "path_loss": found.loss,
        "path_error": no_error or found.error,
        "barrier": barrier(found.fractions, found.loss),
        "error_barrier": no_error or barrier(found.fractions, found.error),
        "layer_barrier": by_layer,
    }
