"""Put a run on the screen."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from bokeh.model import Model

from nbtoolkit.widget.board import Board
from nbtoolkit.widget.drawing import Drawing


def show(run: Any, *, names: Sequence[str] | None = None) -> Board | Drawing:
    """The Board of a run, or a Bokeh figure, displayed where there is a notebook to display it in.

    A run being watched is followed live; at its end the Board keeps all that was recorded, and a still picture
    is left beside it for readers that run no scripts.

    Args:
        run: a run being watched, finished, or opened from a file; or a Bokeh figure, such as
            ``panels.comparison.figure(None, metrics)``.
        names: instruments and logged values whose panels are open at first; the others are a click away.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(run, Model):
        drawing = Drawing(run)
        if _in_notebook():
            drawing.display()
        return drawing
    if not hasattr(run, "record"):
        raise TypeError(f"show() got a {type(run).__name__}; it needs a run, or a Bokeh figure.")
    board = Board(run, names)
    if _in_notebook():
        board.display()
    if run.state == "watching":
        run.listeners.append(_follow(board))
    elif _in_notebook():
        _display_picture(board)
    return board


@contextlib.contextmanager
def following(run: Any, names: Sequence[str]) -> Iterator[Board]:
    """The Board of a run, displayed now and kept up to date while the block measures something."""
    board = Board(run, names)
    if _in_notebook():
        board.display()
    ended = run.state != "watching"
    listener: Any = (lambda _: board.update()) if ended else _follow(board)
    run.listeners.append(listener)
    try:
        yield board
    finally:
        board.update()
        if ended:
            run.listeners.remove(listener)
            board.finish()
            if _in_notebook():
                _display_picture(board)


def _follow(board: Board) -> Any:
    def listener(run: Any) -> None:
        if run.state == "watching":
            board.update()
            return
        board.finish()
        run.listeners.remove(listener)
        if _in_notebook():
            _display_picture(board)

    return listener


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def _display_picture(board: Board) -> None:
    from IPython.display import display

    from nbtoolkit.widget.picture import companion

    display(companion(board.run, board.uid, board.names), raw=True)
