"""The two models that an instrument compares: the present one and another."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nbtoolkit.instruments._base import Unknown
from nbtoolkit.numerics.barriers import fractions_of, other_params, whole_params
from nbtoolkit.numerics.given import is_whole
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.trajectory import Trajectory

NO_OTHER = Unknown(
    "no earlier copy of the parameters was kept: give other=, a state dict or a module, or attach this from the start"
)


def along(settings: Mapping[str, Any]) -> list[float]:
    """Labels of the points on a line."""
    try:
        return fractions_of(settings["points"]).tolist()
    except ValueError:
        return []  # the measurement says what is wrong


def count(settings: Mapping[str, Any], name: str) -> float:
    """A whole number among the settings; NaN where it is none, and the measurement says what is wrong."""
    return int(settings[name]) if is_whole(settings[name]) else float("nan")


def pair(
    loss_at: LossAt, params: Mapping[str, Tensor], trajectory: Trajectory, other: Any
) -> tuple[dict[str, Tensor], dict[str, Tensor]] | None:
    """All parameters of the other model and of the present one, by the same names.

    The other is ``other``, or the oldest copy that the run has kept; None where there is neither.

    Raises:
        ValueError: the other is of another architecture, or only projections of it were kept.
    """
    now = whole_params(loss_at, params)
    if other is not None:
        return other_params(loss_at, now, other), now
    if len(trajectory) < 2:
        return None
    return whole_params(loss_at, {**now, **trajectory.params(0)}), now
