"""The verbs that act on a loop, and a cell that is stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

STOPPED = """%%landscape -q -v run
def loop():
    for k in range(50):
        step()
        if k == 3:
            %landscape stop_it
        after.append(k)
try:
    loop()
except Exception:
    after.append('caught')
after.append('not reached')
5
"""


@pytest.fixture
def watched(shell: InteractiveShell) -> Any:
    shell.run_cell("%landscape watch model optimizer -q -v run\nfor _ in range(3): step()").raise_error()
    return shell.user_ns["run"]


def test_the_learning_rate_between_two_cells_is_set_at_once(
    shell: InteractiveShell, watched: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    shell.run_cell("rate = 0.02").raise_error()
    shell.run_cell("%landscape lr rate\nassert optimizer.param_groups[0]['lr'] == 0.02\nstep()").raise_error()
    assert capsys.readouterr().out == "learning rate: 0.1 -> 0.02 from step 3\n"
    shell.run_cell("%landscape lr 0.5 group=0 -q").raise_error()
    assert capsys.readouterr().out == ""
    assert watched["lr"]["lr"].values.ravel().tolist() == [0.1, 0.1, 0.1, 0.02]
    assert [one["new"] for one in watched.commands] == [0.02, 0.5]


def test_a_line_between_two_cells_is_from_outside_and_one_in_the_watched_cell_is_the_loop_itself(
    shell: InteractiveShell, watched: Any
) -> None:
    shell.run_cell("%landscape lr 0.02 -q").raise_error()
    assert [one["own"] for one in watched.commands] == [False]
    watched.detach()
    loop = "%%landscape -q -v run\nfor k in range(3):\n    step()\n    %landscape lr 0.04 -q"
    shell.run_cell(loop).raise_error()
    assert [one["own"] for one in shell.user_ns["run"].commands] == [True] * 3


def test_what_is_not_paused_is_not_resumed(
    shell: InteractiveShell, watched: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    shell.run_cell("%landscape resume").raise_error()
    assert capsys.readouterr().out == "Linear is not paused\n"
    assert not watched.control.orders
    shell.run_cell("%landscape pause\n%landscape resume\nfor _ in range(3): step()").raise_error()
    assert capsys.readouterr().out == ""
    assert watched.step == 6


def test_stop_ends_a_training_in_a_thread_and_of_another_the_watching(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = """
import threading
ended, begun, let_go = [], threading.Event(), threading.Event()
def train():
    try:
        while True:
            step()
            begun.set()
    except BaseException as error:
        ended.append(type(error).__name__)
