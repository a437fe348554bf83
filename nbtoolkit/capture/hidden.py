"""Hidden units of a training's own forward passes, in the steps in which they are wanted."""

import contextlib

from nbtoolkit.capture import names
from nbtoolkit.capture.loop import Loop
from nbtoolkit.capture.schedule import Schedule
from nbtoolkit.numerics.activations import Entering

NEED = "activations"


class Hidden:
    """Listens to the forward passes of the steps at which instruments want to see hidden units, and to no others.

    Args:
        loop: is given the units.
        schedule: says when they are wanted.
    """

    def __init__(self, loop: Loop, schedule: Schedule) -> None:
        self.loop, self.schedule = loop, schedule
        self._collected: list[Entering] = []
        self._hooks = contextlib.ExitStack()
        self._listens = False

    @property
    def wanted(self) -> bool:
        """Whether any instrument wants hidden units, and no probe shows them."""
        return self.loop.probe is None and any(NEED in item.instrument.needs for item in self.schedule.attached)

    def before(self, step: int) -> None:
        """The forward pass of ``step`` is about to be made."""
        if self._listens or not self.schedule.wants(NEED, step):
            return
        self.loop.begin(step, remember_initial=False, keep_params=False)
        labels = self.loop.layers()
        for variable, model in self.loop.models.items():
            prefix = f"{variable}." if len(self.loop.models) > 1 else ""
            own = {label: label.removeprefix(prefix) for label in labels if label.startswith(prefix)}
            collected = Entering(names.unwrapped(model), own)
            self._hooks.enter_context(collected.listening())
            self._collected.append(collected)
        self._listens = True

    def after(self, step: int) -> None:
        """The forward pass of ``step`` has been made: give what was seen to the loop, listen no more."""
        seen = [collected.take() for collected in self._collected]
        self.stop()
        units = {label: part for some in seen for label, part in some.items()}
        if any(part is not None for part in units.values()):
            self.loop.hidden = units
        else:
            self._put_off(step)

    def stop(self) -> None:
        """Remove the hooks; safe to repeat."""
        self._hooks.close()
        self._collected, self._listens = [], False

    def _put_off(self, step: int) -> None:
        """The first step of a run found by itself is seen too late: what wants hidden units comes a step later."""
        for item in self.schedule.attached:
            if NEED in item.instrument.needs and item.measured_at is None:
                item.measured_at, item.dense_until = step, step + 2
        self.schedule.plan()
