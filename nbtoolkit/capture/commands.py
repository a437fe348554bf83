"""One wire format for what is asked of a loop, whoever asks: a page, a file beside the store, another process.

A command is ``{"op": "command", "id", "what", ...}``; what comes of it is told by
``{"op": "ack", "id", "state": "queued" | "done" | "refused", "text"}``. Anybody may have written one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nbtoolkit.capture import forking, orders, rates
from nbtoolkit.errors import LandscapeError
from nbtoolkit.numerics.given import shown

ID = 200  # characters
NO_LOOP = "there is no loop to act on"

ORDERS: dict[str, Callable[[Mapping[str, Any]], orders.Order]] = {
    "pause": lambda given: orders.Hold(),
    "resume": lambda given: orders.Release(),
    "advance": lambda given: orders.Advance(given.get("steps", 1)),
    "stop": lambda given: orders.Stop(),
    "lr": lambda given: rates.SetRate(given.get("rate"), given.get("group")),
    "measure": lambda given: orders.Measure(given.get("name")),
    "every": lambda given: orders.Every(given.get("name"), given.get("steps")),
    "fork": lambda given: forking.Fork(**{key: given[key] for key in forking.SETTINGS if key in given}),
    "end_fork": lambda given: forking.EndFork(),
}


def order(given: Mapping[str, Any]) -> orders.Order:
    """What a command asks for; the inverse of `orders.Order.given`. Its values are checked when it is given to a run.

    Raises:
        LandscapeError: there is no such command.
    """
    what = given.get("what")
    if not isinstance(what, str) or what not in ORDERS:
        raise LandscapeError(f"{shown(what)} is no command; there are: {', '.join(ORDERS)}.")
    return ORDERS[what](given)


def is_id(name: Any) -> bool:
    """Whether a command can be told by this from others."""
    return isinstance(name, str) and 0 < len(name) <= ID


def act(
    run: Any, given: Mapping[str, Any], send: Callable[[dict[str, Any]], None],
    forked: Callable[[Any], None] | None = None,
) -> None:  # fmt: skip
    """Hand a command to the run, and answer it: at once if it waits or is refused, and when it is done.

    Args:
        run: that it is about.
        given: the message; one that has no proper id is left alone.
        send: takes the answers.
        forked: told of the run of a fork that is asked for, when it begins here.
    """
    name = given.get("id")
    if not is_id(name):
        return

    def answer(state: str, text: str) -> None:
        send({"op": "ack", "id": name, "state": state, "text": text})

    try:
        asked = order(given)
        if isinstance(asked, forking.Fork):
            asked.started = forked
        control = getattr(run, "control", None)
        if control is None:
            raise LandscapeError(f"{run.name} is {run.state}: {NO_LOOP}.")
        control.give(
            asked,
            lambda done, text: answer("done" if done else "refused", text),
            lambda: answer("queued", ""),
        )
    except LandscapeError as error:
        answer("refused", str(error))
    except Exception as error:
        answer("refused", f"{type(error).__name__}: {error}".splitlines()[0][:ID])
