"""What `watch` was given, checked before anything begins."""

import warnings
from collections.abc import Sequence
from typing import Any

from nbtoolkit.capture import names
from nbtoolkit.capture.loop import Loop
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Instrument, default, of_tasks
from nbtoolkit.numerics.given import is_whole, shown
from nbtoolkit.numerics.tasks import Tasks


def tasks_of(tasks: Any) -> Tasks | None:
    """The tasks of a stream, if any were given.

    Raises:
        WatchError: they are none.
    """
    if tasks is None or isinstance(tasks, Tasks):
        return tasks
    try:
        return Tasks(tasks)
    except ValueError as error:
        raise WatchError(str(error)) from None


def labels(loop: Loop) -> None:
    """Refuse tasks whose labels the model has no outputs for; what cannot be called yet is seen later.

    Raises:
        WatchError: there are such labels.
    """
    held = names.named(loop.optimizer, loop.models)
    try:
        loop.tasks().check({name: tensor.detach() for name, tensor in held.items()})
    except ValueError as error:
        raise WatchError(str(error)) from None
    except Exception as error:
        warnings.warn(f"nbtoolkit: the tasks could not be tried on the model: {error}".splitlines()[0], stacklevel=4)


def instruments_of(instruments: Sequence[Instrument] | None, tasks: Tasks | None) -> tuple[Instrument, ...]:
    """The instruments that were chosen; where none were, the default ones.

    Raises:
        WatchError: something is no instrument, or comes twice.
    """
    if instruments is None:
        return default() if tasks is None else (*default(), *of_tasks())
    chosen = tuple(instruments)
    for item in chosen:
        if not isinstance(item, Instrument):
            raise WatchError(
                f"instruments got {item!r}, a {type(item).__name__}; it needs instruments, for example "
                "nbtoolkit.instruments.grad_norm or a function of yours under @nbtoolkit.instrument(...)."
            )
    doubled = {item.name for item in chosen if sum(other.name == item.name for other in chosen) > 1}
    if doubled:
        raise WatchError(f"instruments names {', '.join(sorted(doubled))} more than once; a run takes each once.")
    return chosen


def beginning(step: Any) -> dict[str, int]:
    """What the record says of a run that begins after ``step`` steps of its optimizer.

    Raises:
        WatchError: that is no number of steps.
    """
    if not is_whole(step, 0):
        raise WatchError(f"step={shown(step)}: expected the optimizer steps made before, a whole number of 0 or more.")
    return {"steps": int(step), "first_step": int(step)} if step else {}


def from_later(chosen: Sequence[Instrument], step: int) -> str:
    """What instruments that compare with the beginning are to be told of a run that begins at ``step``."""
    compared = [item.name for item in chosen if "initial_params" in item.needs]
    return f"{', '.join(compared)}: the initial parameters are those of step {step}" if compared else ""
