"""The tasks of a run: which is being trained, and what is measured when one begins or ends."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from nbtoolkit.capture import whole
from nbtoolkit.capture.measuring import jointly
from nbtoolkit.capture.waiting import waiting_allowed
from nbtoolkit.errors import WatchError
from nbtoolkit.numerics.tasks import Episode
from nbtoolkit.store.schema import Var

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run
    from nbtoolkit.capture.schedule import Attached

GROUP = "task"
TRAINING = {"training": Var(("task_trained",), units="1", long_name="task being trained")}


class Streaming:
    """What a run knows of its place in a stream of tasks."""

    upcoming: "Callable[[Any], None] | None" = None  # done when the next step is about to be made
    within_task = False  # a block of `task`


@contextlib.contextmanager
def task(run: "Run", name: str) -> Iterator[None]:
    """A block that trains on one task: `begin_task` before it, `end_task` after it.

    Args:
        run: this one.
        name: of the task.

    Raises:
        WatchError: as `begin_task` and `end_task` raise it; not where the block itself has failed.
    """
    run = run.twin or run
    begin_task(run, name)
    run.within_task = True
    try:
        yield
    except BaseException:
        run.within_task = False
        _close(run, complete=False)
        raise
    run.within_task = False
    if run.state == "watching":
        end_task(run)


def begin_task(run: "Run", name: str) -> None:
    """Training goes on with the task ``name`` from here; a task that was being trained ends.

    Call it between two steps. Instruments of task boundaries (`accuracy_matrix`) are measured now, dense ones
    (`stability_gap`) at every step for a while. A task that comes again is recorded as ``"name (2)"``.

    Args:
        run: this one.
        name: of the task; one of those given as ``watch(tasks=)``, if any were.

    Raises:
        WatchError: the run has ended, there is no such task, it is within another one's block, or no step was made
            since a task began.
    """
    run = run.twin or run
    episodes = _episodes(run)
    name, present = checked(run, name), now(run)
    if run.within_task and present is not None:
        raise WatchError(
            f"task {name!r} cannot begin within `with run.task({present.task!r})`: tasks do not overlap; end that "
            "block first."
        )
    if present is not None:
        _close(run)
    with run.lock:
        episodes.append(Episode(_label(name, episodes), name, run.step))
        run.upcoming = _record
        _tell_schedule(run)
        try:
            if run.steps and any(item.measured_at != run.step for item in run.steps.schedule.at_boundaries):
                _measure(run)
        except BaseException:  # an interrupt: the task has not begun
            _take_back(run)
            raise


def end_task(run: "Run") -> None:
    """The task that was being trained ends here; steps that follow belong to none.

    Raises:
        WatchError: no task has begun, or no step was made since it began.
    """
    run = run.twin or run
    _episodes(run)
    if now(run) is None:
        raise WatchError(f"{run.name} trains no task that could end; begin one with run.begin_task(name) first.")
    _close(run)


def ended(run: "Run") -> BaseException | None:
    """The run itself ends: so does its task, if it was trained at all. Gives what has interrupted the last look."""
    present = now(run)
    try:
        if present is not None and present.begin < run.step:
            _close(run)
        if run.steps is not None:  # the last accuracies, which no step follows
            _measure(run, [item for item in run.steps.schedule.attached if item.instrument.dense is not None])
    except BaseException as interrupt:
        return interrupt
    return None


def at_next_step(run: "Run") -> None:
    """A step is about to be made, and something was to happen then."""
    act, run.upcoming = run.upcoming, None
    if act is not None:
        with run.lock:
            act(run)


def announced(run: "Run", name: str) -> None:
    """Begin the task that was announced for this step; what is wrong with it is a note."""
    try:
        begin_task(run, name)
        at_next_step(run)
    except WatchError as error:
        run.note(f"task {name!r} did not begin: {error}")
        warnings.warn(f"nbtoolkit: task {name!r} did not begin: {error}", stacklevel=5)


def inherit(child: "Run", parent: "Run", at: int) -> None:
    """A fork leaves ``parent`` at step ``at``: it knows the tasks until then, and what was measured at their ends."""
    if child.subject is None or parent.subject is None or child.steps is None:
        return
    kept = [one for one in parent.subject.episodes if one.begin < at or one.end is None]
    past = [replace(one, end=None if one.end is None or one.end > at else one.end) for one in kept]
    child.subject.episodes[:] = past
    ended = {one.label for one in past if one.end is not None}
    for item in child.steps.schedule.at_boundaries:
        known = copy.deepcopy(parent.subject.memories.get(item.name, {}))
        if "rows" in known:
            known["rows"] = {label: row for label, row in known["rows"].items() if label in ended}
        item.memory.update(known)
    if past:
        _record(child)
        child.steps.schedule.boundary(past[-1].begin if past[-1].end is None else past[-1].end)
    child.steps.loop.version += 1


def _episodes(run: "Run") -> list[Episode]:
    if run.subject is None or run.steps is None or run.state != "watching":
        raise WatchError(f"{run.name} is {run.state}: tasks begin and end while it is watched.")
    if not run.steps.belongs_here():
        raise WatchError("a task begins and ends on the thread that makes the steps; call it there.")
    return run.subject.episodes


def now(run: "Run") -> Episode | None:
    """The stretch of training on one task that is under way."""
    episodes = [] if run.subject is None else run.subject.episodes
    return episodes[-1] if episodes and episodes[-1].end is None else None


def checked(run: "Run", name: Any) -> str:
    """The name of a task, if the run has such a one or none at all.

    Raises:
        WatchError: it has others.
    """
    name = str(name)
    assert run.subject is not None
    tasks = run.subject.probing["tasks"]
    if tasks is None:
        return name
    try:
        return tasks.check(name)
    except ValueError as error:
        raise WatchError(str(error)) from None


def _close(run: "Run", *, complete: bool = True) -> None:
    """End the present task, and measure what it has come to; of a block that failed only its end is kept."""
    present = now(run)
    if present is None:
        return
    if complete and present.begin == run.step:
        _take_back(run)
        raise WatchError(
            f"task {present.task!r} began at step {present.begin} and no step has been made since, so it is taken "
            "back; a boundary comes after the steps of a task (is its optimizer the one that is watched?)."
        )
    with run.lock:
        present.end, present.complete = run.step, complete
        _record(run)
        _tell_schedule(run)
        if complete:
            _measure(run)


def _take_back(run: "Run") -> None:
    """The present task has not begun after all."""
    assert run.subject is not None
    run.subject.episodes.pop()
    run.upcoming = None
    _tell_schedule(run)


def _label(name: str, episodes: Sequence[Episode]) -> str:
    """The name, with the count of visits where it was visited before; no other visit's label."""
    visits, taken = 1 + sum(episode.task == name for episode in episodes), {episode.label for episode in episodes}
    label = name if visits == 1 else f"{name} ({visits})"
    while label in taken:
        visits += 1
        label = f"{name} ({visits})"
    return label


