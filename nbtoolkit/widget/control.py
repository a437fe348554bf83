"""What a Board shows of the control of its run: a loop here, a job that is followed, or neither."""

from typing import Any

from nbtoolkit.capture import controls, forking
from nbtoolkit.capture.commands import act as act

DEAF = (
    "nothing can arrive here while a cell runs; train in a background thread (threading.Thread, in marimo mo.Thread) "
    "and the loop can be controlled"
)


def described(run: Any) -> str:
    """What can be controlled, as JSON: groups of the learning rate, instruments; empty where there is no loop."""
    afar = _afar(run)
    return controls.described(run) if afar is None else afar.described()


def standing(run: Any) -> tuple[Any, ...]:
    """What `described` depends on: another value tells that it may have changed."""
    afar = _afar(run)
    return controls.standing(run) if afar is None else afar.standing()


def rates(run: Any) -> list[float | None]:
    """The learning rates of the groups at this moment; None for one that is not known."""
    afar = _afar(run)
    return controls.rates(run) if afar is None else afar.rates()


def deaf(run: Any, heard_on: int | None) -> str:
    """Why no command can arrive while the loop runs; empty if it can.

    Args:
        run: shown by a Board.
        heard_on: the thread on which commands arrive, when it runs no cell; None where they arrive all the time.
    """
    afar = _afar(run)
    if afar is not None:
        return afar.deaf
    steps = getattr(run, "steps", None)
    if steps is None or heard_on is None or steps.thread != heard_on:
        return ""
    return DEAF


def forking_now(run: Any) -> str:
    """How far the fork is that is being made at this moment; empty if none is, or it is not known."""
    return "" if _afar(run) is not None or not hasattr(run, "control") else forking.progress(run)


def _afar(run: Any) -> Any:
    """The control of a run that another process makes; None where it is made here, or was read from a file."""
    control = getattr(run, "control", None)
    return control if control is not None and control.afar else None
