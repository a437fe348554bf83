"""What can be controlled in a running loop, for those who show buttons for it."""

import json
from typing import Any

from nbtoolkit.capture import asking, forking
from nbtoolkit.instruments import known


def described(run: Any) -> str:
    """What can be controlled, as JSON: groups of learning rates, instruments, forks; empty where there is no loop."""
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
    groups = len(steps.loop.optimizer.param_groups)
    return json.dumps({"groups": groups, "instruments": told, "fork": forking.obstacle(run)})


def standing(run: Any) -> tuple[Any, ...]:
    """What `described` depends on: another value tells that it may have changed."""
    steps = getattr(run, "steps", None)
    if steps is None:
        return ()
    acts = (len(run.commands), len(run.forks), run.control.maker is None)
    return (steps.loop.version, len(steps.schedule.attached), run.step > 0, *acts)


def rates(run: Any) -> list[float | None]:
    """The learning rates of the groups at this moment; None for one that would have to be waited for."""
    steps = getattr(run, "steps", None)
    if steps is None or steps.loop.gone or steps.asleep:  # then they are those of a fork
        return []
    return [_rate(group.get("lr")) for group in steps.loop.optimizer.param_groups]


def _rate(value: Any) -> float | None:
    if hasattr(value, "is_cpu") and not value.is_cpu:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