thread = threading.Thread(target=train)
"""
    shell.run_cell("%landscape watch model optimizer -q -v run" + thread + "thread.start()\nbegun.wait()").raise_error()
    capsys.readouterr()
    shell.run_cell("%landscape stop\nthread.join()").raise_error()
    assert capsys.readouterr().out.startswith("Linear: the training ends after the step under way;")
    assert shell.user_ns["ended"] == ["TrainingStopped"]
    assert shell.user_ns["run"].state == "stopped"
    idle = "def rests():\n    step()\n    begun.set()\n    let_go.wait()\nthread = threading.Thread(target=rests)\n"
    shell.run_cell(
        "begun.clear()\n%landscape watch model optimizer -q -v run\n" + idle + "thread.start()\nbegun.wait()"
    ).raise_error()
    shell.run_cell("%landscape stop -q").raise_error()
    assert (shell.user_ns["run"].state, len(shell.user_ns["run"].control.orders)) == ("watching", 1)
    shell.run_cell("%landscape stop -q\nlet_go.set()\nthread.join()").raise_error()  # it makes no step
    assert shell.user_ns["run"].state == "finished"
    shell.run_cell("%landscape watch model optimizer -q -v run\nstep()\n%landscape stop -q").raise_error()
    assert (shell.user_ns["run"].state, shell.user_ns["run"].commands) == ("finished", [])


def test_cadence(shell: InteractiveShell, watched: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    shell.run_cell("%landscape every weight_norm 2\nfor _ in range(4): step()").raise_error()
    assert "weight_norm is measured every 2 steps from step 3, before every 10" in capsys.readouterr().out
    assert watched["weight_norm"]["step"].values.tolist() == [0, 3, 4, 6]  # 2 is over


def test_pause_advance_and_resume(shell: InteractiveShell, watched: Any) -> None:
    seen: list[tuple[str, int]] = []
    left = ["%landscape advance 2", "%landscape advance", "%landscape resume"]

    def ear() -> None:
        if watched.status().state == "paused" and left:
            seen.append(("paused", watched.step))
            shell.run_line_magic("landscape", left.pop(0).removeprefix("%landscape "))

    watched.ears.append(ear)
    shell.run_cell("%landscape pause\nfor _ in range(9): step()").raise_error()
    assert seen == [("paused", 4), ("paused", 6), ("paused", 7)]
    assert watched.step == 12


def test_a_stopped_cell_ends_normally(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("after = []").raise_error()
    cell = STOPPED.replace("%landscape stop_it", "run.stop()")
    result = shell.run_cell(cell)
    result.raise_error()
    assert result.result is None
    run = shell.user_ns["run"]
    assert (run.state, run.step) == ("stopped", 5)
    assert shell.user_ns["after"] == [0, 1, 2, 3]
    assert run["loss"]["step"].values.tolist() == list(range(5))
    assert capsys.readouterr().err == ""


def test_where_the_cell_is_not_watched_the_exception_is_seen(
    shell: InteractiveShell, watched: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    result = shell.run_cell("run.stop()\nstep()")
    assert type(result.error_in_exec).__name__ == "TrainingStopped"
    text = "".join(capsys.readouterr())
    assert "was stopped after step 4, as asked" in text
    assert len([line for line in text.splitlines() if line.strip()]) == 1
    assert watched.state == "stopped"
    shell.run_cell("%landscape").raise_error()
    assert "stopped, step 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lr", "needs RATE"),
        ("lr abc", "lr got 'abc', which is neither a number nor a variable"),
        ("every loss soon", "every got 'soon', which is neither a number nor a variable"),
        ("lr 0.1 grop=1", "did you mean 'group'"),
        ("lr 0.1 group=7", "has the groups 0 to 0"),
        ("lr -1", "expected"),
        ("lr 0.1 1", "settings are written SETTING=VALUE"),
        ("every weight_norm", "needs N"),
        ("every weightnorm 3", "did you mean 'weight_norm'"),
        ("every weight_norm 0", "expected a whole number of steps"),
        ("advance 0", "expected a whole number of steps"),
        ("advance 1 2", "has no place for '2'"),
        ("pause now", "has no place for 'now'"),
        ("paus", "did you mean 'pause'"),
        ("export a.png", "a picture is of one instrument"),
        ("export a.svg loss lr", "a picture is of one instrument"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(message: Callable[[str], str], watched: Any, line: str, words: str) -> None:
    assert words in message(f"%landscape {line}")


def test_a_run_that_python_began_is_acted_on_while_it_goes_on(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("import nbtoolkit\nrun = nbtoolkit.watch(model, optimizer)\nstep()").raise_error()
    capsys.readouterr()
    shell.run_cell("%landscape lr 0.02").raise_error()
    assert capsys.readouterr().out == "learning rate: 0.1 -> 0.02 from step 1\n"
    assert shell.user_ns["run"].commands[0]["new"] == shell.user_ns["optimizer"].param_groups[0]["lr"] == 0.02
    shell.run_cell("%landscape stop -q").raise_error()
    assert shell.user_ns["run"].state == "finished"


@pytest.mark.parametrize("line", ["pause", "resume", "advance", "lr 0.1", "every loss 2"])
def test_there_must_be_a_loop(message: Callable[[str], str], shell: InteractiveShell, line: str) -> None:
    assert "nothing has been watched yet" in message(f"%landscape {line}")
    shell.run_cell("%landscape watch model optimizer -q\nstep()\n%landscape stop -q").raise_error()
    assert "is finished: there is no training to act on" in message(f"%landscape {line}")


def test_diagnose_says_what_was_looked_at(
    shell: InteractiveShell, watched: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    found = shell.run_cell("%landscape diagnose -o").result
    text = capsys.readouterr().out
    assert found == []
    assert text.startswith("Linear: no findings.\nchecked: ")
    assert "\nnot checked: " in text
    shell.run_cell("for p in model.parameters(): p.data.fill_(float('nan'))\nstep()").raise_error()
    alarms: Any = shell.run_cell("%landscape diagnose -o").result
    assert alarms[0].severity == "alarm"
    assert str(alarms[0]) in capsys.readouterr().out
    assert shell.run_cell("%landscape diagnose -q").result is None
    assert capsys.readouterr().out == ""


def test_pages_and_pictures(shell: InteractiveShell, watched: Any, tmp_path: Path) -> None:
    shell.run_cell("%landscape export page.html loss --text 'Seen <b>once</b>.' -q").raise_error()
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Seen &lt;b&gt;once&lt;/b&gt;." in page
    shell.run_cell("%landscape export loss.png loss -q\n%landscape export loss.svg loss -q").raise_error()
    assert (tmp_path / "loss.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (tmp_path / "loss.svg").read_text(encoding="utf-8")
