"""Watch ``Trainer.train`` of Transformers."""

import functools
import weakref
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from nbtoolkit.bridges._extras import installed
from nbtoolkit.bridges._fits import Fits
from nbtoolkit.capture import Run
from nbtoolkit.capture.status import ended_by

installed("transformers", "transformers")

from transformers import Trainer, TrainerCallback  # noqa: E402 - what it needs is said first

KEPT = "nbtoolkit.LandscapeCallback"  # in the state of a checkpoint
TIMES = ("_runtime", "_per_second", "_flos")  # what a log says of the machine


class LandscapeCallback(TrainerCallback):
    """Watches every ``train()`` of a Transformers ``Trainer``.

    ``Trainer(..., callbacks=[LandscapeCallback(store="run.zarr")])``. In a notebook a live Board is shown. What the
    Trainer logs is recorded too, at the optimizer steps done; a name that an instrument has gets ``logged_`` before it
    (``logged_loss`` is the Trainer's mean since it last logged, ``loss`` the loss of each step). A training that goes
    on from a checkpoint goes on along the step axis, and in the same store. To stop the run ends the training as early
    stopping does.

    Args:
        show: the panels that are open at first in a notebook's Board; None for the usual ones, False for no Board.
        options: of `nbtoolkit.watch`: instruments, loss, probe, tasks, budget, store, name.

    Raises:
        WatchError: `nbtoolkit.watch` has no such option.
    """

    def __init__(self, *, show: bool | Sequence[str] | None = None, **options: Any) -> None:
        self._fits = Fits(show, options)
        self._stops = False
        _hear(self)

    @property
    def runs(self) -> list[Run]:
        """The run of the training under way, or of the last one, in a list."""
        return list(self._fits.runs)

    @property
    def run(self) -> Run | None:
        """The run of the training under way, or of the last one; None before."""
        return self._fits.runs[0] if self._fits.runs else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Begin."""
        self._stops = False
        kept = state.stateful_callbacks.get(KEPT, {}).get("steps", state.global_step)
        optimizer = given.get("optimizer")
        if isinstance(optimizer, Optimizer):
            self._fits.begin(given["model"], [optimizer], [kept], self._stop)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """End, if that is wanted; keep the number of steps, where a GradScaler has skipped some."""
        if self._stops:
            control.should_training_stop = True
        if self.run is not None and self.run.step != state.global_step:
            state.stateful_callbacks[KEPT] = {"steps": self.run.step}
        else:
            state.stateful_callbacks.pop(KEPT, None)

    def on_substep_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """End, if that is wanted."""
        if self._stops:
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        """Record what is logged, but for times and the epoch."""
        if state.is_world_process_zero:
            self._fits.log({key: value for key, value in (logs or {}).items() if _is_measured(key)})

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """End."""
        self._fits.end("finished")

    def ended(self, error: BaseException) -> None:
        """End early."""
        self._fits.end(ended_by(error))

    def _stop(self) -> bool:
        self._stops = True
        return True


def _is_measured(key: str) -> bool:
    return key != "epoch" and not key.endswith(TIMES)


_hearing: "weakref.WeakSet[LandscapeCallback]" = weakref.WeakSet()
_original = Trainer.train


def _hear(callback: LandscapeCallback) -> None:
    """Let ``train()`` tell its callbacks by what it was ended, which Transformers does not, while there are any."""
    if Trainer.train is _original:
        Trainer.train = _train
    _hearing.add(callback)
    weakref.finalize(callback, _leave).atexit = False


def _leave() -> None:
    if not [*_hearing] and Trainer.train is _train:
        Trainer.train = _original


@functools.wraps(_original)
def _train(self: Trainer, *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    try:
        return _original(self, *args, **kwargs)
    except BaseException as error:
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, LandscapeCallback):
                callback.ended(error)
        raise
