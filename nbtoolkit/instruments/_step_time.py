"""Wall-clock time of a step and the share spent measuring."""

from nbtoolkit.instruments._base import Var, instrument


@instrument(
    outputs={
        "seconds": Var((), units="s", long_name="time per step", scale="log"),
        "share": Var((), units="1", long_name="share of time spent measuring"),
    },
    cost=lambda settings: 0,
    every=10,
    reference="wall clock of the training thread",
)
def step_time(clock, /):
    """Mean seconds per optimizer step since the last reading, and the share of them in instruments.

    Time is that of the training thread; on an accelerator, kernels still queued are not in it.
    The share counts what nbtoolkit does before and after each step on that thread, sending to the
    Board included; the few microseconds around backward() and zero_grad() are not in it.
    """
    steps, seconds, measuring = clock["steps"], clock["seconds"], clock["measuring"]
    if not steps or not seconds:
        return {"seconds": None, "share": None}
    return {"seconds": seconds / steps, "share": measuring / seconds}
