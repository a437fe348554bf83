"""The clock of a run's steps: how long they take, and how much of it goes to measuring."""

from time import perf_counter

SMOOTHING = 0.1  # weight of the newest step time


class Clock:
    """Seconds of the steps of one run.

    Args:
        step: at which it begins.

    Attributes:
        measuring: seconds spent measuring so far.
    """

    def __init__(self, step: int) -> None:
        self.measuring = 0.0
        self._measured_until = 0.0  # of them, before the step under way
        self._last_end = perf_counter()
        self._told = (step, self._last_end, 0.0)
        self._seconds: float | None = None

    def timed(self) -> float:
        """Seconds of a step without measuring, the one just made included, smoothed."""
        seconds = max(0.0, perf_counter() - self._last_end - (self.measuring - self._measured_until))
        known = seconds if self._seconds is None else self._seconds
        self._seconds = known + SMOOTHING * (seconds - known)
        return self._seconds

    def step_ended(self) -> None:
        """All that belongs to a step is done; the next one begins."""
        self._last_end, self._measured_until = perf_counter(), self.measuring

    def passed(self, seconds: float, *, within: bool) -> None:
        """So many seconds have passed that were no part of the training; ``within`` a step that is being timed."""
        self._last_end = self._last_end + seconds if within else perf_counter()
        step, since, measuring = self._told
        self._told = (step, since + seconds, measuring)

    def read(self, step: int) -> dict[str, float]:
        """Steps, seconds and measuring seconds since this was last read."""
        now = perf_counter()
        last, since, measuring = self._told
        self._told = (step, now, self.measuring)
        return {"steps": step - last, "seconds": now - since, "measuring": self.measuring - measuring}
