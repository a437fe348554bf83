"""The errors a user can meet. Each says what was got, what was expected, and what to do."""


class LandscapeError(Exception):
    """Any error raised on purpose by nbtoolkit: one line, meant to be read by the user."""


class WatchError(LandscapeError):
    """A model, optimizer or loop cannot be watched as asked."""


class InstrumentError(LandscapeError):
    """An instrument is declared or used in a way that cannot work."""


class StoreError(LandscapeError):
    """A run cannot be written to, or read from, the given path."""


class TrainingStopped(BaseException):
    """The user has stopped a training: raised out of its ``optimizer.step()``, after the step is complete.

    ``%%landscape`` makes a normal end of the cell of it. Not an `Exception`, so that a loop that catches those, to go
    on with the next batch, is ended too.

    Attributes:
        name: of the run.
        step: optimizer steps done.
    """

    def __init__(self, text: str, *, name: str = "", step: int = 0) -> None:
        super().__init__(text)
        self.name, self.step = name, step

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: where the loop was is no news to whoever has stopped it."""
        return [f"{type(self).__name__}: {self}"]


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]
