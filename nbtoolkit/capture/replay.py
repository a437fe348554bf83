"""A twin of a training that has no function for a step: its cell is run again, and left at the step of the fork."""

import contextlib
import weakref
from collections.abc import Callable
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer

from nbtoolkit.capture.again import Again
from nbtoolkit.capture.changes import Changes, schedules_of
from nbtoolkit.capture.copies import planned
from nbtoolkit.capture.fork import Enough, Gate, begun, check_alone, check_extent, compare, resting
from nbtoolkit.capture.rates import set_rate
from nbtoolkit.capture.references import Name, Place, bound_first, of_code
from nbtoolkit.capture.run import Run
from nbtoolkit.capture.silence import silent
from nbtoolkit.capture.situation import Situation
from nbtoolkit.capture.status import ended_by
from nbtoolkit.capture.watch import Discovery, runs_by_optimizer, watching
from nbtoolkit.errors import TrainingStopped, WatchError
from nbtoolkit.instruments import Instrument
from nbtoolkit.numerics.given import is_whole, shown

USUAL = (
    "usual causes: GPU kernels that are not deterministic (torch.use_deterministic_algorithms(True)), data read ahead "
    "by other processes or threads, iterators made before the cell, files, the time"
)
NOT_SET = "learning rates that were set from outside in {name} at step {steps} are not set here: lr= was given"
ASKED_TO_END = "the fork was ended before it began"
NO_CALL = (
    "no module of this run's model is called between its steps, so that there is no moment at which to begin a fork"
)


class Start:
    """The situation in which a cell begins; it holds a copy of all that the cell refers to.

    Args:
        code: of the cell.
        namespace: in which it is run.
        execute: runs it.
        variable: name that a run of the cell gets when it begins, if any.
        only: the optimizer that is watched, if it is named; else all that the cell steps.
        turned: told of the run of a fork when it begins, and what else is to be told of it.
    """

    def __init__(
        self, code: CodeType, namespace: dict[str, Any], execute: Callable[[], Any], variable: str = "",
        only: Any = None, turned: Callable[[Run, Callable[[Run], None]], None] = lambda run, started: started(run),
    ) -> None:  # fmt: skip
        self._code, self.namespace, self.execute, self.variable = code, namespace, execute, variable
        self.only, self.turned = only, turned
        self.watched = weakref.WeakSet(key for key in runs_by_optimizer if watching(key) is not None)  # by other runs
        self.runs: list[Run] = []  # that it began, in the order of their first steps
        self.situation = Situation(places=self.places(), strict=False)
        unwound, written, bound = self.situation.unwound, self.situation.written, bound_first(code)
        self.rebound = {name: namespace.get(name) for name in unwound + written if name in bound}  # by the cell, to new
        self.situation.unwound = [name for name in unwound if name not in bound]
        self.situation.written = [name for name in written if name not in bound]

    def began(self, run: Run) -> None:
        """The cell has begun a run, which can be forked while it goes on."""
        self.runs.append(run)
        run.control.maker = Again(self, run)

    def places(self) -> list[Place]:
        """The names that the cell reads or binds."""
        own = [Name(self.namespace, self.variable)] if self.variable else []
        return [*of_code(self._code, self.namespace), *own]


