"""The episodes of a stream of tasks, and how far earlier tasks fall and come back when a new one begins.

The same rules as in js/src/episodes.ts.
"""

from dataclasses import dataclass

import numpy as np

LEAST = 0.02  # depth of a gap that is told; as the tolerance of analysis.stability_gaps


@dataclass(frozen=True)
class Episode:
    """Rows ``first`` to ``last`` of a training of ``task``: at its begin, after ``begin`` steps, to its end."""

    task: int
    begin: float
    first: int
    last: int


@dataclass(frozen=True)
class Gap:
    """A fall of an earlier task that comes back within an episode of another.

    ``level`` is what the task had when the episode began, ``lowest`` the least within the episode, at step ``at``, and
    ``back`` the highest after that, at most the level. ``x`` and ``y`` follow the curve from where it last had
    ``back`` before the lowest to where it has it again.
    """

    task: int
    episode: int
    level: float
    lowest: float
    back: float
    at: float
    x: np.ndarray
    y: np.ndarray

    @property
    def depth(self) -> float:
        """What came back. What did not is forgetting, not a gap."""
        return self.back - self.lowest


def episodes(steps: np.ndarray, training: np.ndarray) -> list[Episode]:
    """The episodes in order; none where it is not known which task is being trained.

    A row tells the task whose training goes on from there, so that an episode ends with the first row of what follows.
    Where a task begins is exact if it was measured there, as it is where every step after a boundary is.

    Args:
        steps: of the rows, shape ``(rows,)``.
        training: 1 for the task being trained, 0 for the others, NaN where that is not known; ``(rows, tasks)``.
    """
    now = np.where((training == 1).any(axis=1), (training == 1).argmax(axis=1), -1) if training.size else np.empty(0)
    starts = np.flatnonzero(np.diff(now, prepend=-1) != 0) if len(now) else []
    found = []
    for first in (int(start) for start in starts if now[start] >= 0):
        same = np.flatnonzero(now[first:] != now[first])
        last = first + int(same[0]) if len(same) else len(now) - 1
        found.append(Episode(int(now[first]), float(steps[first]), first, last))
    return found


def gaps(steps: np.ndarray, values: np.ndarray, found: list[Episode]) -> list[Gap]:
    """The gaps deeper than 0.02 of all tasks trained in an earlier episode, in each episode of another task.

    Args:
        steps: of the rows, shape ``(rows,)``.
        values: of each task, ``(rows, tasks)``; NaN where not measured.
        found: the `episodes` of these rows.
    """
    made = []
    for k, episode in enumerate(found):
        for task in dict.fromkeys(one.task for one in found[:k] if one.task != episode.task):
            gap = _gap(steps, values[:, task], task, k, episode)
            if gap:
                made.append(gap)
    return made


def deepest(found: list[Gap]) -> Gap | None:
    """The gap with the largest depth; the first of equal ones."""
    return max(found, key=lambda gap: gap.depth, default=None)


def _gap(steps: np.ndarray, y: np.ndarray, task: int, k: int, episode: Episode) -> Gap | None:
    known = np.flatnonzero(np.isfinite(y[: episode.last + 1]))
    before = known[known <= episode.first]
    inside = known[known > episode.first]
    if not len(before) or not len(inside):
        return None
    level = float(y[before[-1]])
    lowest = int(inside[np.argmin(y[inside])])
    path = np.concatenate([before[-1:], inside])
    back = min(level, float(y[path[path >= lowest]].max()))
    if not back - y[lowest] > LEAST:
        return None
    high = path[y[path] >= back]
    start, end = int(high[high < lowest][-1]), int(high[high > lowest][0])
    rows = path[(path > start) & (path < end)]
    ends = _crossing(steps, y, start, int(rows[0]), back), _crossing(steps, y, int(rows[-1]), end, back)
    x, heights = (np.concatenate([[first], own, [last]]) for first, own, last in (
        (ends[0], steps[rows], ends[1]), (back, y[rows], back)
    ))  # fmt: skip
    return Gap(task, k, level, float(y[lowest]), back, float(steps[lowest]), x, heights)


def _crossing(steps: np.ndarray, y: np.ndarray, left: int, right: int, level: float) -> float:
    """Where the line between two rows meets the level."""
    return float(steps[left] + (level - y[left]) / (y[right] - y[left]) * (steps[right] - steps[left]))
