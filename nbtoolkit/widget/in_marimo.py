"""What is different in marimo: where a widget is put, who takes in what a page sends, threads that are to end.

Nothing here loads marimo: in its notebooks it is there already.
"""

import sys
import threading
from typing import Any

from nbtoolkit.capture.busy import pauses


def marimo() -> Any:
    """The module, where this thread belongs to one of its notebooks; else None."""
    asked = getattr(sys.modules.get("marimo"), "running_in_notebook", None)
    return sys.modules["marimo"] if asked is not None and asked() else None


def listening_thread() -> int:
    """The thread that takes in what pages send, as far as is known here.

    Of an app that ``marimo run`` serves each page has a thread, which also runs its cells.
    """
    module = marimo()
    if module is not None and not isinstance(threading.current_thread(), module.Thread):
        return threading.get_ident()
    return threading.main_thread().ident or 0


def let_go() -> None:
    """End the wait of a paused ``mo.Thread`` whose cell runs again, or is deleted: its loop ends, if it looks."""
    pause = pauses.get(threading.get_ident())
    if pause is None or marimo() is None or not getattr(threading.current_thread(), "should_exit", False):
        return
    # Not by an order: another thread may make the steps by now, and would carry it out.
    pause.by.holding = False
    pause.by.log("resume", f"let go after step {pause.by.run.step}: the cell of its thread is over")
