"""A twin of a training: other steps from the state of this one, which goes on as if there had been none."""

import contextlib
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

from torch import nn
from torch.optim import Optimizer

from nbtoolkit.capture import stream, taps
from nbtoolkit.capture.changes import Changes, schedules_of
from nbtoolkit.capture.copies import Copies, planned
from nbtoolkit.capture.loop import Loop
from nbtoolkit.capture.run import Run
from nbtoolkit.capture.schedule import Attached
from nbtoolkit.capture.situation import TOLD, Situation
from nbtoolkit.capture.watch import DEFAULT_BUDGET, Discovery, begin, runs_by_optimizer, watching
from nbtoolkit.errors import TrainingStopped, WatchError
from nbtoolkit.instruments import twin_divergence
from nbtoolkit.numerics.given import is_whole, shown

LEFT = "left as the fork leaves it, though the step works on it:"
IDLE = 100  # calls without a step of the optimizer: gradients may be accumulated over calls, a scaler may skip steps


class Enough(BaseException):
    """Ends a call that would make more steps than asked for."""


class Gate:
    """Sees every step of a fork before anything else does: keeps copies of the parameters, and ends it.

    Args:
        run: that is forked; when that is asked of it, the fork ends early.
        loop: gives the parameters.
        copies: the ones to keep.
        end: the step that is not made any more.
    """

    def __init__(self, run: Run, loop: Loop, copies: Copies, end: int) -> None:
        self.run, self.loop, self.copies, self.end = run, loop, copies, end
        self.child: Run | None = None

    def __call__(self, *_: Any) -> None:
        """A step of the optimizer is about to be made."""
        if self.child is not None:
            self.reached(self.child.step)
            if self.child.step >= self.end or self.run.control.ends_fork:
                raise Enough

    def reached(self, step: int) -> None:
        """The parameters are those after ``step`` steps; of an optimizer that its loop has dropped there are none."""
        if not self.loop.gone and self.copies.wants(step):
            self.loop.begin(step, remember_initial=False, keep_params=False)
            self.copies.take(step, self.loop.params())


class Meeting(Attached):
    """The comparison of a run with its forks: due where they have left copies."""

    compared: Mapping[str, Copies] = {}

    @property
    def due_at(self) -> float:  # type: ignore[override]
        """The next step of which a fork has a copy."""
        last = -1 if self.measured_at is None else self.measured_at
        steps = itertools.chain.from_iterable(copies.steps for copies in self.compared.values())
        return min((step for step in steps if step > last), default=math.inf)

    def outputs(self) -> Any:
        """Compare; of what lies behind, the forks keep no copies but their last."""
        for copies in self.compared.values():
            copies.let_go(self.measured_at or 0)
        return super().outputs()


def fork(
    run: Run, step: Callable[[], Any], changes: Changes, *, steps: int = 100, name: str | None = None,
    every: int | None = None, also: Sequence[Any] = (), started: Callable[[Run], None] = lambda run: None,
) -> Run:  # fmt: skip
    """A twin of ``run``; see `Run.fork`. ``started`` is told of its run when it begins."""
    optimizer, loop = _checked(run, step)
    check_alone(run)
    check_extent(steps, name)
    steps = int(steps)
    changes.rates(optimizer)
    loop.begin(run.step, remember_initial=False, keep_params=False)
    gate = Gate(run, loop, planned(run.step, steps, every, loop.params()), run.step + steps)
    error: BaseException | None = None
    with resting(run) as others:
        # What trains comes first, so that it is also put back first; a schedule may be in sight of no code.
        schedules = schedules_of(optimizer)
        situation = Situation(optimizer, *loop.models.values(), *schedules, step, *also)
        try:
            situation.stand_in()
            changes.make(optimizer, loop.tensors, situation.generators, schedules)
            hook = optimizer.register_step_pre_hook(gate)
            gate.child = child = begun(run, run.step, loop, changes, name, gate.copies)
            for told in (run, child) if situation.left else ():
                told.note(f"{LEFT} {', '.join(situation.left[:TOLD])}")
            for other in others:
                other.twin = child
            with child:
                started(child)
                _train(child, step, gate)
            hook.remove()
        except BaseException as raised:
            error = raised
            raise
        finally:
            try:
                situation.restore(error)
            except WatchError as failure:
                run.note(f"after a fork: {failure}")
                raise failure.with_traceback(None) from error  # its frames would keep the copies
            finally:
                if gate.child is not None:
                    gate.child.subject = None  # its parameters are gone
                    compare(run, gate.child.name, gate.copies)
                del situation, error  # a traceback would keep them
    return child


def check_alone(run: Run) -> None:
    """Refuse a twin of one process among several that train together.

    Raises:
        WatchError: there are others.
    """
    if run.ranks is not None:
        raise WatchError(
            f"{run.name} is trained by {run.ranks.count} processes together, and a twin would need them all; fork a "
            "training of one process."
        )


def check_extent(steps: Any, name: Any) -> None:
    """Refuse a number of steps that is none, and a name that is no text in one line.

    Raises:
        WatchError: saying which.
    """
    if not is_whole(steps, 1):
        raise WatchError(f"steps={shown(steps)}: expected a whole number of steps, 1 or more.")
    if name is not None and not (isinstance(name, str) and name.isprintable() and name.strip()):
        raise WatchError(f"name={shown(name)}: expected the name of the twin's run, a text in one line.")


