"""What is said of a loss, and of an objective that the optimizer maximises, whose sign is turned in `Recorded.loss`."""

from dataclasses import dataclass

from nbtoolkit.analysis.recorded import Recorded

__all__ = ["Words", "words"]


@dataclass(frozen=True)
class Words:
    """Name and directions of what is optimised.

    Args:
        name: of it.
        worse: where it is worse.
        best: its best value.
        worst: its worst value.
        improve: what it should do.
        sign: by which a value of `Recorded.loss` is multiplied to get the recorded one.
    """

    name: str
    worse: str
    best: str
    worst: str
    improve: str
    sign: float


LOSS = Words("loss", "above", "lowest", "largest", "fall", 1.0)
OBJECTIVE = Words("objective", "below", "highest", "smallest", "rise", -1.0)


def words(data: Recorded) -> Words:
    """Those of a loss, or of an objective."""
    return OBJECTIVE if data.maximises else LOSS
