"""The rows that show the shape of the whole: a few of every block of rows, kept beside the values.

Of a curve (at most `FEW` values a row) a block keeps its first row and, for each value, the rows where it is least and
largest and the first where it is NaN, so that no spike is lost and gaps stay gaps; of a field (wider) its last row. All
are rows that were measured, at their steps. What is drawn together is kept at the same rows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nbtoolkit.store.schema import Var

GROUP = "_overviews"  # of a store, beside those of the instruments
FEW = 8  # values a row up to which a variable is a curve
CURVE_BLOCK = 256  # rows; with 8 bytes each for first, least, largest and NaN, and their steps, 3 % more is written
FIELD_BLOCK = 64


@dataclass(frozen=True)
class Plan:
    """Variables of one group that are kept at the same rows.

    Args:
        leader: whose extremes are kept.
        sizes: of the variables kept, by name: of their dims besides ``step``.
        width: values a row of the leader.
    """

    leader: str
    sizes: Mapping[str, tuple[int, ...]]
    width: int

    @property
    def block(self) -> int:
        """Rows of which some are kept."""
        return CURVE_BLOCK if self.width <= FEW else FIELD_BLOCK

    @property
    def kept(self) -> int:
        """How many of them at most."""
        return 1 + 3 * self.width if self.width <= FEW else 1

    @property
    def columns(self) -> int:
        """Numbers kept of one row: its step, and the values of all variables."""
        return 1 + sum(math.prod(sizes) for sizes in self.sizes.values())

    @property
    def name(self) -> str:
        """Of the array: another one where other rows or values are kept."""
        return f"{self.leader}.{self.block}.{self.kept}.{self.columns}"


def leaders(variables: Mapping[str, Var], sizes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """For each variable the one at whose rows it is kept.

    Errors, lines and tasks are kept at the rows of the curve that they are drawn with, fields at those of the widest:
    what is drawn together, such as a path on a plane, is of the same rows.
    """
    beside = {key: (var.error, var.line, var.training) for key, var in variables.items()}
    leading: dict[str, str] = {}
    for key, others in beside.items():
        leading |= {other: key for other in others if isinstance(other, str) and other in variables}
    wide = [key for key in variables if math.prod(sizes[key]) > FEW]
    leading |= dict.fromkeys(wide, max(wide, key=lambda key: math.prod(sizes[key]), default=""))
    return {key: leading.get(key, key) for key in variables}


def plans(variables: Mapping[str, Var], sizes: Mapping[str, tuple[int, ...]]) -> list[Plan]:
    """What is kept of one group; variables without values (a dim without labels) are left out."""
    led: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, leader in leaders(variables, sizes).items():
        if math.prod(sizes[key]) and math.prod(sizes[leader]):
            led.setdefault(leader, {})[key] = sizes[key]
    return [Plan(leader, members, math.prod(sizes[leader])) for leader, members in led.items()]


def kept_rows(values: np.ndarray, block: int, *, curve: bool) -> np.ndarray:
    """Which rows of each block are kept.

    Args:
        values: of the leader, shape ``(blocks * block, width)``.
        block: rows of a block.
        curve: whether extremes are kept, or only the last row.

    Returns:
        Indices within the block in ascending order, shape ``(blocks, 1 + 3 * width)`` of a curve, ``(blocks, 1)`` of a
        field; -1 after the last.
    """
    count = len(values) // block
    if not curve:
        return np.full((count, 1), block - 1)
    blocks = values.reshape(count, block, -1)
    nan = np.isnan(blocks)
    numbers = np.argmax(~nan, axis=1)  # the first; 0 where there is none
    least = np.argmin(np.where(nan, np.inf, blocks), axis=1)
    largest = np.argmax(np.where(nan, -np.inf, blocks), axis=1)
    # Where all numbers are infinite, a NaN may have been taken for one of them.
    least, largest = (
        np.where(np.take_along_axis(nan, found[:, None], axis=1)[:, 0], numbers, found) for found in (least, largest)
    )
    first = np.zeros((count, 1), np.int64)
    rows = np.sort(np.concatenate([first, least, largest, np.argmax(nan, axis=1)], axis=1), axis=1)
    again = np.diff(rows, axis=1, prepend=-1) == 0
    rows[again] = block
    rows.sort(axis=1)
    rows[rows == block] = -1
    return rows


def entries(plan: Plan, steps: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """What is kept of whole blocks: shape ``(blocks, plan.kept, plan.columns)``, NaN after the last row kept."""
    count = len(steps) // plan.block
    leader = values[plan.leader].reshape(len(steps), plan.width)
    rows = kept_rows(leader, plan.block, curve=plan.width <= FEW)
    places = np.maximum(rows, 0) + plan.block * np.arange(count)[:, None]
    flat = [values[key].reshape(len(steps), math.prod(sizes)) for key, sizes in plan.sizes.items()]
    out = np.concatenate([steps[places][..., None].astype(np.float64), *(one[places] for one in flat)], axis=2)
    out[rows < 0] = np.nan
    return out


def unpacked(plan: Plan, kept: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Steps and values of what `entries` kept, in the order of the rows."""
    flat = kept.reshape(-1, plan.columns)
    flat = flat[~np.isnan(flat[:, 0])]
    values, at = {}, 1
    for key, sizes in plan.sizes.items():
        width = math.prod(sizes)
        values[key] = flat[:, at : at + width].reshape(-1, *sizes)
        at += width
    return flat[:, 0].astype(np.int64), values