def _checked(run: Run, step: Callable[[], Any]) -> tuple[Optimizer, Loop]:
    """The optimizer of the run and its loop, if a fork can be made now."""
    if run.subject is None:
        raise WatchError(f"{run.name} is {run.state}: there is no model to go on with, only what was recorded.")
    check_step(step)
    if run.twin is not None:
        raise WatchError(f"{run.name} is being forked at this moment; a step of a fork makes no forks.")
    if run.steps is not None and not run.steps.belongs_here():
        raise WatchError("run.fork() was called on another thread than the one that makes the steps; call it there.")
    if run.steps is not None and run.steps.midway():
        raise WatchError(
            "run.fork() was called within a step; call it between two: after optimizer.step(). After an interrupt, "
            "call optimizer.zero_grad() first."
        )
    held = run.record.groups.get(twin_divergence.name)
    if held is not None and held.variables.keys() != twin_divergence.outputs.keys():
        raise WatchError(f"{run.name} has a logged value {held.name!r}, the name of what a fork adds; rename that one.")
    loop = run.subject.loop()
    return loop.optimizer, loop


def check_step(step: Any, caller: str = "run.fork()") -> None:
    """Refuse what cannot be called without arguments.

    Raises:
        WatchError: saying so.
    """
    if not callable(step) or isinstance(step, nn.Module):
        raise WatchError(
            f"{caller} got a {type(step).__name__} as the step; it needs a function without arguments that makes one "
            "step of the loop: forward, backward, optimizer.step()."
        )
    try:
        signature = inspect.signature(step)
    except (TypeError, ValueError):  # of functions written in C
        return
    try:
        signature.bind()
    except TypeError:
        name = getattr(step, "__name__", "step")
        raise WatchError(f"{name} needs arguments {signature}; give a function without: lambda: {name}(...).") from None


@contextlib.contextmanager
def resting(run: Run) -> Iterator[list[Run]]:
    """The run, and all others that are watched on this thread: they see nothing of the block, and no clock runs."""
    began, before = perf_counter(), dict(runs_by_optimizer)
    known = [found for optimizer in before if (found := watching(optimizer)) is not None and found is not run]
    others = [run, *(found for found in known if found.steps is not None and found.steps.belongs_here())]
    steps = [other.steps for other in others]
    try:
        for other in others:
            other.fall_asleep()
        for optimizer in before:
            if watching(optimizer) in others:
                del runs_by_optimizer[optimizer]
        with taps.silence(lambda watcher: isinstance(watcher, Discovery) or watcher in steps):
            yield others
    finally:
        runs_by_optimizer.update(before)
        for other in others:
            other.wake(perf_counter() - began)


def begun(run: Run, at: int, loop: Loop, changes: Changes, name: str | None, copies: Copies) -> Run:
    """The run of a twin that leaves ``run`` at step ``at``."""
    assert run.subject is not None
    taken = {other.name for other in run.forks}
    name = name or f"{run.name} fork@{at}{changes.words()}"
    numbered = itertools.chain([name], (f"{name} ({place})" for place in itertools.count(2)))
    child = begin(
        loop.optimizer, loop.models, **run.subject.probing, name=next(one for one in numbered if one not in taken),
        instruments=[item for item in run.attached if item.name != twin_divergence.name],
        budget=DEFAULT_BUDGET if run.steps is None else run.steps.schedule.budget,
        attrs={"parent": run.name, "fork_step": at, "changes": changes.given, "steps": at},
    )  # fmt: skip
    child.copies = copies
    run.forks.append(child)
    if run.steps is not None and child.steps is not None:
        child.steps.loop.inherit(run.steps.loop)
    stream.inherit(child, run, at)
    return child


def _train(child: Run, step: Callable[[], Any], gate: Gate) -> None:
    """Call ``step`` until the fork has made its steps."""
    idle = 0
    try:
        while child.state == "watching" and child.step < gate.end:
            before = child.step
            step()
            idle = idle + 1 if child.step == before else 0
            if idle == IDLE:
                raise WatchError(
                    f"step() was called {IDLE} times and made no step of this run's optimizer "
                    f"({type(gate.loop.optimizer).__name__}); give the function that calls its step()."
                )
        gate.reached(child.step)
    except Enough:
        pass
    except TrainingStopped as stopped:  # of the twin alone; this training goes on
        if child.state != "stopped":
            raise stopped.with_traceback(None) from None


def compare(run: Run, name: str, copies: Copies) -> None:
    """Let the run be compared with a fork where it comes to its copies."""
    assert run.subject is not None
    run.subject.forks[name] = copies
    if run.steps is None:
        return
    loop, schedule = run.steps.loop, run.steps.schedule
    loop.version += 1
    if not any(isinstance(item, Meeting) for item in schedule.attached):
        own = schedule.detach(twin_divergence.name)  # the user's, with other settings
        steps = copies.steps
        item = (own or twin_divergence).using(every=max(1, steps[1] - steps[0]) if len(steps) > 1 else 1)
        with run.lock:
            run.declare(item)
        meeting = Meeting(item, loop, run.draft)
        meeting.compared = run.subject.forks
        schedule.attach(meeting)
    schedule.plan()
