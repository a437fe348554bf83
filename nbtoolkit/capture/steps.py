"""The steps of one optimizer: its hooks, and what is measured before and after each step."""

import threading
from collections.abc import Callable, Container, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nbtoolkit.capture import names, stream, taps, whole
from nbtoolkit.capture.clock import Clock
from nbtoolkit.capture.hidden import Hidden
from nbtoolkit.capture.live import Live
from nbtoolkit.capture.loop import Loop
from nbtoolkit.capture.losses import Losses
from nbtoolkit.capture.measuring import Measuring
from nbtoolkit.capture.schedule import Attached, Due, Schedule
from nbtoolkit.capture.turns import Turns
from nbtoolkit.instruments import Instrument

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

NOTHING = Due([])


class Steps:
    """Watches the steps of one optimizer for a run; never raises into the loop.

    Everything in a row belongs to the step about to be made: loss, gradient and parameters
    before it, the update it makes, its learning rate.

    Args:
        run: takes what is measured.
        loop: gives what instruments need.
        schedule: says what is due.
    """

    def __init__(self, run: "Run", loop: Loop, schedule: Schedule) -> None:
        self.run, self.loop, self.schedule = run, loop, schedule
        self.losses = Losses(loop.held, loop.stand_ins)
        self.measuring = Measuring(run, loop, schedule)
        self.live = Live(run, loop, self.losses, schedule, self.measuring.outputs)
        self.hidden = Hidden(loop, schedule)
        self._sees_hidden = self.hidden.wanted
        self.clock, self._began = Clock(run.step), run.step
        self.orders = run.control.orders  # of the user's, to be carried out between two steps
        self.turns = Turns(run.control, loop.optimizer, self.clock)
        self._due = NOTHING
        self.asleep = False  # while the steps made are not this run's
        self._awaiting_closure = False
        self._maker = threading.get_ident()
        self._thread: int | None = None  # the one that makes the steps, once known
        self._depth = 0  # of step() calls within each other, as a subclass that calls super().step() makes them
        self._backward_since = False
        self._handles: list[Any] = []
        self.remembers_initial = any("initial_params" in item.instrument.needs for item in schedule.attached)

    def attach(self) -> None:
        """Install the hooks."""
        own = self.loop.optimizer
        self._handles = [own.register_step_pre_hook(self._before_step), own.register_step_post_hook(self._after_step)]
        taps.add(self)
        if self._sees_hidden:
            self.guarded(lambda: self.hidden.before(self.run.step))

    def detach(self) -> None:
        """Remove the hooks, and be deaf should they be put back; safe to repeat."""
        self.asleep = True
        if self._handles and (rare := self.schedule.kept_rare(self._began, self.run.step)):
            self.run.note(f"to keep budget={self.schedule.budget:g}, measured less often: {', '.join(rare)}")
        taps.remove(self)
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.hidden.stop()

    def midway(self) -> bool:
        """Whether a step is being made, or a backward pass has run that cannot be that of another optimizer.

        A step that an interrupt has ended is no more being made, and its backward pass counts no more.
        """
        if self._depth > 0:
            if names.is_called(self.loop.optimizer):
                return True
            self._depth = 0
            if not self._backward_since:
                self.losses.forget()
        return self.losses.pending > 0 and not names.any_optimizer_besides([self.loop.optimizer])

    def last_hook(self) -> bool:
        """Whether after ours no other hook of the optimizer is called when a step is made."""
        hooks = self.loop.optimizer._optimizer_step_post_hooks
        return not self._handles or next(reversed(hooks), None) == self._handles[1].id

    def belongs_here(self) -> bool:
        """Whether this thread makes the steps, as far as is known."""
        return threading.get_ident() == self.thread

    @property
    def thread(self) -> int:
        """The thread that makes the steps, as far as is known: before the first, the one that began the watch."""
        return self._thread or self._maker

    def more(self, instrument: Instrument) -> None:
        """One more instrument is measured from now on, between two steps."""
        self._sees_hidden = self.hidden.wanted
        self.remembers_initial = self.remembers_initial or "initial_params" in instrument.needs
        self.clock.step_ended()
        if self._sees_hidden:
            self.guarded(lambda: self.hidden.before(self.run.step))

    def less(self) -> None:
        """One is measured no more."""
        self._sees_hidden = self.hidden.wanted

    def before_backward(self, losses: Sequence[Tensor]) -> None:
        """Note the state of the gradients, which will tell whose the loss is; measure on its graph."""
        if self.loop.gone or not self.belongs_here():
            return
        if self.orders:
            self.turns.backward_comes()
        try:
            self.losses.before()
        except Exception as error:
            self.run.give_up(error)
        if self.schedule.has_live and self.live.wants(self.run.step):
            self.guarded(lambda: self._measure_live(losses))

    def after_backward(self, losses: Sequence[Tensor]) -> bool:
        """Take the losses of the backward pass that has run, if they are ours."""
        here = self.belongs_here()
        if self.loop.gone or not (here or self._thread is None):  # another thread makes the steps
            return False
        self._backward_since = self._backward_since or here
        try:
            return self.losses.after(losses, look=here)
        except Exception as error:
            self.run.give_up(error)
            return False

    def backward_ended(self, losses: Sequence[Tensor], *, claimed: bool) -> None:
        """Nothing more to do."""

    def gradients_zeroed(self, owner: Optimizer | nn.Module) -> None:
        """Start collecting losses anew."""
        if not self.losses.pending or self.loop.gone:
            return
        if owner is self.loop.optimizer or any(owner is model for model in self.loop.models.values()):
            self.losses.forget()
            self.live.drop()

    def loss_scaled(self, loss: Tensor, scaled: Tensor, scale: Tensor) -> None:
        """Remember which loss a GradScaler has scaled."""
        self.losses.scaled(loss, scaled, scale)

    def scaler_updated(self, stepped: Container[int]) -> None:
        """A step is complete, or was skipped."""
        if self.orders and not self.asleep and self.belongs_here():
            self.turns.updated(stepped)

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        if self.asleep:
            return None
        if self._depth and not self._backward_since:
            self._depth += 1  # within a step of the same optimizer
            return None
        self._depth, self._backward_since, self._thread = 1, False, threading.get_ident()
        if self.run.upcoming is not None:
            self.guarded(lambda: stream.at_next_step(self.run))
        if len(args) > 1 or kwargs:
            closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
            if callable(closure):
                return self._with_closure(closure, args, kwargs)
        self.guarded(self._measure_before)
        return None

    def _with_closure(self, closure: Callable[[], Any], args: Any, kwargs: Any) -> Any:
        """The step's arguments with a closure that measures after its first evaluation, when gradients are there."""
        self._awaiting_closure = True

        def evaluate() -> Any:
            loss = closure()
            if self._awaiting_closure:
                self._awaiting_closure = False
                self.guarded(self._measure_before)
            return loss

        if "closure" in kwargs:
            return args, {**kwargs, "closure": evaluate}
        return (args[0], evaluate, *args[2:]), kwargs

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.asleep:
            return
        self._depth -= 1
        if self._depth > 0:
            return
        if self._awaiting_closure:
            self._awaiting_closure = False
            self._due = NOTHING
        if self.schedule.stretches:
            self.schedule.step_seconds = self.clock.timed()
        if self._due.after or perf_counter() >= self.run.next_look:
            self.guarded(self._measure_after)
        else:
            self._end_step()
        if self.schedule.stretches:
            self.clock.step_ended()
        if self.orders:
            self.turns.step_made()

    def guarded(self, work: Callable[[], None]) -> None:
        """Do our work without gradients, without letting an error out, and count its time."""
        started = perf_counter()
        grad_mode = torch.is_grad_enabled()
        try:
            torch._C._set_grad_enabled(False)  # what no_grad() does, at a quarter of its cost
            with self.run.lock:
                work()
        except Exception as error:
            self.run.give_up(error)
        finally:
            torch._C._set_grad_enabled(grad_mode)
        self.clock.measuring += perf_counter() - started

    def _measure_live(self, losses: Sequence[Tensor]) -> None:
        self.loop.begin(self.run.step, remember_initial=self.remembers_initial, keep_params=False)
        self.live.measure(losses)
        self.run.drafts.raise_interrupt()

    def _measure_before(self) -> None:
        run, loop = self.run, self.loop
        if self._sees_hidden:
            self.hidden.after(run.step)
        self._due = due = self.schedule.due(run.step)
        if self.schedule.has_live:
            self.live.settle()
        loop.current_loss, reason = self.losses.total()
        if reason and due.wants_loss:
            run.missing_loss(run.step, reason)
        loop.begin(run.step, remember_initial=self.remembers_initial, keep_params=due.wants_updates)
        if due.wants_grads_after:
            loop.keep_grads()
        for item in self.schedule.followers:
            try:
                item.follow(loop)
            except Exception as error:
                run.note(f"{item.name} follows no more from step {run.step}: {type(error).__name__}: {error}")
                self.schedule.followers.remove(item)
                break
        if loop.on_cuda:
            run.rows.stream = torch.cuda.current_stream()
        for item in due.before:
            self._measure(item)

    def _measure_after(self) -> None:
        run = self.run
        if self.loop.ranks is not None:
            whole.of(self.loop).let_go()
        for item in self._due.after:
            if item.wants_clock:
                self.loop.current_clock = self.clock.read(self.run.step)
            self._measure(item)
        self._end_step()
        run.boundary(perf_counter())

    def _end_step(self) -> None:
        self._due = NOTHING
        self.loop.end()
        if self.loop.ranks is not None:
            whole.of(self.loop).let_go()
        if self.losses.pending:
            self.losses.forget()
        self.run.step += 1
        if self._sees_hidden:
            self.guarded(lambda: self.hidden.before(self.run.step))

    def _measure(self, item: Attached) -> None:
        run, loop = self.run, self.loop
        if item.labels_version != loop.version:
            item.labels, item.labels_version = loop.labels(item.instrument), loop.version
        outputs = self.measuring.outputs(item)
        if item.exempt and not item.joint and not isinstance(outputs, Exception):
            run.rows.add(item.name, run.step, outputs, item.labels)
        else:
            run.measured(item.instrument, outputs, item.labels)
            run.drafts.raise_interrupt()
