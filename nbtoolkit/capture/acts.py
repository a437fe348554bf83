"""What can be done to a training while it runs, from another thread, the Board, or the loop itself."""

from typing import TYPE_CHECKING

from nbtoolkit.capture import orders, rates
from nbtoolkit.capture.afar import Afar

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run
    from nbtoolkit.instruments import Instrument


def pause(run: "Run") -> None:
    """Let the training wait after the step under way, until `resume`, `advance`, `stop` or an interrupt.

    It waits within ``optimizer.step()``, whose work is done. Several optimizers of one loop wait together. Seconds that
    it waits are no part of the run's time. On the thread that trains there must be a Board, or another thread, to let
    it go on. In a job of several processes: after a step that all agree on, within about half a second; so is all
    that is asked for here.

    Args:
        run: this one.

    Raises:
        WatchError: the run is over.
    """
    give(run, orders.Hold())


def resume(run: "Run") -> None:
    """Let a training that waits go on; without an effect on one that does not.

    Raises:
        WatchError: the run is over.
    """
    give(run, orders.Release())


def advance(run: "Run", n: int = 1) -> None:
    """Let the training make ``n`` more steps, then wait; see `pause`.

    Raises:
        WatchError: ``n`` is no number of steps, or the run is over.
    """
    give(run, orders.Advance(n))


def stop(run: "Run") -> None:
    """End the training after the step under way; what was measured is kept.

    ``optimizer.step()`` raises `nbtoolkit.errors.TrainingStopped` when its work is done and the run is detached. A cell
    under ``%%landscape`` then ends normally; elsewhere the exception, which is no `Exception`, ends the loop, and may
    be caught around it.

    Args:
        run: this one.

    Raises:
        WatchError: the run is over.
    """
    give(run, orders.Stop())


def set_lr(run: "Run", rate: float, group: int | None = None) -> None:
    """Train on with another learning rate; a schedule goes on from there, in proportion.

    On the thread that trains, between two steps, it is set at once; elsewhere after the step under way. In a job of
    several processes: after a step that all agree on, within about half a second.

    Args:
        run: this one.
        rate: the new one.
        group: of parameters, by its place in ``optimizer.param_groups``; None for all.

    Raises:
        WatchError: the rate or the group is none, the run is over, or there is a schedule and the rate is 0, now or
            from now on, so that nothing is in proportion to it; then no group is changed.
    """
    give(run, rates.SetRate(rate, group))


def every(run: "Run", instrument: "str | Instrument", n: int) -> None:
    """Measure an instrument every ``n`` steps from the next on; one that was not attached is.

    Args:
        run: this one.
        instrument: or its name.
        n: steps between measurements; the budget may lengthen it.

    Raises:
        WatchError: there is no such instrument, it cannot be measured in this loop, ``n`` is no number of steps, or the
            run is over.
    """
    give(run, orders.Every(instrument, n))


def give(run: "Run", order: orders.Order, *, own: bool = True) -> None:
    """Hand an order to the run; what the loop itself asks for while a fork of it is trained is for the fork.

    There it does not wait where the cell that is run again did: nobody may be there to let it go on.

    Args:
        run: this one.
        order: what is wanted.
        own: the loop itself gives it, if it is given on its thread.

    Raises:
        WatchError: it cannot be done; of a run that is followed also that its job does not answer.
    """
    if isinstance(run.control, Afar):
        run.control.ask(order)
        return
    if run.twin is not None and run.twin.steps is not None and run.twin.steps.belongs_here():
        run = run.twin
        if run.control.replays and order.holds:
            return

    def answer(done: bool, text: str) -> None:
        if not done:
            run.note(text)

    run.control.give(order, answer, own=own and run.steps is not None and run.steps.belongs_here())