class _Replay:
    """One cell run again: follows the steps of one optimizer, and turns it into a fork after ``at`` of them."""

    def __init__(self, start: Start, run: Run, at: int, changes: Changes, turn: Callable[["_Replay"], None]) -> None:
        self.run, self.at, self.changes, self.turn = run, at, changes, turn
        self.start, self.place = start, start.runs.index(run)
        self.shadow: Run | None = None
        self.gate: Gate | None = None
        self.failure: WatchError | None = None
        self._seen = 0
        self._handles: list[Any] = []
        self._armed: Any = None
        self._tensors: set[int] = set()

    def began(self, shadow: Run) -> None:
        """An optimizer of the cell makes its first step; what the cell logs is not for the run that it began then."""
        assert shadow.steps is not None
        optimizer = shadow.steps.loop.optimizer
        if self.start.only is not None and optimizer is not self.start.only:
            return
        shadow.control.replays = True
        if self._seen < len(self.start.runs):
            first = self.start.runs[self._seen]
            first.twin = shadow
            self._handles.append(optimizer.register_step_post_hook(_Hand(first, shadow)))
            if self.start.variable:
                self.start.namespace[self.start.variable] = first
        if self._seen == self.place:
            self.shadow = shadow
            if self.run.steps is not None:  # the cell is run within itself
                shadow.listeners.append(lambda _: self.run.tell())
                shadow.ears.append(self.run.hear)
            self._handles += [
                optimizer.register_step_pre_hook(self._before_step), optimizer.register_step_post_hook(self._after_step)
            ]  # fmt: skip
        self._seen += 1

    def goes_on(self, optimizer: Optimizer, child: Run) -> None:
        """The run has become that of the fork: what was set from outside later is set there too, or told of."""
        hand = _Hand(self.run, child, self.at)
        if self.changes.lr is None:
            self._handles.append(optimizer.register_step_post_hook(hand))
        elif hand.commands:
            child.note(NOT_SET.format(name=self.run.name, steps=", ".join(str(one["step"]) for one in hand.commands)))

    def close(self) -> None:
        """Remove the hooks."""
        for run in self.start.runs:
            run.twin = None
        for handle in (*self._handles, self._armed):
            if handle is not None:
                handle.remove()

    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        shadow = self.shadow
        if self.gate is None and self._armed is None and shadow is not None and shadow.step == self.at:
            self._tensors = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
            self._armed = register_module_forward_pre_hook(self._before_forward)

    def _before_forward(self, module: nn.Module, _: Any) -> None:
        """The first call of the model for the step of the fork: all that belongs to the steps before is done."""
        if torch.is_grad_enabled() and any(id(param) in self._tensors for param in module.parameters()):
            self._armed.remove()
            self._guarded(lambda: self.turn(self))

    def _before_step(self, *args: Any) -> None:
        if self.gate is not None:
            self.gate(*args)
        elif self._armed is not None:
            self._guarded(lambda: _refuse(NO_CALL))
        elif self.run.control.ends_fork:
            self._guarded(lambda: _refuse(ASKED_TO_END))

    def _guarded(self, work: Callable[[], None]) -> None:
        """The cell must not catch what is wrong."""
        try:
            work()
        except WatchError as error:
            self.failure = error
            raise Enough from None


class _Hand:
    """Sets the learning rates that were set from outside while the cell first ran; its own code does so itself.

    Args:
        run: of the first time.
        again: of this time.
        since: the step from which on; what was set before is.
    """

    def __init__(self, run: Run, again: Run, since: int = -1) -> None:
        self.again = again
        self.commands = [
            one for one in run.commands if one["what"] == "lr" and not one["own"] and one["step"] > since
        ]  # fmt: skip

    def __call__(self, optimizer: Optimizer, *_: Any) -> None:
        """A step has been made."""
        while self.commands and self.commands[0]["step"] <= self.again.step:
            command = self.commands.pop(0)
            set_rate(optimizer, command["new"], command["group"])
            told = {key: command[key] for key in ("what", "text", "old", "new", "group", "own")}
            self.again.control.log(**told)


