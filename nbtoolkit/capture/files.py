"""Open files: what code writes through them cannot be taken back."""

import gc
import io
import sys
from typing import Any

CSV = "_csv"  # whose writers hold the method of a file alone
SCREENS = {"ipykernel", "IPython"}


def is_written(thing: Any) -> bool:
    """Whether code that has this writes to an open file, or to a text in memory, with it; the screen is none."""
    if type(thing).__module__ == CSV:
        held = [getattr(part, "__self__", None) for part in gc.get_referents(thing)]
        return any(is_written(part) for part in held if isinstance(part, io.IOBase))
    if not isinstance(thing, io.IOBase) or type(thing).__module__.partition(".")[0] in SCREENS:
        return False
    if any(thing is one for one in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
        return False
    try:
        return not thing.closed and thing.writable() and not thing.isatty()
    except Exception:  # of a class that does not do what a file does
        return False
