"""What is left between two models when the order of their units is the same."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.instruments._models import NO_OTHER, along, count, pair
from nbtoolkit.numerics import alignment
from nbtoolkit.numerics.barriers import barrier, fractions_of, paths
from nbtoolkit.numerics.given import is_seed, is_whole, shown
from nbtoolkit.numerics.layer_graph import symmetries
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.trajectory import Trajectory

HIDDEN = "a probe that is a function hides the inputs that a trace of the model needs; give probe=(inputs, targets)"


@instrument(
    outputs={
        "path_before": Var(("alpha",), "loss", "loss on the line, units as they are"),
        "path_after": Var(("alpha",), "loss", "loss on the line, units matched"),
        "barrier_before": Var((), "loss", "barrier, units as they are"),
        "barrier_after": Var((), "loss", "barrier, units matched"),
        "distance_before": Var((), "param", "distance, units as they are"),
        "distance_after": Var((), "param", "distance, units matched"),
        "moved": Var((), "1", "share of the units that changed places"),
    },
    cost=lambda s: 2 * count(s, "points") - 1,
    every=500,
    labels={"alpha": along},
    reference="Ainsworth et al. (2023), arXiv:2209.04836, algorithm 1",
)
def permutation_alignment(
    loss_at: LossAt, params: Mapping[str, Tensor], trajectory: Trajectory, /, *, other: Any = None, points: int = 21,
    statistics: str = "automatic", restarts: int = 3, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Distance and barrier between another model and this one, before and after weight matching.

    The units of ``other`` (a state dict or a module of the same architecture, by default the oldest copy of the
    parameters that the run has kept) are put in the order in which its parameters come closest to the present ones:
    one linear assignment for each group of units, repeated until none improves, the best of ``restarts`` starts. The
    function of the other model stays what it was. ``distance`` is |theta_1 - theta_2| over all parameters; what a
    barrier is, `linear_barrier` says, and what ``statistics`` are.

    Which units can move is found by tracing the model with torch.fx: hidden units and channels with all that reads
    and writes them, heads of attention as a whole. Inputs and outputs stay. A model that cannot be traced, or does
    something to its units that is not known, is refused with the reason.
    """
    fractions_of(points)
    if not is_whole(restarts, 1):
        raise ValueError(f"restarts={shown(restarts)}: expected a whole number of starts, 1 or more")
    if not is_seed(seed):
        raise ValueError(f"seed={shown(seed)}: expected a whole number from 0 to 2**64 - 1")
    both = pair(loss_at, params, trajectory, other)
    if both is None:
        return dict.fromkeys(permutation_alignment.outputs, NO_OTHER)
    if loss_at.function is not None:
        raise ValueError(HIDDEN)
    there, here = ({name.removeprefix(loss_at.prefix): part for name, part in side.items()} for side in both)
    with loss_at.undisturbed():
        found = symmetries(loss_at.model, loss_at.weighted()[0][1][0])
    permutations = alignment.match(here, there, found, seed=int(seed), restarts=restarts)
    matched = found.permuted(there, permutations)
    after = {loss_at.prefix + name: part for name, part in matched.items()}
    lines = paths(loss_at, [both[0], after], both[1], points=points, statistics=statistics)
    barriers = [barrier(line.fractions, line.loss) for line in lines]
    distances = [alignment.distance(here, side, here) for side in (there, matched)]
    changed = [order != torch.arange(len(order)) for order in permutations.values()]
    return {
        "path_before": lines[0].loss,
        "path_after": lines[1].loss,
        "barrier_before": barriers[0],
        "barrier_after": barriers[1],
        "distance_before": distances[0],
        "distance_after": distances[1],
        "moved": float(torch.cat(changed).double().mean()),
    }
