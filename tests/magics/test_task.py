"""``%landscape task`` as a user types it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbtoolkit.magics import complete

PREPARE = """
from torch.nn import functional as F
net = nn.Linear(3, 2)
data = {name: (torch.randn(20, 3), torch.randint(0, 2, (20,))) for name in ("a", "b")}
def make():
    return torch.optim.SGD(net.parameters(), lr=0.1)
def train(optimizer, name, steps=4):
    x, y = data[name]
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
"""


@pytest.fixture
def stream(shell: InteractiveShell) -> InteractiveShell:
    shell.run_cell(PREPARE).raise_error()
    return shell


def test_within_a_cell_tasks_are_named_before_the_optimizer_is_made(stream: InteractiveShell) -> None:
    stream.run_cell(
        "%%landscape -q -v run --tasks data\n"
        "%landscape task a\n"
        "sgd = make()\n"
        "train(sgd, 'a')\n"
        "for name in ['b', 'a']:\n"
        "    %landscape task {name}\n"
        "    train(sgd, name, 3)\n"
    ).raise_error()
    run = stream.user_ns["run"]
    assert run["task"]["task_trained"].values.tolist() == ["a", "b", "a (2)"]
    assert run["task"]["step"].values.tolist() == [0, 4, 4, 7, 7, 10]
    assert np.isfinite(run["accuracy_matrix"]["accuracy"].values[-1]).all()
    assert run["accuracy_matrix"]["step"].values.tolist() == [0, 4, 7, 10]
    assert run.notes == []


def test_every_optimizer_of_a_cell_has_its_own_stream(stream: InteractiveShell) -> None:
    stream.run_cell(
        "%%landscape -q -v runs --tasks data\n"
        "for _ in range(2):\n"
        "    net = nn.Linear(3, 2)\n"
        "    sgd = make()\n"
        "    for name in data:\n"
        "        %landscape task {name}\n"
        "        train(sgd, name)\n"
    ).raise_error()
    for run in stream.user_ns["runs"]:
        assert run["accuracy_matrix"]["step"].values.tolist() == [0, 4, 8]
        assert np.isfinite(run["accuracy_matrix"]["accuracy"].values[-1]).all()


def test_an_optimizer_for_each_task_is_told_to_see_only_a_part(stream: InteractiveShell) -> None:
    with pytest.warns(UserWarning, match="sees only its part of the stream"):
        stream.run_cell(
            "%%landscape -q -v runs --tasks data\n"
            "for name in data:\n"
            "    %landscape task {name}\n"
            "    sgd = make()\n"
            "    train(sgd, name)\n"
        ).raise_error()
    assert [len(run.notes) for run in stream.user_ns["runs"]] == [0, 1]


def test_a_name_in_a_function_is_the_functions(stream: InteractiveShell) -> None:
    stream.run_cell(
        "%%landscape -q -v run --tasks data\n"
        "def go(optimizer):\n"
        "    for which in data:\n"
        "        %landscape task {which}\n"
        "        train(optimizer, which)\n"
        "go(make())\n"
    ).raise_error()
    assert stream.user_ns["run"]["task"]["task_trained"].values.tolist() == ["a", "b"]


def test_between_cells(stream: InteractiveShell, message: Callable[[str], str]) -> None:
    stream.run_cell("sgd = make()\n%landscape watch net sgd -q -v run --tasks data").raise_error()
    assert "trains no task that could end" in message("%landscape task")
    assert "no task 'c'" in message("%landscape task c")
    stream.run_cell("%landscape task a").raise_error()
    assert "no step has been made since" in message("%landscape task b")
    stream.run_cell(
        "%landscape task a\ntrain(sgd, 'a')\n%landscape task b\ntrain(sgd, 'b')\n%landscape task"
    ).raise_error()
    run = stream.user_ns["run"]
    assert run["task"]["step"].values.tolist() == [0, 4, 4, 8]
    assert run.task_now is None
    stream.run_cell("%landscape stop -q").raise_error()


def test_a_name_that_is_no_task_is_told_of(stream: InteractiveShell, message: Callable[[str], str]) -> None:
    with pytest.warns(UserWarning, match="no task 'c'"):
        stream.run_cell("%%landscape -q -v run --tasks data\n%landscape task c\ntrain(make(), 'a')").raise_error()
    assert "did not begin: no task 'c'" in stream.user_ns["run"].notes[0]
    late = "%%landscape -q --tasks data\nsgd = make()\ntrain(sgd, 'a')\n%landscape task d"
    assert "no task 'd'" in message(late)
    assert "'nothing' is no variable" in "".join(_printed(stream, "%%landscape --tasks nothing\ntrain(make(), 'a')"))


def _printed(shell: InteractiveShell, cell: str) -> list[str]:
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        shell.run_cell(cell)
    return [captured.stdout, captured.stderr]


def test_names_are_completed(stream: InteractiveShell) -> None:
    assert complete.words(stream, "%landscape ta") == ["task"]
    stream.run_cell("sgd = make()\n%landscape watch net sgd -q --tasks data").raise_error()
    assert complete.words(stream, "%landscape task ") == ["a", "b"]
    stream.run_cell("%landscape stop -q").raise_error()


def test_a_replay_of_a_cell_announces_nothing_to_its_run(stream: InteractiveShell) -> None:
    stream.run_cell(
        "%%landscape -q -v run --forkable --tasks data\n"
        "torch.manual_seed(0)\n"
        "net = nn.Linear(3, 2)\n"
        "sgd = make()\n"
        "for name in data:\n"
        "    %landscape task {name}\n"
        "    train(sgd, name)\n"
    ).raise_error()
    before = stream.user_ns["run"]["task"]["step"].values.tolist()
    twin: Any = stream.run_cell("%landscape fork at=5 steps=2 lr=0.3 -q -o").result
    assert twin.step == 7
    assert twin["task"]["task_trained"].values.tolist() == ["a", "b"]
    assert twin["task"]["step"].values.tolist() == [5, 7]
    twin = stream.run_cell("%landscape fork at=2 steps=4 lr=0.3 -q -o").result
    assert twin["task"]["step"].values.tolist() == [2, 4, 4, 6]
    assert twin["stability_gap"]["training"].sel(task_evaluated="b").values.tolist() == [0, 0, 1, 1, 0]
    assert stream.user_ns["run"]["task"]["step"].values.tolist() == before == [0, 4, 4, 8]
