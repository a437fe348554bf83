"""A learner of many tasks beside experts, each trained on one task alone.

P_j(x) is the accuracy on task j before step x of all training on task j, its visits one after another; S_j(x) is that
of the expert. Between measurements both are taken as straight lines. A task that has just begun, and was not measured
twice so far, does not count yet.
"""

from collections.abc import Mapping

import numpy as np

from nbtoolkit.analysis.streams import NO_BOUNDARY, Curves, NotKnown

WINDOW_SHARE, LARGEST_WINDOW = 0.2, 100  # of the moving average: l2metrics, get_block_saturation_perf
ROUNDING = 1e-12  # of a sum
NO_EXPERT = "no expert was given for {task!r}"
AT_ONCE = "the accuracy on {task!r} is at its highest from the start, so that there is no time to it"


def relative_performance(curves: Curves, experts: Mapping[str, Curves]) -> float:
    """RP = mean_j sum_{x < X} P_j(x) / sum_{x < X} S_j(x), X the steps that both have.

    Source: New et al. (2022), Lifelong learning metrics, arXiv:2201.08278 (relative performance).
    """
    ratios = []
    for task, own, other in _pairs(curves, experts):
        shared = min(len(own), len(other))
        if not (total := other[:shared].sum()) > 0:
            raise NotKnown(f"the expert on {task!r} has accuracy 0")
        ratios.append(own[:shared].sum() / total)
    return float(np.mean(ratios))


def sample_efficiency(curves: Curves, experts: Mapping[str, Curves]) -> float:
    """SE = mean_j (max P_j / max S_j) (s_j / p_j): how high and how fast, beside the expert.

    The maxima are of a moving average over a fifth of the steps, at most 100; p_j and s_j are the steps at which
    each is first reached, counted to the end of its window.

    Source: New et al. (2022), Lifelong learning metrics, arXiv:2201.08278 (sample efficiency).
    """
    values = []
    for task, own, other in _pairs(curves, experts):
        (high, fast), (expert_high, expert_fast) = _saturation(task, own), _saturation(task, other)
        values.append(high / expert_high * expert_fast / fast)
    return float(np.mean(values))


def learning_curve(curves: Curves, task: int) -> np.ndarray:
    """The accuracy on a task before each step of training on it; without visits, before each step.

    Raises:
        NotKnown: it was measured at fewer than two of them.
    """
    visits = [(visit.begin, visit.end) for visit in curves.visits if visit.task == task]
    if not curves.visits:
        visits = [(float(curves.steps[0]), np.inf)]
    done, steps, values = 0.0, [], []
    for begin, end in visits:
        x, y = curves.measured(task, (curves.steps >= begin) & (curves.steps < end))
        steps.append(x - begin + done)
        values.append(y)
        done += (end if np.isfinite(end) else float(curves.steps[-1])) - begin
    places, accuracy = np.concatenate(steps or [[]]), np.concatenate(values or [[]])
    if len(places) < 2:
        raise NotKnown(f"{curves.tasks[task]!r} was evaluated less than twice while it was trained")
    return np.interp(np.arange(places[-1] + 1), places, accuracy)


def _pairs(curves: Curves, experts: Mapping[str, Curves]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Of each task trained its name, the learner's curve and the expert's."""
    if not curves.visits:
        raise NotKnown(NO_BOUNDARY)
    found = []
    tasks = list(dict.fromkeys(visit.task for visit in curves.visits))
    if len(tasks) > 1 and _has_just_begun(curves):
        tasks.pop()
    for task in tasks:
        name = curves.tasks[task]
        expert = experts.get(name)
        if expert is None or name not in expert.tasks:
            raise NotKnown(NO_EXPERT.format(task=name))
        found.append((name, learning_curve(curves, task), learning_curve(expert, expert.tasks.index(name))))
    return found


def _has_just_begun(curves: Curves) -> bool:
    """Whether the newest task is on its first visit, with fewer than two rows so far."""
    newest = curves.visits[-1]
    visits = sum(visit.task == newest.task for visit in curves.visits)
    return visits == 1 and np.isinf(newest.end) and int((curves.steps >= newest.begin).sum()) < 2


def _saturation(task: str, curve: np.ndarray) -> tuple[float, int]:
    """The maximum of the moving average, and the step at which its window ends."""
    window = max(1, min(int(WINDOW_SHARE * len(curve)), LARGEST_WINDOW))
    means = np.convolve(curve, np.full(window, 1 / window), mode="valid")
    place = int(np.argmax(means >= means.max() - ROUNDING))
    if means[place] <= 0 or place == 0:
        raise NotKnown(AT_ONCE.format(task=task))
    return float(means[place]), place + window - 1
