"""Copies of the parameters of a fork, to be held against the run that it left."""

from collections.abc import Mapping

from torch import Tensor

from nbtoolkit.errors import WatchError
from nbtoolkit.numerics.given import is_whole, shown

BYTES = 2**31  # of all copies of one fork
LARGEST = 10**5  # number of copies, however small
MOST = 10  # copies between the first and the last, by default


class Copies:
    """The parameters of a training at chosen steps, on the host.

    Those that the parent has passed are let go of, except the last.

    Args:
        steps: those at which `take` keeps a copy, in order.
    """

    def __init__(self, steps: list[int]) -> None:
        self._wanted = steps
        self._kept: dict[int, dict[str, Tensor]] = {}

    @property
    def steps(self) -> list[int]:
        """The steps of which there is a copy: optimizer steps done, counted as the parent counts."""
        return list(self._kept)

    def wants(self, step: int) -> bool:
        """Whether a copy is to be taken at ``step`` and has not been."""
        return step in self._wanted and step not in self._kept

    def take(self, step: int, params: Mapping[str, Tensor]) -> None:
        """Keep a copy."""
        self._kept[step] = {name: tensor.detach().to("cpu", copy=True) for name, tensor in params.items()}

    def params(self, step: int) -> dict[str, Tensor]:
        """The parameters after ``step`` steps, by name.

        Raises:
            WatchError: no copy was taken there.
        """
        if step not in self._kept:
            raise WatchError(
                f"there is no copy at step {step}; there are at: {', '.join(map(str, self.steps)) or 'none'}. Those "
                "that the parent has passed are let go of, except the last."
            )
        return self._kept[step]

    def let_go(self, before: int) -> None:
        """Drop the copies of steps before this one, but never the last."""
        for step in self.steps[:-1]:
            if step < before:
                del self._kept[step]

    def get(self, step: int) -> dict[str, Tensor] | None:
        """The parameters after ``step`` steps, or None."""
        return self._kept.get(step)


def planned(first: int, count: int, every: int | None, params: Mapping[str, Tensor]) -> Copies:
    """Copies at ``first``, at its end ``count`` steps later, and at the multiples of ``every`` between.

    By default at most ten between, and no more than fit into 2 GiB.

    Raises:
        WatchError: ``every`` is no whole number above 0, or gives more copies than that.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in params.values())
    room = min(LARGEST, BYTES // max(1, size))
    if every is None:
        most = min(MOST, room - 2)  # besides the first and the last
        if most <= 0:
            return Copies([first, first + count] if most == 0 else [])
        every = -(-count // most)
    elif not is_whole(every, 1):
        raise WatchError(f"every={shown(every)}: expected a whole number of steps between copies of the parameters.")
    first, count, every = int(first), int(count), int(every)
    between = range(-(-first // every) * every, first + count, every)  # the same for forks from different steps
    total = len(between) + (first not in between) + 1  # there may be too many to list
    if total > room:
        raise WatchError(
            f"every={every} would keep {total} copies of {size / 2**20:.0f} MB; at most {room} fit into "
            f"{BYTES // 2**30} GiB: give a larger one."
        )
    return Copies(sorted({first, *between, first + count}))