def _record(run: "Run") -> None:
    """A row at the boundary: 1 for the task being trained, 0 for those before."""
    assert run.subject is not None
    run.upcoming = None
    episodes = run.subject.episodes
    run.record.group(GROUP, TRAINING, {"reference": "run.begin_task"})
    row = [float(episode.end is None) for episode in episodes]
    run.rows.add(GROUP, run.step, {"training": row}, {"task_trained": tuple(episode.label for episode in episodes)})


def _tell_schedule(run: "Run") -> None:
    if run.steps is not None:
        run.steps.schedule.boundary(run.step)
        run.steps.loop.version += 1


def _measure(run: "Run", items: "Sequence[Attached] | None" = None) -> None:
    """Measure now, between steps; by default what is measured at boundaries."""
    steps = run.steps
    items = steps.schedule.at_boundaries if items is None and steps is not None else items
    if steps is None or not items:
        return
    started, loop = perf_counter(), steps.loop
    loop.current_step = run.step
    if not loop.gone:  # else the parameters are those of its last step
        loop.begin(run.step, remember_initial=steps.remembers_initial, keep_params=False)
    with torch.no_grad(), run.lock, waiting_allowed(loop.on_cuda):
        for item in items:
            try:
                outputs = jointly(run, loop, item).outputs if item.joint else item.outputs()
            except Exception as error:
                outputs = error
            item.measured_at = run.step
            run.measured(item.instrument, outputs, loop.labels(item.instrument))
    loop.let_go()
    if loop.ranks is not None:
        whole.of(loop).let_go()
    steps.clock.measuring += perf_counter() - started
    run.drafts.raise_interrupt()
