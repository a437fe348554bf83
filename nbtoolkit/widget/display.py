"""Put a run on the screen."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from bokeh.model import Model

from nbtoolkit.capture.status import GOING_ON
from nbtoolkit.widget.board import Board
from nbtoolkit.widget.drawing import Drawing
from nbtoolkit.widget.overlaid import FORMS, overlaid
from nbtoolkit.widget.shown import in_jupyter


def show(*runs: Any, names: Sequence[str] | None = None, labels: Sequence[str] | None = None) -> Board | Drawing:
    """The Board of a run, of several in one picture, or a Bokeh figure, displayed where there is a notebook for it.

    A run being watched is shown live, as is one of another process that ``open_run(path, follow=True)`` follows, while
    no cell runs; at its end the Board keeps all that was recorded, and a still picture
    is left beside it for readers that run no scripts. Several runs are overlaid curve by curve: ``show(a, b)``, or by
    label ``show({"sgd": [run, ...], "adam": [run, ...]})``, where of several runs the mean is drawn in its 95 % t
    interval. What is not one number a step (spectra, slices, layers) is shown for one run at a time; layers and
    parameters also here, if ``names`` asks for their instrument.

    Args:
        runs: runs being watched, finished, or opened from a file; lists or a dict of them; one Bokeh figure, such as
            ``panels.comparison.figure(None, metrics)``; or a sweep, whose picture is drawn anew as its cells come in.
        names: instruments and logged values whose panels are open at first; the others are a click away.
        labels: of several runs, one for each; by default their names.

    Raises:
        TypeError: it is none of these.
        LandscapeError: there are not as many labels as runs.
    """
    if len(runs) == 1 and isinstance(runs[0], Model):
        drawing = Drawing(runs[0])
        drawing.put()
        return drawing
    if len(runs) == 1 and hasattr(runs[0], "figure") and hasattr(runs[0], "listeners"):
        return _show_growing(runs[0])
    if not runs or (len(runs) == 1 and not hasattr(runs[0], "record") and not isinstance(runs[0], (dict, list, tuple))):
        raise TypeError(f"show() got {f'a {type(runs[0]).__name__}' if runs else 'nothing'}; {FORMS}.")
    alone = len(runs) == 1 and hasattr(runs[0], "record") and not labels
    run: Any = runs[0] if alone else overlaid(runs, labels, names)
    board = Board(run, names)
    board.put()
    if run.state in GOING_ON:
        listener = _follow(board)
        run.listeners.append(listener)
        run.ears.append(board.listen)
        if run.state not in GOING_ON:  # it has ended meanwhile, on another thread
            listener(run)
    elif in_jupyter():
        _display_picture(board)
    return board


@contextlib.contextmanager
def following(run: Any, names: Sequence[str]) -> Iterator[Board]:
    """The Board of a run, displayed now and kept up to date while the block measures something."""
    board = Board(run, names)
    board.put()
    ended = run.state not in GOING_ON
    listener: Any = (lambda _: board.update()) if ended else _follow(board)
    run.listeners.append(listener)
    if not ended:
        run.ears.append(board.listen)
    try:
        yield board
    finally:
        board.update()
        if ended:
            run.listeners.remove(listener)
            board.finish()
            if in_jupyter():
                _display_picture(board)


def _show_growing(shown: Any) -> Drawing:
    """The figure of what grows, such as a sweep, drawn anew when it tells its listeners."""
    drawing = Drawing(shown.figure())
    drawing.put()
    shown.listeners.append(lambda grown: drawing.replace(grown.figure()))
    drawing.replace(shown.figure())  # what has come in meanwhile
    return drawing


def _follow(board: Board) -> Any:
    """Keep a Board up to date; while its run trains, let its page's messages in."""

    def listener(run: Any) -> None:
        if run.state in GOING_ON and not board.gone:
            board.update()
            return
        if listener not in run.listeners:
            return
        run.listeners.remove(listener)
        if board.listen in run.ears:
            run.ears.remove(board.listen)
        if board.gone:
            return
        board.finish()
        if in_jupyter():
            _display_picture(board)

    return listener


def _display_picture(board: Board) -> None:
    from IPython.display import display

    from nbtoolkit.widget.picture import companion

    display(companion(board.run, board.uid, board.names), raw=True)
