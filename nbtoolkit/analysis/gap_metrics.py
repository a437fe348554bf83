"""What accuracy curves within the tasks say of a learner: the worst that happens on the way.

A_j(t) is the accuracy on task j after t optimizer steps, at the steps at which it was measured. In a record that goes
on, a visit counts from the first measurement of a model that it has made.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from nbtoolkit.analysis.matrix_metrics import ONE_TASK
from nbtoolkit.analysis.streams import NO_BOUNDARY, Curves, NotKnown, Visit


def min_accuracy(curves: Curves) -> float:
    """min-ACC = mean_j min_t A_j(t), over the earlier tasks j and the steps t after each was learned.

    Earlier tasks are those whose first visit has ended, but that of the last visit. Of each, t is beyond the end of
    its first visit, and beyond that of any later one while it lasts: accuracies during which it was being learned do
    not count.

    Source: De Lange et al. (2023), arXiv:2205.13452 (definition of min-ACC).
    """
    return float(np.mean(list(_minima(curves).values())))


def worst_case_accuracy(curves: Curves) -> float:
    """WC-ACC = A_k / k + (1 - 1/k) min-ACC: the newest of k tasks as it is now, the earlier ones at their worst.

    Source: De Lange et al. (2023), arXiv:2205.13452 (definition of WC-ACC).
    """
    visits = _visits(curves)
    newest = visits[-1].task
    _, accuracy = curves.measured(newest)
    if not len(accuracy):
        raise NotKnown(f"the accuracy on {curves.tasks[newest]!r} was not measured")
    count = len({visit.task for visit in visits})
    share = float(accuracy[-1]) / count
    return share if count == 1 else share + (1 - 1 / count) * min_accuracy(curves)


def windowed_forgetting(curves: Curves, window: int) -> float:
    """WF^w = mean_j max_t max_{m <= n} (A_j(m) - A_j(n)), m and n in [t - w + 1, t]: the largest fall within w steps.

    Of all tasks evaluated so far; no boundary is needed. At least 0.

    Source: De Lange et al. (2023), arXiv:2205.13452 (definition of WF).
    """
    return float(np.mean(_largest_changes(curves, window, -1.0)))


def windowed_plasticity(curves: Curves, window: int) -> float:
    """WP^w = mean_j max_t max_{m <= n} (A_j(n) - A_j(m)), m and n in [t - w + 1, t]: the largest rise within w steps.

    Of all tasks evaluated so far; no boundary is needed. At least 0.

    Source: De Lange et al. (2023), arXiv:2205.13452 (definition of WP).
    """
    return float(np.mean(_largest_changes(curves, window, 1.0)))


def gap_recovered(curves: Curves) -> float:
    """Mean of what was lost and came back within a visit, over each visit and each task learned before it: see `Gap`.

    What stays lost is forgetting, and no part of it.
    """
    found = [gap.recovered for _, _, gap in gaps(curves)]
    if not found:
        raise NotKnown(ONE_TASK)
    return float(np.mean(found))


@dataclass(frozen=True)
class Gap:
    """How the accuracy on an earlier task falls within one visit to another, and comes back.

    Args:
        level: A at the last measurement up to the begin of the visit.
        depth: level minus the lowest A within the visit; 0 where it does not fall.
        recovered: of that depth what comes back within the visit: the highest A after the lowest, at most the level,
            minus the lowest.
        lowest_at: steps from the begin of the visit to the first of the lowest A.
        area: integral of max(0, level - A) over the steps of the visit, by trapezoids.
        recovered_at: steps from the begin to the first A from the lowest on that is above level - tolerance; 0 where A
            is never below that, NaN where it stays below.
    """

    level: float
    depth: float
    recovered: float
    lowest_at: float
    area: float
    recovered_at: float


def gaps(curves: Curves, tolerance: float = 0.02) -> list[tuple[Visit, int, Gap]]:
    """Each visit with each task that was learned before it and is not its own, and the gap.

    Left out are tasks without measurements before the visit and within it.

    Raises:
        NotKnown: there are no visits.
    """
    visits = _visits(curves)
    found = []
    for place, visit in enumerate(visits):
        for task in dict.fromkeys(earlier.task for earlier in visits[:place]):
            before = curves.measured(task, curves.steps <= visit.begin)
            within = curves.measured(task, visit.made(curves.steps))
            if task != visit.task and len(before[0]) and len(within[0]):
                found.append((visit, task, _gap(float(before[1][-1]), *within, visit.begin, tolerance)))
    return found


def _gap(level: float, steps: np.ndarray, accuracy: np.ndarray, begin: float, tolerance: float) -> Gap:
    lowest = int(np.argmin(accuracy))
    depth = max(0.0, level - float(accuracy[lowest]))
    since = np.concatenate([[0.0], steps - begin])
    below = np.concatenate([[0.0], np.maximum(0.0, level - accuracy)])
    back = np.flatnonzero(accuracy[lowest:] >= level - tolerance)
    recovered_at = 0.0 if depth <= tolerance else float(steps[lowest + back[0]]) - begin if len(back) else np.nan
    recovered = max(0.0, min(level, float(accuracy[lowest:].max())) - float(accuracy[lowest]))
    area = float((np.diff(since) * (below[1:] + below[:-1]) / 2).sum())
    return Gap(level, depth, min(depth, recovered), float(steps[lowest]) - begin, area, recovered_at)


def _minima(curves: Curves) -> dict[int, float]:
    visits, found = _visits(curves), {}
    for task in dict.fromkeys(visit.task for visit in visits):
        own = [visit for visit in visits if visit.task == task]
        if task == visits[-1].task:
            continue
        after = curves.steps > own[0].end
        for visit in own[1:]:
            after &= ~visit.made(curves.steps)
        _, accuracy = curves.measured(task, after)
        if not len(accuracy):
            raise NotKnown(f"{curves.tasks[task]!r} was not evaluated after it was learned")
        found[task] = float(accuracy.min())
    if not found:
        raise NotKnown(ONE_TASK)
    return found


def _visits(curves: Curves) -> list[Visit]:
    """The visits, but the last ones of which there is no row yet."""
    if not curves.visits:
        raise NotKnown(NO_BOUNDARY)
    made = [place for place, visit in enumerate(curves.visits) if visit.made(curves.steps).any()]
    return list(curves.visits[: made[-1] + 1 if made else 1])


def _largest_changes(curves: Curves, window: int, sign: float) -> list[float]:
    """For each task measured the largest rise (sign 1) or fall (sign -1) between two steps of one window."""
    found = []
    for task in range(len(curves.tasks)):
        steps, accuracy = curves.measured(task)
        if not len(steps):
            continue  # it is still to come
        hole = float(np.diff(steps).max(initial=0.0))
        if hole >= window:
            raise NotKnown(f"accuracies are up to {hole:g} steps apart, which is more than the window of {window}")
        largest = 0.0
        for apart in itertools.count(1):
            near = steps[apart:] - steps[:-apart] < window
            if not near.any():
                break
            largest = max(largest, float((sign * (accuracy[apart:] - accuracy[:-apart]))[near].max()))
        found.append(largest)
    if not found:
        raise NotKnown("no task was evaluated")
    return found
