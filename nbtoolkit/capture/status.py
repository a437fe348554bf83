"""Where a run stands, in numbers and words."""

from dataclasses import dataclass, field

from nbtoolkit.errors import TrainingStopped

GOING_ON = ("watching", "waiting", "following", "lost")  # states of a run that more may come of


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        step: optimizer steps done.
        steps_per_second: mean rate so far.
        elapsed: seconds since watching began.
        share: share of that time spent measuring, 0 to 1.
        state: ``watching``, ``paused``, ``finished``, ``stopped``, ``failed``, ``interrupted`` or ``saved``; where
            another process makes the run also ``waiting`` (for its store), ``following`` or ``lost`` (it is silent).
        notes: what went wrong or deserves attention, in words.
    """

    step: int
    steps_per_second: float
    elapsed: float
    share: float
    state: str
    notes: list[str] = field(default_factory=list)


def ended_by(error: BaseException | None) -> str:
    """The state of a run that ended with ``error``."""
    if error is None:
        return "finished"
    if isinstance(error, TrainingStopped):
        return "stopped"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