def replay(
    start: Start, run: Run, at: int, changes: Changes, *, steps: int = 100, name: str | None = None,
    every: int | None = None, started: Callable[[Run], None] = lambda run: None,
) -> Run:  # fmt: skip
    """A twin that leaves ``run`` at an earlier step: the cell is run again from its start, in silence.

    Up to step ``at`` it must do what it did, to the last bit of what was recorded; there the changes are made, and
    ``steps`` more are recorded. Then all is put back as it was before this call.

    Args:
        start: of the cell.
        run: one that the cell began.
        at: the step, from 1 on and before the last.
        changes: what the twin does otherwise; numbers for the batch of its first step may be drawn already.
        steps: that the twin makes, if the cell goes on so long.
        name: of the twin's run.
        every: steps between copies of its parameters.
        started: told of its run.

    Raises:
        WatchError: ``at`` is no such step, or the cell does something else than it did.
    """
    if run not in start.runs:
        raise WatchError(f"{run.name} was not begun by the cell whose start was kept.")
    last = run.step if run.state == "watching" else run.step - 1
    if not is_whole(at, 1) or at > last:
        raise WatchError(f"at={shown(at)}: expected a step from 1 to {last}, before the last of {run.name}.")
    check_alone(run)
    check_extent(steps, name)
    at, steps = int(at), int(steps)

    def turn(again: _Replay) -> None:
        shadow = again.shadow
        assert shadow is not None
        assert shadow.steps is not None
        loop = shadow.steps.loop
        shadow.detach()
        _check_same(run, shadow)
        found = Situation(loop.optimizer, places=start.places(), strict=False) if changes.given else None
        schedules = schedules_of(loop.optimizer)
        changes.make(loop.optimizer, loop.tensors, found.generators if found else [], schedules)
        gate = Gate(run, loop, planned(at, steps, every, loop.params()), at + steps)
        gate.child = begun(run, at, loop, changes, name, gate.copies)
        gate.child.control.replays = True
        again.gate, run.twin = gate, gate.child
        again.goes_on(loop.optimizer, gate.child)
        if not _compared(run):
            gate.child.note("nothing recorded could show that the cell did again what it did")
        start.turned(gate.child, started)

    now = Situation(*start.situation.objects, places=start.places(), strict=False)
    again = _Replay(start, run, at, changes, turn)
    error: BaseException | None = None
    with resting(run):
        try:
            start.situation.restore()
            start.situation.stand_in()
            with (
                contextlib.suppress(Enough, TrainingStopped),  # of the twin alone
                silent(),
                Discovery(start.namespace, again.began, besides=start.watched, instruments=_compared(run)),
            ):
                start.execute()
        except BaseException as raised:
            error = raised
            raise
        finally:
            child = again.gate.child if again.gate is not None else None
            try:
                again.close()
                if child is not None and again.gate is not None:
                    again.gate.reached(child.step)
            finally:  # whatever has failed or was interrupted so far
                try:
                    if child is not None:
                        child.detach(ended_by(error))
                        child.subject = None
                finally:
                    now.restore(error)
                    del now  # a traceback would keep it
            if child is not None and again.gate is not None and run.steps is not None:
                compare(run, child.name, again.gate.copies)
    if again.failure is not None:
        raise again.failure
    if child is None:
        made = 0 if again.shadow is None else again.shadow.step
        if made == at:
            raise WatchError(f"the cell makes no more steps after step {at}, and so leaves none to a fork.")
        raise WatchError(
            f"the cell, run again, made {made} steps of this optimizer and ended before step {at}; {USUAL}."
        )
    return child


def _compared(run: Run) -> list[Instrument]:
    """What of the run is measured again: what costs nothing and does not depend on the time."""
    return [item for item in run.attached if item.forward_passes() == 0 and "clock" not in item.needs]


def _check_same(run: Run, again: Run) -> None:
    """Refuse a cell that did something else than it did when it was watched."""
    for name in again.instruments:
        ours, theirs = run[name], again[name]
        shared = np.intersect1d(ours["step"], theirs["step"])
        for key, values in theirs.data_vars.items():
            now, before = values.sel(step=shared).values, ours[key].sel(step=shared).values
            same = now.shape == before.shape and np.array_equal(now, before, equal_nan=True)
            if not same:
                wrong = [not np.array_equal(a, b, equal_nan=True) for a, b in zip(now, before, strict=True)]
                step = int(shared[int(np.argmax(wrong))]) if any(wrong) else 0
                raise WatchError(f"the cell is not reproducible: {key} is another at step {step}; {USUAL}.")


def _refuse(reason: str) -> None:
    raise WatchError(f"{reason}.")
