"""What code says that is run again has been said before, and is held back."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator


class _Nowhere(io.StringIO):
    """Takes all that is written, and keeps none of it."""

    def write(self, text: str, /) -> int:
        """Say that it was written."""
        return len(text)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing comes to the standard output and the standard error, nor from the log handlers that write there."""
    nowhere, streams = _Nowhere(), (sys.stdout, sys.stderr)
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = {handler for logger in loggers for handler in getattr(logger, "handlers", ())}
    writing = [
        (handler, handler.stream)
        for handler in handlers
        if isinstance(handler, logging.StreamHandler) and any(handler.stream is stream for stream in streams)
    ]
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        try:
            for handler, _ in writing:
                handler.stream = nowhere
            yield
        finally:
            for handler, stream in writing:
                if handler.stream is nowhere:
                    handler.stream = stream
