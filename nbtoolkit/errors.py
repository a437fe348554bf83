"""The errors a user can meet. Each says what was got, what was expected, and what to do."""


class LandscapeError(Exception):
    """Any error raised on purpose by nbtoolkit: one line, meant to be read by the user."""


class WatchError(LandscapeError):
    """A model, optimizer or loop cannot be watched as asked."""


class InstrumentError(LandscapeError):
    """An instrument is declared or used in a way that cannot work."""


class StoreError(LandscapeError):
    """A run cannot be written to, or read from, the given path."""
