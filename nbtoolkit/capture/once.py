"""One measurement between steps, of a run that is watched or of one that has ended."""

import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nbtoolkit.capture import names, whole
from nbtoolkit.capture.copies import Copies
from nbtoolkit.capture.loop import Loop
from nbtoolkit.capture.measuring import jointly
from nbtoolkit.capture.schedule import Attached
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Instrument
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.tasks import Episode, Tasks
from nbtoolkit.numerics.tasks_at import TasksAt
from nbtoolkit.numerics.trajectory import Trajectory

if TYPE_CHECKING:
    from nbtoolkit.capture.ranks import Ranks
    from nbtoolkit.capture.run import Run

WITHIN_STEP = ("loss", "loss_terms", "term_grads", "updates", "live_loss", "clock")


class Subject:
    """What a run is about, held weakly: a model that the user has let go of is let go of here.

    Args:
        optimizer: whose steps were watched.
        models: that name its tensors.
        loss: of the probe, as `watch` takes it.
        probe: its data, as `watch` takes it.
        tasks: of the stream.
    """

    def __init__(
        self, optimizer: Optimizer, models: Mapping[str, nn.Module], loss: Callable[..., Tensor] | None, probe: Any,
        tasks: Tasks | None = None,
    ) -> None:  # fmt: skip
        self._optimizer = weakref.ref(optimizer)
        self._models = {name: weakref.ref(model) for name, model in models.items()}
        self.probing: dict[str, Any] = {"loss": loss, "probe": probe, "tasks": tasks}
        self.episodes: list[Episode] = []
        self.memories: dict[str, dict[str, Any]] = {}  # of its instruments, also after its end
        self._passed = Trajectory()  # of the run, also after its end
        self.forks: dict[str, Copies] = {}
        self.ranks: Ranks | None = None  # where several processes train together

    def trains_what(self, other: "Subject") -> bool:
        """Whether both are about a same model."""
        own = {id(model) for ref in self._models.values() if (model := ref()) is not None}
        return any(id(model) in own for ref in other._models.values() if (model := ref()) is not None)

    def loop(self, loss: Callable[..., Tensor] | None = None, probe: Any = None) -> Loop:
        """The loop as it stands now, with another probe if one is given.

        Raises:
            WatchError: model or optimizer no longer exist, or the probe has no known form.
        """
        optimizer = self._optimizer()
        models = {name: model for name, ref in self._models.items() if (model := ref()) is not None}
        if optimizer is None or len(models) < len(self._models):
            raise WatchError(
                "the model or the optimizer of this run no longer exists, so nothing more can be measured."
            )
        if probe is None and loss is None:
            loss, probe = self.probing["loss"], self.probing["probe"]
        if probe is None and self.probing["tasks"] is not None:  # the loss is theirs
            loss = None
        probe = loss_of(models, loss, probe)
        loop = Loop(optimizer, models, probe, self._passed, self.forks, self._tasks(models))
        loop.ranks = self.ranks
        return loop

    def _tasks(self, models: Mapping[str, nn.Module]) -> TasksAt | None:
        if self.probing["tasks"] is None:
            return None
        if len(models) != 1:
            raise WatchError(f"tasks need one model; this optimizer trains {', '.join(models) or 'none in sight'}.")
        (model,) = models.values()
        tasks = TasksAt(names.unwrapped(model), self.probing["tasks"], self.probing["loss"])
        tasks.episodes = self.episodes
        return tasks


def loss_of(models: Mapping[str, nn.Module], loss: Callable[..., Tensor] | None, probe: Any) -> LossAt | None:
    """The loss of a probe as a function of the parameters of a model; None where there is no probe.

    Raises:
        WatchError: a loss without a probe, a probe of no known form, or several models to apply it to.
    """
    if probe is None:
        if loss is not None:
            raise WatchError("loss= is used on a probe; give probe=(inputs, targets) too, or neither.")
        return None
    if len(models) != 1:
        raise WatchError(f"a probe needs one model; this optimizer trains {', '.join(models) or 'none in sight'}.")
    (model,) = models.values()
    try:
        return LossAt(names.unwrapped(model), probe, loss)
    except TypeError as error:
        raise WatchError(str(error)) from None


def measure(run: "Run", loop: Loop, instrument: Instrument) -> None:
    """Measure once, now; a row of the run at its present step.

    Raises:
        WatchError: the instrument needs what exists only within a step, or cannot be measured with these settings, on
            this model or probe.
    """
    absent = [need for need in instrument.needs if need in WITHIN_STEP]
    if absent:
        raise WatchError(
            f"{instrument.name} needs {', '.join(absent)}, which exist only within a step; attach it instead: "
            f"watch(..., instruments=[{instrument.name}])."
        )
    with run.lock, torch.no_grad():
        loop.begin(run.step, remember_initial="initial_params" in instrument.needs, keep_params=False)
        run.declare(instrument)
        try:
            outputs = _outputs(run, loop, Attached(instrument, loop, run.draft, _memory(run, instrument)))
        except WatchError as error:
            run.drafts.settle(instrument.name)
            raise WatchError(f"{instrument.name} {error}") from None
        except (ValueError, TypeError) as error:  # what was asked for cannot be measured; in a loop it would be NaN
            run.drafts.settle(instrument.name)
            raise WatchError(f"{instrument.name}: {str(error).splitlines()[0]}") from None
        except Exception as error:
            outputs = error
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            warnings.warn(f"nbtoolkit: {instrument.name} could not be measured: {reason}", stacklevel=4)
        finally:
            loop.end()  # else the next measurement would be given the curvature of this one
        run.measured(instrument, outputs, loop.labels(instrument))
        run.drafts.raise_interrupt()


def _outputs(run: "Run", loop: Loop, item: Attached) -> Any:
    """What is measured, by this process or by all that train together."""
    if not item.joint:
        return item.outputs()
    try:
        outputs = jointly(run, loop, item).outputs
    finally:
        whole.of(loop).let_go()
    if isinstance(outputs, Exception):
        raise outputs
    return outputs


def _memory(run: "Run", instrument: Instrument) -> dict[str, Any] | None:
    """What an instrument has gathered over the run, where that is what it measures."""
    gathers = instrument.follow is not None or instrument.at_boundaries
    return run.subject.memories.get(instrument.name) if gathers and run.subject is not None else None
