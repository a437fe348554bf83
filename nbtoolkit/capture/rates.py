"""The learning rate of a running loop, set from outside."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from nbtoolkit.capture import orders
from nbtoolkit.capture.changes import Changes, check_rate, schedules_of
from nbtoolkit.capture.waiting import waiting_allowed
from nbtoolkit.errors import WatchError
from nbtoolkit.numerics.given import is_whole, shown

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

FOR_EVER = (
    "lr=0: a schedule drives this learning rate and goes on in proportion, so that it would be 0 for ever; give a "
    "small one, such as 1e-12, or let the training wait: pause."
)
UNDONE = "the learning rate that was set was another again after step {step}: the loop sets it itself"


@dataclass
class SetRate(orders.Order):
    """Another learning rate.

    Args:
        rate: the new one.
        group: of parameters; None for all.
    """

    rate: Any
    group: Any = None
    at_once = True

    def __str__(self) -> str:
        """As one would ask for it."""
        return f"lr {self.rate:.4g}" if self.group is None else f"lr {self.rate:.4g} group={self.group}"

    def given(self) -> dict[str, Any]:
        """As a command asks for it."""
        return {"what": "lr", "rate": self.rate, "group": self.group}

    def check(self, run: "Run") -> None:
        """Refuse what is no learning rate, or no group."""
        groups = orders.loop_of(run).optimizer.param_groups
        check_rate(self.rate)
        if self.group is not None and not (is_whole(self.group, 0) and self.group < len(groups)):
            last = len(groups) - 1
            raise WatchError(f"group={shown(self.group)}: this optimizer has the groups 0 to {last}, None for all.")
        if any("lr" not in group for group in groups):
            raise WatchError(f"{run.name}: this optimizer has no learning rate.")
        self.rate = float(self.rate)
        self.group = None if self.group is None else int(self.group)

    def carry_out(self, run: "Run", *, own: bool = False) -> str:
        """Set it; a schedule goes on from there, in proportion."""
        loop = orders.loop_of(run)
        optimizer = loop.optimizer
        places = range(len(optimizer.param_groups)) if self.group is None else [self.group]
        with run.lock, torch.no_grad(), waiting_allowed(loop.on_cuda):
            before = [float(optimizer.param_groups[place]["lr"]) for place in places]
            schedules = set_rate(optimizer, self.rate, self.group)
        if not own and not schedules:
            run.control.rate = self
            run.control.orders.append((Kept(self, run.step, list(places)), lambda *_: None))
        which = "" if self.group is None and len(before) == 1 else f" of group {self.group}"
        which = " of all groups" if self.group is None and len(before) > 1 else which
        old = before[0] if len({*before}) == 1 else before
        told = ", ".join(f"{rate:.4g}" for rate in (before if isinstance(old, list) else before[:1]))
        text = f"learning rate{which}: {told} -> {self.rate:.4g} from step {run.step}"
        run.control.log("lr", text, old, self.rate, group=self.group, own=own)
        return text


@dataclass
class Kept(orders.Order):
    """Look whether the loop has let a learning rate stand.

    Args:
        order: that set it.
        began: the step then.
        places: of the groups.
    """

    order: SetRate
    began: int
    places: list[int]

    def carry_out(self, run: "Run", *, own: bool = False) -> str | None:
        """After the next step, unless something else was set since."""
        if run.step == self.began:
            return None
        groups = orders.loop_of(run).optimizer.param_groups
        rates = [groups[place]["lr"] for place in self.places if place < len(groups)]
        if run.control.rate is self.order and any(type(rate) is float and rate != self.order.rate for rate in rates):
            run.note(UNDONE.format(step=run.step))
        return ""


def set_rate(optimizer: torch.optim.Optimizer, rate: float, group: int | None) -> bool:
    """Give one group or all another learning rate; whether there are schedules, which go on in proportion."""
    changes = Changes(lr=rate if group is None else {group: rate})
    # Looking through all objects takes long, and a schedule that goes by a first rate has left it in the groups.
    driven = any("initial_lr" in one for one in optimizer.param_groups)
    schedules = schedules_of(optimizer) if driven else []
    if schedules and not rate:
        raise WatchError(FOR_EVER)
    changes.make(optimizer, {}, [], schedules)
    return bool(schedules)
