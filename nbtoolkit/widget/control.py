"""What the page asks of a running loop, checked: a browser can send anything."""

import json
import threading
from collections.abc import Callable
from typing import Any

from nbtoolkit.capture import asking, orders
from nbtoolkit.capture import rates as learning_rates
from nbtoolkit.errors import LandscapeError
from nbtoolkit.instruments import known
from nbtoolkit.numerics.given import shown

ID = 200  # characters
DEAF = (
    "nothing can arrive here while a cell runs; train in a background thread (threading.Thread, in marimo mo.Thread) "
    "and the loop can be controlled"
)
NO_LOOP = "there is no loop to act on"

ORDERS: dict[str, Callable[[dict[str, Any]], orders.Order]] = {
    "pause": lambda given: orders.Hold(),
    "resume": lambda given: orders.Release(),
    "advance": lambda given: orders.Advance(given.get("steps", 1)),
    "stop": lambda given: orders.Stop(),
    "lr": lambda given: learning_rates.SetRate(given.get("rate"), given.get("group")),
    "measure": lambda given: orders.Measure(given.get("name")),
    "every": lambda given: orders.Every(given.get("name"), given.get("steps")),
}


def act(run: Any, given: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    """Hand a command of the page to the run, and answer it: at once if it waits or is refused, and when it is done.

    Args:
        run: which the Board shows.
        given: the message.
        send: to the page.
    """
    name = given.get("id")
    if not isinstance(name, str) or not 0 < len(name) <= ID:
        return

    def answer(state: str, text: str) -> None:
        send({"op": "ack", "id": name, "state": state, "text": text})

    try:
        what = given.get("what")
        if not isinstance(what, str) or what not in ORDERS:
            raise LandscapeError(f"{shown(what)} is no command; there are: {', '.join(ORDERS)}.")
        control = getattr(run, "control", None)
        if control is None:
            raise LandscapeError(f"{run.name} is {run.state}: {NO_LOOP}.")
        control.give(
            ORDERS[what](given),
            lambda done, text: answer("done" if done else "refused", text),
            lambda: answer("queued", ""),
        )
    except LandscapeError as error:
        answer("refused", str(error))
    except Exception as error:
        answer("refused", f"{type(error).__name__}: {error}".splitlines()[0][:ID])


def described(run: Any) -> str:
    """What can be controlled, as JSON: groups of the learning rate, instruments; empty where there is no loop."""
    steps = getattr(run, "steps", None)
    if steps is None or run.state != "watching" or steps.loop.gone:
        return ""
    items = {item.name: item for item in steps.schedule.attached if not item.once}
    shelf = {**known(), **run.instruments}
    told = []
    for name in dict.fromkeys((*items, *shelf)):
        item = items.get(name)
        instrument = shelf[name] if item is None else item.instrument
        told.append(
            {
                "name": name,
                "title": next(iter(instrument.outputs.values())).long_name or name,
                "attached": item is not None,
                "every": None if item is None else instrument.every,
                "cannot": asking.obstacle(run, instrument),
            }
        )
    return json.dumps({"groups": len(steps.loop.optimizer.param_groups), "instruments": told})


def standing(run: Any) -> tuple[Any, ...]:
    """What `described` depends on: another value tells that it may have changed."""
    steps = getattr(run, "steps", None)
    if steps is None:
        return ()
    return (steps.loop.version, len(run.commands), len(steps.schedule.attached), len(run.forks), run.step > 0)


def rates(run: Any) -> list[float | None]:
    """The learning rates of the groups at this moment; None for one that would have to be waited for."""
    steps = getattr(run, "steps", None)
    if steps is None or steps.loop.gone:
        return []
    return [_rate(group.get("lr")) for group in steps.loop.optimizer.param_groups]


def deaf(run: Any, *, pumped: bool) -> str:
    """Why no command can arrive while the loop runs; empty if it can."""
    steps = getattr(run, "steps", None)
    if steps is None or pumped or steps.thread != threading.main_thread().ident:
        return ""
    return DEAF


def _rate(value: Any) -> float | None:
    if hasattr(value, "is_cpu") and not value.is_cpu:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
