"""What an accuracy matrix says of a learner: one small function for each metric.

R[i, j] is the accuracy on task j after visit i, T the last visit, own(j) the first visit to task j. Where every task is
visited once these are the definitions of the papers; a task that is visited again counts once, from its first visit on.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from nbtoolkit.analysis.streams import Matrix, NotKnown

ONE_TASK = "only one task was trained; this compares earlier tasks with later ones"
NO_INITIAL = "the accuracy on {task!r} before the first task was not measured"
NO_REFERENCE = "no reference accuracy was given for {task!r}"


def average_accuracy(matrix: Matrix) -> float:
    """ACC = mean_j R[T, j] over the tasks trained so far.

    Source: Lopez-Paz & Ranzato (2017), arXiv:1706.08840, section 2.2.
    """
    return _mean(matrix.at(matrix.last, task) for task in matrix.learned)


def backward_transfer(matrix: Matrix) -> float:
    """BWT = mean_j (R[T, j] - R[own(j), j]) over the tasks trained, but that of the last visit.

    Source: Lopez-Paz & Ranzato (2017), arXiv:1706.08840, section 2.2.
    """
    return _mean(matrix.at(matrix.last, j) - matrix.at(matrix.first(j), j) for j in _earlier(matrix))


def forward_transfer(matrix: Matrix) -> float:
    """FWT = mean_j (R[own(j) - 1, j] - b_j) over the tasks trained but the first; b_j is the accuracy before all.

    Source: Lopez-Paz & Ranzato (2017), arXiv:1706.08840, section 2.2.
    """
    _earlier(matrix)
    gains = []
    for task in matrix.learned[1:]:
        if np.isnan(matrix.initial[task]):
            raise NotKnown(NO_INITIAL.format(task=matrix.tasks[task]))
        gains.append(matrix.at(matrix.first(task) - 1, task) - float(matrix.initial[task]))
    return _mean(gains)


def forgetting_from_best(matrix: Matrix) -> float:
    """F = mean_j (max_{i < T} R[i, j] - R[T, j]) over the tasks trained, but that of the last visit.

    The maximum is over all visits measured, those before the task's own too.

    Source: Chaudhry et al. (2018), arXiv:1801.10112, equation 3.
    """
    losses = []
    for task in _earlier(matrix):
        for visit in range(matrix.first(task), matrix.last):
            matrix.at(visit, task)
        losses.append(float(np.nanmax(matrix.accuracy[:-1, task])) - matrix.at(matrix.last, task))
    return _mean(losses)


def forgetting_from_first(matrix: Matrix) -> float:
    """mean_j (R[own(j), j] - R[T, j]) over the tasks trained, but that of the last visit: minus BWT.

    What avalanche (``Forgetting``) and De Lange et al. (2023), arXiv:2205.13452, call forgetting.
    """
    return 0.0 - backward_transfer(matrix)


def learning_accuracy(matrix: Matrix) -> float:
    """LA = mean_j R[own(j), j]: accuracy on each task right after it was learned.

    Source: Riemer et al. (2019), arXiv:1810.11910 (learning accuracy).
    """
    return _mean(matrix.at(matrix.first(task), task) for task in matrix.learned)


def average_incremental_accuracy(matrix: Matrix) -> float:
    """mean_i A_i, where A_i = mean_j R[i, j] over the tasks trained up to visit i; the first visit counts.

    Source: Rebuffi et al. (2017), arXiv:1611.07725, section 4.
    """
    means = []
    for visit in range(len(matrix.labels)):
        learned = [task for task in matrix.learned if matrix.first(task) <= visit]
        means.append(_mean(matrix.at(visit, task) for task in learned))
    return _mean(means)


def performance_maintenance(matrix: Matrix) -> float:
    """PM: change of the accuracy since a task was trained last, mean over later visits, then over tasks.

    mean_j mean_i (R[i, j] - R[last(i, j), j]), where last(i, j) is the newest visit to task j, and i runs over all
    later visits to other tasks; not over the last one alone, as in backward transfer.

    Source: New et al. (2022), Lifelong learning metrics, arXiv:2201.08278 (performance maintenance, against the
    evaluation that follows the most recent training).
    """
    _earlier(matrix)
    changes = []
    for task in matrix.learned:
        newest, own = matrix.first(task), []
        for visit in range(newest + 1, len(matrix.labels)):
            if matrix.trained[visit] == task:
                newest = visit
            else:
                own.append(matrix.at(visit, task) - matrix.at(newest, task))
        if own:
            changes.append(_mean(own))
    return _mean(changes)


def intransigence(matrix: Matrix, reference: Mapping[str, float]) -> float:
    """I = mean_k (a*_k - R[own(k), k]), a*_k a reference: accuracy on task k of a model trained on all data up to it.

    Source: Chaudhry et al. (2018), arXiv:1801.10112, equation 4.
    """
    for task in matrix.learned:
        if not np.isfinite(reference.get(matrix.tasks[task], np.nan)):
            raise NotKnown(NO_REFERENCE.format(task=matrix.tasks[task]))
    return _mean(reference[matrix.tasks[k]] - matrix.at(matrix.first(k), k) for k in matrix.learned)


def _earlier(matrix: Matrix) -> list[int]:
    if not matrix.earlier:
        raise NotKnown(ONE_TASK)
    return matrix.earlier


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
