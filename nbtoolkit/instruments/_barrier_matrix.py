"""Barriers between all stages of a training."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._models import count
from nbtoolkit.numerics.barriers import barrier, fractions_of, paths, whole_params
from nbtoolkit.numerics.given import is_whole, shown
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.trajectory import Trajectory

TOO_FEW = Unknown("only one copy of the parameters was kept so far; attach this from the start, or measure it later")


def _cost(settings: Mapping[str, Any]) -> float:
    copies = count(settings, "copies")
    return copies * (copies - 1) / 2 * (count(settings, "points") - 1) + copies


def _labels(settings: Mapping[str, Any]) -> Sequence[int]:
    return range(settings["copies"]) if is_whole(settings["copies"]) else ()  # the measurement says what is wrong


@instrument(
    outputs={
        "barriers": Var(("snapshot", "other"), "loss", "barrier between two stages"),
        "snapshot_step": Var(("snapshot",), "1", "optimizer steps done at each copy"),
    },
    cost=_cost,
    every=500,
    labels={"snapshot": _labels, "other": _labels},
    reference="Frankle et al. (2020), arXiv:1912.05671, section 3; Fort et al. (2020), arXiv:2010.15110",
)
def barrier_matrix(
    loss_at: LossAt, params: Mapping[str, Tensor], trajectory: Trajectory, /, *, copies: int = 8, points: int = 11,
    statistics: str = "automatic",
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Loss barrier between the parameters at every two of ``copies`` steps, evenly chosen of those kept, now the last.

    Symmetric, with zeros on the diagonal; what each number is, `linear_barrier` says, and what ``statistics`` are.
    Shown from the oldest copy on, one more at a time.
    """
    if not is_whole(copies, 2):
        raise ValueError(
            f"copies={shown(copies)}: a barrier is between two, so that a whole number from 2 on is needed"
        )
    copies = int(copies)
    fractions_of(points)
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
        end, *starts = (
            whole_params(loss_at, {**now, **trajectory.params(one)}) for one in (place, *chosen[:last])
        )  # fmt: skip
        for first, along in enumerate(paths(loss_at, starts, end, points=points, statistics=statistics)):
            found[first, last] = found[last, first] = barrier(along.fractions, along.loss)
        yield {"barriers": found.clone(), "snapshot_step": steps.clone()}
