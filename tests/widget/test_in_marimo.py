"""What a Board does otherwise in marimo, with as much of marimo as it asks for; the real one is in tests/browser."""

import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from bokeh.plotting import figure

import nbtoolkit
from nbtoolkit.capture import Run
from nbtoolkit.widget import control, show
from nbtoolkit.widget.board import Board, shared_asset
from tests import problems


class Thread(threading.Thread):
    """A ``mo.Thread``: it is told that it should end."""

    should_exit = False


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """This thread and every ``mo.Thread`` belong to a notebook of marimo; what is put on the page."""
    here, page = threading.current_thread(), []

    def asked() -> bool:
        return threading.current_thread() is here or isinstance(threading.current_thread(), Thread)

    module = SimpleNamespace(Thread=Thread, running_in_notebook=asked, output=SimpleNamespace(append=page.append))
    monkeypatch.setitem(sys.modules, "marimo", module)
    return page


@pytest.fixture
def watched() -> tuple[problems.Problem, Run]:
    problem = problems.mlp()
    return problem, nbtoolkit.watch(problem.model, problem.optimizer)


def done(act: Callable[[], Any], kind: type[threading.Thread]) -> Any:
    """What ``act`` gives on a thread of its own."""
    given: list[Any] = []
    thread = kind(target=lambda: given.append(act()))
    thread.start()
    thread.join()
    return given[0]


def test_what_is_shown_is_put_where_the_cell_is(watched: Any, put: list[Any]) -> None:
    _, run = watched
    board, drawing = show(run), show(figure())
    assert put == [board, drawing]
    run.detach()
    assert put == [board, drawing]  # marimo keeps no outputs in which a picture would stay


def test_each_board_has_bokeh_of_its_own_as_marimo_closes_what_a_cell_made(watched: Any, put: list[Any]) -> None:
    _, run = watched
    first, second = Board(run), Board(run)
    assert first.asset != second.asset
    assert done(lambda: Board(run).asset == shared_asset().model_id, threading.Thread)  # marimo knows no plain thread
    run.detach()


def test_a_board_that_was_closed_by_marimo_is_sent_nothing(watched: Any, put: list[Any]) -> None:
    problem, run = watched
    board = show(run)
    sent: list[Any] = []
    board.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    problem.train(1)
    run.report()
    told = len(sent)
    assert told > 0
    board.comm._closed = True  # type: ignore[union-attr]
    problem.train(1)
    run.report()
    run.detach()
    assert len(sent) == told
    assert run.ears == run.listeners == []


def test_a_page_is_not_heard_while_the_cells_of_its_own_thread_train(watched: Any, put: list[Any]) -> None:
    """Of an app, in which that is not the main thread."""
    problem, run = watched

    def cell() -> list[str]:
        board = Board(run)
        problem.train(1)
        there = board._deaf()
        run.steps._thread = None
        done(lambda: problem.train(1), Thread)
        return [there, board._deaf()]

    here = threading.current_thread()
    app = threading.Thread(target=lambda: told.extend(cell()))
    told: list[str] = []
    sys.modules["marimo"].running_in_notebook = lambda: threading.current_thread() is not here  # type: ignore[attr-defined]
    app.start()
    app.join()
    assert told == [control.DEAF, ""]
    run.detach()


def test_a_paused_thread_that_is_to_end_can(watched: Any, put: list[Any]) -> None:
    problem, run = watched
    show(run)
    paused = threading.Event()
    run.listeners.append(lambda run: paused.set() if run.status().state == "paused" else None)

    def train() -> None:
        while not thread.should_exit:
            problem.step()

    thread = Thread(target=train, daemon=True)
    run.pause()
    thread.start()
    assert paused.wait(30)
    done(problem.step, Thread)  # the cell runs again, and its new thread is quick
    made = run.step
    thread.should_exit = True
    thread.join(20)
    assert not thread.is_alive()
    assert run.step == made == 2
    assert [one["what"] for one in run.commands] == ["pause", "resume"]
    run.detach()


def test_the_order_to_end_is_no_matter_of_a_loop_that_goes_on(watched: Any, put: list[Any]) -> None:
    problem, run = watched
    board: Any = show(run)

    def train() -> None:
        threading.current_thread().should_exit = True  # type: ignore[attr-defined]
        problem.train(3)
        board.listen()

    done(train, Thread)
    assert (run.step, run.commands, len(run.control.orders)) == (3, [], 0)
    run.detach()
