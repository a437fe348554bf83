"""Barriers between all stages of a training."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.numerics.barriers import barrier, paths, whole_params
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.trajectory import Trajectory

TOO_FEW = Unknown("only one copy of the parameters was kept so far; attach this from the start, or measure it later")


@instrument(
    outputs={
        "barriers": Var(("snapshot", "other"), "loss", "barrier between two stages"),
        "snapshot_step": Var(("snapshot",), "1", "optimizer steps done at each copy"),
    },
    cost=lambda s: s["copies"] * (s["copies"] - 1) / 2 * (s["points"] - 1) + s["copies"],
    every=500,
    labels={"snapshot": lambda s: range(s["copies"]), "other": lambda s: range(s["copies"])},
    reference="Frankle et al. (2020), arXiv:1912.05671, section 3; Fort et al. (2020), arXiv:2010.15110",
)
def barrier_matrix(
    loss_at: LossAt, params: Mapping[str, Tensor], trajectory: Trajectory, /, *, copies: int = 8, points: int = 11,
    statistics: str | None = None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Loss barrier between the parameters at every two of ``copies`` steps, evenly chosen of those kept, now the last.

    Symmetric, with zeros on the diagonal; what each number is, `linear_barrier` says. Shown from the oldest copy on,
    one more at a time.
    """
    if copies < 2:
        raise ValueError(f"copies={copies}: a barrier is between two, so that at least 2 are needed")
    if len(trajectory) < 2:
        yield dict.fromkeys(barrier_matrix.outputs, TOO_FEW)
        return
    chosen = torch.linspace(0, len(trajectory) - 1, min(copies, len(trajectory))).round().long().tolist()
    found = torch.full((copies, copies), torch.nan, dtype=torch.float64)
    steps = torch.full((copies,), torch.nan, dtype=torch.float64)
    now = whole_params(loss_at, params)
    for last, place in enumerate(chosen):
        steps[last], found[last, last] = trajectory.steps[place], 0.0
        if not last:
            continue
        end = {**now, **trajectory.params(place)}
        starts = [{**now, **trajectory.params(earlier)} for earlier in chosen[:last]]
        for first, along in enumerate(paths(loss_at, starts, end, points=points, statistics=statistics)):
            found[first, last] = found[last, first] = barrier(along.fractions, along.loss)
        yield {"barriers": found.clone(), "snapshot_step": steps.clone()}
