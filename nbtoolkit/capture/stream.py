"""The tasks of a run: which is being trained, and what is measured when one begins or ends."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from nbtoolkit.capture.waiting import waiting_allowed
from nbtoolkit.errors import WatchError
from nbtoolkit.numerics.tasks import Episode
from nbtoolkit.store.schema import Var

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run
    from nbtoolkit.capture.schedule import Attached

GROUP = "task"
TRAINING = {"training": Var(("task_trained",), units="1", long_name="task being trained")}


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
    visits = 1 + sum(episode.task == name for episode in episodes)
    with run.lock:
        episodes.append(Episode(name if visits == 1 else f"{name} ({visits})", name, run.step))
        _record(run)
        if run.steps and any(item.measured_at != run.step for item in run.steps.schedule.at_boundaries):
            _measure(run)
        _tell_schedule(run)


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


def ended(run: "Run") -> None:
    """The run itself ends: so does its task, if it was trained at all."""
    present = now(run)
    if present is not None and present.begin < run.step:
        _close(run)
    if run.steps is not None:  # the last accuracies, which no step follows
        _measure(run, [item for item in run.steps.schedule.attached if item.instrument.dense is not None])


def take_upcoming(run: "Run") -> None:
    """Begin the task that was announced for the next step."""
    name, run.upcoming = run.upcoming, None
    if name is not None:
        try:
            begin_task(run, name)
        except WatchError as error:
            run.note(f"task {name!r} did not begin: {error}")
            warnings.warn(f"nbtoolkit: task {name!r} did not begin: {error}", stacklevel=4)


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
        raise WatchError(
            f"task {present.task!r} began at step {present.begin} and no step has been made since; a boundary comes "
            "after the steps of a task (is the optimizer that trains it the one that is watched?)."
        )
    with run.lock:
        present.end, present.complete = run.step, complete
        _record(run)
        if complete:
            _measure(run)
        _tell_schedule(run)


def _record(run: "Run") -> None:
    """A row at the boundary: 1 for the task being trained, 0 for those before."""
    assert run.subject is not None
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
                outputs = item.outputs()
            except Exception as error:
                outputs = error
            item.measured_at = run.step
            run.measured(item.instrument, outputs, loop.labels(item.instrument))
    loop.let_go()
    steps.measuring += perf_counter() - started
    run.drafts.raise_interrupt()
