"""One measurement within a step: by this process alone, or by all that train together."""

from time import perf_counter
from typing import TYPE_CHECKING, Any

from nbtoolkit.capture import lockstep, whole
from nbtoolkit.capture.loop import Loop
from nbtoolkit.capture.schedule import Attached, Schedule
from nbtoolkit.capture.waiting import waiting_allowed

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

DATA = "data"  # the attribute that tells whose data were looked at
PART = (
    "what needs hidden units or gradients of terms is measured on process 0's part of each batch; hidden units of the "
    "same data everywhere are those of a probe: watch(..., loss=F.cross_entropy, probe=(inputs, targets))"
)


class Measuring:
    """Makes the measurements of a run, and tells the schedule what they took.

    Args:
        run: whose.
        loop: gives what instruments need.
        schedule: is told.

    Attributes:
        terms_seconds: in which gradients of terms were taken for this step.
    """

    def __init__(self, run: "Run", loop: Loop, schedule: Schedule) -> None:
        self.run, self.loop, self.schedule = run, loop, schedule
        self.terms_seconds = 0.0

    def outputs(self, item: Attached) -> Any:
        """The outputs of one measurement, or the exception that ended it."""
        if item.exempt and not item.joint:
            try:
                return item.outputs()
            except Exception as error:
                return error
        with waiting_allowed(self.loop.on_cuda):
            if item.joint:
                found = jointly(self.run, self.loop, item, self.schedule.step_seconds)
                outputs, seconds = found.outputs, found.seconds
            else:
                started, found = perf_counter(), None
                try:
                    outputs = item.outputs()
                except Exception as error:
                    outputs = error
                seconds = perf_counter() - started
        if seconds is not None and not item.exempt:
            if "term_grads" in item.instrument.needs:  # of several processes, what they do not agree on is not counted
                seconds, self.terms_seconds = seconds + (0.0 if found else self.terms_seconds), 0.0
            self.schedule.measured(item, seconds, found.step_seconds if found else None)
        return outputs


def jointly(run: "Run", loop: Loop, item: Attached, step_seconds: float | None = None) -> lockstep.Outcome:
    """Measure together with all processes; the record says whose data that were.

    Args:
        run: whose.
        loop: gives what is needed, in this process.
        item: what is measured.
        step_seconds: of a training step of this process, if known.
    """
    assert loop.ranks is not None
    loss = loop.current_live_loss
    what = f"{item.name} at step {run.step}"

    def work() -> Any:
        if loss is None:
            return item.outputs()
        with lockstep.reducers_at_rest(loss):
            return item.outputs()

    found = lockstep.of(loop.ranks).measure(what, work, step_seconds)
    if data := whole.of(loop).data_of(item.instrument):
        run.record.groups[item.name].attrs[DATA] = data
    if data == whole.OWN_BATCH and loop.ranks.writes:
        run.note(PART)
    return found
