"""What can be done with a run between two of its steps: measure something once, train a twin."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nbtoolkit.capture import asking, forking, once, orders
from nbtoolkit.capture.expecting import NO_STEP, expect
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Instrument

if TYPE_CHECKING:
    import xarray

    from nbtoolkit.capture.loop import Loop
    from nbtoolkit.capture.run import Run


def measure(
    run: "Run", instrument: "str | Instrument", *,
    loss: Callable[..., Tensor] | None = None, probe: Any = None, **settings: Any,
) -> "xarray.Dataset":  # fmt: skip
    """Measure one instrument once, now, between steps or after the last one.

    Args:
        run: this one.
        instrument: what to measure, or its name; it need not be attached.
        loss: of the probe, as `watch` takes it; by default what was given there.
        probe: its data.
        settings: of the instrument.

    On another thread than the one that trains, this waits for the step under way to end, but not where none is being
    made; an instrument that needs what exists only within a step is then measured in the next.

    Returns:
        Its Dataset in this run, the new row last.

    Raises:
        WatchError: there is no such instrument, the run was read from a file, its model is gone, the instrument needs
            what exists only within a step, or the loss of a probe that was not given; or no step ends.
    """
    run = run.twin or run
    if run.subject is None:
        raise WatchError(f"{run.name} is {run.state}: there is no model to measure, only what was recorded.")
    instrument = asking.found(run, instrument)
    own = run.steps is not None and loss is None and probe is None
    if run.steps is not None and not run.steps.belongs_here() and not run.control.at_rest():
        return _elsewhere(run, instrument.using(**settings), None if own else run.subject.loop(loss, probe))
    once.measure(
        run,
        run.steps.loop if own and run.steps else run.subject.loop(loss, probe),
        instrument.using(**settings),
    )
    run.kept()
    return run[instrument.name]


def _elsewhere(run: "Run", instrument: Instrument, loop: "Loop | None") -> "xarray.Dataset":
    """Let the thread that trains measure it, and wait for that."""
    over, outcome = threading.Event(), []

    def answer(done: bool, text: str) -> None:
        outcome.append((done, text))
        over.set()

    waits = run.control.pause is not None and not run.control.orders
    if waits and loop is None and run.steps and asking.within_step(instrument, run.steps.loop):
        raise WatchError(f"{instrument.name}: {NO_STEP}")
    run.control.give(orders.Measure(instrument, loop), answer)
    expect(run.control, over, answer)
    done, text = outcome[0]
    if not done:
        raise WatchError(text)
    return run[instrument.name]


def fork(
    run: "Run", step: Callable[[], Any] | None = None, *, steps: int = 100, lr: Any = None,
    seed: int | None = None,
    perturb: float | None = None, name: str | None = None, every: int | None = None, also: Sequence[Any] = (),
) -> "Run":  # fmt: skip
    """Train a twin from the exact state of this step; this training then goes on as if there had been none.

    To be called between two steps of the loop, or after its end. All that ``step`` works on (parameters, gradients,
    buffers, optimizers, schedules, generators, its variables) is kept and put back bit for bit; see
    `capture.situation.Situation`. Without a change the twin makes the very steps that this training will make, if
    ``step`` draws its own batches. Where this run comes to a step at which a copy of the twin's parameters was
    kept, `twin_divergence` compares the two. It takes the memory of one more copy of all that ``step`` works on, data
    included. What ``step``, or the cell that is run again, writes to files is written by the twin too.

    Args:
        run: this one.
        step: makes one step of the loop: a function without arguments. Without it the thread that trains is asked, from
            another one, for a fork by what `forkable` was given, or by running a ``%%landscape --forkable`` cell again.
        steps: optimizer steps of the twin.
        lr: another learning rate, for all groups, or a list or dict of them by group; a schedule goes on in proportion.
        seed: begins random numbers anew: the shared ones, and those of generators that ``step`` uses.
        perturb: moves the parameters by this share of their norm, in a Gaussian direction.
        name: of the twin's run.
        every: steps between copies of its parameters; by default such that there are at most ten between the first
            and the last, fewer where they would not fit into 2 GiB. This sets the cost: at each of these steps one
            comparison is made, outside the budget. Copies that this run has passed are let go of, except the last.
        also: objects that are to be put back too, where ``step`` does not show that it works on them.

    Returns:
        The twin's run, on the same step axis.

    Raises:
        WatchError: the run was read from a file, a step is under way, ``step`` makes no step of this optimizer or
            draws from an iterator that cannot be wound back, or an argument is not what it should be; or something
            could not be put back afterwards, and the text says what.
    """
    if step is None:
        return forking.asked(run, forking.Fork(steps, lr, seed, perturb, name, every))
    from nbtoolkit.capture.changes import Changes
    from nbtoolkit.capture.fork import fork

    return fork(run, step, Changes(lr, seed, perturb), steps=steps, name=name, every=every, also=also)
